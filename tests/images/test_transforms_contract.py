"""What holds for every transform: shapes, types, gradients, draws, settings, and a slow second implementation."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tests.reference import transforms as slow

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.images.transforms import (
    Affine,
    Blur,
    Chain,
    Colour,
    Composite,
    Crops,
    Flip,
    Fused,
    Jitter,
    LucidChain,
    Noise,
    Nothing,
    Pad,
    Part,
    Rotate,
    Scale,
    Transform,
    transform_of,
)
from neuronatlas.images.transforms.named import KINDS

TRANSFORMS: list[Part] = [
    Affine(),
    Affine(shift=9.0, scale=0.3, degrees=70.0),
    Affine(shared=True),
    Blur(),
    Blur(low=0.5, high=2.5),
    Chain(),
    Chain((Pad(3), Rotate(choices=(-30.0, 0.0, 20.0)), Noise(0.1))),
    Chain((Jitter(2), Crops(count=3, size=9), Jitter(1), Flip(), Colour())),
    Chain((Colour(0.3, 0.3, 0.3), Scale(), Affine(), Crops(count=2, size=11), Blur(), Jitter(3))),
    Chain((Composite(), Flip(), Chain((Jitter(1), Noise(0.05))))),
    Chain((Crops(count=2, size=12), Jitter(2, shared=True), Noise(), Flip(), Scale(), Flip())),
    Colour(),
    Colour(0.5, 0.4, 0.9),
    Composite(),
    Crops(),
    Crops(count=2, low=0.1, high=1.0, size=7, spread=0.6),
    Flip(),
    Fused((Pad(3), Jitter(3), Flip(), Rotate(), Jitter(2))),
    Fused((Flip(shared=True), Crops(count=3, size=12), Flip())),
    Jitter(5),
    Jitter(3, shared=True),
    LucidChain(),
    LucidChain(upsample=None),
    Noise(),
    Nothing(),
    Pad(4),
    Pad(4, "reflect"),
    Rotate(),
    Rotate(60.0, mode="edge"),
    Rotate(60.0, mode="mirror", shared=True),
    Rotate(choices=(-10.0, 5.0, 33.0), value=0.0),
    Scale(),
    Scale(choices=(0.5, 1.0, 1.7)),
]
every = pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda transform: json.dumps(transform.settings))
SIZES = [(17, 24), (26, 19)]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def channels(transform: Part) -> int:
    first = transform.parts[0] if isinstance(transform, Chain) and transform.parts else transform
    return 4 if isinstance(first, Composite) else 3


def pictures(
    transform: Part, size: tuple[int, int], number: int = 3, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    shape = (number, channels(transform), *size)
    return torch.rand(shape, generator=generator(1), dtype=torch.float64).to(dtype)


def draws_for(transform: Transform, number: int, seed: int = 2) -> torch.Tensor:
    """One step's draws for each picture, each from a generator of its own, as the rendering does it."""
    return torch.cat([transform.draw(1, generator(seed + index)) for index in range(number)])


def test_every_kind_is_here() -> None:
    assert {transform.settings["name"] for transform in TRANSFORMS} == set(KINDS)


@every
def test_draws_are_float32_one_row_a_step_and_alike_from_the_same_generator(transform: Part) -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first, second, other = (transform.draw(5, generator(seed)) for seed in (3, 3, 4))
    moved = transform(pictures(transform, (20, 20)), first[:3])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.shape == (5, transform.columns)
    assert first.dtype == torch.float32
    assert torch.equal(first, second)
    assert transform.columns == 0 or not torch.equal(first, other)
    assert torch.equal(moved, transform(pictures(transform, (20, 20)), second[:3]))
    assert torch.equal(torch.random.get_rng_state(), before)


@every
@pytest.mark.parametrize("size", SIZES)
def test_agrees_with_a_slow_second_implementation(transform: Part, size: tuple[int, int]) -> None:
    images, draws = pictures(transform, size, dtype=torch.float64), draws_for(transform, 3)
    found = transform(images, draws).numpy()
    assert len(found) == 3 * transform.views
    for index in range(3):
        row = draws[0 if transform.shared else index].numpy().astype(float)
        expected = slow.transformed(transform.settings, images[index].numpy(), row)
        views = found[index * transform.views : (index + 1) * transform.views]
        np.testing.assert_allclose(views, np.stack(expected), rtol=0, atol=1e-6)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_type_device_and_gradient(transform: Part, dtype: torch.dtype, layout: torch.memory_format) -> None:
    images = pictures(transform, (19, 23), dtype=dtype)
    draws = draws_for(transform, 3)
    expected = transform(images, draws)
    images = images.to(memory_format=layout).requires_grad_(True)
    moved = transform(images, draws)
    assert moved.dtype == dtype
    assert moved.device == images.device
    assert moved.shape[:2] == (3 * transform.views, 3)
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-5)
    weights = torch.rand(moved.shape, generator=generator(5), dtype=dtype)
    (gradient,) = torch.autograd.grad((moved * weights).sum(), images)
    assert gradient.isfinite().all()
    assert (gradient.flatten(1).abs().amax(1) > 0).all()


