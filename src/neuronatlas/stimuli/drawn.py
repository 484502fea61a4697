"""The classic stimuli of vision science, drawn by formula: gratings, checkerboards, curves, bars, edges, noise, colours.

Conventions. Values are sRGB-encoded, mid grey is 0.5, and a pattern p in -1..1 becomes ``0.5 + 0.45 p d`` with the colour
direction d: a Michelson contrast of 0.9 in grey. Spatial frequency is in cycles a picture. Orientation is that of the bars, in
degrees counter-clockwise from horizontal: 0 lies, 90 stands. A pixel is the mean of 4 x 4 samples, so that nothing
aliases that a pixel can hold; frequencies above half the number of pixels fade.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float64, UInt8

from neuronatlas.stimuli.base import Stimulus, StimulusSet

Pattern = Float64[np.ndarray, "side side"]

VERSION = "drawn 1"
"""Stands in every identity: it changes when a formula does."""
SAMPLES = 4
ORIENTATIONS = tuple(range(0, 180, 15))
FREQUENCIES = (4, 8, 16, 32, 64)
COLOURS = {
    # Directions in RGB; the coloured ones keep the luma of Rec. 709 (0.2126 R + 0.7152 G + 0.0722 B) of the encoded values.
    "grey": (1.0, 1.0, 1.0),
    "red-green": (1.0, -0.2126 / 0.7152, 0.0),
    "blue-yellow": (-0.0722 / 0.9278, -0.0722 / 0.9278, 1.0),
}
UNIFORM = {
    "black": (0.0, 0.0, 0.0),
    "dark grey": (0.25, 0.25, 0.25),
    "grey": (0.5, 0.5, 0.5),
    "light grey": (0.75, 0.75, 0.75),
    "white": (1.0, 1.0, 1.0),
    "red": (1.0, 0.0, 0.0),
    "yellow": (1.0, 1.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "cyan": (0.0, 1.0, 1.0),
    "blue": (0.0, 0.0, 1.0),
    "magenta": (1.0, 0.0, 1.0),
}


def vision_science() -> StimulusSet:
    """All of them, 321 in seven families; the label is the family, the name says the rest."""
    return StimulusSet(
        (*_gratings(), *_checkerboards(), *_curves(), *_edges(), *_bars(), *_noises(), *_uniform_fields())
    )


def _gratings() -> list[Stimulus]:
    return [
        _stimulus(
            f"grating/orientation={angle:03d}/frequency={frequency}/colour={colour}",
            partial(grating, angle, frequency),
            colour,
        )
        for colour in COLOURS
        for frequency in FREQUENCIES
        for angle in ORIENTATIONS
    ]


def _checkerboards() -> list[Stimulus]:
    return [
        _stimulus(
            f"checkerboard/orientation={angle:03d}/frequency={frequency}/colour={colour}",
            partial(checkerboard, angle, frequency),
            colour,
        )
        for colour in ("grey", "red-green")
        for frequency in FREQUENCIES
        for angle in (0, 45)
    ]


def _curves() -> list[Stimulus]:
    made = []
    for frequency in (8, 16):
        made.append(
            _stimulus(f"curve/radius=0.00/towards=000/frequency={frequency}", partial(rings, 0, 0.0, frequency))
        )
        for radius in (0.25, 0.5, 1.0):
            for angle in range(0, 360, 45):
                name = f"curve/radius={radius:.2f}/towards={angle:03d}/frequency={frequency}"
                made.append(_stimulus(name, partial(rings, angle, radius, frequency)))
    return made


def _edges() -> list[Stimulus]:
    return [_stimulus(f"edge/orientation={angle:03d}", partial(edge, angle)) for angle in range(0, 360, 30)]


def _bars() -> list[Stimulus]:
    return [
        _stimulus(f"bar/orientation={angle:03d}/width={width:.2f}/{word}", partial(bar, angle, width, sign))
        for word, sign in (("bright", 1.0), ("dark", -1.0))
        for width in (0.05, 0.15)
        for angle in range(0, 180, 30)
    ]


def _noises() -> list[Stimulus]:
    return [
        _stimulus(f"noise/exponent={exponent}/seed={seed}", partial(noise, exponent, seed))
        for exponent in (0, 1, 2)
        for seed in range(8)
    ]


def _uniform_fields() -> list[Stimulus]:
    return [
        Stimulus(f"uniform/{name}", "uniform", f"{VERSION} {colour}", partial(_field, colour))
        for name, colour in UNIFORM.items()
    ]


def grating(orientation: float, frequency: float, size: int) -> Pattern:
    """A sine wave whose bars run along ``orientation``; the phase is that of a sine at the middle."""
    across, _ = _axes(orientation, size)
    return _pixels(np.sin(2 * np.pi * frequency * across))


def checkerboard(orientation: float, frequency: float, size: int) -> Pattern:
    """Squares of half a cycle's side, in rows along ``orientation``."""
    across, along = _axes(orientation, size)
    row, place = np.floor(2 * frequency * across), np.floor(2 * frequency * along)
    return _pixels(1.0 - 2.0 * ((row + place) % 2))


