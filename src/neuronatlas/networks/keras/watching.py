"""What a Keras model computes on its way: every layer's output, with an address, on whichever backend it runs.

While a model is watched, `keras.Layer.__call__` reports; other threads, and other models in between, do not notice. An
address is the path of layers' names, /, then # and the number of the call: ``mobilenet/Conv_1#0``. A layer with an
activation of its own (``Conv2D(..., activation="relu")``) has a second place, ``NAME/before_activation``.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from neuronatlas.networks.bridge import Place, unit_shape

BEFORE = "before_activation"
_COPIES = frozenset(
    "InputLayer Identity Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianNoise GaussianDropout "
    "AlphaDropout ActivityRegularization Masking Flatten Reshape Permute Transpose RepeatVector ExpandDims Squeeze GetItem "
    "Cast ZeroPadding1D ZeroPadding2D ZeroPadding3D Pad Cropping1D Cropping2D Cropping3D Rescaling Normalization".split()
)
_OPAQUE = frozenset("RNN SimpleRNN LSTM GRU ConvLSTM1D ConvLSTM2D ConvLSTM3D TimeDistributed".split())
"""Layers that run their parts inside a loop of the backend, whose tensors are none outside it."""
_KINDS: tuple[tuple[str, str], ...] = (
    ("MultiHeadAttention", "attention"),
    ("Attention", "attention"),
    ("Conv", "convolution"),
    ("Dense", "dense"),
    ("Normalization", "normalisation"),
    ("Pool", "pooling"),
)
_TURNS = {(2, 3, 1): True, (3, 1, 2): False}
"""A turn of a map's axes, from 1, the pictures' apart: are the units last now?"""
_RECTIFYING = frozenset({"relu", "relu6"})
_LOCK = threading.RLock()  # one model at a time: for as long as it runs, its activations are replaced
_HERE = threading.local()


class Reached(BaseException):
    """All that was asked for is there: the rest of the forward pass is not needed."""


@dataclass(frozen=True)
class Seen:
    """A tensor that a model computed: its address, the path of its layer or of what is inside it, and the layer."""

    address: str
    path: str
    place: Place
    part: Any


class Watch:
    """What one forward pass of a model gives. ``wanted``: the addresses to keep; None to look at all there are.

    With ``copies`` those of layers that only pass their input on are looked at too.
    """

    def __init__(
        self, model: Any, wanted: tuple[str, ...] | None, *, channels_last: bool, copies: bool = False
    ) -> None:
        self.model = model
        self.wanted = wanted
        self.copies = copies or wanted is not None
        self.channels_last = channels_last
        self.kept: dict[str, Any] = {}
        self.found: list[Seen] = []
        self.calls: Counter[str] = Counter()
        self.rows = 0
        self._path: list[str] = []
        self._names: dict[str, list[Any]] = {}  # which layers have been called by this path
        self._origin: dict[int, tuple[str, Any]] = {}  # a tensor's address; the tensor, so that its id is its own
        self._orders: dict[int, tuple[bool, Any]] = {}  # are a tensor's units last; the tensor
        self._blind = False

    def run(self, pictures: Any) -> None:
        """Let the model see pictures, until all that is wanted is there."""
        self.rows = int(pictures.shape[0])
        with _LOCK, _watching(self), suppress(Reached):
            self.model(pictures, training=False)

    def places(self) -> tuple[list[Place], dict[str, str]]:
        """The places by the names that people use, and the address of each."""
        title = {seen.address: self._title(seen) for seen in self.found}
        places = [
            replace(seen.place, name=title[seen.address], rectifies=title.get(seen.place.rectifies, ""))
            for seen in self.found
        ]
        return places, {name: address for address, name in title.items()}

    def call(self, original: Callable[..., Any], part: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a layer or an operation of the model, and report what it gives."""
        if part is self.model or self._blind:
            return original(part, *args, **kwargs)
        path = "/".join([*self._path[-1:], self._name(part)])
        number = self.calls[path]
        self.calls[path] += 1
        inputs = _leaves((args, kwargs))
        last = self._units_last(part, inputs)
        origin = ""
        if _rectifies(part) and inputs:
            origin = self._known(next(iter(inputs.values())), f"{path}/{BEFORE}", number, part, last=last)
        self._path.append(path)
        self._blind = any(base.__name__ in _OPAQUE for base in type(part).__mro__)
        try:
            with self._activation(part, path, number, last=last) as inner:
                outputs = original(part, *args, **kwargs)
        finally:
            self._path.pop()
            self._blind = False
        if self.wanted is None:
            for leaf in _leaves(outputs).values():
                self._orders.setdefault(id(leaf), (last, leaf))  # what a part inside said first, stands
        if not self.copies and only_copies(part):
            return outputs
        given = {id(value) for value in inputs.values()}
        for suffix, leaf in _leaves(outputs).items():
            if self.copies or id(leaf) not in given:
                source = origin or (inner[0] if inner and not suffix else "")
                self._report(f"{path}#{number}{suffix}", path, leaf, part, last=last, rectifies=source)
        return outputs

    def _units_last(self, part: Any, inputs: Mapping[str, Any]) -> bool:
        """Are the units last in the maps that a part gives? As it says, or else as in what it takes."""
        told = getattr(part, "data_format", None)
        if told is not None:
            return bool(told == "channels_last")
        if type(part).__name__ == "BatchNormalization":
            return part.axis in (-1, 3)
        turn = getattr(part, "dims", None) or tuple(getattr(part, "axes", None) or ())[1:]
        orders = (self._orders[id(each)][0] for each in inputs.values() if id(each) in self._orders)
        return _TURNS.get(tuple(turn), next(orders, self.channels_last))

    def _known(self, tensor: Any, path: str, number: int, part: Any, *, last: bool) -> str:
        """The address of a tensor that a rectifier is given; a place of its own where nothing that is one gave it."""
        if self.wanted is None and id(tensor) in self._origin:
            return self._origin[id(tensor)][0]
        self.calls[path] += 1
        self._report(f"{path}#{number}", path, tensor, part, last=last)
        return f"{path}#{number}"

    @contextmanager
    def _activation(self, part: Any, path: str, number: int, *, last: bool) -> Iterator[list[str]]:
        """Report what the activation inside a layer is given; holds its address where that activation is a rectifier."""
        function = vars(part).get("activation")
        inner: list[str] = []
        name = getattr(function, "__name__", "")
        if not callable(function) or name in ("linear", "") or type(part).__name__ == "Activation" or self._blind:
            yield inner
            return
        address = f"{path}/{BEFORE}#{number}"
        done = False

        def activation(tensor: Any) -> Any:
            nonlocal done
            if getattr(_HERE, "watch", None) is self and not done:
                done = True
                self.calls[f"{path}/{BEFORE}"] += 1
                self._report(address, f"{path}/{BEFORE}", tensor, part, last=last)
                if name in _RECTIFYING:
                    inner.append(address)
            return function(tensor)

        vars(part)["activation"] = activation
        try:
            yield inner
        finally:
            vars(part)["activation"] = function

    def _report(self, address: str, path: str, leaf: Any, part: Any, *, last: bool, rectifies: str = "") -> None:
        if self.wanted is not None:
            if address in self.wanted:
                self.kept[address] = leaf
                if len(self.kept) == len(self.wanted):
                    raise Reached
            return
        shape = tuple(getattr(leaf, "shape", ()))
        floating = "float" in str(getattr(leaf, "dtype", ""))
        reason = unit_shape(shape, floating=floating)
        if not reason and shape[0] != self.rows:
            reason = f"its output has shape {shape}, whose first axis is not the pictures"
        last = self._orders.get(id(leaf), (last, leaf))[0]
        place = Place(address, kind_of(part), shape[1:], last, rectifies, reason)
        if id(leaf) not in self._origin:
            self._origin[id(leaf)] = address, leaf
        self.found.append(Seen(address, path, place, part))

    def _name(self, part: Any) -> str:
        """The layer's name; ~k where k other layers beside it have the same."""
        path = "/".join([*self._path[-1:], part.name])
        same = self._names.setdefault(path, [])
        at = next((number for number, each in enumerate(same) if each is part), len(same))
        if at == len(same):
            same.append(part)
        return f"{part.name}~{at}" if at else str(part.name)

    def _title(self, seen: Seen) -> str:
        return seen.address.replace(f"{seen.path}#0", seen.path, 1) if self.calls[seen.path] == 1 else seen.address


