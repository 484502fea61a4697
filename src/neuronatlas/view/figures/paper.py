"""A page on which pictures and text are placed in millimetres from its upper left corner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from neuronatlas.errors import WrongInput
from neuronatlas.maps.drawing import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINT = 25.4 / 72
"""Millimetres in a point."""
SMALL = 5.0
"""Points of the smallest text."""
NARROWEST, WIDEST = 40.0, 2000.0
GREY = "#555555"


@dataclass(frozen=True, eq=False)
class Paper:
    """A page, in millimetres from its upper left corner; ``ax`` spans it."""

    ax: Axes
    width: float
    height: float

    @property
    def figure(self) -> Figure:
        """The figure that the page is."""
        figure = self.ax.get_figure(root=True)
        assert figure is not None
        return figure

    def picture(
        self, image: UInt8[np.ndarray, "height width channels"], x: float, y: float, side: float, *, name: str = ""
    ) -> None:
        """A picture in the middle of a square whose upper left corner is at x, y; ``name`` is not drawn, but kept."""
        high, wide = image.shape[:2]
        half_wide, half_high = side / 2 * wide / max(high, wide), side / 2 * high / max(high, wide)
        middle_x, middle_y = x + side / 2, y + side / 2
        edges = (middle_x - half_wide, middle_x + half_wide, middle_y + half_high, middle_y - half_high)
        shown = self.ax.imshow(image, extent=edges)
        shown.set_label(name or "_picture")
        self._span()

    def frame(self, x: float, y: float, side: float, text: str) -> None:
        """An empty square with a word in it, where there is no picture."""
        from matplotlib.patches import Rectangle

        self.ax.add_patch(Rectangle((x, y), side, side, facecolor="#F2F2F2", edgecolor="#B5B5B5", linewidth=0.5))
        size = SMALL * POINT
        self.write(text, x + side / 2, y + side / 2 + size / 2, width=side, size=SMALL, align="center", colour=GREY)

    def write(
        self, text: str, x: float, y: float, *, width: float, size: float = 6.0, align: str = "left", **style: Any
    ) -> None:
        """One line of text on a base line at ``y``, cut in its middle where it is wider than ``width``.

        ``align`` says what of the text is at x: "left", "center" or "right". ``style``: ``bold``, ``colour``.
        """
        weight = "bold" if style.get("bold") else "normal"
        short = fitted(text, size, width, weight=weight)
        self.ax.text(
            x,
            y,
            short,
            fontsize=size,
            ha=align,
            va="baseline",
            weight=weight,
            color=style.get("colour", "black"),
            parse_math=False,
        )

    def plot(self, x: float, y: float, width: float, height: float) -> Axes:
        """Empty Axes in this box, without their ticks and labels, which lie around it."""
        place = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        ax = self.figure.add_axes(place)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
        for spine in ax.spines.values():
            spine.set_linewidth(0.6)
        ax.tick_params(labelsize=6, width=0.6, length=2, pad=1.5)
        return ax

    def _span(self) -> None:
        self.ax.set(xlim=(0, self.width), ylim=(self.height, 0), aspect="auto")


def new_paper(width_mm: float, height_mm: float) -> Paper:
    """An empty page."""
    figure = new_figure(width_mm, height_mm)
    figure.set_layout_engine("none")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    paper = Paper(ax, width_mm, height_mm)
    paper._span()  # noqa: SLF001 - its own
    return paper


def fitted(text: str, size: float, width_mm: float, *, weight: str = "normal") -> str:
    """The text in one line of this font size, with an ellipsis for its middle where it is too wide.

    What is no sign that can be drawn (a line break, a control character) becomes a space.

    >>> fitted("a short one", 6, 50), fitted("a very very long name:17", 6, 15)
    ('a short one', 'a ver…me:17')
    """
    text = plain(text)
    if _wide(text, size, weight) <= width_mm:
        return text
    return _cut(text, _most(lambda letters: _wide(_cut(text, letters), size, weight) <= width_mm, len(text)))


def wrapped(text: str, size: float, width_mm: float, lines: int) -> list[str]:
    """The text in at most so many lines of this font size, broken between any letters; the last as `fitted` has it.

    >>> wrapped("orientation=30/phase=0", 6, 15, 2)
    ['orientation=3', '0/phase=0']
    """
    told: list[str] = []
    text = plain(text)
    while text and len(told) < lines - 1 and _wide(text, size) > width_mm:
        letters = _most(lambda count: _wide(text[:count], size) <= width_mm, len(text))  # noqa: B023 - used at once
        told.append(text[:letters])
        text = text[letters:]
    return [*told, fitted(text, size, width_mm)]


def plain(text: str) -> str:
    """The text without line breaks and control characters."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def distinct(names: Sequence[str]) -> list[str]:
    """The names, with a number behind those that were there before."""
    seen: set[str] = set()
    told: list[str] = []
    for name in names:
        number, new = 2, name
        while new in seen:
            new, number = f"{name} ({number})", number + 1
        seen.add(new)
        told.append(new)
    return told


def check_width(width_mm: float) -> None:
    """Refuse a width that no figure can have."""
    if not NARROWEST <= width_mm <= WIDEST:
        message = f"width_mm {width_mm:g} must be from {NARROWEST:g} to {WIDEST:g} millimetres: a column is about 90"
        raise WrongInput(message)


def check_counts(**counts: int) -> None:
    """Refuse fewer than one of anything."""
    for what, count in counts.items():
        if count < 1:
            message = f"{what} {count} must be at least 1"
            raise WrongInput(message)


def _wide(text: str, size: float, weight: str = "normal") -> float:
    """The width of a line of text in millimetres."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) * POINT


def _most(fits: Callable[[int], bool], letters: int) -> int:
    """The greatest number of letters that fits, below ``letters``; 1 where none does."""
    least = 1
    while letters - least > 1:
        middle = (least + letters) // 2
        least, letters = (middle, letters) if fits(middle) else (least, middle)
    return least


def _cut(text: str, letters: int) -> str:
    """So many letters of the text, half from its beginning and half from its end."""
    end = letters // 2
    return f"{text[: letters - end]}…{text[len(text) - end :]}"
