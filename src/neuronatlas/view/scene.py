"""The one description that every viewer gets: numbers, names and pictures of an atlas, and nothing else.

A viewer asks for a `Scene` and never for an atlas, a network or a file, so a new viewer needs only this page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from neuronatlas.units import Unit


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
class Scene:
    """All that is shown. Index i always means ``units[i]``, index s ``stimuli[s]``.

    ``positions`` are in -1..1 and NaN for units that have no place on the map (constant over the stimuli).
    ``status`` is one word a unit: "" (nothing to say), "constant", "dead" or "failed"; ``reasons`` explains the last.
    ``neighbours`` holds the most correlated units, best first, -1 where there are fewer; ``correlations`` fits it.
    ``pictures`` is keyed by unit index; a unit without one was not asked for or has a status that says why.
    ``facts`` is the provenance: flat text to text, shown as it is.
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
