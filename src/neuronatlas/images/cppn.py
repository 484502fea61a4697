"""A compositional pattern-producing network: a small network that gives the colour of a pixel from where it is.

The picture has no pixels of its own, so it can be made at any size. Source: Mordvintsev, Pezzotti, Schubert & Olah
2018, doi 10.23915/distill.00012, and Lucid's lucid/optvis/param/cppn.py: eight hidden layers of 24, coordinates in
-sqrt(3)..sqrt(3) (a spread of 1), the activation with its constants, the first weights of a spread of 1 / sqrt(fan in)
and those of the last layer nought, biases of a spread of 0.1. Lucid cuts normal numbers at two spreads; here they are
not cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from neuronatlas.errors import WrongInput
from neuronatlas.images.base import Size, check_size, drawn, one_by_one, settings_of, widened

BIAS_SD = 0.1
SPREADS = (0.67, 0.6)
"""The root mean squares of atan(x) and atan(x)^2 for normal x, as published."""


@dataclass(frozen=True, kw_only=True)
class CPPN:
    """Pictures from numbers of shape (n, k): for each layer its weights (outputs x inputs), then its biases.

    ``width`` is the number of units in a hidden layer, ``layers`` the number of hidden layers. The longer side of the
    picture spans the coordinates; its pixels are square.
    """

    width: int = 24
    layers: int = 8
    channels: int = 3

    def __post_init__(self) -> None:
        """Refuse values without meaning."""
        for name in ("width", "layers", "channels"):
            if getattr(self, name) < 1:
                message = f"{name} (={getattr(self, name)}) must be at least 1"
                raise WrongInput(message)

    @property
    def planes(self) -> int:
        """The channels of the pictures."""
        return self.channels

    @property
    def settings(self) -> dict[str, object]:
        """The name and the fields as plain values."""
        return settings_of(self)

    def shape(self, size: Size) -> tuple[int, ...]:
        """The shape of the numbers of one picture, whatever its size."""
        check_size(size)
        return (sum(outputs * (inputs + 1) for outputs, inputs in self._layers()),)

    def start(self, size: Size, generators: Sequence[torch.Generator]) -> Float[Tensor, "n k"]:
        """Random weights for one picture a generator: n at once equal one by one. All pictures start even."""
        numbers = drawn(self.shape(size), 1.0, generators)
        for index, (weights, biases) in enumerate(self._parts(numbers)):
            weights.mul_(weights.shape[2] ** -0.5 if index < self.layers else 0.0)
            biases.mul_(BIAS_SD)
        return numbers

    def image(self, numbers: Float[Tensor, "n k"], size: Size) -> Float[Tensor, "n c h w"]:
        """Pictures in 0..1."""
        wide = widened(numbers, self.shape(size))
        return one_by_one(lambda each: self._evaluated(each, size), wide).to(numbers.dtype)

    def _evaluated(self, numbers: Float[Tensor, "n k"], size: Size) -> Float[Tensor, "n c h w"]:
        seen = _coordinates(size, numbers.dtype, numbers.device).expand(len(numbers), -1, -1)
        for index, (weights, biases) in enumerate(self._parts(numbers)):
            seen = torch.baddbmm(biases, weights, activation(seen) if index else seen)
        return seen.sigmoid().view(-1, self.channels, *size)

    def _layers(self) -> list[tuple[int, int]]:
        """The outputs and the inputs of each layer; the activation makes two of one."""
        inner = [(self.width, 2 * self.width)] * (self.layers - 1)
        return [(self.width, 2), *inner, (self.channels, 2 * self.width)]

    def _parts(self, numbers: Float[Tensor, "n k"]) -> list[tuple[Tensor, Tensor]]:
        """Views of the weights (n, outputs, inputs) and of the biases (n, outputs, 1) of each layer."""
        parts = []
        first = 0
        for outputs, inputs in self._layers():
            middle, last = first + outputs * inputs, first + outputs * (inputs + 1)
            weights = numbers[:, first:middle].view(-1, outputs, inputs)
            parts.append((weights, numbers[:, middle:last, None]))
            first = last
        return parts


def activation(seen: Float[Tensor, "n units p"]) -> Float[Tensor, "n outputs p"]:
    """The arc tangent and its square, each over its spread for normal numbers: twice as many outputs."""
    angle = seen.atan()
    return torch.cat((angle / SPREADS[0], angle.square() / SPREADS[1]), 1)


@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)  # what is kept must serve where gradients are wanted
def _coordinates(size: Size, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "1 2 p"]:
    """The x and y of each pixel, row by row."""
    half = [(length - 1) / max(1, *(side - 1 for side in size)) * math.sqrt(3) for length in size]
    rows, columns = (
        torch.linspace(-limit, limit, length, dtype=torch.float64, device="cpu") + (limit if length == 1 else 0.0)
        for limit, length in zip(half, size, strict=True)
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack((x.flatten(), y.flatten()))[None].to(device, dtype)
