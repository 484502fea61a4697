"""Objectives: what a rendering maximises. They add, subtract and scale: ``channel("conv5", 3) - 0.5 * channel("conv5", 9)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from neuronatlas.errors import WrongInput
from neuronatlas.units import Unit

Outputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Objective:
    """A number to maximise, from the outputs of ``layers`` for one picture (without a batch axis).

    ``name`` describes it and seeds its random stream; ``units`` are those that it speaks of.
    """

    name: str
    units: tuple[Unit, ...]
    measure: Callable[[Outputs], Float[Tensor, ""]]

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers it needs, each once."""
        return tuple(dict.fromkeys(unit.layer for unit in self.units))

    def __add__(self, other: Objective) -> Objective:
        """The sum of both."""
        return Objective(
            f"{self.name} + {other.name}",
            self.units + other.units,
            lambda seen: self.measure(seen) + other.measure(seen),
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
        return Objective(f"{exact} * ({self.name})", self.units, lambda seen: factor * self.measure(seen))

    __rmul__ = __mul__


def channel(layer: str, index: int) -> Objective:
    """The mean of a unit over all its positions."""
    unit = Unit(layer, index)

    def measure(seen: Outputs) -> Tensor:
        output = seen[layer]
        return output[index].mean() if output.ndim != 2 else output[:, index].mean()

    return Objective(str(unit), (unit,), measure)


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
    return Objective(name, (address,), measure)


def unit(address: str | Unit) -> Objective:
    """The objective of an address: `neuron` where it has a position, else `channel`."""
    parsed = Unit.parse(address) if isinstance(address, str) else address
    if parsed.position is None:
        return channel(parsed.layer, parsed.index)
    return neuron(parsed.layer, parsed.index, position=parsed.position)
