"""Copies compute what the network computes now, for pictures of the size they are used at, or there are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.networks import models
from tests.rendering.making import scores_of
from torch import Tensor, nn

from neuronatlas.errors import NeuronAtlasError, WrongInput
from neuronatlas.images.transforms import Affine, Chain, Noise
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.rendering import render

FEW = {"steps": 4, "canvas": 32}


class Gained(nn.Module):
    """A convolution with a number that is no parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.gain = nn.Conv2d(3, 4, 3), 1.0
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(x * self.gain)


def test_what_no_weight_tells_is_seen_all_the_same() -> None:
    module = Gained()
    network = models.wrap(module, 32)
    before = render(network, "convolution:1", **FEW)
    module.gain = -5.0
    after, fresh = (render(each, "convolution:1", **FEW) for each in (network, models.wrap(module, 32)))
    assert after.score == fresh.score
    assert after.score != before.score


def test_another_normalisation_is_seen() -> None:
    network = models.wrap(models.plain(), 32)
    before = render(network, "3:1", **FEW)
    network.input = replace(network.input, std=(0.5, 0.5, 0.5))
    assert render(network, "3:1", **FEW).score != before.score


class OddlyPadded(nn.Module):
    """Pads pictures of odd size alone."""

    def __init__(self) -> None:
        super().__init__()
        self.pad, self.convolution = nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3)
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(self.pad(x) if x.shape[-1] % 2 else x)


def test_a_copy_is_compared_at_the_size_that_is_used() -> None:
    network = models.wrap(OddlyPadded(), 65)
    made = render(network, "convolution:0", canvas=16, steps=4)
    assert made.score == pytest.approx(scores_of(network, "convolution", [made.image])[0, 0], rel=1e-4)


class Calling(nn.Module):
    """Holds a function that calls a part of itself: a copy would call the original's."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        models.seeded(self)
        self.later = lambda x: self.second(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.later(self.first(x))


def normed(how: str) -> nn.Module:
    module = models.plain()
    if how == "called by a function":
        return Calling()
    wrap = {
        "weight norm": nn.utils.parametrizations.weight_norm,
        "orthogonal": nn.utils.parametrizations.orthogonal,
        "spectral norm": nn.utils.parametrizations.spectral_norm,
    }[how]
    module[3] = wrap(module[3])  # type: ignore[index, operator]
    return module.eval()


@pytest.mark.parametrize("how", ["weight norm", "orthogonal", "spectral norm", "called by a function"])
def test_modules_that_make_their_weights_are_rendered_as_they_are(how: str) -> None:
    network = models.wrap(normed(how), 32)
    for layer in ("first", "second") if how == "called by a function" else ("3", "4", "5"):
        made = render(network, [f"{layer}:1", f"{layer}:2"], **FEW)
        scores = scores_of(network, layer, [one.image for one in made])
        assert made[0].score == pytest.approx(scores[0, 1], rel=1e-3, abs=1e-5)
        assert made[1].score == pytest.approx(scores[1, 2], rel=1e-3, abs=1e-5)
        assert network.capture([layer])  # and the network still answers
        again = scores_of(network, layer, [one.image for one in made])
        np.testing.assert_array_equal(scores, again)


class Flat(nn.Module):
    """Its units are the places of a map: at another size of the picture they would be others."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.flat = nn.Conv2d(3, 2, 3, padding=1), Reshaped()
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.flat(self.convolution(x))


class Reshaped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) + 0


def test_units_that_depend_on_the_size_are_drawn_at_the_networks_own() -> None:
    network = models.wrap(Flat(), 160)
    address = 100 * 160 + 7
    made = render(network, f"flat:{address}", steps=4)
    assert made.image.shape == (160, 160, 3)
    assert made.score == pytest.approx(scores_of(network, "flat", [made.image])[0, address], rel=1e-4)
    with pytest.raises(WrongInput, match=r"canvas \(=64\)"):
        render(network, f"flat:{address}", canvas=64, steps=4)


def test_a_network_is_not_used_inside_a_capture_of_itself() -> None:
    network = models.wrap(models.plain(), 32)
    with network.capture(["3"]), pytest.raises(NeuronAtlasError, match="inside a capture of itself"):
        render(network, "3:1", **FEW)
    assert render(network, "3:1", **FEW).status == ""


def test_two_networks_of_one_module_take_turns() -> None:
    module = models.plain()
    one, other = models.wrap(module, 32), models.wrap(module, 48)
    assert one._use is other._use
    assert one._use is not models.wrap(models.plain(), 32)._use


def test_the_network_sees_the_canvas_whatever_moves_the_picture() -> None:
    """A margin that a transform leaves is cut, or targets on the canvas would be stretched over it."""

    class Sized(nn.Module):
        seen: set[tuple[int, ...]] = set()  # noqa: RUF012

        def forward(self, x: Tensor) -> Tensor:
            self.seen.add(tuple(x.shape[2:]))
            return x + 0

    network = models.wrap(nn.Sequential(Sized(), *models.plain()), 32)
    for transform in (Chain((Affine(shared=True), Noise(0.01))), "none", Affine()):
        render(network, "4:1", transform=transform, margin=8, **FEW)
    assert Sized.seen == {(32, 32)}


def test_half_precision_weights_are_fed_what_they_are() -> None:
    whole, half = models.plain(), models.plain().to(torch.bfloat16)
    images = [np.random.default_rng(0).random((32, 32, 3), np.float32)]
    expected = scores_of(models.wrap(whole, 32), "3", images)
    network = models.wrap(half, 32)
    assert isinstance(network, TorchNetwork)
    found = scores_of(network, "3", images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())
