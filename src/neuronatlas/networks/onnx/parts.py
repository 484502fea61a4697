"""Nodes that are exactly one of torch's own modules, so that kinds, folding, slicing and silent rectifiers work on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the usual name
from torch.nn.utils import skip_init

from neuronatlas.networks.onnx.node import Call, Outputs
from neuronatlas.networks.onnx.operators import apply
from neuronatlas.networks.onnx.pointwise import clip_ends
from neuronatlas.networks.onnx.windows import Windows, pad_ends

Inputs = Sequence[Tensor | None]
Part = TypeVar("Part", bound=nn.Module)


class Function(nn.Module):
    """A node that is no module of torch; its constant inputs are given to it with the others."""

    like: Tensor

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.node = call.node
        self.turned = False
        self.register_buffer("like", torch.empty(0, dtype=torch.float32), persistent=False)

    def forward(self, *inputs: Tensor | None, pictures: int = 1, fixed: int = 0) -> Outputs:
        """The node's outputs, those with channels last turned to channels first."""
        found = apply(Call(self.node, self.like, pictures, fixed), list(inputs))
        if not self.turned:
            return found
        if isinstance(found, Tensor):
            return channels_first(found)
        return tuple(channels_first(each) for each in found)

    def extra_repr(self) -> str:
        """What it computes."""
        return f"{self.node.op}, {dict(self.node.attributes)}"


class PaddedConvolution(nn.Conv2d):
    """A convolution with more padding on one side than on the other, which may depend on the map's size."""

    call: Call

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's word
        """The map of the padded map."""
        windows = Windows.of(self.call, input.shape[2:], self.kernel_size)
        (top, left), (bottom, right) = windows.before, windows.after
        return super().forward(F.pad(input, [left, right, top, bottom]))

    def extra_repr(self) -> str:
        """What it computes."""
        return f"{nn.Conv2d.extra_repr(self)}, {dict(self.call.node.attributes)}"  # type: ignore[no-untyped-call]


def channels_first(x: Tensor) -> Tensor:
    """(n, h, w, c) as (n, c, h, w); other shapes stay."""
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


def channels_last(x: Tensor) -> Tensor:
    """(n, c, h, w) as (n, h, w, c); other shapes stay."""
    return x.permute(0, 2, 3, 1) if x.ndim == 4 else x


def part(call: Call, inputs: Inputs, constant: Sequence[bool]) -> nn.Module | None:
    """The module that a node is, given its inputs in one forward pass and which of them are always the same.

    Only the first input varies for it. None where the node is no such module.
    """
    make = _MAKERS.get(call.node.op)
    if make is None or not inputs or inputs[0] is None or not all(constant[1:]) or constant[0]:
        return None
    return make(call, inputs)


def is_apart(module: nn.Module) -> bool:
    """Does it treat every number apart, so that the order of axes does not matter to it?"""
    return isinstance(module, _APART)


def _made(kind: type[Part], *settings: Any, **more: Any) -> Part:
    """A module whose weights are not drawn at random, since they are about to be set."""
    made: Part = skip_init(kind, *settings, **more)  # type: ignore[no-untyped-call]
    return made


def _given(module: nn.Module, **weights: Tensor | None) -> nn.Module:
    for name, value in weights.items():
        if value is None:
            setattr(module, name, None)
        elif isinstance(getattr(module, name), nn.Parameter):
            setattr(module, name, nn.Parameter(value.contiguous().clone(), requires_grad=False))
        else:
            setattr(module, name, value.contiguous().clone())
    return module


