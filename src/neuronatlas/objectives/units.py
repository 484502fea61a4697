"""Objectives of single units and of whole layers."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.networks.base import Network
from neuronatlas.objectives.base import Objective, Outputs, by_unit, reading
from neuronatlas.units import Unit


def channel(layer: str, index: int) -> Objective:
    """The mean of a unit over all its positions."""
    unit = Unit(layer, index)

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        return by_unit(seen[layer])[index].mean()

    return Objective(str(unit), (layer,), measure, (unit,), mean_of=index)


def neuron(layer: str, index: int, *, position: tuple[int, int] | None = None) -> Objective:
    """A unit at one position (row, column); by default the middle, ``size // 2`` of each side, as in Lucid."""

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        return at(seen, layer, position)[index]

    address = Unit(layer, index, position)
    name = str(address) if position else f"{address}@middle"
    return Objective(name, (layer,), measure, (address,))


def unit(address: str | Unit) -> Objective:
    """The objective of an address: `neuron` where it has a position, else `channel`."""
    parsed = Unit.parse(address) if isinstance(address, str) else address
    if parsed.position is None:
        return channel(parsed.layer, parsed.index)
    return neuron(parsed.layer, parsed.index, position=parsed.position)


def deepdream(layer: str) -> Objective:
    """The mean of the squares of a layer's output: whatever it holds is to grow (Mordvintsev et al. 2015; Lucid)."""

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        return (seen[layer] ** 2).mean()

    return Objective(f"deepdream({layer})", reading(layer), measure)


def class_logit(network: Network, label: str | int) -> Objective:
    """The output of a classifier for one of its classes: a `channel` of its last layer with a unit a label.

    A softmax is passed over where the layer before it has as many units: its output also grows when all other classes
    shrink. Raises `UnknownName` for an unknown label, `WrongInput` for an ambiguous one or a network without labels.
    """
    labels = network.labels
    fitting = [layer for layer in network.layers.values() if layer.units == len(labels)]
    if not labels or not fitting:
        message = f"network {network.name!r} has {len(labels)} labels and {len(fitting)} layers with a unit for each"
        raise WrongInput(message)
    linear = [layer for layer in fitting if layer.kind != "activation"]
    return channel((linear or fitting)[-1].name, _index(labels, label))


def _index(labels: tuple[str, ...], label: str | int) -> int:
    if isinstance(label, int):
        if not 0 <= label < len(labels):
            message = f"label (={label}) is out of range: there are labels 0 to {len(labels) - 1}"
            raise WrongInput(message)
        return label
    found = [index for index, name in enumerate(labels) if name == label]
    if not found:
        raise UnknownName("label", label, labels)
    if len(found) > 1:
        message = f"label {label!r} is the name of outputs {' and '.join(map(str, found))}: give its number"
        raise WrongInput(message)
    return found[0]


def at(seen: Outputs, layer: str, position: tuple[int, int] | None) -> Float[Tensor, " units"]:
    """All units of a map at one position, by default the middle; raises `WrongInput` where there is no such place."""
    output = seen[layer]
    if output.ndim != 3:
        message = f"layer {layer!r} has no map to take a position of: its output has shape {tuple(output.shape)}"
        raise WrongInput(message)
    height, width = output.shape[1:]
    row, column = position or (height // 2, width // 2)
    if not (0 <= row < height and 0 <= column < width):
        message = f"position (={row}, {column}) lies outside the map of layer {layer!r}, {height} x {width} positions"
        raise WrongInput(message)
    return output[:, row, column]
