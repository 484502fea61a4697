"""The responses table keeps numbers and names together."""

from __future__ import annotations

import numpy as np
import pytest

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.table import Responses
from neuronatlas.units import Unit

UNITS = (Unit("a", 0), Unit("a", 1), Unit("b", 0))


@pytest.fixture
def table() -> Responses:
    return Responses(np.arange(12, dtype=np.float32).reshape(4, 3), UNITS, ("p", "q", "r", "s"), ("x", "x", "", "y"))


def test_selection_takes_names_along(table: Responses) -> None:
    part = table.select(units=[2, 0], stimuli=[3, 1])
    assert part.values.tolist() == [[11, 9], [5, 3]]
    assert part.units == (UNITS[2], UNITS[0])
    assert part.stimuli == ("s", "q")
    assert part.labels == ("y", "x")
    assert table.select(units=[]).values.shape == (4, 0)
    np.testing.assert_array_equal(table.select().values, table.values)


def test_one_stimulus_by_name(table: Responses) -> None:
    assert table.stimulus("r").tolist() == [6, 7, 8]
    with pytest.raises(UnknownName, match="no stimulus 't'"):
        table.stimulus("t")


@pytest.mark.parametrize(("shape", "labels"), [((3, 4), 4), ((4, 2), 4), ((4, 3), 3)])
def test_names_that_do_not_fit_are_refused(shape: tuple[int, int], labels: int) -> None:
    with pytest.raises(WrongInput, match="must fit 4 stimuli and 3 units"):
        Responses(np.zeros(shape, np.float32), UNITS, ("p", "q", "r", "s"), ("",) * labels)


def test_it_says_its_size(table: Responses) -> None:
    assert repr(table) == "Responses(4 stimuli x 3 units)"