def rings(towards: float, radius: float, frequency: float, size: int) -> Pattern:
    """Concentric sine rings; at the middle of the picture they have this radius (in pictures), their centre lies ``towards``."""
    x, y = _plane(size)
    angle = np.deg2rad(towards)
    distance = np.hypot(x - radius * np.cos(angle), y - radius * np.sin(angle))
    return _pixels(np.sin(2 * np.pi * frequency * distance))


def edge(orientation: float, size: int) -> Pattern:
    """A step through the middle along ``orientation``, bright on its left."""
    across, _ = _axes(orientation, size)
    return _pixels(np.sign(across))


def bar(orientation: float, width: float, sign: float, size: int) -> Pattern:
    """One bar through the middle along ``orientation``, ``width`` pictures wide, on mid grey."""
    across, _ = _axes(orientation, size)
    return _pixels(np.where(np.abs(across) <= width / 2, sign, 0.0))


def noise(exponent: float, seed: int, size: int) -> Pattern:
    """Gaussian noise whose amplitude falls as 1/frequency^exponent, three standard deviations filling the range."""
    white = np.random.default_rng(seed).standard_normal((size, size))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = np.inf  # no mean
    shaped = np.fft.irfft2(np.fft.rfft2(white) / frequency**exponent, s=(size, size))
    if exponent == 0:
        shaped = white - white.mean()
    return np.clip(shaped / (3 * shaped.std()), -1, 1)


def _stimulus(name: str, draw: Callable[[int], Pattern], colour: str = "grey") -> Stimulus:
    return Stimulus(name, name.split("/", maxsplit=1)[0], f"{VERSION} {name}", partial(_coloured, draw, colour))


def _coloured(draw: Callable[[int], Pattern], colour: str, size: int) -> UInt8[np.ndarray, "size size 3"]:
    return _bytes(0.5 + 0.45 * draw(size)[:, :, None] * np.array(COLOURS[colour]))


def _field(colour: tuple[float, float, float], size: int) -> UInt8[np.ndarray, "size size 3"]:
    return np.broadcast_to(_bytes(np.array(colour)), (size, size, 3)).copy()


def _plane(size: int) -> tuple[Pattern, Pattern]:
    """The coordinates x to the right and y upwards at every sample, in pictures, 0 at the middle."""
    side = size * SAMPLES
    axis = (np.arange(side) + 0.5) / side - 0.5
    return np.broadcast_to(axis[None, :], (side, side)), np.broadcast_to(-axis[:, None], (side, side))


def _axes(orientation: float, size: int) -> tuple[Pattern, Pattern]:
    """Coordinates across and along bars of this orientation, in pictures."""
    x, y = _plane(size)
    angle = np.deg2rad(orientation)
    return y * np.cos(angle) - x * np.sin(angle), x * np.cos(angle) + y * np.sin(angle)


def _pixels(samples: Pattern) -> Float64[np.ndarray, "size size"]:
    """The mean of the samples of each pixel."""
    size = samples.shape[0] // SAMPLES
    return samples.reshape(size, SAMPLES, size, SAMPLES).mean((1, 3))


def _bytes(values: Float64[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """The nearest byte; what a machine's own sine leaves in the last places never decides between two."""
    return np.rint(np.round(np.clip(values, 0, 1) * 255, 6)).astype(np.uint8)
