"""A scene made of nothing: 300 units in four layers, 40 pictures, 30 stimuli, and names that mean harm."""

from __future__ import annotations

import numpy as np

from neuronatlas.units import Unit
from neuronatlas.view.scene import Scene, SceneCrop, SceneLayer, ScenePicture, SceneStimulus

HOSTILE_LAYER = "blocks.5/<img src=x onerror=window.owned=1></script>\u2028,?&%41"
HOSTILE_STIMULUS = "</script><svg onload=window.owned=1> \u2028\"'& 100%"
LAYERS = (
    SceneLayer("features.0", "Conv2d", 48, (48, 112, 112), 3),
    SceneLayer("blocks.2.dw", "Conv2d", 96, (96, 28, 28), 43),
    SceneLayer(HOSTILE_LAYER, "Conv2d", 96, (96, 7, 7), 299),
    SceneLayer("head", "Linear", 60, (60,), None),
)
CONSTANT = (5, 60, 61, 250)
FAILED = (100, 101)
FACED = {56: 4, 57: 9, 147: 2}
"""How many diverse pictures these units have; the second has no picture beside them, the last is in the hostile layer."""
CROPPED = (56, 58, 140)
"""Units with crops; the first has more pictures, the last is in the hostile layer, and has no picture."""
INPUT = (120, 160)
"""Thumbnails are the middle square of it."""
SIZE = 112


def make_scene() -> Scene:
    random = np.random.default_rng(7)
    units = tuple(Unit(layer.name, index) for layer in LAYERS for index in range(layer.units))
    layer_of = np.repeat(np.arange(4), [layer.units for layer in LAYERS])
    centres = random.uniform(-0.8, 0.8, (12, 2))
    positions = centres[random.integers(0, 12, len(units))] + random.normal(0, 0.11, (len(units), 2))
    positions = np.clip(positions + 0.05 * layer_of[:, None], -1, 1).astype(np.float32)
    stimuli = _stimuli()
    places = random.uniform(-1, 1, (len(stimuli), 2))
    distance = ((places[:, None] - positions[None]) ** 2).sum(-1)
    responses = (3 * np.exp(-3 * distance) + random.normal(0, 0.1, distance.shape)).astype(np.float32)
    responses[:, list(CONSTANT)] = 0.25
    responses[3, 17] = np.nan
    positions[list(CONSTANT)] = np.nan
    neighbours, correlations = _neighbours(responses, 8)
    status = ["constant" if unit in CONSTANT else "failed" if unit in FAILED else "" for unit in range(len(units))]
    other = np.random.default_rng(8)
    pictured = [unit for unit in range(0, len(units), 7) if not status[unit]][:40]
    return Scene(
        title="Synthetic <b>atlas</b>",
        layers=LAYERS,
        units=units,
        positions=positions,
        status=tuple(status),
        reasons=dict.fromkeys(FAILED, "the score became <i>not a number</i> at step 12"),
        stimuli=stimuli,
        responses=responses,
        neighbours=neighbours,
        correlations=correlations,
        pictures={unit: _picture(unit, random) for unit in pictured},
        negatives={unit: _picture(unit + 5, other, sign=-1) for unit in FACED},
        diverse={unit: tuple(_picture(unit + k, other) for k in range(count)) for unit, count in FACED.items()},
        crops={unit: (_crops(responses[:, unit]), _crops(-responses[:, unit])[1:]) for unit in CROPPED},
        input_size=INPUT,
        facts={"network": "synthetic", "<script>alert(1)</script>": "</script>", "seed": "7"},
    )


def _neighbours(responses: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    clean = np.nan_to_num(responses.astype(np.float64))
    deviation = clean - clean.mean(0)
    norm = np.sqrt((deviation**2).sum(0))
    alive = norm > 1e-6
    unit = deviation / np.where(alive, norm, 1)
    correlation = unit.T @ unit.copy()
    correlation[~alive] = correlation[:, ~alive] = -2
    np.fill_diagonal(correlation, -2)
    order = np.argsort(-correlation, axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(correlation, order, axis=1)
    return np.where(values > -2, order, -1).astype(np.int32), np.where(values > -2, values, 0).astype(np.float32)


def _stimuli() -> tuple[SceneStimulus, ...]:
    names = [f"grating {angle:03d} deg" for angle in range(0, 180, 15)]
    labels = ["gratings"] * 12
    names += [f"photo-{number}.png" for number in range(11)] + [HOSTILE_STIMULUS]
    labels += ["photographs"] * 11 + ["<b>hostile</b>"]
    names += [f"noise {number}" for number in range(6)]
    labels += [""] * 6
    random = np.random.default_rng(1)
    return tuple(
        SceneStimulus(name, label, _gabor(64, angle=number * 15.0, waves=2 + number % 5, hue=random.uniform(0, 1, 3)))
        for number, (name, label) in enumerate(zip(names, labels, strict=True))
    )


def _picture(unit: int, random: np.random.Generator, *, sign: int = 1) -> ScenePicture:
    hue = random.uniform(0, 1, 3)
    image = _gabor(SIZE, angle=unit * 37.0, waves=3 + unit % 9, hue=hue, ring=unit % 3 == 0)
    steps = np.arange(64)
    curve = sign * (12 * (1 - np.exp(-steps / 12)) + random.normal(0, 0.3, 64) + unit % 5)
    return ScenePicture(image, float(curve[-1]), curve.astype(np.float32))


def _crops(responses: np.ndarray) -> tuple[SceneCrop, ...]:
    """Of the four greatest responses, each where it cannot be confused with another."""
    order = np.argsort(-responses, kind="stable")[:4].tolist()
    hue = np.array([1.0, 0.5, 0.0])
    return tuple(
        SceneCrop(number, (0, 20 * rank, 30, 20 * rank + 30), _gabor(48, angle=45.0 * rank, waves=2, hue=hue))
        for rank, number in enumerate(order)
    )


def _gabor(size: int, *, angle: float, waves: float, hue: np.ndarray, ring: bool = False) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    turn = np.deg2rad(angle)
    phase = np.hypot(x, y) if ring else x * np.cos(turn) + y * np.sin(turn)
    wave = 0.5 + 0.5 * np.sin(np.pi * waves * phase)[..., None]
    fade = np.exp(-(x**2 + y**2))[..., None]
    colour = wave * hue + (1 - wave) * (1 - hue)
    return np.clip(255 * (fade * colour + (1 - fade) * 0.5), 0, 255).astype(np.uint8)
