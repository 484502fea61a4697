"""The loop is what it says: fast equals slow, and the picture is of this network and no other."""

from __future__ import annotations

import copy
from dataclasses import fields

import numpy as np
import pytest
import torch
from scipy import ndimage
from tests.networks import models
from tests.reference import rendering as slow
from tests.rendering.making import loop_of, made_by, scores_of
from torch import Tensor

from neuronatlas import objectives, rendering, zoo
from neuronatlas.images.fourier import Fourier
from neuronatlas.images.transforms import Affine, LucidChain
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.rendering import Frame, Recipe, Rendering, recipe_of, render
from neuronatlas.rendering.loop import Loop
from neuronatlas.rendering.task import MOMENTUM

LAYER = "blocks.2"


def reference_of(loop: Loop, score: slow.Score) -> tuple[np.ndarray, list[float]]:
    """The slow picture and curve from the random numbers of the first picture of a loop that has not run."""
    recipe = loop.recipe
    numbers, draws = loop.numbers[0].double().clone(), loop.draws[0].clone()
    if isinstance(recipe.transform, LucidChain):
        image, curve = slow.lucid(numbers, draws, score, steps=recipe.steps, upsample=recipe.transform.upsample)
    else:
        way, move = recipe.parametrisation, recipe.transform
        assert isinstance(way, Fourier)
        assert isinstance(move, Affine)
        image, curve = slow.fast(
            numbers,
            draws,
            score,
            steps=recipe.steps,
            margin=recipe.margin,
            rate=recipe.learning_rate,
            momentum=MOMENTUM,
            waves=slow.Waves(numbers.shape[1], decay=way.decay, lowest=way.lowest),
            cap=way.contrast_cap,
            shift=move.shift,
            scale=move.scale,
            degrees=move.degrees,
        )
    return image[0].permute(1, 2, 0).numpy(), curve


@pytest.mark.parametrize(
    ("recipe", "size"),
    [
        (recipe_of("fast", canvas=32, margin=4, steps=8), 32),
        (recipe_of("fast", margin=3, steps=4), 32),
        (recipe_of("lucid", canvas=32, steps=8), 32),
        (recipe_of("lucid", canvas=24, steps=8), 40),
    ],
)
def test_a_small_network_agrees_with_the_slow_loop(recipe: Recipe, size: int) -> None:
    """float32 against float64 over eight steps: 1e-5 of the curve, 1e-4 of the range of the picture."""
    module = models.plain()
    network = models.wrap(module, size)
    double = copy.deepcopy(module).double()
    (twin,) = network.accelerated(["3"])
    loop = loop_of(twin, "3:2", recipe, tile=4, seed=3)
    image, curve = reference_of(loop, lambda x: double[:4](x)[0, 2].mean())  # type: ignore[index]
    made = made_by(loop)
    np.testing.assert_allclose(made.curve, curve, rtol=1e-5)
    np.testing.assert_allclose(made.image, image, rtol=0, atol=1e-4)


def test_the_real_network_agrees_with_the_slow_loop() -> None:
    network = models.efficientnet()
    (twin,) = network.accelerated([LAYER])
    loop = loop_of(twin, f"{LAYER}:5", recipe_of("fast", canvas=32, margin=8, steps=3))
    double = copy.deepcopy(network.module).double()
    seen: list[Tensor] = []
    double.get_submodule("_blocks.2").register_forward_hook(lambda _, __, output: seen.append(output))

    def score(image: Tensor) -> Tensor:
        double((image * 255 - 127) / 128)
        return seen[-1][0, 5].mean()

    image, curve = reference_of(loop, score)
    made = made_by(loop)
    np.testing.assert_allclose(made.curve, curve, rtol=1e-3)
    np.testing.assert_allclose(made.image, image, rtol=0, atol=5e-3)


def test_the_curve_rises(sixteen: list[Rendering]) -> None:
    for made in sixteen:
        assert made.curve.shape == (12,)
        assert made.status == ""
        assert made.curve[-3:].min() > made.curve[:2].max()
        assert made.score > 0.7 * made.curve[-1]


def test_the_score_is_that_of_the_very_picture(sixteen: list[Rendering]) -> None:
    scores = scores_of(models.efficientnet(), LAYER, [made.image for made in sixteen])
    for index, made in enumerate(sixteen):
        assert made.image.shape == (48, 48, 3)
        assert made.score == pytest.approx(scores[index, index], rel=1e-4, abs=1e-4)


def test_pictures_lie_in_0_to_1(sixteen: list[Rendering]) -> None:
    stack = np.stack([made.image for made in sixteen])
    assert 0 <= stack.min() < 0.2
    assert 0.8 < stack.max() <= 1
    assert stack.std((1, 2, 3)).min() > 0.05


# Pictures are of this network and no other.


