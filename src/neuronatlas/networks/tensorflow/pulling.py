"""Pullbacks of TensorFlow: the values of a function of pictures and the way back from them, as two compiled functions.

TensorFlow's own tape differentiates a function at every step anew and calls it unoptimised. Here the gradient is traced
once into the same graph, and the graph is cut in two: the first half gives the values and whatever the second needs of what
depends on the pictures; constants, weights and shapes are known on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Forward = Callable[[Any, list[Any]], list[Any]]
"""From pictures and weights, tensors of TensorFlow, to the values, of floating point."""
_OLD_CONTROL = ("Switch", "RefSwitch", "Merge", "RefMerge", "Enter", "RefEnter")
_SHAPES = ("Shape", "ShapeN")
_READING = ("VarHandleOp", "ReadVariableOp", "Placeholder")


def compiled(forward: Forward, shape: Sequence[int | None], dtype: Any, weights: Sequence[Any] = ()) -> Any:
    """The values of pictures of one shape, as one function. ``weights``: see `Pulled`."""
    import tensorflow as tf

    def values(pictures: Any) -> list[Any]:
        return forward(pictures, [tf.convert_to_tensor(each) for each in weights])

    return tf.function(values, autograph=False).get_concrete_function(tf.TensorSpec(shape, dtype))


class Pulled:
    """The values of pictures of one shape, and the way back from them.

    ``weights`` are arrays, which become constants (optimised into the graph), or variables, which are read at each call.
    ``passes`` is False where no gradient comes back to the pictures.
    """

    def __init__(self, forward: Forward, shape: Sequence[int | None], dtype: Any, weights: Sequence[Any] = ()) -> None:
        import tensorflow as tf

        found: dict[str, Any] = {}

        def whole(pictures: Any, given: list[Any]) -> list[Any]:
            values = forward(pictures, given)
            ways = [tf.compat.v1.placeholder(value.dtype, value.shape) for value in values]
            try:
                slope = tf.gradients(values, pictures, ways)[0]
            except LookupError:  # an operator without a gradient
                slope = None
            found.update(pictures=pictures, given=given, values=values, ways=ways, slope=slope)
            return values

        kinds = [tf.TensorSpec(each.shape, each.dtype) for each in weights]
        # only to be looked at: both halves are built from its operators
        traced = tf.function(whole, autograph=False).get_concrete_function(tf.TensorSpec(shape, dtype), kinds)
        pictures, values, slope = found["pictures"], found["values"], found["slope"]
        self._count = len(values)
        self.passes = slope is not None
        if slope is None:
            return
        known = {each.name: weight for each, weight in zip(found["given"], weights, strict=True)}
        captured = traced.captured_inputs
        inner = traced.inputs[len(traced.inputs) - len(captured) :]
        known |= {each.name: outer for each, outer in zip(inner, captured, strict=True)}
        crossing, sizes = _crossing(pictures, values, slope)
        self._there = _part(traced.graph, [pictures], [*values, *crossing], known)
        self._back = _part(traced.graph, [*crossing, *found["ways"]], [slope], known | sizes)

    def __call__(self, pictures: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
        """The values, and the function that takes a cotangent for each to the gradient with respect to the pictures."""
        found = self._there(pictures)
        crossing = found[self._count :]
        return list(found[: self._count]), lambda ways: self._back(*crossing, *ways)[0]


def _crossing(pictures: Any, values: list[Any], slope: Any) -> tuple[list[Any], dict[str, Any]]:
    """The tensors that the way back takes from the way there, and the shapes that it asks for, which are known.

    Whatever moves from call to call is taken: what depends on the pictures or on random numbers. In a graph with the
    conditions and loops of TensorFlow 1 nothing is but the pictures: the way back computes them once more.
    """
    operators = slope.graph.get_operations()
    moving = {pictures.op.name}
    for operator in operators:
        drawn = operator.op_def.is_stateful and operator.type not in _READING
        if drawn or any(each.op.name in moving for each in operator.inputs):
            moving.add(operator.name)
    old = any(operator.type in _OLD_CONTROL for operator in operators)
    there = {pictures.op.name} if old else _behind([value.op for value in values])
    crossing: dict[str, Any] = {}
    sizes: dict[str, Any] = {}
    seen: set[str] = set()
    waiting = [slope]
    while waiting:
        tensor = waiting.pop()
        operator = tensor.op
        shaped = operator.inputs[tensor.value_index].shape if operator.type in _SHAPES else None
        if shaped is not None and shaped.is_fully_defined():
            sizes[tensor.name] = np.array(shaped.as_list(), tensor.dtype.as_numpy_dtype)
        elif operator.name in there and operator.name in moving:
            crossing[tensor.name] = tensor
        elif operator.name not in seen:
            seen.add(operator.name)
            waiting += operator.inputs
    return list(crossing.values()), sizes


def _behind(operators: Iterable[Any]) -> set[str]:
    """The names of these operators and of all whose values they need."""
    found: set[str] = set()
    waiting = list(operators)
    while waiting:
        operator = waiting.pop()
        if operator.name not in found:
            found.add(operator.name)
            waiting += [each.op for each in operator.inputs]
    return found


def _part(graph: Any, feeds: Sequence[Any], fetches: Sequence[Any], known: Mapping[str, Any]) -> Any:
    """The operators of a graph between what is fed or known and what is fetched, as a function of what is fed."""
    import tensorflow as tf

    given = {each.name for each in feeds} | set(known)
    kept: dict[str, Any] = {}
    used: set[str] = set()
    waiting = [each.op for each in fetches if each.name not in given]
    while waiting:
        operator = waiting.pop()
        if operator.name in kept:
            continue
        kept[operator.name] = operator
        used |= {each.name for each in operator.inputs if each.name in given}
        waiting += [each.op for each in operator.inputs if each.name not in given]
    definition = tf.compat.v1.GraphDef()
    whole = graph.as_graph_def()
    definition.versions.CopyFrom(whole.versions)
    definition.library.CopyFrom(whole.library)
    for node in whole.node:
        if node.name in kept:
            copy = definition.node.add()
            copy.CopyFrom(node)
            copy.attr.pop("_class", None)  # beside which other operator it wants to be, which may be in the other half
            del copy.input[:]
            copy.input.extend(each for each in node.input if each[0] != "^" or each[1:] in kept)

    def compute(*tensors: Any) -> list[Any]:
        fed = {each.name: tensor for each, tensor in zip(feeds, tensors, strict=True)}
        inner = {name: fed[name] if name in fed else tf.convert_to_tensor(known[name]) for name in used}
        names = [each.name for each in fetches if each.name not in fed]
        results = tf.graph_util.import_graph_def(definition, input_map=inner, return_elements=names, name="")
        computed = dict(zip(names, results, strict=True))
        return [tf.identity(fed[each.name] if each.name in fed else computed[each.name]) for each in fetches]

    specs = [tf.TensorSpec(each.shape, each.dtype) for each in feeds]
    return tf.function(compute, autograph=False).get_concrete_function(*specs)
