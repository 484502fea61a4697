"""How a picture is optimised: Lucid's published numbers, and ours, and what a network and a layer make of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.networks.base import Network


@dataclass(frozen=True)
class Recipe:
    """How a picture is optimised.

    ``canvas`` is the side of the finished picture in pixels; None: the receptive field of the layer, from 64 to
    ``largest`` and never above the network's input. A neuron at a position of its layer's map is drawn on the whole
    input, where positions are counted. ``margin`` pixels around it are optimised and cut away, so that no
    frame shows. ``learning_rate`` falls linearly to nothing for "momentum" (ascent along each picture's gradient at
    unit length, with momentum 0.9) and is constant for "adam".
    """

    preset: str
    steps: int
    optimiser: Literal["adam", "momentum"]
    learning_rate: float
    transform: Literal["affine", "lucid"]
    canvas: int | None
    margin: int
    contrast_cap: float | None
    sd: float = 0.01
    largest: int = 160


PRESETS = {
    # Lucid's published defaults (lucid/optvis/render.py and param/images.py): Adam 0.05, 512 steps, 128 pixels.
    "lucid": Recipe("lucid", 512, "adam", 0.05, "lucid", canvas=128, margin=0, contrast_cap=None),
    # Ours; the reason for each difference: docs/design/0002-the-fast-recipe.md.
    "fast": Recipe("fast", 96, "momentum", 3.0, "affine", canvas=None, margin=8, contrast_cap=1.8),
}


def recipe_of(preset: str, **changes: object) -> Recipe:
    """The recipe of a preset with some of its fields replaced; raises `UnknownName`."""
    if preset not in PRESETS:
        raise UnknownName("preset", preset, PRESETS)
    for name in changes:
        if name not in Recipe.__dataclass_fields__ or name == "preset":
            raise UnknownName("setting", name, [field for field in Recipe.__dataclass_fields__ if field != "preset"])
    recipe = replace(PRESETS[preset], **changes)  # type: ignore[arg-type]
    for name, sound, rule in (
        ("steps", recipe.steps >= 1, "at least 1"),
        ("canvas", recipe.canvas is None or recipe.canvas >= 1, "at least 1, or None"),
        ("margin", recipe.margin >= 0, "0 or more"),
        ("largest", recipe.largest >= 1, "at least 1"),
        ("contrast_cap", recipe.contrast_cap is None or recipe.contrast_cap > 0, "above 0, or None"),
        ("learning_rate", recipe.learning_rate > 0, "above 0"),
        ("optimiser", recipe.optimiser in ("adam", "momentum"), "'adam' or 'momentum'"),
        ("transform", recipe.transform in ("affine", "lucid"), "'affine' or 'lucid'"),
    ):
        if not sound:
            message = f"{name} (={getattr(recipe, name)!r}) must be {rule}"
            raise WrongInput(message)
    return recipe


def fit_canvas(network: Network, layers: Sequence[str], recipe: Recipe, *, whole: bool = False) -> Recipe:
    """The recipe with its canvas settled: as large as the target's receptive field needs, if the network takes it.

    With ``whole`` it is the network's input, without a margin.
    """
    height, width = network.input.size
    side = min(height, width)
    if whole and height != width:
        message = f"network {network.name!r} takes {height} x {width} pixels: a position counts only on a square input"
        raise WrongInput(message)
    if whole:
        recipe = replace(recipe, canvas=side, margin=0)
    canvas = recipe.canvas
    if canvas is None:
        field = max(network.receptive_fields(layers).values())
        canvas = min(max(64, min(-(-field // 16) * 16, recipe.largest)), side)
    if takes(network, layers, canvas + 2 * recipe.margin):
        return replace(recipe, canvas=canvas)
    if not takes(network, layers, side):
        tried = f"{canvas + 2 * recipe.margin} x {canvas + 2 * recipe.margin} nor {side} x {side} pixels"
        message = f"network {network.name!r} takes neither {tried}: its input_size is {height} x {width}"
        raise WrongInput(message)
    return replace(recipe, canvas=side, margin=0)


def tile_size(recipe: Recipe) -> int:
    """Pictures a tile: a power of two up to 16, with at most 2^17 pixels together where that leaves more than one.

    Measured on two cores: 16 pictures of 80 pixels and 4 of 176 are within a tenth of the best time a picture.
    """
    side = (recipe.canvas or recipe.largest) + 2 * recipe.margin
    room = max(1, min(16, (1 << 17) // side**2))
    return int(1 << (room.bit_length() - 1))


def takes(network: Network, layers: Sequence[str], side: int) -> bool:
    """Does the network take square pictures of this side, as far as these layers?"""
    image = torch.full((1, network.input.channels, side, side), 0.5)
    try:
        with torch.no_grad(), network.capture(layers) as run:
            run(image)
    except (RuntimeError, ValueError, AssertionError):
        return False
    return True
