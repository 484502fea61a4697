"""What every way of writing pictures as numbers shares: the interface, plain settings, the random start, the checks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neuronatlas.errors import WrongInput

Size = tuple[int, int]
"""Height and width in pixels."""


@runtime_checkable
class Parametrisation(Protocol):
    """How pictures are written as numbers. Frozen dataclasses without state; the size is given with each call."""

    @property
    def planes(self) -> int:
        """The channels of the pictures: 3 for RGB, 1 for grey, 4 for RGB with alpha."""
        ...

    @property
    def settings(self) -> dict[str, object]:
        """The name and the fields as values that JSON knows; an array is given by its shape and sha256."""
        ...

    def shape(self, size: Size) -> tuple[int, ...]:
        """The shape of the numbers of one picture."""
        ...

    def start(self, size: Size, generators: Sequence[torch.Generator]) -> Tensor:
        """Numbers to begin from, float32 on the CPU, of shape (n, *shape(size)): one picture a generator."""
        ...

    def image(self, numbers: Tensor, size: Size) -> Float[Tensor, "n c h w"]:
        """The pictures in 0..1, of the numbers' type and on their device."""
        ...


def settings_of(parametrisation: object) -> dict[str, object]:
    """The class's name in small letters and its fields, as values that JSON knows.

    Any object that is a dataclass: to check that it is a `Parametrisation` would ask for its settings.
    """
    about: dict[str, object] = {"name": type(parametrisation).__name__.lower()}
    for field in fields(parametrisation):  # type: ignore[arg-type]
        if not field.init:
            continue
        value = getattr(parametrisation, field.name)
        if isinstance(value, (np.ndarray, Tensor)):
            value = summary(value)
        elif hasattr(value, "settings"):
            value = value.settings
        about[field.name] = list(value) if isinstance(value, tuple) else value
    return about


def summary(values: np.ndarray | Tensor) -> dict[str, object]:
    """The shape of an array, and the sha256 of its values as little-endian float32 in C order."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    data = np.ascontiguousarray(array, dtype="<f4").tobytes()
    return {"shape": list(values.shape), "sha256": hashlib.sha256(data).hexdigest()}


def drawn(shape: tuple[int, ...], sd: float, generators: Sequence[torch.Generator]) -> Tensor:
    """Normal numbers of spread ``sd`` and of shape (n, *shape), each picture's from its own generator."""
    check_generators(generators)
    return torch.stack([sd * torch.randn(shape, generator=each, dtype=torch.float32) for each in generators])


def widened(numbers: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The numbers in C order, half precision as float32; raises `WrongInput` unless each picture's are of ``shape``."""
    if tuple(numbers.shape[1:]) != shape:
        message = f"numbers (shape {tuple(numbers.shape)}) must be of shape (n, {', '.join(map(str, shape))})"
        raise WrongInput(message)
    return (numbers.float() if numbers.dtype.itemsize < 4 else numbers).contiguous()


def one_by_one(function: Callable[[Tensor], Tensor], numbers: Tensor) -> Tensor:
    """A function of each picture's numbers by themselves on a processor, of all at once elsewhere.

    On a processor an exponential or a sine rounds by the place of a number in memory: the last few of a stretch go
    another way than those that fill a vector. So a picture would depend on its place in the batch.
    """
    if numbers.device.type != "cpu":
        return function(numbers)
    return torch.cat([function(numbers[index : index + 1]) for index in range(len(numbers))])


def check_size(size: Size) -> None:
    """Refuse a size without pixels."""
    if min(size) < 1:
        message = f"size (={size}) must be at least 1 x 1 pixel"
        raise WrongInput(message)


def check_generators(generators: Sequence[torch.Generator]) -> None:
    """Refuse to make no picture at all."""
    if not generators:
        message = "generators (=[]) must hold one for each picture, so at least one"
        raise WrongInput(message)


def check_above(least: float, **values: float | None) -> None:
    """Refuse values that are not finite numbers above ``least``, which may be minus infinity; None passes."""
    rule = "" if least == float("-inf") else f" above {least:g}"
    for name, value in values.items():
        if value is not None and not (least < value < float("inf")):
            message = f"{name} (={value}) must be a finite number{rule}"
            raise WrongInput(message)
