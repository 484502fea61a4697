"""Gabor functions are found again, a filter is a network's own weights, and noise is no Gabor function."""

import numpy as np
import pytest
import torch
from torch import nn

from neuronatlas.errors import WrongInput
from neuronatlas.gallery.gabor import fit_gabor, linear_filter, main_pattern
from neuronatlas.networks import as_network
from tests.networks import models


def gabor(
    side: int,
    *,
    angle: float,
    wavelength: float,
    across: float,
    along: float,
    centre: tuple[float, float],
    phase: float,
) -> np.ndarray:
    """By the formula: a wave that runs along ``angle`` (degrees from the columns' axis), under a bell."""
    made = np.empty((side, side))
    for row in range(side):
        for column in range(side):
            x, y = column - centre[1], row - centre[0]
            u = x * np.cos(np.radians(angle)) + y * np.sin(np.radians(angle))
            v = y * np.cos(np.radians(angle)) - x * np.sin(np.radians(angle))
            wave = np.cos(2 * np.pi * u / wavelength + np.radians(phase))
            made[row, column] = np.exp(-0.5 * ((u / across) ** 2 + (v / along) ** 2)) * wave
    return made


@pytest.mark.parametrize("angle", [0, 35, 90, 150])
@pytest.mark.parametrize("phase", [0, 90])
def test_a_gabor_function_is_found_again(angle: float, phase: float) -> None:
    pattern = gabor(13, angle=angle, wavelength=5, across=2.2, along=3, centre=(6.4, 5.7), phase=phase)
    found = fit_gabor(3 * pattern + 2)
    assert found.correlation > 0.999
    np.testing.assert_allclose(found.image, 3 * pattern + 2, atol=0.02)
    turned = (found.orientation - (angle + 90)) % 180
    assert min(turned, 180 - turned) < 1
    assert found.wavelength == pytest.approx(5, rel=0.03)
    assert (found.across, found.along) == pytest.approx((2.2, 3), rel=0.05)
    assert found.centre == pytest.approx((6.4, 5.7), abs=0.1)


def test_upright_stripes_stand_at_90_degrees() -> None:
    stripes = np.tile(np.cos(2 * np.pi * np.arange(12) / 4), (12, 1))
    assert fit_gabor(stripes).orientation == pytest.approx(90, abs=1)
    lying = fit_gabor(stripes.T).orientation
    assert min(lying, 180 - lying) < 1


def test_noise_is_no_gabor_function() -> None:
    rng = np.random.default_rng(1)
    found = [fit_gabor(rng.normal(size=(13, 13))).correlation for _ in range(4)]
    assert max(found) < 0.7
    assert all(each > 0 for each in found)


def test_the_same_pattern_gives_the_same_fit() -> None:
    pattern = np.random.default_rng(2).normal(size=(9, 9))
    assert fit_gabor(pattern).image.tobytes() == fit_gabor(pattern).image.tobytes()


def test_the_filter_of_a_first_convolution_is_its_weights() -> None:
    module = models.seeded(nn.Sequential(nn.Conv2d(3, 4, (7, 5), padding=3), nn.ReLU()))
    network = as_network(module.eval(), input_size=24, normalise=((0.5, 0.4, 0.3), (0.2, 0.5, 0.25)))
    weights = module[0].weight.detach()  # type: ignore[union-attr]
    for unit in range(4):
        expected = weights[unit].permute(1, 2, 0).numpy() / np.array([0.2, 0.5, 0.25])  # type: ignore[operator]
        np.testing.assert_allclose(linear_filter(network, f"0:{unit}"), expected, rtol=1e-4)
    corner = linear_filter(network, "0:1@0,0")
    assert corner.shape == (4, 2, 3)  # the rest lies outside the picture


def test_the_main_pattern_is_what_all_colours_share() -> None:
    pattern = np.random.default_rng(3).normal(size=(6, 7))
    found, share = main_pattern(pattern[..., None] * np.array([0.6, 0.0, -0.2]))
    assert share == pytest.approx(1)
    np.testing.assert_allclose(found, pattern * np.hypot(0.6, 0.2), atol=1e-9)
    other = np.random.default_rng(4).normal(size=(6, 7))
    mixed = np.stack([pattern, other, 0 * other], 2)
    assert 0.3 < main_pattern(mixed)[1] < 0.9


def test_refusals() -> None:
    network = models.wrap(models.fixed(), 32)
    with pytest.raises(WrongInput, match=r"unit 3:0 is of a layer without a map \(its shape is \(5,\)\)"):
        linear_filter(network, "3:0")
    silent = models.plain()
    with torch.no_grad():
        silent[3].weight[2] = 0  # type: ignore[index, operator]
    with pytest.raises(WrongInput, match="unit 3:2 is not moved by any pixel"):
        linear_filter(models.wrap(silent, 32), "3:2")
    for wrong in (np.zeros((4, 9)), np.zeros((9, 9)), np.full((9, 9), np.nan)):
        with pytest.raises(WrongInput, match=r"must be 5 x 5 or more finite numbers"):
            fit_gabor(wrong)
