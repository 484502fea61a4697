"""What an atlas says of itself: the manifest (``atlas.json``) and the plan (``plan.json``), as plain values.

The manifest names everything that decides the content: network, stimuli, settings. Two builds with equal manifests and
the same software give the same bytes, so a folder whose manifest differs is never added to. Both files begin with the
sha256 of the rest of themselves; the plan says also of which manifest it is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from neuronatlas.errors import AtlasDamaged, WrongInput

VERSION = 2
_SEAL = '{\n "digest": "'
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")
PROBED_ALIKE = 0.01
"""Of a response: as far may those of one network differ from machine to machine, by rounding on a GPU most of all."""


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

    ``network``: name, fingerprint (sha256 of the weights), input, probe (what its layers answer to one picture of noise, by
    which another architecture with the same weights is known). ``stimuli``: digest, names, labels. ``settings``: the seed,
    the recipe of the renderings, the reduction, the correlation and layout of the map, the revision of what makes them.
    ``software`` is kept for the reader and not compared.
    """

    network: dict[str, Any]
    layers: tuple[LayerEntry, ...]
    stimuli: dict[str, Any]
    settings: dict[str, Any]
    software: dict[str, str]

    def text(self) -> str:
        """The manifest as JSON, the same for the same content."""
        return _sealed({"format": "neuronatlas", "version": VERSION} | asdict(self))

    @cached_property
    def identity(self) -> str:
        """The sha256 of everything but the software and the probe: two manifests that do not differ have the same."""
        decisive = {key: value for key, value in asdict(self).items() if key != "software"}
        decisive["network"] = {key: value for key, value in self.network.items() if key != "probe"}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @classmethod
    def parse(cls, text: str, *, source: str) -> Manifest:
        """Read what `text` wrote; raises `WrongInput` for a newer version, `AtlasDamaged` for what is no manifest."""
        values = _unsealed(text, source=source, what="an atlas manifest")
        version, kind = values.pop("version", None), values.pop("format", None)
        if kind != "neuronatlas" or type(version) is not int or version < 1:
            message = f"{source} is not an atlas manifest (format {kind!r}, version {version!r})"
            raise AtlasDamaged(message)
        if version > VERSION:
            message = f"{source} has format version {version}; this release reads up to {VERSION}: install a newer one"
            raise WrongInput(message)
        if version > 1 and not sealed(text):
            message = f"{source} does not begin with its digest: it is not as it was written"
            raise AtlasDamaged(message)
        try:
            layers = tuple(LayerEntry(**entry | {"shape": tuple(entry["shape"])}) for entry in values.pop("layers"))
            return cls(layers=layers, **values)
        except (TypeError, KeyError) as error:
            message = f"{source} is not a whole atlas manifest ({error})"
            raise AtlasDamaged(message) from error

    def difference(self, other: Manifest) -> list[str]:
        """One line for each thing in which the two differ, software aside; probes may differ by `PROBED_ALIKE`."""
        mine, theirs = (_flat(asdict(manifest)) for manifest in (self, other))
        keys = sorted(key for key in mine.keys() | theirs.keys() if not key.startswith(("software.", "network.probe.")))
        found = [
            f"{key}: {_short(mine.get(key))} in the folder, {_short(theirs.get(key))} now"
            for key in keys
            if mine.get(key) != theirs.get(key)
        ]
        before, now = self.network.get("probe") or {}, other.network.get("probe") or {}
        return found + [
            f"network: layer {name!r} answers to the same picture with {before[name]} in the folder, {now[name]} now (mean, "
            "root mean square, maximum), so its code is another"
            for name in unlike(before, now)[:1]
        ]


