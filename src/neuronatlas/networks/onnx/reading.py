"""ONNX files read as data: nothing is run, and nothing outside the file's own folder is opened.

The format: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; weights in files beside it:
https://github.com/onnx/onnx/blob/main/docs/ExternalData.md.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from neuronatlas.errors import WrongInput
from neuronatlas.networks.onnx.node import FLOATS, Node, NotDone

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

_MISSING = "ONNX files need the package onnx: pip install 'neuronatlas[onnx]'"
_GRAPHS = (5, 10)
"""The numbers of the kinds of attributes that are graphs (onnx.proto, AttributeProto.AttributeType)."""


def read(path: Path) -> ModelProto:
    """The model in a file, with the weights beside it; raises `WrongInput` where it is no whole ONNX model."""
    try:
        from google.protobuf.message import DecodeError
        from onnx import ModelProto
    except ImportError as error:
        raise WrongInput(_MISSING) from error
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        message = f"network {str(path)!r} is no ONNX file, or a part of one only: {error}; get it anew"
        raise WrongInput(message) from error
    except OSError as error:
        message = f"network {str(path)!r} cannot be read: {error.strerror}"
        raise WrongInput(message) from error
    if not model.graph.node or not model.opset_import:
        message = f"network {str(path)!r} holds no ONNX graph; get it anew, or export it anew"
        raise WrongInput(message)
    _check_texts(model.graph)
    for tensor in external(model):
        _fill(tensor, path.parent)
    return model


def whole_model(model: ModelProto) -> ModelProto:
    """A model in memory, with functions of its own written out; raises `WrongInput` where weights are elsewhere."""
    _check_texts(model.graph)
    for tensor in external(model):
        message = (
            f"model holds tensor {tensor.name!r} in another file: load the model from its file, with "
            "neuronatlas.load or onnx.load"
        )
        raise WrongInput(message)
    if not model.functions:
        return model
    from onnx import inliner

    try:
        return inliner.inline_local_functions(model)
    except Exception as error:
        message = f"model has functions of its own that cannot be written out: {_first_line(error)}"
        raise WrongInput(message) from error


def _check_texts(graph: GraphProto) -> None:
    """Refuse a graph whose names are no text: protobuf gives them as bytes where they are not UTF-8."""
    texts: list[object] = [graph.name, *(each.name for each in (*graph.input, *graph.output, *graph.initializer))]
    for node in graph.node:
        texts += [node.name, node.op_type, node.domain, *node.input, *node.output]
        texts += [each.name for each in node.attribute]
        texts += [each.value for each in node.metadata_props]
    for tensor in _tensors(graph):
        texts += [text for entry in tensor.external_data for text in (entry.key, entry.value)]
    for text in texts:
        if not isinstance(text, str):
            message = f"the model holds the name {text!r}, which is no text in UTF-8: it is damaged, get it anew"
            raise WrongInput(message)


def external(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor whose numbers are in another file."""
    tensors = list(_tensors(model.graph))
    for function in model.functions:
        tensors += [tensor for node in function.node for each in node.attribute for tensor in _of_attribute(each)]
    for tensor in tensors:
        if tensor.data_location == 1:
            yield tensor


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from _of_attribute(attribute)


def _of_attribute(attribute: AttributeProto) -> Iterator[TensorProto]:
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    for sparse in (
        *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
        *attribute.sparse_tensors,
    ):
        yield from (sparse.values, sparse.indices)
    for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
        yield from _tensors(graph)


