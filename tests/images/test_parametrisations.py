"""What every parametrisation promises, and making one from its name or its settings."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from tests.reference import fourier as slow
from tests.reference.parametrisations import sigmoid

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.images.alpha import Alpha
from neuronatlas.images.cppn import CPPN
from neuronatlas.images.fourier import Fourier
from neuronatlas.images.maco import Maco
from neuronatlas.images.parametrisation import PARAMETRISATIONS, Parametrisation, parametrisation_of
from neuronatlas.images.pixels import Pixels
from neuronatlas.images.pyramid import Laplacian, LowRes
from neuronatlas.images.seeded import Seeded

SEED = np.random.default_rng(4).uniform(0.2, 0.8, (9, 12, 3)).astype(np.float32)
ALL: dict[str, Parametrisation] = {
    "fourier": Fourier(),
    "fourier, capped": Fourier(contrast_cap=1.8),
    "fourier, photographs": Fourier(colours="photographs", decay=1.5),
    "fourier, grey": Fourier(channels=1, contrast_cap=1.8),
    "fourier, five channels": Fourier(channels=5),
    "pixels": Pixels(),
    "pixels, capped": Pixels(contrast_cap=0.5, decorrelate=False),
    "pixels, two channels": Pixels(channels=2),
    "laplacian": Laplacian(),
    "laplacian, six levels": Laplacian(levels=6, channels=1),
    "lowres": LowRes(),
    "lowres, capped": LowRes(factors=(3,), contrast_cap=1.0),
    "maco": Maco(),
    "maco, own": Maco(np.random.default_rng(5).uniform(0.1, 1, (3, 12, 8)).astype(np.float32)),
    "cppn": CPPN(),
    "cppn, small": CPPN(width=5, layers=2, channels=1),
    "alpha": Alpha(),
    "alpha, pixels": Alpha(base=Pixels(channels=1)),
    "alpha, maco": Alpha(base=Maco()),
    "seeded": Seeded(SEED),
    "seeded, pixels": Seeded(SEED[:, :, :1], base=Pixels(channels=1, contrast_cap=2.0)),
}
SIZES = [(16, 16), (9, 14), (15, 8), (7, 11)]
every = pytest.mark.parametrize("name", ALL)


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def stirred(parametrisation: Parametrisation, size: tuple[int, int], count: int = 1) -> torch.Tensor:
    """Numbers some way from the start: what is even there is not any more."""
    start = parametrisation.start(size, generators(*range(count)))
    return start + 0.3 * torch.randn(start.shape, generator=generators(99)[0])


@every
@pytest.mark.parametrize("size", SIZES)
def test_a_picture_has_its_planes_and_size_and_lies_in_0_to_1(name: str, size: tuple[int, int]) -> None:
    parametrisation = ALL[name]
    start = parametrisation.start(size, generators(0, 1))
    assert start.dtype == torch.float32
    assert start.device.type == "cpu"
    assert tuple(start.shape) == (2, *parametrisation.shape(size))
    for numbers in (start, 1e4 * stirred(parametrisation, size, 2)):
        images = parametrisation.image(numbers, size)
        assert images.shape == (2, parametrisation.planes, *size)
        assert images.dtype == torch.float32
        assert images.min() >= 0
        assert images.max() <= 1


@every
def test_the_start_is_near_grey_or_is_the_seed(name: str) -> None:
    parametrisation = ALL[name]
    images = parametrisation.image(parametrisation.start((32, 32), generators(0, 1)), (32, 32))
    if "maco" in name:
        assert 0.05 < images[:, :3].std() < 0.3
    elif "seeded" not in name:
        assert images.sub(0.5).abs().max() < 0.2


@every
def test_the_same_generator_gives_the_same_numbers_and_another_others(name: str) -> None:
    parametrisation, size = ALL[name], (9, 14)
    before = torch.random.get_rng_state()
    first, second = (parametrisation.start(size, generators(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(first, parametrisation.start(size, generators(6))) == ("seeded" in name)
    assert torch.equal(before, torch.random.get_rng_state())


@every
@pytest.mark.parametrize("size", [(16, 16), (9, 14), (40, 41), (150, 106)])
def test_many_at_once_are_those_made_one_by_one(name: str, size: tuple[int, int]) -> None:
    parametrisation, seeds = ALL[name], (3, 1, 4, 1, 5)
    together = parametrisation.start(size, generators(*seeds))
    for index, seed in enumerate(seeds):
        assert torch.equal(parametrisation.start(size, generators(seed))[0], together[index])
    if "lowres" in name:
        return  # the company counts: tests/images/test_pyramid.py
    numbers = stirred(parametrisation, size, 5).requires_grad_(True)
    images = parametrisation.image(numbers, size)
    weights = torch.rand(images.shape, generator=generators(7)[0])
    (gradient,) = torch.autograd.grad(images, numbers, weights)
    for index in range(5):
        alone = numbers.detach()[index : index + 1].clone().requires_grad_(True)
        image = parametrisation.image(alone, size)
        assert torch.equal(image[0], images[index])
        (found,) = torch.autograd.grad(image, alone, weights[index : index + 1])
        assert torch.equal(found[0], gradient[index])


@every
@pytest.mark.parametrize("size", SIZES)
def test_the_gradient_at_the_start_is_finite_and_reaches_the_numbers(name: str, size: tuple[int, int]) -> None:
    parametrisation = ALL[name]
    numbers = parametrisation.start(size, generators(0, 1)).requires_grad_(True)
    images = parametrisation.image(numbers, size)
    images[:, :, size[0] // 2, size[1] // 2].sum().backward()
    assert numbers.grad is not None
    assert numbers.grad.isfinite().all()
    assert (numbers.grad.flatten(1).abs().amax(1) > 0).all()


@every
@pytest.mark.parametrize("size", [(4, 3), (3, 4)])
def test_the_gradient_is_that_of_finite_differences(name: str, size: tuple[int, int]) -> None:
    parametrisation = ALL[name]
    if name == "cppn":
        pytest.skip("8451 numbers; the small one is the same code")
    numbers = stirred(parametrisation, size, 2).double().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda given: parametrisation.image(given, size), (numbers,))


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_the_picture_has_the_type_of_the_numbers(name: str, dtype: torch.dtype) -> None:
    parametrisation, size = ALL[name], (12, 9)
    numbers = stirred(parametrisation, size, 2).to(dtype)
    images = parametrisation.image(numbers, size)
    assert images.dtype == dtype
    exact = parametrisation.image(numbers.double(), size)
    coarse = torch.finfo(dtype).eps if dtype != torch.float64 else torch.finfo(torch.float64).eps
    torch.testing.assert_close(images.double(), exact, rtol=0, atol=max(2 * coarse, 1e-12))


@every
def test_numbers_of_another_shape_and_empty_sizes_are_refused(name: str) -> None:
    parametrisation = ALL[name]
    wrong = torch.zeros((1, *parametrisation.shape((8, 8)))).repeat_interleave(2, 1)
    with pytest.raises(WrongInput, match=r"numbers \(shape \(1, .*must be of shape \(n, "):
        parametrisation.image(wrong, (8, 8))
    for size in ((0, 4), (4, 0), (-1, 4)):
        with pytest.raises(WrongInput, match=r"size \(=\(.*must be at least 1 x 1 pixel"):
            parametrisation.start(size, generators(0))
    with pytest.raises(WrongInput, match=r"generators \(=\[\]\)"):
        parametrisation.start((4, 4), [])


@every
def test_settings_are_plain_and_make_the_same_again(name: str) -> None:
    parametrisation = ALL[name]
    settings = json.loads(json.dumps(parametrisation.settings, allow_nan=False))
    assert settings["name"] == type(parametrisation).__name__.lower()
    fields = {each.name for each in dataclasses.fields(parametrisation) if each.init}  # type: ignore[arg-type]
    assert set(settings) == fields | {"name"}
    if "sha256" in json.dumps(settings):
        with pytest.raises(WrongInput, match="only sums up an array"):
            parametrisation_of(settings)
    else:
        assert parametrisation_of(settings) == parametrisation
        assert hash(parametrisation_of(settings)) == hash(parametrisation)


def test_arrays_count_when_two_are_compared() -> None:
    for make in (lambda values: Maco(values.transpose(2, 0, 1)), Seeded):
        assert make(SEED.repeat(2, 0)) == make(SEED.repeat(2, 0).copy())
        assert make(SEED.repeat(2, 0)) != make(SEED.repeat(2, 0) / 2)
        assert make(SEED.repeat(2, 0)).settings != make(SEED.repeat(2, 0) / 2).settings


@pytest.mark.parametrize("name", sorted({*PARAMETRISATIONS} - {"seeded"}))
def test_a_name_makes_the_one_with_the_defaults(name: str) -> None:
    made = parametrisation_of(name)
    assert made == PARAMETRISATIONS[name]()
    assert isinstance(made, Parametrisation)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("furier", "no parametrisation 'furier': did you mean 'fourier'"),
        ({"name": "pixels", "dcay": 2}, "no setting of 'pixels' 'dcay': did you mean 'decorrelate'|there are"),
        ({"sd": 0.1}, "must have a name: alpha, cppn"),
        ({"name": "fourier", "sd": "much"}, r"the settings of 'fourier' \(=\{'sd': 'much'\}\) do not fit it"),
        ({"name": "fourier", "sd": -1.0}, r"sd \(=-1.0\) must be a finite number above 0"),
        ({"name": "fourier", "contrast_cap": math.inf}, r"contrast_cap \(=inf\) must be a finite number above 0"),
        ({"name": "fourier", "decay": math.nan}, r"decay \(=nan\) must be a finite number"),
        ({"name": "fourier", "channels": 0}, r"channels \(=0\) must be at least 1"),
        ({"name": "pixels", "channels": 4, "decorrelate": True}, r"decorrelate \(=True\) is for 3 channels"),
        ({"name": "pixels", "colours": "imagenett"}, "no colour matrix 'imagenett': did you mean 'imagenet'"),
        ({"name": "laplacian", "levels": 0}, r"levels \(=0\) must be at least 1, or None"),
        ({"name": "lowres", "factors": []}, r"factors \(=\(\)\) must hold whole numbers"),
        ({"name": "cppn", "layers": 0}, r"layers \(=0\) must be at least 1"),
        ({"name": "alpha", "opacity": {"name": "fourier"}}, r"opacity \(=Fourier\(.*must have channels=1"),
        ("seeded", "the settings of 'seeded' .*picture"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: object, message: str) -> None:
    with pytest.raises(WrongInput, match=message):
        parametrisation_of(settings)  # type: ignore[arg-type]
    if isinstance(settings, str) and settings != "seeded":
        with pytest.raises(UnknownName):
            parametrisation_of(settings)


@pytest.mark.parametrize("cap", [None, 0.4])
def test_pixels_are_logits(cap: float | None, rng: np.random.Generator) -> None:
    numbers = rng.normal(size=(2, 3, 5, 6))
    found = Pixels(contrast_cap=cap).image(torch.from_numpy(numbers), (5, 6))
    grey = Pixels(contrast_cap=cap, channels=1).image(torch.from_numpy(numbers[:, :1]), (5, 6))
    for index in range(2):
        planes = numbers[index] if cap is None else slow.capped(numbers[index], cap)
        np.testing.assert_allclose(found[index], slow.coloured(planes), rtol=0, atol=1e-12)
        plane = numbers[index, :1] if cap is None else slow.capped(numbers[index, :1], cap)
        np.testing.assert_allclose(grey[index], sigmoid(plane), rtol=0, atol=1e-12)


def test_alpha_is_the_base_and_a_plane_of_its_own() -> None:
    alpha, size = Alpha(base=Pixels(contrast_cap=0.9)), (6, 9)
    assert alpha.planes == 4
    numbers = stirred(alpha, size, 2)
    images = alpha.image(numbers, size)
    first, last = numbers[:, : 3 * 54].reshape(2, 3, 6, 9), numbers[:, 3 * 54 :].reshape(2, 1, 6, 5, 2)
    assert torch.equal(images[:, :3], Pixels(contrast_cap=0.9).image(first, size))
    assert torch.equal(images[:, 3:], Fourier(channels=1).image(last, size))
    assert images[:, 3].std() > 0.01
