"""The seam: addresses are checked with messages that help, and pooling is what it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tests.networks import models
from torch import nn

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.networks import InputSpec, as_network
from neuronatlas.networks.base import pool
from neuronatlas.units import Unit


def test_unknown_layer_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"no layer 'blokcs.3': did you mean 'blocks.3'"):
        models.efficientnet().layer("blokcs.3")


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (Unit("blocks.3", 40), r"unit blocks.3:40 is out of range: layer 'blocks.3' has units 0 to 39"),
        (Unit("blocks.3", -1), r"unit blocks.3:-1 is out of range: layer 'blocks.3' has units 0 to 39"),
        (Unit("blocks.3", 0, (28, 0)), r"outside the map of layer 'blocks.3', 28 x 28 positions"),
        (Unit("blocks.3", 0, (0, 28)), r"outside the map of layer 'blocks.3', 28 x 28 positions"),
        (Unit("blocks.3", 0, (-1, 0)), r"outside the map of layer 'blocks.3', 28 x 28 positions"),
        (Unit("fc", 0, (0, 0)), r"layer 'fc' has no map"),
    ],
)
def test_a_unit_that_is_not_there_is_refused(unit: Unit, message: str) -> None:
    with pytest.raises(WrongInput, match=message):
        models.efficientnet().check(unit)


def test_units_that_are_there_pass() -> None:
    for unit in (Unit("blocks.3", 39), Unit("blocks.3", 0, (27, 27)), Unit("fc", 999)):
        assert models.efficientnet().check(unit) is unit


def test_pooling_over_maps_tokens_and_dense_layers(rng: np.random.Generator) -> None:
    maps = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    tokens = rng.normal(size=(2, 7, 3)).astype(np.float32)
    np.testing.assert_allclose(pool(torch.from_numpy(maps)), maps.mean((2, 3)), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(pool(torch.from_numpy(maps), reduce="max"), maps.max((2, 3)))
    np.testing.assert_allclose(pool(torch.from_numpy(tokens)), tokens.mean(1), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(pool(torch.from_numpy(maps[:, :, 0, 0])), maps[:, :, 0, 0])
    with pytest.raises(UnknownName, match="no reduction 'median'"):
        pool(torch.from_numpy(maps), reduce="median")


def test_normalisation_is_per_channel() -> None:
    spec = InputSpec((2, 3), mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 2.0))
    images = torch.full((1, 3, 2, 3), 0.75)
    assert spec.normalise(images)[0, :, 0, 0].tolist() == [0.75, 0.5, -0.125]


def test_as_network_asks_for_what_it_needs() -> None:
    with pytest.raises(WrongInput, match="normalise is missing"):
        as_network(models.plain())
    with pytest.raises(WrongInput, match=r"model is a builtins\.str; a model of torch"):
        as_network("resnet50", normalise=models.PLAIN)
    with pytest.raises(WrongInput, match="must be a mean and a positive std"):
        as_network(models.plain(), normalise=((0.0, 0.0, 0.0), (1.0, 0.0, 1.0)))
    with pytest.raises(WrongInput, match="must be a mean and a positive std"):
        as_network(models.plain(), normalise=((0.0, 0.0), (1.0, 1.0, 1.0)))
    for mean, std in (((math.nan, 0, 0), (1, 1, 1)), ((0, -math.inf, 0), (1, 1, 1)), ((0,), (math.inf,))):
        with pytest.raises(WrongInput, match="must be a mean and a positive std of the same length, all finite"):
            as_network(models.plain(), normalise=(mean, std))
    with pytest.raises(UnknownName, match="no normalise 'imagnet': did you mean 'imagenet'"):
        as_network(models.plain(), normalise="imagnet")
    with pytest.raises(UnknownName, match="no channel_order 'gbr'"):
        as_network(models.plain(), normalise="0..1", channel_order="gbr")
    with pytest.raises(WrongInput, match="labels is the text 'cat'"):
        as_network(models.plain(), normalise="0..1", labels="cat")
    with pytest.raises(WrongInput, match="must be pixels, one number or"):
        as_network(models.plain(), normalise="0..1", input_size=0)


def test_preprocessing_by_name_is_what_its_source_says() -> None:
    """Held against the arithmetic of each source, colour by colour."""
    picture = torch.tensor([0.2, 0.5, 0.9]).view(1, 3, 1, 1)
    red, green, blue = 0.2 * 255, 0.5 * 255, 0.9 * 255
    wanted = {
        "0..1": [0.2, 0.5, 0.9],
        "-1..1": [red / 127.5 - 1, green / 127.5 - 1, blue / 127.5 - 1],
        "0..255": [red, green, blue],
        "imagenet": [(0.2 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.9 - 0.406) / 0.225],
        "caffe": [red - 123.68, green - 116.779, blue - 103.939],
    }
    for name, values in wanted.items():
        for order in ("rgb", "bgr"):
            spec = as_network(models.plain(), normalise=name, channel_order=order).input
            seen = spec.normalise(picture).flatten().tolist()
            assert seen == pytest.approx(values if order == "rgb" else values[::-1], abs=1e-4)


def test_as_network_keeps_a_network_and_takes_either_form_of_size() -> None:
    network = as_network(models.plain(), input_size=(24, 40), normalise=models.PLAIN)
    assert as_network(network) is network
    assert network.input.size == (24, 40)
    assert network.layers["0"].shape == (8, 12, 20)
    assert as_network(models.plain(), input_size=24, normalise=models.PLAIN).input.size == (24, 24)


def test_a_device_that_is_not_there_is_refused() -> None:
    absent = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(WrongInput, match=rf"device \(='{absent}'\) cannot be used here: "):
        as_network(nn.Conv2d(3, 4, 3), normalise=models.PLAIN, device=absent)
    moved = as_network(nn.Sequential(nn.Conv2d(3, 4, 3)), normalise=models.PLAIN, device="cpu")
    assert moved.device == torch.device("cpu")
