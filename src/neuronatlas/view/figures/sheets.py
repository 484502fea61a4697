"""Pages of pictures: some units of each layer, every unit of one layer, and a picture made of many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from neuronatlas.errors import WrongInput
from neuronatlas.units import Unit
from neuronatlas.view.figures.paper import GREY, Paper, check_counts, check_width, new_paper
from neuronatlas.view.figures.values import rendered
from neuronatlas.view.scene import Scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_EDGE = 2.0
"""Millimetres around a page."""
_GAP = 1.0
"""Between pictures."""
_LINE = 2.9
"""Under a picture, for its number."""
_HEAD = 5.0
"""Above the pictures of a layer, for its name."""
_SCORED = 12.0
"""A picture of so many millimetres has room for its score, too."""
_NARROWEST = 4.0
"""A picture has at least so many millimetres."""


def contact_sheet(
    scene: Scene, layers: Sequence[str] | None = None, *, columns: int = 8, rows: int = 2, width_mm: float = 180.0
) -> Figure:
    """``rows`` rows of ``columns`` pictures a layer (default: every layer that has any), with their units' numbers.

    From 12 mm a picture has its score as well.
    The units are evenly spread over those rendered; none is chosen for its looks. Raises
    `UnknownName` for a layer that is not there and `WrongInput` for one without pictures.
    """
    side = _side(columns, rows, width_mm)
    if layers is None:
        having = {scene.units[index].layer for index in scene.pictures}
        layers = [each.name for each in scene.layers if each.name in having]
    if isinstance(layers, str) or not layers:
        message = f"layers {layers!r} must be a sequence of one or more names of layers that have pictures"
        raise WrongInput(message)
    blocks: list[tuple[str, list[int]]] = []
    for layer in layers:
        shown = rendered(scene, layer)
        count = min(columns * rows, len(shown))
        blocks.append((layer, [shown[place * (len(shown) - 1) // max(count - 1, 1)] for place in range(count)]))
    height = sum(_HEAD + -(-len(units) // columns) * (side + _LINE) for _, units in blocks)
    paper = new_paper(width_mm, 2 * _EDGE + height)
    y = _EDGE
    for layer, units in blocks:
        y = _block(paper, scene, layer, units, y=y, columns=columns)
    return paper.figure


def layer_figures(
    scene: Scene, layer: str, *, columns: int = 10, rows: int = 12, width_mm: float = 180.0
) -> Iterator[Figure]:
    """Every unit of a layer that has a picture, in pages of at most ``rows`` rows of ``columns``, made one by one.

    Raises `UnknownName` for a layer that is not there and `WrongInput` for one without pictures.
    """
    side = _side(columns, rows, width_mm)
    units = rendered(scene, layer)
    size = columns * rows
    pages = -(-len(units) // size)

    def page(number: int) -> Figure:
        some = units[number * size : (number + 1) * size]
        paper = new_paper(width_mm, 2 * _EDGE + _HEAD + -(-len(some) // columns) * (side + _LINE))
        _block(paper, scene, layer, some, y=_EDGE, columns=columns, page=f"{number + 1} of {pages}" * (pages > 1))
        return paper.figure

    return (page(number) for number in range(pages))


def grid_figure(
    grid: UInt8[np.ndarray, "height width 3"],
    photograph: UInt8[np.ndarray, "high wide 3"] | None = None,
    *,
    title: str = "",
    width_mm: float = 180.0,
) -> Figure:
    """One picture across the page, as `gallery.activation_grid` makes it; beside it, equally high, its ``photograph``."""
    check_width(width_mm)
    shown = [grid] if photograph is None else [photograph, grid]
    shapes = [image.shape[1] / image.shape[0] for image in shown]
    high = (width_mm - 2 * _EDGE - _GAP * (len(shown) - 1)) / sum(shapes)
    head = _HEAD if title else 0.0
    paper = new_paper(width_mm, 2 * _EDGE + head + high)
    if title:
        paper.write(title, _EDGE, _EDGE + 3.0, width=width_mm - 2 * _EDGE, size=8)
    x = _EDGE
    for image, shape in zip(shown, shapes, strict=True):
        side = max(high, high * shape)
        paper.picture(image, x - (side - high * shape) / 2, _EDGE + head - (side - high) / 2, side)
        x += high * shape + _GAP
    return paper.figure


def _side(columns: int, rows: int, width_mm: float) -> float:
    """The side of a picture in millimetres."""
    check_width(width_mm)
    check_counts(columns=columns, rows=rows)
    side = (width_mm - 2 * _EDGE + _GAP) / columns - _GAP
    if side < _NARROWEST:
        most = int((width_mm - 2 * _EDGE + _GAP) / (_NARROWEST + _GAP))
        message = f"columns {columns} leave {max(side, 0):.1f} mm for a picture: at {width_mm:g} mm use at most {most}"
        raise WrongInput(message)
    return side


def _block(
    paper: Paper, scene: Scene, layer: str, units: Sequence[int], *, y: float, columns: int, page: str = ""
) -> float:
    """The name of a layer and its pictures from ``y`` on; where they end."""
    side = _side(columns, 1, paper.width)
    room = paper.width - 2 * _EDGE
    aside = 0.2 * room if page else 0.0
    paper.write(layer, _EDGE, y + 3.2, width=room - aside, size=7, bold=True)
    if page:
        paper.write(page, paper.width - _EDGE, y + 3.2, width=aside, align="right", colour=GREY)
    y += _HEAD
    for place, index in enumerate(units):
        row, column = divmod(place, columns)
        x, top = _EDGE + column * (side + _GAP), y + row * (side + _LINE)
        unit, picture = scene.units[index], scene.pictures[index]
        paper.picture(picture.image, x, top, side, name=str(unit))
        scored = side >= _SCORED
        paper.write(_number(unit), x, top + side + 2.0, width=side / 2 if scored else side, size=5.5)
        if scored:
            score = f"{picture.score:.3g}"
            paper.write(score, x + side, top + side + 2.0, width=side / 2, size=5.5, align="right", colour=GREY)
    return y + -(-len(units) // columns) * (side + _LINE)


def _number(unit: Unit) -> str:
    """The address within its layer."""
    return str(unit)[len(unit.layer) + 1 :]
