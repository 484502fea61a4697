"""How a unit is written down: ``features.8:17``, or ``features.8:17@6,6`` for the neuron at row 6, column 6."""

from __future__ import annotations

import re
from dataclasses import dataclass

from neuronatlas.errors import WrongInput

_ADDRESS = re.compile(r"(?P<layer>.+):(?P<index>\d+)(?:@(?P<row>\d+),(?P<column>\d+))?", re.DOTALL | re.ASCII)


@dataclass(frozen=True, slots=True)
class Unit:
    """One channel of a convolutional layer, or one feature of a dense or token layer.

    With a ``position`` (row, column in the layer's map) it is a neuron: the unit at one place.

    >>> Unit.parse("features.8:17@6,5")
    Unit(layer='features.8', index=17, position=(6, 5))
    >>> str(Unit("head", 3))
    'head:3'
    """

    layer: str
    index: int
    position: tuple[int, int] | None = None

    def __str__(self) -> str:
        """The address, which `parse` reads back."""
        place = "" if self.position is None else f"@{self.position[0]},{self.position[1]}"
        return f"{self.layer}:{self.index}{place}"

    @classmethod
    def parse(cls, address: str) -> Unit:
        """Read an address; raises `WrongInput` when it is not one."""
        found = _ADDRESS.fullmatch(address)
        if found is None:
            message = f"unit {address!r} is not an address: write LAYER:INDEX or LAYER:INDEX@ROW,COLUMN"
            raise WrongInput(message)
        row, column = found["row"], found["column"]
        position = None if row is None else (int(row), int(column))
        return cls(found["layer"], int(found["index"]), position)
