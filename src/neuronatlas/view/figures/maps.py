"""The response map of a scene for paper: by layer, by response, by a difference, with pictures; and many side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64, Int64

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps.circle import onto_disc
from neuronatlas.maps.drawing import (
    Colouring,
    add_legend,
    draw_layers,
    draw_picture,
    draw_points,
    levels,
    new_axes,
    small_multiples,
)
from neuronatlas.maps.drawing.axes import layer_colours
from neuronatlas.maps.drawing.colouring import DIVERGING, OTHER_COLOUR
from neuronatlas.maps.raster import METHODS, Raster
from neuronatlas.maps.scale import symmetric_limit
from neuronatlas.view.figures.paper import check_counts, check_width, distinct, fitted, plain
from neuronatlas.view.figures.thumbnails import GAP, LARGEST, LEAST_MM, lay_pictures, spread
from neuronatlas.view.figures.values import of_class, of_either, of_stimulus, scaled
from neuronatlas.view.scene import Scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WAYS = ("points", *METHODS)
_PIXELS_A_MM = 12
"""Of a map drawn as a picture: about 300 an inch."""
_MOST_PIXELS = 1500
_BAR_MM = 20.0
"""Room for the bar of the colours beside a map."""
_TITLE_MM = 6.0
_LINE_MM = 3.7
"""Height of a line of the names of layers."""
_NAMES = 0.6
"""The share of the width that the name of a layer may have."""
_NARROWEST_MAP_MM = 26.0
_DIFFERENCE = "difference of the responses of each unit, 1st to 99th percentile = 0 to 1"


def map_figure(
    scene: Scene,
    *,
    stimulus: str | None = None,
    label: str | None = None,
    minus: str | None = None,
    method: str = "points",
    circle: bool = False,
    pictures: int = 0,
    width_mm: float = 180.0,
) -> Figure:
    """The map of all units that have a place, ``width_mm`` wide.

    Coloured by layer; or by the response to a ``stimulus``, or the mean response to the stimuli of the class ``label``,
    each response from 0 to 1 as on the page; ``minus`` a stimulus or a class, in diverging colours about 0. ``method``:
    "points", "nearest" (each pixel shows its nearest unit) or "linear" (the plane through the three around it), the last
    two for responses alone. ``circle``: projected onto a disc. ``pictures``: so many feature visualizations lie at the
    places of their units, evenly spread and as large as fits without touching; fewer where they would be under 3 mm.
    Raises `UnknownName` and `WrongInput`.
    """
    check_width(width_mm)
    if method not in WAYS:
        raise UnknownName("method", method, WAYS)
    if pictures < 0:
        message = f"pictures {pictures} must be 0 or more"
        raise WrongInput(message)
    units, places = _places(scene, circle=circle)
    frames = ["black"] * len(units)
    if stimulus is None and label is None:
        _check_by_layer(method, minus)
        ax, frames = _by_layer(scene, units, places, width_mm=width_mm)
    else:
        values, colouring, names = _responses(scene, stimulus, label, minus)
        ax = new_axes(width_mm, width_mm - _BAR_MM + _TITLE_MM)
        shown = values[units]
        drawn = (
            draw_points(ax, places, shown, colouring)
            if method == "points"
            else draw_picture(ax, _raster(places, width_mm).draw(shown, method), colouring)
        )
        if minus is not None and method == "points":
            drawn.set(edgecolors=OTHER_COLOUR, linewidths=0.3)  # what is near 0 is as white as the paper
        title = " − ".join(fitted(name, 8, 0.66 * width_mm / len(names)) for name in names)
        ax.set_title(title, fontsize=8, parse_math=False)
        add_legend(drawn, [ax], colouring, shown[np.isfinite(shown)])
    if pictures:
        having = np.array([row for row, unit in enumerate(units) if int(unit) in scene.pictures], np.int64)
        if not len(having):
            message = "pictures: no unit on the map has one; build the atlas with --units of at least 1"
            raise WrongInput(message)
        chosen, apart = spread(places[having], pictures, LEAST_MM / GAP * 2.3 / (width_mm - _BAR_MM))
        rows = having[chosen]
        images = [scene.pictures[int(units[row])].image for row in rows]
        side = min(GAP * apart, LARGEST)
        lay_pictures(ax, places[rows], images, side=side, frames=[frames[row] for row in rows])
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def film_figure(
    scene: Scene,
    stimuli: Sequence[str] = (),
    labels: Sequence[str] = (),
    *,
    method: str = "nearest",
    circle: bool = False,
    columns: int | None = None,
    width_mm: float = 180.0,
) -> Figure:
    """A map for each of the stimuli, then the mean for each class of ``labels``, side by side on one scale.

    ``method``: "nearest" or "linear". ``columns``: how many stand in a row (default: as many as are 26 mm wide or more).
    Raises `UnknownName` and `WrongInput`.
    """
    check_width(width_mm)
    if method not in METHODS:
        raise UnknownName("method", method, METHODS)
    if isinstance(stimuli, str) or isinstance(labels, str) or not (stimuli or labels):
        message = f"stimuli {stimuli!r} and labels {labels!r} must be sequences of names, at least one in all"
        raise WrongInput(message)
    if columns is None:
        columns = max(1, int((width_mm - 24.0) / _NARROWEST_MAP_MM))
    check_counts(columns=columns)
    units, places = _places(scene, circle=circle)
    chosen = [*(of_stimulus(scene, name) for name in stimuli), *(of_class(scene, name) for name in labels)]
    titles = distinct([plain(name) for name in (*stimuli, *labels)])
    raster = _raster(places, width_mm / min(columns, len(chosen)))
    maps = {
        title: raster.draw(values[units], method) for title, values in zip(titles, scaled(scene, *chosen), strict=True)
    }
    return small_multiples(maps, levels("percentile"), columns=columns, width_mm=width_mm)[0]


def _places(scene: Scene, *, circle: bool) -> tuple[Int64[np.ndarray, " placed"], Float64[np.ndarray, "placed 2"]]:
    """The units that have a place, and where."""
    units = np.flatnonzero(np.isfinite(scene.positions).all(axis=1))
    if not len(units):
        message = f"none of the {len(scene.units)} units has a place on the map: build the atlas of more, other stimuli"
        raise WrongInput(message)
    places = scene.positions[units].astype(np.float64)
    return units, onto_disc(places) if circle else places


def _raster(places: Float64[np.ndarray, "placed 2"], width_mm: float) -> Raster:
    return Raster(places, int(np.clip(width_mm * _PIXELS_A_MM, 2, _MOST_PIXELS)))


def _check_by_layer(method: str, minus: str | None) -> None:
    """Refuse what is for responses alone."""
    if method != "points":
        message = f"method {method!r} draws responses: give a stimulus or a label, or use 'points' for the layers"
        raise WrongInput(message)
    if minus is not None:
        message = f"minus {minus!r} is taken from a stimulus or a label: give one"
        raise WrongInput(message)


def _by_layer(
    scene: Scene,
    units: Int64[np.ndarray, " placed"],
    places: Float64[np.ndarray, "placed 2"],
    *,
    width_mm: float,
) -> tuple[Axes, list[str]]:
    """The map coloured by layer, and the colour of each unit."""
    names = [layer.name for layer in scene.layers]
    short = distinct([fitted(name, 7, _NAMES * width_mm) for name in names])
    called = dict(zip(names, short, strict=True))
    layers = [called[scene.units[unit].layer] for unit in units]
    colours = layer_colours(layers)
    longest = max(len(layer) for layer in colours)
    columns = max(1, int(0.775 * width_mm / ((longest + 6) * 1.45)))
    rows = -(-min(len(colours), 9) // columns)
    ax = new_axes(width_mm, width_mm + 3.0 + rows * _LINE_MM)
    draw_layers(ax, places, layers)
    return ax, [colours[layer] for layer in layers]


def _responses(
    scene: Scene, stimulus: str | None, label: str | None, minus: str | None
) -> tuple[Float64[np.ndarray, " units"], Colouring, tuple[str, ...]]:
    """A number for each unit, its colours, and what is shown: a name, and the one that is taken from it."""
    if stimulus is not None and label is not None:
        message = f"stimulus {stimulus!r} and label {label!r} are both given: one map shows one of them"
        raise WrongInput(message)
    first: Bool[np.ndarray, " stimuli"]
    title, first = (
        (stimulus, of_stimulus(scene, stimulus)) if stimulus is not None else (str(label), of_class(scene, str(label)))
    )
    if minus is None:
        return scaled(scene, first)[0], levels("percentile"), (title,)
    values, others = scaled(scene, first, of_either(scene, minus))
    difference = values - others
    limit = symmetric_limit(difference)
    return difference, Colouring(_DIFFERENCE, -limit, limit, DIVERGING), (title, minus)
