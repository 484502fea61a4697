"""Every ONNX operator that can be differentiated here, by name."""

from __future__ import annotations

from torch import Tensor

from neuronatlas.networks import onnx_pointwise, onnx_resizing, onnx_shapes, onnx_windows
from neuronatlas.networks.onnx_node import Call, NotDone, Operator, Outputs

OPERATORS: dict[str, Operator] = {
    **onnx_pointwise.OPERATORS,
    **onnx_shapes.OPERATORS,
    **onnx_windows.OPERATORS,
    **onnx_resizing.OPERATORS,
}


def apply(call: Call, inputs: list[Tensor | None]) -> Outputs:
    """The outputs of a node; raises `NotDone` where its operator is not among those here."""
    if call.node.op not in OPERATORS:
        raise NotDone(call.node.op)
    return OPERATORS[call.node.op](call, *inputs)
