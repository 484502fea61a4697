"""What an atlas says of itself: the manifest (``atlas.json``) and the plan (``plan.json``), as plain values.

The manifest names everything that decides the content: network, stimuli, settings. Two builds with equal manifests give
the same bytes, so a folder whose manifest differs is never added to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from neuronatlas.errors import AtlasDamaged, WrongInput

VERSION = 1


@dataclass(frozen=True)
class LayerEntry:
    """A layer of the atlas: ``shape`` without the batch axis, ``receptive_field`` in input pixels."""

    name: str
    kind: str
    units: int
    shape: tuple[int, ...]
    receptive_field: int


@dataclass(frozen=True)
class Manifest:
    """What the atlas was made of.

    ``network``: name, fingerprint (sha256 of the weights), input. ``stimuli``: digest, names, labels. ``settings``: the
    seed, the recipe of the renderings, the reduction, the correlation and layout of the map. ``software`` is kept for
    the reader and not compared.
    """

    network: dict[str, Any]
    layers: tuple[LayerEntry, ...]
    stimuli: dict[str, Any]
    settings: dict[str, Any]
    software: dict[str, str]

    def text(self) -> str:
        """The manifest as JSON, the same for the same content."""
        return _dump({"format": "neuronatlas", "version": VERSION} | asdict(self))

    @classmethod
    def parse(cls, text: str, *, source: str) -> Manifest:
        """Read what `text` wrote; raises `WrongInput` for a newer version, `AtlasDamaged` for what is no manifest."""
        try:
            values = json.loads(text)
            version = values.pop("version")
            kind = values.pop("format")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"{source} is not an atlas manifest ({error})"
            raise AtlasDamaged(message) from error
        if kind != "neuronatlas" or not isinstance(version, int):
            message = f"{source} is not an atlas manifest (format {kind!r})"
            raise AtlasDamaged(message)
        if version > VERSION:
            message = f"{source} has format version {version}; this release reads up to {VERSION}: install a newer one"
            raise WrongInput(message)
        try:
            layers = tuple(LayerEntry(**entry | {"shape": tuple(entry["shape"])}) for entry in values.pop("layers"))
            return cls(layers=layers, **values)
        except (TypeError, KeyError) as error:
            message = f"{source} is not a whole atlas manifest ({error})"
            raise AtlasDamaged(message) from error

    def difference(self, other: Manifest) -> list[str]:
        """One line for each thing in which the two differ, software aside."""
        mine, theirs = (_flat(asdict(manifest)) for manifest in (self, other))
        keys = sorted(key for key in mine.keys() | theirs.keys() if not key.startswith("software."))
        return [
            f"{key}: {_short(mine.get(key))} in the folder, {_short(theirs.get(key))} now"
            for key in keys
            if mine.get(key) != theirs.get(key)
        ]


@dataclass(frozen=True)
class Shard:
    """One piece of the work and the file that it ends in.

    ``kind`` is "responses" (``start`` to ``stop`` of the stimuli, all layers), "renderings" (``units`` of ``layer``) or
    "map".
    """

    name: str
    kind: str
    start: int = 0
    stop: int = 0
    layer: int = -1
    units: tuple[int, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Every shard, fixed before work starts and independent of who works."""

    shards: tuple[Shard, ...]

    def __iter__(self) -> Iterator[Shard]:
        """The shards in the order in which they are made."""
        return iter(self.shards)

    def of(self, kind: str) -> list[Shard]:
        """The shards of one kind."""
        return [shard for shard in self.shards if shard.kind == kind]

    def text(self) -> str:
        """The plan as JSON."""
        return _dump(asdict(self))

    @classmethod
    def parse(cls, text: str, *, source: str) -> Plan:
        """Read what `text` wrote; raises `AtlasDamaged`. Names that are no plain file names are refused."""
        try:
            shards = [Shard(**entry | {"units": tuple(entry["units"])}) for entry in json.loads(text)["shards"]]
        except (ValueError, TypeError, KeyError) as error:
            message = f"{source} is not an atlas plan ({error})"
            raise AtlasDamaged(message) from error
        for shard in shards:
            if not shard.name.replace("-", "").isalnum() or not shard.name.isascii():
                message = f"{source} names a shard {shard.name!r}: letters, digits and hyphens are allowed"
                raise AtlasDamaged(message)
        return cls(tuple(shards))


def plan(
    manifest: Manifest, rendered: dict[int, tuple[int, ...]], *, stimuli_a_shard: int = 64, units_a_shard: int = 16
) -> Plan:
    """The work of an atlas: responses, then the map, then the renderings of ``rendered`` (layer number to units)."""
    count = len(manifest.stimuli["names"])
    starts = range(0, count, stimuli_a_shard)
    shards = [
        Shard(f"responses-{number:04d}", "responses", start, min(start + stimuli_a_shard, count))
        for number, start in enumerate(starts)
    ]
    shards.append(Shard("map", "map"))
    for layer, units in sorted(rendered.items()):
        for number, start in enumerate(range(0, len(units), units_a_shard)):
            part = units[start : start + units_a_shard]
            shards.append(Shard(f"renderings-{layer:03d}-{number:04d}", "renderings", layer=layer, units=part))
    return Plan(tuple(shards))


def _dump(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=1, sort_keys=True, ensure_ascii=True) + "\n"


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dicts by dotted key; lists are left whole."""
    if not isinstance(values, dict):
        return {prefix: list(values) if isinstance(values, tuple) else values}
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:45]}... ({len(text)} characters)"
