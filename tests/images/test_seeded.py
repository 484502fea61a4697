"""Pictures that start at a given one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from neuronatlas.errors import WrongInput
from neuronatlas.images.fourier import Fourier
from neuronatlas.images.pixels import Pixels
from neuronatlas.images.seeded import Seeded

BASES = [
    Fourier(),
    Fourier(decay=1.5, contrast_cap=20.0),
    Fourier(colours="photographs"),
    Fourier(decorrelate=False, contrast_cap=20.0),
    Pixels(),
    Pixels(contrast_cap=20.0),
]


def picture(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.uniform(0.02, 0.98, shape).astype(np.float32)


def start(seeded: Seeded, size: tuple[int, int], count: int = 1) -> np.ndarray:
    numbers = seeded.start(size, [torch.Generator().manual_seed(seed) for seed in range(count)])
    return seeded.image(numbers, size).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("size", [(16, 16), (9, 14), (31, 20), (1, 5), (150, 170)])
def test_the_start_is_the_picture(base: Fourier | Pixels, size: tuple[int, int], rng: np.random.Generator) -> None:
    seed = rng.uniform(0.15, 0.85, (*size, 3)).astype(np.float32)
    made = start(Seeded(seed, base=base), size, 2)
    np.testing.assert_allclose(made[0], seed, rtol=0, atol=1e-5)
    assert np.array_equal(made[0], made[1])


def test_the_whole_range_is_met_within_two_thousandths(rng: np.random.Generator) -> None:
    seed = picture(rng, 40, 50, 3)
    np.testing.assert_allclose(start(Seeded(seed), (40, 50))[0], seed, rtol=0, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 4])
def test_other_numbers_of_channels(channels: int, rng: np.random.Generator) -> None:
    seed = picture(rng, 12, 9, channels)
    np.testing.assert_allclose(start(Seeded(seed, base=Fourier(channels=channels)), (12, 9))[0], seed, atol=1e-5)


def test_black_and_white_are_brought_just_inside() -> None:
    seed = np.zeros((10, 10, 3), np.float32)
    seed[:, 5:] = 1
    np.testing.assert_allclose(start(Seeded(seed), (10, 10))[0], seed.clip(0.02, 0.98), rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(20, 30), (61, 33), (120, 90)])
def test_another_size_is_resized_as_pillow_does(size: tuple[int, int], rng: np.random.Generator) -> None:
    seed = rng.uniform(0.1, 0.9, (60, 45, 3)).astype(np.float32)
    made = start(Seeded(seed), size)[0]
    for channel in range(3):
        plane = Image.fromarray(seed[:, :, channel]).resize((size[1], size[0]), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(made[:, :, channel], np.asarray(plane), rtol=0, atol=2e-4)


def test_a_tensor_does_as_well_and_is_copied(rng: np.random.Generator) -> None:
    seed = torch.from_numpy(picture(rng, 8, 8, 3))
    seeded = Seeded(seed.double())
    before = start(seeded, (8, 8))
    assert seeded == Seeded(seed)
    seed.zero_()
    assert np.array_equal(before, start(seeded, (8, 8)))


@pytest.mark.parametrize(
    ("seed", "message"),
    [
        (np.full((4, 4, 3), 1.5), r"picture \(from 1.5 to 1.5\) must hold values in 0..1"),
        (np.full((4, 4, 3), np.nan), "must hold values in 0..1"),
        (np.zeros((4, 4, 1)), r"picture \(shape \(4, 4, 1\)\) must be of shape \(h, w, 3\)"),
        (np.zeros((0, 4, 3)), "must be of shape"),
    ],
)
def test_what_is_no_picture_is_refused(seed: np.ndarray, message: str) -> None:
    with pytest.raises(WrongInput, match=message):
        Seeded(seed)


def test_a_bound_below_the_contrast_of_the_picture_is_refused(rng: np.random.Generator) -> None:
    seeded = Seeded(picture(rng, 16, 16, 3), base=Fourier(contrast_cap=0.5))
    with pytest.raises(WrongInput, match=r"contrast_cap \(=0.5\) must be above the picture's own contrast of"):
        start(seeded, (16, 16))
