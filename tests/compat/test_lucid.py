"""Lucid's names: each gives what the call of this package gives, and refuses what it cannot do."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch
from tests.networks import models
from torch import Tensor

from neuronatlas import objectives as ours
from neuronatlas.compat.lucid import composition, objectives, param, render, transform
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.images.alpha import Alpha
from neuronatlas.images.fourier import Fourier
from neuronatlas.images.pixels import Pixels
from neuronatlas.images.transforms import Chain, Composite, Jitter, LucidChain, Nothing, Pad, Rotate, Scale
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.objectives import PICTURE, Joint
from neuronatlas.rendering import render as render_ours

SMALL = {"thresholds": (3,)}


@pytest.fixture
def network() -> TorchNetwork:
    return models.wrap(models.plain(), 32)


@pytest.fixture
def seen() -> dict[str, Tensor]:
    """What three pictures make of a layer "a" of 6 units, and the pictures."""
    generator = torch.Generator().manual_seed(3)
    return {
        "a": torch.randn((3, 6, 5, 4), generator=generator),
        "b": torch.randn((3, 6, 5, 4), generator=generator),
        PICTURE: torch.rand((3, 3, 9, 9), generator=generator),
    }


def small(batch: int = 1, **options: object) -> param.Image:
    return param.image(24, batch=batch, **options)


def value(objective: objectives.Objective, seen: dict[str, Tensor]) -> float:
    """What a rendering of this batch would raise: the mean over the pictures, and what they raise together."""
    count = len(seen[PICTURE])
    singles = [
        each.measure({name: output[number] for name, output in seen.items()})
        for number, each in enumerate(objective.pictures(count))
    ]
    return float(torch.stack(singles).mean() + objective.together(count).measure(seen))


# Objectives, by Lucid's formulas over a whole batch.

VECTOR = torch.linspace(-1, 1, 6)


def dotted(x: Tensor, power: float) -> Tensor:
    """The product of every position with the vector, times the cosine to a power."""
    product = torch.einsum("nuhw,u->nhw", x, VECTOR)
    cosine = product / (x.norm(dim=1) + 1e-4) / (VECTOR.norm() + 1e-4)
    return product * cosine.clamp(min=0.1) ** power


def similarity(x: Tensor) -> Tensor:
    grams = [unit @ unit.T for unit in x.flatten(2)]
    grams = [gram / gram.norm() for gram in grams]
    pairs = [(a * b).sum() for i, a in enumerate(grams) for j, b in enumerate(grams) if i != j]
    return sum(pairs) / len(grams)


WANTED = np.random.default_rng(4).random((9, 9, 3))


def shown(t: dict[str, Tensor]) -> np.ndarray:
    """The pictures as Lucid has them, (n, height, width, channels)."""
    return t[PICTURE].permute(0, 2, 3, 1).numpy().astype(np.float64)


def blurred(pictures: np.ndarray, width: int) -> np.ndarray:
    """Pixel by pixel the mean of those around it that there are, 0.5 at the rim of a square and 1 inside it."""
    found, reach = np.zeros_like(pictures), width // 2
    for y, x in np.ndindex(pictures.shape[1:3]):
        near = [(y + i - reach, x + j - reach) for i, j in np.ndindex(width, width)]
        near = [(b, a) for b, a in near if 0 <= b < pictures.shape[1] and 0 <= a < pictures.shape[2]]
        weights = [0.5 if max(abs(b - y), abs(a - x)) == reach else 1.0 for b, a in near]
        found[:, y, x] = sum(w * pictures[:, b, a] for w, (b, a) in zip(weights, near, strict=True)) / sum(weights)
    return found


def frame_complexity(pictures: np.ndarray, width: int, constant: float) -> float:
    frame = np.ones_like(pictures)
    frame[:, width:-width, width:-width] = 0
    return -float((((blurred(pictures, 5) - pictures) ** 2 + 0.8 * (pictures - constant) ** 2) * frame).sum())


FORMULAS = {
    "channel": (objectives.channel("a", 2), lambda t: t["a"][:, 2].mean()),
    "channel of one picture": (objectives.channel("a", 2, batch=1), lambda t: t["a"][1, 2].mean()),
    "neuron": (objectives.neuron("a", 2, 3, 1), lambda t: t["a"][:, 2, 1, 3].mean()),
    "neuron in the middle": (objectives.neuron("a", 2), lambda t: t["a"][:, 2, 2, 2].mean()),
    "direction": (objectives.direction("a", VECTOR), lambda t: dotted(t["a"], 0).mean()),
    "direction with cosine": (objectives.direction("a", VECTOR, 1.5), lambda t: dotted(t["a"], 1.5).mean()),
    "direction_neuron": (objectives.direction_neuron("a", VECTOR, 3, 1), lambda t: dotted(t["a"], 0)[:, 1, 3].mean()),
    "deepdream": (objectives.deepdream("a"), lambda t: (t["a"] ** 2).mean()),
    "L1": (objectives.L1(), lambda t: np.abs(shown(t)).sum()),
    "L1 of a layer": (objectives.L1("a", 0.5), lambda t: (t["a"] - 0.5).abs().sum()),
    "L1 of one picture": (objectives.L1("input", 0.5, batch=2), lambda t: np.abs(shown(t)[2] - 0.5).sum()),
    "L2": (objectives.L2("input", 0.5), lambda t: np.sqrt(1e-6 + ((shown(t) - 0.5) ** 2).sum())),
    "L2 of a layer": (objectives.L2("a"), lambda t: np.sqrt(1e-6 + (t["a"].numpy() ** 2).sum())),
    "L2 of one picture": (
        objectives.L2("input", 0.5, batch=1),
        lambda t: np.sqrt(1e-6 + ((shown(t)[1] - 0.5) ** 2).sum()),
    ),
    "L2 with an epsilon, where Lucid has it": (
        objectives.L2("input", 0.5, 9),
        lambda t: np.sqrt(9 + ((shown(t) - 0.5) ** 2).sum()),
    ),
    "L2 of one picture with an epsilon": (
        objectives.L2("input", 0.5, epsilon=9, batch=1),
        lambda t: np.sqrt(9 + ((shown(t)[1] - 0.5) ** 2).sum()),
    ),
    "L2 weighed, beside a channel": (
        objectives.channel("a", 2) - 0.3 * objectives.L2() - objectives.L2("a") / 4,
        lambda t: t["a"][:, 2].mean() - 0.3 * np.sqrt((shown(t) ** 2).sum()) - np.sqrt((t["a"].numpy() ** 2).sum()) / 4,
    ),
    "blur_input_each_step": (
        objectives.blur_input_each_step(),
        lambda t: 0.5 * ((shown(t) - blurred(shown(t), 3)) ** 2).sum(),
    ),
    "penalize_boundary_complexity": (
        objectives.penalize_boundary_complexity((3, 9, 9, 3), 2, C=0.4),
        lambda t: frame_complexity(shown(t), 2, 0.4),
    ),
    "input_diff": (objectives.input_diff(WANTED), lambda t: np.sqrt(((shown(t) - WANTED) ** 2).mean())),
    "total_variation": (
        objectives.total_variation(),
        lambda t: (t[PICTURE].diff(dim=2).abs().sum() + t[PICTURE].diff(dim=3).abs().sum()) / 3,
    ),
    "channel_interpolate": (
        objectives.channel_interpolate("a", 1, "b", 4),
        lambda t: sum((1 - n / 2) * t["a"][n, 1].mean() + n / 2 * t["b"][n, 4].mean() for n in range(3)),
    ),
    "diversity": (objectives.diversity("a"), lambda t: similarity(t["a"])),
    "alignment": (
        objectives.alignment("a"),
        lambda t: -sum(((t["a"][i] - t["a"][j]) ** 2).mean() / 2 ** (j - i) for i in range(3) for j in range(i + 1, 3)),
    ),
    "sum": (
        objectives.channel("a", 2) - 1e2 * objectives.diversity("a") + objectives.deepdream("b") / 2,
        lambda t: t["a"][:, 2].mean() - 1e2 * similarity(t["a"]) + (t["b"] ** 2).mean() / 2,
    ),
    "sum with objectives of this package": (
        objectives.channel("a", 2) + ours.channel("b", 4) - 2 * ours.channel("b", 1) + 3 * ours.diversity("a"),
        lambda t: t["a"][:, 2].mean() + t["b"][:, 4].mean() - 2 * t["b"][:, 1].mean() - 3 * similarity(t["a"]),
    ),
    "an objective of this package without one": (
        objectives.channel("a", 2).__rsub__(ours.channel("b", 4)),
        lambda t: t["b"][:, 4].mean() - t["a"][:, 2].mean(),
    ),
    "numbers of numpy": (
        np.float32(2) * objectives.channel("a", 2) + np.float32(1),
        lambda t: 2 * t["a"][:, 2].mean(),
    ),
    "direction_cossim": (objectives.direction_cossim("a", VECTOR, 1.5), lambda t: dotted(t["a"], 1.5).mean()),
    "class_logit of a number of numpy": (
        objectives.class_logit("a", np.int64(3)),
        lambda t: t["a"][:, 3].mean((1, 2)).sum(),
    ),
    "sum of a list": (
        objectives.Objective.sum([objectives.channel("a", n, batch=n) for n in range(3)]),
        lambda t: sum(t["a"][n, n].mean() for n in range(3)),
    ),
    "opposite": (-objectives.channel("a", 2), lambda t: -t["a"][:, 2].mean()),
    "string": (objectives.as_objective("a:2"), lambda t: t["a"][:, 2].mean()),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_an_objective_is_lucids_formula(name: str, seen: dict[str, Tensor]) -> None:
    objective, formula = FORMULAS[name]
    assert value(objective, seen) == pytest.approx(float(formula(seen)), rel=1e-4)


def test_a_tensor_has_its_channels_last(seen: dict[str, Tensor]) -> None:
    tensor = torch.arange(2 * 3 * 6.0).reshape(1, 2, 3, 6)
    middle = seen["a"][:, :, 1:3, 0:3].permute(0, 2, 3, 1)
    for given in (tensor, tensor[0], tensor[0].numpy()):
        assert value(objectives.tensor_direction("a", given), seen) == pytest.approx(
            float((middle * tensor).sum(3).mean()), rel=1e-4
        )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (objectives.L2("input", 0.5), ours.l2(0.5)),
        (objectives.L1("input", 0.5), ours.l1(0.5)),
        (objectives.blur_input_each_step(), ours.sharpness()),
    ],
)
def test_of_one_picture_a_penalty_is_that_of_this_package(
    network: TorchNetwork, old: objectives.Objective, new: ours.Objective
) -> None:
    (made,) = render.render_vis(network, objectives.channel("5", 2) - 0.1 * old, small, **SMALL)
    assert made.tobytes() == same(network, ours.channel("5", 2) - 0.1 * new).tobytes()


@pytest.mark.parametrize("penalty", [objectives.L2("input", 0.5), objectives.input_diff(np.full((24, 24, 3), 0.5))])
def test_a_penalty_of_the_whole_batch_pulls_at_every_picture(
    network: TorchNetwork, penalty: objectives.Objective
) -> None:
    def spread(weight: float) -> np.ndarray:
        aim = objectives.channel("5", 2) - weight * penalty
        (made,) = render.render_vis(network, aim, lambda: small(2), thresholds=(16,))
        return np.abs(made - 0.5).mean((1, 2, 3))

    assert (spread(1e3) < 0.5 * spread(0)).all()


def test_what_is_no_number_of_a_picture_is_refused() -> None:
    for wrong in (1e-6, 1.0):
        with pytest.raises(WrongInput, match=rf"batch \(={wrong}\) must be the number of a picture"):
            composition.of_pictures(ours.l2(), wrong)
    assert composition.of_pictures(ours.l2(), np.int64(1)).pictures(2)[1].name == "2 * (l2(0.5))"
    for wrong in (-1e-6, math.nan, math.inf):
        with pytest.raises(WrongInput, match=r"epsilon \(=.*\) must be 0 or more"):
            objectives.L2("input", 0.5, wrong)


# Pictures, by calls of this package.


def same(network: TorchNetwork, what: object, steps: int = 3, **changes: object) -> np.ndarray:
    made = render_ours(network, what, preset="lucid", steps=steps, **{"canvas": 24, **changes})
    return np.stack([each.image for each in (made if isinstance(made, list) else [made])])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("5:2", "5:2"),
        (objectives.channel("5", 2), ours.channel("5", 2)),
        (ours.deepdream("5"), ours.deepdream("5")),
        (objectives.direction("5", torch.ones(8)), ours.direction("5", torch.ones(8))),
    ],
)
def test_the_picture_of_an_objective(network: TorchNetwork, old: object, new: object) -> None:
    (made,) = render.render_vis(network, old, small, **SMALL)
    assert made.shape == (1, 24, 24, 3)
    expected = same(network, new, parametrisation=Fourier(), transform=LucidChain())
    assert made.tobytes() == expected.tobytes()


def test_by_default_it_is_lucids_128_pixels_and_512_steps(network: TorchNetwork) -> None:
    assert inspect.signature(render.render_vis).parameters["thresholds"].default == (512,)
    (made,) = render.render_vis(network, "5:1", thresholds=(1,))
    assert made.tobytes() == same(network, "5:1", 1, canvas=128).tobytes()
    assert made.std() > 0.01


def test_each_threshold_is_the_picture_after_so_many_steps(network: TorchNetwork) -> None:
    made = render.render_vis(network, "5:2", small, thresholds=(11, 8, 3))
    assert len(made) == 3
    for steps, image in zip((3, 8, 11), made, strict=True):
        assert image.tobytes() == same(network, "5:2", steps).tobytes()


def test_thresholds_are_whole_numbers_of_any_kind(network: TorchNetwork) -> None:
    expected = [same(network, "5:2", steps).tobytes() for steps in (1, 2)]
    for given in ((steps for steps in (2, 1)), np.array([1, 2, 2]), range(1, 3)):
        assert [image.tobytes() for image in render.render_vis(network, "5:2", small, thresholds=given)] == expected
    (made,) = render.render_vis(network, "5:2", small, thresholds=2)
    assert made.tobytes() == expected[1]
    for wrong in ((), (2.0,), np.array([0.5]), (1, None), range(3), 0, "12"):
        with pytest.raises(WrongInput, match=r"thresholds \(=.*\) must hold whole numbers of steps, each at least 1"):
            render._rising(wrong)


def test_a_function_of_t_is_refused_with_what_can(network: TorchNetwork) -> None:
    written = r"for a function of T write neuronatlas\.objectives\.of\(lambda seen: "
    for tried in (
        lambda: render.render_vis(network, lambda seen: seen("5")[..., 3].mean(), small, **SMALL),
        lambda: render.render_vis(network, "5:2", small, print_objectives=[lambda seen: seen("5")], **SMALL),
        lambda: objectives.channel("5", 2) + (lambda seen: seen("5").mean()),
        lambda: objectives.channel("5", 2) - (lambda seen: seen("5").mean()),
    ):
        with pytest.raises(WrongInput, match=written):
            tried()


def test_a_batch_is_made_together(network: TorchNetwork) -> None:
    objective = objectives.channel("5", 2) - 1e2 * objectives.diversity("5")
    (made,) = render.render_vis(network, objective, lambda: small(3), **SMALL)
    expected = same(network, [ours.channel("5", 2)] * 3, together=1e2 * ours.diversity("5"))
    np.testing.assert_allclose(made, expected, atol=1e-5)
    assert np.abs(made[0] - made[1]).max() > 0.01


def test_the_pictures_of_a_batch_begin_with_noise_of_their_own(network: TorchNetwork) -> None:
    (made,) = render.render_vis(network, "5:2", lambda: small(2), **SMALL)
    alone = same(network, ["5:2"] * 2, together=Joint("nothing", (), lambda seen: 0 * seen[PICTURE].sum()))
    assert made.tobytes() == alone.tobytes()
    assert np.abs(made[0] - made[1]).max() > 0.01


def test_each_picture_of_a_batch_can_have_its_own(network: TorchNetwork) -> None:
    objective = objectives.Objective.sum([objectives.channel("3", unit, batch=n) for n, unit in enumerate((1, 4))])
    (made,) = render.render_vis(network, objective, lambda: small(2), thresholds=(16,))
    found = ours.outputs_of
    means = np.array([[float(found(network, image, ["3"])["3"][unit].mean()) for unit in (1, 4)] for image in made])
    assert means[0, 0] > means[1, 0]
    assert means[1, 1] > means[0, 1]


def test_a_picture_that_no_objective_reads_stays_as_it_began(network: TorchNetwork) -> None:
    aim = objectives.channel("5", 2, batch=0)
    first, second, third = render.render_vis(network, aim, lambda: small(2), thresholds=(8, 24, 32))
    (begun,) = render.render_vis(network, aim, lambda: small(2), thresholds=(1,))
    assert first[1].tobytes() == second[1].tobytes() == third[1].tobytes() == begun[1].tobytes()
    assert begun[1].std() > 0.001
    moved = [np.abs(a[0] - b[0]).max() for a, b in ((first, second), (second, third))]
    assert min(moved) > 0.01


def test_what_pictures_are_to_be_together_can_be_all_there_is(network: TorchNetwork) -> None:
    made = render.render_vis(network, -objectives.diversity("5"), lambda: small(2), thresholds=(8, 16))
    (alone,) = render.render_vis(network, -objectives.diversity("5"), lambda: small(2), thresholds=(8,))
    assert made[0].tobytes() == alone.tobytes()
    assert np.abs(made[1] - made[0]).max() > 0.01
    assert min(image.std() for image in made[1]) > 0.01


@pytest.mark.parametrize("batch", [1, 2])
def test_a_dead_picture_is_said_to_be_dead(batch: int) -> None:
    module = models.plain()
    with torch.no_grad():
        module[4].weight[2], module[4].bias[2] = 0, -1  # type: ignore[index, operator]
    network, last = models.wrap(module, 32), batch - 1
    aims = [objectives.channel("5", 1, batch=0)] * last + [objectives.channel("5", 2, batch=last)]
    expected = f"picture {last}, of objective .*5:2.*, is dead and grey: no gradient reached the picture in 16 steps"
    with pytest.warns(UserWarning, match=expected) as told:
        made = render.render_vis(
            network, objectives.Objective.sum(aims), lambda: small(batch), thresholds=(8, 20, 24, 32)
        )
    assert len(told) == 1
    assert made[2][last].tobytes() == made[0][last].tobytes()
    assert [float(image[last].std()) for image in (made[1], made[3])] == [0, 0]
    if batch == 2:
        assert np.abs(made[2][0] - made[0][0]).max() > 0.01


def test_a_failed_picture_is_said_to_have_failed(network: TorchNetwork) -> None:
    broken = ours.of(lambda seen: seen["5"][2].mean() * torch.nan, "5", name="broken")
    with pytest.warns(UserWarning, match="picture 0, of objective 'broken', is failed and grey: the gradient was not"):
        made = render.render_vis(network, broken, small, thresholds=(8, 16))
    assert [float(image.std()) for image in made] == [0, 0]


def test_opacity_is_laid_over_random_pictures(network: TorchNetwork) -> None:
    (made,) = render.render_vis(network, "5:2", lambda: small(alpha=True), transforms=[], **SMALL)
    assert made.shape == (1, 24, 24, 4)
    assert made.tobytes() == same(network, "5:2", parametrisation=Alpha(), transform=Composite()).tobytes()


def test_transforms_of_ones_own(network: TorchNetwork) -> None:
    (made,) = render.render_vis(network, "5:2", small, transforms=[transform.jitter(4)], **SMALL)
    assert made.tobytes() == same(network, "5:2", transform=Jitter(4, shared=True)).tobytes()
    (plain,) = render.render_vis(network, "5:2", small, transforms=[], **SMALL)
    assert plain.tobytes() == same(network, "5:2", transform=Nothing()).tobytes()


def test_the_seed_counts(network: TorchNetwork) -> None:
    first, second = (render.render_vis(network, "5:2", small, seed=seed, **SMALL)[0] for seed in (0, 1))
    assert first.tobytes() != second.tobytes()


# Parts.


def test_param() -> None:
    assert param.image(8) == param.Image((8, 8), 1, Fourier())
    assert param.image(8, 6, sd=0.2, batch=3) == param.Image((6, 8), 3, Fourier(sd=0.2))
    assert param.image(8, fft=False, decorrelate=False).parametrisation == Pixels(decorrelate=False)
    assert param.image(8, alpha=True).parametrisation == Alpha(base=Fourier())
    assert param.image(8, channels=5).parametrisation == Fourier(channels=5, decorrelate=False)


def test_what_lucid_and_lucent_order_otherwise_is_given_by_name() -> None:
    for unnamed in ((4,), (0.01,), (None, 4), (4, 0.01)):
        with pytest.raises(
            WrongInput, match=r"after w and h: write sd=, batch= .* Lucid has batch third, and Lucent sd"
        ):
            param.image(32, None, *unnamed)
    assert param.rgba(8, 6, 2, 0.3) == param.Image((6, 8), 2, Alpha(base=Fourier(sd=0.3)))  # of Lucid alone


def test_transform() -> None:
    assert transform.pad(3) == Pad(3, "reflect")
    assert transform.pad(3, "constant", 0.1) == Pad(3, "constant", 0.1)
    assert transform.jitter(3) == Jitter(3, shared=True)
    assert transform.random_scale([0.5, 2]) == Scale(choices=(0.5, 2.0))
    assert transform.random_rotate([5]) == Rotate(choices=(5.0,), value=0.0, shared=True)
    assert transform.random_rotate([math.pi], "rad").choices == pytest.approx((180,))
    assert transform.compose([]) == Nothing()
    assert transform.collapse_alpha_random() == Composite(0.5)


def test_composing_changes_nothing_but_rounding() -> None:
    chain, fused = Chain(tuple(transform.standard_transforms)), transform.compose(transform.standard_transforms)
    draws = chain.draw(1, torch.Generator().manual_seed(0))
    images = torch.rand((2, 3, 40, 40), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(fused(images, draws.repeat(2, 1)), chain(images, draws.repeat(2, 1)), atol=1e-5, rtol=0)


def test_refusals(network: TorchNetwork) -> None:
    for optimizer in (
        lambda params: torch.optim.SGD(params),
        lambda params: torch.optim.Adam(params, eps=1e-3),
        "adam",
    ):
        with pytest.raises(WrongInput, match=r"optimizer \(=.*\) must be None, which is Adam with a rate of 0.05"):
            render.render_vis(network, "5:2", optimizer=optimizer)
    with pytest.raises(WrongInput, match=r"thresholds \(=\(0, 4\)\)"):
        render.render_vis(network, "5:2", thresholds=(0, 4))
    with pytest.raises(WrongInput, match=r"show_image \(=True\) must be False"):
        render.render_vis(network, "5:2", show_image=True)
    with pytest.raises(UnknownName, match="no argument of render_vis 'show_imag'"):
        render.render_vis(network, "5:2", show_imag=False)
    with pytest.raises(WrongInput, match=r"param_f gave a tuple; what param.image returns"):
        render.render_vis(network, "5:2", lambda: (1, 2))
    with pytest.raises(WrongInput, match=r"x \(=3\) and y \(=None\) must be given both"):
        objectives.neuron("5", 2, 3)
    with pytest.raises(WrongInput, match=r"batch \(=1\) is out of range: there are 1 pictures"):
        render.render_vis(network, objectives.channel("5", 2, batch=1), small, **SMALL)
    with pytest.raises(WrongInput, match="objectives is empty: there is nothing to maximise"):
        objectives.Objective.sum([])
    with pytest.raises(WrongInput, match=r"grayscale_image_rgb has no equal here: .* param.image\(w, channels=1\)"):
        param.grayscale_image_rgb(24)
    with pytest.raises(WrongInput, match=r"vec has shape \(6,\)"):
        objectives.tensor_direction("5", VECTOR)
    with pytest.raises(WrongInput, match=r"w \(=0\), h \(=None\) and batch \(=None\) must be at least 1"):
        param.image(0)
    with pytest.raises(WrongInput, match=r"units \(='turns'\)"):
        transform.random_rotate([1], "turns")
    with pytest.raises(WrongInput, match="is out of range: layer '5' has units 0 to 7"):
        render.render_vis(network, objectives.neuron("5", 99, 1, 1), small, **SMALL)
