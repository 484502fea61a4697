"""Every ONNX operator against onnxruntime: values, and for a selection gradients against finite differences of its."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from neuronatlas.networks.onnx import reading
from neuronatlas.networks.onnx.module import Graph, OnnxModule
from neuronatlas.networks.onnx.node import NotDone
from neuronatlas.networks.onnx.operators import OPERATORS
from neuronatlas.networks.onnx.parts import Function

KINDS = {
    np.dtype("float32"): TensorProto.FLOAT,
    np.dtype("int64"): TensorProto.INT64,
    np.dtype("int8"): TensorProto.INT8,
    np.dtype("bool"): TensorProto.BOOL,
}
MAP = (2, 4, 7, 6)


@dataclass(frozen=True)
class Case:
    """A node on an input of ``shape``, with constants behind it; ``way`` turns the random input into one in its range."""

    op: str
    shape: tuple[int, ...] = MAP
    constants: tuple[Any, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = 20
    way: str = ""
    outputs: int = 1
    first: int = 0
    """Where the input stands among the node's inputs."""

    def __str__(self) -> str:
        attributes = "-".join(f"{name}={value}" for name, value in self.attributes.items() if name != "value")
        return f"{self.op}-{self.opset}-{len(self.shape)}d-{attributes}-{self.way}"


