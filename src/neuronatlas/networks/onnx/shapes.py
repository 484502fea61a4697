"""ONNX operators that move, repeat and choose numbers without computing new ones, and those that make shapes.

What each computes: the ONNX operator list, https://onnx.ai/onnx/operators/. Shapes stay on the processor.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from neuronatlas.networks.onnx.node import FLOATS, TYPES, Call, NotDone, Operator, together, whole


def _shape(call: Call, x: Tensor) -> Tensor:
    return torch.tensor(x.shape[call.get("start", 0) : call.get("end")], dtype=torch.int64)


def _reshape(call: Call, x: Tensor, shape: Tensor | None = None) -> Tensor:
    wanted = list(call.get("shape")) if shape is None else whole(shape)
    if not call.get("allowzero", 0):
        wanted = [x.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    if call.other_batch and wanted and wanted[0] > 0:
        wanted[0] = _first(call, x, wanted)
    return x.reshape(wanted)


def _first(call: Call, x: Tensor, wanted: list[int]) -> int:
    """The first axis of a shape that was written for another number of pictures: they are the outermost axis."""
    if -1 in wanted:
        pictures_first = x.ndim > 0 and len(x) == call.pictures and wanted[0] == call.fixed
        return call.pictures if pictures_first else wanted[0]
    right, odd = divmod(x.numel() * wanted[0], max(1, math.prod(wanted)))
    return wanted[0] if odd else right


def _flatten(call: Call, x: Tensor) -> Tensor:
    axis = call.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def _transpose(call: Call, x: Tensor) -> Tensor:
    return x.permute(call.get("perm", list(range(x.ndim))[::-1]))


def _squeeze(call: Call, x: Tensor, given: Tensor | None = None) -> Tensor:
    axes = call.axes(given)
    if axes is None:
        axes = [axis for axis in range(1 if call.other_batch else 0, x.ndim) if x.shape[axis] == 1]
    return x.squeeze([axis for axis in axes if x.shape[axis] == 1])


def _unsqueeze(call: Call, x: Tensor, given: Tensor | None = None) -> Tensor:
    axes = call.axes(given) or []
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _concat(call: Call, *values: Tensor) -> Tensor:
    parts = together(call, values)
    axis = call.get("axis", 1)
    if call.other_batch and parts[0].ndim and axis % parts[0].ndim != 0:
        most = max(len(part) for part in parts)
        parts = [part.expand(most, *part.shape[1:]) if len(part) == 1 else part for part in parts]
    return torch.cat(parts, axis)


def _split(call: Call, x: Tensor, given: Tensor | None = None) -> tuple[Tensor, ...]:
    axis = call.get("axis", 0)
    sizes = call.get("split") if given is None else whole(given)
    if sizes is None:
        each = -(-x.shape[axis] // len(call.node.outputs))
        sizes = [each] * (len(call.node.outputs) - 1)
        sizes.append(x.shape[axis] - sum(sizes))
    return torch.split(x, list(sizes), axis)


def _slice(call: Call, x: Tensor, *given: Tensor | None) -> Tensor:
    if given:
        starts, ends, axes, steps = ([None if each is None else whole(each) for each in given] + [None, None])[:4]
    else:
        starts, ends, axes, steps = call.get("starts"), call.get("ends"), call.get("axes"), None
    axes = axes or list(range(len(starts or ())))
    for start, end, axis, step in zip(starts or (), ends or (), axes, steps or [1] * len(axes), strict=True):
        chosen = range(x.shape[axis])[slice(start, end, step)]
        if step > 0:
            key = [slice(None)] * x.ndim
            key[axis] = slice(chosen.start, max(chosen.start, chosen.stop), step)
            x = x[tuple(key)]
        else:
            x = x.index_select(axis, torch.tensor(list(chosen), dtype=torch.int64, device=x.device))
    return x


def _gather(call: Call, x: Tensor, index: Tensor) -> Tensor:
    axis = call.get("axis", 0) % x.ndim
    chosen = index.to(x.device).long()
    chosen = torch.where(chosen < 0, chosen + x.shape[axis], chosen)
    found = x.index_select(axis, chosen.reshape(-1))
    return found.reshape([*x.shape[:axis], *chosen.shape, *x.shape[axis + 1 :]])


def _gather_elements(call: Call, x: Tensor, index: Tensor) -> Tensor:
    axis = call.get("axis", 0) % x.ndim
    chosen = index.to(x.device).long()
    return x.gather(axis, torch.where(chosen < 0, chosen + x.shape[axis], chosen))


def _gather_places(call: Call, x: Tensor, index: Tensor) -> Tensor:
    if call.get("batch_dims", 0):
        reason = "GatherND with batch_dims"
        raise NotDone(reason)
    return x[tuple(index.to(x.device).long().unbind(-1))]


def _scatter_places(call: Call, x: Tensor, index: Tensor, updates: Tensor) -> Tensor:
    if call.get("reduction", "none") != "none":
        reason = "ScatterND with a reduction"
        raise NotDone(reason)
    x, updates = together(call, (x, updates))
    return x.index_put(tuple(index.to(x.device).long().unbind(-1)), updates)


def _expand(call: Call, x: Tensor, shape: Tensor) -> Tensor:
    wanted = whole(shape)
    if call.other_batch and len(wanted) >= x.ndim and wanted[0] == call.fixed:
        wanted[0] = call.pictures
    return x.expand(np.broadcast_shapes(x.shape, tuple(wanted)))


def _tile(_: Call, x: Tensor, repeats: Tensor) -> Tensor:
    return x.repeat(whole(repeats))


def _range(_: Call, start: Tensor, limit: Tensor, step: Tensor) -> Tensor:
    return torch.arange(start.item(), limit.item(), step.item(), dtype=start.dtype)


def _constant(call: Call) -> Tensor:
    for attribute in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        value = call.get(attribute)
        if value is not None:
            return value if isinstance(value, Tensor) else _plain(call, value)
    reason = f"Constant of {', '.join(call.node.attributes)}"
    raise NotDone(reason)


def _plain(call: Call, value: float | list[int] | list[float]) -> Tensor:
    first = (value or [0])[0] if isinstance(value, list) else value
    return torch.tensor(value, dtype=torch.int64 if isinstance(first, int) else call.like.dtype)


def _filled(call: Call, shape: Tensor) -> Tensor:
    value = call.get("value")
    if value is None:
        value = torch.zeros(1, dtype=call.like.dtype)
    return value.reshape(()).to(call.like.dtype if value.is_floating_point() else value.dtype).expand(whole(shape))


def _cast(call: Call, x: Tensor) -> Tensor:
    wanted = call.get("to")
    if wanted in FLOATS:
        return x if x.is_floating_point() else x.to(call.like.dtype)
    if wanted not in TYPES:
        reason = f"Cast to type number {wanted}"
        raise NotDone(reason)
    return x.to(TYPES[wanted])


def _cast_like(_: Call, x: Tensor, other: Tensor) -> Tensor:
    return x if x.is_floating_point() and other.is_floating_point() else x.to(other.dtype)


def _same(_: Call, x: Tensor, *__: Tensor | None) -> Tensor:
    return x


def _dropout(call: Call, x: Tensor, *_: Tensor | None) -> Tensor | tuple[Tensor, Tensor]:
    if len(call.node.outputs) == 1:
        return x
    return x, torch.ones_like(x, dtype=torch.bool)


def _triangle(call: Call, x: Tensor, diagonal: Tensor | None = None) -> Tensor:
    offset = 0 if diagonal is None else whole(diagonal)[0]
    return x.triu(offset) if call.get("upper", 1) else x.tril(offset)


def _one_hot(call: Call, index: Tensor, depth: Tensor, values: Tensor) -> Tensor:
    count = whole(depth)[0]
    chosen = index.long()
    chosen = torch.where(chosen < 0, chosen + count, chosen)
    axis = call.get("axis", -1)
    places = torch.arange(count, device=index.device)
    hot = (chosen.unsqueeze(-1) == places).movedim(-1, axis)
    return torch.where(hot, values[1], values[0])


def _depth_to_space(call: Call, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    side = call.get("blocksize")
    if call.get("mode", "DCR") == "DCR":
        moved = x.reshape(n, side, side, c // side**2, h, w).permute(0, 3, 4, 1, 5, 2)
    else:
        moved = x.reshape(n, c // side**2, side, side, h, w).permute(0, 1, 4, 2, 5, 3)
    return moved.reshape(n, c // side**2, h * side, w * side)


def _space_to_depth(call: Call, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    side = call.get("blocksize")
    moved = x.reshape(n, c, h // side, side, w // side, side).permute(0, 3, 5, 1, 2, 4)
    return moved.reshape(n, c * side**2, h // side, w // side)


OPERATORS: dict[str, Operator] = {
    "Shape": _shape,
    "Size": lambda _, x: torch.tensor(x.numel(), dtype=torch.int64),
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_places,
    "ScatterND": _scatter_places,
    "Expand": _expand,
    "Tile": _tile,
    "Range": _range,
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Identity": _same,
    "Dropout": _dropout,
    "Trilu": _triangle,
    "OneHot": _one_hot,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}

MOVING = frozenset(OPERATORS) - {"Concat"} | {"Pad"}
"""They give no numbers but those of their input, so they are no layers. Concat joins the branches of a block: it is one."""
