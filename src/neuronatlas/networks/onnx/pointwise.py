"""ONNX operators that treat every number apart, and those that reduce along axes.

What each computes, and in which version its attributes became inputs: the ONNX operator list,
https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the usual name

from neuronatlas.networks.onnx.node import Call, NotDone, Operator, together, whole


def _one(function: Callable[[Tensor], Tensor]) -> Operator:
    return lambda _, x: function(x)


def _two(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def operator(call: Call, one: Tensor, other: Tensor) -> Tensor:
        one, other = together(call, (one, _lined_up(call, one, other)))
        return function(one, other)

    return operator


def _many(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    return lambda call, *values: reduce(function, together(call, values))


def _lined_up(call: Call, one: Tensor, other: Tensor) -> Tensor:
    """The second operand as version 6 lines it up with the first: from ``axis`` on."""
    if call.opset >= 7 or not call.get("broadcast") or call.get("axis") is None:
        return other
    behind = one.ndim - call.get("axis") % one.ndim - other.ndim
    return other.reshape(*other.shape, *[1] * behind)


def _divide(one: Tensor, other: Tensor) -> Tensor:
    return one / other if one.is_floating_point() else torch.div(one, other, rounding_mode="trunc")


def _power(call: Call, base: Tensor, exponent: Tensor) -> Tensor:
    base, exponent = together(call, (base, exponent))
    if exponent.ndim == 0 or exponent.numel() == 1:  # a number: its gradient is not needed, and x ** 2 stays exact
        return base.pow(exponent.item()).reshape((base + exponent).shape).to(base.dtype)
    return base.pow(exponent).to(base.dtype)


def _remainder(call: Call, one: Tensor, other: Tensor) -> Tensor:
    one, other = together(call, (one, other))
    return torch.fmod(one, other) if call.get("fmod", 0) else torch.remainder(one, other)


def _mean(call: Call, *values: Tensor) -> Tensor:
    total: Tensor = reduce(torch.add, together(call, values))
    return total / len(values)


def clip_ends(call: Call, low: Tensor | None = None, high: Tensor | None = None) -> tuple[float | None, float | None]:
    """The ends of a Clip, attributes up to version 6 and inputs from 11 on; None where there is none."""
    found = [call.get("min") if low is None else low.item(), call.get("max") if high is None else high.item()]
    ends = [None if end is None or abs(end) > 3.4e38 else end for end in found]  # the default is the largest float32
    return ends[0], ends[1]


def _clip(call: Call, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    least, most = clip_ends(call, low, high)
    x = x if least is None else x.clamp_min(least)
    return x if most is None else x.clamp_max(most)


def _slope(call: Call, x: Tensor, slope: Tensor) -> Tensor:
    x, slope = together(call, (x, slope))
    return torch.where(x >= 0, x, slope * x)


def _where(call: Call, condition: Tensor, one: Tensor, other: Tensor) -> Tensor:
    condition, one, other = together(call, (condition, one, other))
    return torch.where(condition, one, other)


def _elu(call: Call, x: Tensor) -> Tensor:
    return F.elu(x, call.get("alpha", 1.0))


def _selu(call: Call, x: Tensor) -> Tensor:
    alpha, gamma = call.get("alpha", 1.67326319217681884765625), call.get("gamma", 1.05070102214813232421875)
    return gamma * F.elu(x, alpha)


def _hard_sigmoid(call: Call, x: Tensor) -> Tensor:
    return (call.get("alpha", 0.2) * x + call.get("beta", 0.5)).clamp(0, 1)


def _thresholded(call: Call, x: Tensor) -> Tensor:
    return torch.where(x > call.get("alpha", 1.0), x, torch.zeros_like(x))


def _shrink(call: Call, x: Tensor) -> Tensor:
    edge, bias = call.get("lambd", 0.5), call.get("bias", 0.0)
    return torch.where(x < -edge, x + bias, torch.where(x > edge, x - bias, torch.zeros_like(x)))


def _swish(call: Call, x: Tensor) -> Tensor:
    return x * torch.sigmoid(call.get("alpha", 1.0) * x)


def _gelu(call: Call, x: Tensor) -> Tensor:
    return F.gelu(x, approximate=call.get("approximate", "none"))


def _infinite(call: Call, x: Tensor) -> Tensor:
    return (x.isneginf() & bool(call.get("detect_negative", 1))) | (x.isposinf() & bool(call.get("detect_positive", 1)))


def _along(function: Callable[[Tensor, int], Tensor]) -> Operator:
    """Softmax and its like: before version 13 over all axes from ``axis`` on, which is 1 unless said."""

    def operator(call: Call, x: Tensor) -> Tensor:
        if call.opset >= 13:
            return function(x, call.get("axis", -1))
        axis = call.get("axis", 1) % x.ndim
        return function(x.flatten(axis), axis).reshape(x.shape)

    return operator


def _hardmax(x: Tensor, axis: int) -> Tensor:
    return torch.zeros_like(x).scatter(axis, x.argmax(axis, keepdim=True), 1)


def _reduced(function: Callable[[Tensor, list[int], bool], Tensor]) -> Operator:
    def operator(call: Call, x: Tensor, given: Tensor | None = None) -> Tensor:
        axes = call.axes(given)
        if not axes and call.get("noop_with_empty_axes", 0):  # each number is then a sum, norm, ... of its own
            return function(x.unsqueeze(-1), [-1], False)
        return function(x, axes or list(range(x.ndim)), bool(call.get("keepdims", 1)))

    return operator


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:  # noqa: FBT001
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _sum(x: Tensor, axes: list[int], keep: bool) -> Tensor:  # noqa: FBT001
    return x.sum(axes, keepdim=keep, dtype=x.dtype)


def _norm(order: float) -> Callable[[Tensor, list[int], bool], Tensor]:
    return lambda x, axes, keep: torch.linalg.vector_norm(x, order, axes, keepdim=keep)


def _best(function: Callable[..., Tensor]) -> Operator:
    def operator(call: Call, x: Tensor) -> Tensor:
        axis = call.get("axis", 0)
        if call.get("select_last_index", 0):
            last = x.shape[axis] - 1
            return last - function(x.flip(axis), dim=axis, keepdim=bool(call.get("keepdims", 1)))
        return function(x, dim=axis, keepdim=bool(call.get("keepdims", 1)))

    return operator


def _top(call: Call, x: Tensor, count: Tensor | None = None) -> tuple[Tensor, Tensor]:
    wanted = call.get("k") if count is None else whole(count)[0]
    found = x.topk(wanted, call.get("axis", -1), largest=bool(call.get("largest", 1)), sorted=True)
    return found.values, found.indices


def _running_sum(call: Call, x: Tensor, along: Tensor) -> Tensor:
    axis = whole(along)[0]
    turned = x.flip(axis) if call.get("reverse", 0) else x
    total = turned.cumsum(axis)
    if call.get("exclusive", 0):
        total = total - turned
    return total.flip(axis) if call.get("reverse", 0) else total


def _matrix_product(call: Call, one: Tensor, other: Tensor) -> Tensor:
    one, other = together(call, (one, other))
    return one @ other


def _gemm(call: Call, one: Tensor, other: Tensor, added: Tensor | None = None) -> Tensor:
    one = one.T if call.get("transA", 0) else one
    other = other.T if call.get("transB", 0) else other
    found = call.get("alpha", 1.0) * (one @ other)
    return found if added is None else found + call.get("beta", 1.0) * added


def _einsum(call: Call, *values: Tensor) -> Tensor:
    found: Tensor = torch.einsum(call.get("equation"), *together(call, values))
    return found


def _dequantise(call: Call, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    if call.get("block_size", 0):
        reason = "DequantizeLinear with blocks"
        raise NotDone(reason)
    values = x.to(call.like.dtype)
    axis = call.get("axis", 1)

    def spread(each: Tensor) -> Tensor:
        if each.numel() == 1:
            return each.reshape(()).to(values.dtype)
        return each.reshape([-1 if other == axis % x.ndim else 1 for other in range(x.ndim)]).to(values.dtype)

    return (values if zero is None else values - spread(zero)) * spread(scale)


def _named(functions: Sequence[Callable[[Tensor], Tensor]]) -> dict[str, Operator]:
    """Functions whose name in torch is that of the operator, but for capitals."""
    return {function.__name__.capitalize(): _one(function) for function in functions}


_SAME_NAME = (torch.abs, torch.neg, torch.reciprocal, torch.sqrt, torch.exp, torch.log, torch.erf, torch.sigmoid)
_TURNS = (torch.tanh, torch.sin, torch.cos, torch.tan, torch.asin, torch.acos, torch.atan, torch.sinh, torch.cosh)
_STEPS = (torch.floor, torch.ceil, torch.round, torch.sign, torch.asinh, torch.acosh, torch.atanh, torch.relu)

OPERATORS: dict[str, Operator] = {
    **_named(_SAME_NAME),
    **_named(_TURNS),
    **_named(_STEPS),
    "Softplus": _one(lambda x: F.softplus(x)),
    "Softsign": _one(lambda x: F.softsign(x)),
    "Mish": _one(lambda x: F.mish(x)),
    "Not": _one(torch.logical_not),
    "IsNaN": _one(torch.isnan),
    "IsInf": _infinite,
    "Elu": _elu,
    "Celu": lambda call, x: F.celu(x, call.get("alpha", 1.0)),
    "Selu": _selu,
    "LeakyRelu": lambda call, x: F.leaky_relu(x, call.get("alpha", 0.01)),
    "ThresholdedRelu": _thresholded,
    "Shrink": _shrink,
    "PRelu": _slope,
    "Gelu": _gelu,
    "Swish": _swish,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _one(lambda x: F.hardswish(x)),
    "Clip": _clip,
    "Add": _two(torch.add),
    "Sub": _two(torch.sub),
    "Mul": _two(torch.mul),
    "Div": _two(_divide),
    "Pow": _power,
    "Mod": _remainder,
    "And": _two(torch.logical_and),
    "Or": _two(torch.logical_or),
    "Xor": _two(torch.logical_xor),
    "Equal": _two(torch.eq),
    "Greater": _two(torch.gt),
    "GreaterOrEqual": _two(torch.ge),
    "Less": _two(torch.lt),
    "LessOrEqual": _two(torch.le),
    "Where": _where,
    "Min": _many(torch.minimum),
    "Max": _many(torch.maximum),
    "Sum": _many(torch.add),
    "Mean": _mean,
    "Softmax": _along(torch.softmax),
    "LogSoftmax": _along(torch.log_softmax),
    "Hardmax": _along(_hardmax),
    "ReduceMean": _reduced(lambda x, axes, keep: x.mean(axes, keepdim=keep)),
    "ReduceSum": _reduced(_sum),
    "ReduceMax": _reduced(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "ReduceMin": _reduced(lambda x, axes, keep: x.amin(axes, keepdim=keep)),
    "ReduceProd": _reduced(_product),
    "ReduceL1": _reduced(_norm(1)),
    "ReduceL2": _reduced(_norm(2)),
    "ReduceSumSquare": _reduced(lambda x, axes, keep: x.square().sum(axes, keepdim=keep)),
    "ReduceLogSum": _reduced(lambda x, axes, keep: x.sum(axes, keepdim=keep).log()),
    "ReduceLogSumExp": _reduced(lambda x, axes, keep: x.logsumexp(axes, keepdim=keep)),
    "ArgMax": _best(torch.argmax),
    "ArgMin": _best(torch.argmin),
    "TopK": _top,
    "CumSum": _running_sum,
    "MatMul": _matrix_product,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "DequantizeLinear": _dequantise,
}
