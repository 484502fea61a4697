"""Rendering: fast equals slow, alone equals in company, again equals before, and nothing is invented."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn

from neuronatlas import objectives, rendering, zoo
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.networks import as_network
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.rendering import PATIENCE, Recipe, Rendering, recipe_of, render
from neuronatlas.rendering.loop import Loop
from tests.networks import models
from tests.reference import rendering as slow

LAYER = "blocks.2"
UNITS = [f"{LAYER}:{index}" for index in range(16)]
SMALL = {"steps": 12, "canvas": 48}


@pytest.fixture(scope="module")
def sixteen() -> list[Rendering]:
    """Sixteen units of the real network, in one call."""
    return render(models.efficientnet(), UNITS, **SMALL)


@pytest.fixture
def small() -> TorchNetwork:
    return models.wrap(models.plain(), 32)


def scores_of(network: TorchNetwork, layer: str, images: list[np.ndarray]) -> np.ndarray:
    """The mean of every unit for exactly these pictures."""
    stack = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in images])
    with torch.no_grad(), network.capture([layer]) as run:
        output = run(stack)[layer]
    return output.flatten(2).mean(2).numpy() if output.ndim == 4 else output.numpy()


def equal(one: Rendering, other: Rendering) -> bool:
    """Bit by bit, the NaN of a curve included."""
    same = one.image.tobytes() == other.image.tobytes() and one.curve.tobytes() == other.curve.tobytes()
    return same and one.settings == other.settings and one.reason == other.reason


# The loop is what it says.


def reference_of(loop: Loop, score: slow.Score, recipe: Recipe) -> tuple[np.ndarray, list[float]]:
    """The slow picture and curve from the random numbers of the first picture of a loop that has not run."""
    numbers, draws = loop.numbers[0].double().clone(), loop.draws[:, 0].clone()
    if recipe.preset == "lucid":
        image, curve = slow.lucid(numbers, draws, score, steps=recipe.steps)
    else:
        options = {"rate": recipe.learning_rate, "cap": recipe.contrast_cap, "margin": recipe.margin}
        image, curve = slow.fast(numbers, draws, score, steps=recipe.steps, **options)  # type: ignore[arg-type]
    return image[0].permute(1, 2, 0).numpy(), curve


@pytest.mark.parametrize(
    "recipe", [recipe_of("fast", canvas=32, margin=4, steps=8), recipe_of("lucid", canvas=32, steps=8)]
)
def test_a_small_network_agrees_with_the_slow_loop(recipe: Recipe) -> None:
    """float32 against float64 over eight steps: 1e-5 of the curve, 1e-4 of the range of the picture."""
    module = models.plain()
    network = models.wrap(module, 32)
    double = copy.deepcopy(module).double()
    objective = objectives.channel("3", 2)
    loop = Loop(network.accelerated("3"), [objective] * 4, recipe, 3)
    image, curve = reference_of(loop, lambda x: double[:4](x)[0, 2].mean(), recipe)  # type: ignore[index]
    made = loop.run()[0]
    np.testing.assert_allclose(made.curve, curve, rtol=1e-5)
    np.testing.assert_allclose(made.image, image, rtol=0, atol=1e-4)


def test_the_real_network_agrees_with_the_slow_loop() -> None:
    network = models.efficientnet()
    recipe = recipe_of("fast", canvas=32, margin=8, steps=3)
    loop = Loop(network.accelerated(LAYER), [objectives.channel(LAYER, 5)], recipe, 0)
    double = copy.deepcopy(network.module).double()
    seen: list[Tensor] = []
    double.get_submodule("_blocks.2").register_forward_hook(lambda _, __, output: seen.append(output))

    def score(image: Tensor) -> Tensor:
        double((image * 255 - 127) / 128)
        return seen[-1][0, 5].mean()

    image, curve = reference_of(loop, score, recipe)
    made = loop.run()[0]
    np.testing.assert_allclose(made.curve, curve, rtol=1e-4)
    np.testing.assert_allclose(made.image, image, rtol=0, atol=2e-3)


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


# Company, seeds and repetition.


@pytest.mark.parametrize("index", [0, 9])
def test_a_unit_alone_is_the_same_unit_in_company_bit_by_bit(sixteen: list[Rendering], index: int) -> None:
    alone = render(models.efficientnet(), UNITS[index], **SMALL)
    assert equal(alone, sixteen[index])


@pytest.mark.parametrize("preset", ["fast", "lucid"])
def test_company_order_and_tiles_change_nothing(small: TorchNetwork, preset: str) -> None:
    wanted = [f"3:{index % 8}" for index in range(21)] + ["5:1", "3:2"]
    options = {"preset": preset, "steps": 20, "canvas": 32}
    made = render(small, wanted, **options)
    assert [one.objective for one in made] == wanted
    mirrored = render(small, wanted[::-1], **options)[::-1]
    for unit, one, other in zip(wanted, made, mirrored, strict=True):
        assert equal(one, other)
        assert equal(one, made[wanted.index(unit)])
    assert equal(render(small, "5:1", **options), made[21])
    assert equal(render(small, "3:4", **options), made[20])


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(small: TorchNetwork) -> None:
    first, second, other = (render(small, "5:1", seed=seed, steps=10) for seed in (4, 4, 5))
    assert first.png() == second.png()
    assert np.abs(first.image - other.image).mean() > 1 / 255
    assert other.settings["seed"] == 5


def test_torchs_own_random_stream_is_left_alone(small: TorchNetwork) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    render(small, "5:1", steps=2)
    assert torch.equal(torch.rand(3), expected)


def test_the_network_is_left_as_it_was(small: TorchNetwork) -> None:
    small.module.train()
    before = models.wrap(copy.deepcopy(small.module)).fingerprint
    small.module.train()
    made = render(small, "5:1", steps=3)
    assert all(part.training for part in small.module.modules())
    assert all(weight.requires_grad and weight.grad is None for weight in small.module.parameters())
    assert models.wrap(small.module).fingerprint == before
    assert equal(made, render(models.wrap(models.plain(), 32), "5:1", steps=3))


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
    others = render(shuffled, UNITS, **SMALL)
    differences = [float(np.abs(one.image - other.image).mean()) for one, other in zip(sixteen, others, strict=True)]
    # A tenth of the range is 25 of 255 grey levels, plain to see; the same seed and weights differ by nothing.
    assert min(differences) > 0.1
    scores = np.array([made.score for made in sixteen])
    assert np.median(np.abs(scores - [other.score for other in others])) > 5
    # To the trained network the other's pictures say little: each unit prefers its own by far.
    seen = scores_of(models.efficientnet(), LAYER, [other.image for other in others]).diagonal()
    assert (scores > seen + 1).all()
    assert scores.mean() > 5 * seen.mean()
    # And they have less structure: trained units of this depth ask for lines and grids (0.58 against 0.42 here).
    assert np.mean([coherence(made.image) for made in sixteen]) > 1.2 * np.mean([coherence(o.image) for o in others])


# Dead and failed units.


def broken(value: float, unit: int = 2) -> nn.Module:
    """The plain network with one unit's weights of the second convolution set to a value."""
    module = models.plain()
    with torch.no_grad():
        module[3].weight[unit] = value  # type: ignore[index, operator]
    return module


