"""A map on matplotlib Axes: pictures, points, how dense they lie, layers, and the names of a few units.

Nothing opens and pyplot knows none of the figures. Everything spans -1..1 both ways, y upwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64, Int64

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps.drawing.colouring import LAYER_COLOURS, OTHER_COLOUR, Colouring
from neuronatlas.maps.drawing.legends import MILLIMETRES, add_legend, layer_legend, size_mm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

MOST_NAMED = 24
_LINE_MM = 3.1
"""Height of a line of 7 points."""
_SQUEEZED = 0.75
"""The share of its size that a map with names keeps, about, when a layout makes room for them."""
_FAINTEST = 0.3
"""Where in the greys those of a density begin: at a fifth of the way to black in lightness."""
_FINE = 500
"""Pixels a side from which a line around pixels looks as if it followed their edges."""


def new_figure(width_mm: float, height_mm: float) -> Figure:
    """An empty figure of this size that belongs to whoever holds it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_mm / MILLIMETRES, height_mm / MILLIMETRES), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_axes(width_mm: float = 127.0, height_mm: float = 127.0) -> Axes:
    """Empty Axes in a figure of their own."""
    return new_figure(width_mm, height_mm).add_subplot()


def draw_picture(ax: Axes, picture: Float64[np.ndarray, "side side"], colouring: Colouring) -> AxesImage:
    """A picture of a `raster.Raster` or a `grid.Grid` over -1..1, each pixel a square.

    (The outer pixels of a raster are centred on the edge of -1..1; here they are moved inwards by half a pixel.) NaN is
    blank; infinite values have the colours of the ends. On a scale about 0 a thin grey line divides what is blank from
    what is near 0, since both are white.
    """
    image = ax.imshow(
        colouring.drawable(picture),
        cmap=colouring.colours,
        vmin=colouring.low,
        vmax=colouring.high,
        origin="lower",
        extent=(-1.0, 1.0, -1.0, 1.0),
        aspect="equal",
        interpolation="nearest",
    )
    if colouring.low == -colouring.high:
        _outline(ax, ~np.isnan(picture), OTHER_COLOUR, 0.5)
    ax.set_axis_off()
    return image


def draw_points(
    ax: Axes, positions: Float64[np.ndarray, "units 2"], values: Float64[np.ndarray, " units"], colouring: Colouring
) -> PathCollection:
    """A dot for each unit that has a value, the largest above; a unit without one (NaN) is a small grey dot."""
    known = ~np.isnan(values)
    order = np.argsort(np.where(known, np.abs(values), -1.0), kind="stable")[int((~known).sum()) :]
    lost = positions[~known]
    ax.scatter(
        lost[:, 0], lost[:, 1], s=_dot(ax, len(values)) / 4, c=OTHER_COLOUR, linewidths=0, rasterized=len(lost) > 5000
    )
    dots = ax.scatter(
        positions[order, 0],
        positions[order, 1],
        c=colouring.drawable(values[order]),
        cmap=colouring.colours,
        vmin=colouring.low,
        vmax=colouring.high,
        s=_dot(ax, len(values)),
        linewidths=0,
        rasterized=len(values) > 5000,
    )
    _frame(ax)
    return dots


def draw_density(ax: Axes, positions: Float64[np.ndarray, "units 2"], cells: int = 40) -> AxesImage:
    """How many units lie in each of ``cells`` x ``cells`` squares, blank where none; the legend is its own.

    The greys begin at 1, with one that can be told from blank.
    """
    import matplotlib as mpl
    from matplotlib.colors import ListedColormap

    if cells < 1:
        message = f"cells {cells} must be at least 1 a side: 40 is usual"
        raise WrongInput(message)
    counts = np.histogram2d(positions[:, 1], positions[:, 0], bins=cells, range=[[-1, 1], [-1, 1]])[0]
    picture = np.where(counts > 0, counts, np.nan)
    greys = ListedColormap(mpl.colormaps["Greys"](np.linspace(_FAINTEST, 1.0, 256)), "greys that show")
    colouring = Colouring(f"units in each of {cells} x {cells} squares", 1.0, max(counts.max(), 2.0), greys)
    image = draw_picture(ax, picture, colouring)
    add_legend(image, [ax], colouring, picture)
    return image


def layer_colours(layers: Sequence[str]) -> dict[str, str]:
    """A colour for each layer, in the order in which they first occur; ``layers`` names that of each unit.

    Only so many are coloured as can be told apart: of more than eight layers the eight with the most units, and all
    others are grey.
    """
    counts = Counter(layers)
    place = {layer: index for index, layer in enumerate(counts)}
    largest = sorted(counts, key=lambda layer: (-counts[layer], place[layer]))[: len(LAYER_COLOURS)]
    colours = iter(LAYER_COLOURS)
    return {layer: next(colours) if layer in set(largest) else OTHER_COLOUR for layer in counts}


def draw_layers(ax: Axes, positions: Float64[np.ndarray, "units 2"], layers: Sequence[str]) -> None:
    """A dot for each unit in the colour of its layer, and a legend that names the layers and how many are grey."""
    colours = layer_colours(layers)
    paint = np.array([colours[layer] for layer in layers])
    order = np.argsort(paint != OTHER_COLOUR, kind="stable")  # grey below
    ax.scatter(
        positions[order, 0],
        positions[order, 1],
        c=paint[order],
        s=_dot(ax, len(layers)),
        linewidths=0,
        rasterized=len(layers) > 5000,
    )
    _frame(ax)
    layer_legend(ax, colours, marker="o")


