"""Models of TensorFlow in files, as frozen graphs: SavedModels, frozen graphs, graphs of TensorFlow 1 with a checkpoint.

Of a file nothing is run but the reading of its weights, and no more of that than restoring needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from neuronatlas.errors import WrongInput
from neuronatlas.networks.tensorflow.freezing import (
    Frozen,
    first_line,
    from_function,
    operator_of,
    prepared,
    quiet,
    sources,
    split_sources,
)

_RESTORING = frozenset(
    "Const Placeholder PlaceholderWithDefault PlaceholderV2 RestoreV2 Restore Identity IdentityN Assign AssignVariableOp "
    "Variable VariableV2 VarHandleOp NoOp Reshape StringJoin Pack ShardedFilename ShardedFilespec StatefulPartitionedCall "
    "PartitionedCall ReadVariableOp DisableCopyOnRead MatchingFilesNone".split()
)


def from_saved_model(folder: Path) -> Frozen:
    """The signature ``serving_default``, or the only one, of a SavedModel."""
    from tensorflow.python.saved_model.loader_impl import parse_saved_model

    if not (folder / "saved_model.pb").exists() and not (folder / "saved_model.pbtxt").exists():
        message = f"network {str(folder)!r} is no SavedModel: there is no saved_model.pb in the folder"
        raise WrongInput(message)
    graphs = [each for each in parse_saved_model(str(folder)).meta_graphs if "serve" in each.meta_info_def.tags]
    signatures = {
        name: each
        for meta in graphs[:1]
        for name, each in meta.signature_def.items()
        if each.outputs and not name.startswith("__")
    }
    name = "serving_default" if "serving_default" in signatures else next(iter(signatures), "")
    if name not in signatures or (name != "serving_default" and len(signatures) > 1):
        message = (
            f"SavedModel {str(folder)!r} has the signatures {sorted(signatures)}, and none of them is 'serving_default': "
            "load it with tf.saved_model.load, and give the function wanted to as_network"
        )
        raise WrongInput(message)
    inputs = sorted(operator_of(each.name) for each in signatures[name].inputs.values())
    outputs = sorted(operator_of(each.name) for each in signatures[name].outputs.values())
    return _restored(graphs[0], folder / "variables" / "variables", inputs, outputs)


def from_meta_graph(path: Path) -> Frozen:
    """A graph of TensorFlow 1 with the checkpoint of the same name beside it."""
    from tensorflow.compat.v1 import MetaGraphDef

    meta = _parsed(MetaGraphDef(), path)
    return _restored(meta, path.with_suffix(""), [], [])


def from_graph(path: Path) -> Frozen:
    """A frozen GraphDef."""
    from tensorflow.compat.v1 import GraphDef

    graph = _parsed(GraphDef(), path)
    variable = next((node for node in graph.node if node.op in ("Variable", "VariableV2", "VarHandleOp")), None)
    if variable is not None:
        message = (
            f"graph {str(path)!r} is not frozen: the weights of {variable.name!r} are not in it; give the .meta file"
        )
        raise WrongInput(message)
    return _inlined(graph, [], [])


def _parsed(empty: Any, path: Path) -> Any:
    from google.protobuf.message import DecodeError

    try:
        empty.ParseFromString(path.read_bytes())
    except DecodeError as error:
        message = f"file {str(path)!r} holds no {type(empty).__name__}: {first_line(error)}"
        raise WrongInput(message) from error
    return empty


def _restored(meta: Any, checkpoint: Path, inputs: Sequence[str], outputs: Sequence[str]) -> Frozen:
    """A graph with its variables' values read from a checkpoint."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_from_session_graph

    graph = tf.Graph()
    with quiet(), graph.as_default(), tf.compat.v1.Session(graph=graph) as session:
        saver = _imported(lambda: tf.compat.v1.train.import_meta_graph(meta, clear_devices=True))
        if saver is not None:
            _check_restoring(meta)
            try:
                saver.restore(session, str(checkpoint))
            except (tf.errors.OpError, ValueError) as error:
                message = f"the weights of checkpoint {str(checkpoint)!r} cannot be read: {first_line(error)}"
                raise WrongInput(message) from error
        written = graph.as_graph_def()
        wanted = list(outputs) or _reached(written, inputs or sources(written, pictures=True))
        frozen = convert_variables_to_constants_from_session_graph(session, written, wanted)
    return _inlined(frozen, inputs, outputs)


