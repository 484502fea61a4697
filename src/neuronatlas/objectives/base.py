"""What an objective is: for one picture, an `Objective`; for several that are made together, a `Joint`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np
import torch
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
    ``mean_of`` is given when it is nothing but the mean over the positions of that unit of its one layer, which allows a
    faster way to the same number.
    """

    name: str
    layers: tuple[str, ...]
    measure: Callable[[Outputs], Float[Tensor, ""]]
    units: tuple[Unit, ...] = ()
    mean_of: int | None = None

    def __add__(self, other: Objective) -> Objective:
        """The sum of both."""
        if not isinstance(other, Objective):
            return NotImplemented
        return total([self, other])

    def __neg__(self) -> Objective:
        """What this one avoids."""
        return -1 * self

    def __sub__(self, other: Objective) -> Objective:
        """This one without the other."""
        return self + -other

    def __mul__(self, factor: float) -> Objective:
        """This one, weighed."""
        return Objective(
            f"{written(factor)} * ({self.name})",
            self.layers,
            lambda seen: factor * self.measure(seen),
            self.units,
        )

    __rmul__ = __mul__


@dataclass(frozen=True)
class Joint:
    """A number to maximise, from what the network makes of several pictures that are made together.

    As an `Objective`, but ``measure`` sees outputs with the batch axis: (n, units, h, w) of a map, (n, positions, units)
    of tokens, (n, units) of a dense layer, (n, c, h, w) of `PICTURE`.
    """

    name: str
    layers: tuple[str, ...]
    measure: Callable[[Outputs], Float[Tensor, ""]]

    def __add__(self, other: Joint) -> Joint:
        """The sum of both."""
        if not isinstance(other, Joint):
            return NotImplemented
        layers = reading(*self.layers, *other.layers)
        return Joint(f"{self.name} + {other.name}", layers, lambda seen: self.measure(seen) + other.measure(seen))

    def __neg__(self) -> Joint:
        """What this one avoids."""
        return -1 * self

    def __sub__(self, other: Joint) -> Joint:
        """This one without the other."""
        return self + -other

    def __mul__(self, factor: float) -> Joint:
        """This one, weighed."""
        return Joint(f"{written(factor)} * ({self.name})", self.layers, lambda seen: factor * self.measure(seen))

    __rmul__ = __mul__


def total(objectives: Iterable[Objective]) -> Objective:
    """The sum of one or more objectives; raises `WrongInput` when there is none."""
    parts = list(objectives)
    if not parts:
        message = "objectives is empty: there is nothing to maximise"
        raise WrongInput(message)
    return Objective(
        " + ".join(part.name for part in parts),
        reading(*(layer for part in parts for layer in part.layers)),
        lambda seen: reduce(add, [part.measure(seen) for part in parts]),
        tuple(unit for part in parts for unit in part.units),
    )


def mean(objectives: Iterable[Objective]) -> Objective:
    """The mean of one or more objectives; raises `WrongInput` when there is none."""
    parts = list(objectives)
    name = f"mean({', '.join(part.name for part in parts)})"
    return replace(total(parts) * (1 / max(1, len(parts))), name=name)


def interpolation(a: Objective, b: Objective, count: int) -> list[Objective]:
    """``(1 - t) a + t b`` for ``count`` values of t, evenly from 0 to 1, as Lucid's ``channel_interpolate``.

    All of them read the layers of both, the first and the last too, so that they can be made together.
    """
    if count < 2:
        message = f"count (={count}) must be 2 or more: an interpolation has two ends"
        raise WrongInput(message)
    return [(1 - index / (count - 1)) * a + (index / (count - 1)) * b for index in range(count)]


def reading(*layers: str) -> tuple[str, ...]:
    """These layers, each once, without `PICTURE`."""
    return tuple(layer for layer in dict.fromkeys(layers) if layer != PICTURE)


def by_unit(output: Float[Tensor, "..."], *, batched: bool = False) -> Float[Tensor, "... units positions"]:
    """The output of any layer as (units, positions), or (n, units, positions) with ``batched``."""
    shape = output.shape[batched:]
    if len(shape) == 1:
        return output.unsqueeze(-1)
    return output.mT if len(shape) == 2 else output.flatten(1 + batched)


def digest(*numbers: Tensor) -> str:
    """Eight hexadecimal digits that tell arrays of float32 apart: what a name keeps of a vector or a target."""
    state = hashlib.sha256()
    for values in numbers:
        plain = values.detach().cpu().to(torch.float32).contiguous()
        state.update(f"{tuple(plain.shape)}|".encode() + np.ascontiguousarray(plain.numpy(), dtype="<f4").tobytes())
    return state.hexdigest()[:8]


def as_numbers(what: str, values: Tensor | np.ndarray) -> Float[Tensor, "..."]:
    """A copy of a vector or a target as floating-point numbers; raises `WrongInput` unless all are finite."""
    with torch.inference_mode(False):  # what is made in that mode cannot take part in a gradient
        numbers = torch.as_tensor(values).detach().clone()
        if not numbers.is_floating_point():
            numbers = numbers.float()
    if numbers.numel() == 0 or not numbers.isfinite().all():
        message = f"{what} of shape {tuple(numbers.shape)} must hold numbers, all of them finite"
        raise WrongInput(message)
    return numbers


def written(number: float) -> str:
    """A number as it stands in a name, which is all that a saved picture keeps of it: exact, and 1 for 1.0."""
    return repr(float(number)).removesuffix(".0")