def _fill(tensor: TensorProto, folder: Path) -> None:
    """Read a tensor's numbers from a file of the model's folder into the tensor."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    location = said.get("location", "")
    path = _inside(location, folder)
    where = f"the weights {tensor.name!r} of the model in {str(location)!r}"
    try:
        offset, size = int(said.get("offset") or 0), path.stat().st_size
        length = int(said.get("length") or size - offset)
    except ValueError as error:
        message = f"{where}: offset and length must be whole numbers"
        raise WrongInput(message) from error
    wanted = -(-math.prod(tensor.dims) * _bits(tensor.data_type) // 8)
    if min(offset, length, *tensor.dims, 0) < 0 or offset + length > size or length != wanted:
        message = f"{where}: {wanted} bytes are needed from {offset} on, and the file has {size}; get both files anew"
        raise WrongInput(message)
    with path.open("rb") as file:
        file.seek(offset)
        tensor.raw_data = file.read(length)
    del tensor.external_data[:]
    tensor.data_location = 0  # type: ignore[assignment]


def _inside(location: str, folder: Path) -> Path:
    """The file that a location names; raises `WrongInput` where it is not inside the folder."""
    parts = PureWindowsPath(location).parts
    path = folder / location if "\0" not in location else folder
    home = os.path.realpath(folder)
    rooted = Path(location).is_absolute() or PureWindowsPath(location).anchor
    if not parts or rooted or ".." in parts or not os.path.realpath(path).startswith(home + os.sep):
        message = (
            f"the model wants weights from {location!r}, which is not inside its own folder: only files there are "
            "opened; put the weights there and name them so"
        )
        raise WrongInput(message)
    if not path.is_file():
        message = f"the model wants weights from {location!r}, and there is no such file in its folder: get it as well"
        raise WrongInput(message)
    return path


def _bits(kind: int) -> int:
    """How many bits a number of an ONNX type has."""
    from onnx import TensorProto

    name = TensorProto.DataType.Name(kind) if kind in TensorProto.DataType.values() else "UNDEFINED"
    for bits, names in _BITS.items():
        if name in names.split():
            return bits
    message = f"the model has weights of type {name}, which cannot be read from another file"
    raise WrongInput(message)


_BITS = {
    2: "UINT2 INT2",
    4: "UINT4 INT4 FLOAT4E2M1",
    8: "UINT8 INT8 BOOL FLOAT8E4M3FN FLOAT8E4M3FNUZ FLOAT8E5M2 FLOAT8E5M2FNUZ FLOAT8E8M0",
    16: "UINT16 INT16 FLOAT16 BFLOAT16",
    32: "UINT32 INT32 FLOAT",
    64: "UINT64 INT64 DOUBLE COMPLEX64",
    128: "COMPLEX128",
}


def tensor_of(tensor: TensorProto) -> Tensor:
    """A stored tensor, of float32 where it is of floating point; raises `WrongInput` or `NotDone`."""
    from onnx import numpy_helper

    try:
        array: np.ndarray = numpy_helper.to_array(tensor)
    except Exception as error:
        message = f"the weights {tensor.name!r} of the model are damaged: {_first_line(error)}"
        raise WrongInput(message) from error
    if tensor.data_type in FLOATS:
        array = array.astype(np.float32)
    elif array.dtype in (np.uint16, np.uint32, np.uint64):
        array = array.astype(np.int64)
    try:
        return torch.from_numpy(np.array(array))
    except TypeError as error:
        reason = f"a tensor of type {array.dtype}"
        raise NotDone(reason) from error


def nodes(model: ModelProto) -> list[Node]:
    """The graph's nodes, each with a name of its own.

    What torch's new exporter made is called after its module in the original, ``MODULE/OPERATOR``; a node without a name
    after its operator and its number; a second of a name as the first, and its number.
    """
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 1)
    found: list[Node] = []
    used: set[str] = set()
    for index, node in enumerate(model.graph.node):
        name = _original(node) or node.name or f"{node.op_type}_{index}"
        name = f"{name}_{index}" if name in used else name
        used.add(name)
        op = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
        outputs = list(node.output)
        while len(outputs) > 1 and not outputs[-1]:
            outputs.pop()
        found.append(Node(op, name, tuple(node.input), tuple(outputs), _attributes(node.attribute), opset))
    return found


def _original(node: NodeProto) -> str:
    """The module of torch's that a node is of, and its operator; empty where the file does not tell."""
    notes = (each.value for each in node.metadata_props if each.key == "pkg.torch.onnx.name_scopes")
    scopes = re.findall(r"'([^']*)'", next(notes, ""))  # a list as Python writes it: modules, then the function
    return f"{scopes[-2]}/{node.op_type}" if len(scopes) > 1 and scopes[-2] else ""


def _attributes(attributes: Any) -> Mapping[str, Any]:
    """A node's attributes as numbers, texts, lists and tensors; a graph is left out."""
    from onnx import helper

    found: dict[str, Any] = {}
    for attribute in attributes:
        if attribute.type in _GRAPHS:
            continue
        if attribute.type == 4:
            found[attribute.name] = tensor_of(attribute.t)
            continue
        value = helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        found[attribute.name] = list(value) if attribute.type in (6, 7) else value
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
