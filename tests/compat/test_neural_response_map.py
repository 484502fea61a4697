"""The old class's names: what agrees with it agrees to six digits and more, and each of its defects is gone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import cdist
from tests.networks import models
from tests.reference.response_map import OldMap, old_circle
from torch import Tensor, nn

from neuronatlas.compat import neural_response_map as compat
from neuronatlas.compat.neural_response_map import NeuralResponseMap
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps import nearest_neighbours, standardise
from neuronatlas.responses import record
from neuronatlas.units import Unit

LAYERS = ["0", "3", "5"]


@pytest.fixture(scope="module")
def module() -> nn.Module:
    return models.plain(12)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """50 pictures of coarse noise, channels first, in 0..1."""
    coarse = np.random.default_rng(1).random((50, 3, 4, 4), dtype=np.float32)
    return np.repeat(np.repeat(coarse, 4, axis=2), 4, axis=3)


@pytest.fixture(scope="module")
def activations(module: nn.Module, pictures: np.ndarray) -> np.ndarray:
    """What `LAYERS` give, averaged over positions, layer by layer."""
    with torch.no_grad():
        x, rows = torch.from_numpy(pictures), []
        for name, part in module.eval().named_children():
            x = part(x)
            if name in LAYERS:
                rows.append(np.array([[unit.mean() for unit in sample] for sample in x.numpy()]))
    return np.concatenate(rows, axis=1)


@pytest.fixture
def trained(module: nn.Module, pictures: np.ndarray) -> NeuralResponseMap:
    result = NeuralResponseMap(module, scale="minmax")
    result.TrainMap(pictures, LAYERS)
    return result


def places(result: NeuralResponseMap) -> np.ndarray:
    assert result.projection is not None
    return result.projection


def shown(result: NeuralResponseMap, inputs: object, method: str = "nearest") -> np.ndarray:
    """The numbers in the picture, NaN where it is blank."""
    (image,) = result.GenerateMap(inputs, method).axes[0].images
    return np.ma.filled(image.get_array().astype(np.float64), np.nan)


# What agrees with the old class


def test_neurons_and_their_correlations_are_those_of_the_old_class(
    trained: NeuralResponseMap, activations: np.ndarray
) -> None:
    old = OldMap(activations)
    assert trained.neurons is not None
    assert trained.neurons.tolist() == old.neurons
    assert trained.units == tuple(Unit(LAYERS[unit // 12], unit % 12) for unit in old.kept)
    rows = standardise(activations[:, old.kept].astype(np.float32), "spearman").rows
    np.testing.assert_allclose(1 - rows @ rows.copy().T, old.distance, atol=1e-6)
    best = nearest_neighbours(rows, 5)
    np.testing.assert_allclose(1 - best.correlations, np.sort(old.distance, axis=1)[:, 1:6], atol=2e-6)


def test_positions_reach_from_end_to_end_along_each_axis(trained: NeuralResponseMap) -> None:
    positions = places(trained)
    assert positions.min(axis=0).tolist() == [-1, -1]
    assert positions.max(axis=0).tolist() == [1, 1]
    assert len(np.unique(positions, axis=0)) == len(positions) == len(trained.units)


@pytest.mark.parametrize("method", ["nearest", "linear"])
@pytest.mark.parametrize("circle", [False, True])
def test_pictures_are_those_of_griddata(
    trained: NeuralResponseMap,
    activations: np.ndarray,
    pictures: np.ndarray,
    method: str,
    *,
    circle: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compat, "RESOLUTION", 80)
    shown(trained, pictures[:1])  # the tables of these positions must not outlive them
    if circle:
        trained.CircleProjection()
    old = OldMap(activations)
    for part in (slice(0, 1), slice(3, 9)):
        expected = old.picture(places(trained), old.colours(activations[part]), method, 80)
        picture = shown(trained, pictures[part], method)
        edge = np.isnan(picture) != np.isnan(expected)  # a pixel on the hull's very edge
        assert edge.mean() < 2e-3
        np.testing.assert_allclose(picture[~edge], expected[~edge], atol=1e-6)
        assert np.isnan(expected).any()


def test_the_circle_is_bit_for_bit_the_old_one(trained: NeuralResponseMap, rng: np.random.Generator) -> None:
    for positions in (places(trained).copy(), rng.normal(size=(300, 2)), rng.integers(-2, 3, (60, 2)) + 0.25):
        trained.projection = positions.copy()
        trained.CircleProjection()
        expected = old_circle(positions)
        assert places(trained).tobytes() == expected.tobytes()
        trained.CircleProjection()
        assert places(trained).tobytes() == old_circle(expected).tobytes()


def test_the_circle_leaves_the_middle_where_it_is(trained: NeuralResponseMap) -> None:
    trained.projection = np.array([[0.0, 0.0], [0.0, 0.5], [0.5, 0.0]])
    trained.CircleProjection()
    assert places(trained).tolist() == [[0, 0], [0, 1], [1, 0]]


def test_the_picture_is_an_image_without_axes(trained: NeuralResponseMap, pictures: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "map.png"
    figure = trained.GenerateMap(pictures[:3], "linear", "magma", (3, 2), file)
    (axes,) = figure.axes
    (image,) = axes.images
    assert (image.norm.vmin, image.norm.vmax, image.origin, image.get_cmap().name) == (0, 1, "upper", "magma")
    assert image.get_array().shape == (1000, 1000)
    assert not axes.axison
    with Image.open(file) as saved:
        assert saved.size == (300, 200)
    trained.GenerateMap(pictures[:3], "linear", "magma", (3, 2), str(tmp_path / "again.png"))
    assert (tmp_path / "again.png").read_bytes() == file.read_bytes()
    assert trained.GenerateMap(pictures[:3]).get_size_inches().tolist() == [5, 5]


# Its defects


def test_the_first_hidden_layer_of_a_sequential_model_is_kept(module: nn.Module, pictures: np.ndarray) -> None:
    result = NeuralResponseMap(module)
    result.TrainMap(pictures)
    assert list(dict.fromkeys(unit.layer for unit in result.units)) == ["0", "1", "2", "3", "4"]


class Sequence(nn.Module):
    """Indices, embedded, read in order, and convolved along the sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.read = nn.LSTM(6, 7, batch_first=True)
        self.turned = nn.GRU(7, 3)
        self.along = nn.Conv1d(7, 5, 3)
        self.bend = nn.ReLU()
        self.out = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.read(self.embed(x))
        self.turned(y.transpose(0, 1))
        return self.out(self.bend(self.along(y.transpose(1, 2))).mean(2))


