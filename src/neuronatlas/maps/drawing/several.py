"""Several maps in one figure on one scale, so that they can be compared by eye."""

from __future__ import annotations

import textwrap
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
_TITLE_MM = 3.6
"""Room around a title."""
_LINE_MM = 3.4
"""Height of a line of a title."""
_MOST_LINES = 3
_LONGEST_LINE = 22
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
    lines = {title: _lines(title, each) for title in pictures}
    figure = new_figure(width_mm, max(rows * each / room + _height(lines, columns), 60.0))
    cells = [figure.add_subplot(rows, columns, place + 1) for place in range(len(pictures))]
    axes = dict(zip(pictures, cells, strict=True))
    for title, ax in axes.items():
        shown = draw_picture(ax, pictures[title], colouring)
        _title(ax, lines[title])
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
    third = f"{first} − {second}"
    lines = {title: _lines(title, each) for title in (first, second, third)}
    if "…" in lines[third][-1]:  # both names, if only their beginnings
        lines[third] = [*_lines(first, each, most=1), *_lines(f"− {second}", each, most=1)]
    figure = new_figure(width_mm, each + _TITLE_MM + _height(lines, 3))
    cells = [figure.add_subplot(1, 3, place + 1) for place in range(3)]
    axes = dict(zip(lines, cells, strict=True))
    for title, ax in axes.items():
        _title(ax, lines[title])
    for title in (first, second):
        shown = draw_picture(axes[title], pictures[title], colouring)
    add_legend(shown, cells[:2], colouring, *pictures.values())
    add_legend(draw_picture(cells[2], difference, of_difference), cells[2:], of_difference, difference)
    return figure, axes


def _lines(title: str, width_mm: float, most: int = _MOST_LINES) -> list[str]:
    """The title in lines that fit the width; what is too long for ``most`` of them ends in an ellipsis."""
    letters = max(8, round(_LONGEST_LINE * width_mm / 40.0))
    lines = textwrap.wrap(title, letters)
    if len(lines) > most:
        lines[most - 1 :] = [lines[most - 1][: letters - 1].rstrip(" ,;") + "…"]
    return lines


def _height(lines: Mapping[str, list[str]], columns: int) -> float:
    """The room in millimetres that the titles of all rows need."""
    counts = [len(each) for each in lines.values()]
    rows = [max(counts[start : start + columns]) for start in range(0, len(counts), columns)]
    return sum(_TITLE_MM + _LINE_MM * count for count in rows)


def _title(ax: Axes, lines: list[str]) -> None:
    """No letter of a title is read as mathematics."""
    ax.set_title("\n".join(lines), fontsize=8, parse_math=False)
