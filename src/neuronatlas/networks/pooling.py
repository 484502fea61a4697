"""One number a picture and unit: outputs of layers, reduced over their positions."""

from __future__ import annotations

from numbers import Integral

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from neuronatlas.errors import UnknownName, WrongInput

Reduction = str | tuple[int, int]

REDUCTIONS = ("mean", "max", "none")
LONGEST_SUM = 256
"""Numbers that may be added one by one in single precision: the relative error stays near 1e-6 (sqrt(256) 6e-8)."""


def check_reduction(reduce: object) -> None:
    """Refuse what is no `Reduction`."""
    if isinstance(reduce, str):
        if reduce not in REDUCTIONS:
            raise UnknownName("reduction", reduce, REDUCTIONS)
    elif not (
        isinstance(reduce, tuple)
        and len(reduce) == 2
        and all(isinstance(each, Integral) and not isinstance(each, bool) for each in reduce)
    ):
        message = (
            f"reduce (={reduce!r}) must be one of {', '.join(REDUCTIONS)}, or a pair (row, column) of whole numbers"
        )
        raise WrongInput(message)


def pool(output: Tensor, *, reduce: Reduction = "mean") -> Float[Tensor, "n units"]:
    """One number a picture and unit from a layer's output of shape (n, units[, h, w]) or (n, positions, units).

    ``reduce`` is "mean" or "max" over the positions; one position (row, column), counted from 0; or "none": every
    position is a unit of its own, the positions of the first unit first, row by row. Tokens are a map of one row. A dense
    layer has one number a unit whatever ``reduce``.
    """
    check_reduction(reduce)
    if output.ndim == 2:
        return output
    maps = output.transpose(1, 2)[:, :, None] if output.ndim == 3 else output
    if isinstance(reduce, tuple):
        row, column = reduce
        if not (0 <= row < maps.shape[2] and 0 <= column < maps.shape[3]):
            message = f"reduce (={reduce}) lies outside a map of {maps.shape[2]} x {maps.shape[3]} positions"
            raise WrongInput(message)
        return maps[:, :, row, column]
    if reduce == "none":
        return maps.flatten(1)
    if _units_last(maps):  # torch's reductions read such a map a column at a time, its pooling row by row
        height, width = maps.shape[2:]
        if reduce == "max":
            return functional.max_pool2d(maps, (height, width)).flatten(1)
        if width <= LONGEST_SUM:
            rows = max(rows for rows in range(1, height + 1) if height % rows == 0 and rows * width <= LONGEST_SUM)
            return functional.avg_pool2d(maps, (rows, width)).mean((2, 3))
    return maps.mean((2, 3)) if reduce == "mean" else maps.amax((2, 3))


def _units_last(maps: Float[Tensor, "n units h w"]) -> bool:
    """Do the numbers of one position lie side by side in the processor's memory?"""
    if maps.device.type != "cpu" or maps.dtype not in (torch.float32, torch.float64) or maps.requires_grad:
        return False
    return not maps.is_contiguous() and maps.is_contiguous(memory_format=torch.channels_last)
