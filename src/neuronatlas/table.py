"""The responses table: one number a stimulus and unit, with the names of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.units import Unit


@dataclass(frozen=True, eq=False)
class Responses:
    """Responses of units to stimuli.

    ``values`` may hold NaN or infinities where the network did; whoever reads them masks and counts them.
    ``labels`` gives each stimulus its class, or ``""`` where it has none.
    """

    values: Float32[np.ndarray, "stimuli units"]
    units: tuple[Unit, ...]
    stimuli: tuple[str, ...]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse names that do not fit the table."""
        expected = (len(self.stimuli), len(self.units))
        if self.values.shape != expected or len(self.labels) != len(self.stimuli):
            message = (
                f"values (shape {self.values.shape}) and labels ({len(self.labels)}) must fit "
                f"{expected[0]} stimuli and {expected[1]} units"
            )
            raise WrongInput(message)

    def __repr__(self) -> str:
        """The sizes, for a notebook."""
        return f"Responses({len(self.stimuli)} stimuli x {len(self.units)} units)"

    def stimulus(self, name: str) -> Float32[np.ndarray, " units"]:
        """The responses of all units to one stimulus; raises `UnknownName`."""
        if name not in self.stimuli:
            raise UnknownName("stimulus", name, self.stimuli)
        return self.values[self.stimuli.index(name)]

    def select(self, units: list[int] | None = None, stimuli: list[int] | None = None) -> Responses:
        """The same table with only these columns (``units``) and rows (``stimuli``), in the order given."""
        columns = list(range(len(self.units))) if units is None else units
        rows = list(range(len(self.stimuli))) if stimuli is None else stimuli
        return Responses(
            self.values[np.ix_(rows, columns)],
            tuple(self.units[column] for column in columns),
            tuple(self.stimuli[row] for row in rows),
            tuple(self.labels[row] for row in rows),
        )
