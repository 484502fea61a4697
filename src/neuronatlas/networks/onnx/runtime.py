"""ONNX graphs that cannot be differentiated here: onnxruntime gives the values of every node, and no gradient."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from neuronatlas.errors import WrongInput
from neuronatlas.networks.bridge import ForeignFunction, Place, Pullback, unit_shape
from neuronatlas.networks.onnx import reading
from neuronatlas.networks.onnx.layout import FIRST, LAST, layout
from neuronatlas.networks.onnx.node import Node
from neuronatlas.networks.onnx.shapes import MOVING

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession  # type: ignore[import-untyped]

    from neuronatlas.networks.onnx.input import Taken

_COPIES = MOVING | {"QuantizeLinear", "DequantizeLinear", "Size", "NonMaxSuppression"}
_SHAPES = ("Shape", "Size")
_GRAPHS = ("If", "Loop", "Scan")
_TYPES = {2: np.uint8, 3: np.int8, 6: np.int32, 10: np.float16, 11: np.float64}
_KINDS = {
    "convolution": "Conv ConvTranspose QLinearConv ConvInteger com.microsoft.FusedConv",
    "dense": "Gemm MatMul QLinearMatMul MatMulInteger com.microsoft.QGemm com.microsoft.FusedMatMul",
    "normalisation": "BatchNormalization InstanceNormalization LayerNormalization GroupNormalization LRN",
    "activation": "Relu LeakyRelu Sigmoid Tanh Softmax Gelu Elu Clip HardSwish HardSigmoid",
    "pooling": "MaxPool AveragePool GlobalAveragePool GlobalMaxPool",
}
_SCALES = {
    "QLinearConv": (6, 7),
    "QLinearMatMul": (6, 7),
    "com.microsoft.QLinearAdd": (6, 7),
    "com.microsoft.QLinearMul": (6, 7),
    "com.microsoft.QLinearGlobalAveragePool": (3, 4),
    "com.microsoft.QLinearSigmoid": (3, 4),
    "com.microsoft.QLinearLeakyRelu": (3, 4),
    "com.microsoft.QGemm": (7, 8),
}
"""Which inputs of a quantised operator are the scale and the nought of its output."""


@dataclass(frozen=True)
class _Output:
    """A tensor of the graph that may be a layer: its layer's name, its own, and that of its values in floating point."""

    layer: str
    tensor: str
    values: str
    node: Node


