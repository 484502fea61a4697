"""ONNX's Resize and Upsample, one axis after the other, each number a weighted sum of at most four.

The rules of coordinates are those of the ONNX operator list (https://onnx.ai/onnx/operators/onnx__Resize.html); the
weights of "cubic" are those of Keys 1981 (doi 10.1109/TASSP.1981.1163711).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from neuronatlas.networks.onnx.node import Call, NotDone, Operator, whole


def _resize(call: Call, x: Tensor, *more: Tensor | None) -> Tensor:
    _, scales, sizes = [*more, None, None, None][:3] if call.opset >= 11 else [None, *more, None, None][:3]
    for attribute in ("antialias", "keep_aspect_ratio_policy"):
        if call.get(attribute, 0) not in (0, "stretch"):
            reason = f"Resize with {attribute}"
            raise NotDone(reason)
    wanted = whole(sizes) if sizes is not None and sizes.numel() else None
    factors = call.get("scales") if scales is None or not scales.numel() else scales.reshape(-1).tolist()
    axes = call.axes(None) or list(range(len(wanted or factors)))
    for number, axis in enumerate(axes):
        before = x.shape[axis]
        if axis == 0 and len(axes) == x.ndim:  # pictures
            continue
        after = wanted[number] if wanted else math.floor(before * factors[number])
        factor = after / before if wanted else factors[number]
        if after != before or factor != 1:
            x = _along(call, x, axis, place=_coordinates(call, before, after, factor))
    return x


def _along(call: Call, x: Tensor, axis: int, place: Tensor) -> Tensor:
    """The numbers of one axis at places between them."""
    before = x.shape[axis]
    mode = call.get("mode", "nearest")
    if mode == "nearest":
        return x.index_select(axis, _nearest(call, place, before).to(x.device))
    if mode == "linear":
        place = place.clamp(0, before - 1)
        low = place.floor()
        taps = [(low, 1 - (place - low)), (low + 1, place - low)]
    else:
        taps = _cubic(call, place, before)
    shape = [-1 if other == axis else 1 for other in range(x.ndim)]
    total = torch.zeros((), dtype=x.dtype, device=x.device)
    for index, weight in taps:
        chosen = x.index_select(axis, index.clamp(0, before - 1).long().to(x.device))
        total = total + chosen * weight.to(x).reshape(shape)
    return total


def _coordinates(call: Call, before: int, after: int, factor: float) -> Tensor:
    """Where each number of the new axis lies on the old one."""
    place = torch.arange(after, dtype=torch.float64)
    rule = call.get("coordinate_transformation_mode", "half_pixel" if call.opset >= 11 else "asymmetric")
    if rule == "asymmetric":
        return place / factor
    if rule == "align_corners":
        return place * (before - 1) / (after - 1) if after > 1 else place
    if rule == "tf_half_pixel_for_nn":
        return (place + 0.5) / factor
    if rule == "half_pixel_symmetric":
        adjusted = after / (factor * before)
        return before / 2 * (1 - adjusted) + (place + 0.5) / factor - 0.5
    if rule == "pytorch_half_pixel" and after == 1:
        return place
    if rule in ("half_pixel", "pytorch_half_pixel"):
        return (place + 0.5) / factor - 0.5
    reason = f"Resize with {rule}"
    raise NotDone(reason)


def _nearest(call: Call, place: Tensor, before: int) -> Tensor:
    rule = call.get("nearest_mode", "round_prefer_floor" if call.opset >= 11 else "floor")
    near = {
        "floor": place.floor(),
        "ceil": place.ceil(),
        "round_prefer_floor": (place - 0.5).ceil(),
        "round_prefer_ceil": (place + 0.5).floor(),
    }[rule]
    return near.clamp(0, before - 1).long()


def _cubic(call: Call, place: Tensor, before: int) -> list[tuple[Tensor, Tensor]]:
    """The four numbers around each place, and their weights."""
    steepness = call.get("cubic_coeff_a", -0.75)
    low = place.floor()
    found = []
    for step in (-1, 0, 1, 2):
        away = (place - low - step).abs()
        near = ((steepness + 2) * away - (steepness + 3)) * away**2 + 1
        far = ((away - 5) * away + 8) * away * steepness - 4 * steepness
        found.append((low + step, torch.where(away <= 1, near, far)))
    if call.get("exclude_outside", 0):
        kept = [weight * ((index >= 0) & (index < before)) for index, weight in found]
        total = torch.stack(kept).sum(0)
        found = [(index, weight / total) for (index, _), weight in zip(found, kept, strict=True)]
    return found


OPERATORS: dict[str, Operator] = {"Resize": _resize, "Upsample": _resize}