def numbers(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def whole(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def scalar(value: float) -> np.ndarray:
    return np.array(value, dtype=np.float32)


def given(case: Case) -> np.ndarray:
    x = numbers(*case.shape, seed=0)
    ways = {
        "": lambda: x * 2,
        "positive": lambda: np.abs(x) + 0.1,
        "unit": lambda: np.tanh(x) * 0.9,
        "above": lambda: np.abs(x) + 1.1,
        "whole": lambda: np.round(x * 3).astype(np.int64),
        "bytes": lambda: np.round(x * 3).astype(np.int8),
        "true": lambda: x > 0,
        "odd": lambda: np.where(x > 1, np.float32(np.inf), np.where(x < -1, np.float32(np.nan), x)),
        "apart": lambda: np.argsort(np.argsort(x.ravel())).reshape(x.shape).astype(np.float32) / 7,
    }
    return np.asarray(ways[case.way]())


def made(
    nodes: list[onnx.NodeProto],
    shape: tuple[int | str, ...],
    stored: dict[str, np.ndarray],
    outputs: list[str],
    *,
    opset: int = 20,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model of nodes that take ``x``."""
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("x", kind, shape)],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def model_of(case: Case) -> onnx.ModelProto:
    x = given(case)
    names = [f"constant_{place}" if value is not None else "" for place, value in enumerate(case.constants)]
    outputs = [f"y{place}" for place in range(case.outputs)]
    inputs = [*names[: case.first], "x", *names[case.first :]]
    node = helper.make_node(case.op, inputs, outputs, name="it", **case.attributes)
    stored = {name: value for name, value in zip(names, case.constants, strict=True) if name}
    return made([node], x.shape, stored, outputs, opset=case.opset, kind=KINDS[x.dtype])


def oracle(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})


def module_of(model: onnx.ModelProto, x: np.ndarray) -> OnnxModule:
    stored = {tensor.name: reading.tensor_of(tensor) for tensor in model.graph.initializer}
    outputs = [output.name for output in model.graph.output]
    return OnnxModule(Graph(reading.nodes(model), stored, "x", outputs), torch.from_numpy(x)).eval()


def both_ways(values: tuple[Any, ...]) -> list[dict[str, Any]]:
    return [{"keepdims": keep, "axes": axes} for keep in (0, 1) for axes in values]


def axes_as_input(op: str, **more: Any) -> list[Case]:
    return [
        Case(op, constants=(whole(2, 3),), attributes={"keepdims": 0, **more}, opset=18),
        Case(op, constants=(whole(-1),), opset=20),
        Case(op, constants=(whole(),), attributes={"noop_with_empty_axes": 1}, opset=18),
    ]


POINTWISE = [
    *[Case(op) for op in "Abs Neg Exp Erf Sigmoid Tanh Sin Cos Atan Sinh Cosh Floor Ceil Sign Relu".split()],
    *[Case(op, way="positive") for op in "Reciprocal Sqrt Log".split()],
    *[Case(op, way="unit") for op in "Asin Acos Atanh Tan".split()],
    *[Case("Acosh", way="above"), Case("Asinh"), Case("Round"), Case("Round", constants=(), way="apart")],
    *[Case(op) for op in "Softplus Softsign Mish HardSwish Elu Selu Celu LeakyRelu HardSigmoid Identity".split()],
    *[Case(op, opset=7) for op in "Relu Sigmoid Elu LeakyRelu HardSigmoid Selu".split()],
    *[Case(op, attributes={"alpha": 0.3}) for op in "Elu Celu LeakyRelu ThresholdedRelu".split()],
    Case("Elu", shape=(3, 5), attributes={"alpha": 0.3}),
    Case("Selu", attributes={"alpha": 1.2, "gamma": 0.9}),
    Case("HardSigmoid", attributes={"alpha": 1 / 6, "beta": 0.5}),
    Case("HardSigmoid", attributes={"alpha": 0.25}),
    Case("Shrink", attributes={"lambd": 0.7, "bias": 0.2}),
    Case("Gelu", attributes={"approximate": "none"}),
    Case("Gelu", attributes={"approximate": "tanh"}),
    Case("Not", way="true"),
    Case("IsNaN", way="odd"),
    Case("IsInf", way="odd"),
    Case("PRelu", constants=(numbers(4, 1, 1),)),
    Case("PRelu", constants=(numbers(1),), opset=7),
    Case("Clip", attributes={"min": -0.5, "max": 0.7}, opset=6),
    Case("Clip", attributes={"min": 0.0, "max": 6.0}, opset=7),
    Case("Clip", attributes={"min": 0.0}, opset=6),
    Case("Clip", opset=7),
    Case("Clip", constants=(scalar(0), scalar(6)), opset=11),
    Case("Clip", constants=(scalar(0),), opset=13),
    Case("Clip", constants=(None, scalar(0.3)), opset=12),
    Case("Clip", constants=(scalar(-1), scalar(1)), opset=20),
    *[Case(op, constants=(numbers(4, 1, 1),)) for op in "Add Sub Mul Div Min Max Sum Mean".split()],
    *[Case(op, constants=(numbers(6),), first=1, opset=7) for op in "Add Sub Mul".split()],
    *[Case(op, constants=(numbers(4, 1, 1), numbers(7, 1))) for op in "Sum Mean Min Max".split()],
    Case("Div", constants=(numbers(4, 1, 1),), way="positive", first=1),
    Case("Div", constants=(whole(3),), way="whole"),
    Case("Pow", constants=(scalar(2.0),)),
    Case("Pow", constants=(np.array([1.5], np.float32),), way="positive", opset=7),
    Case("Pow", constants=(np.abs(numbers(4, 1, 1)),), way="positive"),
    Case("Pow", constants=(scalar(2.0),), first=1),
    Case("Mod", constants=(whole(3),), way="whole"),
    Case("Mod", constants=(scalar(0.7),), attributes={"fmod": 1}),
    *[Case(op, constants=(numbers(4, 1, 1),)) for op in "Equal Greater GreaterOrEqual Less LessOrEqual".split()],
    *[Case(op, constants=(numbers(7, 6) > 0,), way="true") for op in "And Or Xor".split()],
    Case("Where", constants=(numbers(7, 6) > 0, numbers(4, 1, 1)), first=1),
    Case("Where", constants=(numbers(4, 1, 1), scalar(0.5)), way="true"),
    *[
        Case(op, shape=shape, attributes={"axis": axis}, opset=opset)
        for op in ("Softmax", "LogSoftmax", "Hardmax")
        for shape, axis, opset in ((MAP, 1, 11), (MAP, 1, 13), ((3, 5), 1, 7), ((2, 5, 4), -1, 13), ((2, 5, 4), 2, 12))
    ],
    Case("Softmax", opset=9),
    Case("Softmax", opset=13),
]

REDUCTIONS = [
    *[
        Case(f"Reduce{op}", attributes=attributes, opset=11, way="apart" if op in ("Max", "Min") else "positive")
        for op in "Mean Sum Max Min Prod L1 L2 SumSquare LogSum LogSumExp".split()
        for attributes in (*both_ways(((2, 3), (-1,))), {})
    ],
    *[case for op in "Mean Max Min L2".split() for case in axes_as_input(f"Reduce{op}")],
    *axes_as_input("ReduceSum"),
    Case("ReduceSum", constants=(whole(2, 3),), opset=13),
    Case("ReduceProd", shape=(5,), attributes={"keepdims": 0}, opset=11, way="whole"),
    *[Case(op, attributes={"axis": 1, "keepdims": keep}) for op in ("ArgMax", "ArgMin") for keep in (0, 1)],
    Case("ArgMax", attributes={"axis": -1, "select_last_index": 1}, way="whole"),
    Case("TopK", shape=(3, 9), constants=(whole(4),), way="apart", outputs=2),
    Case("TopK", shape=(3, 9), constants=(whole(2),), attributes={"axis": 0, "largest": 0}, way="apart", outputs=2),
    Case("TopK", shape=(3, 9), attributes={"k": 3}, way="apart", outputs=2, opset=9),
    *[
        Case("CumSum", shape=(3, 5), constants=(np.array(1),), attributes={"exclusive": e, "reverse": r})
        for e in (0, 1)
        for r in (0, 1)
    ],
    Case("MatMul", shape=(3, 5), constants=(numbers(5, 4),)),
    Case("MatMul", shape=(2, 3, 5), constants=(numbers(5, 4),)),
    Case("MatMul", shape=(2, 2, 3, 5), constants=(numbers(5, 4),)),
    Case("MatMul", shape=(3, 5), constants=(numbers(4, 3),), first=1),
    Case("MatMul", shape=(2, 2, 3, 5), constants=(numbers(2, 2, 5, 3),)),
    Case("Gemm", shape=(3, 5), constants=(numbers(5, 4), numbers(4)), opset=7),
    Case("Gemm", shape=(3, 5), constants=(numbers(4, 5), numbers(1, 4)), attributes={"transB": 1, "alpha": 0.5}),
    Case("Gemm", shape=(3, 5), constants=(numbers(5, 4), numbers(3, 4)), attributes={"beta": 2.0}),
    Case("Gemm", shape=(3, 5), constants=(numbers(3, 4), scalar(0.5)), attributes={"transA": 1, "beta": 2.0}),
    Case("Gemm", shape=(3, 5), constants=(numbers(5, 4), scalar(0.5)), attributes={"beta": 2.0}),
    Case("Gemm", shape=(3, 5), constants=(numbers(5, 4),), opset=13),
    Case("Einsum", shape=(2, 3, 5), constants=(numbers(5, 4),), attributes={"equation": "bij,jk->bik"}),
    Case("Einsum", shape=(2, 3, 4, 5), constants=(numbers(3, 4),), attributes={"equation": "nhwc,hw->nc"}),
]

SHAPES = [
    *[Case("Shape", attributes=attributes, opset=15) for attributes in ({}, {"start": 1}, {"start": -2, "end": -1})],
    Case("Size"),
    Case("Reshape", constants=(whole(0, -1),)),
    Case("Reshape", constants=(whole(2, 2, 2, -1),), opset=7),
    *[Case("Flatten", attributes={"axis": axis}, opset=11) for axis in (0, 1, 2, -1)],
    Case("Flatten", opset=7),
    Case("Transpose"),
    Case("Transpose", attributes={"perm": [0, 2, 3, 1]}),
    Case("Squeeze", shape=(2, 1, 3, 1), attributes={"axes": [1, -1]}, opset=11),
    Case("Squeeze", shape=(2, 1, 3, 1), constants=(whole(3),), opset=13),
    Case("Squeeze", shape=(2, 1, 3, 1)),
    Case("Unsqueeze", shape=(2, 3), attributes={"axes": [3, 0]}, opset=11),
    Case("Unsqueeze", shape=(2, 3), constants=(whole(-1, 1),), opset=13),
    *[Case("Concat", constants=(numbers(*MAP),), attributes={"axis": axis}) for axis in (0, 1, -1)],
    Case("Concat", constants=(numbers(2, 1, 7, 6),), attributes={"axis": 1}, first=1, opset=7),
    Case("Split", attributes={"axis": 1}, outputs=2, opset=11),
    Case("Split", attributes={"axis": 2, "split": [3, 4]}, outputs=2, opset=7),
    Case("Split", constants=(whole(1, 3),), attributes={"axis": 1}, outputs=2, opset=13),
    Case("Split", attributes={"axis": 2, "num_outputs": 3}, outputs=3, opset=18),
    Case("Slice", attributes={"starts": [1, 0], "ends": [3, -1], "axes": [1, 3]}, opset=7),
    Case("Slice", attributes={"starts": [0, 1], "ends": [1, 1000]}, opset=9),
    Case("Slice", constants=(whole(1, -3), whole(2**62, -1), whole(2, 3)), opset=10),
    Case("Slice", constants=(whole(-1, 0), whole(-(2**62), 6), whole(2, -1), whole(-2, 3)), opset=13),
    Case("Slice", constants=(whole(5), whole(1), whole(2), whole(-1)), opset=13),
    Case("Slice", constants=(whole(0, 1), whole(2, 3)), opset=13),
    *[
        Case("Gather", constants=(index,), attributes={"axis": axis})
        for index in (np.array(1), np.array([[0, -1], [1, 1]]))
        for axis in (0, 1, -1)
    ],
    Case("Gather", opset=7, constants=(whole(1, 0),)),
    Case("GatherElements", shape=(3, 4), constants=(np.array([[0, -1], [2, 1], [3, 3]]),), attributes={"axis": 1}),
    Case("GatherND", shape=(3, 4), constants=(np.array([[0, 1], [2, 3]]),)),
    Case("ScatterND", shape=(5, 3), constants=(np.array([[1], [4]]), numbers(2, 3))),
    Case("Expand", shape=(2, 1, 3), constants=(whole(2, 4, 1),)),
    Case("Expand", shape=(3,), constants=(whole(2, 1),)),
    Case("Tile", shape=(2, 3), constants=(whole(2, 3),)),
    Case("ConstantOfShape", shape=(3,), way="whole", attributes={"value": helper.make_tensor("v", 1, [1], [2.5])}),
    Case("Cast", attributes={"to": TensorProto.INT64}),
    Case("Cast", attributes={"to": TensorProto.BOOL}),
    Case("Cast", attributes={"to": TensorProto.FLOAT}, way="whole"),
    Case("CastLike", constants=(whole(1),)),
    Case("Dropout", opset=7),
    Case("Dropout", opset=13, outputs=2),
    *[Case("Trilu", attributes={"upper": upper}, constants=(np.array(1),)) for upper in (0, 1)],
    Case("OneHot", shape=(4,), way="whole", constants=(whole(7), np.array([0.5, 2.0], np.float32))),
    *[Case("DepthToSpace", attributes={"blocksize": 2, "mode": mode}, opset=13) for mode in ("DCR", "CRD")],
    Case("DepthToSpace", attributes={"blocksize": 2}, opset=7),
    Case("SpaceToDepth", shape=(2, 3, 4, 6), attributes={"blocksize": 2}),
    Case("DequantizeLinear", constants=(scalar(0.1),), way="bytes"),
    Case("DequantizeLinear", constants=(np.abs(numbers(4)), np.array([1, 0, -3, 2], np.int8)), way="bytes"),
]

KERNEL = {"kernel_shape": [3, 3]}
PADDED = [
    {},
    {"pads": [1, 1, 1, 1]},
    {"pads": [0, 0, 1, 1], "strides": [2, 2]},
    {"pads": [1, 0, 0, 1], "strides": [2, 1]},
    {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
    {"auto_pad": "SAME_UPPER"},
    {"auto_pad": "VALID", "strides": [2, 3]},
]
ROUNDED = [
    {"strides": [2, 2], "ceil_mode": 1},
    {"strides": [2, 2], "ceil_mode": 1, "pads": [1, 1, 1, 1]},
    {"strides": [3, 3], "ceil_mode": 1, "pads": [0, 0, 1, 1]},
    {"strides": [2, 2], "ceil_mode": 0, "pads": [1, 1, 0, 0]},
]
ONES = np.ones(4, np.float32)

WINDOWS = [
    *[Case("Conv", constants=(numbers(5, 4, 3, 3), numbers(5)), attributes=each, opset=11) for each in PADDED],
    *[Case("Conv", constants=(numbers(4, 1, 3, 3),), attributes={"group": 4, **each}) for each in PADDED[1:4]],
    Case("Conv", constants=(numbers(6, 2, 3, 2),), attributes={"group": 2, "dilations": [2, 2], "pads": [2, 1, 2, 1]}),
    Case("Conv", constants=(numbers(6, 4, 3, 3),), attributes={"auto_pad": "SAME_LOWER", "strides": [1, 2]}),
    Case("Conv", shape=(2, 4, 9), constants=(numbers(5, 4, 3), numbers(5)), attributes={"pads": [1, 0]}),
    Case("Conv", shape=(1, 2, 4, 5, 6), constants=(numbers(3, 2, 2, 2, 2),), attributes={"strides": [1, 2, 1]}),
    *[
        Case("ConvTranspose", constants=(numbers(4, 3, 3, 3), numbers(3)), attributes=each)
        for each in (
            {},
            {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
            {"strides": [2, 2], "pads": [0, 1, 1, 0]},
            {"strides": [2, 3], "output_shape": [14, 18]},
            {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
            {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
            {"dilations": [2, 2]},
        )
    ],
    Case("ConvTranspose", constants=(numbers(4, 2, 2, 2),), attributes={"group": 2, "strides": [2, 2]}),
    *[Case("MaxPool", attributes={**KERNEL, **each}, opset=12) for each in (*PADDED, *ROUNDED)],
    Case("MaxPool", attributes={**KERNEL, "dilations": [2, 2]}, opset=12),
    Case("MaxPool", attributes={"kernel_shape": [2, 2], "strides": [2, 2]}, opset=7),
    Case("MaxPool", shape=(2, 3, 9), attributes={"kernel_shape": [3], "strides": [2]}),
    *[
        Case("AveragePool", attributes={**KERNEL, **each, "count_include_pad": counted}, opset=11)
        for each in (*PADDED, *ROUNDED)
        for counted in (0, 1)
        if not (each.get("auto_pad", "").startswith("SAME") and counted)  # onnxruntime leaves them out nonetheless
    ],
    Case("AveragePool", attributes={**KERNEL, "dilations": [2, 2]}, opset=19),
    Case("AveragePool", shape=(2, 3, 9), attributes={"kernel_shape": [3], "pads": [1, 1]}),
    *[Case("LpPool", attributes={**KERNEL, "strides": [2, 2], "p": p}) for p in (1, 2)],
    *[Case(op, shape=shape) for op in ("GlobalAveragePool", "GlobalMaxPool") for shape in (MAP, (2, 3, 5))],
    Case("GlobalLpPool", attributes={"p": 2}),
    Case("Pad", attributes={"pads": [0, 0, 1, 2, 0, 0, 3, 0], "value": 0.5}, opset=7),
    Case("Pad", attributes={"pads": [0, 0, 1, 2, 0, 0, 3, 0]}, opset=10),
    Case("Pad", constants=(whole(0, 1, 1, 2, 0, 0, 3, 0), scalar(0.5)), opset=11),
    Case("Pad", constants=(whole(0, 0, 1, 2, 0, 0, 3, 0),), opset=13),
    Case("Pad", constants=(whole(0, 0, -1, 2, 0, 0, 0, -1),), opset=13),
    Case("Pad", constants=(whole(1, 2, 0, 1), None, whole(2, -1)), opset=18),
    *[
        Case("Pad", constants=(whole(0, 0, 2, 1, 0, 0, 3, 2),), attributes={"mode": mode}, opset=19)
        for mode in ("reflect", "edge", "wrap")
    ],
    *[
        Case("BatchNormalization", shape=shape, constants=(numbers(4), numbers(4), numbers(4), np.abs(numbers(4)) + 1))
        for shape in (MAP, (3, 4), (2, 4, 5))
    ],
    Case(
        "BatchNormalization",
        constants=(ONES, ONES, numbers(4), ONES * 2),
        attributes={"epsilon": 1e-2, "momentum": 0.8},
        opset=7,
    ),
    Case("InstanceNormalization", constants=(numbers(4), numbers(4)), attributes={"epsilon": 1e-3}),
    Case("InstanceNormalization", shape=(2, 4, 9), constants=(numbers(4), numbers(4))),
    Case("GroupNormalization", constants=(numbers(2), numbers(2)), attributes={"num_groups": 2}, opset=18),
    Case("GroupNormalization", constants=(numbers(4), numbers(4)), attributes={"num_groups": 2}, opset=21),
    Case("LayerNormalization", shape=(2, 3, 5), constants=(numbers(5), numbers(5))),
    Case("LayerNormalization", shape=(2, 3, 5), constants=(numbers(3, 5),), attributes={"axis": 1, "epsilon": 1e-3}),
    Case("RMSNormalization", shape=(2, 3, 5), constants=(numbers(5),), opset=23),
    *[Case("LRN", attributes={"size": size, "alpha": 0.5, "bias": 2.0}) for size in (1, 3, 5)],
    Case("LpNormalization", attributes={"axis": 1, "p": 2}),
    Case("LpNormalization", attributes={"axis": 1, "p": 1}),
    Case("MeanVarianceNormalization"),
    *[
        Case("GridSample", constants=(np.tanh(numbers(2, 5, 5, 2)) * 1.2,), attributes=each, opset=20)
        for each in ({"mode": "linear"}, {"mode": "nearest", "padding_mode": "border"}, {"align_corners": 1})
    ],
]

COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
SCALES = np.array([1, 1, 1.7, 0.6], np.float32)
RESIZING = [
    *[
        Case("Resize", constants=(None, SCALES), attributes={"mode": mode, "coordinate_transformation_mode": rule})
        for mode in ("nearest", "linear", "cubic")
        for rule in COORDINATES
    ],
    *[
        Case("Resize", constants=(None, None, whole(2, 4, 14, 3)), attributes={"mode": mode, **more}, opset=opset)
        for opset in (13, 19)
        for mode, more in (
            ("nearest", {"nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}),
            ("nearest", {"nearest_mode": "ceil"}),
            ("nearest", {"nearest_mode": "round_prefer_ceil"}),
            ("linear", {}),
            ("cubic", {"cubic_coeff_a": -0.5, "exclude_outside": 1}),
        )
    ],
    Case("Resize", constants=(None, None, whole(10, 12)), attributes={"mode": "linear", "axes": [2, 3]}, opset=18),
    Case("Resize", constants=(np.array([], np.float32), np.array([1, 1, 2, 2], np.float32)), opset=11),
    Case("Resize", constants=(np.array([1, 1, 2, 2], np.float32),), opset=10),
    Case("Resize", constants=(np.array([1, 1, 2, 1.5], np.float32),), attributes={"mode": "linear"}, opset=10),
    Case(
        "Resize",
        constants=(None, SCALES),
        attributes={"mode": "linear", "coordinate_transformation_mode": "half_pixel_symmetric"},
        opset=19,
    ),
    Case(
        "Resize",
        constants=(np.array([], np.float32), SCALES),
        attributes={"mode": "nearest", "coordinate_transformation_mode": "tf_half_pixel_for_nn"},
        opset=11,
    ),
    Case("Upsample", attributes={"scales": [1.0, 1.0, 2.0, 3.0], "mode": "nearest"}, opset=7),
    Case("Upsample", constants=(np.array([1, 1, 2, 2], np.float32),), attributes={"mode": "linear"}, opset=9),
]

CASES = [*POINTWISE, *REDUCTIONS, *SHAPES, *WINDOWS, *RESIZING]


@pytest.mark.parametrize("case", CASES, ids=[f"{each}-{place}" for place, each in enumerate(CASES)])
def test_an_operator_gives_what_onnxruntime_gives(case: Case) -> None:
    model, x = model_of(case), given(case)
    expected = oracle(model, x)
    module = module_of(model, x)
    with torch.no_grad():
        found = module(torch.from_numpy(x))
    assert len(found) == len(expected) == case.outputs
    for one, other in zip(found, expected, strict=True):
        assert tuple(one.shape) == other.shape
        assert one.numpy().dtype.kind == other.dtype.kind
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-4, atol=1e-4)


def test_every_operator_has_a_case() -> None:
    assert set(OPERATORS) == {case.op for case in CASES} | {"Constant", "Range", "Swish"}


def test_a_range_goes_on_from_a_size() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "last"], ["size"]),
        helper.make_node("Range", ["start", "size", "step"], ["places"]),
        helper.make_node("Cast", ["places"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "numbers"], ["y"]),
    ]
    stored = {"last": np.array(-1), "start": np.array(-2), "step": np.array(2)}
    x = numbers(2, 3, 4, 6)[..., :4]
    model = made(nodes, x.shape, stored, ["y"])
    model.graph.node[2].input[1] = "double"
    model.graph.node.insert(2, helper.make_node("Add", ["size", "step"], ["double"]))
    module = module_of(model, x)
    assert [type(part) for part in module.children()] == [Function]  # the sizes are no layers
    np.testing.assert_allclose(module(torch.from_numpy(x))[0].numpy(), oracle(model, x)[0])


def test_swish_is_the_input_times_its_sigmoid() -> None:
    x = numbers(2, 3)  # onnxruntime has no such operator yet
    model = made([helper.make_node("Swish", ["x"], ["y"], alpha=1.5)], x.shape, {}, ["y"], opset=24)
    found = module_of(model, x)(torch.from_numpy(x))[0]
    np.testing.assert_allclose(found.numpy(), x / (1 + np.exp(-1.5 * x)), rtol=1e-5)


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("NonMaxSuppression", ["x", "x"], ["y"]),
        helper.make_node("MaxPool", ["x"], ["y", "places"], kernel_shape=[2, 2]),
        helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear", antialias=1),
        helper.make_node("BatchNormalization", ["x", *["ones"] * 4], ["y", "m", "v"], training_mode=1),
        helper.make_node("QuantizeLinear", ["x", "scales"], ["y"]),
    ],
    ids=lambda node: node.op_type,
)
def test_what_has_no_gradient_here_is_told_by_name(node: onnx.NodeProto) -> None:
    model = made([node], MAP, {"scales": SCALES, "ones": ONES}, ["y"])
    with pytest.raises(NotDone, match=node.op_type):
        module_of(model, numbers(*MAP))


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        (Case("Conv", constants=(numbers(5, 4, 3, 3),), attributes={"pads": [1, 1, 1, 1]}), torch.nn.Conv2d),
        (Case("Gemm", shape=(3, 5), constants=(numbers(5, 4), numbers(4))), torch.nn.Linear),
        (Case("MatMul", shape=(2, 3, 5), constants=(numbers(5, 4),)), torch.nn.Linear),
        (Case("BatchNormalization", constants=(ONES,) * 4), torch.nn.BatchNorm2d),
        (Case("Clip", constants=(scalar(0), scalar(6))), torch.nn.ReLU6),
        (Case("Clip", constants=(scalar(0),)), torch.nn.ReLU),
        (Case("Relu"), torch.nn.ReLU),
        (Case("Gelu"), torch.nn.GELU),
        (Case("Pad", constants=(whole(0, 0, 1, 2, 0, 0, 3, 0),)), torch.nn.ZeroPad2d),
        (Case("MaxPool", attributes={"kernel_shape": [2, 2]}), torch.nn.MaxPool2d),
        (Case("AveragePool", attributes={"kernel_shape": [2, 2]}), torch.nn.AvgPool2d),
        (Case("GlobalAveragePool"), torch.nn.AdaptiveAvgPool2d),
        (Case("LayerNormalization", shape=(2, 3, 5), constants=(numbers(5),)), torch.nn.LayerNorm),
        (Case("Add", constants=(numbers(4, 1, 1),)), Function),
    ],
    ids=lambda each: str(each) if isinstance(each, Case) else each.__name__,
)
def test_a_node_that_is_one_of_torchs_modules_becomes_it(case: Case, kind: type[torch.nn.Module]) -> None:
    module = module_of(model_of(case), given(case))
    assert [type(part) for part in module.children()] == [kind]


def test_operands_of_version_6_are_lined_up_by_their_axis() -> None:
    x, other = given(Case("Add")), numbers(4)
    model = model_of(Case("Add", constants=(other,), attributes={"broadcast": 1, "axis": 1}, opset=6))
    found = module_of(model, x)(torch.from_numpy(x))[0]
    np.testing.assert_allclose(found.numpy(), x + other[:, None, None], rtol=1e-6)  # onnxruntime starts at version 7


DIFFERENTIATED = [
    case
    for case in CASES
    if case.outputs == 1
    and case.way in ("", "positive", "unit", "above", "apart")
    and case.op
    not in (
        "Floor Ceil Round Sign Hardmax ArgMax ArgMin Shape Size Equal Greater GreaterOrEqual Less LessOrEqual Cast CastLike"
    ).split()
]


@pytest.mark.parametrize("case", DIFFERENTIATED, ids=[f"{each}-{place}" for place, each in enumerate(DIFFERENTIATED)])
def test_the_gradient_of_an_operator_is_the_slope_of_onnxruntimes_values(case: Case) -> None:
    model, start = model_of(case), given(case)
    x = torch.from_numpy(start).requires_grad_(True)
    found = module_of(model, start)(x)[0]
    weights = numbers(*found.shape, seed=5)
    (slope,) = torch.autograd.grad((found * torch.from_numpy(weights)).sum(), x)
    assert slope.shape == x.shape

    along = numbers(*start.shape, seed=6)
    along[np.abs(np.abs(start) % 0.1 - 0.05) > 0.045] = 0  # numbers near a kink of Clip, Relu and their like stay
    step = 2e-3
    high, low = (oracle(model, (start + sign * step * along).astype(np.float32))[0] for sign in (1, -1))
    expected = float(((high.astype(np.float64) - low) * weights).sum() / (2 * step))
    assert float((slope.numpy() * along).sum()) == pytest.approx(expected, rel=0.03, abs=0.05)
