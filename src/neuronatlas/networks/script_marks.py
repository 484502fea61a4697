"""Marks in the graph of a TorchScript module: operators that tell what passes there.

Hooks do not fire inside such a module, since its parts are called by the interpreter of its graph. A mark is an operator
of this package in that graph, which hands the tensor on and reports it; gradients pass it.
"""

from __future__ import annotations

import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

TENSOR = "Tensor"
_TRAINING = {f"aten::{kind}": 2 for kind in ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")}
_TRAINING |= {"aten::batch_norm": 5, "aten::instance_norm": 5, "aten::rrelu": 3}
"""The place of "is it in training" among the inputs of operators."""
_STATISTICS = 3
"""The place of the running mean among the inputs of norms."""
_FILES = re.compile(r"\b(save|from_file)\b")
_PLAIN_GETATTR = re.compile(r'\bgetattr\(\s*[\w.()]+,\s*"[^"\\]*"\s*\)')
_SKIPPED = ("aten::size", "aten::len", "aten::detach_", "aten::dropout", "aten::dropout_", "aten::contiguous")


class Listener(ABC):
    """Hears what passes the marks of one thread."""

    @abstractmethod
    def enter(self, name: str) -> None:
        """A part is about to be called."""

    @abstractmethod
    def leave(self) -> None:
        """The part that was entered last has been called."""

    @abstractmethod
    def given(self, value: Tensor) -> Tensor:
        """The first input of the part that was entered last."""

    @abstractmethod
    def seen(self, value: Tensor) -> Tensor:
        """The output of the part that was entered last."""


class _Heard(threading.local):
    listener: Listener | None = None


heard = _Heard()
_LIBRARY = torch.library.Library("neuronatlas", "DEF")  # type: ignore[no-untyped-call]
_EVERYWHERE = "CompositeImplicitAutograd"


def _enter(name: str) -> None:
    if heard.listener is not None:
        heard.listener.enter(name)


def _leave() -> None:
    if heard.listener is not None:
        heard.listener.leave()


def _given(value: Tensor) -> Tensor:
    return value if heard.listener is None else heard.listener.given(value)


def _seen(value: Tensor) -> Tensor:
    return value if heard.listener is None else heard.listener.seen(value)


for _name, _signature, _function in (
    ("enter", "(str name) -> ()", _enter),
    ("leave", "() -> ()", _leave),
    ("given", "(Tensor value) -> Tensor", _given),
    ("seen", "(Tensor value) -> Tensor", _seen),
):  # conservative: they are neither left out nor put in another order
    _LIBRARY.define(f"{_name}{_signature}", alias_analysis="CONSERVATIVE")  # type: ignore[no-untyped-call]
    _LIBRARY.impl(_name, _function, _EVERYWHERE)  # type: ignore[no-untyped-call]


def mark(module: torch.jit.ScriptModule, *, parts: bool, operators: bool) -> list[str]:
    """Mark every call of a part, and every operator that gives a tensor; the names of the latter.

    The graphs change, and with them those of every module of the same type: give a module of its own.
    """
    names: list[str] = []
    for graph in graphs(module):
        for node in list(_nodes(graph)):
            if parts and _calls(node):
                _around(graph, node, _path(node))
            elif operators and _gives_tensor(node):
                names.append(f"{node.kind().removeprefix('aten::').strip('_')}_{len(names)}")
                _around(graph, node, names[-1])
    return names


def calls_parts(module: torch.jit.ScriptModule) -> bool:
    """Has its graph calls of parts? A frozen one has not."""
    return any(_calls(node) for graph in graphs(module) for node in _nodes(graph))


def touches_files(program: str) -> str:
    """The word in the text of a program with which it could read or write a file; "" if there is none.

    Functions may get other names there (``f = torch.save``), so that the word alone counts, wherever it stands; and
    ``getattr`` counts unless its name is a plain string, since escapes and joined strings would hide the word.
    """
    found = _FILES.search(program)
    if found:
        return found[0]
    count = 1
    while count:  # from the inside out
        program, count = _PLAIN_GETATTR.subn("_", program)
    return "getattr" if re.search(r"\bgetattr\b", program) else ""


def rest(module: torch.jit.ScriptModule) -> bool:
    """Set operators at rest that stand in the graph as in training, where ``eval`` does not reach them; were there any?

    Norms without running statistics stay: they use those of the pictures in any mode.
    """
    found = False
    for graph in graphs(module):
        for node in list(_nodes(graph)):
            place = _TRAINING.get(node.kind().removesuffix("_"))
            inputs = list(node.inputs())
            if node.kind() == "aten::add_" and inputs[0].debugName().startswith("num_batches_tracked"):
                node.output().replaceAllUsesWith(inputs[0])
                node.destroy()
                continue
            if place is None or inputs[place].node().kind() != "prim::Constant" or inputs[place].toIValue() is not True:
                continue
            if node.kind().endswith("_norm") and inputs[_STATISTICS].node().mustBeNone():
                continue
            graph.setInsertPoint(node)
            node.replaceInput(place, graph.insertConstant(False))
            found = True
    return found


def constants(module: torch.jit.ScriptModule) -> Iterator[Tensor]:
    """The tensors that stand in the graph itself, as the weights of a frozen module do."""
    for graph in graphs(module):
        for node in _nodes(graph):
            if node.kind() == "prim::Constant" and node.hasAttribute("value") and node.kindOf("value") == "t":
                yield node.t("value")


def graphs(module: torch.jit.ScriptModule) -> Iterator[Any]:
    """The graph of every method of the module and its parts, once a type.

    Never the inlined one: making it settles what the interpreter runs, and later marks would not be seen.
    """
    done: set[str] = set()
    for part in module.modules():
        core: Any = getattr(part, "_c", None)
        if core is None or str(core._type()) in done:  # noqa: SLF001
            continue
        done.add(str(core._type()))  # noqa: SLF001
        for method in core._method_names():  # noqa: SLF001
            yield core._get_method(method).graph  # noqa: SLF001


def _calls(node: Any) -> bool:
    """Is a part called there? The second call in a trace is of its method ``forward1``."""
    return node.kind() == "prim::CallMethod" and re.fullmatch(r"forward\d*", node.s("name")) is not None


def _nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        for inner in node.blocks():
            yield from _nodes(inner)
        yield node


def _gives_tensor(node: Any) -> bool:
    named = node.kind().startswith(("aten::", "quantized::", "prim::mkldnn")) and node.kind() not in _SKIPPED
    return named and node.outputsSize() == 1 and _is_tensor(node.output()) and any(map(_is_tensor, node.inputs()))


def _is_tensor(value: Any) -> bool:
    return str(value.type()).startswith(TENSOR) or str(value.type()).startswith(("Float(", "QUInt8("))


def _around(graph: Any, node: Any, name: str) -> None:
    """Put the marks before and after a node."""
    graph.setInsertPoint(node)
    constant = graph.insertConstant(name)
    graph.create("neuronatlas::enter", [constant], 0).insertBefore(node)
    first = next((place for place, value in enumerate(node.inputs()) if _is_tensor(value)), None)
    if first is not None:
        value = list(node.inputs())[first]
        before = graph.create("neuronatlas::given", [value], 1)
        before.insertBefore(node)
        before.output().setType(value.type())
        node.replaceInput(first, before.output())
    last = node
    for output in list(node.outputs()):
        if _is_tensor(output):
            after = graph.create("neuronatlas::seen", 1)
            after.insertAfter(last)
            after.addInput(output)
            after.output().setType(output.type())
            output.replaceAllUsesAfterNodeWith(after, after.output())
            last = after
    graph.create("neuronatlas::leave", [], 0).insertAfter(last)


def _path(node: Any) -> str:
    """The path of the part that a node calls, from the module that the graph is of."""
    steps: list[str] = []
    source = next(iter(node.inputs())).node()
    while source.kind() == "prim::GetAttr":
        steps.insert(0, source.s("name"))
        source = next(iter(source.inputs())).node()
    return ".".join(steps)
