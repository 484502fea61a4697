"""The colour matrix is Lucid's published one."""

from __future__ import annotations

import torch
from tests.reference.fourier import LUCID_ROOT

from neuronatlas.images.colour import to_rgb


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
