"""Responses against a slow loop: one stimulus at a time, plain hooks, the mean written out."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from neuronatlas import responses
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.networks import as_network, base
from neuronatlas.networks.recording import AT_ONCE
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.responses import BATCH, pixels, record
from neuronatlas.stimuli import Stimulus, StimulusSet
from neuronatlas.units import Unit
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
    """Outputs that are kept share the room, so six pictures and not eight go through; pooled ones need it alone."""
    network = models.efficientnet()
    largest: list[int] = []
    handle = network.module.register_forward_pre_hook(lambda _, inputs: largest.append(len(inputs[0])))
    wide = [name for name, layer in network.layers.items() if math.prod(layer.shape) > 400_000]
    record(network, noise(8), layers=wide, reduce=(0, 0))
    size = sum(math.prod(network.layers[name].shape) for name in wide)
    assert max(largest) * size <= base.ROOM < 8 * size
    found = record(network, noise(6))
    assert max(largest) <= AT_ONCE
    handle.remove()
    one = network.layers["blocks.1.expand_conv"]
    assert AT_ONCE * math.prod(one.shape) <= base.ROOM
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
    network = models.wrap(models.plain(), 16)
    with torch.no_grad():
        network.module[3].weight[2] = float("nan")  # type: ignore[index, operator]
    found = record(network, noise(2), layers=["3"])
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


class Mixed(nn.Module):
    """A convolution, tokens made of its map, and a dense layer on their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.tokens = nn.Linear(4, 5)
        self.dense = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.tokens(self.conv(x).flatten(2).transpose(1, 2)).mean(1))


@pytest.fixture
def mixed() -> TorchNetwork:
    return models.wrap(models.seeded(Mixed()), (9, 13))