def outline_layers(
    ax: Axes, labels: Int64[np.ndarray, "side side"], layers: Sequence[str], only: str | Sequence[str] | None = None
) -> None:
    """Lines around where the nearest unit is of one layer, in the colour of the layer, over a picture drawn before.

    ``labels``: `Raster.labels` or `Grid.labels` of that picture. ``only``: the layer or layers to outline, which have the
    colours among themselves (default: all that have a colour of their own). Raises `UnknownName` for others.
    """
    number = {layer: index for index, layer in enumerate(dict.fromkeys(layers))}
    chosen = list(number) if only is None else [only] if isinstance(only, str) else list(only)
    for layer in chosen:
        if layer not in number:
            raise UnknownName("layer", layer, number)
    colours = layer_colours([layer for layer in layers if layer in set(chosen)])
    drawn = {layer: colour for layer, colour in colours.items() if only is not None or colour != OTHER_COLOUR}
    region = np.array([*(number[layer] for layer in layers), -1])[labels]
    for layer, colour in drawn.items():
        _outline(ax, region == number[layer], colour, 1.2)
    layer_legend(ax, drawn, marker="")


def name_units(ax: Axes, positions: Float64[np.ndarray, "units 2"], names: Mapping[int, str]) -> None:
    """The names of a few units (by index), in the margins left and right of the map, a line from each to its unit.

    Raises `WrongInput` for more than `MOST_NAMED`, and for a unit that has no place.
    """
    if len(names) > MOST_NAMED:
        message = f"names holds {len(names)} units, more than the {MOST_NAMED} that can be read: choose a few"
        raise WrongInput(message)
    for unit, name in names.items():
        if not (0 <= unit < len(positions) and np.isfinite(positions[unit]).all()):
            message = (
                f"names holds unit {unit} ({name!r}), which has no finite place among the {len(positions)} positions"
            )
            raise WrongInput(message)
    line = 2.0 * _LINE_MM / (_SQUEEZED * min(size_mm(ax)))
    across = sorted(names, key=lambda unit: (positions[unit, 0], unit))
    for side, mine in ((-1.0, across[: len(across) // 2]), (1.0, across[len(across) // 2 :])):
        mine.sort(key=lambda unit: (positions[unit, 1], unit))
        gap = line * max((names[unit].count("\n") + 1 for unit in mine), default=1)
        for unit, height in zip(mine, _spread(positions[mine, 1], gap), strict=True):
            leader = {"arrowstyle": "-", "color": "black", "linewidth": 0.6, "shrinkA": 1, "shrinkB": 0}
            place = (1.06 * side, height)
            align = "left" if side > 0 else "right"
            ax.annotate(
                names[unit],
                (positions[unit, 0], positions[unit, 1]),
                place,
                ha=align,
                va="center",
                fontsize=7,
                annotation_clip=False,
                arrowprops=leader,
                parse_math=False,
            )
            ax.plot(*positions[unit], "o", markersize=3.5, markerfacecolor="none", markeredgecolor="black", mew=0.8)


def _outline(ax: Axes, inside: Bool[np.ndarray, "side side"], colour: str, width: float) -> None:
    """A line around pixels of a picture over -1..1."""
    if not inside.any():
        return
    times = -(-_FINE // len(inside))
    fine = np.pad(np.repeat(np.repeat(inside, times, axis=0), times, axis=1).astype(np.float64), 1)
    step = 2.0 / (len(fine) - 2)
    middles = -1.0 + step * (np.arange(len(fine)) - 0.5)
    ax.contour(middles, middles, fine, levels=[0.5], colors=[colour], linewidths=width)
    ax.set_xlim(-1.0 - step, 1.0 + step)
    ax.set_ylim(-1.0 - step, 1.0 + step)


def _frame(ax: Axes) -> None:
    ax.set_aspect("equal")
    ax.set_xlim(-1.03, 1.03)
    ax.set_ylim(-1.03, 1.03)
    ax.set_axis_off()


def _dot(ax: Axes, units: int) -> float:
    """The area of a dot in square points: an eighth of the Axes is covered, within what can be seen."""
    return float(np.clip((size_mm(ax)[0] / MILLIMETRES * 72) ** 2 / 8 / max(units, 1), 0.5, 40.0))


def _spread(heights: Float64[np.ndarray, " names"], gap: float) -> Float64[np.ndarray, " names"]:
    """Rising heights within -1..1, moved so that neighbours keep ``gap`` apart, or less where there is no room."""
    gap = min(gap, 2.0 / max(len(heights) - 1, 1))
    moved = heights.copy()
    for index in range(1, len(moved)):
        moved[index] = max(moved[index], moved[index - 1] + gap)
    if len(moved) and moved[-1] > 1.0:
        moved[-1] = 1.0
        for index in range(len(moved) - 2, -1, -1):
            moved[index] = min(moved[index], moved[index + 1] - gap)
    return moved
