"""Pyramids against bilinear enlarging written out, and what pictures share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.reference import fourier as slow_fourier
from tests.reference import parametrisations as slow

from neuronatlas.images.fourier import Fourier
from neuronatlas.images.pyramid import Laplacian, LowRes


@pytest.mark.parametrize(
    ("size", "levels", "sizes"),
    [
        ((8, 8), None, [(8, 8), (4, 4)]),
        ((16, 9), None, [(16, 9), (8, 4)]),
        ((3, 5), None, [(3, 5)]),
        ((7, 10), 4, [(7, 10), (3, 5), (1, 2), (1, 1)]),
        ((7, 10), 1, [(7, 10)]),
    ],
)
def test_a_laplacian_picture_is_the_sum_of_its_levels(
    size: tuple[int, int], levels: int | None, sizes: list[tuple[int, int]], rng: np.random.Generator
) -> None:
    laplacian = Laplacian(levels=levels)
    numbers = rng.normal(size=(2, 3 * sum(height * width for height, width in sizes)))
    assert laplacian.shape(size) == numbers.shape[1:]
    found = laplacian.image(torch.from_numpy(numbers), size)
    for index in range(2):
        expected = slow_fourier.coloured(slow.pyramid(numbers[index], sizes, 3, size))
        np.testing.assert_allclose(found[index], expected, rtol=0, atol=1e-12)


def test_the_levels_go_down_to_four_pixels() -> None:
    for side, levels in ((3, 1), (4, 1), (7, 1), (8, 2), (64, 5), (127, 5), (128, 6)):
        assert Laplacian().shape((side, side)) == Laplacian(levels=levels).shape((side, side))


def test_a_lowres_picture_is_its_own_waves_and_the_mean_of_what_is_shared(rng: np.random.Generator) -> None:
    size, sizes = (6, 9), [(3, 4), (1, 2), (1, 1)]
    own, shared = 3 * 6 * 5 * 2, 3 * (12 + 2 + 1)
    lowres = LowRes(factors=(2, 4, 8), contrast_cap=0.8)
    assert lowres.shape(size) == (own + shared,)
    numbers = rng.normal(size=(3, own + shared))
    found = lowres.image(torch.from_numpy(numbers), size)
    common = slow.pyramid(numbers[:, own:].mean(0), sizes, 3, size)
    for index in range(3):
        planes = slow_fourier.logits(numbers[index, :own].reshape(3, 6, 5, 2), *size) + common
        expected = slow_fourier.coloured(slow_fourier.capped(planes, 0.8))
        np.testing.assert_allclose(found[index], expected, rtol=0, atol=1e-12)


def test_what_one_picture_shares_changes_the_others_and_its_own_does_not() -> None:
    lowres, size = LowRes(), (16, 16)
    own = int(np.prod(Fourier().shape(size)))
    numbers = lowres.start(size, [torch.Generator().manual_seed(seed) for seed in range(4)]).requires_grad_(True)
    lowres.image(numbers, size)[2, 0, 5, 5].backward()
    assert numbers.grad is not None
    reached = numbers.grad.abs()
    assert (reached[:, own:].amax(1) > 0).all()
    assert (reached[:, :own].amax(1) > 0).tolist() == [False, False, True, False]


def test_in_a_company_of_copies_a_lowres_picture_is_as_alone() -> None:
    lowres, size = LowRes(contrast_cap=1.5), (20, 13)
    alone = lowres.start(size, [torch.Generator().manual_seed(3)]) * 20
    assert torch.equal(lowres.image(alone.repeat(4, 1), size)[2], lowres.image(alone, size)[0])
