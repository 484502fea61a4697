"""What a unit's card says, as data: the twin that the page offers as JSON, from Python."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

import numpy as np

from neuronatlas.view.scene import Scene, ScenePicture
from neuronatlas.view.scripts import NEIGHBOURS, best


def unit_record(scene: Scene, index: int) -> dict[str, Any]:
    """The card of ``scene.units[index]`` as JSON has it: numbers to nine digits, None where there is none."""
    unit = scene.units[index]
    layer = next(entry for entry in scene.layers if entry.name == unit.layer)
    responses = scene.responses[:, [index]]
    picture = scene.pictures.get(index)
    position = scene.positions[index].tolist()
    boxes = [{crop.stimulus: list(crop.box) for crop in side} for side in scene.crops.get(index, ((), ()))]
    return {
        "unit": str(unit),
        "layer": layer.name,
        "kind": layer.kind,
        "index": unit.index,
        "shape": list(layer.shape),
        "receptive_field": layer.receptive_field,
        "network": scene.title,
        "status": scene.status[index],
        "reason": scene.reasons.get(index, ""),
        "position": [_plain(each) for each in position] if all(map(math.isfinite, position)) else None,
        "score": None if picture is None else _score(picture),
        "negative": {"score": _score(scene.negatives[index])} if index in scene.negatives else None,
        "diverse": [{"score": _score(each)} for each in scene.diverse.get(index, ())],
        "numbers": {name: _plain(column[index]) for name, column in scene.numbers.items()},
        "best": _answers(scene, *best(responses), boxes[0]),
        "worst": _answers(scene, (worst := best(-responses))[0], -worst[1], boxes[1]),
        "neighbours": [
            {"unit": str(scene.units[other]), "correlation": _plain(correlation)}
            for other, correlation in zip(
                scene.neighbours[index, :NEIGHBOURS], scene.correlations[index, :NEIGHBOURS], strict=True
            )
            if other >= 0
        ],
        "provenance": {str(key): str(value) for key, value in scene.facts.items()},
    }


def _answers(
    scene: Scene, stimuli: np.ndarray, values: np.ndarray, boxes: Mapping[int, list[int]]
) -> list[dict[str, object]]:
    """``box``: where in the stimulus the unit answers most, or least, in pixels of the network's input."""
    return [
        {
            "stimulus": scene.stimuli[number].name,
            "label": scene.stimuli[number].label,
            "response": _plain(value),
            "box": boxes.get(number),
        }
        for number, value in zip(stimuli[0].tolist(), _flat(values), strict=True)
        if number >= 0
    ]


def _score(picture: ScenePicture) -> float | None:
    return _plain(np.float32(picture.score))


def _flat(values: np.ndarray) -> Sequence[float]:
    flat: list[float] = values[0].tolist()
    return flat


def _plain(value: SupportsFloat) -> float | None:
    """Nine digits tell all 32-bit numbers apart."""
    number = float(value)
    return float(f"{number:.9g}") if math.isfinite(number) else None