def test_n9_a_dead_unit_is_said_to_be_dead_and_given_up_early() -> None:
    network = models.wrap(broken(0.0), 32)
    made = render(network, "3:2")
    assert (made.status, made.reason) == ("dead", f"no gradient reached the picture in {PATIENCE} steps")
    assert np.isfinite(made.curve[:PATIENCE]).all()
    assert np.isnan(made.curve[PATIENCE:]).all()
    assert len(made.curve) == 96
    assert (made.image == 0.5).all()
    assert made.score == pytest.approx(scores_of(network, "3", [made.image])[0, 2])


def test_n9_only_a_tile_of_the_dead_is_given_up() -> None:
    class Counted(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += len(x) > 1  # not the single pictures that try sizes out
            return x + 1

    counted = Counted()
    network = models.wrap(nn.Sequential(counted, broken(0.0)), 32)
    options = {"preset": "lucid", "canvas": 16, "steps": 3 * PATIENCE}
    render(network, "1.3:2", **options)
    assert counted.calls <= PATIENCE + 2
    counted.calls = 0
    render(network, ["1.3:2", "1.3:1"], **options)
    assert counted.calls >= 3 * PATIENCE


def test_n9_a_unit_that_never_stirs_is_dead() -> None:
    module = models.plain()
    with torch.no_grad():
        module[4].bias[2] = -1e4  # type: ignore[index, operator]  # far below anything a picture can do
    made = render(models.wrap(module, 32), "5:2", steps=20)
    assert (made.status, made.reason) == ("dead", "it stayed silent: the objective was 0 in every step")
    assert (made.image == 0.5).all()


def test_a_silent_unit_that_can_be_woken_is_rendered() -> None:
    """A detector of bright edges with a threshold: grey and faint noise leave it silent at every position."""
    convolution = nn.Conv2d(3, 1, 4)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([0.2, 0.2, -0.1, -0.1]).expand(1, 3, 4, 4))
        convolution.bias.fill_(-1.8)  # type: ignore[union-attr]
    network = models.wrap(nn.Sequential(convolution, nn.ReLU()), 64)
    made = render(network, "1:0", steps=32)
    assert made.curve[0] == 0
    assert made.status == ""
    assert made.score > 0.05


