"""Alone equals in company, again equals before: whatever the batch, the order, the tiles and the threads."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.networks import models
from tests.rendering.making import broken, equal, explicit

from neuronatlas import objectives
from neuronatlas.errors import WrongInput
from neuronatlas.images.transforms import Affine
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.rendering import PRESETS, Rendering, render, tile_size

WANTED = [f"3:{index}" for index in range(8)] + [f"5:{index}" for index in range(8)]


@pytest.mark.parametrize("index", [0, 9])
def test_a_unit_alone_is_the_same_unit_in_company_bit_by_bit(sixteen: list[Rendering], index: int) -> None:
    alone = render(models.efficientnet(), f"blocks.2:{index}", steps=12, canvas=48)
    assert equal(alone, sixteen[index])


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("count", [1, 4, 16])
def test_n_at_once_are_n_one_by_one_with_any_number_of_threads(small: TorchNetwork, preset: str, count: int) -> None:
    options = {"preset": preset, "steps": 6, "canvas": 32}
    wanted = [f"3:{index % 8}" for index in range(count)]
    alone = {index: render(small, wanted[index], workers=1, **options) for index in {0, count // 3, count - 1}}
    for workers in (1, 2, 3):
        made = render(small, wanted, workers=workers, **options)
        assert [one.objective for one in made] == wanted
        assert all(equal(made[index], one) for index, one in alone.items())
        assert all(equal(made[index], made[index - 8]) for index in range(8, count))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("transform", [None, Affine(), Affine(shared=True)])
def test_the_same_where_pictures_end_early(small: TorchNetwork, preset: str, transform: Affine | None) -> None:
    options = {"preset": preset, "steps": 38, "canvas": 32, "plateau": 0.02, "restarts": 1}
    if transform is not None:
        options["transform"] = transform
    wanted = WANTED[:10]
    made = render(small, wanted, workers=1, **options)
    assert all(equal(one, other) for one, other in zip(made, render(small, wanted, workers=2, **options), strict=True))
    for index in (3, 9):
        assert equal(render(small, wanted[index], workers=1, **options), made[index])


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_with_restarts(small: TorchNetwork, preset: str) -> None:
    options = {"preset": preset, "steps": 6, "canvas": 32, "restarts": 3}
    made = render(small, WANTED[4:12], workers=1, **options)
    others = render(small, WANTED[4:12], workers=2, **options)
    assert all(equal(one, other) for one, other in zip(made, others, strict=True))
    assert equal(render(small, "5:1", **options), made[5])


def test_order_changes_nothing(small: TorchNetwork) -> None:
    wanted = [*WANTED, "3:2@4,11", "3:2"]
    made = render(small, wanted, steps=10)
    mirrored = render(small, wanted[::-1], steps=10)[::-1]
    assert all(equal(one, other) for one, other in zip(made, mirrored, strict=True))
    assert equal(made[2], made[-1])


def test_the_same_for_objectives_that_are_no_mean_of_a_unit(small: TorchNetwork) -> None:
    wanted = [objectives.channel("3", index) - 0.5 * objectives.channel("5", 1) for index in range(6)]
    made = render(small, wanted, steps=10, canvas=32)
    assert equal(render(small, wanted[4], steps=10, canvas=32), made[4])


@pytest.mark.parametrize("preset", PRESETS)
def test_the_dead_do_no_harm_to_their_company(preset: str) -> None:
    """The first picture of the tile is given up early; the others' transforms go on changing from step to step."""
    network = models.wrap(broken(0.0, unit=0), 32)
    options = {"preset": preset, "steps": 24, "canvas": 32}
    made = render(network, WANTED[:8], workers=1, **options)
    assert [index for index, one in enumerate(made) if one.status] == [0]
    for index in (0, 1, 7):
        assert equal(made[index], render(network, WANTED[index], **options))


def test_seeds(small: TorchNetwork) -> None:
    first, second, other = (render(small, "5:1", seed=seed, steps=10) for seed in (4, 4, 5))
    assert first.png() == second.png()
    assert np.abs(first.image - other.image).mean() > 1 / 255
    assert other.settings["seed"] == 5


# Several together.


