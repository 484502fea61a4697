"""What every transform offers, and what they share: settings, rules of arguments, choices among options."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from neuronatlas.errors import WrongInput

Option = TypeVar("Option")


@runtime_checkable
class Transform(Protocol):
    """What the rendering loop asks of a transform.

    All random numbers are given, so that the same draws give the same result in any batch. Where ``shared``, the first
    row of the draws serves the whole batch, as in Lucid: a transform whose draw changes the size has no other choice.
    """

    @property
    def views(self) -> int:
        """How many pictures come out for each that goes in."""
        ...

    @property
    def shared(self) -> bool:
        """Whether the first row of the draws serves the whole batch."""
        ...

    def draw(self, steps: int, generator: torch.Generator) -> Tensor:
        """The random numbers of one picture for all steps, of shape (steps, k) and type float32."""
        ...

    def __call__(self, images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n k"]) -> Float[Tensor, "m d H W"]:
        """The pictures transformed: m = n * views, the views of a picture next to each other."""
        ...


@runtime_checkable
class Part(Transform, Protocol):
    """A transform that can stand in a chain and be written down."""

    @property
    def columns(self) -> int:
        """How many random numbers a step and a picture: the k of ``draw``."""
        ...

    @property
    def settings(self) -> dict[str, object]:
        """The name and the fields, of plain types: ``transform_of`` makes the transform of them again."""
        ...


class Named:
    """The settings of a frozen dataclass under its ``name``."""

    name: ClassVar[str]

    @property
    def settings(self) -> dict[str, object]:
        """The name and the fields, of plain types: ``transform_of`` makes the transform of them again."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {"name": self.name, **{name: _plain(value) for name, value in values.items()}}


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(member) for member in value]
    return value.settings if isinstance(value, Named) else value


def require(argument: str, value: object, *, sound: bool, rule: str) -> None:
    """Raise `WrongInput` unless ``sound``."""
    if not sound:
        message = f"{argument} (={value!r}) must be {rule}"
        raise WrongInput(message)


def require_range(argument: str, value: float, *, least: float = 0.0, most: float = math.inf) -> None:
    """Raise `WrongInput` unless ``value`` is finite and from ``least`` to ``most``."""
    rule = f"{least:g} or more" if most == math.inf else f"from {least:g} to {most:g}"
    require(argument, value, sound=math.isfinite(value) and least <= value <= most, rule=rule)


def option(number: float, options: Sequence[Option]) -> Option:
    """The option that a number in 0..1 stands for: each has an equal part of the line."""
    return options[min(int(number * len(options)), len(options) - 1)]


def seeds(steps: int, generator: torch.Generator) -> Float[Tensor, "steps 1"]:
    """A seed a step, as float32, which holds all whole numbers below 2^24."""
    return torch.randint(0, 1 << 24, (steps, 1), generator=generator).float()


def seeded(number: float) -> torch.Generator:
    """The generator that a drawn seed stands for."""
    return torch.Generator().manual_seed(int(number))
