"""Messages name the argument, its value and the next step."""

from __future__ import annotations

import re

import pytest

from neuronatlas import errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["blocks.1", "head"], "no layer 'blokcs.1': did you mean 'blocks.1'?"),
        (["alpha", "beta"], "no layer 'blokcs.1': there are alpha, beta"),
        ([], "no layer 'blokcs.1': there are none to choose from"),
        ([f"x{number}" for number in range(40)], "there are 40, the first of them x0, x1, x2, x3, x4, x5, x6, x7"),
        (iter(["blocks.1"]), "did you mean 'blocks.1'?"),
    ],
)
def test_an_unknown_name_says_what_there_is(options: list[str], message: str) -> None:
    assert message in str(errors.UnknownName("layer", "blokcs.1", options))


def test_the_tree_is_the_one_in_the_docstring() -> None:
    drawn = re.findall(r"──\s+(\w+)", errors.__doc__ or "")
    assert drawn == [
        "WrongInput",
        "UnknownName",
        "NoPictures",
        "AtlasMismatch",
        "AtlasDamaged",
        "CannotWrite",
        "Unfinished",
        "Cancelled",
    ]
    assert issubclass(errors.UnknownName, errors.WrongInput)
    assert issubclass(errors.AtlasMismatch, errors.WrongInput)
    assert issubclass(errors.WrongInput, ValueError)
    assert not issubclass(errors.AtlasDamaged, errors.WrongInput)
    assert all(issubclass(getattr(errors, name), errors.NeuronAtlasError) for name in drawn)
