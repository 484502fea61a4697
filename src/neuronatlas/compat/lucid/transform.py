"""Lucid's transforms by their old names. One draw serves the whole batch, as there."""

from __future__ import annotations

import math
from collections.abc import Sequence

from neuronatlas.compat.lucid.refusals import without_equal
from neuronatlas.errors import WrongInput
from neuronatlas.images.transforms import Chain, Composite, Jitter, Nothing, Pad, Part, Rotate, Scale, fuse


def _check(seed: object) -> None:
    if seed is not None:
        message = f"seed (={seed!r}) must be None: render_vis(..., seed=...) decides every random choice"
        raise WrongInput(message)


def pad(w: int, mode: str = "reflect", constant_value: float | str = 0.5) -> Pad:
    """A frame of ``w`` pixels, of what is beside it (``reflect``, in capitals or not) or of one value (``constant``)."""
    plain = mode.lower()
    if plain == "reflect":
        return Pad(w, "reflect")
    if plain != "constant" or isinstance(constant_value, str):
        message = f"mode (={mode!r}) must be 'reflect' or 'constant', and constant_value (={constant_value!r}) a number"
        raise WrongInput(message)
    return Pad(w, "constant", constant_value)


def jitter(d: int, seed: object = None) -> Jitter:
    """A random cut, ``d`` pixels smaller than the picture, as in Lucid; Lucent's moves it and keeps its size."""
    _check(seed)
    return Jitter(d, shared=True)


def random_scale(scales: Sequence[float], seed: object = None) -> Scale:
    """Another size, one of these factors."""
    _check(seed)
    return Scale(choices=tuple(map(float, scales)))


def random_rotate(angles: Sequence[float], units: str = "degrees", seed: object = None) -> Rotate:
    """A turn by one of these angles, in degrees or radians; outside the picture is black."""
    _check(seed)
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

crop_or_pad_to = without_equal(
    "crop_or_pad_to", "pictures are resized by themselves where the network takes one size alone"
)
normalize_gradient = without_equal(
    "normalize_gradient", 'use neuronatlas.render(..., optimiser="momentum"), which follows gradients of unit length'
)
