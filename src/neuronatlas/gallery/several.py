"""Recipes of several pictures: between two units, of one unit in several ways, of the places of a picture, of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from neuronatlas import objectives
from neuronatlas.errors import WrongInput
from neuronatlas.gallery.sheets import GAP, sheet
from neuronatlas.gallery.start import as_floats, resized
from neuronatlas.networks.base import Network
from neuronatlas.objectives import Objective
from neuronatlas.rendering import Rendering, render
from neuronatlas.units import Unit

What = str | Unit | Objective


def interpolate(
    network: Network, a: What, b: What, count: int = 5, *, layer: str | None = None, weight: float = 0.1, **changes: Any
) -> list[Rendering]:
    """Pictures of ``(1 - t) a + t b`` for ``count`` values of t from 0 to 1, with the same things in the same places.

    They are made together, with `objectives.alignment` in ``layer`` (by default the last of ``a``) at this ``weight``
    (Mordvintsev et al. 2018, "Differentiable Image Parameterizations", Distill: aligned interpolation).
    """
    first, second = _objective(a), _objective(b)
    row = objectives.interpolation(first, second, count)
    together = weight * objectives.alignment(_place(first, layer))
    return render(network, row, together=together, **changes)


def diversity(
    network: Network, unit: What, count: int = 4, *, layer: str | None = None, weight: float = 10.0, **changes: Any
) -> list[Rendering]:
    """``count`` pictures of one unit, as unlike each other as it allows (Olah et al. 2017).

    They are made together, with `objectives.diversity` in ``layer`` (by default the unit's own) at this ``weight``.
    """
    if count < 2:
        message = f"count (={count}) must be 2 or more: one picture has nothing to differ from"
        raise WrongInput(message)
    aim = _objective(unit)
    return render(network, [aim] * count, together=weight * objectives.diversity(_place(aim, layer)), **changes)


def both_signs(network: Network, unit: What, **changes: Any) -> tuple[Rendering, Rendering]:
    """What raises the unit, and what lowers it."""
    aim = _objective(unit)
    positive, negative = render(network, [aim, -aim], **changes)
    return positive, negative


def activation_grid(
    network: Network, picture: np.ndarray, layer: str, *, cell: int = 48, gap: int = 0, **changes: Any
) -> UInt8[np.ndarray, "height width 3"]:
    """What ``layer`` sees at each position of its map of ``picture``: a small picture each, as one array.

    A cell, ``cell`` pixels a side where the network takes that, is the picture of the direction of the position's
    activation (Olah et al. 2018, "The Building Blocks of Interpretability", Distill). The picture is brought to the
    network's input size first. Raises `WrongInput` for a layer without a map.
    """
    outputs = network.layer(layer).shape
    if len(outputs) != 3:
        message = f"layer {layer!r} has no map to make a grid of: its output has shape {outputs}"
        raise WrongInput(message)
    seen = objectives.outputs_of(network, resized(as_floats(network, picture), network.input.size), [layer])[layer]
    aims = [objectives.cosine(layer, vector) for vector in seen.flatten(1).T]
    cells = render(network, aims, **{"steps": 48, "canvas": cell, **changes})
    return sheet(cells, seen.shape[2], gap=gap)


def channels(
    network: Network, layers: Sequence[str], count: int = 6, *, gap: int = GAP, **changes: Any
) -> UInt8[np.ndarray, "height width 3"]:
    """A row of pictures a layer: ``count`` of its units, evenly spread from the first; fewer where it has fewer."""
    if count < 1:
        message = f"count (={count}) must be at least 1"
        raise WrongInput(message)
    if isinstance(layers, str) or not layers:
        message = f"layers (={layers!r}) must be a sequence of one or more names"
        raise WrongInput(message)
    rows = []
    for name in layers:
        units = network.layer(name).units
        rows.append(
            [f"{name}:{index * units // count}" for index in range(count)]
            if units > count
            else [f"{name}:{index}" for index in range(units)]
        )
    made = iter(render(network, [address for row in rows for address in row], **{"canvas": 80, **changes}))
    pictures = [[next(made).pixels for _ in row] for row in rows]
    blank = np.full((1, 1, 3), 255, np.uint8)
    filled = [picture for row in pictures for picture in [*row, *[blank] * (count - len(row))]]
    return sheet(filled, count, gap=gap)


def _objective(what: What) -> Objective:
    return what if isinstance(what, Objective) else objectives.unit(what)


def _place(aim: Objective, layer: str | None) -> str:
    """The layer to compare pictures in."""
    if layer is not None:
        return layer
    if not aim.layers:
        message = f"layer (=None) must be given: objective {aim.name!r} reads none"
        raise WrongInput(message)
    return aim.layers[-1]
