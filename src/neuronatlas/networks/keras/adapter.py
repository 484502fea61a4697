"""Models of Keras 3 as networks, on whichever backend Keras runs; files of Keras, none of whose code is ever run.

Layers are named by their path, ``mobilenet/Conv_1``; a layer that is called k times is ``name#0`` to ``name#k-1``. What an
activation inside a layer is given is ``name/before_activation``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from neuronatlas.errors import WrongInput
from neuronatlas.networks.bridge import BridgedNetwork, ForeignFunction, Place, Pullback, first_line
from neuronatlas.networks.keras.backends import Names, backend
from neuronatlas.networks.keras.watching import Watch
from neuronatlas.networks.preprocessing import Given

_CODE = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
"""Layers of which a file holds the code, or another file that does."""


class KerasFunction(ForeignFunction):
    """A `keras.Model` as a `ForeignFunction`. The model is used as it is, never changed."""

    def __init__(self, model: Any, *, channels_last: bool) -> None:
        self.model = model
        self.channels_last = channels_last
        self.addresses: dict[str, str] = {}
        self._backend = backend(model, self._watched)
        self.shared = self._backend.shared
        taken = [str(getattr(each, "dtype", "float32")) for each in getattr(model, "inputs", None) or []]
        self._whole = any("int" in dtype for dtype in taken)
        if self._whole:
            self.why_no_gradient = f"its input takes whole numbers ({taken[0]}), which have no gradient"

    def places(self, pictures: Tensor) -> list[Place]:
        """See `ForeignFunction.places`."""
        watch = Watch(self.model, None, channels_last=self.channels_last)
        self._backend.look(watch.run, pictures.repeat(2, 1, 1, 1))  # two, so that their axis can be told
        places, self.addresses = watch.places()
        return places

    def fingerprint(self) -> str:
        """The sha256 of every weight with its number, path, type and shape."""
        import keras

        total = hashlib.sha256()
        for number, weight in enumerate(self.model.weights):
            value = np.ascontiguousarray(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(weight)))
            total.update(f"{number}|{weight.path}|{value.dtype}|{value.shape}|".encode())
            total.update(value.tobytes())
        return total.hexdigest()

    def renew(self) -> None:
        """See `ForeignFunction.renew`."""
        self._backend.renew()

    def values(self, names: Names, pictures: Tensor) -> list[Tensor]:
        """See `ForeignFunction.values`."""
        return self._backend.values(names, pictures.round().clamp(0, 255) if self._whole else pictures)

    def linearise(self, names: Names, pictures: Tensor) -> tuple[list[Tensor], Pullback]:
        """See `ForeignFunction.linearise`."""
        return self._backend.linearise(names, pictures)

    def _watched(self, names: Names, pictures: Any) -> list[Any]:
        wanted = tuple(self.addresses[name] for name in names)
        watch = Watch(self.model, wanted, channels_last=self.channels_last)
        watch.run(pictures)
        missing = [name for name, address in zip(names, wanted, strict=True) if address not in watch.kept]
        if missing:
            message = f"layer {missing[0]!r} was not reached in this forward pass: the network's path varies"
            raise WrongInput(message)
        return [watch.kept[address] for address in wanted]


def adapt(model: Any, given: Given) -> BridgedNetwork:
    """A Keras model as a network; see `neuronatlas.networks.as_network`."""
    import keras

    if not isinstance(model, keras.Model):
        kind = f"{type(model).__module__}.{type(model).__name__}"
        message = (
            f"model is a {kind}, no keras.Model of Keras 3: put a layer into keras.Sequential([...]); a model of Keras 2 "
            "is saved with model.save('model.h5') and loaded from that file"
        )
        raise WrongInput(message)
    shape = _input_shape(model)
    channels_last = _channels_last(model, shape, given)
    size, channels = None, None
    if shape is not None:
        height, width, channels = shape[1:] if channels_last else (*shape[2:], shape[1])
        size = None if height is None or width is None else (height, width)
    if given.normalise is None:
        _ask(model, given)
    spec = given.spec(size=size, channels=channels)
    notes = _built(model, (1, *spec.size, spec.channels) if channels_last else (1, spec.channels, *spec.size))
    function = KerasFunction(model, channels_last=channels_last)
    network = BridgedNetwork(function, input=spec, name=given.name or str(model.name), labels=given.labels)
    network.notes = notes
    return network


def load(path: Path, given: Given) -> BridgedNetwork:
    """The model in a file, ``.keras`` or ``.h5`` (that of Keras 2 as well); raises `WrongInput` where code would run.

    Where Keras was not imported before and TensorFlow, its default, is not installed, it runs on torch.
    """
    if path.name.lower().endswith(".weights.h5"):
        message = f"{path.name} holds weights and no model: say what makes it, {path.name}@FILE.py:FUNCTION"
        raise WrongInput(message)
    try:
        config = _config(path)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        message = f"{path} is no file of a Keras model, or a damaged one: {first_line(error)}"
        raise WrongInput(message) from error
    for kind, name in _parts(config):
        if kind in _CODE:
            message = (
                f"{path.name} has the layer {name!r}, a {kind}, which is code from a file, and none is run: build the "
                "model in Python and pass it to neuronatlas.as_network"
            )
            raise WrongInput(message)
    keras = _imported()
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        message = f"{path.name} cannot be read by Keras {keras.__version__}: {first_line(error)}"
        raise WrongInput(message) from error
    return adapt(model, given if given.name else replace(given, name=path.stem))


def _imported() -> Any:
    """Keras, on torch where its default is not there."""
    chosen = "KERAS_BACKEND" in os.environ or "keras" in sys.modules
    if chosen or importlib.util.find_spec("tensorflow") is not None:
        import keras

        return keras
    os.environ["KERAS_BACKEND"] = "torch"
    try:
        import keras
    finally:
        del os.environ["KERAS_BACKEND"]
    return keras


def _config(path: Path) -> object:
    """What the file says of the model's layers, read as text."""
    if path.suffix.lower() == ".keras":
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    import h5py

    with h5py.File(path, "r") as file:
        return json.loads(file.attrs["model_config"])


