"""A small network that any process can make, and pictures for it."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path

import torch
from PIL import Image

from neuronatlas import stimuli
from neuronatlas.networks import Network, as_network


def module() -> torch.nn.Module:
    """Two convolutions with a batch norm between, 20 units in all that can be drawn."""
    generator = torch.Generator().manual_seed(5)
    made = torch.nn.Sequential(
        torch.nn.Conv2d(3, 12, 5, stride=2),
        torch.nn.BatchNorm2d(12),
        torch.nn.ReLU(),
        torch.nn.Conv2d(12, 20, 3),
        torch.nn.ReLU(),
    )
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) / max(1, weight[0].numel()) ** 0.5)
        made[1].running_mean.copy_(torch.randn(12, generator=generator) / 5)
        made[1].running_var.copy_(torch.rand(12, generator=generator) + 0.5)
    return made.eval()


def network() -> Network:
    """The module as a network of pictures of 32 pixels."""
    return as_network(module(), input_size=32, normalise="0..1", name="tiny")


def pictures(folder: Path, count: int = 150) -> Path:
    """Crops of real photographs, in two classes."""
    for number, item in enumerate(stimuli.photographs().items[:count]):
        place = folder / ("even" if number % 2 == 0 else "odd") / f"{number:03d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(item.draw(40)).save(place)
    return folder


def digest(atlas: Path) -> str:
    """One digest over all shards, and over the page."""
    total = hashlib.sha256()
    kept = [path for name in ("shards", "site") for path in sorted((atlas / name).rglob("*")) if path.is_file()]
    for path in (*kept, atlas / "atlas.json", atlas / "plan.json"):
        total.update(str(path.relative_to(atlas)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


class Slow(torch.nn.Conv2d):
    """Takes its time, in a call that cannot be interrupted from Python."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.02)
        return super().forward(x)


class Crashing(torch.nn.Conv2d):
    """Ends its process where a gradient is wanted."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.requires_grad:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().forward(x)


def slow_network() -> Network:
    """The network, slow in its second convolution."""
    return _of(Slow)


def network_that_crashes() -> Network:
    """The network, of which nothing behind the second convolution can be rendered."""
    return _of(Crashing)


def _of(second: type[torch.nn.Conv2d]) -> Network:
    made = module()
    made[3].__class__ = second
    return as_network(made, input_size=32, normalise="0..1", name="tiny")