def _imported(how: Callable[[], Any]) -> Any:
    """The graph; one with operators that are not TensorFlow's own is refused."""
    try:
        return how()
    except Exception as error:
        message = f"the graph cannot be read by this TensorFlow: {first_line(error)}"
        raise WrongInput(message) from error


def _check_restoring(meta: Any) -> None:
    """Refuse a graph whose restoring does anything but restore."""
    functions = {each.signature.name: each.node_def for each in meta.graph_def.library.function}
    nodes = {node.name: node for node in meta.graph_def.node}
    waiting = [nodes[name] for name in [operator_of(meta.saver_def.restore_op_name)] if name in nodes]
    seen: set[str] = set()
    while waiting:
        node = waiting.pop()
        if node.op not in _RESTORING and node.op not in functions:
            message = f"operator {node.name!r} ({node.op}) is not run: reading weights does not need it"
            raise WrongInput(message)
        called = [node.op, *(value.func.name for value in node.attr.values() if value.func.name)]
        for name in (name for name in called if name in functions and name not in seen):
            seen.add(name)
            waiting += functions[name]
        before = [operator_of(each) for each in node.input]
        waiting += [nodes[name] for name in before if name in nodes and f"/{name}" not in seen]
        seen |= {f"/{name}" for name in before}


def _inlined(graph: Any, inputs: Sequence[str], outputs: Sequence[str]) -> Frozen:
    """A frozen graph, its functions written out."""
    import tensorflow as tf

    alone = bool(inputs)
    if not graph.library.function:
        return prepared(graph, inputs, outputs, alone=alone)
    split_sources(graph)
    _rename_functions(graph)
    inputs = list(inputs) or sources(graph)
    outputs = list(outputs) or _ends(graph)
    wrapped = _imported(lambda: tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), []))
    known = wrapped.graph.get_operation_by_name
    pruned = wrapped.prune([known(name).outputs[0] for name in inputs], _tensors(map(known, outputs)))
    return from_function(pruned, alone=alone)


def _rename_functions(graph: Any) -> None:
    """Give functions names that hold their content: one of the same name may be in this process already."""
    content = hashlib.sha256(graph.library.SerializeToString(deterministic=True)).hexdigest()[:16]
    names = {each.signature.name: f"{each.signature.name}_{content}" for each in graph.library.function}
    for function in graph.library.function:
        function.signature.name = names[function.signature.name]
    for each in graph.library.gradient:
        each.function_name = names.get(each.function_name, each.function_name)
        each.gradient_func = names.get(each.gradient_func, each.gradient_func)
    for node in [*graph.node, *(node for function in graph.library.function for node in function.node_def)]:
        node.op = names.get(node.op, node.op)
        for value in node.attr.values():
            for called in (value.func, *value.list.func):
                if called.name in names:
                    called.name = names[called.name]


def _tensors(operators: Iterable[Any]) -> list[Any]:
    return [tensor for operator in operators for tensor in operator.outputs]


def _reached(graph: Any, sources: Iterable[str]) -> list[str]:
    """The operators that depend on sources and on which nothing depends but training."""
    found = set(sources)
    for _ in range(2):  # the second round follows what is written out of order
        for node in graph.node:
            if "/gradients/" not in f"/{node.name}" and any(operator_of(each) in found for each in node.input):
                found.add(node.name)
    training = {node.name for node in graph.node if "Apply" in node.op or node.op.startswith("Assign")}
    return sorted(found - training)


def _ends(graph: Any) -> list[str]:
    """The operators that no other takes."""
    taken = {operator_of(each) for node in graph.node for each in node.input}
    return [node.name for node in graph.node if node.name not in taken and node.op != "NoOp"]