def test_n8_weights_that_are_not_numbers_fail_with_the_step_and_no_picture() -> None:
    made = render(models.wrap(broken(float("nan")), 32), "3:2")
    assert (made.status, made.reason) == ("failed", "the gradient was not finite at step 0")
    assert (made.image == 0.5).all()
    assert np.isnan(made.score)
    assert np.isnan(made.curve).all()
    assert b"NaN" not in made.png()


def test_a_dead_unit_does_no_harm_to_its_company() -> None:
    sound, network = models.wrap(models.plain(), 32), models.wrap(broken(0.0), 32)
    wanted = [f"3:{index}" for index in range(8)]
    options = {"preset": "lucid", "steps": 24, "canvas": 32}
    made = render(network, wanted, **options)
    assert [index for index, one in enumerate(made) if one.status] == [2]
    assert equal(made[2], render(network, "3:2", **options))
    for index in (0, 1, 7):
        assert made[index].score > made[index].curve[0]
        assert np.abs(made[index].image - render(sound, wanted[index], **options).image).max() < 1e-3


def test_n8_one_weight_that_is_no_number_spoils_its_layer_and_not_the_one_before() -> None:
    """Backwards, nought times NaN is NaN: no gradient through that layer is to be believed."""
    network = models.wrap(broken(float("nan")), 32)
    made = render(network, ["3:0", "3:2", "2:0"], steps=8)
    assert [one.status for one in made] == ["failed", "failed", ""]
    assert made[2].score > made[2].curve[0]


def test_n8_divergence_on_the_way_is_failed_with_its_step(small: TorchNetwork) -> None:
    made = render(small, "3:2", preset="lucid", learning_rate=1e38, steps=12, canvas=32)
    assert made.status == "failed"
    step = int(made.reason.split()[-1])
    assert np.isnan(made.curve[step + 1 :]).all()
    assert (made.image == 0.5).all()


def test_an_output_without_gradient_is_dead() -> None:
    class Counts(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x > 0).float()

    made = render(models.wrap(nn.Sequential(models.plain(), Counts()), 32), "1:2")
    assert made.status == "dead"


# Sizes.


def test_the_canvas_is_what_the_target_sees_up_to_the_networks_input() -> None:
    network = models.efficientnet()
    for layer, field, canvas in (("stem", 3, 64), ("blocks.5", 83, 96), ("blocks.12", 224, 160)):
        assert network.receptive_fields([layer])[layer] == field
        assert rendering.fit_canvas(network, [layer], recipe_of("fast")).canvas == canvas
    assert rendering.fit_canvas(network, ["stem"], recipe_of("fast", canvas=40)).canvas == 40


@pytest.mark.parametrize("size", [24, 32, 48])
def test_the_canvas_is_never_above_the_networks_input(size: int) -> None:
    fitted = rendering.fit_canvas(models.wrap(models.plain(), size), ["3"], recipe_of("fast"))
    assert fitted.canvas == size


