"""Recipes: known pictures of what a network sees, each a few lines over `render` and `objectives`.

They return renderings or arrays and show nothing; `animate` alone writes the file that it is told to. Pictures that are
given are arrays (h, w, channels) of uint8, or of floats in 0..1. ``changes`` are those of `render`: fields of the recipe,
``preset``, ``seed``, ``progress``, ``watch`` and ``workers``; they replace the defaults of a function, which were chosen
by eye on EfficientNet-Lite0 unless a source is named.
"""

from __future__ import annotations

from neuronatlas.gallery.film import animate
from neuronatlas.gallery.pictures import accentuate, caricature, deepdream, style_transfer
from neuronatlas.gallery.several import activation_grid, both_signs, channels, diversity, interpolate
from neuronatlas.gallery.sheets import sheet

__all__ = [
    # from a picture
    "accentuate", "activation_grid", "caricature", "deepdream", "style_transfer",
    # several
    "both_signs", "channels", "diversity", "interpolate", "sheet",
    # moving
    "animate",
]  # fmt: skip
