"""Affine against scipy's resampling; Lucid's chain against Lucent's own work, loops, and what its numbers mean."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.reference import transforms as slow

from neuronatlas.images.transforms import Affine, LucidChain, Transform, lucid
from neuronatlas.images.transforms.base import option


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("transform", [Affine(), Affine(shift=9.0, scale=0.3, degrees=70.0)])
@pytest.mark.parametrize(("height", "width"), [(24, 24), (20, 33), (31, 12)])
def test_affine_agrees_with_scipy_up_to_the_border(transform: Affine, height: int, width: int) -> None:
    images = torch.rand((4, 3, height, width), generator=generator(1), dtype=torch.float64)
    draws = transform.draw(4, generator(2)).double()
    found = transform(images, draws).numpy()
    for index in range(4):
        (expected,) = slow.transformed(transform.settings, images[index].numpy(), draws[index].numpy())
        np.testing.assert_allclose(found[index], expected, rtol=0, atol=1e-9)


def test_affine_without_draws_is_no_change() -> None:
    images = torch.rand((2, 3, 13, 18), generator=generator())
    torch.testing.assert_close(Affine()(images, torch.zeros(2, 4)), images, rtol=0, atol=1e-5)


def test_affine_draws_evenly_from_both_sides() -> None:
    draws = Affine().draw(4000, generator())
    assert draws.shape == (4000, 4)
    assert draws.min() < -0.99
    assert draws.max() > 0.99
    assert draws.abs().max() <= 1
    assert draws.mean(0).abs().max() < 0.05
    assert draws.var(0).sub(1 / 3).abs().max() < 0.02


def test_affine_moves_each_picture_by_its_own_draw() -> None:
    images = torch.rand((1, 3, 16, 16), generator=generator()).repeat(3, 1, 1, 1)
    draws = Affine().draw(3, generator())
    together = Affine()(images, draws)
    for index in range(3):
        torch.testing.assert_close(together[index : index + 1], Affine()(images[:1], draws[index : index + 1]))
    assert not torch.allclose(together[0], together[1], atol=1e-2)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_shared_affine_moves_all_as_the_first(layout: torch.memory_format) -> None:
    images = torch.rand((5, 3, 17, 24), generator=generator(1)).to(memory_format=layout).requires_grad_(True)
    draws = Affine().draw(5, generator(2))
    weights = torch.rand((5, 3, 17, 24), generator=generator(3))
    moved = Affine(shared=True)(images, draws)
    each = Affine()(images, draws[:1].expand(5, -1))
    assert torch.equal(moved, each)
    assert torch.equal(*(torch.autograd.grad((out * weights).sum(), images)[0] for out in (moved, each)))


def test_affine_shifts_by_pixels() -> None:
    images = torch.rand((1, 3, 16, 20), generator=generator())
    moved = Affine(shift=3.0)(images, torch.tensor([[1.0, -1.0, 0.0, 0.0]]))
    torch.testing.assert_close(moved[:, :, 3:, :-3], images[:, :, :-3, 3:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("transform", [Affine(), LucidChain()])
def test_the_same_stream_gives_the_same_result(transform: Transform) -> None:
    images = torch.rand((2, 3, 40, 50), generator=generator(5))
    first, second, other = (transform(images, transform.draw(2, generator(seed))) for seed in (7, 7, 8))
    assert torch.equal(first, second)
    assert first.shape != other.shape or not torch.equal(first, other)


@pytest.mark.parametrize("transform", [Affine(), LucidChain()])
def test_gradients_type_and_channels_pass(transform: Transform) -> None:
    images = torch.rand((2, 4, 40, 50), generator=generator(5), dtype=torch.float64).requires_grad_(True)
    moved = transform(images, transform.draw(2, generator(7)).double())
    moved.sum().backward()
    assert moved.dtype == torch.float64
    assert moved.shape[:2] == (2, 4)
    assert images.grad is not None
    assert images.grad.abs().max() > 0


def of_lucid(*places: int) -> torch.Tensor:
    """Draws that stand for these places among 8, 8, 11, 26, 4 and 4."""
    return torch.tensor([[(place + 0.5) / count for place, count in zip(places, (8, 8, 11, 26, 4, 4), strict=True)]])


STILL = 10  # the place of an angle of nought among -10 to 10
ARCHIVE = Path(__file__).parent / "lucent_transforms.npz"


@pytest.mark.parametrize("index", range(10))
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-7), (torch.float32, 1e-5)])
def test_lucid_is_what_lucent_computes(index: int, dtype: torch.dtype, tolerance: float) -> None:
    """The archive is torch-lucent's own work: see tests/reference/make_lucent_transforms.py."""
    with np.load(ARCHIVE) as archive:
        picture, choices, expected = (archive[f"{name}_{index}"] for name in ("picture", "choices", "result"))
    upsample, *places = choices.tolist()
    moved = LucidChain(upsample=upsample or None)(torch.from_numpy(picture)[None].to(dtype), of_lucid(*places))[0]
    found = (moved[:, ::3, ::3] if upsample == 224 else moved).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("upsample", [None, 30])
