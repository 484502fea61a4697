"""Recipes: each is what it is made of, starts where it says, and refuses what has no meaning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image

from neuronatlas import gallery, objectives
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.images.pixels import Pixels
from neuronatlas.images.seeded import Seeded
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.rendering import PRESETS, Frame, render
from tests.networks import models

STEPS = {"steps": 3, "workers": 1}


@pytest.fixture
def network() -> TorchNetwork:
    """Two convolutions on 32 pixels; layer "5" has 8 units on 16 x 16 positions."""
    return models.wrap(models.plain(), 32)


@pytest.fixture
def picture(rng: np.random.Generator) -> np.ndarray:
    """Smooth enough to be seen, and inside of what a seed keeps."""
    coarse = rng.uniform(0.2, 0.8, (4, 4, 3))
    return np.rint(255 * np.kron(coarse, np.ones((8, 8, 1)))).astype(np.uint8)


def measured(network: TorchNetwork, objective: objectives.Objective, image: np.ndarray) -> float:
    """The objective of exactly this picture, without any rendering."""
    batch = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
    with torch.no_grad(), network.capture(objective.layers) as run:
        seen = {name: output[0] for name, output in run(batch).items()}
    return float(objective.measure(seen | {objectives.PICTURE: batch[0]}))


def outputs(network: TorchNetwork, picture: np.ndarray, layer: str) -> torch.Tensor:
    return objectives.outputs_of(network, picture, [layer])[layer]


def still(network: TorchNetwork, recipe: str, picture: np.ndarray) -> np.ndarray:
    """The picture that a recipe begins at: nothing moves at this rate."""
    options = {"steps": 1, "learning_rate": 1e-12}
    if recipe == "deepdream":
        return gallery.deepdream(network, picture, "5", **options).image
    if recipe == "accentuate":
        return gallery.accentuate(network, picture, "5:1", **options).image
    return gallery.style_transfer(network, picture, picture, content_layer="5", style_layers=["2"], **options).image


# They begin at the picture.


@pytest.mark.parametrize("recipe", ["deepdream", "accentuate", "style_transfer"])
def test_it_begins_at_the_picture(network: TorchNetwork, picture: np.ndarray, recipe: str) -> None:
    np.testing.assert_allclose(still(network, recipe, picture), picture / 255, atol=1e-4)


@pytest.mark.parametrize("shape", [(16, 32), (32, 16)])
def test_the_canvas_has_the_shape_of_the_picture(
    network: TorchNetwork, picture: np.ndarray, shape: tuple[int, int]
) -> None:
    part = picture[: shape[0], : shape[1]]
    np.testing.assert_allclose(still(network, "deepdream", part), part / 255, atol=1e-4)
    larger = gallery.deepdream(network, np.kron(part, np.ones((3, 3, 1), np.uint8)), "5", **STEPS)
    assert larger.image.shape == (*shape, 3)


def test_a_canvas_can_be_chosen_and_the_picture_is_brought_to_it(network: TorchNetwork, picture: np.ndarray) -> None:
    made = gallery.deepdream(network, picture, "5", canvas=24, steps=1, learning_rate=1e-12)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(picture / 255).permute(2, 0, 1)[None], size=(24, 24), mode="bilinear", antialias=True
    )
    np.testing.assert_allclose(made.image, expected[0].permute(1, 2, 0).numpy(), atol=1e-4)


def test_a_neuron_at_a_position_is_accentuated_on_the_whole_input(network: TorchNetwork, picture: np.ndarray) -> None:
    made = gallery.accentuate(network, picture[:16], "5:1@3,4", **STEPS)
    assert made.image.shape == (32, 32, 3)


# Each does what it says.


def test_a_dream_is_the_rendering_that_it_is_made_of(network: TorchNetwork, picture: np.ndarray) -> None:
    made = gallery.deepdream(network, picture, "5", learning_rate=0.5, **STEPS)
    margin = np.pad(picture.astype(np.float32) / 255, ((8, 8), (8, 8), (0, 0)), mode="symmetric")
    seeded = Seeded(margin, replace(PRESETS["fast"].parametrisation, contrast_cap=None))
    same = render(
        network, objectives.deepdream("5"), canvas=32, margin=8, parametrisation=seeded, learning_rate=0.5, **STEPS
    )
    assert made.image.tobytes() == same.image.tobytes()


def test_a_dream_raises_what_is_there(network: TorchNetwork, picture: np.ndarray) -> None:
    aim = objectives.deepdream("5")
    made = gallery.deepdream(network, picture, "5", steps=12)
    assert measured(network, aim, made.image) > 1.5 * measured(network, aim, picture / 255)


def test_the_style_comes_nearer_and_a_heavier_one_comes_nearer_still(
    network: TorchNetwork, picture: np.ndarray, rng: np.random.Generator
) -> None:
    style = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    unlike = objectives.style("2", outputs(network, style, "2"))
    moved = objectives.content("5", outputs(network, picture, "5"))
    places = {"content_layer": "5", "style_layers": ["2"], "steps": 12}
    light, heavy = (gallery.style_transfer(network, picture, style, weight=w, **places).image for w in (0.01, 100))
    assert measured(network, unlike, heavy) < measured(network, unlike, light)
    assert measured(network, unlike, heavy) < 0.9 * measured(network, unlike, picture / 255)
    assert measured(network, moved, light) < measured(network, moved, heavy)


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_a_caricature_is_more_like_the_picture_than_the_picture_is(
    network: TorchNetwork, picture: np.ndarray, power: float
) -> None:
    aim = objectives.caricature("5", outputs(network, picture, "5"), power)
    made = gallery.caricature(network, picture, "5", power=power, steps=24)
    assert made.objective == aim.name
    assert measured(network, aim, made.image) > measured(network, aim, picture / 255)


@pytest.mark.parametrize("layer", [None, "2"])
def test_accentuation_raises_the_unit_and_its_weight_holds_it_back(
    network: TorchNetwork, picture: np.ndarray, layer: str | None
) -> None:
    aim = objectives.unit("5:1")
    free, held = (
        gallery.accentuate(network, picture, "5:1", weight=weight, layer=layer, steps=12).image for weight in (0, 1000)
    )
    before = measured(network, aim, picture / 255)
    assert measured(network, aim, free) > before
    assert np.abs(held - picture / 255).mean() < 0.5 * np.abs(free - picture / 255).mean()


def test_a_grid_has_the_picture_of_each_direction_at_its_position(network: TorchNetwork, picture: np.ndarray) -> None:
    class_map = outputs(network, picture, "5")
    made = gallery.activation_grid(network, picture, "5", cell=8, steps=1)
    assert made.shape == (16 * 8, 16 * 8, 3)
    for row, column in ((0, 0), (3, 11)):
        alone = render(network, objectives.cosine("5", class_map[:, row, column]), canvas=8, steps=1)
        assert (made[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] == alone.pixels).all()


def test_between_two_units_neighbours_are_alike_when_told(network: TorchNetwork) -> None:
    def apart(weight: float) -> float:
        row = gallery.interpolate(network, "5:1", "5:2", 3, weight=weight, canvas=16, steps=12)
        assert [each.objective for each in row] == [
            each.name for each in objectives.interpolation(objectives.unit("5:1"), objectives.unit("5:2"), 3)
        ]
        stack = torch.stack([outputs(network, each.image, "5") for each in row])
        return -float(objectives.alignment("5").measure({"5": stack}))

    assert apart(100) < 0.5 * apart(0)


def test_diverse_pictures_differ_more(network: TorchNetwork) -> None:
    def unlike(weight: float) -> float:
        made = gallery.diversity(network, "5:1", 3, weight=weight, canvas=16, steps=12)
        return float(
            objectives.diversity("5").measure({"5": torch.stack([outputs(network, each.image, "5") for each in made])})
        )

    assert unlike(1000) > unlike(0)


def test_both_signs_are_the_unit_and_its_opposite(network: TorchNetwork) -> None:
    high, low = gallery.both_signs(network, "5:1", canvas=16, steps=12)
    assert high.image.tobytes() == render(network, "5:1", canvas=16, steps=12).image.tobytes()
    aim = objectives.unit("5:1")
    assert measured(network, aim, high.image) > measured(network, aim, low.image)


# Sheets and films.


def test_a_sheet_puts_each_picture_into_its_cell(rng: np.random.Generator) -> None:
    pictures = [rng.integers(0, 255, (6, 4, 3), dtype=np.uint8) for _ in range(5)]
    made = gallery.sheet(pictures, 3, gap=2, background=255)
    assert made.shape == (2 * 6 + 2, 3 * 4 + 2 * 2, 3)
    left = made.copy()
    for number, each in enumerate(pictures):
        top, side = divmod(number, 3)
        assert (made[8 * top : 8 * top + 6, 6 * side : 6 * side + 4] == each).all()
        left[8 * top : 8 * top + 6, 6 * side : 6 * side + 4] = 255
    assert (left == 255).all()


def test_a_sheet_takes_grey_clear_and_smaller_pictures() -> None:
    grey, small = np.full((4, 4, 1), 9, np.uint8), np.full((2, 2, 3), 7, np.uint8)
    clear = np.dstack([np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 51, np.uint8)])
    made = gallery.sheet([grey, small, clear], 3, gap=0, background=100)
    assert (made[:, :4] == 9).all()
    assert (made[1:3, 5:7] == 7).all()
    assert (made[0, 4:8] == 100).all()
    assert (made[:, 8:] == 80).all()


def test_a_sheet_is_by_default_about_square() -> None:
    dots = [np.zeros((1, 1, 3), np.uint8)] * 7
    assert gallery.sheet(dots, gap=0).shape == (3, 3, 3)


def test_the_sheet_of_layers_has_a_row_for_each(network: TorchNetwork) -> None:
    made = gallery.channels(network, ["2", "5"], 4, canvas=8, gap=1, steps=1)
    assert made.shape == (17, 35, 3)
    alone = render(network, "5:2", canvas=8, steps=1)
    assert (made[9:, 9:17] == alone.pixels).all()
    assert gallery.channels(network, ["2"], 10, canvas=8, gap=0, steps=1)[:, 64:].min() == 255


@pytest.mark.parametrize("ending", [".gif", ".png", ".webp"])
def test_a_film_has_a_frame_for_every_so_many_steps_and_ends_with_the_picture(
    network: TorchNetwork, tmp_path: Path, ending: str
) -> None:
    told: list[Frame] = []
    path = tmp_path / f"film{ending}"
    made = gallery.animate(network, "5:1", path, every=8, milliseconds=50, canvas=16, steps=20, watch=told.append)
    assert [frame.step for frame in told][:2] == [8, 16]
    with Image.open(path) as film:
        assert film.n_frames == 3
        assert film.info["loop"] == 0
        film.seek(2)
        last = np.asarray(film.convert("RGB")).astype(float)
    assert np.abs(last - made.pixels).mean() < {".gif": 25, ".png": 0.01, ".webp": 12}[ending]


def filmed(path: Path) -> list[np.ndarray]:
    with Image.open(path) as film:
        frames = []
        for number in range(film.n_frames):
            film.seek(number)
            frames.append(np.asarray(film.convert("RGB")))
    return frames


@pytest.mark.parametrize("unit", ["5:1", "5:2", "5:3"])
def test_a_film_shows_the_restart_that_is_kept(network: TorchNetwork, tmp_path: Path, unit: str) -> None:
    told: list[Frame] = []
    options = {"canvas": 16, "steps": 24, "restarts": 3, "watch": told.append}
    made = gallery.animate(network, unit, tmp_path / "film.png", **options)
    assert {(frame.restart, frame.attempt) for frame in told} == {(0, 0), (1, 0), (2, 0)}
    (kept,) = [frame.restart for frame in told if frame.image.tobytes() == made.image.tobytes()]
    expected = [frame.image for frame in told if frame.restart == kept]
    frames = filmed(tmp_path / "film.png")
    assert len(frames) == len(expected) == 3
    for frame, image in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(frame, np.rint(image * 255))


def test_a_film_shows_the_attempt_that_succeeded(network: TorchNetwork, tmp_path: Path) -> None:
    """The root is no number once the picture is bright: the faster it brightens, the sooner."""
    aim = objectives.of(lambda seen: seen["input"].mean() + 0 * (0.75 - seen["input"].mean()).sqrt(), [], name="bright")
    told: list[Frame] = []
    options = {"canvas": 16, "steps": 24, "preset": "lucid", "parametrisation": Pixels(), "watch": told.append}
    made = gallery.animate(network, aim, tmp_path / "film.png", learning_rate=0.1, **options)
    assert made.status == ""
    attempts = [frame.attempt for frame in told]
    assert attempts[0] == 0
    assert attempts[-1] > 0
    expected = [frame.image for frame in told if frame.attempt == attempts[-1]]
    frames = filmed(tmp_path / "film.png")
    assert len(frames) == len(expected) == 3
    for frame, image in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(frame, np.rint(image * 255))


def test_a_film_of_what_is_lost_ends_in_grey(network: TorchNetwork, tmp_path: Path) -> None:
    told: list[Frame] = []
    options = {"canvas": 16, "steps": 24, "restarts": 2}
    nothing = objectives.of(lambda seen: 0 * seen["5"].sum(), "5", name="nothing")
    made = gallery.animate(network, nothing, tmp_path / "film.png", watch=told.append, **options)
    assert made.status == "dead"
    assert {frame.restart for frame in told} == {0, 1}
    begun, end = filmed(tmp_path / "film.png")  # the same at steps 8 and 16, which is one frame
    np.testing.assert_array_equal(begun, np.rint(next(frame.image for frame in told if not frame.restart) * 255))
    assert (end == 128).all()
    broken = objectives.of(lambda seen: torch.nan * seen["5"].sum(), "5", name="broken")
    assert gallery.animate(network, broken, tmp_path / "film.png", **options).status == "failed"
    assert len(filmed(tmp_path / "film.png")) == 1


# What it refuses, and what it passes on.


def test_the_seed_counts_and_the_same_comes_again(network: TorchNetwork, picture: np.ndarray) -> None:
    first, again, other = (gallery.caricature(network, picture, "5", seed=seed, **STEPS).image for seed in (0, 0, 1))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_pixels_can_be_dreamt_too(network: TorchNetwork, picture: np.ndarray) -> None:
    made = gallery.deepdream(network, picture, "5", parametrisation=Pixels(), **STEPS)
    assert made.recipe.settings["parametrisation"]["base"]["name"] == "pixels"


def test_a_list_is_no_picture(network: TorchNetwork, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # the tests' own check of types would speak first
    for give in (gallery.deepdream, gallery.caricature, gallery.activation_grid):
        with pytest.raises(WrongInput, match=r"picture is a list; an array \(height, width, 3\) is expected"):
            give(network, picture.tolist(), "5")
    with pytest.raises(WrongInput, match="picture is a list; a rendering or an array"):
        gallery.sheet([picture.tolist()])


def test_refusals(network: TorchNetwork, picture: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match=r"picture has shape \(32, 32, 2\); \(height, width, 3\) is expected"):
        gallery.deepdream(network, picture[..., :2], "5")
    with pytest.raises(WrongInput, match=r"holds values from .* to .*; uint8, or floats in 0..1"):
        gallery.caricature(network, picture.astype(np.float32), "5")
    with pytest.raises(UnknownName, match="no layer 'six'"):
        gallery.deepdream(network, picture, "six")
    with pytest.raises(WrongInput, match="parametrisation \\(='maco'\\) must be 'fourier' or 'pixels'"):
        gallery.deepdream(network, picture, "5", parametrisation="maco")
    with pytest.raises(WrongInput, match=r"weight \(=-1\) must be 0 or more"):
        gallery.accentuate(network, picture, "5:1", weight=-1)
    with pytest.raises(WrongInput, match=r"count \(=1\) must be 2 or more"):
        gallery.diversity(network, "5:1", 1)
    with pytest.raises(WrongInput, match=r"layer \(=None\) must be given"):
        gallery.diversity(network, objectives.l2())
    with pytest.raises(WrongInput, match=r"path \(=.*film.mp4'\) must end in .gif, .png, .webp"):
        gallery.animate(network, "5:1", tmp_path / "film.mp4")
    with pytest.raises(WrongInput, match=r"every \(=3\) must be a multiple of 8"):
        gallery.animate(network, "5:1", tmp_path / "film.gif", every=3)
    with pytest.raises(WrongInput, match="pictures is empty"):
        gallery.sheet([])
    with pytest.raises(WrongInput, match=r"columns \(=0\) must be at least 1"):
        gallery.sheet([picture], 0)
    with pytest.raises(WrongInput, match=r"picture has shape \(32, 32\)"):
        gallery.sheet([picture[..., 0]])
    with pytest.raises(WrongInput, match=r"layers \(='5'\) must be a sequence"):
        gallery.channels(network, "5")
    assert not list(tmp_path.iterdir())