def test_sequences_and_convolutions_of_one_dimension_work(rng: np.random.Generator) -> None:
    module = models.seeded(Sequence()).eval()
    inputs = torch.from_numpy(rng.integers(0, 11, (40, 8)))
    result = NeuralResponseMap(module)
    found, _ = result._record(inputs, ["embed", "read", "turned", "along", "bend"])
    assert [
        sum(unit.layer == layer for unit in found.units) for layer in ("embed", "read", "turned", "along", "bend")
    ] == [6, 7, 3, 5, 5]
    with torch.no_grad():
        embedded = module.embed(inputs)
        read = module.read(embedded)[0]
        along = module.along(read.transpose(1, 2))
        turned = module.turned(read.transpose(0, 1))[0].transpose(0, 1)
        expected = [embedded.mean(1), read.mean(1), turned.mean(1), along.mean(2), along.relu().mean(2)]
    np.testing.assert_allclose(found.values, torch.cat(expected, 1).numpy(), atol=1e-6)
    result.TrainMap(inputs)
    assert {unit.layer for unit in result.units} == {"embed", "read", "turned", "along", "bend"}
    assert result.GenerateMap(inputs[:2]).axes


class Turned(nn.Module):
    """Sequences whose positions come first inside, as `torch.nn.TransformerEncoderLayer` has them by default."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.places = nn.Embedding(length, 6)
        self.attend = nn.TransformerEncoderLayer(6, 2, 9)
        self.out = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        places = self.places(torch.arange(x.shape[1]))
        return self.out(self.attend((x + places).transpose(0, 1)).mean(0))


@pytest.mark.parametrize("length", [2, 3, 10, 32])
def test_samples_are_found_along_any_axis(length: int, rng: np.random.Generator) -> None:
    module = models.seeded(Turned(length)).eval()
    inputs = rng.normal(size=(64, length, 6)).astype(np.float32)
    found, notes = NeuralResponseMap(module)._record(inputs, None)
    columns = [column for column, unit in enumerate(found.units) if unit.layer == "attend.norm2"]
    with torch.no_grad():
        inner = torch.from_numpy(inputs) + module.places.weight
        expected = torch.stack([module.attend(sample[:, None])[:, 0].mean(0) for sample in inner])
    np.testing.assert_allclose(found.values[:, columns], expected.numpy(), atol=1e-5)
    hidden = [column for column, unit in enumerate(found.units) if unit.layer == "attend.linear1"]
    assert len(hidden) == 9
    assert notes == ("left out, as no tensor of theirs has one row a sample: places",)
    result = NeuralResponseMap(module)
    result.TrainMap(inputs)
    assert notes[0] in result.notes
    with pytest.raises(WrongInput, match="layer 'places' gave no tensor with a row a sample: leave it out of layers"):
        result.TrainMap(inputs, ["places"])


class Residual(nn.Module):
    """A block that writes into the tensor of its norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(5, 5, 3, padding=1)
        self.norm = nn.BatchNorm2d(5)

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(self.conv(x))
        out += x
        return torch.relu_(out)


