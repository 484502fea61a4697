"""TensorFlow as networks: modules, functions, SavedModels, frozen graphs, graphs of TensorFlow 1 with a checkpoint.

All of them become one frozen graph, of which only what is asked for is computed. A layer is an operator whose output is
of floating point and has the pictures as its first axis; its name is the operator's. The weights are copied: a model that
learns later has to be given anew. Batch norms use their statistics, and switches between training and use are set for use.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from neuronatlas.errors import NoPictures, WrongInput
from neuronatlas.networks.bridge import BridgedNetwork, ForeignFunction, Place, Pullback, unit_shape
from neuronatlas.networks.tensorflow.freezing import Frozen, check_harmless, first_line, from_function
from neuronatlas.networks.tensorflow.graph import Step, ancestors, steps, tidied
from neuronatlas.networks.tensorflow.pulling import Pulled, compiled
from neuronatlas.networks.tensorflow.tracing import concrete

if TYPE_CHECKING:
    from neuronatlas.networks.base import Network
    from neuronatlas.networks.preprocessing import Given

T = TypeVar("T")
_CHANNELS = (1, 3, 4)
_FLAT = ("Floor", "Ceil", "Round", "Rint")
_KEPT = 4
"""Functions for so many choices of layers and shapes are kept; each holds the weights it needs."""


class TensorFlowFunction(ForeignFunction):
    """A frozen graph as a function of pictures. ``fixed`` is the number of pictures that it takes at once, if only one."""

    shared = True

    def __init__(self, frozen: Frozen, *, channels_last: bool) -> None:
        import tensorflow as tf

        self.channels_last = channels_last
        self.fixed = frozen.shape[0] if frozen.shape else None
        self._frozen = frozen
        self._lock = threading.Lock()
        self._compiled = lru_cache(_KEPT)(partial(self._traced, compiled))
        self._pulled_back = lru_cache(_KEPT)(partial(self._traced, Pulled))
        try:
            self._whole = tf.compat.v1.wrap_function(
                lambda: tf.graph_util.import_graph_def(frozen.graph, name=""), [], name="frozen"
            )
        except (tf.errors.OpError, ValueError, KeyError, TypeError) as error:
            message = f"the graph cannot be read by this TensorFlow: {first_line(error)}"
            raise WrongInput(message) from error
        operators = self._whole.graph.get_operations()
        self._input = _float_input(self._whole.graph, frozen)
        self._steps = steps(
            operators, self._input.op.name, channels_last=channels_last, outputs=[*frozen.whole, *_last(operators)]
        )
        check_harmless(frozen.graph, ancestors([step.operator for step in self._steps if step.kind], frozen.input))
        if not self._input.dtype.is_floating:
            self.why_no_gradient = f"its input {frozen.input!r} takes whole numbers (uint8), which have no gradient"

    @cached_property
    def _layers(self) -> dict[str, Step]:
        """The operators that may be layers, by the names that people see."""
        steps = [step for step in self._steps if step.kind and step.operator.outputs[0].dtype.is_floating]
        names = tidied([step.operator.name for step in steps])
        return {names[step.operator.name]: step for step in steps}

    def places(self, pictures: Tensor) -> list[Place]:
        """Every operator that may be a layer, with its shape for these pictures."""
        usable = tuple(name for name, step in self._layers.items() if not step.reason)
        values = dict(zip(usable, self._computed(usable, pictures), strict=True))
        random = self._random(usable)
        again = dict(zip(random, self._computed(random, pictures), strict=True)) if random else {}
        names = {step.operator.name: name for name, step in self._layers.items()}
        found = []
        for name, step in self._layers.items():
            value = values.get(name)
            reason = step.reason
            if value is not None:
                reason = unit_shape(tuple(value.shape), floating=True)
                if not reason and len(value) != len(pictures):
                    reason = f"its output has shape {tuple(value.shape)}, whose first axis is not the pictures"
                if not reason and name in again and not torch.equal(again[name].nan_to_num(), value.nan_to_num()):
                    reason = (
                        "it gives the same picture another value each time: save the network without random numbers"
                    )
            shape = () if value is None else tuple(value.shape[1:])
            rectified = names.get(step.rectifies, "")
            found.append(Place(name, step.kind, shape, step.channels_last, rectified, reason))
        unusable = {place.name for place in found if place.reason}
        return [replace(place, rectifies="") if place.rectifies in unusable else place for place in found]

    def _random(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the layers that need random numbers."""
        drawn = [
            each for each in self._whole.graph.get_operations() if "Random" in each.type or each.type[-6:] == "Normal"
        ]
        if not drawn:
            return ()
        theirs = {each.name for each in drawn if not each.type.startswith("FusedBatch")}
        return tuple(
            name for name in names if theirs & {each.name for each in ancestors([self._layers[name].operator])}
        )

    def fingerprint(self) -> str:
        """The sha256 of every constant with its name, type and shape."""
        import tensorflow as tf

        total = hashlib.sha256()
        for node in sorted(self._frozen.graph.node, key=lambda node: str(node.name)):
            if node.op == "Const":
                value = tf.make_ndarray(node.attr["value"].tensor)
                total.update(f"{node.name}|{value.dtype}|{value.shape}|".encode())
                total.update(repr(value.tolist()).encode() if value.dtype == object else value.tobytes())
        return total.hexdigest()

    def values(self, names: tuple[str, ...], pictures: Tensor) -> list[Tensor]:
        """The values of the layers."""
        return self._computed(names, pictures)

    def linearise(self, names: tuple[str, ...], pictures: Tensor) -> tuple[list[Tensor], Pullback]:
        """The values of the layers and the way back, by TensorFlow's own gradients."""
        runs = [(count, *self._pulled(names, part)) for count, part in self._parts(pictures)]
        values = [
            torch.cat([self._kept(outputs[place], count) for count, outputs, _ in runs]) for place in range(len(names))
        ]

        def pullback(cotangents: list[Tensor]) -> Tensor:
            slopes = []
            for index, (count, _, back) in enumerate(runs):
                ways = [_rows(each, index, count, self.fixed) for each in cotangents]
                slopes.append(self._kept(self._ran(back, pictures, [_constant(each) for each in ways]), count))
            return torch.cat(slopes)

        return values, pullback

    def _pulled(self, names: tuple[str, ...], part: Tensor) -> tuple[list[Any], Callable[[list[Any]], Any]]:
        """The values of one part of the pictures, as TensorFlow's, and the way back."""
        with self._lock:
            function = self._ran(self._pulled_back, part, names, tuple(part.shape))
        if not function.passes:
            raise NoPictures(self._refusal(names))
        return self._ran(function, part, self._fed(part))

    def _refusal(self, names: tuple[str, ...]) -> str:
        """What stops the gradient on the way to the layers, by name."""
        from tensorflow.python.framework.ops import get_gradient_function

        behind = {self._input.op.name, *(step.operator.name for step in self._steps)}
        stopping = []
        for operator in ancestors([self._layers[name].operator for name in names], self._input.op.name):
            if operator.name not in behind or operator.name == self._input.op.name:
                continue
            try:
                passes = get_gradient_function(operator) is not None
            except LookupError:
                passes = False
            if not passes or operator.type in _FLAT or not operator.outputs[0].dtype.is_floating:
                stopping.append(f"{operator.name} ({operator.type})")
        many = f"layer {names[0]!r}" if len(names) == 1 else f"one of the layers {', '.join(map(repr, names))}"
        which = ", ".join(sorted(stopping)[:3]) or "something unknown"
        return f"{many} gives responses and maps, but no pictures: TensorFlow has no gradient for the operator {which}"

    def _computed(self, names: tuple[str, ...], pictures: Tensor) -> list[Tensor]:

        if not names:
            return []
        parts = [
            [self._kept(value, count) for value in self._ran(self._function(names, part), part, self._fed(part))]
            for count, part in self._parts(pictures)
        ]
        return [torch.cat(values) for values in zip(*parts, strict=True)]

    def _kept(self, value: Any, count: int) -> Tensor:
        """A copy of the rows that belong to pictures: TensorFlow keeps its tensors for the gradient."""
        rows = torch.from_numpy(value.numpy())
        return rows[:count] if self.fixed and count < self.fixed else rows

    def _parts(self, pictures: Tensor) -> Iterator[tuple[int, Tensor]]:
        """As many pictures at a time as the graph takes, the last part filled up; how many of a part are pictures."""
        size = self.fixed or len(pictures)
        for start in range(0, len(pictures), size):
            part = pictures[start : start + size]
            lacking = size - len(part)
            yield len(part), torch.cat([part, part[-1:].expand(lacking, *part.shape[1:])]) if lacking else part

    def _fed(self, part: Tensor) -> Any:
        """Pictures as the graph takes them: TensorFlow's, of the input's type."""
        import tensorflow as tf

        shown = part if self._input.dtype.is_floating else part.round().clamp(0, 255)
        return tf.cast(_constant(shown), self._input.dtype)

    def _function(self, names: tuple[str, ...], part: Tensor) -> Any:
        with self._lock:
            return self._ran(self._compiled, part, names, tuple(part.shape))

    def _traced(self, make: Callable[..., T], names: tuple[str, ...], shape: tuple[int, ...]) -> T:
        """What ``make`` makes of the graph as far as the layers, in float32, for pictures of that shape."""
        import tensorflow as tf

        fetches = [self._layers[name].operator.outputs[0] for name in names]

        def forward(pictures: Any, _: list[Any]) -> list[Any]:
            values = tf.graph_util.import_graph_def(
                self._frozen.graph,
                input_map={self._input.name: pictures},
                return_elements=[each.name for each in fetches],
                name="",
            )
            return [tf.cast(value, tf.float32) for value in values]

        return make(forward, shape, self._input.dtype)

    def _ran(self, function: Callable[..., T], pictures: Tensor, *arguments: Any) -> T:
        """What TensorFlow computes; an error of its own says which pictures it was given."""
        import tensorflow as tf

        try:
            return function(*arguments)
        except (tf.errors.OpError, ValueError) as error:
            message = f"the network does not take pictures of shape {tuple(pictures.shape)}: {first_line(error)}"
            raise WrongInput(message) from error


