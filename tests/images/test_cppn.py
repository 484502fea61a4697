"""The pattern-producing network against one that goes pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate
from tests.reference import parametrisations as slow

from neuronatlas.images.cppn import BIAS_SD, CPPN, SPREADS


@pytest.mark.parametrize("size", [(4, 4), (3, 5), (6, 2), (1, 4)])
@pytest.mark.parametrize("layers", [1, 3])
def test_a_picture_is_that_of_its_network_at_each_pixel(
    size: tuple[int, int], layers: int, rng: np.random.Generator
) -> None:
    cppn = CPPN(width=4, layers=layers)
    numbers = rng.normal(size=(2, *cppn.shape(size)))
    found = cppn.image(torch.from_numpy(numbers), size)
    for index in range(2):
        np.testing.assert_allclose(found[index], slow.pattern(numbers[index], size, 4, layers), rtol=0, atol=1e-12)


def test_the_first_weights_are_spread_as_published() -> None:
    cppn = CPPN()
    numbers = cppn.start((8, 8), [torch.Generator().manual_seed(seed) for seed in range(8)])
    assert numbers.shape == (8, 24 * 3 + 7 * 24 * 49 + 3 * 49)
    second = numbers[:, 72 : 72 + 24 * 48]
    assert second.std() == pytest.approx(48**-0.5, rel=0.05)
    assert numbers[:, 72 + 24 * 48 : 72 + 24 * 49].std() == pytest.approx(BIAS_SD, rel=0.15)
    assert numbers[:, -3 * 49 : -3].abs().max() == 0
    assert numbers[:, -3:].std() == pytest.approx(BIAS_SD, rel=0.5)


@pytest.mark.parametrize("power", [1, 2])
def test_the_published_constants_are_the_spreads_of_the_activation(power: int) -> None:
    def density(x: float) -> float:
        return math.atan(x) ** (2 * power) * math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    mean_square, _ = integrate.quad(density, -30, 30)
    assert math.sqrt(mean_square) == pytest.approx(SPREADS[power - 1], abs=0.006)


def test_the_same_network_shows_the_same_at_another_size() -> None:
    cppn = CPPN(width=8, layers=2)
    numbers = torch.randn((1, *cppn.shape((5, 5))), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    coarse, fine = cppn.image(numbers, (5, 9)), cppn.image(numbers, (9, 17))
    torch.testing.assert_close(fine[:, :, ::2, ::2], coarse, rtol=0, atol=1e-12)
