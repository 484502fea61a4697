"""The sheet of one unit: its picture, what excites it most and least, its responses, and its nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from neuronatlas.maps.drawing.colouring import LAYER_COLOURS
from neuronatlas.units import Unit
from neuronatlas.view.figures.paper import GREY, Paper, check_counts, check_width, fitted, new_paper, wrapped
from neuronatlas.view.figures.values import classes, mean, of_class, unit_index
from neuronatlas.view.scene import Scene
from neuronatlas.view.scripts import BEST, best

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CLASSES = 12
"""So many classes have a bar; of more, those with the greatest means."""
_EDGE = 3.0
_GAP = 1.5
_HEAD = 10.0
"""For the address and what it is."""
_TITLE = 5.0
"""Above a row of pictures."""
_LINE = 2.2
"""Under a picture, the height of a line."""
_MOST_LINES = 3
"""Of a name under a picture."""
_PLOT = 23.0
"""The least height of a plot with its labels."""
_BESIDE = 80.0
"""On a page so wide the plots stand beside the picture, else below."""
_BAR = 3.2
"""The height of a class."""
_AXIS = 8.0
"""Under a plot, for its numbers and its label."""
_COLOUR = LAYER_COLOURS[0]


def unit_figure(scene: Scene, unit: Unit | str, *, count: int = 6, width_mm: float = 180.0) -> Figure:
    """All that a scene knows of one unit, on a page ``width_mm`` wide.

    Its picture and the curve of the score; its responses over the stimuli; the ``count`` stimuli (at most 8) that excite
    it most and least; its ``count`` nearest neighbours with their correlations; and its mean response to each class, where
    the stimuli have labels. Stimuli and classes without a finite response are left out. Raises `UnknownName`.
    """
    check_width(width_mm)
    check_counts(count=count)
    index = unit_index(scene, unit)
    count = min(count, BEST)
    side = (width_mm - 2 * _EDGE + _GAP) / count - _GAP
    beside = width_mm >= _BESIDE
    picture = max(0.36 * width_mm, 2 * _PLOT) if beside else width_mm - 2 * _EDGE
    top = _HEAD + picture + (0.0 if beside else 2 * _PLOT) + 2.0
    bars = _means(scene, index)
    bottom = _TITLE + _BAR * len(bars) + _AXIS if bars else 0.0
    rows = {
        "Most exciting stimuli": _stimuli(scene, index, count, 1),
        "Least exciting stimuli": _stimuli(scene, index, count, -1),
        "Nearest neighbours by correlation": _neighbours(scene, index, count),
    }
    heights = [_row_height(cells, side) for cells in rows.values()]
    paper = new_paper(width_mm, 2 * _EDGE + top + sum(heights) + bottom)
    _top(paper, scene, index, picture)
    y = _EDGE + top
    for (title, cells), height in zip(rows.items(), heights, strict=True):
        _row(paper, title, cells, y=y, side=side)
        y += height
    if bars:
        _bars(paper, bars, len(classes(scene)), y)
    return paper.figure


_Cell = tuple[np.ndarray | None, str, str]
"""A picture, if there is one, and the two lines under it."""


def _stimuli(scene: Scene, index: int, count: int, sign: int) -> list[_Cell]:
    """The stimuli with the greatest responses, or with the sign turned the least."""
    found, values = best(sign * scene.responses[:, index : index + 1])
    return [
        (scene.stimuli[stimulus].thumbnail, scene.stimuli[stimulus].name, _number(sign * float(value)))
        for stimulus, value in zip(found[0, :count], values[0, :count], strict=True)
        if stimulus >= 0
    ]


def _neighbours(scene: Scene, index: int, count: int) -> list[_Cell]:
    """The units that respond most alike."""
    near = zip(scene.neighbours[index, :count], scene.correlations[index, :count], strict=True)
    return [
        (
            scene.pictures[int(other)].image if int(other) in scene.pictures else None,
            str(scene.units[other]),
            f"{correlation:.2f}".replace("-", "−"),
        )
        for other, correlation in near
        if other >= 0
    ]


def _means(scene: Scene, index: int) -> list[tuple[str, float]]:
    """The classes with the greatest mean responses, the greatest first."""
    responses = scene.responses[:, index : index + 1].astype(np.float64)
    found = [(label, float(mean(responses[of_class(scene, label)])[0])) for label in classes(scene)]
    known = [(label, value) for label, value in found if np.isfinite(value)]
    return sorted(known, key=lambda each: -each[1])[:MOST_CLASSES]


def _top(paper: Paper, scene: Scene, index: int, side: float) -> None:
    """The address, the picture and the two plots beside it."""
    unit, room = scene.units[index], paper.width - 2 * _EDGE
    layer = next(layer for layer in scene.layers if layer.name == unit.layer)
    field = "" if layer.receptive_field is None else f", field {layer.receptive_field} px"
    paper.write(str(unit), _EDGE, _EDGE + 3.5, width=room, size=9, bold=True)
    picture = scene.pictures.get(index)
    score = "" if picture is None else f", score {_number(picture.score)}"
    about = f"{layer.kind} of {layer.units} units{field}{score}, {scene.title}"
    paper.write(about, _EDGE, _EDGE + 7.3, width=room, size=6.5, colour=GREY)
    y = _EDGE + _HEAD
    if picture is None:
        paper.frame(_EDGE, y, side, scene.status[index] or "no picture")
    else:
        paper.picture(picture.image, _EDGE, y, side, name=str(unit))
    plots: list[Callable[[Axes], None]] = [lambda ax: _histogram(ax, scene, index)]
    if picture is not None and len(picture.curve):
        plots.append(lambda ax: _curve(ax, picture.curve))
    beside = paper.width >= _BESIDE
    left = 13.0 + (_EDGE + side if beside else 0.0)
    y, height = (y, side / len(plots)) if beside else (y + side, _PLOT)
    for place, draw in enumerate(plots):
        draw(paper.plot(left, y + place * height + 1.0, paper.width - _EDGE - 1.0 - left, height - _AXIS - 1.0))


def _histogram(ax: Axes, scene: Scene, index: int) -> None:
    """How many stimuli give which response."""
    values = scene.responses[:, index].astype(np.float64)
    values = values[np.isfinite(values)]
    if len(values):
        ax.hist(values, bins=int(np.clip(np.sqrt(len(values)) * 1.5, 5, 40)), color=_COLOUR)
    else:
        ax.text(0.5, 0.5, "no finite response", ha="center", transform=ax.transAxes, fontsize=6)
    lost = len(scene.stimuli) - len(values)
    _labels(ax, "response" + f" ({lost} not finite)" * bool(lost), "stimuli")
    ax.locator_params(axis="y", integer=True)


def _curve(ax: Axes, curve: np.ndarray) -> None:
    """The score of the picture at each step of its making."""
    ax.plot(np.arange(1, len(curve) + 1), curve, color=_COLOUR, linewidth=1.0)
    _labels(ax, "step of the rendering", "score")


def _labels(ax: Axes, across: str, up: str) -> None:
    ax.locator_params(nbins=4)
    ax.ticklabel_format(scilimits=(-2, 4))
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_offset_text().set_fontsize(6)
    ax.margins(y=0.08)
    ax.set_xlabel(across, fontsize=6, labelpad=1.5)
    ax.set_ylabel(up, fontsize=6, labelpad=1.5)


def _row_height(cells: Sequence[_Cell], side: float) -> float:
    """What `_row` takes: the names decide."""
    if not cells:
        return _TITLE + 5.0
    lines = max(len(wrapped(name, 5.5, side, _MOST_LINES)) for _, name, _ in cells)
    return _TITLE + side + 1.0 + _LINE * (lines + 1)


def _row(paper: Paper, title: str, cells: Sequence[_Cell], *, y: float, side: float) -> None:
    """A title and pictures in a row, each with a name and a number."""
    paper.write(title, _EDGE, y + 3.5, width=paper.width - 2 * _EDGE, size=7, bold=True)
    y += _TITLE
    if not cells:
        paper.write("none", _EDGE, y + 3.0, width=side, colour=GREY)
    for place, (image, name, number) in enumerate(cells):
        x = _EDGE + place * (side + _GAP)
        if image is None:
            paper.frame(x, y, side, "no picture")
        else:
            paper.picture(image, x, y, side, name=name)
        lines = [number, *wrapped(name, 5.5, side, _MOST_LINES)]
        for row, line in enumerate(lines):
            below = y + side + 2.1 + row * _LINE
            paper.write(line, x, below, width=side, size=5.5, colour=GREY if row else "black")


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def _bars(paper: Paper, bars: Sequence[tuple[str, float]], known: int, y: float) -> None:
    """The mean response to each class, as bars beside their names."""
    more = f" (the {len(bars)} greatest of {known})" * (known > len(bars))
    room = paper.width - 2 * _EDGE
    paper.write(f"Mean response by class{more}", _EDGE, y + 3.5, width=room, size=7, bold=True)
    y += _TITLE
    names = 0.3 * room
    ax = paper.plot(_EDGE + names, y, room - names - 4.0, _BAR * len(bars))
    ax.barh(np.arange(len(bars)), [value for _, value in bars], height=0.7, color=_COLOUR)
    ax.set(ylim=(len(bars) - 0.5, -0.5))
    ax.set_yticks(np.arange(len(bars)), [fitted(name, 6, names - 2.0) for name, _ in bars], parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.axvline(0.0, color="black", linewidth=0.6)
    ax.locator_params(axis="x", nbins=6)
    ax.ticklabel_format(axis="x", scilimits=(-2, 4))
    ax.xaxis.get_offset_text().set_fontsize(6)
    ax.set_xlabel("mean response", fontsize=6, labelpad=1.5)
