"""ONNX models as networks: as a torch module that can be differentiated, or else in onnxruntime for responses alone.

A node is a layer when it computes something; what moves numbers about (reshaping, transposing, slicing, padding) is
none. Its name is that of the node, which exporters take from the original model. Maps with channels last, as files
made from TensorFlow and Keras have them, are turned.

An operator that cannot be differentiated here, such as those of quantised networks and of control flow, leaves the
whole network to onnxruntime: responses and maps, no pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from neuronatlas.errors import WrongInput
from neuronatlas.networks.base import InputSpec, Network
from neuronatlas.networks.bridge import BridgedNetwork
from neuronatlas.networks.modules import moved
from neuronatlas.networks.onnx import reading
from neuronatlas.networks.onnx.input import Taken
from neuronatlas.networks.onnx.module import Graph, OnnxModule
from neuronatlas.networks.onnx.node import NotDone
from neuronatlas.networks.onnx.operators import OPERATORS
from neuronatlas.networks.torch import TorchNetwork

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx import ModelProto

    from neuronatlas.networks.base import Capture
    from neuronatlas.networks.preprocessing import Given

_HALVES = (10, 16)


class OnnxNetwork(TorchNetwork):
    """A graph as a torch module; ``singly`` where it takes one picture at a time, whatever is asked."""

    singly = False

    @contextmanager
    def capture(
        self, layers: Iterable[str], *, wake: bool = False, units: Sequence[int] | None = None
    ) -> Iterator[Capture]:
        """See `Network.capture`."""
        with super().capture(layers, wake=wake, units=units) as run:

            def one_by_one(images: Tensor) -> dict[str, Tensor]:
                found = [run(image) for image in torch.split(images, 1)]
                return {name: torch.cat([each[name] for each in found]) for name in found[0]}

            yield one_by_one if self.singly else run

    def with_module(self, module: nn.Module) -> TorchNetwork:
        """This network with another module of the same layers in place of its own."""
        other = OnnxNetwork(module, input=self.input, name=self.name, labels=self.labels, rename=self._rename)
        other.singly, other.notes = self.singly, self.notes
        other.__dict__["_table"] = self._table
        return other


def load(path: Path, given: Given) -> Network:
    """The network of an ``.onnx`` file; see `neuronatlas.load`."""
    return adapt(reading.read(path), given, name=path.name)


def adapt(model: ModelProto, given: Given, name: str = "") -> Network:
    """A model in memory as a network; see `neuronatlas.networks.as_network`."""
    model = reading.whole_model(model)
    name = given.name or name or model.graph.name or "network"
    taken = Taken.of(model, given)
    spec = given.spec(size=taken.size, channels=taken.channels)
    try:
        module = OnnxModule(_graph(model, taken), _pictures(spec, max(1, taken.fixed)))
    except NotDone as error:
        return _without_gradient(model, taken, spec, name, given, error.reason)
    placed = module if given.device is None else moved(module, given.device)
    found = OnnxNetwork(placed, input=spec, name=name, labels=given.labels, rename=module.renamed)
    found.batched = not taken.fixed  # else `_takes_batches` compares them
    if any(tensor.data_type in _HALVES for tensor in model.graph.initializer):
        found.notes = ("its weights are of 16 bits and are used with 32",)
    if taken.fixed and not _takes_batches(found):
        if taken.fixed > 1:
            message = (
                f"model takes {taken.fixed} pictures at once, no more and no fewer: export it with a free first axis"
            )
            raise WrongInput(message)
        found.singly = True
    return found


def _graph(model: ModelProto, taken: Taken) -> Graph:
    """The graph as it is computed; raises `NotDone` where an operator of it is not known."""
    nodes = reading.nodes(model)
    strange = next((node for node in nodes if node.op not in OPERATORS), None)
    if strange is not None:
        reason = f"{strange.op} (node {strange.name!r})"
        raise NotDone(reason)
    if model.graph.sparse_initializer:
        reason = "on sparse weights"
        raise NotDone(reason)
    stored = {tensor.name: reading.tensor_of(tensor) for tensor in model.graph.initializer}
    outputs = [output.name for output in model.graph.output]
    return Graph(nodes, stored, taken.name, outputs, taken.fixed, taken.channels_last)


def _without_gradient(  # noqa: PLR0917
    model: ModelProto, taken: Taken, spec: InputSpec, name: str, given: Given, reason: str
) -> BridgedNetwork:
    from neuronatlas.networks.onnx.runtime import RuntimeFunction

    function = RuntimeFunction(model, taken, f"its operator {reason} cannot be differentiated")
    return BridgedNetwork(function, input=spec, name=name, labels=given.labels)


def _pictures(spec: InputSpec, count: int) -> Tensor:
    """Random pictures as the network wants them, the same in every run."""
    generator = torch.Generator().manual_seed(0)
    return spec.normalise(torch.rand((count, spec.channels, *spec.size), generator=generator, dtype=torch.float32))


def _takes_batches(network: OnnxNetwork) -> bool:
    """Do two pictures give, in every layer, what each gives alone? The file was written for another number."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, network.input.channels, *network.input.size)
    images = torch.rand(shape, generator=generator, dtype=torch.float32).to(network.device)
    try:
        names = list(network.layers)
        with torch.no_grad(), network.capture(names) as run:
            both, first, second = run(images), run(images[:1]), run(images[1:])
    except (RuntimeError, ValueError, IndexError):
        return False
    for name in names:
        alone = torch.cat([first[name], second[name]])
        if not torch.allclose(
            both[name], alone, 1e-3, 1e-3 * float(alone.nan_to_num(0, 0, 0).abs().max()), equal_nan=True
        ):
            return False
    return True