def _convolution(call: Call, inputs: Inputs) -> nn.Module | None:
    x, weight, bias = [*inputs, None][:3]
    if x is None or weight is None or x.ndim != 4:
        return None
    windows, groups = Windows.of(call, x.shape[2:], weight.shape[2:]), call.get("group", 1)
    depends = call.get("auto_pad", "NOTSET").startswith("SAME") and windows.stride != (1, 1)
    plain = windows.before == windows.after and not depends
    made = _made(
        nn.Conv2d if plain else PaddedConvolution,
        weight.shape[1] * groups,
        len(weight),
        windows.kernel,
        stride=windows.stride,
        padding=windows.before if plain else 0,
        dilation=windows.dilation,
        groups=groups,
        bias=bias is not None,
    )
    if isinstance(made, PaddedConvolution):
        made.call = call
    return _given(made, weight=weight, bias=bias)


def _transposed(call: Call, inputs: Inputs) -> nn.Module | None:
    x, weight, bias = [*inputs, None][:3]
    pads = call.get("pads") or [0, 0, 0, 0]
    if x is None or weight is None or x.ndim != 4 or tuple(pads[:2]) != tuple(pads[2:]):
        return None
    if call.get("output_shape") is not None or call.get("auto_pad", "NOTSET").startswith("SAME"):
        return None
    stride, extra = call.get("strides") or [1, 1], call.get("output_padding") or [0, 0]
    dilation, groups = call.get("dilations") or [1, 1], call.get("group", 1)
    if any(each >= max(pair) for each, *pair in zip(extra, stride, dilation, strict=True)):
        return None
    made = _made(
        nn.ConvTranspose2d,
        len(weight),
        weight.shape[1] * groups,
        tuple(weight.shape[2:]),
        stride=tuple(stride),
        padding=tuple(pads[:2]),
        output_padding=tuple(extra),
        groups=groups,
        bias=bias is not None,
        dilation=tuple(dilation),
    )
    return _given(made, weight=weight, bias=bias)


def _dense(call: Call, inputs: Inputs) -> nn.Module | None:
    x, weight, bias = [*inputs, None][:3]
    if x is None or weight is None or weight.ndim != 2:
        return None
    if call.node.op == "MatMul":
        matrix = weight.T if x.ndim in (2, 3) else None
    else:
        matrix = (
            None if call.get("transA", 0) else call.get("alpha", 1.0) * (weight if call.get("transB", 0) else weight.T)
        )
    if matrix is None or (bias is not None and bias.numel() not in (1, len(matrix))):
        return None
    if bias is not None:
        bias = call.get("beta", 1.0) * bias.reshape(-1).expand(len(matrix))
    made = _made(nn.Linear, matrix.shape[1], len(matrix), bias=bias is not None)
    return _given(made, weight=matrix, bias=bias)


def _batch_norm(call: Call, inputs: Inputs) -> nn.Module | None:
    x, scale, bias, mean, variance = inputs
    if x is None or mean is None or x.ndim not in (2, 4) or call.get("training_mode", 0) or not call.get("spatial", 1):
        return None
    made = (nn.BatchNorm2d if x.ndim == 4 else nn.BatchNorm1d)(len(mean), eps=call.get("epsilon", 1e-5))
    return _given(made.eval(), weight=scale, bias=bias, running_mean=mean, running_var=variance)


def _layer_norm(call: Call, inputs: Inputs) -> nn.Module | None:
    x, scale, bias = [*inputs, None][:3]
    if x is None or scale is None or len(call.node.outputs) > 1:
        return None
    shape = tuple(x.shape[call.get("axis", -1) % x.ndim :])
    if tuple(scale.shape) != shape or (bias is not None and tuple(bias.shape) != shape):
        return None
    return _given(nn.LayerNorm(shape, eps=call.get("epsilon", 1e-5), bias=bias is not None), weight=scale, bias=bias)


def _instance_norm(call: Call, inputs: Inputs) -> nn.Module | None:
    x, scale, bias = inputs
    if x is None or scale is None or x.ndim != 4:
        return None
    made = nn.InstanceNorm2d(len(scale), eps=call.get("epsilon", 1e-5), affine=True)
    return _given(made.eval(), weight=scale, bias=bias)


