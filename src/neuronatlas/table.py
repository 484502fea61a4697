"""The responses table: one number a stimulus and unit, with the names of both."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from neuronatlas.errors import AtlasDamaged, UnknownName, WrongInput
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

    @classmethod
    def merge(cls, tables: Iterable[Responses]) -> Responses:
        """The units of all ``tables`` in one, which must be of the same stimuli in the same order, and of different units."""
        parts = tuple(tables)
        if not parts:
            message = "tables is empty: give at least one table of responses"
            raise WrongInput(message)
        for number, part in enumerate(parts):
            if (part.stimuli, part.labels) != (parts[0].stimuli, parts[0].labels):
                message = (
                    f"tables[{number}] is not of the same stimuli, in the same order, as tables[0]: record them alike"
                )
                raise WrongInput(message)
        units = tuple(unit for part in parts for unit in part.units)
        for unit, count in Counter(units).most_common(1):
            if count > 1:
                message = f"tables hold unit {unit} {count} times: leave out all but one of its columns"
                raise WrongInput(message)
        return cls(np.concatenate([part.values for part in parts], axis=1), units, parts[0].stimuli, parts[0].labels)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table to a safetensors file, in place of one that is there; `load` reads it."""
        from safetensors.numpy import save

        values = np.ascontiguousarray(self.values)
        names = {
            "units": json.dumps([str(unit) for unit in self.units]),
            "stimuli": json.dumps(self.stimuli),
            "labels": json.dumps(self.labels),
        }
        content = save({"values": values}, metadata=names | {"sha256": _digest(values, names)})
        place = Path(path)
        unfinished = place.with_name(f".unfinished-{place.name}")
        unfinished.write_bytes(content)
        unfinished.replace(place)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Responses:
        """The table in a file; raises `WrongInput` where there is none, `AtlasDamaged` where it is not what was saved."""
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            message = f"path (={str(path)!r}) is no file: give one that Responses.save wrote"
            raise WrongInput(message)
        try:
            with safe_open(path, framework="numpy") as file:
                names = dict(file.metadata() or {})
                values = file.get_tensor("values")
        except SafetensorError as error:
            message = f"{str(path)!r} holds no table of responses that can be read: {error}"
            raise AtlasDamaged(message) from error
        if names.pop("sha256", "") != _digest(values, names):
            message = f"{str(path)!r} is not as it was saved: its sha256 does not fit"
            raise AtlasDamaged(message)
        units = tuple(Unit.parse(address) for address in json.loads(names["units"]))
        return cls(values, units, tuple(json.loads(names["stimuli"])), tuple(json.loads(names["labels"])))


def _digest(values: Float32[np.ndarray, "stimuli units"], names: dict[str, str]) -> str:
    """The sha256 of the numbers and the names."""
    total = hashlib.sha256(json.dumps([values.shape, *sorted(names.items())]).encode())
    total.update(values.tobytes())
    return total.hexdigest()
