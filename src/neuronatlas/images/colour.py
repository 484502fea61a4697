"""Colour decorrelation: an image written in axes along which natural colours vary independently.

The matrix is the square root of the colour correlation of ImageNet pictures as Lucid publishes it
(https://github.com/tensorflow/lucid, lucid/optvis/param/color.py, ``color_correlation_svd_sqrt``), divided by the
largest norm of its columns, as there.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_CORRELATION_ROOT = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


def to_rgb(decorrelated: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Correlated RGB logits from three decorrelated colour channels."""
    root = torch.tensor(_CORRELATION_ROOT, dtype=torch.float64)
    matrix = (root / root.norm(dim=0).max()).to(decorrelated)
    return torch.einsum("nchw,rc->nrhw", decorrelated, matrix)