def test_a_block_that_writes_into_the_tensor_of_its_norm_is_a_layer(rng: np.random.Generator) -> None:
    inside = nn.Sequential(Residual(), nn.Identity())
    module = models.seeded(nn.Sequential(nn.Conv2d(3, 5, 1), inside, nn.Conv2d(5, 2, 1))).eval()
    inputs = rng.normal(size=(8, 3, 6, 6)).astype(np.float32)
    found, _ = NeuralResponseMap(module)._record(inputs, None)
    assert list(dict.fromkeys(unit.layer for unit in found.units)) == ["0", "1.0.conv", "1.0.norm", "1.0"]
    with torch.no_grad():
        expected = inside[0](module[0](torch.from_numpy(inputs))).mean((2, 3))
    np.testing.assert_allclose(found.values[:, -5:], expected.numpy(), atol=1e-6)


class Swapped(nn.Module):
    """A convolution along sequences, and a bend after its axes were swapped."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.along = nn.Conv1d(4, channels, 1)
        self.before = nn.GELU()
        self.after = nn.GELU()
        self.out = nn.Linear(channels, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.after(self.before(self.along(x)).transpose(1, 2)).mean(1))


def test_units_are_not_positions_where_axes_were_swapped(rng: np.random.Generator) -> None:
    module = models.seeded(Swapped(7))
    inputs = rng.normal(size=(9, 4, 11)).astype(np.float32)
    found, notes = NeuralResponseMap(module)._record(inputs, None)
    assert [sum(unit.layer == layer for unit in found.units) for layer in ("along", "before", "after")] == [7, 7, 7]
    assert notes == ()
    with torch.no_grad():
        along = module.along(torch.from_numpy(inputs))
        expected = nn.functional.gelu(nn.functional.gelu(along)).mean(2)
    np.testing.assert_allclose(found.values[:, 14:], expected.numpy(), atol=1e-6)


def test_where_it_is_not_plain_which_axis_holds_the_units_a_note_says_so(rng: np.random.Generator) -> None:
    inputs = rng.normal(size=(9, 4, 11)).astype(np.float32)
    _, notes = NeuralResponseMap(models.seeded(Swapped(11)))._record(inputs, None)
    assert notes == ("it is not plain which axis holds the units, and some may be positions, of: after",)


def test_a_dense_layer_on_a_map_with_channels_last_has_its_features_as_units(rng: np.random.Generator) -> None:
    module = models.seeded(nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.LayerNorm(6), nn.Linear(6, 2)))
    inputs = rng.normal(size=(9, 5, 7, 4)).astype(np.float32)
    found, notes = NeuralResponseMap(module)._record(inputs, None)
    with torch.no_grad():
        expected = module[:2](torch.from_numpy(inputs)).mean((1, 2))
    np.testing.assert_allclose(found.values[:, 6:12], expected.numpy(), atol=1e-6)
    assert (len(found.units), notes) == (18, ())


class Template(nn.Module):
    """Gives one row for all samples."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 5, 6))

    def forward(self) -> Tensor:
        return self.weight * 2