@every
def test_many_at_once_equal_one_by_one(transform: Part) -> None:
    images, draws = pictures(transform, (18, 25), 4), draws_for(transform, 4)
    together = transform(images, draws)
    for index in range(4):
        row = draws[:1] if transform.shared else draws[index : index + 1]
        alone = transform(images[index : index + 1], row)
        views = together[index * transform.views : (index + 1) * transform.views]
        torch.testing.assert_close(views, alone, rtol=0, atol=1e-6)


@every
def test_no_bit_of_a_picture_hangs_on_the_others(transform: Part) -> None:
    images, draws = pictures(transform, (18, 25), 4), draws_for(transform, 4)
    others, other_draws = (
        torch.rand_like(images, memory_format=torch.contiguous_format),
        draws_for(transform, 4, seed=30),
    )
    others[2], other_draws[2] = images[2], draws[2]
    if transform.shared:
        other_draws[0] = draws[0]
    mine = slice(2 * transform.views, 3 * transform.views)
    assert torch.equal(transform(images, draws)[mine], transform(others, other_draws)[mine])


@every
def test_only_the_first_row_of_shared_draws_counts(transform: Part) -> None:
    images, draws = pictures(transform, (18, 25)), draws_for(transform, 3)
    first = draws[:1].expand(3, -1)
    same = transform(images, draws).shape == transform(images, first).shape and torch.equal(
        transform(images, draws), transform(images, first)
    )
    assert same == (transform.shared or transform.columns == 0)


@every
def test_settings_are_json_and_make_the_same_transform(transform: Part) -> None:
    assert transform_of(json.loads(json.dumps(transform.settings))) == transform
    assert isinstance(transform, Part)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(0.0, 0.0, 0.0),
        Blur(0.0, 0.0),
        Blur(0.0, 0.1),
        Chain(),
        Chain((Pad(0), Nothing())),
        Colour(0.0, 0.0, 0.0),
        Crops(count=1, low=1.0, high=1.0, size=22),
        Flip(0.0),
        Jitter(0),
        Noise(0.0),
        Nothing(),
        Pad(0),
        Pad(0, "reflect"),
        Rotate(0.0),
        Rotate(choices=(0.0,)),
        Scale(1.0, 1.0),
    ],
    ids=lambda transform: json.dumps(transform.settings),
)
def test_no_strength_is_no_change(transform: Part) -> None:
    images = pictures(transform, (22, 22))
    torch.testing.assert_close(transform(images, draws_for(transform, 3)), images, rtol=0, atol=1e-5)


def test_jitter_and_flip_draw_all_places_alike() -> None:
    image = torch.arange(6.0).expand(4000, 1, 6, 6)
    corners = Jitter(3)(image, Jitter(3).draw(4000, generator(0)))[:, 0, 0, 0]
    assert np.allclose(np.bincount(corners.long()) / 4000, 0.25, atol=0.03)
    flips = Flip(0.3).draw(4000, generator(0)) < 0.3
    assert float(flips.float().mean()) == pytest.approx(0.3, abs=0.03)


def test_crops_lie_in_the_picture_and_are_centred_as_said() -> None:
    transform = Crops(count=1, low=0.2, high=0.3, size=1)
    place = torch.stack(torch.meshgrid(torch.arange(100.0), torch.arange(50.0), indexing="ij"))[None] + 0.5
    draws = transform.draw(3000, generator(0))
    centres = transform(place.expand(3000, -1, -1, -1), draws)[:, :, 0, 0] / torch.tensor([100, 50])
    assert centres.min() > 0.1 - 1e-5  # half the smallest box from the edge
    assert centres.max() < 0.9 + 1e-5
    assert torch.allclose(centres.mean(0), torch.tensor(0.5), atol=0.01)
    assert torch.allclose(centres.std(0), torch.tensor(0.15), atol=0.01)


def test_noise_is_normal_and_new_at_each_seed() -> None:
    images = torch.zeros(2, 3, 80, 80)
    noise = Noise(0.2)(images, Noise().draw(2, generator(0)))
    assert float(noise.std()) == pytest.approx(0.2, rel=0.02)
    assert float(noise.mean()) == pytest.approx(0, abs=0.005)
    assert abs(float((noise[0] * noise[1]).mean())) < 0.001
    seeds = Noise().draw(1000, generator(0))
    assert torch.equal(seeds, seeds.round())
    assert 0 <= seeds.min() < 1e6
    assert 1.6e7 < seeds.max() < 1 << 24