def _float_input(graph: Any, frozen: Frozen) -> Any:
    """Where pictures are fed: the graph's input, or, where that takes uint8, the floating point that it is cast to."""
    start = graph.get_operation_by_name(frozen.input).outputs[0]
    tensor, users = start, start.consumers()
    while len(users) == 1 and users[0].type == "Identity":
        tensor = users[0].outputs[0]
        users = tensor.consumers()
    if (
        not start.dtype.is_floating
        and len(users) == 1
        and users[0].type == "Cast"
        and users[0].outputs[0].dtype.is_floating
    ):
        return users[0].outputs[0]
    return start


def _last(operators: list[Any]) -> list[str]:
    """The operators whose values no other takes."""
    return [each.name for each in operators if each.outputs and not any(out.consumers() for out in each.outputs)]


def _constant(values: Tensor) -> Any:
    """TensorFlow's copy of a tensor."""
    import tensorflow as tf

    return tf.constant(values.numpy())


def _rows(cotangent: Tensor, index: int, count: int, fixed: int | None) -> Tensor:
    """The rows of a cotangent that belong to one part of the pictures, filled up with zeros."""
    if fixed is None:
        return cotangent
    rows = cotangent[index * fixed : index * fixed + count]
    return torch.cat([rows, rows.new_zeros(fixed - count, *rows.shape[1:])])


