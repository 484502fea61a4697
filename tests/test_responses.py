"""Responses against a slow loop: one stimulus at a time, plain hooks, the mean written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.networks import base
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.responses import BATCH, pixels, record
from neuronatlas.stimuli import Stimulus, StimulusSet
from tests.networks import models


def noise(count: int) -> StimulusSet:
    """Pictures of noise, sharp at any size, with names and two labels."""

    def stimulus(number: int) -> Stimulus:
        def draw(size: int) -> np.ndarray:
            return np.random.default_rng([number, size]).integers(0, 256, (size, size, 3), dtype=np.uint8)

        return Stimulus(f"noise-{number}", "odd" if number % 2 else "even", str(number), draw)

    return StimulusSet(tuple(stimulus(number) for number in range(count)))


def slow_record(network: TorchNetwork, stimuli: StimulusSet, places: list[str], how: str) -> np.ndarray:
    """Rows of responses, from hooks on the modules themselves."""
    height, width = network.input.size
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    rows = []
    for item in stimuli:
        picture = item.draw(side)[top : top + height, left : left + width]
        channels = [(picture[:, :, c] / 255 - network.input.mean[c]) / network.input.std[c] for c in range(3)]
        found: list[np.ndarray] = []

        def keep(_: nn.Module, __: object, output: Tensor, found: list[np.ndarray] = found) -> None:
            values = output[0].double().numpy()
            flat = values.reshape(len(values), -1)
            found.append(flat.max(1) if how == "max" else np.array([sum(unit) / len(unit) for unit in flat]))

        handles = [network.module.get_submodule(place).register_forward_hook(keep) for place in places]
        with torch.no_grad():
            network.module(torch.from_numpy(np.stack(channels)[None].astype(np.float32)))
        for handle in handles:
            handle.remove()
        rows.append(np.concatenate(found))
    return np.stack(rows)


@pytest.mark.parametrize("how", ["mean", "max"])
def test_the_real_network_agrees_with_a_slow_loop(how: str) -> None:
    network = models.efficientnet()
    stimuli = noise(2)
    layers, places = ["stem_bn", "blocks.2", "blocks.9", "fc"], ["_bn0", "_blocks.2", "_blocks.9", "_fc"]
    found = record(network, stimuli, layers=layers, reduce=how)
    expected = slow_record(network, stimuli, places, how)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found.values, expected, rtol=1e-3, atol=1e-5 * scale)
    assert [str(found.units[column]) for column in (0, 32, 56, 168, 1167)] == [
        "stem_bn:0", "blocks.2:0", "blocks.9:0", "fc:0", "fc:999"
    ]  # fmt: skip


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (40, 24)])
def test_more_than_a_batch_on_any_shape_of_input(size: tuple[int, int]) -> None:
    network = models.wrap(models.plain(), size)
    stimuli = noise(2 * BATCH + 5)
    told: list[tuple[int, int]] = []
    found = record(network, stimuli, layers=["3"], progress=lambda done, total: told.append((done, total)))
    np.testing.assert_allclose(found.values, slow_record(network, stimuli, ["3"], "mean"), rtol=1e-4, atol=1e-5)
    assert found.stimuli == tuple(f"noise-{number}" for number in range(69))
    assert found.labels[:3] == ("even", "odd", "even")
    assert told == [(32, 69), (64, 69), (69, 69)]


def test_a_network_of_one_size_that_is_not_square() -> None:
    module = models.seeded(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 20 * 12, 5)))
    network = models.wrap(module, (20, 12))
    found = record(network, noise(3), layers=["2"])
    np.testing.assert_allclose(found.values, slow_record(network, noise(3), ["2"], "mean"), rtol=1e-4, atol=1e-5)


def test_every_layer_unless_told() -> None:
    network = models.wrap(models.plain(), 16)
    found = record(network, noise(1))
    assert found.values.shape == (1, 6 * 8)
    assert [unit.layer for unit in found.units[::8]] == list(network.layers)


def test_few_pictures_at_once_where_the_layers_are_large() -> None:
    """Every layer of the real network at once: 20 million numbers a picture, so three of them, not 32."""
    network = models.efficientnet()
    largest: list[int] = []
    handle = network.module.register_forward_pre_hook(lambda _, inputs: largest.append(len(inputs[0])))
    found = record(network, noise(6))
    handle.remove()
    size = sum(math.prod(layer.shape) for layer in network.layers.values())
    assert max(largest) * size <= base.ROOM
    assert found.values.shape == (6, sum(layer.units for layer in network.layers.values()))
    few = record(network, noise(6), layers=["blocks.9"])
    column = found.units.index(few.units[0])
    np.testing.assert_allclose(found.values[:, column : column + 112], few.values, rtol=1e-3, atol=1e-5)


def test_layers_come_in_the_order_asked() -> None:
    network = models.wrap(models.plain(), 16)
    found = record(network, noise(2), layers=["3", "0"])
    turned = record(network, noise(2), layers=["0", "3"])
    np.testing.assert_array_equal(found.values[:, :8], turned.values[:, 8:])
    assert found.units[0].layer == "3"


def test_what_is_not_finite_stays_so() -> None:
    module = models.plain()
    with torch.no_grad():
        module[3].weight[2] = float("nan")  # type: ignore[index, operator]
    found = record(models.wrap(module, 16), noise(2), layers=["3"])
    assert np.isnan(found.values[:, 2]).all()
    assert np.isfinite(np.delete(found.values, 2, axis=1)).all()


def test_pixels_are_cut_at_the_middle() -> None:
    stimuli = noise(2)
    network = models.wrap(models.plain(), (16, 30))
    np.testing.assert_array_equal(pixels(network, stimuli)[1], stimuli.items[1].draw(30)[7:23])


def test_wrong_input_has_one_clear_line() -> None:
    network = models.wrap(models.plain(), 16)
    with pytest.raises(WrongInput, match="stimuli is empty: give at least one picture"):
        record(network, StimulusSet(()))
    with pytest.raises(UnknownName, match="no layer '9'"):
        record(network, noise(1), layers=["9"])
    with pytest.raises(UnknownName, match="no reduction 'median': did you mean 'mean'"):
        record(network, noise(1), reduce="median")
