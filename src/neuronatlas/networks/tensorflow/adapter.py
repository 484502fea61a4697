"""TensorFlow as networks: modules, functions, SavedModels, frozen graphs, graphs of TensorFlow 1 with a checkpoint.

All of them become one frozen graph, of which only what is asked for is computed. A layer is an operator whose output is
of floating point and has the pictures as its first axis; its name is the operator's. The weights are copied: a model that
learns later has to be given anew. Batch norms use their statistics, and switches between training and use are set for use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from neuronatlas.errors import NoPictures, WrongInput
from neuronatlas.networks.bridge import BridgedNetwork, ForeignFunction, Place, Pullback, unit_shape
from neuronatlas.networks.tensorflow.freezing import Frozen, check_harmless, first_line, from_function
from neuronatlas.networks.tensorflow.graph import Step, ancestors, steps, tidied
from neuronatlas.networks.tensorflow.tracing import concrete

if TYPE_CHECKING:
    from neuronatlas.networks.base import Network
    from neuronatlas.networks.preprocessing import Given

_CHANNELS = (1, 3, 4)
_FLAT = ("Floor", "Ceil", "Round", "Rint")
_KEPT = 16
"""Functions for so many choices of layers are kept."""


class TensorFlowFunction(ForeignFunction):
    """A frozen graph as a function of pictures. ``fixed`` is the number of pictures that it takes at once, if only one."""

    def __init__(self, frozen: Frozen, *, channels_last: bool) -> None:
        import tensorflow as tf

        self.channels_last = channels_last
        self.fixed = frozen.shape[0] if frozen.shape else None
        self._frozen = frozen
        self._pruned: dict[tuple[str, ...], Callable[..., Any]] = {}
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
        """The values of the layers and the way back, by TensorFlow's own tape."""
        runs = [(count, *self._taped(names, part)) for count, part in self._parts(pictures)]
        values = [
            torch.cat([self._kept(outputs[place], count) for count, outputs, _ in runs]) for place in range(len(names))
        ]
        tapes = [back for *_, back in runs]

        def pullback(cotangents: list[Tensor]) -> Tensor:
            slopes = []
            for index, (count, part) in enumerate(self._parts(pictures)):
                back = tapes[index] if tapes else self._taped(names, part)[1]
                slopes.append(self._kept(back([_rows(each, index, count, self.fixed) for each in cotangents]), count))
            tapes.clear()  # a tape is good for one gradient; a second one computes anew
            return torch.cat(slopes)

        return values, pullback

    def _taped(self, names: tuple[str, ...], part: Tensor) -> tuple[list[Any], Callable[[list[Tensor]], Any]]:
        """The values of one part of the pictures, as TensorFlow's, and the way back."""
        import tensorflow as tf

        given = tf.constant(part.numpy())
        try:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(given)
                outputs = self._run(names, given)
        except LookupError as error:
            raise NoPictures(self._refusal(names)) from error

        def back(cotangents: list[Tensor]) -> Any:
            try:
                slope = tape.gradient(
                    outputs, given, output_gradients=[tf.constant(each.numpy()) for each in cotangents]
                )
            except (LookupError, tf.errors.OpError) as error:
                raise NoPictures(self._refusal(names)) from error
            if slope is None:
                raise NoPictures(self._refusal(names))
            return slope

        return outputs, back

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
        import tensorflow as tf

        if not names:
            return []
        parts = [
            [self._kept(value, count) for value in self._run(names, tf.constant(part.numpy()))]
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

    def _run(self, names: tuple[str, ...], given: Any) -> list[Any]:
        """The layers' values in float32, as TensorFlow's."""
        import tensorflow as tf

        if names not in self._pruned:
            while len(self._pruned) >= _KEPT:
                self._pruned.pop(next(iter(self._pruned)))
            fetches = [self._layers[name].operator.outputs[0] for name in names]
            self._pruned[names] = self._whole.prune([self._input], fetches)
        dtype = self._input.dtype
        shown = given if dtype.is_floating else tf.clip_by_value(tf.round(given), 0, 255)
        try:
            return [tf.cast(value, tf.float32) for value in self._pruned[names](tf.cast(shown, dtype))]
        except tf.errors.OpError as error:
            message = f"the network does not take pictures of shape {tuple(given.shape)}: {first_line(error)}"
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