def test_diversity_makes_pictures_differ_and_scores_stay_ones_own(small: TorchNetwork) -> None:
    options = {"steps": 24, "canvas": 32}
    plain = render(small, ["5:2"] * 4, together=0.0 * objectives.diversity("5"), **options)
    made = render(small, ["5:2"] * 4, together=3.0 * objectives.diversity("5"), **options)

    def likeness(pictures: list[Rendering]) -> float:
        stack = torch.stack([torch.from_numpy(one.image).permute(2, 0, 1) for one in pictures])
        with torch.no_grad(), small.capture(["5"]) as run:
            return -float(objectives.diversity("5").measure(run(stack)))

    assert likeness(made) < 0.8 * likeness(plain)
    for one in made:
        with torch.no_grad(), small.capture(["5"]) as run:
            output = run(torch.from_numpy(one.image).permute(2, 0, 1)[None])["5"]
        assert one.score == pytest.approx(float(output[0, 2].mean()), rel=1e-4)
    assert len({one.image.tobytes() for one in made}) == 4
    again = render(small, ["5:2"] * 4, together=3.0 * objectives.diversity("5"), workers=2, **options)
    assert all(equal(one, other) for one, other in zip(made, again, strict=True))


def test_together_and_restarts_do_not_go_together(small: TorchNetwork) -> None:
    with pytest.raises(WrongInput, match=r"restarts \(=2\) must be 1 for pictures made together"):
        render(small, ["3:1", "3:2"], together=objectives.diversity("3"), restarts=2)
    assert render(small, [], together=objectives.diversity("3")) == []


def test_more_pictures_together_than_a_tile_holds(small: TorchNetwork) -> None:
    most = tile_size(replace(PRESETS["fast"], canvas=32), small)
    made = render(small, [f"3:{index % 8}" for index in range(most + 3)], together=objectives.diversity("3"), steps=2)
    assert len(made) == most + 3


# Plateau and restarts.


@pytest.mark.parametrize("shared", [True, False])
def test_a_picture_that_ends_early_is_what_it_was_then(small: TorchNetwork, shared: bool) -> None:
    """With a constant step, so that a recipe of fewer steps goes the same way to the same place."""
    options = {"preset": "lucid", "canvas": 32, "transform": Affine(shared=shared)}
    made = render(small, WANTED[:8], steps=60, plateau=0.1, **options)
    ends = [int(np.isfinite(one.curve).sum()) for one in made]
    assert 32 <= min(ends) < max(ends)
    for one, end in zip(made, ends, strict=True):
        assert one.curve.shape == (60,)
        assert np.isnan(one.curve[end:]).all()
        rose = [
            one.curve[step - 16 : step].mean() > (1 + 0.1 * np.sign(before)) * before
            for step in range(32, end + 1)
            if (before := one.curve[step - 32 : step - 16].mean()) != 0
        ]
        assert all(rose[:-1])
        assert not rose[-1] or end == 60
    shortest = int(np.argmin(ends))
    cut = render(small, WANTED[shortest], steps=ends[shortest], **options)
    if not shared:  # a draw of all steps at once gives the same first rows only where the picture's stream is its own
        np.testing.assert_array_equal(cut.curve, made[shortest].curve[: ends[shortest]])
        np.testing.assert_array_equal(cut.image, made[shortest].image)


def test_restarts_keep_the_best(small: TorchNetwork) -> None:
    best = render(small, "5:3", steps=10, canvas=32, restarts=4)
    fewer = [render(small, "5:3", steps=10, canvas=32, restarts=count) for count in (1, 2, 3)]
    scores = [one.score for one in fewer] + [best.score]
    assert scores == sorted(scores)
    assert scores[0] < scores[-1]
    assert best.objective == fewer[0].objective == "5:3"
    plain = render(small, "5:3", steps=10, canvas=32)
    np.testing.assert_array_equal(fewer[0].image, plain.image)


def test_a_restart_that_was_made_is_better_than_one_that_was_not() -> None:
    made = render(models.wrap(broken(0.0), 32), ["3:2", "3:1"], steps=20, restarts=2)
    assert [one.status for one in made] == ["dead", ""]


# The recipe in a picture makes it again.


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("unit", ["5:1", "3:2@4,11"])
def test_the_recipe_of_a_picture_makes_it_again(small: TorchNetwork, preset: str, unit: str) -> None:
    made = render(small, unit, preset=preset, steps=6)
    assert equal(render(small, unit, preset=preset, **explicit(made.recipe)), made)


def test_copies_are_those_of_the_weights_there_are_now() -> None:
    network = models.wrap(models.plain(), 32)
    before = render(network, "3:2", steps=4)
    network.module[0].weight.data.mul_(-1)
    after = render(network, "3:2", steps=4)
    fresh = models.wrap(copy.deepcopy(network.module), 32)
    assert equal(after, render(fresh, "3:2", steps=4))
    assert not equal(after, before)
