"""What a convolution gave whose batch norm is part of it now, told from what the batch norm gives."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

LOSS = 100
"""Deviations of a convolution's output that its batch norm may shift it by: rounding then costs 6e-6 of a deviation."""
MOST_LOST = 0.25
"""Of the channels of a convolution, as many may be computed a second time."""


@dataclass(frozen=True)
class Undoing:
    """``(y - shift) / scale`` a channel, where the batch norm gives y, but of the channels ``lost``.

    These are scaled by nought or so little that rounding would show, as are those that are silent; ``apart`` is the
    convolution of these channels alone.
    """

    scale: Float[Tensor, " channels"]
    shift: Float[Tensor, " channels"]
    lost: Int64[Tensor, " lost"]
    apart: nn.Conv2d
    depthwise: bool

    @classmethod
    def of(cls, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> Undoing | None:
        """What undoes this batch norm after this convolution; None where that cannot be, or not at a low cost."""
        if norm.running_mean is None or norm.running_var is None or norm.running_var.dtype != torch.float32:
            return None
        scale = (norm.running_var + norm.eps).rsqrt()
        scale = scale if norm.weight is None else scale * norm.weight.detach()
        shift = (0 if norm.bias is None else norm.bias.detach()) - norm.running_mean * scale
        well = scale.isfinite() & shift.isfinite() & (shift.abs() <= LOSS * norm.running_var.sqrt() * scale.abs())
        well &= scale != 0
        lost = (~well).nonzero().flatten()
        alone = convolution.groups == convolution.in_channels == convolution.out_channels
        if len(lost) > MOST_LOST * len(scale) or (len(lost) and convolution.groups > 1 and not alone):
            return None
        apart = copy.deepcopy(convolution).requires_grad_(False)
        apart.weight = nn.Parameter(convolution.weight.detach()[lost].clone(), requires_grad=False)
        if convolution.bias is not None:
            apart.bias = nn.Parameter(convolution.bias.detach()[lost].clone(), requires_grad=False)
        apart.out_channels = len(lost)
        if alone and convolution.groups > 1:
            apart.groups = apart.in_channels = len(lost)
        return cls(
            torch.where(well, scale, 1), torch.where(well, shift, 0), lost, apart, alone and convolution.groups > 1
        )

    def __call__(self, output: Float[Tensor, "n channels *places"]) -> Float[Tensor, "n channels *places"]:
        """The convolution's output from that of the batch norm, or the mean of the one from that of the other."""
        form = (-1,) + (1,) * (output.ndim - 2)
        return (output - self.shift.view(form)) / self.scale.view(form)

    def again(self, given: Float[Tensor, "n inputs h w"]) -> Float[Tensor, "n lost _ _"]:
        """The channels that are lost, from the convolution's input."""
        found: Tensor = self.apart(given[:, self.lost] if self.depthwise else given)
        return found

    def whole(
        self, output: Float[Tensor, "n channels h w"], given: Float[Tensor, "n inputs _ _"]
    ) -> Float[Tensor, "n channels h w"]:
        """All channels, from what the batch norm gives and from the convolution's input."""
        found = self(output)
        if len(self.lost):
            found[:, self.lost] = self.again(given)
        return found
