"""A model of TensorFlow as one frozen graph: variables are constants, functions are written out.

Refused, with the operator's name: Python functions, whatever reads or writes files or prints, and operators that are not
TensorFlow's own.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from neuronatlas.errors import WrongInput
from neuronatlas.networks.tensorflow.conditions import resolve

SOURCES = (
    "Placeholder PlaceholderV2 PlaceholderWithDefault IteratorGetNext IteratorGetNextSync QueueDequeueV2 "
    "QueueDequeueManyV2 QueueDequeueUpToV2"
).split()
_PICTURES = ("float32", "float16", "bfloat16", "float64", "uint8")
_KEPT = re.compile(r"(?<![a-z])keep", re.IGNORECASE)
_SWITCHES = ((r"train|learn", False), (r"infer|eval|test", True), (r"phase|drop", False))
"""What is in the names of switches, and how each is set for use; the first that fits."""
_HARMLESS = re.compile(
    r"(Placeholder\w*|\w*PartitionedCall|While|If|Case|Assert|TensorArray\w*|Stack\w*|Random\w*|TruncatedNormal|Multinomial|"
    r"ParameterizedTruncatedNormal|Stateful\w*|AccumulateNV2|RngReadAndSkip|VarHandleOp|ReadVariableOp|\w*Generator)"
)
_HARMFUL = re.compile(r"(\w*PyFunc\w*|Debug\w*|Copy|CopyHost|ReadFile|WriteFile|MatchingFiles)")


@dataclass(frozen=True)
class Frozen:
    """A graph without variables or functions. ``input`` is the operator where pictures come in.

    ``shape`` is that of its tensor, None where it does not say, and empty where not even the rank is known. ``whole``:
    the operators behind the outputs, where the graph tells them. ``notes`` say what was decided for the caller.
    """

    graph: Any
    input: str
    dtype: str
    shape: tuple[int | None, ...]
    whole: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@contextmanager
def quiet() -> Iterator[None]:
    """TensorFlow's notes on its own age are left out inside the block."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def from_function(function: Any, *, alone: bool = True) -> Frozen:
    """A ConcreteFunction, frozen. ``alone``: it has to have one input and no more."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    with quiet():
        try:
            frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
        except (ValueError, RuntimeError, TypeError, AssertionError) as error:
            message = f"the TensorFlow function cannot be frozen: {first_line(error)}"
            raise WrongInput(message) from error
    inputs = [tensor.op.name for tensor in frozen.inputs]
    outputs = tuple(tensor.op.name for tensor in frozen.outputs)
    return prepared(frozen.graph.as_graph_def(), inputs, outputs, alone=alone)


def prepared(graph: Any, inputs: Sequence[str], outputs: Sequence[str], *, alone: bool) -> Frozen:
    """The graph ready to be differentiated, and what goes into it.

    A gradient that a model defines for itself is not in a file, so none counts: that of the operators does. Height and
    width of the pictures are free. Switches of phase are set for inference.
    """
    split_sources(graph)
    notes = tuple(_set_phases(graph))
    resolve(graph)
    conditional = any(node.op in ("Switch", "RefSwitch") for node in graph.node)
    for node in graph.node:
        node.device = ""
        for attribute in ("_gradient_op_type", "_output_shapes", "_class"):
            node.attr.pop(attribute, None)
        if not conditional:  # without conditions, what is only waited for changes no value
            kept = [each for each in node.input if not each.startswith("^")]
            del node.input[:]
            node.input.extend(kept)
    nodes = {node.name: node for node in graph.node}
    names = [name for name in (inputs or sources(graph)) if name in nodes and nodes[name].op in SOURCES]
    shapes = {name: _shape(nodes[name]) for name in names}
    taken = [name for name in names if _dtype(nodes[name]) in _PICTURES and len(shapes[name]) in (0, 4)]
    if len(taken) != 1 or (alone and len(names) > 1):
        every = ", ".join(f"{name} {shapes[name]} {_dtype(nodes[name])}" for name in names)
        message = f"the graph has the inputs [{every}]: exactly one that takes pictures (batch, height, width, channels) is needed"
        raise WrongInput(message)
    source, shape = nodes[taken[0]], shapes[taken[0]]
    _free(source, shape)
    return Frozen(graph, source.name, _dtype(source), shape, tuple(outputs), notes)


def _free(node: Any, shape: tuple[int | None, ...]) -> None:
    """Let the placeholder take pictures of any size."""
    import tensorflow as tf

    dtype = node.attr["dtype"].type
    del node.input[:]
    node.attr.clear()
    node.op = "Placeholder"
    node.attr["dtype"].type = dtype
    free = [
        side if place == 0 or (side is not None and side <= 4) else None for place, side in enumerate(shape)
    ] or None
    node.attr["shape"].shape.CopyFrom(tf.TensorShape(free).as_proto())


def split_sources(graph: Any) -> None:
    """A source of several tensors (pictures and labels of a data set) becomes one placeholder a tensor."""
    import tensorflow as tf

    several = [node for node in graph.node if node.op in SOURCES and not node.op.startswith("Placeholder")]
    for node in several:
        key = "output_types" if "output_types" in node.attr else "component_types"
        types = list(node.attr[key].list.type)
        shapes = list(node.attr["output_shapes"].list.shape) or [tf.TensorShape(None).as_proto()] * len(types)
        for place, (dtype, shape) in enumerate(zip(types, shapes, strict=True)):
            each = node if place == 0 else graph.node.add(name=f"{node.name}_output_{place}")
            each.op = "Placeholder"
            del each.input[:]
            each.attr.clear()
            each.attr["dtype"].type = dtype
            each.attr["shape"].shape.CopyFrom(shape)
            for other in graph.node:
                for index, name in enumerate(other.input):
                    if place and name == f"{node.name}:{place}":
                        other.input[index] = each.name


def _set_phases(graph: Any) -> list[str]:
    """Switches between training and use become constants; what was set to what is told."""
    import tensorflow as tf

    notes = []
    for node in graph.node:
        if node.op not in SOURCES:
            continue
        dtype, shape = _dtype(node), node.attr["shape"].shape
        small = not shape.dim and not shape.unknown_rank and "shape" in node.attr
        if shape.dim:
            continue
        if dtype == "bool":
            value: object = _switched(node.name)
            if value is None and node.op == "PlaceholderWithDefault":
                notes.append(f"its input {node.name!r} is left as the graph sets it")
                node.op = "Identity"
                node.attr.clear()
                node.attr["T"].type = tf.bool.as_datatype_enum
            elif value is None:
                message = (
                    f"the graph has the switch {node.name!r}, whose name does not tell how it is set for use: save the "
                    "graph with a constant in its place"
                )
                raise WrongInput(message)
        elif dtype in _PICTURES and (small or _KEPT.search(node.name)) and "image" not in node.name:
            value = 1.0 if _KEPT.search(node.name) else None
            if value is None and re.search(r"drop|rate", node.name, re.IGNORECASE):
                value = 0.0
        else:
            continue
        if value is None:
            continue
        number = node.attr["dtype"].type
        notes.append(f"its input {node.name!r} is set to {value}, for use and not for training")
        node.op = "Const"
        del node.input[:]
        node.attr.clear()
        node.attr["dtype"].type = number
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, dtype=tf.as_dtype(number), shape=()))
    return notes


def _switched(name: str) -> bool | None:
    """How a switch of that name is set for use, by its last part or else the whole; None where it does not tell."""
    for part in (name.rpartition("/")[2], name):
        for words, value in _SWITCHES:
            if re.search(words, part, re.IGNORECASE):
                return value
    return None


def check_harmless(graph: Any, needed: Iterable[Any]) -> None:
    """Refuse operators, among those needed and in functions that they call, that do more than compute."""
    from tensorflow.python.framework import op_def_registry

    functions = {each.signature.name: each for each in graph.library.function}
    waiting = [(operator.name, operator.type, operator.node_def) for operator in needed]
    seen: set[str] = set()
    while waiting:
        name, kind, node = waiting.pop()
        known = op_def_registry.get(kind)
        stateful = known is not None and known.is_stateful and not _HARMLESS.fullmatch(kind)
        if stateful or _HARMFUL.fullmatch(kind):
            message = (
                f"operator {name!r} ({kind}) is not run: Python functions, files and everything else that is no computation "
                "are refused; save the network without it"
            )
            raise WrongInput(message)
        lists = [each for value in node.attr.values() for each in (value.func, *value.list.func)]
        for called in (each.name for each in lists if each.name in functions and each.name not in seen):
            seen.add(called)
            waiting += [(inner.name, inner.op, inner) for inner in functions[called].node_def]


def sources(graph: Any, *, pictures: bool = False) -> list[str]:
    """The operators from which a graph takes what is not in it; those alone whose type may be that of ``pictures``."""
    found = [node for node in graph.node if node.op in SOURCES]
    return [node.name for node in found if not pictures or not node.op.startswith("Pl") or _dtype(node) in _PICTURES]


def operator_of(tensor: str) -> str:
    """The operator of a tensor's name."""
    return tensor.lstrip("^").split(":")[0]


def _dtype(node: Any) -> str:
    import tensorflow as tf

    return str(tf.as_dtype(node.attr["dtype"].type or 1).name)


def _shape(node: Any) -> tuple[int | None, ...]:
    """The shape that a placeholder declares, empty where it declares none."""
    shape = node.attr["shape"].shape
    if "shape" not in node.attr or shape.unknown_rank:
        return ()
    return tuple(None if side.size < 0 else int(side.size) for side in shape.dim)


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
