"""What the contract of networks looks at: outputs, means, slopes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from neuronatlas.networks import Network


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch uses one thread: so small are these networks that more only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def outputs(network: Network, names: list[str], shown: Tensor, *, wake: bool = False) -> dict[str, Tensor]:
    """The layers' outputs."""
    with network.capture(names, wake=wake) as run:
        return run(shown)


def means(network: Network, name: str, output: Tensor) -> Tensor:
    """Each unit's mean over its positions, (n, units)."""
    return (
        output.movedim(network.layers[name].unit_axis + 1, 1)
        .reshape(*output.shape[:1], network.layers[name].units, -1)
        .mean(2)
    )


def slopes(network: Network, layers: Mapping[str, int], shown: Tensor, *, wake: bool = False) -> Tensor:
    """The gradient, with respect to the pictures, of the sum of these layers' units' means."""
    given = shown.clone().requires_grad_(True)
    with network.capture(list(layers), wake=wake) as run:
        total = torch.zeros(())
        for name, output in run(given).items():
            total = total + means(network, name, output)[:, layers[name]].sum()
        return torch.autograd.grad(total, given)[0]


def near(one: Tensor, other: Tensor, tolerance: float) -> bool:
    """Equal in shape, and everywhere to within a share of the largest number?"""
    return one.shape == other.shape and float((one - other).abs().max()) <= tolerance * float(other.abs().max())


def assert_close(found: Tensor, expected: Tensor, tolerance: float, name: str) -> None:
    """Equal in shape, and everywhere to within a share of the largest number."""
    assert found.shape == expected.shape, name
    apart, largest = float((found - expected).abs().max()), float(expected.abs().max())
    assert apart <= tolerance * largest, f"{name}: {apart} apart, where the largest is {largest}"