class Added(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.template, self.first, self.out = Template(), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.first(x.squeeze()) + self.template())


@pytest.mark.parametrize("samples", [1, 2, 3, 31, 32, 33, 64, 65])
def test_any_number_of_samples_works(samples: int, rng: np.random.Generator) -> None:
    module = models.seeded(Added())
    inputs = rng.normal(size=(samples, 5, 6)).astype(np.float32)
    found, notes = NeuralResponseMap(module)._record(inputs, None)
    with torch.no_grad():
        expected = module.first(torch.from_numpy(inputs)).mean(1)
    np.testing.assert_allclose(found.values, expected.numpy(), atol=1e-6)
    assert notes == ("left out, as no tensor of theirs has one row a sample: template",)


class Fickle(nn.Module):
    """Runs its layer twice where an input is large."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return self.out(self.first(y) if x.max() > 100 else y)


def test_a_path_that_varies_is_refused(rng: np.random.Generator) -> None:
    inputs = rng.normal(size=(40, 4)).astype(np.float32)
    inputs[39] = 1000
    with pytest.raises(WrongInput, match="model takes another path for other inputs"):
        NeuralResponseMap(models.seeded(Fickle()))._record(inputs, None)


def test_volumes_work(rng: np.random.Generator) -> None:
    module = models.seeded(nn.Sequential(nn.Conv3d(1, 9, 2), nn.Flatten(), nn.Linear(9 * 27, 2)))
    inputs = rng.random((12, 1, 4, 4, 4)).astype(np.float32)
    result = NeuralResponseMap(module)
    result.TrainMap(inputs)
    with torch.no_grad():
        expected = module[0](torch.from_numpy(inputs)).mean((2, 3, 4)).numpy()
    np.testing.assert_allclose(result._record(inputs, ["0"])[0].values, expected, atol=1e-6)


def test_all_inputs_are_seen_however_many_batches(
    module: nn.Module, pictures: np.ndarray, activations: np.ndarray
) -> None:
    found, _ = NeuralResponseMap(module)._record(pictures, LAYERS)
    assert found.values.shape == (50, 36)
    np.testing.assert_allclose(found.values, activations, rtol=1e-4, atol=1e-6)


def test_arrays_of_any_kind_give_the_same(module: nn.Module, pictures: np.ndarray) -> None:
    result = NeuralResponseMap(module)
    expected = result._record(pictures, LAYERS)[0].values
    locked = pictures.copy()
    locked.flags.writeable = False
    for same in (locked, pictures[::-1].copy()[::-1], pictures.astype(np.float64), torch.from_numpy(pictures)):
        np.testing.assert_array_equal(result._record(same, LAYERS)[0].values, expected)
    whole = (255 * pictures).astype(np.uint8)
    np.testing.assert_array_equal(
        result._record(whole, LAYERS)[0].values, result._record(whole.astype(np.float32), LAYERS)[0].values
    )


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.from_numpy(x))),
        lambda x: (each for each in x),
        lambda x: [x, x],
        lambda x: {"image": x},
    ],
    ids=["loader", "generator", "two inputs", "by name"],
)
def test_what_is_no_array_is_refused_not_truncated(
    module: nn.Module, pictures: np.ndarray, wrap: Callable[..., object]
) -> None:
    for model in (module, models.wrap(module, 16)):
        with pytest.raises(
            WrongInput, match=r"inputs is a .* give one array or tensor whose first axis is the samples"
        ):
            NeuralResponseMap(model).TrainMap(wrap(pictures))


def test_no_figure_is_left_open(trained: NeuralResponseMap, pictures: np.ndarray) -> None:
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    trained.GenerateMap(pictures[:1])
    assert plt.get_fignums() == before


def test_copies_are_told_and_placed_once(pictures: np.ndarray) -> None:
    class Doubled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + 0

    stack = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.Dropout(),
        nn.Identity(),
        Doubled(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 2),
    )
    result = NeuralResponseMap(models.seeded(stack))
    result.TrainMap(pictures)
    assert {unit.layer for unit in result.units} == {"0"}
    assert sorted({copy.layer for copy, _ in result.copies}) == ["3", "4"]
    assert all(original == Unit("0", copy.index) for copy, original in result.copies)
    assert result.notes[0] == "16 neurons repeat another one and are not on the map (first: 3:0, of 0:0)"
    assert result.neurons is not None
    assert result.neurons.sum() == 8


def test_the_same_call_gives_the_same_map(module: nn.Module, pictures: np.ndarray, trained: NeuralResponseMap) -> None:
    again = NeuralResponseMap(module, scale="minmax")
    again.TrainMap(pictures, LAYERS)
    assert places(again).tobytes() == places(trained).tobytes()
    assert np.array_equal(shown(again, pictures[:4]), shown(trained, pictures[:4]), equal_nan=True)


def test_one_outlier_does_not_squeeze_all_others(rng: np.random.Generator) -> None:
    module = models.seeded(nn.Sequential(nn.Linear(5, 20), nn.Linear(20, 2)))
    inputs = rng.random((500, 5)).astype(np.float32)
    inputs[77] *= 1000
    peaks = {}
    for scale in ("percentile", "minmax"):
        result = NeuralResponseMap(module, scale=scale)
        result.TrainMap(inputs)
        levels = np.stack(
            [result._map.normalise(row) for row in result._record(np.delete(inputs, 77, axis=0), ["0"])[0].values]
        )
        peaks[scale] = np.median(np.ptp(levels, axis=0))
    assert peaks["minmax"] < 0.05
    assert peaks["percentile"] == 1


def test_few_live_neurons_are_a_map(rng: np.random.Generator) -> None:
    for units in (1, 2, 3, 9):
        module = models.seeded(nn.Sequential(nn.Linear(4, units), nn.Linear(units, 2)))
        result = NeuralResponseMap(module)
        result.TrainMap(rng.random((20, 4)).astype(np.float32))
        assert places(result).shape == (units, 2)
        assert np.isfinite(places(result)).all()
        for method in ("nearest", "linear"):
            assert np.isfinite(shown(result, rng.random((2, 4)).astype(np.float32), method)).any()


def test_what_cannot_be_a_map_is_refused(module: nn.Module, pictures: np.ndarray) -> None:
    result = NeuralResponseMap(module)
    with pytest.raises(WrongInput, match="inputs holds 1 sample, over which no neuron varies"):
        result.TrainMap(pictures[:1])
    with pytest.raises(WrongInput, match="none of the 60 neurons varies over the 4 samples"):
        result.TrainMap(np.repeat(pictures[:1], 4, axis=0))
    with pytest.raises(WrongInput, match="holds no sample"):
        result.TrainMap(pictures[:0])
    with pytest.raises(UnknownName, match="no layer '9'"):
        result.TrainMap(pictures, ["9"])
    with pytest.raises(UnknownName, match="no layer 'Linear"):
        result.TrainMap(pictures, [nn.Linear(2, 2)])
    with pytest.raises(WrongInput, match="layers is empty"):
        result.TrainMap(pictures, [])
    with pytest.raises(WrongInput, match="model has 1 layer, and the last is the output"):
        NeuralResponseMap(nn.Sequential(nn.Conv2d(3, 2, 1))).TrainMap(pictures)
    with pytest.raises(WrongInput, match=r"model is a builtins\.str"):
        NeuralResponseMap("a model")
    for call in (lambda: result.GenerateMap(pictures), result.CircleProjection):
        with pytest.raises(WrongInput, match=r"this map is not trained: call TrainMap\(inputs\) first"):
            call()


def test_wrong_words_for_a_picture_are_refused(
    trained: NeuralResponseMap, pictures: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(UnknownName, match="no method 'nonsense': there are nearest, linear"):
        trained.GenerateMap(pictures, "nonsense")
    with pytest.raises(UnknownName, match="no cmap 'viridies': did you mean 'viridis'"):
        trained.GenerateMap(pictures, cmap="viridies", file=tmp_path / "no.png")
    with pytest.raises(
        WrongInput, match=r"inputs of shape \(3, 16, 16\) lacks the axis of samples: give inputs\[None\]"
    ):
        trained.GenerateMap(pictures[0])
    assert not list(tmp_path.iterdir())


def test_n1_what_is_not_finite_is_counted_and_stays_where_it_is(module: nn.Module, pictures: np.ndarray) -> None:
    broken = pictures.copy()
    broken[7, 0, 3, 3] = np.nan
    result = NeuralResponseMap(module)
    result.TrainMap(broken, LAYERS)
    assert np.isfinite(places(result)).all()
    assert any("responses of 36 units are not finite" in note for note in result.notes)
    assert np.isfinite(shown(result, broken[:9])).any()


def test_every_call_of_a_layer_used_twice_counts(rng: np.random.Generator) -> None:
    result = NeuralResponseMap(nn.Sequential(models.Shared(), nn.Conv2d(5, 2, 1)))
    inputs = rng.random((20, 3, 16, 16)).astype(np.float32)
    result.TrainMap(inputs)
    layers = list(dict.fromkeys(unit.layer for unit in result.units))
    twice = [layer for layer in layers if "#" in layer]
    assert {"#0", "#1"} <= {layer[-2:] for layer in twice}
    name = twice[0].split("#")[0]
    both, second = (result._record(inputs, [asked])[0] for asked in (name, f"{name}#1"))
    assert len(both.units) > len(second.units)
    columns = [both.units.index(unit) for unit in second.units]
    np.testing.assert_array_equal(both.values[:, columns], second.values)


def test_a_rectifier_in_place_does_not_rewrite_what_came_before(rng: np.random.Generator) -> None:
    inputs = rng.normal(size=(9, 4)).astype(np.float32)
    stack = models.seeded(nn.Sequential(nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True)), nn.Linear(6, 2)))
    found, _ = NeuralResponseMap(stack)._record(inputs, None)
    assert list(dict.fromkeys(unit.layer for unit in found.units)) == ["0.0", "0.1"]
    assert found.values[:, :6].min() < -0.1
    np.testing.assert_array_equal(found.values[:, :6].clip(0), found.values[:, 6:])


def test_modules_may_be_named_by_themselves(
    module: nn.Module, pictures: np.ndarray, trained: NeuralResponseMap
) -> None:
    result = NeuralResponseMap(module)
    result.TrainMap(pictures, [module.get_submodule(name) for name in LAYERS])
    assert result.units == trained.units


def test_the_module_is_as_before(pictures: np.ndarray) -> None:
    module = models.plain().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    result = NeuralResponseMap(module)
    result.TrainMap(pictures)
    with pytest.raises(RuntimeError):
        result.GenerateMap(pictures[:, :2])
    assert module.training
    assert not any(part._forward_hooks for part in module.modules())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_network_of_this_package_gives_the_same_map(
    module: nn.Module, pictures: np.ndarray, trained: NeuralResponseMap
) -> None:
    network = models.wrap(module, 16)
    result = NeuralResponseMap(network, scale="minmax")
    result.TrainMap(pictures, LAYERS)
    assert result.units == trained.units
    np.testing.assert_allclose(
        cdist(places(result), places(result)), cdist(places(trained), places(trained)), atol=1e-3
    )
    assert np.isfinite(shown(result, pictures[:2])).any()
    result.TrainMap(pictures)
    assert {unit.layer for unit in result.units} == set(list(network.layers)[:-1])
    assert len(record(network, pictures).stimuli) == 50


def test_the_page_for_those_who_come_from_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[2] / "docs" / "from-neural-response-map.md"
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), names)  # noqa: S102 - a page of this repository
    assert sorted(file.name for file in tmp_path.iterdir()) == ["disc.png", "map.png", "own.png"]