def adapt(model: object, given: Given) -> Network:
    """A tf.Module, tf.function, ConcreteFunction or loaded SavedModel as a network; see `as_network`."""
    said = getattr(model, "name", "")
    name = given.name or (said if isinstance(said, str) and said.isidentifier() else type(model).__name__)
    return _network(from_function(concrete(model, given)), given, name)


def load(path: Path, given: Given) -> Network:
    """The folder of a SavedModel, a frozen graph ``.pb``, or a ``.meta`` with its checkpoint, as a network."""
    from neuronatlas.networks.tensorflow import files

    if path.is_dir():
        frozen = files.from_saved_model(path)
    else:
        frozen = files.from_meta_graph(path) if path.suffix.lower() == ".meta" else files.from_graph(path)
    return _network(frozen, given, given.name or path.stem)


def _network(frozen: Frozen, given: Given, name: str) -> Network:
    shape = frozen.shape or (None, None, None, None)
    first = shape[1] in _CHANNELS and shape[3] not in _CHANNELS
    last = given.data_format == "channels_last" if given.data_format is not None else not first
    height, width = shape[1:3] if last else shape[2:]
    if frozen.dtype == "uint8":
        given = given.or_else("0..255")
    spec = given.spec(size=(height, width) if height and width else None, channels=shape[3 if last else 1])
    network = BridgedNetwork(TensorFlowFunction(frozen, channels_last=last), input=spec, name=name, labels=given.labels)
    network.notes = frozen.notes
    return network
