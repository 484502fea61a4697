"""What Lucid's objectives are here: one a picture of a batch, and one of all of them, which add, subtract and scale."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from neuronatlas import objectives as ours
from neuronatlas.errors import WrongInput
from neuronatlas.objectives import PICTURE, Joint, Outputs
from neuronatlas.objectives import Objective as Single

NOTHING = Single("nothing", (), lambda seen: 0 * seen[PICTURE].sum())
ALONE = Joint("nothing", (), lambda seen: 0 * seen[PICTURE].sum())

Making = Callable[[int, tuple[str, ...]], list[Single]]
Joining = Callable[[int], Joint]


@dataclass(frozen=True)
class Objective:
    """What each of n pictures is to raise, given n and the network's labels, and what they are to raise together.

    The pictures' objectives count by their mean over the batch.
    """

    making: Making
    joining: Joining = lambda _: ALONE

    def pictures(self, count: int, labels: tuple[str, ...] = ()) -> list[Single]:
        """The objective of each of so many pictures, of a network with these labels."""
        return self.making(count, labels)

    def together(self, count: int) -> Joint:
        """What so many pictures are to raise together; `ALONE` where that is nothing."""
        return self.joining(count)

    def __add__(self, other: Single | Objective | Joint | float | Callable[..., object]) -> Objective:
        """The sum of both; a number changes nothing, since it has no gradient."""
        if isinstance(other, (int, float, np.number)):
            return self
        if isinstance(other, Joint):
            joint = other
            other = Objective(lambda count, _: [NOTHING] * count, lambda _: joint)
        elif isinstance(other, Single) or callable(other):
            other = as_objective(other)
        if not isinstance(other, Objective):
            return NotImplemented
        added = other
        return Objective(
            lambda count, labels: [
                _sum(a, b) for a, b in zip(self.making(count, labels), added.making(count, labels), strict=True)
            ],
            lambda count: _joined(self.joining(count), added.joining(count)),
        )

    __radd__ = __add__

    def __mul__(self, factor: float | Objective) -> Objective:
        """This one, weighed."""
        if isinstance(factor, Objective):
            message = "the product of two objectives has no equal here: use neuronatlas.objectives.of"
            raise WrongInput(message)

        def joint(count: int) -> Joint:
            together = self.joining(count)
            return ALONE if together is ALONE else factor * together

        def pictures(count: int, labels: tuple[str, ...]) -> list[Single]:
            return [each if each is NOTHING else factor * each for each in self.making(count, labels)]

        return Objective(pictures, joint)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Objective:
        """This one, divided."""
        return self * (1 / divisor)

    def __neg__(self) -> Objective:
        """What this one avoids."""
        return -1 * self

    def __sub__(self, other: Single | Objective | Joint | float | Callable[..., object]) -> Objective:
        """This one without the other."""
        return self + (other if callable(other) else -1 * other)

    def __rsub__(self, other: Single | Joint | float) -> Objective:
        """The other without this one; of a number what this one avoids, since it changes nothing."""
        return -self + other

    @staticmethod
    def sum(objectives: Iterable[Objective]) -> Objective:
        """The sum of one or more; raises `WrongInput` when there is none."""
        parts = list(objectives)
        if not parts:
            message = "objectives is empty: there is nothing to maximise"
            raise WrongInput(message)
        return reduce(operator.add, parts)


def as_objective(obj: str | Single | Objective | Callable[..., object]) -> Objective:
    """``"layer:3"`` as the channel; an objective of this package for each picture; one of this module as it is.

    Lucid's functions of T are refused: they are written in TensorFlow.
    """
    if isinstance(obj, Objective):
        return obj
    if isinstance(obj, str):
        layer, colon, number = obj.rpartition(":")
        return of_pictures(ours.unit(f"{layer.strip()}{colon}{number.strip()}"), None)
    if not isinstance(obj, Single):
        message = (
            f"the objective is a {type(obj).__name__}: for a function of T write neuronatlas.objectives.of(lambda seen: "
            'seen["layer"][3].mean(), "layer"), where a map is (units, height, width) of one picture'
        )
        raise WrongInput(message)
    return of_pictures(obj, None)


def of_pictures(single: Single, batch: Any) -> Objective:
    """A picture's objective: that of each, or of the one whose number is ``batch``."""
    if batch is None:
        return Objective(lambda count, _: [single] * count)
    try:
        chosen = operator.index(batch)
    except TypeError as error:
        message = f"batch (={batch!r}) must be the number of a picture, or None for all"
        raise WrongInput(message) from error

    def pictures(count: int, _: tuple[str, ...]) -> list[Single]:
        if not 0 <= chosen < count:
            message = f"batch (={batch}) is out of range: there are {count} pictures, 0 to {count - 1}"
            raise WrongInput(message)
        return [_weighed(single, count) if number == chosen else NOTHING for number in range(count)]

    return Objective(pictures)


def summed(single: Single, batch: Any) -> Objective:
    """What is summed over a batch, where a rendering takes the mean."""
    return (
        Objective(lambda count, _: [_weighed(single, count)] * count) if batch is None else of_pictures(single, batch)
    )


def as_one(single: Single, measure: Callable[[Outputs], Float[Tensor, ""]]) -> Objective:
    """The objective of one picture, and of more than one the same formula over all of them, which is ``measure``."""
    joint = Joint(single.name, single.layers, measure)
    return Objective(
        lambda count, _: [single if count == 1 else NOTHING] * count, lambda count: ALONE if count == 1 else joint
    )


def _weighed(single: Single, count: int) -> Single:
    """An objective that counts as much as all; the name of one alone, which decides its noise, stays."""
    return single if count == 1 else count * single


def _joined(a: Joint, b: Joint) -> Joint:
    """The sum, without what is nothing."""
    if a is ALONE or b is ALONE:
        return b if a is ALONE else a
    return a + b


def _sum(a: Single, b: Single) -> Single:
    """The sum, without what is nothing."""
    if a is NOTHING or b is NOTHING:
        return b if a is NOTHING else a
    return a + b
