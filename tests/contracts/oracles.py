"""Small networks in torch whose weights another framework can be given: the oracles of the contract.

Each module says all that a second builder has to know. Kernels of convolutions are (out, in, height, width), those of
dense layers (out, in): `channels_last` and ``.T`` turn them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from neuronatlas.networks import Network, as_network
from neuronatlas.units import Unit
from tests.networks.models import seeded

NORMALISE = "imagenet"
EPSILON = 1e-3
"""Of every batch norm and layer norm here."""


class Plain(nn.Module):
    """Convolution (3 x 3, zeros around), batch norm, ReLU, max pooling (2 x 2), convolution, ReLU, mean, dense."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6, eps=EPSILON)
        self.bend = nn.ReLU()
        self.shrink = nn.MaxPool2d(2)
        self.deep = nn.Conv2d(6, 8, 3, padding=1)
        self.last = nn.ReLU()
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.flat = nn.Flatten()
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shrink(self.bend(self.norm(self.stem(x))))
        return self.head(self.flat(self.mean(self.last(self.deep(x)))))


class Sum(nn.Module):
    """The sum of two tensors."""

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return one + other


class Block(nn.Module):
    """Two convolutions (3 x 3, zeros around) beside a way straight through."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(8, 8, 3, padding=1)
        self.bend = nn.ReLU()
        self.two = nn.Conv2d(8, 8, 3, padding=1)
        self.add = Sum()
        self.out = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.add(self.two(self.bend(self.one(x))), x))


class Residual(nn.Module):
    """A convolution (2 x 2, step 2, no padding), two residual blocks, the mean over positions, dense."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 2, stride=2)
        self.first = Block()
        self.second = Block()
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.flat = nn.Flatten()
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.flat(self.mean(self.second(self.first(self.stem(x))))))


class Attention(nn.Module):
    """Two heads of six over twelve numbers a token: softmax(q k / sqrt(6)) v, then a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(12, 12)
        self.key = nn.Linear(12, 12)
        self.value = nn.Linear(12, 12)
        self.mix = nn.Linear(12, 12)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part(x).unflatten(2, (2, 6)).transpose(1, 2) for part in (self.query, self.key, self.value))
        weights = (q @ k.transpose(2, 3) / 6**0.5).softmax(3)
        return self.mix((weights @ v).transpose(1, 2).flatten(2))


class Positions(nn.Module):
    """The map (n, 12, 4, 4) as tokens (n, 16, 12), row by row, plus a learnt vector for each."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.zeros(16, 12))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2) + self.vectors


class Mean(nn.Module):
    """The mean over the tokens."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


class Transformer(nn.Module):
    """Patches of 4 x 4, one block of attention and MLP (exact GELU), each behind a layer norm, the mean, dense."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 4, stride=4)
        self.positions = Positions()
        self.before = nn.LayerNorm(12, eps=EPSILON)
        self.attention = Attention()
        self.between = nn.LayerNorm(12, eps=EPSILON)
        self.wide = nn.Linear(12, 24)
        self.bend = nn.GELU()
        self.narrow = nn.Linear(24, 12)
        self.mean = Mean()
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.positions(self.patches(x))
        x = x + self.attention(self.before(x))
        x = x + self.narrow(self.bend(self.wide(self.between(x))))
        return self.head(self.mean(x))


@dataclass(frozen=True)
class Oracle:
    """An architecture with its weights, in torch. ``silent``: a ReLU, and a unit of it that nothing excites."""

    module: nn.Module
    size: tuple[int, int]
    other_size: tuple[int, int] | None = None
    silent: Unit | None = None

    @property
    def network(self) -> Network:
        """The module as a network."""
        return as_network(self.module, input_size=self.size, normalise=NORMALISE)

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """Every parameter and statistic by torch's name, less the counters of batch norms."""
        state = self.module.state_dict()
        return {name: value.numpy().copy() for name, value in state.items() if value.is_floating_point()}


@cache
def plain() -> Oracle:
    """`Plain` on 16 x 16 pictures; unit 3 of its last ReLU is silent."""
    module = seeded(Plain()).eval()
    with torch.no_grad():
        module.get_submodule("deep").get_parameter("bias")[3] = -50
    return Oracle(module, (16, 16), other_size=(12, 20), silent=Unit("last", 3))


@cache
def residual() -> Oracle:
    """`Residual` on 12 x 16 pictures; unit 2 of the last ReLU of its first block is silent."""
    module = seeded(Residual(), 1).eval()
    with torch.no_grad():
        module.get_submodule("first.two").get_parameter("bias")[2] = -80
    return Oracle(module, (12, 16), other_size=(20, 10), silent=Unit("first.out", 2))


@cache
def transformer() -> Oracle:
    """`Transformer` on 16 x 16 pictures."""
    return Oracle(seeded(Transformer(), 2).eval(), (16, 16))


def channels_last(kernel: np.ndarray) -> np.ndarray:
    """A convolution's kernel (out, in, height, width) as (height, width, in, out)."""
    return np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))


def pictures(count: int, size: tuple[int, int]) -> Tensor:
    """Smooth random pictures (n, 3, h, w) in 0..1, the same in every run."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand((count, 3, 4, 4), generator=generator)
    fine = torch.rand((count, 3, *size), generator=generator)
    smooth = nn.functional.interpolate(coarse, size=size, mode="bilinear")
    return 0.7 * smooth + 0.3 * fine
