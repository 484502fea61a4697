"""The responses table: one number a stimulus and unit, with the names of both."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from neuronatlas.errors import AtlasDamaged, UnknownName, WrongInput
from neuronatlas.units import Unit

Selection = Sequence[int] | np.ndarray

NAMES = ("units", "stimuli", "labels")
"""What a file holds next to the numbers: lists of words, as JSON."""


@dataclass(frozen=True, eq=False)
class Responses:
    """Responses of units to stimuli.

    ``values`` may hold NaN or infinities where the network did; whoever reads them masks and counts them.
    ``labels`` gives each stimulus its class, or ``""`` where it has none. ``notes`` say what was left out and why; no file
    keeps them.
    """

    values: Float32[np.ndarray, "stimuli units"]
    units: tuple[Unit, ...]
    stimuli: tuple[str, ...]
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()

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

    def select(self, units: Selection | None = None, stimuli: Selection | None = None) -> Responses:
        """The same table with only these columns (``units``) and rows (``stimuli``), in the order given.

        Each is their numbers, of which negative ones count from the end, or one truth value for each there is.
        """
        columns = _chosen("units", units, len(self.units))
        rows = _chosen("stimuli", stimuli, len(self.stimuli))
        return Responses(
            self.values[np.ix_(rows, columns)],
            tuple(self.units[column] for column in columns),
            tuple(self.stimuli[row] for row in rows),
            tuple(self.labels[row] for row in rows),
            self.notes,
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
        values = np.concatenate([part.values for part in parts], axis=1)
        notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
        return cls(values, units, parts[0].stimuli, parts[0].labels, notes)

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
        except (SafetensorError, TypeError, AttributeError) as error:  # the last two: of a type that numpy lacks
            message = f"{str(path)!r} holds no table of responses that can be read: {error}"
            raise AtlasDamaged(message) from error
        if values.ndim != 2 or values.dtype != np.float32:
            message = (
                f"{str(path)!r} holds values of type {values.dtype} and shape {values.shape}, not float32 of two axes"
            )
            raise AtlasDamaged(message)
        if names.pop("sha256", "") != _digest(values, names):
            message = f"{str(path)!r} is not as it was saved: its sha256 does not fit"
            raise AtlasDamaged(message)
        addresses, stimuli, labels = (_words(path, names, key) for key in NAMES)
        try:
            return cls(values, tuple(Unit.parse(address) for address in addresses), stimuli, labels)
        except ValueError as error:  # no address, a number of too many digits, or names that do not fit the table
            message = f"{str(path)!r} holds no table of responses: {error}"
            raise AtlasDamaged(message) from error


def _chosen(what: str, chosen: Selection | None, count: int) -> list[int]:
    """The numbers of what is chosen of ``count``; raises `WrongInput`."""
    if chosen is None:
        return list(range(count))
    found = np.asarray(chosen)
    if found.size == 0 and found.ndim == 1 and found.dtype != np.bool_:
        return []
    if found.dtype == np.bool_ and found.shape == (count,):
        return np.flatnonzero(found).tolist()
    if found.dtype == np.bool_ or found.ndim != 1 or not np.issubdtype(found.dtype, np.integer):
        message = (
            f"{what} (of type {found.dtype} and shape {found.shape}) must be whole numbers or {count} truth values"
        )
        raise WrongInput(message)
    outside = found[(found < -count) | (found >= count)]
    if outside.size:
        message = f"{what} hold {outside[0]}: there are {count}, counted from 0"
        raise WrongInput(message)
    return found.tolist()


def _words(path: str | os.PathLike[str], names: dict[str, str], key: str) -> tuple[str, ...]:
    """The list of words under ``key``; raises `AtlasDamaged` where there is none."""
    try:
        found = json.loads(names.get(key, ""))
    except (ValueError, RecursionError) as error:
        message = f"{str(path)!r} holds no list under {key!r} that can be read: {error}"
        raise AtlasDamaged(message) from error
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        message = f"{str(path)!r} holds something else than a list of words under {key!r}"
        raise AtlasDamaged(message)
    return tuple(found)


def _digest(values: Float32[np.ndarray, "stimuli units"], names: dict[str, str]) -> str:
    """The sha256 of the numbers and the names."""
    total = hashlib.sha256(json.dumps([values.shape, *sorted(names.items())]).encode())
    total.update(values.tobytes())
    return total.hexdigest()
