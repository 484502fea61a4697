"""The colour matrices: Lucid's published one, and ours measured again."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.reference.fourier import LUCID_ROOT

from neuronatlas.errors import UnknownName
from neuronatlas.images.colour import MATRICES, PHOTOGRAPHS, colour_root, from_picture, to_picture, to_rgb


def test_each_axis_gives_its_column_of_the_published_matrix() -> None:
    axes = torch.eye(3, dtype=torch.float64).view(3, 3, 1, 1)
    found = to_rgb(axes)[:, :, 0, 0].T
    longest = (0.26**2 + 2 * 0.27**2) ** 0.5
    torch.testing.assert_close(found, torch.from_numpy(LUCID_ROOT / longest), rtol=1e-12, atol=1e-12)


def test_the_first_axis_is_nearly_brightness() -> None:
    grey = to_rgb(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)).flatten()
    assert grey.min() > 0.5
    assert grey.max() - grey.min() < 0.05


def test_type_and_shape_stay() -> None:
    images = torch.rand(2, 3, 4, 5, dtype=torch.float16)
    assert to_rgb(images).dtype == torch.float16
    assert to_rgb(images).shape == images.shape


def test_the_root_of_colours_made_from_known_axes_is_those_axes(rng: np.random.Generator) -> None:
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    spreads = np.array([40.0, 15.0, 5.0])
    colours = 128 + rng.normal(size=(200_000, 3)) * spreads @ axes.T
    root = colour_root(np.rint(colours).clip(0, 255).astype(np.uint8).reshape(1, 400, 500, 3))
    expected = axes * np.where(axes[0] < 0, -1, 1) * spreads / 255
    np.testing.assert_allclose(root, expected, rtol=0, atol=0.002)


def test_the_root_squared_is_the_covariance(rng: np.random.Generator) -> None:
    pictures = rng.integers(0, 256, (2, 7, 9, 3), dtype=np.uint8)
    pictures[..., 1] = pictures[..., 0] // 2 + pictures[..., 1] // 2
    root = colour_root(pictures)
    values = [
        [pixel[channel] / 255 for picture in pictures for row in picture for pixel in row] for channel in range(3)
    ]
    means = [sum(each) / len(each) for each in values]
    for one in range(3):
        for two in range(3):
            pairs = zip(values[one], values[two], strict=True)
            expected = sum((a - means[one]) * (b - means[two]) for a, b in pairs) / len(values[0])
            assert (root @ root.T)[one, two] == pytest.approx(expected, abs=1e-12)
    lengths = np.linalg.norm(root, axis=0)
    assert (np.diff(lengths) < 0).all()
    assert (root[0] > 0).all()


def test_the_shipped_numbers_are_what_the_photographs_give() -> None:
    measure = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "measure_images.py"))
    np.testing.assert_allclose(PHOTOGRAPHS, colour_root(measure["pictures"]()), rtol=0, atol=2e-4)


@pytest.mark.parametrize("colours", MATRICES)
@pytest.mark.parametrize("cap", [None, 2.5])
def test_back_from_pictures_to_logits(colours: str, cap: float | None) -> None:
    logits = torch.randn((2, 3, 5, 4), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pictures = to_picture(logits, colours, cap)
    torch.testing.assert_close(from_picture(pictures, colours, cap), logits, rtol=0, atol=1e-10)


def test_an_unknown_matrix_is_named() -> None:
    with pytest.raises(UnknownName, match="no colour matrix 'photograph': did you mean 'photographs'"):
        to_rgb(torch.zeros(1, 3, 2, 2), "photograph")
