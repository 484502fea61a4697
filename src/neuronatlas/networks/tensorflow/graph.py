"""What a frozen graph of TensorFlow computes: which of its operators are layers, of what kind, in what order of axes.

A graph is a list of operators. Those that only move numbers about (reshaping, padding, casting) and the small arithmetic
that a normalisation or a smooth rectifier is written with are no layers. The bias added to a convolution is of the
convolution's kind.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

_KINDS = {
    **dict.fromkeys(("Conv2D", "DepthwiseConv2dNative", "Conv2DBackpropInput"), "convolution"),
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"), "dense"),
    **dict.fromkeys("FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 LRN".split(), "normalisation"),
    **dict.fromkeys("MaxPool MaxPoolV2 AvgPool Mean Max Sum".split(), "pooling"),
    **dict.fromkeys(
        "Relu Relu6 Elu Selu LeakyRelu Softplus Softsign Sigmoid Tanh Softmax LogSoftmax".split(), "activation"
    ),
}
_SUMS = ("Add", "AddV2", "BiasAdd", "BiasAddV1")
_REDUCTIONS = ("Mean", "Max", "Sum")
_PRODUCTS = ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum")
_RECTIFIERS = ("Relu", "Relu6")
_COPIES = ("Identity", "IdentityN", "Snapshot", "CheckNumerics", "EnsureShape")
_SHAPES = ("Shape", "ShapeN", "Size", "Rank")
_MOVING = (
    "Reshape Squeeze ExpandDims Transpose Cast Pad PadV2 MirrorPad Slice StridedSlice Split SplitV Unpack Pack GatherV2 "
    "Gather GatherNd Tile SpaceToBatchND BatchToSpaceND StopGradient PreventGradient Switch RefSwitch Merge RefMerge Enter "
    "Exit NextIteration LoopCond Placeholder Const Fill ZerosLike OnesLike Select SelectV2 BroadcastTo"
)
_ARITHMETIC = (
    "Sub RealDiv DivNoNan Div Square SquaredDifference Sqrt Rsqrt Neg Exp Expm1 Log Log1p Pow Erf Erfc Reciprocal Inv Abs "
    "Sign Floor Round Min Prod Cumsum"
)
_NO_LAYERS = frozenset([*_COPIES, *_SHAPES, *_MOVING.split(), *_ARITHMETIC.split()])
_TURNS: dict[tuple[int, ...], bool] = {
    (0, 2, 3, 1): True,
    (0, 3, 1, 2): False,
}  # a Transpose between the two orders of axes: is it channels-last now?
_CALL = re.compile(r"(Stateful)?PartitionedCall(_\d+)?")
_WRAPPER = re.compile(r"(model|functional|sequential)(_\d+)*")


@dataclass(frozen=True)
class Step:
    """An operator that depends on the pictures. ``kind`` is empty for one that is no layer.

    ``reason`` says why its values cannot be used; ``depth`` counts the conditions and loops that it stands in.
    ``rectifies`` is the operator whose values it rectifies.
    """

    operator: Any
    kind: str
    channels_last: bool
    reason: str = ""
    depth: int = 0
    rectifies: str = ""


def steps(operators: Sequence[Any], start: str, *, channels_last: bool, outputs: Iterable[str] = ()) -> list[Step]:
    """Every operator that depends on the operator ``start``, where the pictures come in, in the order of computation.

    ``outputs`` are the operators behind the graph's outputs: where one is arithmetic it counts as a layer.
    """
    found: dict[str, Step] = {}
    for operator in operators:
        if operator.name == start:
            found[start] = Step(operator, "", channels_last)
        elif operator.type not in _SHAPES and operator.name not in found:
            data = [found[each.op.name] for each in operator.inputs if each.op.name in found]
            if data:
                found[operator.name] = _step(operator, data, found)
    for name in outputs:
        last = found.get(_uncopied(found[name].operator).name) if name in found else None
        if last is not None and not last.kind and last.operator.type in (*_ARITHMETIC.split(), "Mul"):
            found[last.operator.name] = replace(last, kind="function")
    return [
        replace(step, reason=step.reason or "it stands inside a condition or a loop") if step.depth else step
        for name, step in found.items()
        if name != start
    ]


def _step(operator: Any, data: list[Step], found: dict[str, Step]) -> Step:
    """The operator, whose inputs that depend on the pictures are ``data``."""
    depth = max(each.depth for each in data) + (operator.type in ("Switch", "RefSwitch", "Enter", "RefEnter"))
    depth -= operator.type in ("Merge", "RefMerge", "Exit", "RefExit")
    reason = next((each.reason for each in data if each.reason), "")
    others = [each.op for each in operator.inputs if each.op.name not in found and each.op.type == "Placeholder"]
    if others:
        reason = reason or f"it depends on the input {others[0].name!r}, which no picture gives"
    if operator.type.startswith("FusedBatchNorm") and operator.get_attr("is_training"):
        reason = reason or (
            f"the batch norm {operator.name!r} takes the statistics of the batch: save the graph for inference"
        )
    last = _layout(operator, data[0])
    names = [each.op.name for each in operator.inputs]
    rectified = _uncopied(operator.inputs[0].op).name if operator.type in _RECTIFIERS else ""
    return Step(operator, _kind(operator, data, len(names), last), last, reason, max(depth, 0), rectified)


def _kind(operator: Any, data: list[Step], inputs: int, channels_last: bool) -> str:  # noqa: FBT001
    """The kind of layer, empty for none."""
    if operator.type in _NO_LAYERS or "/gradients/" in f"/{operator.name}":
        return ""
    if operator.type in _REDUCTIONS:
        return "pooling" if _keeps_units(operator, channels_last) else ""
    if operator.type in _PRODUCTS:
        return "dense" if len(data) == 1 else "function"
    if operator.type in _SUMS and len(data) < inputs:
        scalar = any(
            each.op not in {step.operator for step in data} and each.shape.rank == 0 for each in operator.inputs
        )
        return "" if scalar else _kind_behind(data[0])
    if operator.type == "Mul" and len(data) < inputs:
        return ""
    return _KINDS.get(operator.type, "function")


def _kind_behind(step: Step) -> str:
    """The kind of what a bias is added to: a convolution or a dense layer, seen through a reshaping."""
    operator = step.operator
    while operator.type in ("Reshape", *_COPIES):
        operator = operator.inputs[0].op
    return {"convolution": "convolution", "dense": "dense"}.get(_KINDS.get(operator.type, ""), "function")


def _keeps_units(operator: Any, channels_last: bool) -> bool:  # noqa: FBT001
    """Does a reduction go over positions alone?"""
    from tensorflow import get_static_value

    axes, rank = get_static_value(operator.inputs[1]), operator.inputs[0].shape.rank
    if axes is None or rank not in (3, 4):
        return False
    places = {int(axis) % rank for axis in axes.reshape(-1)}
    positions = {1} if rank == 3 else {1, 2} if channels_last else {2, 3}
    return places == positions


def _layout(operator: Any, before: Step) -> bool:
    """Does the operator give maps with the channels last?"""
    if operator.type == "Transpose":
        from tensorflow import get_static_value

        order = get_static_value(operator.inputs[1])
        return _TURNS.get(tuple(int(axis) for axis in order), before.channels_last) if order is not None else True
    if operator.type in ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"):
        return False  # heads of attention come first
    if operator.type in _KINDS or operator.type in _SUMS:
        written = dict(operator.node_def.attr)
        if "data_format" in written and operator.outputs[0].shape.rank in (4, None):
            return bool(written["data_format"].s != b"NCHW")
    return before.channels_last


def _uncopied(operator: Any) -> Any:
    """The operator whose output this one passes on."""
    while operator.type in _COPIES and operator.inputs:
        operator = operator.inputs[0].op
    return operator


def ancestors(operators: Iterable[Any], stop: str = "") -> list[Any]:
    """These operators and all that they need, control inputs too, no further than the operator ``stop``."""
    seen: dict[str, Any] = {}
    waiting = list(operators)
    while waiting:
        operator = waiting.pop()
        if operator.name not in seen:
            seen[operator.name] = operator
            if operator.name != stop:
                waiting += [each.op for each in operator.inputs] + list(operator.control_inputs)
    return list(seen.values())


def tidied(names: Sequence[str]) -> dict[str, str]:
    """Each name without the calls and the one model that it stands in, where all names stay different."""
    plain = {name: "/".join(part for part in name.split("/") if not _CALL.fullmatch(part)) or name for name in names}
    first = {name.split("/")[0] for name in plain.values() if "/" in name}
    if len(first) == 1 and _WRAPPER.fullmatch(next(iter(first))):
        plain = {name: short.split("/", 1)[-1] for name, short in plain.items()}
    uses = Counter(plain.values())
    return {name: short if uses[short] == 1 else name for name, short in plain.items()}
