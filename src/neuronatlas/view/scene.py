"""The one description that every viewer gets: numbers, names and pictures of an atlas, and nothing else.

A viewer asks for a `Scene` and never for an atlas, a network or a file, so a new viewer needs only this page.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from neuronatlas import insight
from neuronatlas.atlas import Atlas, LayerEntry, Manifest
from neuronatlas.maps.clusters import clusters_of
from neuronatlas.units import Unit

Tensors = Mapping[str, np.ndarray]
Shown = TypeVar("Shown")
_QUALITIES = {
    "trustworthiness": "Trustworthiness of the map",
    "recall": "Neighbours kept on the map",
    "moran": "Moran's I of the responses",
}


@dataclass(frozen=True)
class SceneLayer:
    """A layer on the map. Shape without the batch; ``receptive_field`` in input pixels, None where unknown."""

    name: str
    kind: str
    units: int
    shape: tuple[int, ...]
    receptive_field: int | None


@dataclass(frozen=True, eq=False)
class SceneStimulus:
    """A stimulus with its thumbnail, uint8 RGB."""

    name: str
    label: str
    thumbnail: UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True, eq=False)
class ScenePicture:
    """A feature visualization: uint8 RGB, the score it reached and the curve that led there (one number a step)."""

    image: UInt8[np.ndarray, "height width 3"]
    score: float
    curve: Float32[np.ndarray, " steps"]


@dataclass(frozen=True, eq=False)
class SceneCrop:
    """What a unit sees of a stimulus, index ``stimulus``, where it answers most, or least.

    ``box`` is its top, left, bottom and right in pixels of the network's input, the last two not included; ``image`` that
    part, uint8 RGB.
    """

    stimulus: int
    box: tuple[int, int, int, int]
    image: UInt8[np.ndarray, "side side 3"]


@dataclass(frozen=True, eq=False)
class Scene:
    """All that is shown. Index i always means ``units[i]``, index s ``stimuli[s]``.

    ``positions`` are in -1..1 and NaN for units that have no place on the map (constant over the stimuli).
    ``status`` is one word a unit: "" (nothing to say), "constant", "dead", "failed", "oom" or "waiting" (not rendered
    yet); ``reasons`` explains it.
    ``neighbours`` holds the most correlated units, best first, -1 where there are fewer; ``correlations`` fits it.
    ``pictures`` is keyed by unit index; a unit without one was not asked for or has a status that says why.
    ``negatives`` are pictures of what lowers a unit, with the low value that it takes there; ``diverse`` several pictures
    that raise it and are unlike each other. Both may be of any units, and have no status.
    ``crops`` are what a unit sees of some of its best stimuli and of some of its worst, in their order; their boxes are
    counted in pixels of ``input_size``, the height and width of what the network is shown.
    ``facts`` is the provenance: flat text to text, shown as it is; ``command`` is what makes the picture of
    a unit ``UNIT`` again, "" if unknown.
    ``numbers`` has columns of the unit table by name, NaN where a unit has none; ``clusters`` the number of the patch of
    the map that a unit lies in, -1 for none (`maps.clusters`).
    """

    title: str
    layers: tuple[SceneLayer, ...]
    units: tuple[Unit, ...]
    positions: Float32[np.ndarray, "units 2"]
    status: tuple[str, ...]
    reasons: Mapping[int, str]
    stimuli: tuple[SceneStimulus, ...]
    responses: Float32[np.ndarray, "stimuli units"]
    neighbours: Int32[np.ndarray, "units k"]
    correlations: Float32[np.ndarray, "units k"]
    pictures: Mapping[int, ScenePicture]
    facts: Mapping[str, str]
    numbers: Mapping[str, Float32[np.ndarray, " units"]] = field(default_factory=dict)
    clusters: Int32[np.ndarray, " units"] | None = None
    negatives: Mapping[int, ScenePicture] = field(default_factory=dict)
    diverse: Mapping[int, tuple[ScenePicture, ...]] = field(default_factory=dict)
    crops: Mapping[int, tuple[tuple[SceneCrop, ...], tuple[SceneCrop, ...]]] = field(default_factory=dict)
    input_size: tuple[int, int] = (0, 0)
    command: str = ""


def scene_of(atlas: Atlas) -> Scene:
    """The scene of an atlas that has its map; raises `AtlasDamaged` where a shard is not as it was written."""
    manifest, plan = atlas.manifest, atlas.plan
    offsets = _offsets(manifest.layers)
    first = dict(zip([layer.name for layer in manifest.layers], offsets, strict=True))
    laid_out, about = atlas.get(plan.of("map")[0])
    table = atlas.responses()
    thumbnails: list[np.ndarray] = []
    shown: dict[int, int] = {}  # the place of each stimulus that is shown
    for shard in plan.of("responses"):
        tensors, _ = atlas.get(shard)
        thumbnails.extend(tensors["thumbnails"])
        for number in tensors.get("shown", np.arange(shard.start, shard.stop)).tolist():
            shown[number] = len(shown)
    status = ["" if np.isfinite(place).all() else "constant" for place in laid_out["positions"]]
    reasons: dict[int, str] = {}
    pictures: dict[int, ScenePicture] = {}
    for shard in plan.of("renderings"):
        if atlas.state(shard) == "absent":
            for index in shard.units:
                unit = first[manifest.layers[shard.layer].name] + index
                status[unit], reasons[unit] = "waiting", "its picture is not made yet: the atlas is being built"
            continue
        tensors, made = atlas.get(shard)
        for row, index in enumerate(shard.units):
            unit = first[manifest.layers[shard.layer].name] + index
            if made["status"][row]:
                status[unit], reasons[unit] = made["status"][row], made["reason"][row]
                continue
            pictures[unit] = _picture(tensors["images"][row], tensors["scores"][row], tensors["curves"][row])
    return Scene(
        title=manifest.network["name"],
        layers=tuple(
            SceneLayer(layer.name, layer.kind, layer.units, layer.shape, layer.receptive_field)
            for layer in manifest.layers
        ),
        units=atlas.units,
        positions=laid_out["positions"].astype(np.float32),
        status=tuple(status),
        reasons=reasons,
        stimuli=tuple(SceneStimulus(*entry) for entry in zip(table.stimuli, table.labels, thumbnails, strict=True)),
        responses=table.values,
        neighbours=laid_out["neighbours"].astype(np.int32),
        correlations=laid_out["correlations"].astype(np.float32),
        pictures=pictures,
        facts=_facts(manifest, about),
        numbers=insight.numbers_of(table.values, table.labels),
        clusters=clusters_of(laid_out["positions"]),
        negatives=dict(_others(atlas, "negatives", offsets, _negative)),
        diverse=dict(_others(atlas, "diversity", offsets, _diverse)),
        crops=dict(_crops(atlas, offsets, shown)),
        input_size=tuple(manifest.network["input"]["size"]),
        command=_command(manifest),
    )


def _others(
    atlas: Atlas, kind: str, offsets: Sequence[int], picture: Callable[[Tensors, int], Shown]
) -> Iterator[tuple[int, Shown]]:
    """Of each unit what the shards of a kind hold of it, where they are there and it was made."""
    for shard in atlas.plan.of(kind):
        if atlas.state(shard) == "absent":
            continue
        tensors, about = atlas.get(shard)
        for row, index in enumerate(shard.units):
            if not about["status"][row]:
                yield offsets[shard.layer] + index, picture(tensors, row)


def _negative(tensors: Tensors, row: int) -> ScenePicture:
    return _picture(tensors["images"][row], tensors["scores"][row], tensors["curves"][row])


def _diverse(tensors: Tensors, row: int) -> tuple[ScenePicture, ...]:
    nothing = np.zeros(0, np.float32)
    pairs = zip(tensors["images"][row], tensors["scores"][row], strict=True)
    return tuple(_picture(image, score, nothing) for image, score in pairs)


def _crops(
    atlas: Atlas, offsets: Sequence[int], shown: Mapping[int, int]
) -> Iterator[tuple[int, tuple[tuple[SceneCrop, ...], tuple[SceneCrop, ...]]]]:
    """Of each unit that has any crops those of its best and of its worst stimuli."""
    for shard in atlas.plan.of("crops"):
        if atlas.state(shard) == "absent":
            continue
        tensors, _ = atlas.get(shard)
        for row, index in enumerate(shard.units):
            best, worst = (
                tuple(
                    SceneCrop(shown[number], tuple(tensors["boxes"][row, side, rank].tolist()), image)
                    for rank, (number, image) in enumerate(
                        zip(tensors["stimuli"][row, side].tolist(), tensors["crops"][row, side], strict=True)
                    )
                    if number in shown
                )
                for side in (0, 1)
            )
            if best or worst:
                yield offsets[shard.layer] + index, (best, worst)


def _picture(image: np.ndarray, score: np.floating[Any], curve: np.ndarray) -> ScenePicture:
    """A picture in three colours, grey ones too."""
    return ScenePicture(np.broadcast_to(image, (*image.shape[:2], 3)), float(score), curve)


def _offsets(layers: Sequence[LayerEntry]) -> list[int]:
    """The index of each layer's first unit."""
    return [sum(layer.units for layer in layers[:number]) for number in range(len(layers))]


