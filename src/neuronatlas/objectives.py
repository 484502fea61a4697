"""Objectives: what a rendering maximises. They add, subtract and scale: ``channel("conv5", 3) - 0.5 * channel("conv5", 9)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from neuronatlas.errors import WrongInput
from neuronatlas.units import Unit

PICTURE = "input"
"""The key of the picture itself among `Outputs`: (c, h, w) in 0..1, before any transform; always there."""

Outputs = Mapping[str, Tensor]
"""Outputs of ONE picture by layer name, without a batch axis: (units, h, w) of a map, (positions, units) of tokens, (units,)."""


@dataclass(frozen=True)
class Objective:
    """A number to maximise, from what the network makes of one picture.

    ``name`` describes it and seeds its random stream. ``layers`` are those that it reads, each once, in order of first
    use, without `PICTURE`. ``units`` are those that it speaks of, checked against the network before any work.
    ``only`` is given when it reads one layer and of that only these units; ``mean_of`` when it is nothing but the mean
    over the positions of that unit of its one layer: both allow a faster way to the same number.
    """

    name: str
    layers: tuple[str, ...]
    measure: Callable[[Outputs], Float[Tensor, ""]]
    units: tuple[Unit, ...] = ()
    only: tuple[int, ...] | None = None
    mean_of: int | None = None

    def __add__(self, other: Objective) -> Objective:
        """The sum of both."""
        return Objective(
            f"{self.name} + {other.name}",
            tuple(dict.fromkeys(self.layers + other.layers)),
            lambda seen: self.measure(seen) + other.measure(seen),
            self.units + other.units,
            _either(self, other),
        )

    def __neg__(self) -> Objective:
        """What this one avoids."""
        return -1 * self

    def __sub__(self, other: Objective) -> Objective:
        """This one without the other."""
        return self + -other

    def __mul__(self, factor: float) -> Objective:
        """This one, weighed."""
        exact = repr(float(factor)).removesuffix(".0")  # the name is all that a saved picture keeps of it
        name = f"{exact} * ({self.name})"
        return Objective(name, self.layers, lambda seen: factor * self.measure(seen), self.units, self.only)

    __rmul__ = __mul__


def _either(one: Objective, other: Objective) -> tuple[int, ...] | None:
    """The units that the sum of both reads, where it reads one layer and both say which."""
    if not one.layers or not other.layers:  # a penalty on the picture alone
        return one.only or other.only
    if one.layers != other.layers or one.only is None or other.only is None:
        return None
    return tuple(sorted({*one.only, *other.only}))


def channel(layer: str, index: int) -> Objective:
    """The mean of a unit over all its positions."""
    unit = Unit(layer, index)

    def measure(seen: Outputs) -> Tensor:
        output = seen[layer]
        return output[index].mean() if output.ndim != 2 else output[:, index].mean()

    return Objective(str(unit), (layer,), measure, (unit,), only=(index,), mean_of=index)


def neuron(layer: str, index: int, *, position: tuple[int, int] | None = None) -> Objective:
    """A unit at one position (row, column); by default the middle, ``size // 2`` of each side, as in Lucid."""

    def measure(seen: Outputs) -> Tensor:
        output = seen[layer]
        if output.ndim != 3:
            message = f"layer {layer!r} has no map to take a position of: its output has shape {tuple(output.shape)}"
            raise WrongInput(message)
        row, column = position or (output.shape[1] // 2, output.shape[2] // 2)
        return output[index, row, column]

    address = Unit(layer, index, position)
    name = str(address) if position else f"{address}@middle"
    return Objective(name, (layer,), measure, (address,), only=(index,))


def unit(address: str | Unit) -> Objective:
    """The objective of an address: `neuron` where it has a position, else `channel`."""
    parsed = Unit.parse(address) if isinstance(address, str) else address
    if parsed.position is None:
        return channel(parsed.layer, parsed.index)
    return neuron(parsed.layer, parsed.index, position=parsed.position)
