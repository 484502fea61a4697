"""ONNX operators that slide windows over a map: convolution, pooling, padding; and the normalisations.

What each computes: the ONNX operator list, https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the usual name

from neuronatlas.networks.onnx.node import Call, NotDone, Operator, together, whole

_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
_TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
_MAXIMA = (F.max_pool1d, F.max_pool2d, F.max_pool3d)


@dataclass(frozen=True)
class Windows:
    """Where the windows of a node lie: one number an axis of the map, ``before`` and ``after`` of padding.

    ``beyond`` is the padding after the end that only rounding up the number of windows asks for; it may be negative
    where the last numbers are in no window.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    beyond: tuple[int, ...]

    @classmethod
    def of(cls, call: Call, size: Sequence[int], kernel: Sequence[int]) -> Windows:
        """The windows of a node on a map of a size."""
        axes = range(len(size))
        stride = tuple(call.get("strides") or [1] * len(size))
        dilation = tuple(call.get("dilations") or [1] * len(size))
        reach = [dilation[axis] * (kernel[axis] - 1) + 1 for axis in axes]
        way = call.get("auto_pad", "NOTSET")
        if way in ("SAME_UPPER", "SAME_LOWER"):
            counts = [-(-size[axis] // stride[axis]) for axis in axes]
            total = [max(0, (counts[axis] - 1) * stride[axis] + reach[axis] - size[axis]) for axis in axes]
            less, more = [each // 2 for each in total], [each - each // 2 for each in total]
            before, after = (less, more) if way == "SAME_UPPER" else (more, less)
        else:
            pads = [0] * 2 * len(size) if way == "VALID" else call.get("pads") or [0] * 2 * len(size)
            before, after = pads[: len(size)], pads[len(size) :]
        beyond = []
        for axis in axes:
            room = size[axis] + before[axis] + after[axis] - reach[axis]
            count = room // stride[axis]
            if call.get("ceil_mode", 0):
                count = -(-room // stride[axis])
                count -= count * stride[axis] >= size[axis] + before[axis]  # no window begins past the end
            beyond.append(count * stride[axis] - room)
        return cls(tuple(kernel), stride, dilation, tuple(before), tuple(after), tuple(beyond))

    @property
    def symmetric(self) -> bool:
        """Can torch pad by itself?"""
        return self.before == self.after and all(
            2 * pad <= kernel for pad, kernel in zip(self.before, self.kernel, strict=True)
        )

    def padded(self, x: Tensor, value: float) -> Tensor:
        """The map with all its padding."""
        ends = [(left, right) for left, right in zip(self.before, self.after, strict=True)]
        return _beyond(_padded(x, ends, value), self.beyond, value)

    def cut(self, x: Tensor) -> Tensor:
        """The windows of a padded map, as axes behind the others."""
        for axis, (kernel, stride, dilation) in enumerate(zip(self.kernel, self.stride, self.dilation, strict=True), 2):
            x = x.unfold(axis, dilation * (kernel - 1) + 1, stride)[..., ::dilation]
        return x


def _padded(x: Tensor, ends: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """The last axes with so many numbers before and after."""
    flat = [each for pair in reversed(ends) for each in pair]
    return F.pad(x, flat, value=value) if any(flat) else x


def _beyond(x: Tensor, ends: Sequence[int], value: float) -> Tensor:
    return _padded(x, [(0, each) for each in ends], value)


def convolve(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Conv of any number of axes."""
    windows = Windows.of(call, x.shape[2:], weight.shape[2:])
    x = _padded(x, list(zip(windows.before, windows.after, strict=True)))
    convolution = _CONVOLUTIONS[x.ndim - 3]
    found: Tensor = convolution(x, weight, bias, windows.stride, 0, windows.dilation, call.get("group", 1))
    return found


def _deconvolve(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    rank = x.ndim - 2
    stride = call.get("strides") or [1] * rank
    dilation = call.get("dilations") or [1] * rank
    extra = call.get("output_padding") or [0] * rank
    full = [
        (x.shape[2 + axis] - 1) * stride[axis] + dilation[axis] * (weight.shape[2 + axis] - 1) + 1 + extra[axis]
        for axis in range(rank)
    ]
    way, shape = call.get("auto_pad", "NOTSET"), call.get("output_shape")
    pads = call.get("pads") or [0] * 2 * rank
    before, after = pads[:rank], pads[rank:]
    if shape is None and way.startswith("SAME"):
        shape = [x.shape[2 + axis] * stride[axis] for axis in range(rank)]
    if shape is not None:
        total = [full[axis] - shape[-rank:][axis] for axis in range(rank)]
        less, more = [each // 2 for each in total], [each - each // 2 for each in total]
        before, after = (less, more) if way == "SAME_UPPER" else (more, less)
    transposed = _TRANSPOSED[rank - 1]
    found = transposed(x, weight, None, stride, 0, 0, call.get("group", 1), dilation)
    found = _padded(found, [(-one, each - other) for one, other, each in zip(before, after, extra, strict=True)])
    return found if bias is None else found + bias.reshape(-1, *[1] * rank)


def max_pool(call: Call, x: Tensor) -> Tensor:
    """MaxPool of any number of axes; its second output, the places of the maxima, is not made."""
    if len(call.node.outputs) > 1:
        reason = "MaxPool with the places of its maxima"
        raise NotDone(reason)
    windows = Windows.of(call, x.shape[2:], call.get("kernel_shape"))
    pooling = _MAXIMA[x.ndim - 3]
    found: Tensor = pooling(windows.padded(x, -math.inf), windows.kernel, windows.stride, 0, windows.dilation)
    return found


def average_pool(call: Call, x: Tensor) -> Tensor:
    """AveragePool of any number of axes: the sum of each window divided by how many of its numbers count."""
    windows = Windows.of(call, x.shape[2:], call.get("kernel_shape"))
    axes = list(range(-len(windows.kernel), 0))
    there = torch.ones_like(x[:1, :1])
    if call.get("count_include_pad", 0):
        there = _beyond(_padded(there, list(zip(windows.before, windows.after, strict=True)), 1.0), windows.beyond, 0.0)
    else:
        there = windows.padded(there, 0.0)
    return windows.cut(windows.padded(x, 0.0)).sum(axes) / windows.cut(there).sum(axes)


def _norm_pool(call: Call, x: Tensor) -> Tensor:
    windows = Windows.of(call, x.shape[2:], call.get("kernel_shape"))
    cut = windows.cut(windows.padded(x, 0.0)).flatten(-len(windows.kernel))
    return torch.linalg.vector_norm(cut, call.get("p", 2), -1)


def _spatial(x: Tensor) -> list[int]:
    return list(range(2, x.ndim))


def _global_norm(call: Call, x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, call.get("p", 2), _spatial(x), keepdim=True)


def pad_ends(call: Call, rank: int, given: Tensor | None, axes: Tensor | None) -> list[tuple[int, int]]:
    """How many numbers a Pad adds before and after each axis."""
    pads = list(call.get("pads") or call.get("paddings")) if given is None else whole(given)
    count = len(pads) // 2
    ends = [(0, 0)] * rank
    for place, axis in enumerate(range(rank) if axes is None else whole(axes)):
        ends[axis] = (pads[place], pads[count + place])
    return ends


def _pad(call: Call, x: Tensor, *more: Tensor | None) -> Tensor:
    given, value, axes = [*more, None, None, None][:3]
    ends, mode = pad_ends(call, x.ndim, given, axes), call.get("mode", "constant")
    if mode == "constant":
        return _padded(x, ends, call.get("value", 0.0) if value is None else value.item())
    for axis, (before, after) in enumerate(ends):
        if before or after:
            place = torch.arange(-before, x.shape[axis] + after, device=x.device)
            x = x.index_select(axis, _inside(place, x.shape[axis], mode))
    return x


def _inside(place: Tensor, size: int, mode: str) -> Tensor:
    """Places outside an axis, brought inside."""
    if mode == "edge":
        return place.clamp(0, size - 1)
    if mode == "wrap":
        return place % size
    period = max(1, 2 * (size - 1))  # reflect: the edge itself is not repeated
    folded = place % period
    return torch.where(folded < size, folded, period - folded)


def _batch_norm(call: Call, x: Tensor, *weights: Tensor) -> Tensor:
    scale, bias, mean, variance = weights
    if call.get("training_mode", 0) or not call.get("spatial", 1):
        reason = "BatchNormalization in training, or apart for each place"
        raise NotDone(reason)
    return F.batch_norm(x, mean, variance, scale, bias, False, 0.0, call.get("epsilon", 1e-5))


def _instance_norm(call: Call, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return F.group_norm(x, x.shape[1], scale, bias, call.get("epsilon", 1e-5))


def _group_norm(call: Call, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    groups = call.get("num_groups")
    if call.opset < 21:  # one number a group, later one a channel
        scale, bias = (each.repeat_interleave(x.shape[1] // groups) for each in (scale, bias))
    return F.group_norm(x, groups, scale, bias, call.get("epsilon", 1e-5))


def _layer_norm(call: Call, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    if len(call.node.outputs) > 1:
        reason = "LayerNormalization with its mean and deviation"
        raise NotDone(reason)
    shape = x.shape[call.get("axis", -1) % x.ndim :]
    found = F.layer_norm(x, shape, None, None, call.get("epsilon", 1e-5)) * scale
    return found if bias is None else found + bias


def _root_norm(call: Call, x: Tensor, scale: Tensor) -> Tensor:
    axes = list(range(call.get("axis", -1) % x.ndim, x.ndim))
    return x * torch.rsqrt(x.square().mean(axes, keepdim=True) + call.get("epsilon", 1e-5)) * scale


def _local_norm(call: Call, x: Tensor) -> Tensor:
    """LRN: the sum of squares over ``size`` channels around each, of which the greater half of the rest lies after."""
    size = call.get("size")
    before = (size - 1) // 2
    squares = F.pad(x.square(), [0, 0] * (x.ndim - 2) + [before, size - 1 - before])
    total = squares.unfold(1, size, 1).sum(-1)
    return x / (call.get("bias", 1.0) + call.get("alpha", 1e-4) / size * total) ** call.get("beta", 0.75)


def _unit_length(call: Call, x: Tensor) -> Tensor:
    axis = call.get("axis", -1)
    return x / torch.linalg.vector_norm(x, call.get("p", 2), axis, keepdim=True)


def _mean_variance(call: Call, x: Tensor) -> Tensor:
    axes = call.get("axes", [0, 2, 3])
    away = x - x.mean(axes, keepdim=True)
    return away / (away.square().mean(axes, keepdim=True).sqrt() + 1e-9)


def _sample(call: Call, x: Tensor, grid: Tensor) -> Tensor:
    x, grid = together(call, (x, grid))
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(call.get("mode", "linear"), call.get("mode", "linear"))
    return F.grid_sample(x, grid, mode, call.get("padding_mode", "zeros"), bool(call.get("align_corners", 0)))


OPERATORS: dict[str, Operator] = {
    "Conv": convolve,
    "ConvTranspose": _deconvolve,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "LpPool": _norm_pool,
    "GlobalAveragePool": lambda _, x: x.mean(_spatial(x), keepdim=True),
    "GlobalMaxPool": lambda _, x: x.amax(_spatial(x), keepdim=True),
    "GlobalLpPool": _global_norm,
    "Pad": _pad,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _root_norm,
    "LRN": _local_norm,
    "LpNormalization": _unit_length,
    "MeanVarianceNormalization": _mean_variance,
    "GridSample": _sample,
}