@dataclass(frozen=True)
class Shard:
    """One piece of the work and the file that it ends in.

    ``kind`` is "responses" (``start`` to ``stop`` of the stimuli, all layers), "map", or the pictures of ``units`` of ``layer``:
    "renderings" (what raises each), "negatives" (what lowers it), "diversity" (several that raise it, unlike each other),
    "crops" (what each sees of its best and worst stimuli).
    """

    name: str
    kind: str
    start: int = 0
    stop: int = 0
    layer: int = -1
    units: tuple[int, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Every shard, fixed before work starts and independent of who works; ``manifest`` is the identity of its manifest."""

    shards: tuple[Shard, ...]
    manifest: str = ""

    def __iter__(self) -> Iterator[Shard]:
        """The shards in the order in which they are made."""
        return iter(self.shards)

    def of(self, kind: str) -> list[Shard]:
        """The shards of one kind."""
        return [shard for shard in self.shards if shard.kind == kind]

    def text(self) -> str:
        """The plan as JSON."""
        return _sealed(asdict(self))

    def same_work(self, other: Plan) -> bool:
        """Do both hold the same stimuli and units in the same order, in shards of whatever size?"""
        return _work(self) == _work(other)

    @classmethod
    def parse(cls, text: str, *, source: str) -> Plan:
        """Read what `text` wrote; raises `AtlasDamaged`. Names that are no plain file names are refused."""
        values = _unsealed(text, source=source, what="an atlas plan")
        try:
            shards = tuple(_shard(entry) for entry in values.pop("shards"))
            plan = cls(shards, **values)
        except (TypeError, KeyError, AttributeError) as error:
            message = f"{source} is not an atlas plan ({error})"
            raise AtlasDamaged(message) from error
        for shard in shards:
            if not _NAME.fullmatch(shard.name):
                message = f"{source} names a shard {shard.name!r}: letters, digits and hyphens are allowed, at most 100"
                raise AtlasDamaged(message)
        if len({shard.name.lower() for shard in shards}) < len(shards):  # some file systems know no capitals
            message = f"{source} gives two shards the same name"
            raise AtlasDamaged(message)
        return plan


def plan(
    manifest: Manifest,
    rendered: dict[int, tuple[int, ...]],
    *,
    more: Sequence[str] = (),
    crops: Mapping[int, tuple[int, ...]] | None = None,
    stimuli_a_shard: int = 64,
    units_a_shard: int = 32,
) -> Plan:
    """The work of an atlas: responses, then the map, then the renderings of ``rendered`` (layer number to units).

    ``more`` are other kinds of pictures of the same units, which follow kind by kind; ``crops`` the units of each layer
    that get crops, which are small: more units to a shard.
    """
    count = len(manifest.stimuli["names"])
    starts = range(0, count, stimuli_a_shard)
    shards = [
        Shard(f"responses-{number:04d}", "responses", start, min(start + stimuli_a_shard, count))
        for number, start in enumerate(starts)
    ]
    shards.append(Shard("map", "map"))
    for kind in ("renderings", *more):
        shards += _pictures(kind, rendered, units_a_shard)
    return Plan((*shards, *_pictures("crops", crops or {}, 1024)))


def _pictures(kind: str, drawn: Mapping[int, tuple[int, ...]], units_a_shard: int) -> list[Shard]:
    """The shards of one kind of pictures, of so many units each (layer number to units)."""
    return [
        Shard(f"{kind}-{layer:03d}-{number:04d}", kind, layer=layer, units=units[start : start + units_a_shard])
        for layer, units in sorted(drawn.items())
        for number, start in enumerate(range(0, len(units), units_a_shard))
    ]


def unlike(one: dict[str, list[float]], other: dict[str, list[float]]) -> list[str]:
    """The layers that both probes have and that answered otherwise: mean, root mean square and maximum of each."""
    found = []
    for name in one.keys() & other.keys():
        pairs = list(zip(one[name], other[name], strict=True))
        spread = abs(one[name][1])
        if any(abs(a - b) > PROBED_ALIKE * max(abs(a), abs(b), spread) for a, b in pairs):
            found.append(name)
    return sorted(found)


def sealed(text: str) -> bool:
    """Does the text begin with a digest of its rest, as every file does since version 2?"""
    return text.startswith(_SEAL)


def _sealed(values: dict[str, Any]) -> str:
    """The values as JSON, after the sha256 of all that follows it."""
    rest = '",\n' + json.dumps(values, indent=1, sort_keys=True, ensure_ascii=True).removeprefix("{\n") + "\n"
    return _SEAL + hashlib.sha256(rest.encode("ascii")).hexdigest() + rest


def _unsealed(text: str, *, source: str, what: str) -> dict[str, Any]:
    """The values of a text, whose digest, if it has one, must fit."""
    end = len(_SEAL) + 64
    if (
        sealed(text)
        and text[len(_SEAL) : end] != hashlib.sha256(text[end:].encode("utf-8", "surrogatepass")).hexdigest()
    ):
        message = f"{source} is not as it was written: its digest does not fit"
        raise AtlasDamaged(message)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"{source} is not {what} ({error})"
        raise AtlasDamaged(message) from error
    if not isinstance(values, dict) or ("digest" in values) != sealed(text):
        message = f"{source} is not {what}"
        raise AtlasDamaged(message)
    values.pop("digest", None)
    return values


def _shard(entry: dict[str, Any]) -> Shard:
    """A shard from a file; raises TypeError or KeyError."""
    units = tuple(entry["units"])
    words = [entry["name"], entry["kind"]]
    numbers = [*units, *(entry.get(name, 0) for name in ("start", "stop", "layer"))]
    if not all(type(word) is str for word in words) or not all(type(number) is int for number in numbers):
        message = f"shard {entry['name']!r} has a value of a wrong type"
        raise TypeError(message)
    return Shard(**entry | {"units": units})


def _work(plan: Plan) -> dict[tuple[str, int], tuple[list[int], list[list[int]]]]:
    """For each kind and layer the units in order, and the ranges of stimuli, joined where one begins as another ends."""
    found: dict[tuple[str, int], tuple[list[int], list[list[int]]]] = {}
    for shard in plan:
        units, ranges = found.setdefault((shard.kind, shard.layer), ([], []))
        units.extend(shard.units)
        if ranges and ranges[-1][1] == shard.start:
            ranges[-1][1] = shard.stop
        else:
            ranges.append([shard.start, shard.stop])
    return found


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
