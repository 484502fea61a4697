"""Lucid's transforms by their old names. One draw serves the whole batch, as there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from neuronatlas.errors import WrongInput
from neuronatlas.images.transforms import Chain, Composite, Jitter, Nothing, Pad, Part, Rotate, Scale, fuse


def pad(w: int, mode: Literal["reflect", "constant"] = "reflect", constant_value: float = 0.5) -> Pad:
    """A frame of ``w`` pixels."""
    return Pad(w, mode, constant_value)


def jitter(d: int) -> Jitter:
    """A random cut, ``d`` pixels smaller than the picture, as in Lucid; Lucent's moves it and keeps its size."""
    return Jitter(d, shared=True)


def random_scale(scales: Sequence[float]) -> Scale:
    """Another size, one of these factors."""
    return Scale(choices=tuple(map(float, scales)))


def random_rotate(angles: Sequence[float], units: str = "degrees") -> Rotate:
    """A turn by one of these angles, in degrees or radians; outside the picture is black."""
    if units.lower() not in ("degrees", "radians", "rads", "rad"):
        message = f"units (={units!r}) must be 'degrees' or 'radians'"
        raise WrongInput(message)
    factor = 1.0 if units.lower() == "degrees" else 180 / math.pi
    return Rotate(choices=tuple(factor * angle for angle in angles), value=0.0, shared=True)


def collapse_alpha_random(sd: float = 0.5) -> Composite:
    """Pictures with a plane of opacity over smooth random ones."""
    return Composite(sd)


def compose(transforms: Sequence[Part]) -> Part:
    """The transforms in turn; none of them: nothing."""
    return fuse(Chain(tuple(transforms))) if transforms else Nothing()


standard_transforms = [
    pad(12, "constant", 0.5),
    jitter(8),
    random_scale([1 + (step - 5) / 50 for step in range(11)]),
    random_rotate([*range(-10, 11), *[0] * 5]),
    jitter(4),
]
"""Lucid's: lucid/optvis/transform.py."""
