"""The Fourier parametrisation against a sum over every frequency."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.reference import fourier as slow

from neuronatlas.images.fourier import Fourier


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 10), (9, 5), (1, 6), (6, 1)])
@pytest.mark.parametrize("cap", [None, 0.3])
def test_a_picture_is_the_sum_of_its_waves(
    height: int, width: int, cap: float | None, rng: np.random.Generator
) -> None:
    numbers = rng.normal(size=(2, 3, height, width // 2 + 1, 2))
    found = Fourier(contrast_cap=cap).image(torch.from_numpy(numbers), (height, width))
    for index in range(2):
        expected = slow.picture(numbers[index], height, width, cap=cap)
        np.testing.assert_allclose(found[index], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_number_of_channels_is_made_without_a_colour_matrix(channels: int, rng: np.random.Generator) -> None:
    numbers = rng.normal(size=(1, channels, 6, 4, 2))
    found = Fourier(channels=channels, contrast_cap=0.7).image(torch.from_numpy(numbers), (6, 7))
    planes = slow.capped(slow.logits(numbers[0], 6, 7), 0.7)
    np.testing.assert_allclose(found[0], 1 / (1 + np.exp(-planes)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.5])
def test_the_decay_is_the_power_of_the_frequency(decay: float, rng: np.random.Generator) -> None:
    numbers = rng.normal(size=(1, 3, 6, 4, 2))
    found = Fourier(decay=decay, decorrelate=False).image(torch.from_numpy(numbers), (6, 7))
    planes = slow.logits(numbers[0], 6, 7, decay=decay)
    np.testing.assert_allclose(found[0], 1 / (1 + np.exp(-planes)), rtol=0, atol=1e-12)


def test_what_is_kept_from_inference_serves_gradients() -> None:
    fourier, size = Fourier(contrast_cap=1.25), (10, 14)
    numbers = fourier.start(size, generators(0))
    with torch.inference_mode():
        seen = fourier.image(numbers, size)
    with_gradient = fourier.image(numbers.requires_grad_(True), size)
    with_gradient[0, 0, 3, 3].backward()
    assert torch.equal(seen, with_gradient)
    assert numbers.grad is not None
    assert numbers.grad.abs().max() > 0


def test_many_at_once_are_those_made_one_by_one() -> None:
    fourier, size = Fourier(contrast_cap=1.5), (20, 31)
    together = fourier.start(size, generators(3, 1, 4))
    for index, seed in enumerate((3, 1, 4)):
        alone = fourier.start(size, generators(seed))
        assert torch.equal(alone[0], together[index])
        assert torch.equal(fourier.image(alone, size)[0], fourier.image(together, size)[index])


def test_the_start_is_random_numbers_of_the_spread_asked_for() -> None:
    numbers = Fourier(sd=0.02).start((64, 64), generators(0))
    assert numbers.shape == (1, 3, 64, 33, 2)
    assert numbers.std() == pytest.approx(0.02, rel=0.02)
    assert abs(float(numbers.mean())) < 0.001
    assert not torch.equal(numbers, Fourier(sd=0.02).start((64, 64), generators(1)))


def test_pictures_lie_in_0_to_1_and_start_grey() -> None:
    fourier, size = Fourier(), (32, 24)
    start = fourier.start(size, generators(0, 1))
    assert fourier.image(start, size).sub(0.5).abs().max() < 0.2
    wild = fourier.image(1000 * start, size)
    assert wild.min() >= 0
    assert wild.max() <= 1
    assert wild.std() > 0.3


def test_the_cap_bounds_contrast_and_leaves_faint_pictures_alone() -> None:
    size = (32, 32)
    start = Fourier().start(size, generators(0))
    for factor, low, high in ((0.01, 0.0, 1e-3), (1e4, 1.5 - 1e-3, 1.5)):
        capped = Fourier(contrast_cap=1.5).image(factor * start, size).double().logit()
        free = Fourier().image(factor * start, size).double().logit()
        # Back to the decorrelated axes, where the cap is defined.
        matrix = torch.from_numpy(slow.LUCID_ROOT / np.linalg.norm(slow.LUCID_ROOT, axis=0).max())
        contrast = torch.einsum("rc,nchw->nrhw", matrix.inverse(), capped).square().mean().sqrt()
        assert low <= contrast <= high + 1e-4
        if factor < 1:
            torch.testing.assert_close(capped, free, rtol=1e-3, atol=1e-6)


def test_the_gradient_is_that_of_finite_differences() -> None:
    fourier = Fourier(contrast_cap=0.5)
    numbers = torch.randn(2, 3, 4, 3, 2, dtype=torch.float64, generator=generators(0)[0]).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda given: fourier.image(given, (4, 5)), (numbers,))


def test_the_gradient_is_finite_for_a_picture_of_nothing() -> None:
    for cap in (None, 1.5):
        numbers = torch.zeros(1, 3, 8, 5, 2).requires_grad_(True)
        Fourier(contrast_cap=cap).image(numbers, (8, 8))[0, 0, 3, 3].backward()
        assert numbers.grad is not None
        assert numbers.grad.isfinite().all()
        assert numbers.grad.abs().max() > 0
