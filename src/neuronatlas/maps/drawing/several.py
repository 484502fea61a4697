"""Several maps in one figure on one scale, so that they can be compared by eye."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from neuronatlas.errors import WrongInput
from neuronatlas.maps.drawing.axes import draw_picture, new_figure
from neuronatlas.maps.drawing.colouring import Colouring
from neuronatlas.maps.drawing.legends import add_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEGEND_MM = 24.0
_TITLE_MM = 7.0
_LONGEST_LINE = 24
"""Letters of a title at which it is broken, for a map of 40 mm."""


def small_multiples(
    pictures: Mapping[str, Float64[np.ndarray, "_ _"]],
    colouring: Colouring,
    *,
    columns: int | None = None,
    width_mm: float = 180.0,
    room: float = 1.0,
) -> tuple[Figure, dict[str, Axes]]:
    """One map for each title, row by row, with one legend: ``colouring`` holds for all of them.

    ``columns``: how many stand side by side (default: as near to a square as can be, at most five). ``room``: the
    width that a map has by its height, 1 being its own; 1.8 leaves space for names of units at its sides. Also gives the
    Axes of each title, to draw on.
    """
    if not pictures:
        message = "pictures is empty: give at least one map and its title"
        raise WrongInput(message)
    if columns is None:
        columns = min(5, int(np.ceil(np.sqrt(len(pictures)))))
    if columns < 1:
        message = f"columns {columns} must be at least 1"
        raise WrongInput(message)
    if not 1.0 <= room <= 10.0:
        message = f"room {room} must be from 1 to 10"
        raise WrongInput(message)
    columns = min(columns, len(pictures))
    each = max((width_mm - _LEGEND_MM) / columns, 5.0)
    rows = -(-len(pictures) // columns)
    figure = new_figure(width_mm, max(rows * (each / room + _TITLE_MM), 60.0))
    cells = [figure.add_subplot(rows, columns, place + 1) for place in range(len(pictures))]
    axes = dict(zip(pictures, cells, strict=True))
    for title, ax in axes.items():
        shown = draw_picture(ax, pictures[title], colouring)
        _title(ax, title, each)
    add_legend(shown, cells, colouring, *pictures.values())
    return figure, axes


def first_against_second(
    pictures: Mapping[str, Float64[np.ndarray, "_ _"]],
    difference: Float64[np.ndarray, "_ _"],
    colouring: Colouring,
    of_difference: Colouring,
    *,
    width_mm: float = 180.0,
) -> tuple[Figure, dict[str, Axes]]:
    """Two maps and their difference beside each other: one legend for the two, another for the difference.

    ``pictures`` holds two, the first of which the second is taken from. The Axes of the difference are under
    "first − second", with the titles given in place of the words.
    """
    if len(pictures) != 2:
        message = f"pictures holds {len(pictures)} maps: give two, whose difference is the third"
        raise WrongInput(message)
    first, second = pictures
    each = (width_mm - 2 * _LEGEND_MM) / 3
    figure = new_figure(width_mm, each + _TITLE_MM * 1.5)
    cells = [figure.add_subplot(1, 3, place + 1) for place in range(3)]
    axes = dict(zip((first, second, f"{first} − {second}"), cells, strict=True))
    for title, ax in axes.items():
        _title(ax, title, each)
    for title in (first, second):
        shown = draw_picture(axes[title], pictures[title], colouring)
    add_legend(shown, cells[:2], colouring, *pictures.values())
    add_legend(draw_picture(cells[2], difference, of_difference), cells[2:], of_difference, difference)
    return figure, axes


def _title(ax: Axes, text: str, width_mm: float) -> None:
    """The title in lines that fit the width; no letter of it is read as mathematics."""
    import textwrap

    letters = max(8, round(_LONGEST_LINE * width_mm / 40.0))
    ax.set_title("\n".join(textwrap.wrap(text, letters)), fontsize=8, parse_math=False)