def coherence(image: np.ndarray) -> float:
    """How much the slopes of a picture agree in direction with their neighbours': 0 not at all, 1 wholly."""
    down, right = np.gradient(image.mean(2))
    a, b, c = (ndimage.gaussian_filter(product, 4) for product in (right * right, right * down, down * down))
    return float(np.average(np.hypot(a - c, 2 * b) / (a + c + 1e-12), weights=a + c))


def test_shuffled_weights_change_scores_and_pictures(sixteen: list[Rendering]) -> None:
    """Every weight tensor keeps its numbers and loses their order: an untrained network of the same scale."""
    shuffled = zoo.load("efficientnet-lite0")
    assert isinstance(shuffled, TorchNetwork)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in shuffled.module.parameters():
            flat = weight.view(-1)
            flat.copy_(flat[torch.randperm(len(flat), generator=generator)])
    others = render(shuffled, [made.objective for made in sixteen], steps=12, canvas=48)
    differences = [float(np.abs(one.image - other.image).mean()) for one, other in zip(sixteen, others, strict=True)]
    # A tenth of the range is 25 of 255 grey levels, plain to see; the same seed and weights differ by nothing.
    assert min(differences) > 0.1
    scores = np.array([made.score for made in sixteen])
    assert np.median(np.abs(scores - [other.score for other in others])) > 5
    # To the trained network the other's pictures say little: each unit prefers its own by far.
    seen = scores_of(models.efficientnet(), LAYER, [other.image for other in others]).diagonal()
    assert (scores > seen + 1).all()
    assert scores.mean() > 5 * seen.mean()
    # And they have less structure: trained units of this depth ask for lines and grids.
    assert np.mean([coherence(made.image) for made in sixteen]) > 1.2 * np.mean([coherence(o.image) for o in others])


# What is asked for.


def test_objectives_of_several_layers(small: TorchNetwork) -> None:
    objective = objectives.channel("0", 1) - 0.5 * objectives.channel("3", 2)
    made = render(small, objective, steps=20, canvas=32)
    first, second = (scores_of(small, layer, [made.image])[0] for layer in ("0", "3"))
    assert made.score == pytest.approx(first[1] - 0.5 * second[2], rel=1e-4)
    assert made.score > made.curve[0]
    assert made.objective == objective.name


def test_a_function_of_ones_own_is_an_objective(small: TorchNetwork) -> None:
    def contrast(seen: objectives.Outputs) -> Tensor:
        return seen["3"][2].mean() - seen["5"][1].amax()

    made = render(small, contrast, steps=12, canvas=32)
    stack = torch.from_numpy(made.image).permute(2, 0, 1)[None]
    with torch.no_grad(), small.capture(["3", "5"]) as run:
        output = run(stack)
    expected = float(output["3"][0, 2].mean() - output["5"][0, 1].amax())
    assert made.score == pytest.approx(expected, rel=1e-4)
    assert made.score > made.curve[0]
    assert made.objective == "contrast(3, 5)"
    assert render(small, [contrast, "3:2"], steps=12, canvas=32)[0].png() == made.png()


# Frames.


@pytest.mark.parametrize(("steps", "seen"), [(20, [8, 16, 20]), (16, [8, 16]), (3, [3])])
def test_frames_come_every_eight_steps_and_at_the_last(small: TorchNetwork, steps: int, seen: list[int]) -> None:
    frames: list[Frame] = []
    wanted = [f"3:{index}" for index in range(5)] + ["5:1"]
    made = render(small, wanted, steps=steps, canvas=24, watch=frames.append)
    assert render(small, wanted, steps=steps, canvas=24)[4].png() == made[4].png()  # watching changes nothing
    for number, unit in enumerate(wanted):
        own = [frame for frame in frames if frame.number == number]
        assert [frame.step for frame in own] == seen
        assert {frame.objective for frame in own} == {unit}
        assert {frame.steps for frame in own} == {steps}
        assert {frame.image.shape for frame in own} == {(24, 24, 3)}
        assert all(frame.score == made[number].curve[frame.step - 1] for frame in own)
        np.testing.assert_array_equal(own[-1].image, made[number].image)
        assert len(own) == 1 or np.abs(own[0].image - own[-1].image).max() > 0.01


def test_every_field_of_a_frame_is_known() -> None:
    names = {field.name for field in fields(rendering.Frame)}
    assert names == {"number", "objective", "step", "steps", "image", "score", "restart", "attempt"}


@pytest.mark.parametrize(
    "layer", ["stem_bn", "blocks.3.bn1", "blocks.3.depthwise_conv", "stem", "blocks.9.swish#1", "fc"]
)
def test_every_kind_of_layer_is_rendered(layer: str) -> None:
    """Also one whose module was folded into another."""
    network = models.efficientnet()
    made = render(network, f"{layer}:3", steps=8, canvas=64)
    assert made.status == ""
    assert made.score > made.curve[0]
    assert made.score == pytest.approx(scores_of(network, layer, [made.image])[0, 3], rel=1e-3)
