"""A batch norm folded into a convolution that is a layer too: what the convolution gave is told from what it gives now.

Channels of which that cannot be told are left as the convolution gives them, and scaled where the batch norm was: those
scaled by nought, or so little that rounding would show, and silent ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neuronatlas.networks.folding import Passed

LOSS = 100
"""Deviations of a convolution's output that its batch norm may shift it by: rounding then costs 6e-6 of a deviation."""
IN_A_LINE = 16
"""Numbers of single precision in a line of a cache, which is read and written whole."""
MOST_APART = 0.25
"""Of the channels of a convolution, as many may be scaled apart."""


class Apart(Passed):
    """Stands where a batch norm was, and scales in place the few channels that it still has to; it has no gradient.

    ``scale`` and ``shift`` are those of all channels, 1 and 0 but at ``channels``.
    """

    def __init__(self, channels: list[int], scale: Float[Tensor, " all"], shift: Float[Tensor, " all"]) -> None:
        super().__init__()
        self.channels, self.scale, self.shift = channels, scale, shift
        self.numbers = scale[channels].tolist()
        self.all_at_once = len(channels) * IN_A_LINE >= len(scale)  # it is in every line of memory anyway

    @property
    def changes(self) -> int:
        """How often the input is changed."""
        return 1 if self.all_at_once else len(self.channels)

    def forward(self, x: Tensor) -> Tensor:
        """The input, with these channels scaled and shifted."""
        if self.all_at_once:
            return torch.addcmul(self.shift.view(-1, 1, 1), x, self.scale.view(-1, 1, 1), out=x)
        for channel, number in zip(self.channels, self.numbers, strict=True):
            torch.add(self.shift[channel], x[:, channel], alpha=number, out=x[:, channel])
        return x

    def pooled(self, known: Float[Tensor, "n units"]) -> Float[Tensor, "n units"]:
        """The mean of its output from the mean of its input, or the maximum where no scale is below nought."""
        return torch.addcmul(self.shift, known, self.scale)


@dataclass(frozen=True)
class Undoing:
    """The convolution gave ``slope y + offset`` a channel where it gives y now; ``falling`` are those of a slope below 0."""

    slope: Float[Tensor, " channels"]
    offset: Float[Tensor, " channels"]
    falling: list[int]

    @classmethod
    def folding(cls, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Undoing, Apart] | None:
        """Fold the one into the other, with what undoes it and what is to stand where the batch norm was.

        None where too many channels would be scaled apart; the convolution is then as it was.
        """
        if norm.running_mean is None or norm.running_var is None or norm.running_var.dtype != torch.float32:
            return None
        scale = (norm.running_var + norm.eps).rsqrt()
        scale = scale if norm.weight is None else scale * norm.weight.detach()
        shift = (0 if norm.bias is None else norm.bias.detach()) - norm.running_mean * scale
        well = scale.isfinite() & shift.isfinite() & (shift.abs() <= LOSS * norm.running_var.sqrt() * scale.abs())
        well &= scale != 0
        if int((~well).sum()) > MOST_APART * len(scale):
            return None
        apart = Apart((~well).nonzero().flatten().tolist(), torch.where(well, 1, scale), torch.where(well, 0, shift))
        scale, shift = torch.where(well, scale, 1), torch.where(well, shift, 0)
        bias = 0 if convolution.bias is None else convolution.bias.detach() * scale
        weight = convolution.weight.detach() * scale.view(-1, 1, 1, 1)
        convolution.weight = nn.Parameter(weight, requires_grad=False)
        convolution.bias = nn.Parameter(bias + shift, requires_grad=False)
        return cls(1 / scale, -shift / scale, (scale < 0).nonzero().flatten().tolist()), apart

    def __call__(self, output: Float[Tensor, "n channels *places"]) -> Float[Tensor, "n channels *places"]:
        """What the convolution gave from what it gives; the mean of the one from that of the other."""
        form = (-1,) + (1,) * (output.ndim - 2)
        return torch.addcmul(self.offset.view(form), output, self.slope.view(form))
