"""Addresses are read back as they were written."""

from __future__ import annotations

import pytest

from neuronatlas.errors import WrongInput
from neuronatlas.units import Unit


@pytest.mark.parametrize(
    "unit",
    [
        Unit("features.8", 17),
        Unit("features.8", 17, (0, 6)),
        Unit("relu#1", 0),
        Unit("a:b", 3, (10, 11)),
        Unit("tensor.hidden/0 @1,2", 5),
        Unit("层", 1),
        Unit("two\nlines\n", 1, (2, 3)),
    ],
)
def test_an_address_is_read_back(unit: Unit) -> None:
    assert Unit.parse(str(unit)) == unit


@pytest.mark.parametrize(
    "address",
    ["", "features.8", "features.8:", ":3", "features.8:-1", "a:1@2", "a:1@2,", "a:x", "a:1 ", "a:1\n", "a:\u0661"],
)
def test_what_is_no_address_is_refused_with_the_form(address: str) -> None:
    with pytest.raises(WrongInput, match=r"is not an address: write LAYER:INDEX or LAYER:INDEX@ROW,COLUMN") as error:
        Unit.parse(address)
    assert repr(address) in str(error.value)
