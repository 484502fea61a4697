"""Recipes: what can be asked for, what is refused, and what a file says about its picture."""

from __future__ import annotations

import io
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.networks import models
from tests.rendering.making import equal
from torch import nn

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.images.parametrisation import PARAMETRISATIONS, Alpha, Fourier
from neuronatlas.images.transforms import Affine, Chain, Jitter, LucidChain, Pad
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.rendering import PRESETS, Recipe, recipe_of, render


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "quick"}, f"no preset 'quick': there are {', '.join(PRESETS)}"),
        ({"step": 4}, "no setting 'step': did you mean 'steps'"),
        ({"preset": "fast", "transform": "affin"}, "no transform 'affin': did you mean 'affine'"),
        ({"parametrisation": "fouier"}, "no parametrisation 'fouier': did you mean 'fourier'"),
        ({"steps": 0}, r"steps \(=0\) must be at least 1"),
        ({"canvas": 0}, r"canvas \(=0\) must be at least 1, two such numbers"),
        ({"canvas": (24, 0)}, r"canvas \(=\(24, 0\)\) must be at least 1, two such numbers"),
        ({"margin": -1}, r"margin \(=-1\) must be 0 or more"),
        ({"largest": 0}, r"largest \(=0\) must be at least 1"),
        ({"learning_rate": 0.0}, r"learning_rate \(=0.0\) must be a finite number above 0"),
        ({"learning_rate": float("nan")}, r"learning_rate \(=nan\) must be a finite number above 0"),
        ({"restarts": 0}, r"restarts \(=0\) must be at least 1"),
        ({"plateau": -0.1}, r"plateau \(=-0.1\) must be 0 or more, or None"),
        (
            {"parametrisation": {"name": "fourier", "contrast_cap": 0.0}},
            r"contrast_cap \(=0.0\) must be a finite number above 0",
        ),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(WrongInput, match=message) as error:
        recipe_of(**({"preset": "fast"} | change))  # type: ignore[arg-type]
    assert isinstance(error.value, UnknownName) == message.startswith("no ")


def test_a_recipe_changes_where_it_is_told() -> None:
    recipe = recipe_of("fast", steps=7, learning_rate=1.5)
    expected = PRESETS["fast"]
    changed = {field.name for field in fields(Recipe) if getattr(recipe, field.name) != getattr(expected, field.name)}
    assert changed == {"steps", "learning_rate"}


OTHERS = {
    "preset": {},
    "size": {"canvas": (24, 40), "margin": 3, "largest": 96},
    "early": {"plateau": 0.01, "restarts": 3, "precision": "bfloat16"},
    "alpha": {"parametrisation": Alpha(base=Fourier(sd=0.2, contrast_cap=None)), "canvas": 30},
    "chain": {"transform": Chain((Pad(4), Jitter(3), Affine(shift=1.0, degrees=2.0, shared=True)))},
    "cppn": {"parametrisation": "cppn", "optimiser": "adam", "transform": LucidChain(upsample=None)},
}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS)
def test_settings_are_plain_and_make_the_recipe_again(preset: str, changes: dict[str, object]) -> None:
    recipe = recipe_of(preset, **changes)
    settings = json.loads(json.dumps(recipe.settings))
    assert settings == recipe.settings
    assert recipe_of(**settings) == recipe


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


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("unit", ["5:1", "3:1@2,3"])
def test_the_settings_in_a_png_make_the_same_picture(small: TorchNetwork, preset: str, unit: str) -> None:
    made = render(small, unit, preset=preset, steps=4, seed=11, restarts=2, plateau=0.0)
    with Image.open(io.BytesIO(made.png())) as picture:
        settings = json.loads(picture.text["neuronatlas"])  # type: ignore[attr-defined]
    changes = {field.name: settings[field.name] for field in fields(Recipe) if field.name != "preset"}
    again = render(small, settings["objective"], preset=settings["preset"], seed=settings["seed"], **changes)
    assert again.png() == made.png()
    assert equal(again, made)


@pytest.mark.parametrize("name", [name for name in PARAMETRISATIONS if name not in {"alpha", "seeded"}])
def test_every_parametrisation_can_be_optimised(small: TorchNetwork, name: str) -> None:
    """Those of `LowRes` share parts with their company, by intent."""
    options = {"parametrisation": name, "transform": "affine", "optimiser": "adam", "learning_rate": 0.01}
    made = render(small, ["3:1", "3:2"], steps=24, canvas=32, margin=0, **options)
    assert made[0].curve[-4:].mean() > made[0].curve[:2].mean()
    assert 0 <= made[0].image.min() < made[0].image.max() <= 1
    assert equal(render(small, "3:1", steps=24, canvas=32, margin=0, **options), made[0]) == (name != "lowres")


def test_pixels_are_rounded_not_cut(small: TorchNetwork) -> None:
    made = replace(render(small, "5:1", steps=1), image=np.array([[[0.0, 0.4999 / 255, 0.5001 / 255]]] * 2, np.float32))
    assert made.pixels.tolist() == [[[0, 0, 1]]] * 2
    with Image.open(io.BytesIO(made.png())) as picture:
        assert picture.size == (1, 2)


def test_bfloat16_scores_nearly_as_high() -> None:
    """The picture is made in half precision; what it is worth is measured here in full."""
    module = nn.Sequential(
        nn.Conv2d(3, 16, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 16 * 16, 10),
    )  # fmt: skip
    network = models.wrap(models.seeded(module, 3), 32)
    wanted = [f"5:{index}" for index in range(4)]
    full = render(network, wanted, steps=24)
    half = render(network, wanted, steps=24, precision="bfloat16")
    stack = torch.stack([torch.from_numpy(one.image).permute(2, 0, 1) for one in half])
    with torch.no_grad(), network.capture(["5"]) as run:
        worth = run(stack)["5"].diagonal()
    for one, other, value in zip(full, half, worth, strict=True):
        gained = one.score - float(one.curve[0])
        assert gained > 0.5
        assert not np.array_equal(one.image, other.image)
        assert float(value) == pytest.approx(one.score, abs=0.1 * gained)
        assert other.score == pytest.approx(float(value), abs=0.03 * gained)
        assert other.settings["precision"] == "bfloat16"
    assert next(network.module.parameters()).dtype == torch.float32
