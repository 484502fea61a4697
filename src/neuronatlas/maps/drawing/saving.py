"""Figures as files: the size in millimetres, and the same bytes every time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuronatlas.errors import WrongInput
from neuronatlas.maps.drawing.legends import MILLIMETRES, legend_texts, wrap_legends

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS: dict[str, dict[str, Any]] = {
    ".pdf": {"CreationDate": None},
    ".png": {},
    ".svg": {"Date": None},
}
"""The endings of files, and what each must leave out to be the same tomorrow."""


def save_figure(
    figure: Figure, path: str | os.PathLike[str], *, width_mm: float, height_mm: float | None = None, dpi: int = 300
) -> None:
    """Write the figure ``width_mm`` wide, as PDF, PNG or SVG by the ending of the path.

    The height keeps the shape of the figure unless given. A PNG has the nearest whole number of pixels at ``dpi``; in a
    PDF or SVG that is the resolution of pictures in it. The texts of colour bars are broken into lines that fit. The
    figure keeps its own size and lines.
    """
    import matplotlib as mpl

    file = Path(path)
    kind = file.suffix.lower()
    if kind not in KINDS:
        message = f"path {str(path)!r} must end in one of {', '.join(KINDS)}"
        raise WrongInput(message)
    before = float(figure.get_figwidth()), float(figure.get_figheight())
    if height_mm is None:
        height_mm = width_mm * before[1] / before[0]
    if not (0 < width_mm < 10_000 and 0 < height_mm < 10_000 and dpi > 0):
        message = f"width {width_mm} mm, height {height_mm:g} mm and dpi {dpi} must be above 0, and less than 10 metres"
        raise WrongInput(message)
    width, height = width_mm / MILLIMETRES, height_mm / MILLIMETRES
    if kind == ".png":  # whole pixels, a little more so that rounding down keeps them
        width, height = ((max(round(inches * dpi), 1) + 1e-4) / dpi for inches in (width, height))
    texts = legend_texts(figure)
    try:
        figure.set_size_inches(width, height)
        for _ in range(2):  # more lines leave the maps less room, and so the bar
            figure.draw_without_rendering()
            wrap_legends(figure)
        for _ in range(2):  # a layout begins from the last one; after these it stays
            figure.draw_without_rendering()
        with mpl.rc_context({"svg.hashsalt": "neuronatlas", "svg.fonttype": "path", "pdf.fonttype": 42}):
            figure.savefig(file, format=kind[1:], dpi=dpi, metadata=KINDS[kind])
    finally:
        figure.set_size_inches(before)
        for text, broken in texts.items():
            text.set_text(broken)
