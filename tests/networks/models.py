"""Networks for tests: the real one, loaded once, and small ones with one fault or peculiarity each."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from neuronatlas import zoo
from neuronatlas.networks import as_network
from neuronatlas.networks.torch import TorchNetwork

PLAIN = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@cache
def efficientnet() -> TorchNetwork:
    """EfficientNet-Lite0; tests that change its weights load one of their own."""
    network = zoo.load("efficientnet-lite0")
    assert isinstance(network, TorchNetwork)
    return network


def wrap(module: nn.Module, size: int | tuple[int, int] = 32) -> TorchNetwork:
    """A module as a network that normalises nothing, in evaluation mode."""
    network = as_network(module.eval(), input_size=size, normalise=PLAIN)
    assert isinstance(network, TorchNetwork)
    return network


def seeded(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with weights, and statistics of batch norms, that are the same in every run."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            fan_in = weight[0].numel() if weight.ndim > 1 else 4
            weight.copy_(torch.randn(weight.shape, generator=generator) * (2 / fan_in) ** 0.5)
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None and part.running_var is not None:
                part.running_mean.copy_(0.2 * torch.randn(part.num_features, generator=generator))
                part.running_var.copy_(0.5 + torch.rand(part.num_features, generator=generator))
                part.weight.copy_(0.5 + torch.rand(part.num_features, generator=generator))
    return module


def plain(channels: int = 8) -> nn.Module:
    """Convolution, batch norm, ReLU, twice; works at any size."""
    return seeded(
        nn.Sequential(
            nn.Conv2d(3, channels, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
    )


def fixed(size: int = 32) -> nn.Module:
    """Takes pictures of one size only."""
    return seeded(
        nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(6 * (size // 2) ** 2, 5)
        )
    )


class Hooked(nn.Module):
    """A convolution whose output is then used by a function: ``after`` decides what becomes of it."""

    def __init__(self, after: nn.Module) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)
        self.after = after
        seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.convolution(x))


class Shared(nn.Module):
    """One rectifier called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1)
        self.rectifier = nn.ReLU(inplace=True)
        seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.rectifier(self.second(self.rectifier(self.first(x))))


class Returning(nn.Module):
    """A submodule ``part`` whose output is what ``shape`` makes of a convolution's."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.part = part
        seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        self.part(x)
        return x
