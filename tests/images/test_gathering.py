"""Sampling by a sparse matrix: held against torch's own sampling, and its gradient against finite differences."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from neuronatlas.images.transforms import Affine
from neuronatlas.images.transforms.gathering import ENOUGH, gathered
from neuronatlas.images.transforms.geometry import MODES, Move, _grid

MATRICES = {
    "nothing": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "turned": ((0.93, -0.21, 2.3), (0.19, 1.07, -1.6)),
    "far outside": ((1.4, 0.3, -31.7), (-0.2, 1.9, 40.2)),
    "mirrored": ((-1.0, 0.0, 19.0), (0.0, 0.5, 0.25)),
}


@pytest.mark.parametrize("rule", MODES)
@pytest.mark.parametrize("name", MATRICES)
def test_it_gives_what_torch_gives_and_so_does_its_gradient(name: str, rule: str) -> None:
    matrix = MATRICES[name]
    planes = torch.rand((5, 17, 20), dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weights = torch.rand((5, 14, 23), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    grid = _grid(Move(torch.tensor([matrix], dtype=torch.float64), (14, 23)), (17, 20))
    expected = functional.grid_sample(planes[None], grid, padding_mode=MODES[rule], align_corners=False)[0]
    found = gathered(planes, matrix, (14, 23), rule)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        torch.autograd.grad(found, planes, weights)[0],
        torch.autograd.grad(expected, planes, weights)[0],
        rtol=0,
        atol=1e-12,
    )


def test_its_gradient_is_that_of_finite_differences() -> None:
    planes = torch.rand((2, 5, 6), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda given: gathered(given, MATRICES["turned"], (4, 7), "mirror"), (planes,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_pictures_by_one_draw_are_the_same_as_few(dtype: torch.dtype) -> None:
    transform = Affine(shared=True, shift=9.0, degrees=20.0, crop=2)
    draw = transform.draw(1, torch.Generator().manual_seed(3))
    many = -(-ENOUGH // 3)
    pictures = torch.rand((many, 3, 24, 31), generator=torch.Generator().manual_seed(4), dtype=torch.float64).to(dtype)
    together = transform.alike(pictures, draw)
    apart = torch.cat(
        [transform.alike(picture[None], draw) for picture in pictures]
    )  # too few planes: torch's own sampling
    assert together.dtype == dtype
    torch.testing.assert_close(together, apart, rtol=0, atol=2e-5 if dtype == torch.float32 else 1e-12)


def test_the_company_of_a_plane_changes_no_bit() -> None:
    planes = torch.rand((64, 24, 24), generator=torch.Generator().manual_seed(5))
    matrix = MATRICES["turned"]
    whole = gathered(planes, matrix, (24, 24), "mirror")
    part = gathered(planes[7:50], matrix, (24, 24), "mirror")
    assert torch.equal(whole[7:50], part)
