"""Receptive fields, slowly: by the arithmetic of a plain stack, and by every column's gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def of_stack(kernels_and_strides: Sequence[tuple[int, int]]) -> int:
    """The columns that one output sees through convolutions or poolings: 1 + sum of (kernel - 1) times the strides before."""
    field, jump = 1, 1
    for kernel, stride in kernels_and_strides:
        field += (kernel - 1) * jump
        jump *= stride
    return field


def by_gradient(run: Callable[[Tensor], Tensor], size: tuple[int, int], *, pictures: int = 4) -> int:
    """The extent of the columns with any gradient from the middle column of ``run``'s output (n, units, h, w).

    Random pictures in float64, so that a gradient is zero only where there is none, and several, so that a rectifier
    that is shut in one is open in another.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((pictures, 3, *size), generator=generator, dtype=torch.float64).requires_grad_(True)
    output = run(images)
    middle = output[..., output.shape[3] // 2]
    weights = torch.rand(middle.shape, generator=generator, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((middle * weights).sum(), images)
    seen = gradient.abs().amax((0, 1, 2)).nonzero().flatten()
    return int(seen[-1] - seen[0]) + 1
