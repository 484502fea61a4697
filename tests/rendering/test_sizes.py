"""Pictures of the size and the colours that the network takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tests.networks import models
from tests.rendering.making import equal, explicit, scores_of, wrap
from torch import nn

from neuronatlas import rendering
from neuronatlas.errors import WrongInput
from neuronatlas.images.parametrisation import Alpha, Fourier, Pixels
from neuronatlas.images.transforms import Affine, Chain, Composite, Crops
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.rendering import PRESETS, Recipe, Rendering, recipe_of, render


def rose(made: Rendering) -> bool:
    """Was the picture, as the network saw it, better in the last quarter of the steps than in the first?"""
    quarter = len(made.curve) // 4
    return bool(made.curve[-quarter:].mean() > made.curve[:quarter].mean() + 0.01)


def test_the_canvas_is_what_the_target_sees_up_to_the_networks_input() -> None:
    network = models.efficientnet()
    largest = recipe_of("fast").largest
    for layer, field, canvas in (("stem", 3, 64), ("blocks.5", 83, 96), ("blocks.12", 224, largest)):
        assert network.receptive_fields([layer])[layer] == field
        assert rendering.fit_canvas(network, [layer], recipe_of("fast")).canvas == canvas
    assert rendering.fit_canvas(network, ["stem"], recipe_of("fast", canvas=40)).canvas == 40
    assert rendering.fit_canvas(network, ["stem", "blocks.5"], recipe_of("fast")).canvas == 96


@pytest.mark.parametrize("size", [24, 32, 48])
def test_the_canvas_is_never_above_the_networks_input(size: int) -> None:
    fitted = rendering.fit_canvas(models.wrap(models.plain(), size), ["3"], recipe_of("fast"))
    assert fitted.canvas == size


@pytest.mark.parametrize("preset", PRESETS)
def test_m15_a_network_of_one_size_gets_pictures_of_that_size(preset: str) -> None:
    network = models.wrap(models.fixed(), 32)
    made = render(network, "3:1", preset=preset, steps=30)
    assert made.image.shape == (32, 32, 3)
    assert made.recipe.canvas == 32
    assert made.score > made.curve[0]
    assert made.score == pytest.approx(scores_of(network, "3", [made.image])[0, 1], rel=1e-4)


class Seen(nn.Module):
    """Remembers the sizes of what it is given, in itself and in its copies."""

    sizes: set[tuple[int, ...]] = set()  # noqa: RUF012

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.sizes.add(tuple(x.shape[1:]))
        return x * 1


def test_the_network_sees_the_canvas_without_its_margin() -> None:
    network = models.wrap(nn.Sequential(Seen(), models.plain()), 96)
    (twin,) = network.accelerated(["1.3"])
    Seen.sizes.clear()
    made = render(network, "1.3:1", canvas=40, margin=6, steps=2)
    assert (3, 40, 40) in Seen.sizes
    assert (3, 52, 52) not in Seen.sizes
    assert made.recipe.transform == replace(PRESETS["fast"].transform, crop=6)  # type: ignore[type-var]
    assert twin is not network


@pytest.mark.parametrize("preset", PRESETS)
def test_a_network_of_one_oblong_size(preset: str) -> None:
    module = models.seeded(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 24 * 40, 5)))
    network = models.wrap(module, (24, 40))
    made = render(network, "2:1", preset=preset, steps=40)
    assert made.image.shape == (24, 40, 3)
    assert made.recipe.canvas == (24, 40)
    assert made.score == pytest.approx(scores_of(network, "2", [made.image])[0, 1], rel=1e-4)
    assert rose(made)
    assert equal(render(network, "2:1", preset=preset, **explicit(made.recipe)), made)
    neuron = render(network, "0:1@20,35", preset=preset, steps=4)
    assert neuron.image.shape == (24, 40, 3)


def test_an_oblong_canvas(small: TorchNetwork) -> None:
    made = render(small, "3:1", canvas=(20, 28), steps=8)
    assert made.image.shape == (20, 28, 3)
    assert made.settings["canvas"] == [20, 28]
    assert made.score > made.curve[0]
    assert equal(render(small, "3:1", canvas=[20, 28], steps=8), made)


def test_a_network_that_takes_no_picture_says_what_was_tried() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 24 * 24, 5))
    network = models.wrap(module, 24)
    assert network.layers
    module[2] = nn.Linear(7, 5)
    with pytest.raises(WrongInput, match="takes neither 24 x 24 nor 24 x 24 pixels: its input_size is 24 x 24"):
        render(network, "2:1")


def test_a_canvas_that_was_chosen_and_is_not_taken_is_refused() -> None:
    network = models.wrap(models.fixed(), 32)
    with pytest.raises(
        WrongInput, match=r"canvas \(=16\): network 'Sequential' does not take it; its input_size is 32 x 32"
    ):
        render(network, "3:1", canvas=16)


# Colours.


@pytest.mark.parametrize("channels", [1, 4, 7])
@pytest.mark.parametrize("preset", PRESETS)
def test_networks_of_other_numbers_of_colours(channels: int, preset: str) -> None:
    module = models.seeded(nn.Sequential(nn.Conv2d(channels, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 5, 3)))
    network = wrap(module, 32, channels)
    made = render(network, ["2:1", "2:3"], preset=preset, steps=60, canvas=32)
    assert made[1].image.shape == (32, 32, channels)
    assert made[1].score == pytest.approx(scores_of(network, "2", [made[1].image])[0, 3], rel=1e-4)
    assert rose(made[1])
    assert equal(render(network, "2:3", preset=preset, **explicit(made[1].recipe)), made[1])
    if channels == 7:
        with pytest.raises(WrongInput, match="a picture of 7 planes has no colours of its own"):
            made[0].png()
        np.testing.assert_array_equal(made[0].planes(6, 0, 2), np.rint(made[0].image[..., [6, 0, 2]] * 255))
    else:
        assert made[0].png().startswith(b"\x89PNG")


def test_a_grey_picture_is_a_grey_png(tmp_path: object) -> None:
    network = wrap(models.seeded(nn.Sequential(nn.Conv2d(1, 6, 3, padding=1))), 24, 1)
    made = render(network, "0:2", steps=3)
    path = made.save(f"{tmp_path}/grey.png")
    with Image.open(path) as picture:
        assert picture.mode == "L"
        np.testing.assert_array_equal(np.asarray(picture), made.pixels[..., 0])


def test_pictures_of_the_wrong_number_of_colours_are_refused(small: TorchNetwork) -> None:
    grey = wrap(nn.Sequential(nn.Conv2d(1, 4, 3)), 32, 1)
    with pytest.raises(WrongInput, match=r"takes 1 colour channels, but the parametrisation 'pixels' .* gives 3"):
        render(grey, "0:1", parametrisation=Pixels(), steps=2)
    with pytest.raises(WrongInput, match=r"takes 3 colour channels, but the parametrisation 'alpha' .* gives 4"):
        render(small, "3:1", parametrisation=Alpha(), steps=2)


@pytest.mark.parametrize("preset", PRESETS)
def test_pictures_with_alpha_over_random_backgrounds(small: TorchNetwork, preset: str) -> None:
    way = Chain((Composite(), Affine()))
    options = {"preset": preset, "parametrisation": Alpha(), "transform": way, "steps": 30, "canvas": 32}
    made = render(small, ["3:2", "3:1"], **options)
    assert made[0].image.shape == (32, 32, 4)
    colours, alpha = made[0].image[..., :3], made[0].image[..., 3:]
    shown = colours * alpha + 0.5 * (1 - alpha)
    assert made[0].score == pytest.approx(scores_of(small, "3", [shown])[0, 2], rel=1e-4)
    assert rose(made[0])
    assert np.abs(alpha - 0.5).max() > 0.05
    assert equal(render(small, "3:1", preset=preset, **explicit(made[1].recipe)), made[1])
    settings = {name: value for name, value in made[1].recipe.settings.items() if name != "preset"}
    assert equal(render(small, "3:1", preset=preset, **settings), made[1])


def test_several_views_of_each_picture(small: TorchNetwork) -> None:
    options = {"transform": Crops(count=3, size=24), "steps": 12, "canvas": 32}
    made = render(small, ["3:2", "3:1", "5:0"], **options)
    assert equal(render(small, "3:1", **options), made[1])
    assert made[1].score == pytest.approx(scores_of(small, "3", [made[1].image])[0, 1], rel=1e-4)
    assert made[1].curve[-1] > made[1].curve[0]


# Tiles and positions.


@pytest.mark.parametrize(
    ("recipe", "size"),
    [
        (recipe_of("fast", canvas=64), 16),
        (recipe_of("fast", canvas=160, margin=8), 4),
        (recipe_of("fast", canvas=(64, 1000), margin=0), 2),
        (recipe_of("lucid"), 8),
    ],
)
def test_tiles_are_powers_of_two_where_the_layer_is_not_told(recipe: Recipe, size: int, small: TorchNetwork) -> None:
    assert rendering.tile_size(recipe, small) == size
    assert rendering.tile_size(replace(recipe, canvas=2000), small) == 1


@pytest.mark.parametrize(
    ("layer", "restarts", "size"), [("blocks.1", 1, 12), ("blocks.1", 2, 16), ("blocks.3", 1, 16), ("conv_stem", 1, 16)]
)
def test_tiles_are_of_twelve_where_a_layer_fills_them(layer: str, restarts: int, size: int) -> None:
    recipe = recipe_of("fast", canvas=64, restarts=restarts)
    assert rendering.tile_size(recipe, models.efficientnet(), [layer]) == size
    assert rendering.tile_size(replace(recipe, canvas=128), models.efficientnet(), [layer]) == 8


@pytest.mark.parametrize("preset", PRESETS)
def test_a_neuron_is_drawn_on_the_whole_input(small: TorchNetwork, preset: str) -> None:
    """Where positions are counted: the map of layer 3 has 16 x 16 of them at 32 pixels."""
    options = {"preset": preset, "steps": 40}
    neuron, elsewhere, channel = render(small, ["3:2@4,11", "3:2@12,3", "3:2"], **options)
    assert neuron.image.shape == (32, 32, 3)
    stack = torch.from_numpy(np.stack([neuron.image, elsewhere.image])).permute(0, 3, 1, 2)
    with torch.no_grad(), small.capture(["3"]) as run:
        output, other = run(stack)["3"][:, 2]
    assert neuron.score == pytest.approx(float(output[4, 11]), rel=1e-4)
    assert rose(neuron)
    assert equal(channel, render(small, "3:2", **options))
    if preset == "fast":  # Lucid's jitter moves the place itself
        assert neuron.score > output.mean() + 0.1
        assert output[4, 11] > other[4, 11] + 0.5
        assert other[12, 3] > output[12, 3] + 0.5


def test_a_neuron_of_the_real_network_may_stand_anywhere() -> None:
    made = render(models.efficientnet(), "blocks.1:3@55,55", steps=1)
    assert made.image.shape == (224, 224, 3)


def test_a_canvas_and_a_position_do_not_go_together(small: TorchNetwork) -> None:
    with pytest.raises(WrongInput, match=r"canvas \(=24\) cannot be chosen for a neuron at a position"):
        render(small, "3:2@15,1", canvas=24)
    assert render(small, "3:2@15,1", canvas=32, steps=2).image.shape == (32, 32, 3)  # which is the whole input


def test_every_parametrisation_of_no_fixed_colours_takes_those_of_the_preset_alone(small: TorchNetwork) -> None:
    """What somebody chose is left as it is, and refused where it does not fit."""
    grey = wrap(nn.Sequential(nn.Conv2d(1, 4, 3)), 32, 1)
    assert render(grey, "0:1", parametrisation=Fourier(channels=1), steps=2).image.shape[2] == 1
    with pytest.raises(WrongInput, match="takes 3 colour channels"):
        render(small, "3:1", parametrisation=Fourier(channels=1), steps=2)
