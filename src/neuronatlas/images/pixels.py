"""The pixel parametrisation: a logit for each pixel and channel, as in Lucid's ``pixel_image``.

The plainest there is, and the one that ends in noise unless something else smooths it: what the others are compared to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from neuronatlas.images.base import Size, check_size, drawn, widened
from neuronatlas.images.coloured import Coloured


@dataclass(frozen=True, kw_only=True)
class Pixels(Coloured):
    """Pictures from numbers of shape (n, channels, height, width); the settings: `Coloured`."""

    def shape(self, size: Size) -> tuple[int, ...]:
        """The shape of the numbers of one picture."""
        check_size(size)
        return (self.channels, *size)

    def start(self, size: Size, generators: Sequence[torch.Generator]) -> Float[Tensor, "n c h w"]:
        """Random numbers for one picture a generator: n at once equal one by one."""
        return drawn(self.shape(size), self.sd, generators)

    def image(self, numbers: Float[Tensor, "n c h w"], size: Size) -> Float[Tensor, "n c h w"]:
        """Pictures in 0..1."""
        return self._picture(widened(numbers, self.shape(size))).to(numbers.dtype)

    def inverse(self, pictures: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Numbers that make these pictures, which must lie above 0 and below 1."""
        return self._logits(pictures)