def outputs(network: TorchNetwork, stimuli: StimulusSet) -> dict[str, np.ndarray]:
    """What the three layers of `Mixed` give, written out: (n, 4, 4, 6), (n, 24, 5) and (n, 2)."""
    conv, tokens, dense = network.module.conv, network.module.tokens, network.module.dense
    with torch.no_grad():
        shown = torch.from_numpy(pixels(network, stimuli)).permute(0, 3, 1, 2) / 255
        maps = conv(shown)
        rows = tokens(torch.stack([maps[:, :, place // 6, place % 6] for place in range(24)], dim=1))
        return {"conv": maps.numpy(), "tokens": rows.numpy(), "dense": dense(rows.mean(1)).numpy()}


def test_every_position_is_a_neuron_of_its_own(mixed: TorchNetwork) -> None:
    found = record(mixed, noise(3), reduce="none")
    expected = outputs(mixed, noise(3))
    assert len(found.units) == 4 * 24 + 24 * 5 + 2
    for column, unit in enumerate(found.units):
        output = expected[unit.layer][:, unit.index] if unit.layer != "tokens" else expected["tokens"][:, :, unit.index]
        if unit.layer == "conv":
            assert unit.position is not None
            output = output[:, unit.position[0], unit.position[1]]
            assert mixed.check(unit) == unit
        elif unit.layer == "tokens":
            assert unit.position is not None
            output = output[:, 6 * unit.position[0] + unit.position[1]]  # a token a position of the map before
        else:
            assert unit.position is None
        np.testing.assert_allclose(found.values[:, column], output, rtol=1e-5, atol=1e-6)
    assert len(set(found.units)) == len(found.units)
    assert [str(unit) for unit in found.units[5:8]] == ["conv:0@0,5", "conv:0@1,0", "conv:0@1,1"]


def test_one_position_is_that_column_of_all(mixed: TorchNetwork) -> None:
    every = record(mixed, noise(3), reduce="none")
    one = record(mixed, noise(3), reduce=(0, 4))
    assert len(one.units) == 4 + 5 + 2
    columns = [every.units.index(unit) for unit in one.units]
    np.testing.assert_array_equal(one.values, every.values[:, columns])
    lower = record(mixed, noise(3), layers=["conv", "dense"], reduce=(3, 5))
    np.testing.assert_array_equal(lower.values[:, 2], every.values[:, every.units.index(Unit("conv", 2, (3, 5)))])


@pytest.mark.parametrize(
    ("place", "layer"), [((0, 6), "conv"), ((4, 0), "conv"), ((-1, 0), "conv"), ((4, 0), "tokens")]
)
def test_a_position_outside_a_map_is_refused(mixed: TorchNetwork, place: tuple[int, int], layer: str) -> None:
    with pytest.raises(WrongInput, match=f"lies outside the map of layer '{layer}', 4 x 6 positions"):
        record(mixed, noise(1), layers=[layer], reduce=place)
    with pytest.raises(WrongInput, match="lies outside a map of"):
        mixed.respond(pixels(mixed, noise(1)), [layer], reduce=place)


def test_a_table_too_large_is_refused_before_any_work(mixed: TorchNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "free_memory", lambda: 5230)
    with pytest.raises(WrongInput, match=r"3 stimuli x 218 units would take 0\.0 GB, more than 50% of the 0\.0 GB"):
        record(mixed, noise(3), reduce="none", progress=lambda done, total: pytest.fail("it began"))
    monkeypatch.setattr(responses, "free_memory", lambda: 5232)
    assert record(mixed, noise(3), reduce="none").values.nbytes == 2616


def test_the_free_memory_is_known_and_some() -> None:
    free = responses.free_memory()
    assert free is None or 2**20 < free < 2**50


@pytest.mark.parametrize("size", [(9, 13), (13, 13)])
def test_an_array_is_shown_as_it_is(size: tuple[int, int]) -> None:
    network = models.wrap(models.plain(), size)
    named = record(network, noise(3))
    shown = pixels(network, noise(3))
    share = shown.astype(np.float32) / 255
    for array in (shown, share, share.astype(np.float64), share.transpose(0, 3, 1, 2)):
        found = record(network, array)
        np.testing.assert_allclose(found.values, named.values, rtol=1e-5, atol=1e-6)
        assert (found.stimuli, found.labels) == (("0", "1", "2"), ("", "", ""))


def test_an_array_that_does_not_fit_is_refused() -> None:
    network = models.wrap(models.plain(), (9, 13))
    shown = pixels(network, noise(2))
    with pytest.raises(
        WrongInput, match=r"stimuli of shape \(2, 3, 9, 13\) and type uint8 do not fit.*\(n, 9, 13, 3\)"
    ):
        record(network, shown.transpose(0, 3, 1, 2))
    with pytest.raises(WrongInput, match="do not fit the network"):
        record(network, shown[:, :8])
    shown[0, 0, 0] = 0, 255, 0
    with pytest.raises(WrongInput, match=r"numbers from 0 to 255: give uint8, or float in 0\.\.1"):
        record(network, shown.astype(np.float32))
    with pytest.raises(WrongInput, match="stimuli is empty"):
        record(network, shown[:0])


def test_what_is_not_finite_in_an_array_reaches_the_table() -> None:
    network = models.wrap(models.plain(), 16)
    shown = pixels(network, noise(2)) / np.float32(255)
    shown[1, 3, 3, 0] = np.nan
    found = record(network, shown, layers=["0"])
    assert np.isfinite(found.values[0]).all()
    assert np.isnan(found.values[1]).all()


def test_a_folder_is_read_with_its_classes(tmp_path: Path) -> None:
    for name in ("cats/a.png", "dogs/b.png", "c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(noise(1).items[0].draw(20)).save(tmp_path / name)
    network = models.wrap(models.plain(), 20)
    for place in (tmp_path, str(tmp_path)):
        found = record(network, place, layers=["3"], reduce="max")
        assert dict(zip(found.stimuli, found.labels, strict=True)) == {
            "c.png": "",
            "cats/a.png": "cats",
            "dogs/b.png": "dogs",
        }
    expected = record(network, noise(1), layers=["3"], reduce="max").values
    np.testing.assert_allclose(found.values, np.repeat(expected, 3, axis=0), rtol=1e-4, atol=1e-6)
    with pytest.raises(WrongInput, match="is not a folder"):
        record(network, tmp_path / "birds")


def test_one_layer_may_be_given_as_a_word() -> None:
    network = models.wrap(models.plain(), 16)
    shown = pixels(network, noise(2))
    found = record(network, shown, layers="3")
    np.testing.assert_array_equal(found.values, record(network, shown, layers=["3"]).values)
    assert {unit.layer for unit in found.units} == {"3"}
    assert list(network.respond(shown, "3")) == ["3"]
    with pytest.raises(UnknownName, match="no layer '30'"):
        record(network, shown, layers="30")


def test_a_layer_that_comes_twice_is_refused() -> None:
    network = models.wrap(models.plain(), 16)
    for call in (record, network.respond):
        arguments = (network,) if call is record else ()
        with pytest.raises(WrongInput, match="layers hold '3' 2 times: leave out all but one"):
            call(*arguments, pixels(network, noise(1)), layers=["3", "0", "3"])


@pytest.mark.parametrize("place", ["folder", "set"])
def test_pictures_are_grey_for_a_network_of_one_channel(place: str, tmp_path: Path) -> None:
    network = as_network(
        models.seeded(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())), input_size=20, normalise=((0.2,), (0.5,))
    )
    drawn = [item.draw(20) for item in noise(3)]
    for number, picture in enumerate(drawn):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    found = record(network, tmp_path if place == "folder" else noise(3), layers="0")
    greys = np.stack([np.asarray(Image.fromarray(picture).convert("L")) for picture in drawn])
    expected = record(network, greys[..., None], layers="0")
    np.testing.assert_array_equal(found.values, expected.values)


def test_grey_is_that_of_pillow(rng: np.random.Generator) -> None:
    levels = np.array([0, 1, 127, 254, 255], np.uint8)
    corners = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, 5, 25, 3)
    for picture in (corners[0], rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)):
        expected = np.asarray(Image.fromarray(picture).convert("L"))
        np.testing.assert_array_equal(responses.grey(picture[None])[0, :, :, 0], expected)


def test_pictures_in_colour_are_not_shown_to_other_channels() -> None:
    network = as_network(
        models.seeded(nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU())), input_size=20, normalise=((0,) * 4, (1,) * 4)
    )
    with pytest.raises(
        WrongInput, match="stimuli are pictures in RGB, and the network takes 4 channels: give an array"
    ):
        record(network, noise(1))


def unchecked(module: ModuleType) -> ModuleType:
    """The module as a user has it, without the check of its annotations that these tests add."""
    assert module.__file__ is not None
    spec = importlib.util.spec_from_file_location(f"unchecked_{module.__name__.rpartition('.')[2]}", module.__file__)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"reduce": [1, 2]}, r"reduce \(=\[1, 2\]\) must be one of mean, max, none, or a pair \(row, column\)"),
        ({"reduce": (1,)}, r"reduce \(=\(1,\)\) must be"),
        ({"reduce": (1, 2.0)}, r"reduce \(=\(1, 2.0\)\) must be"),
        ({"reduce": (True, 1)}, r"reduce \(=\(True, 1\)\) must be"),
        ({"reduce": None}, r"reduce \(=None\) must be"),
        ({"layers": 3}, "layers hold 3: give the names of layers"),
        ({"layers": ["0", 3]}, "layers hold 3: give the names of layers"),
        ({"stimuli": torch.zeros(2, 16, 16, 3)}, "is a torch.Tensor"),
        ({"stimuli": [np.zeros((16, 16, 3), np.uint8)]}, "is a builtins.list"),
        ({"stimuli": None}, "is a builtins.NoneType"),
        ({"stimuli": np.zeros((16, 16, 3), np.uint8)}, r"of shape \(16, 16, 3\) and type uint8 do not fit"),
        ({"stimuli": np.zeros((2, 16, 16, 1), np.uint8)}, r"of shape \(2, 16, 16, 1\) and type uint8 do not fit"),
        ({"stimuli": np.zeros((2, 16, 16, 3), np.int64)}, "and type int64 do not fit"),
        ({"stimuli": np.zeros((2, 16, 16, 3), object)}, "and type object do not fit"),
        ({"stimuli": np.array(["a"])}, "and type <U1 do not fit"),
    ],
)
def test_what_is_of_the_wrong_type_has_one_clear_line(changed: dict[str, object], rule: str) -> None:
    network = models.wrap(models.plain(), 16)
    given = {"stimuli": np.zeros((2, 16, 16, 3), np.uint8), "layers": ["0"], "reduce": "mean"} | changed
    with pytest.raises(WrongInput, match=rule) as error:
        unchecked(responses).record(network, given["stimuli"], layers=given["layers"], reduce=given["reduce"])
    assert "\n" not in str(error.value)
    with pytest.raises(WrongInput, match=rule):
        unchecked(base).Network.respond(network, given["stimuli"], given["layers"], reduce=given["reduce"])


def test_no_pictures_have_no_responses() -> None:
    network = models.wrap(models.plain(), 16)
    with pytest.raises(WrongInput, match=r"pictures of shape \(0, 16, 16, 3\).*give uint8, or float in 0..1, of shape"):
        network.respond(np.zeros((0, 16, 16, 3), np.uint8), ["0"])
