"""One node of an ONNX graph, and what its operator may ask of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Outputs = Tensor | tuple[Tensor, ...]
Operator = Callable[..., Outputs]
"""From a `Call` and the node's inputs (None for one that is left out) to its outputs."""

FLOATS = {1, 10, 11, 16}
"""The numbers of ONNX's float, float16, double and bfloat16 (onnx.proto, TensorProto.DataType): all are one type here."""

TYPES = {2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32, 7: torch.int64, 9: torch.bool}


class NotDone(Exception):
    """An operator, or a use of it, that cannot be differentiated here: ``node`` names it, ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Node:
    """A node: its operator, the names of its inputs ("" for one left out) and outputs, and its attributes.

    ``opset`` is the version of the operators that the file was written for.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    opset: int


@dataclass(frozen=True)
class Call:
    """A node in one forward pass: ``like`` has the type and device of the network's floating-point numbers.

    ``pictures`` go through at once, where the file was written for ``fixed`` of them (0: for any number).
    """

    node: Node
    like: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float32))
    pictures: int = 1
    fixed: int = 0

    def get(self, attribute: str, default: Any = None) -> Any:
        """An attribute of the node, or ``default`` where the file leaves it out."""
        return self.node.attributes.get(attribute, default)

    @property
    def opset(self) -> int:
        """The version of the operators."""
        return self.node.opset

    @property
    def other_batch(self) -> bool:
        """Do more or fewer pictures go through than the file was written for?"""
        return self.fixed not in (0, self.pictures)

    def axes(self, given: Tensor | None) -> list[int] | None:
        """The axes, which are an attribute in old files and an input in new ones; None where they are left out."""
        if given is not None:
            return whole(given)
        axes = self.get("axes")
        return None if axes is None else list(axes)


def whole(values: Tensor) -> list[int]:
    """A tensor of whole numbers as a list."""
    return [int(value) for value in values.reshape(-1).tolist()]


def together(call: Call, values: Sequence[Tensor]) -> list[Tensor]:
    """The tensors on one device, those of floating point in one type."""
    devices = {value.device for value in values}
    if len(devices) > 1:
        device = next(device for device in devices if device.type != "cpu")
        values = [value.to(device) for value in values]
    types = {value.dtype for value in values if value.is_floating_point()}
    if len(types) > 1:
        values = [value.to(call.like.dtype) if value.is_floating_point() else value for value in values]
    return list(values)