class RuntimeFunction(ForeignFunction):
    """A graph in onnxruntime, on the processor; see `ForeignFunction`."""

    def __init__(self, model: ModelProto, taken: Taken, why_no_gradient: str) -> None:
        self.channels_last = taken.channels_last
        self.why_no_gradient = why_no_gradient
        self._taken = taken
        self._model = type(model)()
        self._model.CopyFrom(model)
        self._nodes = reading.nodes(model)
        self._outputs = self._watched()
        self._session = _session(self._model, why_no_gradient)
        self._values = {output.layer: output.values for output in self._outputs}

    def places(self, pictures: Tensor) -> list[Place]:
        """See `ForeignFunction.places`."""
        found = dict(zip(self._values.values(), self._run(list(self._values.values()), pictures.numpy()), strict=True))
        by_tensor = {output.tensor: found[output.values] for output in self._outputs}
        layouts = self._layouts({name: np.ndim(value) for name, value in by_tensor.items()})
        places = []
        for output in self._outputs:
            value = np.asarray(found[output.values])
            reason = unit_shape(value.shape, floating=value.dtype.kind == "f")
            if not reason and len(value) != len(pictures):
                reason = f"its output has shape {value.shape}, whose first axis is not the pictures"
            last = layouts[output.tensor] == LAST
            kind = next((kind for kind, ops in _KINDS.items() if output.node.op in ops.split()), "function")
            places.append(Place(output.layer, kind, value.shape[1:], last, reason=reason))
        return places

    def fingerprint(self) -> str:
        """See `ForeignFunction.fingerprint`."""
        total = hashlib.sha256()
        for tensor in sorted(self._model.graph.initializer, key=lambda each: each.name):
            value = reading.tensor_of(tensor).contiguous()
            total.update(f"{tensor.name}|{tensor.data_type}|{tuple(value.shape)}|".encode())
            total.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
        return total.hexdigest()

    def values(self, names: tuple[str, ...], pictures: Tensor) -> list[Tensor]:
        """See `ForeignFunction.values`."""
        found = self._run([self._values[name] for name in names], pictures.numpy())
        return [torch.from_numpy(np.asarray(value, dtype=np.float32).copy()) for value in found]

    def linearise(self, names: tuple[str, ...], pictures: Tensor) -> tuple[list[Tensor], Pullback]:
        """Raises `WrongInput`: there is no gradient."""
        del names, pictures
        raise WrongInput(self.why_no_gradient)

    def _run(self, tensors: Sequence[str], pictures: np.ndarray) -> list[np.ndarray]:
        """The values of tensors for all pictures, as many at once as the graph takes."""
        kind = _TYPES.get(self._taken.kind, np.float32)
        given = pictures.round().astype(kind) if np.issubdtype(kind, np.integer) else pictures.astype(kind)
        count = self._taken.fixed or len(given)
        parts = []
        for start in range(0, len(given), count):
            some = given[start : start + count]
            full = np.concatenate([some, np.repeat(some[-1:], count - len(some), 0)])
            try:
                parts.append((self._session.run(list(tensors), {self._taken.name: full}), len(some)))
            except Exception as error:
                message = (
                    f"pictures of shape {given.shape} do not go through the graph: {_first_line(error)}; is input_size "
                    "right?"
                )
                raise WrongInput(message) from error
        if len(parts) == 1 and parts[0][1] == count:
            return list(parts[0][0])
        return [np.concatenate([found[place][:some] for found, some in parts]) for place in range(len(tensors))]

    def _watched(self) -> list[_Output]:
        """Make every tensor that varies with the pictures an output of the graph, quantised ones as numbers too."""
        from onnx import ValueInfoProto, helper

        graph = self._model.graph
        there = {output.name for output in graph.output}
        varying = {self._taken.name}
        watched = []
        for node in self._nodes:
            if node.op in _SHAPES or not (node.op in _GRAPHS or varying & set(node.inputs)):
                continue
            varying.update(name for name in node.outputs if name)
            if node.op in _COPIES:
                continue
            named = [name for name in node.outputs if name]
            for place, tensor in enumerate(named):
                layer, values = node.name if len(named) == 1 else f"{node.name}.{place}", tensor
                if node.op in _SCALES:
                    scale, nought = (node.inputs[each] for each in _SCALES[node.op])
                    values = f"{tensor}/dequantised"
                    graph.node.append(helper.make_node("DequantizeLinear", [tensor, scale, nought], [values]))
                if values not in there:
                    graph.output.append(ValueInfoProto(name=values))
                watched.append(_Output(layer, tensor, values, node))
        return watched

    def _layouts(self, ranks: dict[str, int]) -> dict[str, str]:
        found = {self._taken.name: LAST if self.channels_last else FIRST}
        for node in self._nodes:
            for name in node.outputs:
                given = [found.get(each, "") for each in node.inputs]
                known = [4 if found.get(each) else ranks.get(each, 0) for each in node.inputs]
                rank = ranks.get(name, 4 if any(given) else 0)
                found[name] = layout(node, given, known, rank)
        return found


def _session(model: ModelProto, reason: str) -> InferenceSession:
    try:
        import onnxruntime
    except ImportError as error:
        message = f"model: {reason}, so it needs onnxruntime: pip install 'neuronatlas[onnx]'"
        raise WrongInput(message) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        message = f"model: {reason}, and onnxruntime does not take it either: {_first_line(error)}"
        raise WrongInput(message) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
