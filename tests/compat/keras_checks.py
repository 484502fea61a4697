"""The old class's names with Keras models; `test_neural_response_map_keras` runs this file in a process of its own."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from tests.reference.response_map import OldMap

from neuronatlas.compat import neural_response_map as compat
from neuronatlas.compat.neural_response_map import NeuralResponseMap
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps import standardise
from neuronatlas.units import Unit

pytestmark = pytest.mark.filterwarnings(  # Keras 3.15 itself, with numpy 2
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
layers = keras.layers
NAMES = ["conv", "more", "wide"]


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(12, 3, activation="relu", name="conv"),
            layers.MaxPooling2D(name="pool"),
            layers.Dropout(0.5, name="drop"),
            layers.Conv2D(12, 3, activation="relu", name="more"),
            layers.Flatten(name="flat"),
            layers.Dense(
                14, activation="relu", bias_initializer=keras.initializers.Constant([-50, *[0.0] * 13]), name="wide"
            ),
            layers.Dense(4, activation="softmax", name="out"),
        ]
    )


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    coarse = np.random.default_rng(1).random((50, 4, 4, 3), dtype=np.float32)
    return np.repeat(np.repeat(coarse, 4, axis=1), 4, axis=2)


@pytest.fixture(scope="module")
def activations(model: Any, pictures: np.ndarray) -> np.ndarray:
    """What the old class computed: sub-models of Keras, averaged over positions."""
    part = keras.Model(model.inputs, [model.get_layer(name).output for name in NAMES])
    rows = part.predict(pictures, verbose=0)
    return np.concatenate([each.mean((1, 2)) if each.ndim == 4 else each for each in rows], axis=1)


def test_neurons_correlations_and_pictures_are_those_of_the_old_class(
    model: Any, pictures: np.ndarray, activations: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compat, "RESOLUTION", 80)
    result = NeuralResponseMap(model, scale="minmax")
    result.TrainMap(pictures, ["conv", model.get_layer("more"), "wide"])
    old = OldMap(activations)
    assert result.neurons is not None
    assert result.projection is not None
    assert result.neurons.tolist() == old.neurons
    assert not all(old.neurons)  # one is silent
    names = [Unit(name, unit) for name, count in zip(NAMES, (12, 12, 14), strict=True) for unit in range(count)]
    assert result.units == tuple(names[unit] for unit in old.kept)
    rows = standardise(activations[:, old.kept].astype(np.float32), "spearman").rows
    np.testing.assert_allclose(1 - rows @ rows.copy().T, old.distance, atol=1e-6)
    recorded = result._record(pictures, NAMES)[0].values
    np.testing.assert_allclose(recorded, activations, atol=1e-6)
    for part in (slice(0, 1), slice(3, 9)):
        for method in ("nearest", "linear"):
            expected = old.picture(result.projection, old.colours(activations[part]), method, 80)
            (image,) = result.GenerateMap(pictures[part], method).axes[0].images
            picture = np.ma.filled(image.get_array().astype(np.float64), np.nan)
            edge = np.isnan(picture) != np.isnan(expected)
            assert edge.mean() < 2e-3
            np.testing.assert_allclose(picture[~edge], expected[~edge], atol=2e-6)


def test_the_default_layers_are_all_but_the_last_and_no_copies(model: Any, pictures: np.ndarray) -> None:
    result = NeuralResponseMap(model)
    result.TrainMap(pictures)
    assert list(dict.fromkeys(unit.layer for unit in result.units)) == ["conv", "pool", "more", "wide"]
    result.TrainMap(keras.ops.convert_to_tensor(pictures), layers=["flat"])
    assert {unit.layer for unit in result.units} == {"flat"}


def test_bytes_are_shown_as_they_are(model: Any, pictures: np.ndarray) -> None:
    result = NeuralResponseMap(model)
    shown = (pictures[:4] * 255).astype(np.uint8)
    found = result._record(shown, ["conv"])[0].values
    np.testing.assert_allclose(found, result._record(shown.astype(np.float64), ["conv"])[0].values, rtol=1e-6)
    assert found.max() > 10


def test_sequences_vectors_and_models_inside_models_work(pictures: np.ndarray) -> None:
    rng = np.random.default_rng(4)
    words = keras.Sequential(
        [
            keras.Input((9,), dtype="int32"),
            layers.Embedding(7, 6, name="embed"),
            layers.LSTM(5, name="read"),
            layers.Dense(2),
        ]
    )
    result = NeuralResponseMap(words)
    result.TrainMap(rng.integers(0, 7, (40, 9)))
    assert {unit.layer for unit in result.units} == {"embed", "read"}
    vectors = keras.Sequential([keras.Input((9,)), layers.Dense(8, activation="tanh", name="one"), layers.Dense(2)])
    result = NeuralResponseMap(vectors)
    result.TrainMap(rng.normal(size=(40, 9)))
    assert {unit.layer for unit in result.units} == {"one"}
    inner = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(6, 3, name="deep")], name="backbone")
    outer = keras.Sequential(
        [keras.Input((16, 16, 3)), inner, layers.GlobalAveragePooling2D(name="mean"), layers.Dense(2)]
    )
    result = NeuralResponseMap(outer)
    result.TrainMap(pictures)
    assert {unit.layer for unit in result.units} | {one.layer for one, _ in result.copies} == {"backbone", "mean"}
    result.TrainMap(pictures, layers=["backbone/deep"])
    assert {unit.layer for unit in result.units} == {"backbone/deep"}


def test_what_cannot_be_shown_is_refused(model: Any, pictures: np.ndarray) -> None:
    result = NeuralResponseMap(model)
    with pytest.raises(UnknownName, match="no layer 'convv': did you mean 'conv'"):
        result.TrainMap(pictures, layers=["convv"])
    with pytest.raises(UnknownName, match="no layer 'stranger'"):
        result.TrainMap(pictures, layers=[layers.Dense(2, name="stranger")])
    with pytest.raises(WrongInput, match="inputs is a list"):
        result.TrainMap([pictures, pictures])
    with pytest.raises(WrongInput, match="layers is empty"):
        result.TrainMap(pictures, layers=[])
    with pytest.raises(WrongInput, match="not trained"):
        result.GenerateMap(pictures)
