"""What stands beside maps: the bar of their colours, and the names of their layers.

The text of a bar is broken into lines that fit the figure at its size, again when it is saved at another.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from neuronatlas.maps.drawing.colouring import OTHER_COLOUR, Colouring

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure
    from matplotlib.text import Text

MILLIMETRES = 25.4
"""In an inch."""
_LETTER_MM = 1.45
"""Width of a letter of 8 points."""
_FEWEST_LETTERS = 10
"""A line of the text of a bar holds at least so many."""
_SHRINK = 0.8
"""The length of a bar, by the height of its maps."""


def add_legend(
    shown: ScalarMappable, axes: Sequence[Axes], colouring: Colouring, *drawn: Float64[np.ndarray, "..."]
) -> Colorbar:
    """One colour bar for all these Axes of a figure; pointed where some of what is ``drawn`` lies beyond the scale."""
    bar = axes[0].figure.colorbar(shown, ax=list(axes), shrink=_SHRINK, aspect=25, extend=colouring.beyond(*drawn))
    places = [ax.get_position() for ax in axes]
    share = max(place.y1 for place in places) - min(place.y0 for place in places)
    text = bar.ax.yaxis.label
    text.set_label(colouring.legend)  # a label is never drawn: it keeps the text without its breaks
    text.set_fontsize(8)
    _wrap(text, share * axes[0].figure.bbox.height)
    bar.ax.tick_params(labelsize=8)
    return bar


def wrap_legends(figure: Figure) -> None:
    """The text of every bar of `add_legend` in lines for the height that its bar has now."""
    for ax in figure.axes:
        if ax.yaxis.label.get_label():
            _wrap(ax.yaxis.label, ax.get_window_extent().height / _SHRINK)


def legend_texts(figure: Figure) -> dict[Text, str]:
    """The text of every bar as it is broken now."""
    return {ax.yaxis.label: ax.yaxis.label.get_text() for ax in figure.axes if ax.yaxis.label.get_label()}


def _wrap(text: Text, height: float) -> None:
    """Break the text between words into lines that are no longer than this height in pixels, if they can be."""
    whole = str(text.get_label())
    for letters in range(max(len(whole), _FEWEST_LETTERS), _FEWEST_LETTERS - 1, -1):
        text.set_text("\n".join(textwrap.wrap(whole, letters, break_long_words=False)))
        if text.get_window_extent().height <= height:
            return


def layer_legend(ax: Axes, colours: Mapping[str, str], *, marker: str) -> None:
    """The names of the coloured layers below the Axes, and how many others there are."""
    from matplotlib.lines import Line2D

    named = {layer: colour for layer, colour in colours.items() if colour != OTHER_COLOUR}
    entries = [
        Line2D([], [], color=colour, marker=marker, linestyle="" if marker else "-", label=layer)
        for layer, colour in named.items()
    ]
    others = len(colours) - len(named)
    if others:
        text = f"{others} other layer{'s' if others > 1 else ''}"
        entries.append(Line2D([], [], color=OTHER_COLOUR, marker=marker, linestyle="" if marker else "-", label=text))
    longest = max((len(str(entry.get_label())) for entry in entries), default=1)
    columns = int(np.clip(size_mm(ax)[0] / ((longest + 6) * _LETTER_MM), 1, max(len(entries), 1)))
    legend = ax.legend(
        handles=entries,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=columns,
        fontsize=7,
        frameon=False,
    )
    for name in legend.get_texts():
        name.set_parse_math(False)


def size_mm(ax: Axes) -> tuple[float, float]:
    """How wide and high the Axes are before a layout makes room for legends."""
    place, whole = ax.get_position(), ax.figure.bbox
    inch = ax.figure.dpi / MILLIMETRES
    return float(place.width * whole.width / inch), float(place.height * whole.height / inch)
