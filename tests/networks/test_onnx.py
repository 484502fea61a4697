"""ONNX files as networks: exports of torch's two exporters, graphs as made from TensorFlow, odd and hostile files."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from tests.contracts import oracles
from tests.contracts.networks import check_contract, check_gradients, check_table, check_values, outputs
from tests.contracts.oracles import EPSILON, NORMALISE, Oracle, pictures
from tests.networks import models
from torch import Tensor, nn

import neuronatlas
from neuronatlas.errors import WrongInput
from neuronatlas.networks import Network, as_network
from neuronatlas.networks.bridge import BridgedNetwork
from neuronatlas.networks.onnx.adapter import OnnxNetwork
from neuronatlas.networks.torch import TorchNetwork

ORACLES = {"plain": oracles.plain, "residual": oracles.residual, "transformer": oracles.transformer}
PLAIN = {
    "/stem/Conv": "norm",  # the exporter folds the batch norm
    "/bend/Relu": "bend",
    "/shrink/MaxPool": "shrink",
    "/deep/Conv": "deep",
    "/last/Relu": "last",
    "/mean/GlobalAveragePool": "mean",
    "/head/Gemm": "head",
}
RESIDUAL = {
    "/stem/Conv": "stem",
    "/first/two/Conv": "first.two",
    "/first/add/Add": "first.add",
    "/first/out/Relu": "first.out",
    "/second/one/Conv": "second.one",
    "/second/out/Relu": "second.out",
    "/head/Gemm": "head",
}
TRANSFORMER = {
    "/patches/Conv": "patches",
    "/before/LayerNormalization": "before",
    "/attention/mix/Add": "attention.mix",
    "/wide/Add": "wide",
    "/bend/Gelu": "bend",
    "/narrow/Add": "narrow",
    "/mean/ReduceMean": "mean",
    "/head/Gemm": "head",
}
OLD = {"/before/Add_1": "before", "/bend/Mul_1": "bend"}
NEW = {
    "bend/Relu": "bend",
    "shrink/MaxPool": "shrink",
    "deep/Conv": "deep",
    "last/Relu": "last",
    "mean/ReduceMean": "mean",
    "head/Gemm": "head",
}
"""The new exporter names the modules of the original in its notes on each node."""


def exported(module: nn.Module, size: tuple[int, int], count: int = 1, **more: Any) -> onnx.ModelProto:
    """What torch's classic exporter makes of a module; its warnings are of the exporter's own making."""
    kept = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), (torch.rand(count, 3, *size),), kept, dynamo=False, input_names=["x"], **more)
    return onnx.load_from_string(kept.getvalue())


@cache
def export_of(name: str, opset: int = 20, *, free: bool = True) -> bytes:
    oracle = ORACLES[name]()
    axes = {"x": {0: "n", 2: "h", 3: "w"}} if free and oracle.other_size is not None else {"x": {0: "n"}}
    found = exported(oracle.module, oracle.size, dynamic_axes=axes if free else {}, opset_version=opset)
    return found.SerializeToString()


def network_of(model: onnx.ModelProto | bytes, size: tuple[int, int], **more: Any) -> Network:
    read = onnx.load_from_string(model) if isinstance(model, bytes) else model
    return as_network(read, normalise=NORMALISE, input_size=size, **more)


@pytest.mark.parametrize(
    ("name", "opset", "pairs"),
    [
        ("plain", 20, PLAIN),
        ("residual", 20, RESIDUAL),
        ("transformer", 20, TRANSFORMER),
    ],
)
def test_the_contract_for_what_the_classic_exporter_writes(name: str, opset: int, pairs: Mapping[str, str]) -> None:
    oracle = ORACLES[name]()
    network = network_of(export_of(name, opset), oracle.size)
    assert isinstance(network, OnnxNetwork)
    assert not network.singly
    check_contract(network, oracle, pairs, kinds=False)


@pytest.mark.parametrize(
    ("name", "opset", "pairs"),
    [
        ("plain", 9, PLAIN),
        ("residual", 11, RESIDUAL),
        ("transformer", 16, OLD | {name: other for name, other in TRANSFORMER.items() if other not in OLD.values()}),
    ],
)
def test_values_and_gradients_of_what_older_exporters_wrote(name: str, opset: int, pairs: Mapping[str, str]) -> None:
    oracle = ORACLES[name]()
    network = network_of(export_of(name, opset), oracle.size)
    check_table(network, oracle, pairs, kinds=False)
    check_values(network, oracle, pairs)
    check_gradients(network, oracle, pairs)


def test_values_and_gradients_of_what_the_new_exporter_writes() -> None:
    oracle = oracles.plain()
    dimensions = ({axis: torch.export.Dim(word) for axis, word in ((0, "n"),)},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            oracle.module, (torch.rand(2, 3, *oracle.size),), dynamo=True, verbose=False, dynamic_shapes=dimensions
        )
    assert program is not None
    network = network_of(program.model_proto, oracle.size)
    check_table(network, oracle, NEW, kinds=False)
    check_values(network, oracle, NEW, sizes=False)
    check_gradients(network, oracle, NEW, sizes=False)


def test_layers_have_the_names_and_kinds_of_the_original() -> None:
    network = network_of(export_of("residual"), (12, 16))
    assert network.input.size == (12, 16)
    kinds = {name: layer.kind for name, layer in network.layers.items()}
    assert kinds["/first/one/Conv"] == "convolution"
    assert kinds["/head/Gemm"] == "dense"
    assert kinds["/second/bend/Relu"] == "activation"
    assert kinds["/mean/GlobalAveragePool"] == "pooling"
    assert not [name for name in kinds if "Flatten" in name or "Constant" in name]


class Views(nn.Module):
    """A convolution, then axes taken apart with the number of pictures written down, then a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.head = nn.Linear(4, 5)
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.stem(x).view(1, 4, 64).transpose(1, 2)
        tokens = torch.cat([self.token.expand(1, -1, -1), tokens], 1)
        return self.head(tokens).view(1, -1)