def _clip(call: Call, inputs: Inputs) -> nn.Module | None:
    low, high = clip_ends(call, *inputs[1:])
    if low == 0 and high in (6, None):
        return nn.ReLU6() if high else nn.ReLU()
    return nn.Hardtanh(low, high) if low is not None and high is not None and low < high else None


def _padding(call: Call, inputs: Inputs) -> nn.Module | None:
    x, pads, value, axes = [*inputs, None, None, None][:4]
    if x is None or x.ndim != 4 or call.get("mode", "constant") != "constant":
        return None
    rows, columns, (top, bottom), (left, right) = pad_ends(call, 4, pads, axes)
    number = call.get("value", 0.0) if value is None else value.item()
    if rows != (0, 0) or columns != (0, 0) or number or min(top, bottom, left, right) < 0:
        return None
    return nn.ZeroPad2d((left, right, top, bottom))


def _pooling(call: Call, inputs: Inputs) -> nn.Module | None:
    x, kernel = inputs[0], call.get("kernel_shape")
    if x is None or x.ndim != 4 or call.get("auto_pad", "NOTSET").startswith("SAME") or len(call.node.outputs) > 1:
        return None
    windows, up = Windows.of(call, x.shape[2:], kernel), bool(call.get("ceil_mode", 0))
    if not windows.symmetric:
        return None
    if call.node.op == "MaxPool":
        return nn.MaxPool2d(windows.kernel, windows.stride, windows.before, windows.dilation, ceil_mode=up)
    if windows.dilation != (1, 1):
        return None
    counted = bool(call.get("count_include_pad", 0))
    pads: Any = windows.before
    return nn.AvgPool2d(kernel, call.get("strides") or 1, pads, up, counted)


def _softmax(call: Call, inputs: Inputs) -> nn.Module | None:
    rank = 0 if inputs[0] is None else inputs[0].ndim
    axis = call.get("axis", -1 if call.opset >= 13 else 1) % max(1, rank)
    if call.opset < 13 and axis != rank - 1:
        return None
    return nn.Softmax(axis) if call.node.op == "Softmax" else nn.LogSoftmax(axis)


def _hard_sigmoid(call: Call, _: Inputs) -> nn.Module | None:
    usual = math.isclose(call.get("alpha", 0.2), 1 / 6, rel_tol=1e-6) and call.get("beta", 0.5) == 0.5
    return nn.Hardsigmoid() if usual else None


_Maker = Callable[[Call, Inputs], nn.Module | None]

_MAKERS: dict[str, _Maker] = {
    "Relu": lambda *_: nn.ReLU(),
    "LeakyRelu": lambda call, _: nn.LeakyReLU(call.get("alpha", 0.01)),
    "Elu": lambda call, _: nn.ELU(call.get("alpha", 1.0)),
    "Sigmoid": lambda *_: nn.Sigmoid(),
    "Tanh": lambda *_: nn.Tanh(),
    "Gelu": lambda call, _: nn.GELU(approximate=call.get("approximate", "none")),
    "HardSwish": lambda *_: nn.Hardswish(),
    "HardSigmoid": _hard_sigmoid,
    "Mish": lambda *_: nn.Mish(),
    "Softplus": lambda *_: nn.Softplus(),
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "GlobalAveragePool": lambda _, x: nn.AdaptiveAvgPool2d(1) if x[0] is not None and x[0].ndim == 4 else None,
    "GlobalMaxPool": lambda _, x: nn.AdaptiveMaxPool2d(1) if x[0] is not None and x[0].ndim == 4 else None,
    "MaxPool": _pooling,
    "AveragePool": _pooling,
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "Gemm": _dense,
    "MatMul": _dense,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "InstanceNormalization": _instance_norm,
    "Clip": _clip,
    "Pad": _padding,
}

_RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.LeakyReLU, nn.ELU)
_APART = (*_RECTIFIERS, nn.Sigmoid, nn.Tanh, nn.GELU, nn.Hardswish, nn.Hardsigmoid, nn.Mish, nn.Softplus)