@pytest.mark.parametrize("preset", ["fast", "lucid"])
def test_m15_a_network_of_one_size_gets_pictures_of_that_size(preset: str) -> None:
    network = models.wrap(models.fixed(), 32)
    made = render(network, "3:1", preset=preset, steps=12)
    assert made.image.shape == (32, 32, 3)
    assert (made.recipe.canvas, made.recipe.margin) == (32, 0)
    assert made.score > made.curve[0]
    assert made.score == pytest.approx(scores_of(network, "3", [made.image])[0, 1], rel=1e-4)


def test_m15_a_network_that_takes_no_square_says_what_was_tried() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 24 * 40, 5))
    network = models.wrap(module, (24, 40))
    with pytest.raises(WrongInput, match="takes neither 40 x 40 nor 24 x 24 pixels: its input_size is 24 x 40"):
        render(network, "2:1")


def test_m17_a_network_of_another_number_of_colours_is_refused() -> None:
    network = as_network(nn.Conv2d(1, 4, 3), input_size=32, normalise=((0.0,), (1.0,)))
    grey = as_network(nn.Sequential(nn.Conv2d(1, 4, 3)), input_size=32, normalise=((0.0,), (1.0,)))
    with pytest.raises(WrongInput, match="has no layer"):
        render(network, "0:1")
    with pytest.raises(WrongInput, match="takes 1 colour channels; pictures are made in 3"):
        render(grey, "0:1")


@pytest.mark.parametrize(
    ("recipe", "size"),
    [(recipe_of("fast", canvas=64), 16), (recipe_of("fast", canvas=160), 4), (recipe_of("lucid"), 8)],
)
def test_tiles_are_powers_of_two(recipe: Recipe, size: int) -> None:
    assert rendering.tile_size(recipe) == size
    assert rendering.tile_size(replace(recipe, canvas=2000)) == 1


@pytest.mark.parametrize("preset", ["fast", "lucid"])
def test_a_neuron_is_drawn_on_the_whole_input(small: TorchNetwork, preset: str) -> None:
    """Where positions are counted: the map of layer 3 has 16 x 16 of them at 32 pixels."""
    options = {"preset": preset, "steps": 40}
    neuron, channel = render(small, ["3:2@4,11", "3:2"], **options)
    assert neuron.image.shape == (32, 32, 3)
    stack = torch.from_numpy(neuron.image).permute(2, 0, 1)[None]
    with torch.no_grad(), small.capture(["3"]) as run:
        output = run(stack)["3"][0, 2]
    assert neuron.score == pytest.approx(float(output[4, 11]), rel=1e-4)
    assert neuron.score > output.mean() + 0.5
    assert equal(channel, render(small, "3:2", **options))
    if preset == "fast":  # Lucid's jitter moves the place itself
        row, column = divmod(int(output.argmax()), 16)
        assert max(abs(row - 4), abs(column - 11)) <= 2


def test_a_neuron_of_the_real_network_may_stand_anywhere() -> None:
    made = render(models.efficientnet(), "blocks.1:3@55,55", steps=1)
    assert made.image.shape == (224, 224, 3)


def test_a_canvas_and_a_position_do_not_go_together(small: TorchNetwork) -> None:
    with pytest.raises(WrongInput, match=r"canvas \(=24\) cannot be chosen for a neuron at a position"):
        render(small, "3:2@15,1", canvas=24)
    with pytest.raises(WrongInput, match="takes 24 x 40 pixels: a position counts only on a square input"):
        render(models.wrap(models.plain(), (24, 40)), "3:2@1,1")


# What is asked for.


def test_objectives_of_several_layers(small: TorchNetwork) -> None:
    objective = objectives.channel("0", 1) - 0.5 * objectives.channel("3", 2)
    made = render(small, objective, steps=20, canvas=32)
    first, second = (scores_of(small, layer, [made.image])[0] for layer in ("0", "3"))
    assert made.score == pytest.approx(first[1] - 0.5 * second[2], rel=1e-4)
    assert made.score > made.curve[0]
    assert made.objective == objective.name


