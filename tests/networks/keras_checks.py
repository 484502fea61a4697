"""The Keras adapter on one backend: `test_keras` runs this file once for each, in a process of its own."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import torch
from tests.contracts import networks as contract
from tests.contracts.measures import slopes
from tests.networks.keras_models import Oracle, oracles, plain_model

import neuronatlas
from neuronatlas.errors import NoPictures, WrongInput
from neuronatlas.networks import as_network

pytestmark = pytest.mark.filterwarnings(  # Keras 3.15 itself, with numpy 2, when it saves or reads weights
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
layers = keras.layers
BACKEND = keras.backend.backend()
ORIGINAL = keras.Layer.__call__, keras.Operation.__call__
FEW = {"plain": ("deep", "last"), "fused": ("deep",), "residual": ("first/out",), "transformer": ("attention", "head")}
"""Layers to check where every set of layers is compiled, which takes a second each."""


@pytest.fixture(autouse=True)
def _nothing_left() -> Any:
    yield
    assert (keras.Layer.__call__, keras.Operation.__call__) == ORIGINAL


@pytest.fixture(scope="module")
def built() -> dict[str, tuple[Oracle, tuple[Any, dict[str, str]]]]:
    return oracles()


@pytest.mark.parametrize("name", ["plain", "fused", "residual", "transformer"])
def test_the_contract(name: str, built: dict[str, tuple[Oracle, tuple[Any, dict[str, str]]]]) -> None:
    oracle, (model, pairs) = built[name]
    functions = [vars(layer).get("activation") for layer in model._flatten_layers()]
    if BACKEND != "torch":
        pairs = {mine: other for mine, other in pairs.items() if mine in FEW[name]}
    network = as_network(model, input_size=oracle.size, normalise="imagenet")
    contract.check_contract(network, oracle, pairs)
    assert [vars(layer).get("activation") for layer in model._flatten_layers()] == functions


def wrap(model: Any, size: int | None = 8, **more: Any) -> Any:
    return as_network(model, input_size=size, normalise="0..1", **more)


def shown(count: int = 2, size: int = 8) -> np.ndarray:
    return np.random.default_rng(0).random((count, size, size, 3), dtype=np.float32)


def chain(*parts: Any, shape: tuple[int | None, ...] = (8, 8, 3)) -> Any:
    return keras.Sequential([keras.Input(shape), *parts])


def test_m5_a_layer_called_k_times_has_k_places_and_so_have_those_inside_it() -> None:
    taken = keras.Input((8, 8, 3))
    twice = layers.Conv2D(3, 3, padding="same", name="twice")
    inside = layers.Conv2D(3, 1, name="one", activation="relu")
    block = keras.Sequential([keras.Input((8, 8, 3)), inside], name="block")
    model = keras.Model(taken, block(block(twice(twice(taken)))))
    network = wrap(model)
    first = ["block/one/before_activation#0", "block/one#0", "block#0"]
    assert list(network.layers) == ["twice#0", "twice#1", *first, *(name.replace("#0", "#1") for name in first)]
    found = network.respond(shown(), ["twice#1", "block/one#1"])
    kernel = torch.from_numpy(keras.ops.convert_to_numpy(twice.kernel.value).transpose(3, 2, 0, 1))
    x = torch.from_numpy(shown()).permute(0, 3, 1, 2)
    for _ in range(2):
        x = torch.nn.functional.conv2d(x, kernel, padding=1)
    np.testing.assert_allclose(found["twice#1"], x.mean((2, 3)).numpy(), atol=1e-5)
    assert np.abs(found["block/one#1"] - network.respond(shown(), ["block/one#0"])["block/one#0"]).max() > 0


def test_what_passes_its_input_on_is_no_layer_and_namesakes_are_told_apart() -> None:
    class Twins(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = (layers.Conv2D(units, 1, name="same") for units in (4, 5))
            self.bend = layers.ReLU(name="bend")

        def call(self, x: Any) -> Any:
            return self.bend(self.two(self.one(x)) + 1)

    model = chain(
        layers.Rescaling(1 / 255),
        layers.ZeroPadding2D(1),
        Twins(),
        layers.Activation("linear"),
        layers.SpatialDropout2D(0.5),
        layers.Dense(2, activation="softmax", name="head"),
        layers.Flatten(),
    )
    name = model.layers[2].name
    network = wrap(model)
    inner = [f"{name}/same", f"{name}/same~1", f"{name}/bend/before_activation", f"{name}/bend"]
    assert list(network.layers) == [*inner, name, "head/before_activation", "head"]
    assert [network.layers[each].units for each in inner] == [4, 5, 5, 5]
    probabilities = network.respond(shown(), ["head"], reduce="none")["head"].reshape(2, 2, -1)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


def test_a_rectifier_of_a_sum_that_no_layer_made_wakes_too() -> None:
    class Shifted(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bend = layers.Conv2D(2, 1, name="conv"), layers.ReLU(name="bend")

        def call(self, x: Any) -> Any:
            return self.bend(self.conv(x) - 100)

    network = wrap(Shifted())
    pictures = torch.from_numpy(shown()).permute(0, 3, 1, 2)
    assert float(slopes(network, {"bend": 0}, pictures).abs().max()) == 0
    woken = slopes(network, {"bend": 0}, pictures, wake=True)
    torch.testing.assert_close(woken, slopes(network, {"conv": 0}, pictures))
    assert "random" in network.notes[0]  # it had not been built


def test_m7_places_without_units_have_a_reason_and_loops_of_the_backend_stay_closed() -> None:
    class Odd(layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="odd")
            self.places = layers.Embedding(4, 6, name="places")

        def call(self, x: Any) -> Any:
            y = keras.ops.reshape(x, (-1, 4, 48))
            return keras.ops.concatenate(
                [y, keras.ops.broadcast_to(self.places(keras.ops.arange(4))[None], (keras.ops.shape(y)[0], 4, 6))], 2
            )

    model = chain(
        Odd(),
        layers.TimeDistributed(layers.Dense(5, name="inner"), name="each"),
        layers.LSTM(6, name="read"),
        layers.Reshape((1, 1, 1, 6)),
        layers.Conv3D(2, 1, name="deep"),
    )
    network = wrap(model)
    assert list(network.layers) == ["odd", "each", "read"]
    assert "first axis is not the pictures" in network.unusable["odd/places"]
    assert "not (batch, units, ...)" in network.unusable["deep"]
    assert network.layers["each"].shape == (4, 5)
    assert network.respond(shown(), ["odd", "each", "read"])["read"].shape == (2, 6)
    assert float(slopes(network, {"read": 0}, torch.from_numpy(shown()).permute(0, 3, 1, 2)).abs().max()) > 0


def test_the_forward_pass_ends_at_the_deepest_layer_and_is_not_traced_at_every_step() -> None:
    calls = {"before": 0, "after": 0}

    class Counted(layers.Layer):
        def call(self, x: Any) -> Any:
            calls[self.name] += 1
            return x + 1

    network = wrap(chain(Counted(name="before"), layers.Conv2D(4, 3, name="conv"), Counted(name="after")))
    assert list(network.layers) == ["before", "conv", "after"]
    reached = calls["after"]
    neuronatlas.render(network, "conv:1", preset="fast", steps=12, canvas=8)
    assert calls["after"] == reached
    assert BACKEND == "torch" or calls["before"] < 12


def test_m3_after_an_exception_the_model_is_as_before() -> None:
    class Moody(layers.Layer):
        broken = False

        def call(self, x: Any) -> Any:
            if self.broken:
                message = "not today"
                raise KeyError(message)
            return x * 2

    moody = Moody(name="moody")
    conv = layers.Conv2D(4, 3, name="conv", activation="relu")
    network = wrap(chain(conv, moody))
    function = conv.activation
    assert len(network.layers) == 3
    moody.broken = True
    with pytest.raises((WrongInput, RuntimeError), match="not today"):
        network.respond(shown(), ["moody"])
    assert conv.activation is function
    moody.broken = False
    assert network.respond(shown(), ["moody"])["moody"].shape == (2, 4)


def test_weights_that_change_are_read_anew() -> None:
    conv = layers.Conv2D(4, 3, name="conv")
    network = wrap(chain(layers.BatchNormalization(), conv))
    before, print_before = network.respond(shown(), ["conv"])["conv"], contract.fingerprint(network)
    conv.set_weights([2 * weight for weight in conv.get_weights()])
    np.testing.assert_allclose(network.respond(shown(), ["conv"])["conv"], 2 * before, rtol=1e-5)
    assert contract.fingerprint(network) != print_before


def test_m13_half_precision_gives_float32() -> None:
    policy = keras.DTypePolicy("mixed_bfloat16")
    network = wrap(chain(layers.Conv2D(4, 3, name="conv", dtype=policy), layers.ReLU(name="bend", dtype=policy)))
    pictures = torch.from_numpy(shown()).permute(0, 3, 1, 2)
    with network.capture(["conv", "bend"]) as run:
        assert {value.dtype for value in run(pictures).values()} == {torch.float32}
    slope = slopes(network, {"conv": 0}, pictures)
    assert slope.dtype == torch.float32
    assert float(slope.abs().max()) > 0


class Signs(layers.Layer):
    """Through which no gradient comes."""

    def call(self, x: Any) -> Any:
        return keras.ops.sign(keras.ops.stop_gradient(x))


def test_m11_where_no_gradient_comes_back_pictures_are_refused() -> None:
    network = wrap(chain(layers.Conv2D(4, 3, name="conv"), Signs(name="signs"), layers.Conv2D(2, 1, name="after")))
    pictures = torch.from_numpy(shown()).permute(0, 3, 1, 2)
    with pytest.raises(NoPictures, match="layer 'after' gives responses and maps, but no pictures"):
        slopes(network, {"after": 0}, pictures)
    assert float(slopes(network, {"conv": 0, "after": 0}, pictures).abs().max()) > 0


def test_a_second_gradient_of_the_same_values_is_the_first() -> None:
    network = wrap(chain(layers.Conv2D(4, 3, name="conv")))
    pictures = torch.from_numpy(shown()).permute(0, 3, 1, 2).requires_grad_(True)
    with network.capture(["conv"]) as run:
        total = run(pictures)["conv"].square().sum()
        first, second = (torch.autograd.grad(total, pictures, retain_graph=True)[0] for _ in range(2))
    torch.testing.assert_close(second, first)
    assert float(first.abs().max()) > 0


def test_m15_size_channels_and_order_of_axes_are_the_models_own() -> None:
    grey = wrap(chain(layers.Conv2D(4, 3, name="conv"), shape=(10, 12, 1)), None)
    assert (grey.input.size, grey.input.channels) == (((10, 12)), 1)
    assert grey.respond(np.zeros((1, 10, 12, 1), np.uint8), ["conv"])["conv"].shape == (1, 4)
    assert wrap(plain_model()[0], None).input.size == (224, 224)
    unbuilt = keras.Sequential([layers.Conv2D(4, 3, name="conv")])
    assert wrap(unbuilt, 9).layers["conv"].shape == (4, 7, 7)
    two = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    with pytest.raises(WrongInput, match="takes one batch of pictures"):
        wrap(keras.Model(two, layers.Add()(two)))
    with pytest.raises(WrongInput, match="takes one batch of pictures"):
        wrap(chain(layers.Dense(2), shape=(5,)))
    with pytest.raises(WrongInput, match=r"no keras\.Model"):
        wrap(layers.Dense(3))


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow's convolutions on a processor know one order of axes")
def test_channels_first() -> None:
    parts = [layers.Conv2D(4, 3, name="conv", data_format="channels_first"), layers.ReLU(name="bend")]
    network = wrap(chain(*parts, shape=(3, 8, 10)), None)
    assert network.input.size == (8, 10)
    assert [layer.shape for layer in network.layers.values()] == [(4, 6, 8)] * 2
    last = [layers.Conv2D(4, 3, name="conv"), layers.ReLU(name="bend")]
    other = wrap(chain(*last, shape=(8, 10, 3)), None)
    last[0].set_weights(parts[0].get_weights())
    pictures = np.random.default_rng(0).random((2, 8, 10, 3), dtype=np.float32)
    one, two = (each.respond(pictures, ["conv", "bend"], reduce="none") for each in (network, other))
    for name in one:
        np.testing.assert_allclose(one[name], two[name], atol=1e-5)
    tensor = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    torch.testing.assert_close(*(slopes(each, {"bend": 1}, tensor) for each in (network, other)))


@pytest.mark.parametrize("order", [None, "channels_first"])
def test_layers_without_an_order_of_axes_have_that_of_what_they_take(order: str | None) -> None:
    parts = [
        layers.Permute((2, 3, 1)),
        layers.Conv2D(5, 3, name="conv", activation="relu"),
        layers.BatchNormalization(name="norm"),
        layers.ReLU(name="bend"),
        layers.LayerNormalization(name="even"),
        layers.Permute((3, 1, 2)),
        layers.ReLU(name="turned"),
    ]
    network = wrap(chain(*parts, shape=(3, 8, 9)), None, data_format=order)
    assert network.input.size == (8, 9)
    assert {layer.shape for layer in network.layers.values()} == {(5, 6, 7)}
    found = network.respond(np.random.default_rng(0).random((1, 8, 9, 3)), ["even", "turned"], reduce="none")
    np.testing.assert_allclose(np.maximum(found["even"], 0), found["turned"], atol=1e-6)


def test_whole_numbers_are_rounded_and_give_no_pictures() -> None:
    taken = keras.Input((8, 8, 3), dtype="uint8")
    model = keras.Model(taken, layers.Conv2D(4, 3, name="conv")(layers.Rescaling(1 / 255)(taken)))
    network = as_network(model, normalise="0..255")
    pictures = (
        np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3) + 64 * np.arange(2, dtype=np.uint8)[:, None, None, None]
    )
    mine = keras.ops.convert_to_numpy(model(pictures)).mean((1, 2))
    np.testing.assert_allclose(network.respond(pictures, ["conv"])["conv"], mine, atol=1e-5)
    with pytest.raises(NoPictures, match=r"no pictures: its input takes whole numbers \(uint8\)"):
        slopes(network, {"conv": 0}, torch.from_numpy(shown()).permute(0, 3, 1, 2))


def test_what_keras_says_is_one_line_without_colours() -> None:
    class Refusing(layers.Layer):
        def call(self, x: Any) -> Any:
            message = "only by daylight"
            raise ValueError(message)

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    with pytest.raises(WrongInput) as caught:
        _ = wrap(keras.Sequential([layers.Conv2D(3, 1), Refusing(name="late")])).layers
    assert "only by daylight" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_m16_without_normalise_the_models_own_rescaling_is_named() -> None:
    model = chain(layers.Rescaling(1 / 255, name="shrink"), layers.Conv2D(4, 3))
    with pytest.raises(
        WrongInput, match=r"normalise is missing.*'shrink' \(Rescaling\) divides by 255, as for pictures in 0\.\.255"
    ):
        as_network(model)
    with pytest.raises(WrongInput, match=r"normalise is missing.*0\.\.1 for none$"):
        as_network(chain(layers.Conv2D(4, 3)))


# Files


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_file_is_the_model(ending: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, _ = plain_model(fused=True)
    file = tmp_path / f"plain{ending}"
    model.save(file)
    network = neuronatlas.load(str(file), input_size=16, normalise="imagenet")
    truth = as_network(model, input_size=16, normalise="imagenet")
    assert list(network.layers) == list(truth.layers)
    found, expected = (each.respond(shown(2, 16), list(truth.layers)) for each in (network, truth))
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


def keras_2(file: Path, model: Any) -> None:
    """Rewrite the description of a sequential model as Keras 2.15 wrote it."""
    parts: list[dict[str, Any]] = [
        {
            "class_name": "InputLayer",
            "config": {
                "batch_input_shape": [None, 16, 16, 3],
                "dtype": "float32",
                "sparse": False,
                "ragged": False,
                "name": "input_1",
            },
        }
    ]
    zeros = {"class_name": "Zeros", "config": {}}
    for layer in model.layers:
        config = {
            key: value
            for key, value in layer.get_config().items()
            if not isinstance(value, dict) and key not in ("optional", "quantization_config")
        }
        config["dtype"] = "float32"
        config |= {key: zeros for key in layer.get_config() if key.endswith("_initializer")}
        parts.append({"class_name": type(layer).__name__, "config": config})
    described = {"class_name": "Sequential", "config": {"name": "plain", "layers": parts}}
    with h5py.File(file, "r+") as held:
        held.attrs["model_config"] = json.dumps(described)
        held.attrs["keras_version"] = "2.15.0"


def test_a_file_of_keras_2_is_the_model(tmp_path: Path) -> None:
    model, pairs = plain_model(sequential=True)
    model.save(tmp_path / "old.h5")
    keras_2(tmp_path / "old.h5", model)
    network = neuronatlas.load(str(tmp_path / "old.h5"), normalise="imagenet")
    assert network.input.size == (16, 16)
    truth = as_network(model, input_size=16, normalise="imagenet")
    found, expected = (each.respond(shown(2, 16), list(pairs)) for each in (network, truth))
    for name in pairs:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


def evil(where: Path) -> Callable[[Any], Any]:
    def spoil(x: Any) -> Any:
        where.touch()
        return x

    return spoil


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_s8_code_in_a_file_is_refused_and_not_run(ending: str, tmp_path: Path) -> None:
    trace = tmp_path / "was here"
    model = chain(layers.Lambda(evil(trace), output_shape=(8, 8, 3), name="evil"), layers.Conv2D(2, 1))
    file = tmp_path / f"evil{ending}"
    model.save(file)
    trace.unlink(missing_ok=True)
    with pytest.raises(WrongInput, match="has the layer 'evil', a Lambda, which is code from a file, and none is run"):
        neuronatlas.load(str(file), normalise="0..1")
    assert not trace.exists()


def test_s8_a_saved_model_inside_a_file_is_refused(tmp_path: Path) -> None:
    file, hidden = tmp_path / "plain.keras", tmp_path / "hidden.keras"
    chain(layers.Conv2D(2, 1, name="conv")).save(file)
    with zipfile.ZipFile(file) as held, zipfile.ZipFile(hidden, "w") as made:
        for name in held.namelist():
            content = held.read(name)
            if name == "config.json":
                config = json.loads(content)
                inner = config["config"]["layers"]
                inner[-1] = {
                    "module": "keras.layers",
                    "class_name": "Wrapper",
                    "config": {
                        "layer": {
                            "module": "keras.layers",
                            "class_name": "TFSMLayer",
                            "config": {"name": "deep", "filepath": "/x"},
                        }
                    },
                }
                content = json.dumps(config).encode()
            made.writestr(name, content)
    with pytest.raises(WrongInput, match="has the layer 'deep', a TFSMLayer"):
        neuronatlas.load(str(hidden), normalise="0..1")


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    model = chain(layers.Conv2D(2, 1, name="conv"))
    model.save_weights(tmp_path / "plain.weights.h5")
    with pytest.raises(WrongInput, match=r"plain\.weights\.h5@"):
        neuronatlas.load(str(tmp_path / "plain.weights.h5"), normalise="0..1")
    model.save(tmp_path / "whole.keras")
    cut = (tmp_path / "whole.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(cut[: len(cut) // 2])
    (tmp_path / "text.h5").write_text("no model")
    with h5py.File(tmp_path / "other.h5", "w") as held:
        held["data"] = np.zeros(3)
    for name in ("cut.keras", "text.h5", "other.h5"):
        with pytest.raises(WrongInput, match="is no file of a Keras model, or a damaged one"):
            neuronatlas.load(str(tmp_path / name), normalise="0..1")

    class Own(layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    chain(Own(name="own"), layers.Conv2D(2, 1)).save(tmp_path / "own.keras")
    with pytest.raises(WrongInput, match="cannot be read by Keras"):
        neuronatlas.load(str(tmp_path / "own.keras"), normalise="0..1")
