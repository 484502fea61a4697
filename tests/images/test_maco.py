"""Natural spectra and pictures of given magnitudes against sums wave by wave, and the shipped measurement again."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from tests.reference import fourier as slow_fourier
from tests.reference import parametrisations as slow

from neuronatlas.errors import WrongInput
from neuronatlas.images.maco import Maco
from neuronatlas.images.spectrum import natural_spectrum, photographs_spectrum, resampled

MEASURED = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "measure_images.py"))


def decorrelated(pictures: np.ndarray) -> np.ndarray:
    """(n, 3, h, w) in the axes of Lucid's matrix, less the mean colour."""
    longest = np.linalg.norm(slow_fourier.LUCID_ROOT, axis=0).max()
    values = pictures / 255
    values = values - values.reshape(-1, 3).mean(0)
    solved = np.linalg.solve(slow_fourier.LUCID_ROOT / longest, values.reshape(-1, 3).T)
    return solved.reshape(3, *pictures.shape[:3]).swapaxes(0, 1)


def band(size: tuple[int, int]) -> np.ndarray:
    """The frequency of each coefficient in cycles a picture."""
    return np.hypot(np.fft.fftfreq(size[0])[:, None] * size[0], np.arange(size[1] // 2 + 1))


@pytest.mark.parametrize("size", [(8, 8), (9, 8), (8, 11)])
def test_a_picture_is_the_sum_of_waves_of_the_magnitudes_given(size: tuple[int, int], rng: np.random.Generator) -> None:
    magnitudes = rng.uniform(0.1, 1, (3, size[0], size[1] // 2 + 1)).astype(np.float32)
    maco = Maco(magnitudes)
    phases = rng.uniform(-4, 4, (1, *maco.shape(size)))
    found = maco.image(torch.from_numpy(phases), size)
    expected = slow_fourier.coloured(slow.of_phases(magnitudes, phases[0], *size))
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-6)  # the magnitudes are kept in single precision


def test_whatever_the_phases_the_magnitudes_keep_their_proportions(rng: np.random.Generator) -> None:
    size = (32, 48)
    longest = np.linalg.norm(slow_fourier.LUCID_ROOT, axis=0).max()
    for _ in range(2):
        phases = torch.from_numpy(rng.uniform(-9, 9, (1, 3, 32, 25)))
        logits = Maco().image(phases, size).logit()[0].numpy()
        planes = np.linalg.solve(slow_fourier.LUCID_ROOT / longest, logits.reshape(3, -1)).reshape(3, *size)
        ratio = (np.abs(np.fft.rfft2(planes)) / resampled(photographs_spectrum().astype(float), size))[:, :, 1:-1]
        np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-5)


def test_phases_start_evenly_around_the_circle() -> None:
    phases = Maco().start((64, 64), [torch.Generator().manual_seed(seed) for seed in range(4)])
    assert phases.abs().max() <= np.pi
    counts, _ = np.histogram(phases.numpy(), bins=8, range=(-np.pi, np.pi))
    assert abs(counts / counts.mean() - 1).max() < 0.05


@pytest.mark.parametrize("size", [(8, 8), (9, 10)])
def test_the_natural_spectrum_is_the_mean_of_periodic_parts(size: tuple[int, int], rng: np.random.Generator) -> None:
    pictures = rng.integers(0, 256, (3, *size, 3), dtype=np.uint8)
    pictures[:, 0] //= 4  # a jump from border to border
    found = natural_spectrum(pictures, size)
    expected = np.mean(
        [[slow.magnitudes(slow.periodic(plane)) for plane in planes] for planes in decorrelated(pictures)], axis=0
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_ramp_is_no_upright_stripe() -> None:
    ramp = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8)[None, None, :, None], (1, 64, 64, 3))
    plain = np.abs(np.fft.rfft2(decorrelated(ramp)[0], norm="ortho"))
    assert natural_spectrum(ramp, (64, 64))[0, 0, 8:].max() < 0.1 * plain[0, 0, 8:].max()


def test_pictures_of_another_size_are_resized_first(rng: np.random.Generator) -> None:
    smooth = ndimage.gaussian_filter(rng.normal(size=(2, 64, 80, 3)), (0, 8, 8, 0), mode="wrap")
    fine = np.rint(128 + 40 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)
    shrunk = [Image.fromarray(picture).resize((20, 16), Image.Resampling.BILINEAR) for picture in fine]
    found, expected = natural_spectrum(fine, (16, 20)), natural_spectrum(np.stack(shrunk), (16, 20))
    low = band((16, 20)) <= 2
    np.testing.assert_allclose(found[:, low], expected[:, low], rtol=0.1)


@pytest.mark.parametrize("size", [(64, 64), (40, 40), (33, 21), (17, 60)])
def test_a_smaller_picture_keeps_its_cycles_a_picture(size: tuple[int, int]) -> None:
    given = photographs_spectrum().astype(np.float64)
    rows = [round(row) for row in np.fft.fftfreq(size[0]) * size[0]]
    np.testing.assert_allclose(resampled(given, size), given[:, rows, : size[1] // 2 + 1], rtol=1e-12)


@pytest.mark.parametrize("size", [(128, 128), (176, 90), (65, 301)])
@pytest.mark.parametrize("measured", [(32, 32), (31, 33), (24, 40)])
def test_a_larger_picture_continues_the_power_law(size: tuple[int, int], measured: tuple[int, int]) -> None:
    powers = np.array([0.8, 1.0, 1.4])[:, None, None]
    given = 1 / band(measured).clip(min=0.5) ** powers
    expected = 1 / band(size).clip(min=0.5) ** powers
    np.testing.assert_allclose(resampled(given, size) / expected, 1, rtol=0.03)


def test_the_shipped_spectrum_is_what_the_photographs_give() -> None:
    pictures = MEASURED["pictures"]()
    assert len(pictures) == 140
    found = MEASURED["low_frequencies"](natural_spectrum(pictures, (128, 128)))
    np.testing.assert_allclose(photographs_spectrum(), found, rtol=0.01, atol=1e-4)  # decoders of JPEG differ a little


def test_the_shipped_spectrum_falls_as_natural_ones_do() -> None:
    bright = photographs_spectrum()[0]
    radius = band((64, 64))
    slope = np.polyfit(np.log(radius[radius >= 1]), np.log(bright[radius >= 1]), 1)[0]
    assert -1.5 < slope < -0.8


@pytest.mark.parametrize(
    ("magnitudes", "message"),
    [
        (np.zeros((3, 16, 9)), "not all of them 0"),
        (-np.ones((3, 16, 9)), "0 or more"),
        (np.full((3, 16, 9), np.nan), "finite"),
        (np.ones((1, 16, 9)), r"magnitudes \(shape \(1, 16, 9\)\) must be of shape \(3, h, w // 2 \+ 1\)"),
        (np.ones((3, 16, 4)), "at least 8"),
    ],
)
def test_magnitudes_without_meaning_are_refused(magnitudes: np.ndarray, message: str) -> None:
    with pytest.raises(WrongInput, match=message):
        Maco(magnitudes)


def test_no_pictures_have_no_spectrum() -> None:
    with pytest.raises(WrongInput, match=r"pictures \(shape \(0, 8, 8, 3\)\) must hold one at least"):
        natural_spectrum(np.zeros((0, 8, 8, 3), np.uint8), (8, 8))
