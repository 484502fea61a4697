"""Every ONNX operator that can be differentiated here, by name."""

from __future__ import annotations

from torch import Tensor

from neuronatlas.networks.onnx import pointwise, resizing, shapes, windows
from neuronatlas.networks.onnx.node import Call, NotDone, Operator, Outputs

OPERATORS: dict[str, Operator] = {
    **pointwise.OPERATORS,
    **shapes.OPERATORS,
    **windows.OPERATORS,
    **resizing.OPERATORS,
}


def apply(call: Call, inputs: list[Tensor | None]) -> Outputs:
    """The outputs of a node; raises `NotDone` where its operator is not among those here."""
    if call.node.op not in OPERATORS:
        raise NotDone(call.node.op)
    return OPERATORS[call.node.op](call, *inputs)
