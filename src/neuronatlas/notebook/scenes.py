"""What is explored as a `Scene`: an atlas, or a response map that was never one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from neuronatlas import insight
from neuronatlas.atlas import Atlas
from neuronatlas.errors import WrongInput
from neuronatlas.maps import ResponseMap
from neuronatlas.maps.clusters import clusters_of
from neuronatlas.view.scene import Scene, SceneLayer, SceneStimulus, scene_of

_GREY = np.full((16, 16, 3), 160, np.uint8)


def scene_to_explore(what: object, pictures: Sequence[np.ndarray] | None = None) -> Scene:
    """The scene of an atlas or a fitted response map, with ``pictures`` of its stimuli; raises `WrongInput`."""
    if isinstance(what, ResponseMap):
        return scene_of_map(what, pictures)
    if not isinstance(what, Atlas):
        message = f"what is a {type(what).__name__}: give an Atlas (neuronatlas.open) or a fitted ResponseMap"
        raise WrongInput(message)
    if pictures is not None:
        message = "pictures are for a response map: an atlas has those of its stimuli"
        raise WrongInput(message)
    return scene_of(what)


def scene_of_map(fitted: ResponseMap, pictures: Sequence[np.ndarray] | None = None) -> Scene:
    """The scene of a fitted map, without feature visualizations; raises `WrongInput`."""
    responses, positions = fitted.responses, fitted.positions.astype(np.float32)
    thumbnails = [_GREY] * len(responses.stimuli) if pictures is None else [np.asarray(each) for each in pictures]
    if len(thumbnails) != len(responses.stimuli):
        message = (
            f"pictures ({len(thumbnails)}) must be one for each of the {len(responses.stimuli)} stimuli of the map"
        )
        raise WrongInput(message)
    for number, picture in enumerate(thumbnails):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            message = (
                f"pictures[{number}] is {picture.dtype} of shape {picture.shape}: give uint8 RGB (height, width, 3)"
            )
            raise WrongInput(message)
    layers = Counter(unit.layer for unit in responses.units)
    placed = np.isfinite(positions).all(axis=1)
    near = fitted.neighbours
    return Scene(
        title="Response map",
        layers=tuple(SceneLayer(name, "", count, (), None) for name, count in layers.items()),
        units=responses.units,
        positions=positions,
        status=tuple(np.where(placed, "", "constant").tolist()),
        reasons={},
        stimuli=tuple(
            SceneStimulus(*each) for each in zip(responses.stimuli, responses.labels, thumbnails, strict=True)
        ),
        responses=responses.values,
        neighbours=near.indices.astype(np.int32),
        correlations=near.correlations.astype(np.float32),
        pictures={},
        facts=_facts(fitted),
        numbers=insight.numbers_of(responses.values, responses.labels),
        clusters=clusters_of(positions),
    )


def _facts(fitted: ResponseMap) -> dict[str, str]:
    """How the map was made, and what its reader should know."""
    facts = {
        "Map": f"{fitted.correlation} correlation, {fitted.layout}, seed {fitted.seed}",
        "Stimuli": str(len(fitted.responses.stimuli)),
        "Units": str(len(fitted.units)),
    }
    return facts | {f"Note {number}": note for number, note in enumerate(fitted.notes, 1)}