def kind_of(part: Any) -> str:
    """The kind of a layer in one word, for people."""
    name = type(part).__name__
    if _module(part).endswith(".activation") or ".activations." in _module(part):
        return "activation"
    for word, kind in _KINDS:
        if word in name and _module(part).startswith("keras."):
            return kind
    return "block" if getattr(part, "layers", None) or getattr(part, "_layers", None) else "function"


@contextmanager
def _watching(watch: Watch) -> Iterator[None]:
    """Layers and operations called by this thread inside the block report to ``watch``."""
    import keras

    layer, operation = keras.Layer.__call__, keras.Operation.__call__

    def call_layer(self: Any, *args: Any, **kwargs: Any) -> Any:
        here = getattr(_HERE, "watch", None)
        return layer(self, *args, **kwargs) if here is None else here.call(layer, self, args, kwargs)

    def call_operation(self: Any, *args: Any, **kwargs: Any) -> Any:
        here = getattr(_HERE, "watch", None)
        if here is None or isinstance(self, keras.Layer):  # a layer has reported already
            return operation(self, *args, **kwargs)
        return here.call(operation, self, args, kwargs)

    _HERE.watch = watch
    keras.Layer.__call__, keras.Operation.__call__ = call_layer, call_operation
    try:
        yield
    finally:
        keras.Layer.__call__, keras.Operation.__call__ = layer, operation
        _HERE.watch = None


def _rectifies(part: Any) -> bool:
    """Is it a layer or an operation that is a ReLU and nothing else?"""
    name = type(part).__name__
    if not _module(part).startswith("keras."):
        return False
    if name == "Activation":
        return getattr(part.activation, "__name__", "") in _RECTIFYING
    if name == "ReLU":
        return not getattr(part, "negative_slope", 0) and not getattr(part, "threshold", 0)
    return name in ("Relu", "Relu6")


def only_copies(part: Any) -> bool:
    """Does it only pass on what it is given, or make a picture of a picture?"""
    name = type(part).__name__
    return _module(part).startswith("keras.") and (name in _COPIES or name.startswith("Random"))


def _module(part: Any) -> str:
    return f"{type(part).__module__}."


def _leaves(value: Any, path: str = "") -> Mapping[str, Any]:
    """The tensors in nested tuples, lists and dictionaries, by the path to each."""
    if isinstance(value, dict):
        return {k: v for key in value for k, v in _leaves(value[key], f"{path}.{key}").items()}
    if isinstance(value, (list, tuple)):
        return {k: v for at, each in enumerate(value) for k, v in _leaves(each, f"{path}.{at}").items()}
    return {path: value} if hasattr(value, "shape") and hasattr(value, "dtype") else {}