class Mixed(nn.Module):
    """The number of pictures is no axis of its own after the reshaping."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x).permute(2, 3, 0, 1).reshape(8, 8, 4).sum(0)[:1])


@pytest.mark.parametrize(("module", "singly"), [(Views(), False), (Mixed(), True)], ids=["Views", "Mixed"])
def test_a_file_for_one_picture_takes_several(module: nn.Module, singly: bool) -> None:
    network = network_of(exported(module, (8, 8)), (8, 8))
    assert isinstance(network, OnnxNetwork)
    assert network.singly == singly
    shown = pictures(3, (8, 8))
    last = list(network.layers)[-1]
    given = network.input.normalise(shown)
    expected = torch.cat([module(each).flatten(1) for each in torch.split(given, 1)]).detach()
    with torch.no_grad():
        found = outputs(network, [last], shown)[last].flatten(1)
    assert found.shape[0] == 3
    if found.shape == expected.shape:
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    slopes = []
    for images in (shown, shown[:1], shown[1:2]):
        wanted = images.clone().requires_grad_(True)
        slopes.append(torch.autograd.grad(outputs(network, [last], wanted)[last].sum(), wanted)[0])
    torch.testing.assert_close(slopes[0][:2], torch.cat(slopes[1:]), rtol=1e-4, atol=1e-6)


def test_a_file_for_several_pictures_takes_one_or_is_refused() -> None:
    network = network_of(exported(oracles.plain().module, (16, 16), 4), (16, 16))
    shown = pictures(3, (16, 16))
    expected = outputs(oracles.plain().network, ["head"], shown)["head"]
    torch.testing.assert_close(outputs(network, ["/head/Gemm"], shown)["/head/Gemm"], expected, rtol=1e-4, atol=1e-5)

    class Fours(Mixed):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.head.weight[:4] @ self.stem(x).mean((2, 3)))

    with pytest.raises(WrongInput, match="takes 4 pictures at once"):
        network_of(exported(Fours(), (8, 8), 4), (8, 8))


# what tf2onnx makes of Keras: pictures with channels last, axes turned round before and after each convolution


def stored(values: Mapping[str, np.ndarray]) -> list[TensorProto]:
    return [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in values.items()]


def turned_round(oracle: Oracle, shape: tuple[int | str, ...] = ("n", 16, 16, 3)) -> onnx.ModelProto:
    """`oracles.Plain` as a graph with channels last."""
    weights = oracle.weights
    scale = weights["norm.weight"] / np.sqrt(weights["norm.running_var"] + EPSILON)
    node, first, last = helper.make_node, [0, 3, 1, 2], [0, 2, 3, 1]
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        node("Transpose", ["x"], ["x/first"], perm=first, name="x/turn"),
        node("Conv", ["x/first", "stem.weight"], ["stem/first"], auto_pad="SAME_UPPER", name="stem/Conv2D"),
        node("Transpose", ["stem/first"], ["stem"], perm=last),
        node("Mul", ["stem", "scale"], ["scaled"], name="norm/mul"),
        node("Add", ["scaled", "shift"], ["norm"], name="norm/add"),
        node("Relu", ["norm"], ["bend"], name="bend/Relu"),
        node("Transpose", ["bend"], ["bend/first"], perm=first),
        node("MaxPool", ["bend/first"], ["shrink"], name="shrink/MaxPool", **pool),
        node("Conv", ["shrink", "deep.weight"], ["deep/first"], pads=[1, 1, 1, 1], name="deep/Conv2D"),
        node("Transpose", ["deep/first"], ["deep"], perm=last),
        node("Add", ["deep", "deep.bias"], ["deep/biased"], name="deep/BiasAdd"),
        node("Relu", ["deep/biased"], ["last"], name="last/Relu"),
        node("ReduceMean", ["last"], ["mean"], axes=[1, 2], keepdims=0, name="mean/Mean"),
        node("MatMul", ["mean", "head.kernel"], ["head/product"], name="head/MatMul"),
        node("Add", ["head/product", "head.bias"], ["head"], name="head/BiasAdd"),
    ]
    kept = {
        "stem.weight": weights["stem.weight"],
        "scale": scale,
        "shift": weights["norm.bias"] - weights["norm.running_mean"] * scale,
        "deep.weight": weights["deep.weight"],
        "deep.bias": weights["deep.bias"],
        "head.kernel": weights["head.weight"].T,
        "head.bias": weights["head.bias"],
    }
    return model_of(nodes, kept, shape, ["head"])


def model_of(
    nodes: list[onnx.NodeProto],
    kept: Mapping[str, np.ndarray],
    shape: tuple[int | str, ...],
    answers: list[str],
    **more: Any,
) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    ends = [onnx.ValueInfoProto(name=name) for name in answers]
    graph = helper.make_graph(nodes, "graph", inputs, ends, stored(kept))
    return helper.make_model(graph, ir_version=8, **({"opset_imports": [helper.make_opsetid("", 13)]} | more))


TURNED = {
    "stem/Conv2D": "stem",
    "norm/add": "norm",
    "bend/Relu": "bend",
    "shrink/MaxPool": "shrink",
    "deep/BiasAdd": "deep",
    "last/Relu": "last",
    "head/BiasAdd": "head",
}


@pytest.mark.parametrize("shape", [("n", 16, 16, 3), ("n", "h", "w", 3), ("n", "h", "w", "c")], ids=str)
def test_the_contract_for_a_graph_with_channels_last(shape: tuple[int | str, ...]) -> None:
    oracle = oracles.plain()
    network = network_of(turned_round(oracle, shape), oracle.size)
    assert {layer.kind for layer in network.layers.values()} >= {"convolution", "dense", "activation"}
    check_contract(network, oracle, TURNED, kinds=False)


def test_what_is_said_of_the_axes_is_used_or_refused() -> None:
    oracle = oracles.plain()
    with pytest.raises(WrongInput, match=r"data_format \(='channels_first'\) does not fit .* \(0, 16, 16, 3\)"):
        network_of(turned_round(oracle), oracle.size, data_format="channels_first")
    square = model_of(
        [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1, 2], keepdims=0, name="mean")], {}, ("n", 3, 5, 3), ["y"]
    )
    said = as_network(square, normalise="0..1", data_format="channels_last")
    assert said.input.size == (3, 5)
    shown = pictures(2, (3, 5))
    torch.testing.assert_close(outputs(said, ["mean"], shown)["mean"], shown.mean((2, 3)))


# files of other habits


def test_old_files_that_list_their_weights_as_inputs_are_read() -> None:
    model = onnx.load_from_string(export_of("plain"))
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    assert set(PLAIN) <= set(network_of(model, (16, 16)).layers)


def test_weights_of_16_bits_are_used_with_32_and_that_is_noted() -> None:
    model = onnx.load_from_string(export_of("plain"))
    for tensor in model.graph.initializer:
        half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name)
        tensor.CopyFrom(half)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    network = network_of(model, (16, 16))
    assert network.notes == ("its weights are of 16 bits and are used with 32",)
    shown = pictures(2, (16, 16))
    found = outputs(network, ["/head/Gemm"], shown)["/head/Gemm"]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, outputs(oracles.plain().network, ["head"], shown)["head"], rtol=0.02, atol=0.02)


@pytest.mark.parametrize("padding", [{"pads": [0, 0, 1, 1]}, {"auto_pad": "SAME_UPPER"}])
def test_a_convolution_with_uneven_padding_is_a_layer(padding: dict[str, Any]) -> None:
    conv = helper.make_node("Conv", ["x", "w"], ["y"], name="stem", strides=[2, 2], **padding)
    weight = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    network = as_network(model_of([conv], {"w": weight}, ("n", 3, 8, 8), ["y"]), normalise="0..1")
    assert [(layer.name, layer.kind) for layer in network.layers.values()] == [("stem", "convolution")]
    shown = pictures(2, (8, 8))
    expected = nn.functional.conv2d(nn.functional.pad(shown, [0, 1, 0, 1]), torch.from_numpy(weight), stride=2)
    torch.testing.assert_close(outputs(network, ["stem"], shown)["stem"], expected)


def test_nodes_without_a_name_or_with_one_twice_are_told_apart() -> None:
    model = onnx.load_from_string(export_of("plain"))
    for node in model.graph.node:
        node.name = "same" if node.op_type == "Relu" else ""
    names = list(network_of(model, (16, 16)).layers)
    assert names == ["Conv_0", "same", "MaxPool_2", "Conv_3", "same_4", "GlobalAveragePool_5", "Gemm_7"]


def test_functions_of_the_models_own_are_written_out() -> None:
    opset = helper.make_opsetid("", 13)
    body = [helper.make_node("Sigmoid", ["a"], ["s"]), helper.make_node("Mul", ["a", "s"], ["b"])]
    function = helper.make_function("local", "Swish", ["a"], ["b"], body, [opset])
    nodes = [helper.make_node("Swish", ["x"], ["y"], domain="local", name="bend")]
    imports = [opset, helper.make_opsetid("local", 1)]
    model = model_of(nodes, {}, ("n", 3, 8, 8), ["y"], opset_imports=imports, functions=[function])
    network = as_network(model, normalise="0..1", input_size=8)
    shown = pictures(2, (8, 8))
    name = list(network.layers)[-1]
    torch.testing.assert_close(outputs(network, [name], shown)[name], nn.functional.silu(shown))


# what cannot be differentiated: responses and maps, no pictures


def quantised_at_its_end() -> onnx.ModelProto:
    model = onnx.load_from_string(export_of("plain"))
    end = model.graph.output[0].name
    model.graph.initializer.extend(stored({"scale": np.float32(0.1), "nought": np.uint8(128)}))
    model.graph.node.append(helper.make_node("QuantizeLinear", [end, "scale", "nought"], ["q"], name="last_step"))
    model.graph.node.append(helper.make_node("DequantizeLinear", ["q", "scale", "nought"], ["answer"], name="answer"))
    del model.graph.output[:]
    model.graph.output.append(onnx.ValueInfoProto(name="answer"))
    return model


def test_m11_the_contract_for_a_graph_that_cannot_be_differentiated() -> None:
    oracle = oracles.plain()
    network = network_of(quantised_at_its_end(), oracle.size)
    assert isinstance(network, BridgedNetwork)
    check_contract(network, oracle, PLAIN, kinds=False, gradients=False)
    with pytest.raises(WrongInput, match=r"no pictures: its operator QuantizeLinear \(node 'last_step'\) cannot be"):
        neuronatlas.render(network, "/deep/Conv:1", preset="fast", steps=1, canvas=(16, 16), workers=1)


def test_m11_maps_of_a_graph_that_cannot_be_differentiated() -> None:
    network = network_of(quantised_at_its_end(), (16, 16))
    shown = (pictures(12, (16, 16)).permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)
    table = neuronatlas.record(network, shown, layers=["/deep/Conv", "/head/Gemm"])
    expected = neuronatlas.record(oracles.plain().network, shown, layers=["deep", "head"])
    np.testing.assert_allclose(table.values, expected.values, rtol=1e-4, atol=1e-5)


def test_m12_numbers_of_a_quantised_convolution_are_in_its_floating_point() -> None:
    generator = np.random.default_rng(0)
    weight = generator.integers(-100, 100, (4, 3, 3, 3)).astype(np.int8)
    quarter, nought = np.float32(1 / 255), np.uint8(0)
    kept = {
        "x_scale": quarter,
        "x_zero": nought,
        "w": weight,
        "w_scale": np.float32(0.01),
        "w_zero": np.int8(0),
        "y_scale": np.float32(0.08),
        "y_zero": np.uint8(120),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["xq"], name="in"),
        helper.make_node("QLinearConv", ["xq", *kept], ["yq"], name="conv"),
        helper.make_node("DequantizeLinear", ["yq", "y_scale", "y_zero"], ["y"], name="out"),
    ]
    network = as_network(model_of(nodes, kept, (1, 3, 8, 8), ["y"]), normalise="0..1")
    assert [(layer.name, layer.kind, layer.shape) for layer in network.layers.values()] == [
        ("conv", "convolution", (4, 6, 6))
    ]
    shown = (pictures(3, (8, 8)) * 255).round() / 255  # three pictures, for a file that takes one
    expected = nn.functional.conv2d(shown, torch.from_numpy(weight * np.float32(0.01)))
    found = outputs(network, ["conv"], shown)["conv"]
    inside = (expected > -9.5) & (expected < 10.7)
    assert bool(inside.float().mean() > 0.9)
    torch.testing.assert_close(found[inside], expected[inside], rtol=0, atol=0.05)


def test_control_flow_goes_the_same_way() -> None:
    branch = helper.make_graph(
        [helper.make_node("Relu", ["conv"], ["kept"])], "branch", [], [onnx.ValueInfoProto(name="kept")]
    )
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["conv"], name="conv"),
        helper.make_node("If", ["yes"], ["y"], name="choice", then_branch=branch, else_branch=branch),
    ]
    kept = {"w": np.ones((4, 3, 1, 1), np.float32), "yes": np.array(True)}
    network = as_network(model_of(nodes, kept, ("n", 3, 8, 8), ["y"]), normalise="0..1")
    assert list(network.layers) == ["conv", "choice"]
    shown = pictures(2, (8, 8))
    found = outputs(network, ["choice"], shown)["choice"]
    torch.testing.assert_close(found, shown.sum(1, keepdim=True).expand(-1, 4, -1, -1))


def test_an_operator_that_nobody_knows_is_named() -> None:
    nodes = [helper.make_node("Wonder", ["x"], ["y"], domain="my.own", name="wonder")]
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("my.own", 1)]
    with pytest.raises(WrongInput, match=r"my\.own\.Wonder \(node 'wonder'\) .* onnxruntime does not take it either"):
        as_network(model_of(nodes, {}, ("n", 3, 8, 8), ["y"], opset_imports=imports), normalise="0..1")


def test_the_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = quantised_at_its_end()
    path = tmp_path / "model.onnx"
    onnx.save_model(model, path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(WrongInput, match=r"QuantizeLinear .* needs onnxruntime: pip install 'neuronatlas\[onnx\]'"):
        network_of(model, (16, 16))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(WrongInput, match=r"need the package onnx: pip install 'neuronatlas\[onnx\]'"):
        neuronatlas.load(str(path), normalise=NORMALISE)


# what is refused


def test_models_that_take_no_pictures_are_refused() -> None:
    relu = [helper.make_node("Relu", ["x"], ["y"])]
    with pytest.raises(WrongInput, match=r"model takes 'x' of shape \(0, 64\)"):
        as_network(model_of(relu, {}, ("n", 64), ["y"]), normalise="0..1")
    two = model_of(relu, {}, ("n", 3, 8, 8), ["y"])
    two.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, (1,)))
    with pytest.raises(WrongInput, match=r"model takes 2 inputs \(x, z\)"):
        as_network(two, normalise="0..1")
    with pytest.raises(WrongInput, match="normalise is missing"):
        as_network(model_of(relu, {}, ("n", 3, 8, 8), ["y"]))


def test_pictures_that_do_not_go_through_are_told_with_the_node() -> None:
    model = onnx.load_from_string(export_of("transformer", free=False))
    with pytest.raises(WrongInput, match=r"node '/positions/Add' \(Add\), whose inputs have the shapes .*input_size"):
        network_of(model, (20, 20))


@pytest.fixture
def beside(tmp_path: Path) -> tuple[Path, onnx.ModelProto]:
    """A model with its weights in a file beside it."""
    model = onnx.load_from_string(export_of("plain"))
    path = tmp_path / "home" / "model.onnx"
    path.parent.mkdir()
    onnx.save_model(model, path, save_as_external_data=True, location="model.weights", size_threshold=0)
    return path, onnx.load(path, load_external_data=False)


def test_s9_weights_beside_the_file_are_read(beside: tuple[Path, onnx.ModelProto]) -> None:
    path, model = beside
    network = neuronatlas.load(str(path), normalise=NORMALISE, input_size=16)
    shown = pictures(2, (16, 16))
    expected = outputs(oracles.plain().network, ["head"], shown)["head"]
    torch.testing.assert_close(outputs(network, ["/head/Gemm"], shown)["/head/Gemm"], expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(WrongInput, match="in another file: load the model from its file"):
        as_network(model, normalise=NORMALISE)


@pytest.mark.parametrize(
    "location", ["../secret", "sub/../../secret", "{root}/secret", "C:\\secret", "..\\secret", "link", ""]
)
def test_s9_weights_elsewhere_are_refused(beside: tuple[Path, onnx.ModelProto], tmp_path: Path, location: str) -> None:
    path, model = beside
    secret = tmp_path / "secret"
    secret.write_bytes((path.parent / "model.weights").read_bytes())
    (path.parent / "link").symlink_to(secret)
    (path.parent / "sub").mkdir()
    wanted = location.format(root=tmp_path)
    for tensor in model.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = wanted
    onnx.save_model(model, path)
    with pytest.raises(WrongInput, match="not inside its own folder") as refusal:
        neuronatlas.load(str(path), normalise=NORMALISE, input_size=16)
    assert repr(wanted) in str(refusal.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("offset", "-4"), ("offset", "1000000000"), ("length", "4"), ("length", "x"), ("location", "gone")],
)
def test_s9_weights_that_are_not_there_are_refused(beside: tuple[Path, onnx.ModelProto], key: str, value: str) -> None:
    path, model = beside
    next(entry for entry in model.graph.initializer[0].external_data if entry.key == key).value = value
    onnx.save_model(model, path)
    with pytest.raises(WrongInput, match=r"bytes are needed|whole numbers|no such file"):
        neuronatlas.load(str(path), normalise=NORMALISE, input_size=16)


def test_damaged_files_are_told_as_such(tmp_path: Path) -> None:
    whole = export_of("plain")
    path = tmp_path / "model.onnx"
    for content in (b"", b"no model at all, but a text", bytes(range(256)), *(whole[:end] for end in (1, 40, 700, -1))):
        path.write_bytes(content)
        with pytest.raises(WrongInput, match=r"no ONNX file|no ONNX graph"):
            neuronatlas.load(str(path), normalise=NORMALISE, input_size=16)


def test_files_with_a_few_wrong_bytes_are_read_or_told_as_such(tmp_path: Path) -> None:
    whole, path = export_of("transformer"), tmp_path / "model.onnx"
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        content = bytearray(whole)
        for place in generator.integers(0, 3000, 2):
            content[place] = generator.integers(256)
        path.write_bytes(content)
        try:
            assert neuronatlas.load(str(path), normalise=NORMALISE, input_size=16).layers
        except WrongInput:
            refused += 1
    assert 20 < refused < 60


def test_weights_of_a_wrong_size_are_told_as_such() -> None:
    model = onnx.load_from_string(export_of("plain"))
    model.graph.initializer[0].dims[0] = 2**40
    with pytest.raises(WrongInput, match="are damaged"):
        network_of(model, (16, 16))


def test_names_are_text() -> None:
    model = onnx.load_from_string(export_of("plain"))
    odd = ["../../etc", "a.b", "con", "x" * 300, "ü\n<img>", "{0}", "#1"]
    for node, name in zip(model.graph.node, odd, strict=False):
        node.name = name
    layers = network_of(model, (16, 16)).layers
    assert [name for name in odd if name in layers] == [name for name in odd if name != "#1"]


# a trained network


@pytest.fixture(scope="module")
def pair() -> tuple[TorchNetwork, Network]:
    """EfficientNet-Lite0, and itself by way of a file for one picture."""
    original = models.efficientnet()
    model = exported(original.module, original.input.size)
    spec = original.input
    return original, as_network(model, normalise=(spec.mean, spec.std))


def counterparts(original: Network, network: Network) -> dict[str, str]:
    """Layers of the export, whose convolutions have the batch norms in them, and those that they equal."""
    norms = {"expand_conv": "bn0", "depthwise_conv": "bn1", "project_conv": "bn2"}
    found = {"/_conv_stem/Conv": "stem_bn", "/_conv_head/Conv": "head_bn", "/_fc/Gemm": "fc"}
    for name in network.layers:
        part = name.replace("/_blocks.", "blocks.").split("/_")
        if name.startswith("/_blocks.") and name.endswith("/Conv"):
            found[name] = f"{part[0]}.{norms[part[1].removesuffix('/Conv')]}"
    return {name: other for name, other in found.items() if name in network.layers and other in original.layers}


def test_activations_of_a_trained_network_are_torchs(pair: tuple[TorchNetwork, Network]) -> None:
    original, network = pair
    assert isinstance(network, OnnxNetwork)
    assert network.input == original.input
    pairs = counterparts(original, network)
    assert len(pairs) > 45
    shown = pictures(2, original.input.size)
    with torch.no_grad():
        found, expected = outputs(network, list(pairs), shown), outputs(original, list(pairs.values()), shown)
    for name, other in pairs.items():
        apart = float((found[name] - expected[other]).abs().max() / expected[other].abs().max())
        assert apart < 1e-4, (name, apart)


def test_pictures_of_a_trained_networks_units_are_torchs(pair: tuple[TorchNetwork, Network]) -> None:
    original, network = pair
    name = "/_blocks.5/_project_conv/Conv"
    twin = TorchNetwork(
        original.module, input=original.input, rename=lambda each: name if each == "_blocks.5._bn2" else each
    )
    units = [f"{name}:{unit}" for unit in (3, 7, 11, 15, 20)]
    found, expected, start = (
        [made.image for made in neuronatlas.render(each, units, steps=steps, canvas=(96, 96), seed=1, workers=1)]
        for each, steps in ((network, 3), (twin, 3), (network, 1))
    )
    apart = [float(np.abs(one - other).mean()) for one, other in zip(found, expected, strict=True)]
    moved = [float(np.abs(one - other).mean()) for one, other in zip(found, start, strict=True)]
    assert min(moved) > 0.01
    assert min(apart) < 1e-6
    # Of the others a number was rounded across the corner of a rectifier, and the ascent carried it on.
    assert all(one < 0.2 * far for one, far in zip(apart, moved, strict=True))