@pytest.mark.parametrize(("height", "width"), [(18, 18), (25, 37), (41, 30)])
def test_lucid_agrees_with_loops(height: int, width: int, upsample: int | None) -> None:
    transform = LucidChain(upsample=upsample)
    images = torch.rand((1, 2, height, width), generator=generator(1), dtype=torch.float64)
    for draws in transform.draw(6, generator(2)):
        (expected,) = slow.transformed(transform.settings, images[0].numpy(), draws.numpy())
        found = transform(images, draws[None])[0].numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("step", range(11))
def test_lucid_changes_size_by_its_eleven_steps_and_never_shrinks(step: int) -> None:
    images = torch.rand((1, 3, 128, 96), generator=generator())
    moved = LucidChain(upsample=None)(images, of_lucid(0, 0, step, STILL, 0, 0))
    percent = 90 + 2 * step
    sizes = [-(-length * percent // 100) for length in (152, 120)]
    gaps = [max(0, length - size) for length, size in zip((152, 120), sizes, strict=True)]
    padded = sum(-(-gap // 2) for gap in gaps)  # Lucent pads both sides by half of either gap
    assert list(moved.shape[2:]) == [size + padded for size in sizes]


def test_lucid_at_rest_pads_with_grey_and_moves_over_black() -> None:
    images = torch.rand((1, 3, 32, 40), generator=generator())
    moved = LucidChain(upsample=None)(images, of_lucid(4, 1, 5, STILL, 2, 3))
    assert moved.shape[2:] == (32 + 24, 40 + 24)
    # The picture stood at 12, 12; it moved (1 + 3) rows and (4 + 2) columns.
    torch.testing.assert_close(moved[:, :, 16 : 16 + 32, 18 : 18 + 40], images, rtol=0, atol=1e-5)
    assert moved[:, :, 4:16, 6:].sub(0.5).abs().max() < 1e-5
    assert moved[:, :, :4].abs().max() < 1e-5
    assert moved[:, :, :, :6].abs().max() < 1e-5


@pytest.mark.parametrize(("size", "larger"), [((223, 300), True), ((224, 224), False), ((300, 100), True)])
def test_lucid_brings_what_has_a_short_side_to_224(size: tuple[int, int], *, larger: bool) -> None:
    moved = LucidChain()(torch.rand((1, 1, *size), generator=generator()), of_lucid(0, 0, 5, STILL, 0, 0))
    assert moved.shape[2:] == ((224, 224) if larger else (size[0] + 24, size[1] + 24))


@pytest.mark.parametrize(("place", "degrees"), [(0, -10), (4, -6), (13, 3), (20, 10), (25, 0)])
def test_lucid_turns_by_the_degrees_it_says(place: int, degrees: int) -> None:
    """A bar through the middle comes out at that angle; rows count downwards."""
    size = 121
    y, x = np.mgrid[:size, :size] - size // 2
    bar = np.exp(-((y / 3.0) ** 2)) * (np.hypot(x, y) < 50)
    images = torch.from_numpy(bar)[None, None].repeat(1, 3, 1, 1)
    moved = LucidChain(upsample=None)(images, of_lucid(0, 0, 5, place, 0, 0))
    plane = moved[0, 0].numpy() * (moved[0, 0].numpy() > 0.05)
    rows, columns = np.mgrid[: plane.shape[0], : plane.shape[1]]
    inside = np.hypot(rows - plane.shape[0] / 2, columns - plane.shape[1] / 2) < 48
    weights = plane * inside
    rows, columns = rows - np.average(rows, weights=weights), columns - np.average(columns, weights=weights)
    spread = np.array(
        [[(weights * columns**2).sum(), (weights * rows * columns).sum()], [0, (weights * rows**2).sum()]]
    )
    found = 0.5 * math.degrees(math.atan2(2 * spread[0, 1], spread[0, 0] - spread[1, 1]))
    assert abs(found) == pytest.approx(abs(degrees), abs=0.2)
    assert found * degrees <= 1e-6  # a positive angle turns one way, a negative one the other


def test_lucid_draws_as_published() -> None:
    angles = [option((place + 0.5) / 26, lucid.ANGLES) for place in range(26)]
    assert angles.count(0) == 6
    assert sorted(set(angles)) == list(range(-10, 11))
    assert [option((place + 0.5) / 11, lucid.FACTORS) for place in range(11)] == [
        pytest.approx(percent / 100) for percent in range(90, 111, 2)
    ]
    draws = LucidChain().draw(3000, generator())
    assert draws.min() >= 0
    assert draws.max() < 1
    assert draws.mean(0).sub(0.5).abs().max() < 0.03


def test_lucid_moves_the_whole_batch_alike() -> None:
    images = torch.rand((1, 3, 40, 40), generator=generator()).repeat(3, 1, 1, 1)
    moved = LucidChain()(images, LucidChain().draw(3, generator()))
    assert torch.equal(moved[0], moved[1])
    assert torch.equal(moved[0], moved[2])