def _facts(manifest: Manifest, about: Mapping[str, Any]) -> dict[str, str]:
    """The provenance in words."""
    settings = manifest.settings
    recipe = settings["recipe"]
    facts = {
        "Network": manifest.network["name"],
        "Weights (sha256)": manifest.network["fingerprint"],
        "Stimuli": f"{len(manifest.stimuli['names'])}, sha256 {manifest.stimuli['digest']}",
        "Response": f"spatial {settings['reduce']} of the unit's activation",
        "Map": f"{settings['map']['correlation']} correlation, {settings['map']['layout']}, seed {settings['seed']}",
        "Pictures": f"preset {recipe['preset']}, {recipe['steps']} steps, seed {settings['seed']}",
    }
    quality = about["quality"]
    for key, words in _QUALITIES.items():
        if key in quality:
            facts[words] = (
                f"{quality[key]:.3f} ({quality['k']:.0f} neighbours)" if key != "moran" else f"{quality[key]:.3f}"
            )
    for number, note in enumerate(about["notes"], 1):
        facts[f"Note {number}"] = note
    facts["Software"] = ", ".join(f"{name} {version}" for name, version in sorted(manifest.software.items()))
    return facts


def _command(manifest: Manifest) -> str:
    """What makes a unit's picture again, as far as the atlas knows it; the page puts the address for ``UNIT``."""
    settings = manifest.settings
    words = ["neuronatlas", "render", manifest.network["name"], "UNIT"]
    words += ["--preset", settings["recipe"]["preset"], "--seed", str(settings["seed"]), "-o", "pictures"]
    return " ".join(shlex.quote(str(word)) for word in words)
