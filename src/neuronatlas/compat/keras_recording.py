"""The responses of a Keras model to inputs of any shape, as they are: what the old class was made for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from neuronatlas.compat.recording import BATCH, but_the_last
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.networks.keras.watching import BEFORE, Seen, Watch, only_copies
from neuronatlas.table import Responses
from neuronatlas.units import Unit


def is_keras(model: object) -> bool:
    """Is it a model of Keras? On torch it is a `torch.nn.Module` as well."""
    return any(kind.__module__.startswith("keras.") for kind in type(model).__mro__)


def record_keras(model: Any, inputs: Any, layers: Iterable[Any] | None) -> tuple[Responses, tuple[str, ...]]:
    """The mean over positions of what each of ``layers`` gives for each sample, the first axis of ``inputs``; and notes.

    ``layers`` are Keras layers, names, or paths (``backbone/conv``); None: those of ``model.layers`` but the last, less
    those that pass their input on. Units lie along the last axis, or the second where the layer is "channels_first".
    """
    import keras

    shown = np.asarray(keras.ops.convert_to_numpy(inputs) if keras.ops.is_tensor(inputs) else inputs)
    if not shown.ndim or not len(shown):
        message = f"inputs of shape {shown.shape} holds no sample: the first axis is the samples"
        raise WrongInput(message)
    if shown.dtype.kind in "fb" or shown.dtype == np.uint8:  # other whole numbers are indices
        shown = shown.astype(np.float32)
    last = keras.config.image_data_format() == "channels_last"
    watch = Watch(model, None, channels_last=last, copies=True)
    watch.run(shown[np.arange(2) % len(shown)])
    places, addresses = watch.places()
    seen = {each.address: each for each in watch.found}
    known = {place.name: seen[addresses[place.name]] for place in places}
    if layers is None:
        names = [name for name, each in known.items() if _is_own(each, model)]
        left_out = [name for name in names if not _has_units(known[name])]
        names = but_the_last([name for name in names if name not in left_out])
    else:
        names = [name for layer in layers for name in _asked(layer, known)]
        left_out = [name for name in names if not _has_units(known[name])]
        if left_out:
            message = f"layer {left_out[0]!r} gave no tensor with a row a sample: leave it out of layers"
            raise WrongInput(message)
        if not names:
            message = "layers is empty: name at least one layer"
            raise WrongInput(message)
    wanted = tuple(addresses[name] for name in names)
    parts = [_read(model, shown[at : at + BATCH], wanted, seen, last=last) for at in range(0, len(shown), BATCH)]
    columns = [np.concatenate(rows) for rows in zip(*parts, strict=True)]
    units = tuple(Unit(name, unit) for name, rows in zip(names, columns, strict=True) for unit in range(rows.shape[1]))
    samples = tuple(str(number) for number in range(len(shown)))
    notes = tuple(f"layer {name!r} has no axis of samples, or none of units, and is left out" for name in left_out)
    values = np.concatenate(columns, axis=1).astype(np.float32)
    return Responses(values, units, samples, ("",) * len(samples)), notes


def _read(
    model: Any, batch: np.ndarray, wanted: tuple[str, ...], seen: dict[str, Seen], *, last: bool
) -> list[np.ndarray]:
    """One table of means (samples, units) for each address wanted."""
    import keras

    watch = Watch(model, wanted, channels_last=last)
    watch.run(keras.ops.convert_to_tensor(batch))
    if any(address not in watch.kept for address in wanted):
        message = "model takes another path for other inputs: its layers are not the same for all of them"
        raise WrongInput(message)
    found = []
    for address in wanted:
        values = np.asarray(keras.ops.convert_to_numpy(keras.ops.stop_gradient(watch.kept[address])), np.float32)
        axes = range(1, values.ndim - 1) if seen[address].place.channels_last else range(2, values.ndim)
        found.append(values.mean(tuple(axes)))
    return found


def _asked(layer: Any, known: dict[str, Seen]) -> list[str]:
    """The places of a layer, or of a name: all of its calls."""
    names = [
        name
        for name, each in known.items()
        if name == layer or each.path == layer or (each.part is layer and not each.path.endswith(BEFORE))
    ]
    if not names:
        raise UnknownName("layer", str(getattr(layer, "name", layer)), known)
    return names


def _is_own(each: Seen, model: Any) -> bool:
    """Is it a layer of the model itself, and not only a copy of what it is given?"""
    return any(each.part is layer for layer in model.layers) and BEFORE not in each.path and not only_copies(each.part)


def _has_units(each: Seen) -> bool:
    """Has it a row a sample, and a unit axis?"""
    return (
        len(each.place.shape) > 0 and "first axis" not in each.place.reason and "no floating" not in each.place.reason
    )