def test_an_opaque_picture_hides_its_background_and_a_clear_one_shows_nothing_else() -> None:
    images = torch.rand((2, 4, 16, 20), generator=generator(0))
    images[0, 3], images[1, 3] = 1, 0
    moved = Composite()(images, torch.tensor([[5.0], [6.0]]))
    assert torch.equal(moved[0], images[0, :3])
    background = moved[1]
    assert background.std() > 0.02
    near = (background[:, :, 1:] - background[:, :, :-1]).square().mean()
    assert near < background.var()  # independent pixels would differ by twice the variance
    images[1, :3] = 0
    assert torch.equal(Composite()(images, torch.tensor([[5.0], [6.0]]))[1], background)


def test_a_chain_in_which_one_is_shared_has_one_draw_for_all() -> None:
    chain = Chain((Scale(), Noise(0.1)))
    assert chain.shared
    images = torch.rand((1, 3, 16, 16), generator=generator(0)).repeat(2, 1, 1, 1)
    moved = chain(images, draws_for(chain, 2))
    assert torch.equal(moved[0], moved[1])


@pytest.mark.parametrize(("name", "transform"), [("affine", Affine()), ("lucid", LucidChain()), ("none", Nothing())])
def test_a_name_is_enough(name: str, transform: Part) -> None:
    assert transform_of(name) == transform


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"shift": 3.0}, "must be a name, or settings with a 'name'"),
        ("pad", "transform 'pad' cannot have the settings {}"),
        ({"name": "affine", "shfit": 1.0}, "transform 'affine' cannot have the settings {'shfit': 1.0}"),
        ({"name": "affine", "scale": 1.0}, "scale (=1.0) must be 0 or more and below 1"),
        ({"name": "affine", "shift": float("nan")}, "shift (=nan) must be 0 or more"),
        ({"name": "pad", "pixels": -1}, "pixels (=-1) must be 0 or more"),
        ({"name": "crops", "low": 0.5, "high": 0.4}, "low (=0.5) must be above 0 and no more than high (=0.4)"),
        ({"name": "crops", "high": 1.5}, "high (=1.5) must be no more than 1"),
        ({"name": "crops", "count": 0}, "count (=0) must be 1 or more"),
        ({"name": "scale", "low": 0.0}, "low (=0.0) must be above 0"),
        ({"name": "scale", "choices": [1.0, -1.0]}, "choices (=(1.0, -1.0)) must be factors above 0"),
        ({"name": "blur", "low": 2.0, "high": 1.0}, "high (=1.0) must be 2 or more"),
        ({"name": "flip", "probability": 1.5}, "probability (=1.5) must be from 0 to 1"),
        ({"name": "composite", "sd": 0.0}, "sd (=0.0) must be above 0"),
        ({"name": "lucid", "upsample": 0}, "upsample (=0) must be 1 or more"),
        ({"name": "chain", "parts": "affine"}, "parts (='affine') must be a list of settings"),
        (
            {"name": "fused", "parts": ["affine", "affine"]},
            "parts (=affine, affine) must be a run that one sampling can do",
        ),
    ],
)
def test_what_no_transform_can_be_says_why(settings: object, words: str) -> None:
    with pytest.raises(WrongInput) as caught:
        transform_of(settings)
    assert words in str(caught.value)


def test_an_unknown_name_finds_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'affine'"):
        transform_of({"name": "chain", "parts": ["afine"]})


@pytest.mark.parametrize(
    ("transform", "shape", "words"),
    [
        (Jitter(9), (1, 3, 20, 9), r"pixels \(=9\) must be below the sides of the picture, \(20, 9\)"),
        (Pad(9, "reflect"), (1, 3, 9, 20), r"pixels \(=9\) must be below the sides of the picture, \(9, 20\)"),
        (Colour(), (1, 4, 8, 8), r"channels of the pictures \(=4\) must be 3"),
        (Composite(), (1, 3, 8, 8), r"channels of the pictures \(=3\) must be 4"),
    ],
)
def test_pictures_that_do_not_suit_are_refused(transform: Part, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(WrongInput, match=words):
        transform(torch.zeros(shape), transform.draw(1, generator(0)))


def test_a_chain_refuses_draws_that_are_not_its_own() -> None:
    with pytest.raises(WrongInput, match=r"draws \(of shape \(1, 3\)\) must have 4 columns"):
        Chain((Affine(),))(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3))
