"""Dead and failed pictures: said so, never invented; and those that come out at a lower learning rate."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from tests.networks import models
from tests.rendering.making import broken, equal, scores_of, spoilt
from torch import Tensor, nn

from neuronatlas import objectives
from neuronatlas.errors import WrongInput
from neuronatlas.images.fourier import Fourier
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.rendering import ATTEMPTS, PATIENCE, PRESETS, render


def test_n9_a_dead_unit_is_said_to_be_dead_and_given_up_early() -> None:
    network = models.wrap(broken(0.0), 32)
    made = render(network, "3:2", steps=40)
    assert (made.status, made.reason) == ("dead", f"no gradient reached the picture in {PATIENCE} steps")
    assert np.isfinite(made.curve[:PATIENCE]).all()
    assert np.isnan(made.curve[PATIENCE:]).all()
    assert len(made.curve) == 40
    assert (made.image == 0.5).all()
    assert made.score == pytest.approx(scores_of(network, "3", [made.image])[0, 2])


class Counted(nn.Module):
    """Counts the batches of several pictures that pass, in itself and in its copies."""

    calls = [0]  # noqa: RUF012

    def forward(self, x: Tensor) -> Tensor:
        self.calls[0] += len(x) > 1
        return x + 1


def test_n9_only_a_tile_of_the_dead_is_given_up() -> None:
    network = models.wrap(nn.Sequential(Counted(), broken(0.0)), 32)
    options = {"preset": "lucid", "canvas": 16, "steps": 3 * PATIENCE}
    assert "1.3" in network.layers  # listed before the counting: that shows it two pictures
    Counted.calls[0] = 0
    render(network, "1.3:2", **options)
    assert PATIENCE <= Counted.calls[0] <= PATIENCE + 2
    Counted.calls[0] = 0
    render(network, ["1.3:2", "1.3:1"], **options)
    assert Counted.calls[0] >= 3 * PATIENCE


def test_n9_a_unit_that_never_stirs_is_dead() -> None:
    module = models.plain()
    with torch.no_grad():
        module[4].bias[2] = -1e4  # type: ignore[index, operator]  # far below anything a picture can do
    made = render(models.wrap(module, 32), "5:2", steps=20)
    assert (made.status, made.reason) == ("dead", "it stayed silent: the objective was 0 in every step")
    assert (made.image == 0.5).all()


@pytest.mark.parametrize("units", [("1:0",), ("1:0", "1:1", "1:2")])
def test_a_silent_unit_that_can_be_woken_is_rendered(units: tuple[str, ...]) -> None:
    """Detectors of bright edges with a threshold: grey and faint noise leave them silent at every position.

    Copies are cut to the wanted units, and the gradient passes their silent rectifier all the same.
    """
    convolution = nn.Conv2d(3, 3, 4)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([0.2, 0.2, -0.1, -0.1]).expand(3, 3, 4, 4))
        convolution.bias.fill_(-1.8)  # type: ignore[union-attr]
    network = models.wrap(nn.Sequential(convolution, nn.ReLU()), 64)
    options = {"parametrisation": Fourier(contrast_cap=1.8), "transform": "affine", "learning_rate": 3.0}
    for made in render(network, list(units), steps=32, **options):
        assert made.curve[0] == 0
        assert made.status == ""
        assert made.score > 0.05


def test_n8_weights_that_are_not_numbers_fail_with_the_step_and_no_picture() -> None:
    made = render(spoilt(), "3:2")
    assert (made.status, made.reason) == ("failed", "the gradient was not finite at step 0")
    assert (made.image == 0.5).all()
    assert np.isnan(made.score)
    assert np.isnan(made.curve).all()
    assert b"NaN" not in made.png()


def test_n8_one_weight_that_is_no_number_spoils_its_layer_and_not_the_one_before() -> None:
    """Backwards, nought times NaN is NaN: no gradient through that layer is to be believed."""
    network = spoilt()
    made = render(network, ["3:0", "3:2", "2:0"], steps=8)
    assert [one.status for one in made] == ["failed", "failed", ""]
    assert made[2].score > made[2].curve[0]


def test_n8_divergence_on_the_way_is_failed_with_its_step(small: TorchNetwork) -> None:
    made = render(small, "3:2", preset="lucid", learning_rate=1e39, steps=12, canvas=32)
    assert made.status == "failed"
    assert made.recipe.learning_rate == 1e39 / 4 ** (ATTEMPTS - 1)
    words = made.reason.removeprefix("the gradient was not finite at step ").split(", ")
    assert words[1] == f"at a quarter of the learning rate {ATTEMPTS - 1} times"
    assert np.isnan(made.curve[int(words[0]) + 1 :]).all()
    assert np.isfinite(made.curve[0])
    assert (made.image == 0.5).all()


def test_an_output_without_gradient_is_refused_with_the_reason() -> None:
    class Counts(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x > 0).float()

    network = models.wrap(nn.Sequential(models.plain(), Counts()), 32)
    with pytest.raises(
        WrongInput, match=r"layer '1' .* no pictures: what its module '1' \(Counts\) computes cannot be"
    ):
        render(network, "1:2", steps=20)
    assert render(network, "0:2", steps=20).status == ""


# Retries.


class Cliff(nn.Module):
    """Its input as long as its mean square is below a bound, and beyond it what overflows."""

    def forward(self, x: Tensor) -> Tensor:
        beyond = (x.square().mean((1, 2, 3), keepdim=True) - 0.4).clamp(min=0)
        return x + torch.expm1(1e4 * beyond)


def cliff() -> TorchNetwork:
    convolution = models.seeded(nn.Conv2d(3, 4, 3, padding=1))
    return models.wrap(nn.Sequential(Cliff(), convolution), 24)


def test_a_picture_that_diverges_is_made_at_a_quarter_of_the_rate() -> None:
    """Long steps bring the pictures where the network overflows; shorter ones end before."""
    wanted = [f"1:{index}" for index in range(4)]
    options = {"preset": "lucid", "canvas": 24, "steps": 10, "transform": "none", "learning_rate": 0.6}
    made = render(cliff(), wanted, **options)
    rates = [one.recipe.learning_rate for one in made]
    assert {one.status for one in made} == {""}
    assert set(rates) & {0.6 / 4, 0.6 / 16}
    for one, rate in zip(made, rates, strict=True):
        assert np.isfinite(one.curve).all()
        again = render(cliff(), one.objective, **options | {"learning_rate": rate})
        assert equal(again, one)


def test_pictures_made_together_are_tried_again_together() -> None:
    wanted = [f"1:{index}" for index in range(4)]
    options = {"preset": "lucid", "canvas": 24, "steps": 10, "transform": "none"}
    made = render(cliff(), wanted, together=objectives.diversity("1"), learning_rate=0.6, **options)
    rates = {one.recipe.learning_rate for one in made}
    assert len(rates) == 1
    assert max(rates) < 0.6
    again = render(cliff(), wanted, together=objectives.diversity("1"), learning_rate=max(rates), **options)
    assert all(equal(one, other) for one, other in zip(made, again, strict=True))


@pytest.mark.parametrize("preset", PRESETS)
def test_the_settings_of_a_lost_picture_are_strict_json(preset: str) -> None:
    made = render(spoilt(), "3:2", steps=2, preset=preset)

    def refuse(constant: str) -> Callable[[], None]:
        pytest.fail(f"{constant} is not JSON")

    with Image.open(BytesIO(made.png())) as picture:
        settings = json.loads(picture.text["neuronatlas"], parse_constant=refuse)  # type: ignore[attr-defined]
    assert settings["score"] is None
    assert settings["status"] == "failed"
