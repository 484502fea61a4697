"""An ONNX graph as a torch module: each node that computes something is a submodule, the rest is done on the way.

What depends on no picture is computed once. Weights of every floating-point type become float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from neuronatlas.errors import WrongInput
from neuronatlas.networks.onnx.layout import FIRST, LAST, layout
from neuronatlas.networks.onnx.node import Call, Node, Outputs
from neuronatlas.networks.onnx.operators import apply
from neuronatlas.networks.onnx.parts import Function, channels_first, channels_last, is_apart, part
from neuronatlas.networks.onnx.shapes import MOVING


@dataclass(frozen=True)
class Graph:
    """A graph to compute: its nodes in order, the tensors stored in it, its input and its outputs.

    ``fixed`` is the number of pictures that it was written for, 0 for any. ``channels_last`` is of its input.
    """

    nodes: Sequence[Node]
    stored: Mapping[str, Tensor]
    input: str
    outputs: Sequence[str]
    fixed: int = 0
    channels_last: bool = False


@dataclass(frozen=True)
class Step:
    """One node in a forward pass: its submodule ("" for none), and the tensors that nobody needs after it.

    A submodule whose tensor is a map with channels last is ``turned``: it gives channels first, which is turned back;
    with ``around`` its input is turned as well.
    """

    node: Node
    module: str = ""
    turned: bool = False
    around: bool = False
    drop: tuple[str, ...] = field(default=())


class OnnxModule(nn.Module):
    """The module of a graph; ``probe`` is a batch of pictures (n, c, h, w) as the graph wants them but for its layout.

    Raises `NotDone` where an operator is not known here, `WrongInput` where the probe does not go through.
    """

    like: Tensor

    def __init__(self, graph: Graph, probe: Tensor) -> None:
        super().__init__()
        self.graph = replace(graph, stored={})
        self.register_buffer("like", torch.empty(0, dtype=torch.float32), persistent=False)
        self.names: dict[str, str] = {}
        self._whole: dict[str, Tensor] = {}
        self._stored: dict[str, str] = {}
        self._steps: list[Step] = []
        with torch.no_grad():
            stored = self._build(graph, probe)
        self._keep(stored)
        self._forget()

    def forward(self, images: Tensor) -> list[Tensor]:
        """The graph's outputs for pictures (n, c, h, w)."""
        values: dict[str, Tensor] = {name: getattr(self, place) for name, place in self._stored.items()} | self._whole
        values[self.graph.input] = channels_last(images) if self.graph.channels_last else images
        for step in self._steps:
            given = [values[name] if name else None for name in step.node.inputs]
            found = self._run(step, given, len(images))
            values.update(zip(step.node.outputs, (found,) if isinstance(found, Tensor) else found, strict=False))
            for name in step.drop:
                values.pop(name, None)
        return [values[name] for name in self.outputs]

    def renamed(self, address: str) -> str:
        """The graph's own word for a submodule, or for one of its outputs (``NAME.k``)."""
        head, dot, rest = address.partition(".")
        return self.names.get(head, head) + dot + rest

    def _run(self, step: Step, given: Sequence[Tensor | None], pictures: int) -> Outputs:
        if not step.module:
            return apply(Call(step.node, self.like, pictures, self.graph.fixed), list(given))
        module = getattr(self, step.module)
        if isinstance(module, Function):
            found: Outputs = module(*given, pictures=pictures, fixed=self.graph.fixed)
        else:
            first = given[0]
            found = module(channels_first(first) if step.around and first is not None else first)
        if not step.turned:
            return found
        return channels_last(found) if isinstance(found, Tensor) else tuple(channels_last(each) for each in found)

    def _build(self, graph: Graph, probe: Tensor) -> dict[str, Tensor]:
        """Go through the graph once, deciding what each node becomes; the tensors that never vary."""
        stored = dict(graph.stored)
        values = {graph.input: channels_last(probe) if graph.channels_last else probe}
        layouts = {graph.input: LAST if graph.channels_last else FIRST}
        pictured = {graph.input}  # whose numbers, not only whose shape, depend on the pictures
        for index, node in enumerate(graph.nodes):
            known = stored | values
            absent = [name for name in node.inputs if name and name not in known]
            if absent:
                message = f"node {node.name!r} ({node.op}) takes {absent[0]!r}, which nothing before it gives"
                raise WrongInput(message)
            given = [known[name] if name else None for name in node.inputs]
            constant = [not name or name in stored for name in node.inputs]
            step, found = self._place(node, given, constant, index, layouts, pictured, len(probe))
            named = dict(zip(node.outputs, (found,) if isinstance(found, Tensor) else found, strict=False))
            if all(constant):
                stored.update(named)
                continue
            values.update(named)
            self._steps.append(step)
        if not any(name in values for name in graph.outputs):
            message = "no output of the graph depends on its input"
            raise WrongInput(message)
        self.outputs = tuple(name for name in graph.outputs if name in values)
        return stored

    def _place(  # noqa: PLR0917 - what a pass knows of a node
        self,
        node: Node,
        given: list[Tensor | None],
        constant: list[bool],
        index: int,
        layouts: dict[str, str],
        pictured: set[str],
        pictures: int,
    ) -> tuple[Step, Outputs]:
        """What a node becomes, and its outputs for the probe."""
        call = Call(node, self.like, pictures, self.graph.fixed)
        step = Step(node)
        try:
            found = apply(call, given)
        except (RuntimeError, ValueError, IndexError, TypeError, KeyError, AttributeError, OverflowError) as error:
            shapes = ", ".join("-" if each is None else str(tuple(each.shape)) for each in given)
            message = (
                f"pictures do not go through node {node.name!r} ({node.op}), whose inputs have the shapes {shapes}: "
                f"{str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}; is input_size right?"
            )
            raise WrongInput(message) from error
        outputs = (found,) if isinstance(found, Tensor) else found
        seen = node.op != "Shape" and node.op != "Size" and any(name in pictured for name in node.inputs)
        ranks = [0 if each is None else each.ndim for each in given]
        for name, output in zip(node.outputs, outputs, strict=False):
            layouts[name] = layout(node, [layouts.get(each, "") for each in node.inputs], ranks, output.ndim)
            if seen:
                pictured.add(name)
        made = part(call, given, constant) if seen and outputs[0].is_floating_point() else None
        if not seen or (node.op in MOVING and made is None):
            return step, found
        turned = layouts[node.outputs[0]] == LAST
        around = turned and made is not None and is_apart(made)
        if made is None or (turned and not around):
            made = Function(call)
            made.turned = turned
        else:  # it holds its weights itself
            step = replace(step, node=replace(node, inputs=node.inputs[:1]))
        step = replace(step, module=f"node_{index}", turned=turned, around=around)
        self.add_module(step.module, made)
        self.names[step.module] = node.name
        return step, found

    def _keep(self, stored: Mapping[str, Tensor]) -> None:
        """Store the tensors that a step reads: weights as parameters, whole numbers also where shapes are made."""
        for name in dict.fromkeys(name for step in self._steps for name in step.node.inputs):
            if name not in stored:
                continue
            value, place = stored[name].contiguous(), f"stored_{len(self._stored) + len(self._whole)}"
            if value.is_floating_point():
                self.register_parameter(place, nn.Parameter(value.clone(), requires_grad=False))
                self._stored[name] = place
            else:
                self.register_buffer(place, value.clone())
                self._whole[name] = value

    def _forget(self) -> None:
        """Note after which step each tensor is needed no more."""
        last = {
            name: place for place, step in enumerate(self._steps) for name in (*step.node.inputs, *step.node.outputs)
        }
        for name, place in last.items():
            if name and name not in self.outputs:
                self._steps[place] = replace(self._steps[place], drop=(*self._steps[place].drop, name))
