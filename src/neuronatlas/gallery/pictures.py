"""Recipes that take a picture: dreams, styles, caricatures, accentuation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neuronatlas import objectives
from neuronatlas.errors import WrongInput
from neuronatlas.gallery.start import Start, as_floats, resized, settled, size_of
from neuronatlas.networks.base import Network
from neuronatlas.objectives import Objective
from neuronatlas.rendering import Rendering, render
from neuronatlas.units import Unit

What = str | Unit | Objective


def deepdream(network: Network, picture: np.ndarray, layer: str, **changes: Any) -> Rendering:
    """The picture, changed until ``layer`` holds more of whatever it holds (Mordvintsev et al. 2015).

    More steps or a higher ``learning_rate`` dream further away.
    """
    start = Start.at(network, picture, [layer], {"steps": 48, "learning_rate": 3.0, **changes})
    return render(network, objectives.deepdream(layer), **start.changes)


def style_transfer(
    network: Network,
    content: np.ndarray,
    style: np.ndarray,
    *,
    content_layer: str,
    style_layers: Sequence[str],
    weight: float = 1.0,
    **changes: Any,
) -> Rendering:
    """The picture ``content``, changed until its ``style_layers`` have the Gram matrices of ``style`` (Gatys et al. 2016).

    ``weight`` is that of the style, summed over its layers, against the difference from the content in
    ``content_layer``; both are mean absolute differences, as in Mordvintsev et al. 2018 ("Differentiable Image
    Parameterizations", Distill). The style is brought to the size of the canvas, its sides too.
    """
    start = Start.at(network, content, [content_layer, *style_layers], {"steps": 64, "learning_rate": 1.5, **changes})
    shown = resized(as_floats(network, style), (start.canvas.shape[0], start.canvas.shape[1]))
    kept = objectives.outputs_of(network, start.canvas, [content_layer])
    wanted = objectives.outputs_of(network, shown, style_layers)
    distance = objectives.activation_difference(style_layers, wanted, transform=objectives.gram)
    objective = -objectives.content(content_layer, kept[content_layer]) - weight * distance
    return render(network, objective, **start.changes)


def caricature(network: Network, picture: np.ndarray, layer: str, *, power: float = 1.0, **changes: Any) -> Rendering:
    """A picture made from noise that is to ``layer`` what ``picture`` is, only more so.

    ``power`` is that of the cosine in `objectives.caricature`: at 0, Lucid's default (lucid/recipes/caricature.py),
    contours and contrast are the strongest; higher ones keep closer to the picture.
    """
    values = as_floats(network, picture)
    recipe = settled(network, values, [layer], changes)
    target = objectives.outputs_of(network, resized(values, size_of(recipe)), [layer])[layer]
    made = {"steps": 64, **changes, "canvas": recipe.canvas}
    return render(network, objectives.caricature(layer, target, power), **made)


def accentuate(
    network: Network,
    picture: np.ndarray,
    unit: What,
    *,
    weight: float = 10.0,
    layer: str | None = None,
    **changes: Any,
) -> Rendering:
    """The picture, changed until ``unit`` finds more of what it looks for, and no more than that (Hamblin et al. 2024).

    ``weight`` holds it back: that of the distance from the picture, which is the root of the mean squared difference of
    the pixels (in 0..1), or with ``layer`` the mean absolute difference of that layer's outputs. With pixels the recipe's
    ``margin`` is 0, since a margin has no picture to be compared with.
    """
    aim = unit if isinstance(unit, Objective) else objectives.unit(unit)
    if weight < 0:
        message = f"weight (={weight}) must be 0 or more"
        raise WrongInput(message)
    for each in aim.units:
        network.check(each)
    read = [*aim.layers, *([] if layer is None else [layer])]
    start = Start.at(
        network,
        picture,
        read,
        {"steps": 48, "learning_rate": 0.5, **changes, **({"margin": 0} if layer is None else {})},
        whole=any(each.position is not None for each in aim.units),
    )
    if layer is None:
        distance = objectives.input_difference(start.canvas.transpose(2, 0, 1))
    else:
        distance = objectives.content(layer, objectives.outputs_of(network, start.canvas, [layer])[layer])
    return render(network, aim - weight * distance, **start.changes)