def _parts(config: object) -> Iterator[tuple[str, str]]:
    """The class and the name of everything that a configuration would make, however deep."""
    if isinstance(config, dict):
        kind, inner = config.get("class_name"), config.get("config")
        if isinstance(kind, str):
            name = inner.get("name") if isinstance(inner, dict) else None
            yield kind.split(">")[-1], str(name or config.get("name") or "")
        for value in config.values():
            yield from _parts(value)
    elif isinstance(config, list):
        for value in config:
            yield from _parts(value)


def _input_shape(model: Any) -> tuple[int | None, ...] | None:
    """(batch, then the three axes of a picture) where the model says so; raises `WrongInput` for another."""
    shape = getattr(model, "input_shape", None)
    if shape is None and model.built:
        shape = (model.get_build_config() or {}).get("input_shape")
    if isinstance(shape, (list, dict)) and len(shape) == 1:
        shape = next(iter(shape.values() if isinstance(shape, dict) else shape))
    if shape is None:
        return None
    if isinstance(shape, dict) or any(isinstance(side, (tuple, list)) for side in shape) or len(shape) != 4:
        message = f"model {model.name!r} takes {shape}: a network takes one batch of pictures, (batch, height, width, channels)"
        raise WrongInput(message)
    return tuple(shape)


def _channels_last(model: Any, shape: tuple[int | None, ...] | None, given: Given) -> bool:
    """The order of the model's axes: as is given, as the shape of its input tells, as a layer says, as Keras is set."""
    if given.data_format is not None:
        return given.data_format == "channels_last"
    if shape is not None and (shape[1] in (1, 3, 4)) != (shape[3] in (1, 3, 4)):
        return shape[3] in (1, 3, 4)
    formats = [getattr(layer, "data_format", None) for layer in _parts_of(model)]
    told = next((order for order in formats if order is not None), None)
    if told is not None:
        return bool(told == "channels_last")
    import keras

    return bool(keras.config.image_data_format() == "channels_last")


def _ask(model: Any, given: Given) -> None:
    """Refuse a model without ``normalise``, and say what its own first layers do."""
    try:
        given.spec()
    except WrongInput as error:
        own = [part for part in _parts_of(model) if type(part).__name__ in ("Rescaling", "Normalization")]
        hint = "; ".join(_said(layer) for layer in own[:2])
        message = f"{error}. The model has a layer of its own for that: {hint}" if own else str(error)
        raise WrongInput(message) from error


def _said(layer: Any) -> str:
    if type(layer).__name__ == "Normalization":
        return f"{layer.name!r} (Normalization) takes its own mean and variance of what it is given"
    scale = np.ravel(np.asarray(layer.scale, np.float64))
    if len(scale) and scale.max() <= 0.1:
        return f"{layer.name!r} (Rescaling) divides by {1 / scale[0]:g}, as for pictures in 0..255"
    return f"{layer.name!r} (Rescaling) multiplies by {scale.tolist()}"


def _built(model: Any, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Make the weights of a model that has not seen a picture yet; a note where that was so."""
    import keras

    if model.built and all(layer.built for layer in _parts_of(model)):
        return ()
    before = len(model.weights)
    try:
        model(keras.ops.zeros(shape), training=False)
    except Exception as error:  # a model is anybody's code
        message = f"model {model.name!r} does not take pictures of shape {shape}: {first_line(error)}"
        raise WrongInput(message) from error
    made = len(model.weights) - before
    return (f"{made} of its {len(model.weights)} weights are random: they were made now",) if made else ()


def _parts_of(model: Any) -> list[Any]:
    """The model and every layer in it, however deep."""
    return list(model._flatten_layers())  # noqa: SLF001 - there is no public way