def test_nothing_is_done_before_every_unit_is_known(small: TorchNetwork) -> None:
    def forbid(done: int, total: int) -> None:
        pytest.fail("work was begun")

    for what, message in [
        (["5:0", "5:8"], "unit 5:8 is out of range: layer '5' has units 0 to 7"),
        (["5:0", "7:0"], "no layer '7'"),
        (["5:0", "5"], "unit '5' is not an address"),
        (["5:0", "5:0@16,0"], "outside the map"),
    ]:
        with pytest.raises(WrongInput, match=message):
            render(small, what, progress=forbid)


def test_nothing_asked_is_nothing_made(small: TorchNetwork) -> None:
    assert render(small, []) == []


def test_progress_counts_pictures(small: TorchNetwork) -> None:
    told: list[tuple[int, int]] = []
    wanted = [f"3:{index}" for index in range(8)] * 3
    render(small, wanted, steps=1, canvas=32, progress=lambda done, total: told.append((done, total)))
    assert told == [(16, 24), (24, 24)]


# Recipes.


def test_lucids_numbers_are_the_published_ones() -> None:
    recipe = rendering.PRESETS["lucid"]
    assert (recipe.steps, recipe.learning_rate, recipe.canvas) == (512, 0.05, 128)
    assert (recipe.optimiser, recipe.transform, recipe.sd) == ("adam", "lucid", 0.01)
    assert (recipe.margin, recipe.contrast_cap) == (0, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "quick"}, "no preset 'quick': there are lucid, fast"),
        ({"step": 4}, "no setting 'step': did you mean 'steps'"),
        ({"steps": 0}, r"steps \(=0\) must be at least 1"),
        ({"canvas": 0}, r"canvas \(=0\) must be at least 1, or None"),
        ({"margin": -1}, r"margin \(=-1\) must be 0 or more"),
        ({"contrast_cap": 0.0}, r"contrast_cap \(=0.0\) must be above 0, or None"),
        ({"learning_rate": 0.0}, r"learning_rate \(=0.0\) must be above 0"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(WrongInput, match=message) as error:
        recipe_of(**({"preset": "fast"} | change))  # type: ignore[arg-type]
    assert isinstance(error.value, UnknownName) == ("no " in message)


def test_a_recipe_changes_where_it_is_told() -> None:
    recipe = recipe_of("fast", steps=7, learning_rate=1.5)
    expected = rendering.PRESETS["fast"]
    changed = {field.name for field in fields(Recipe) if getattr(recipe, field.name) != getattr(expected, field.name)}
    assert changed == {"steps", "learning_rate"}


# Files.


def test_a_png_carries_its_settings(small: TorchNetwork, tmp_path: Path) -> None:
    made = render(small, "5:1", steps=4, seed=11)
    path = made.save(tmp_path / "unit.png")
    assert path.read_bytes() == made.png() == made._repr_png_()
    with Image.open(path) as picture:
        settings = json.loads(picture.text["neuronatlas"])  # type: ignore[attr-defined]
        np.testing.assert_array_equal(np.asarray(picture), made.pixels)
    assert settings == made.settings
    assert settings["objective"] == "5:1"
    assert settings["steps"] == 4
    again = render(
        small,
        settings["objective"],
        preset=settings["preset"],
        seed=settings["seed"],
        **{field.name: settings[field.name] for field in fields(Recipe) if field.name != "preset"},
    )
    assert again.png() == made.png()


def test_pixels_are_rounded_not_cut(small: TorchNetwork) -> None:
    made = replace(render(small, "5:1", steps=1), image=np.array([[[0.0, 0.4999 / 255, 0.5001 / 255]]] * 2, np.float32))
    assert made.pixels.tolist() == [[[0, 0, 1]]] * 2
    with Image.open(io.BytesIO(made.png())) as picture:
        assert picture.size == (1, 2)


def test_the_settings_of_a_lost_picture_are_strict_json() -> None:
    made = render(models.wrap(broken(float("nan")), 32), "3:2", steps=2)

    def refuse(constant: str) -> Callable[[], None]:
        pytest.fail(f"{constant} is not JSON")

    with Image.open(io.BytesIO(made.png())) as picture:
        settings = json.loads(picture.text["neuronatlas"], parse_constant=refuse)  # type: ignore[attr-defined]
    assert settings["score"] is None
    assert settings["status"] == "failed"
