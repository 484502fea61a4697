"""Lucid's objectives by their old names: what each picture of a batch is to raise, and what all of them together.

They are added, subtracted and scaled with the signs that Lucid's documentation has: ``channel("a", 1) - 1e2 *
diversity("a")``. Where Lucid takes the mean over a batch, so does a rendering; a ``batch`` number means one picture alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np
import torch
from torch import Tensor

from neuronatlas import objectives as ours
from neuronatlas.errors import WrongInput
from neuronatlas.objectives import PICTURE, Joint
from neuronatlas.objectives import Objective as Single
from neuronatlas.units import Unit

Vector = Tensor | np.ndarray

NOTHING = Single("nothing", (), lambda seen: 0 * seen[PICTURE].sum())
ALONE = Joint("nothing", (), lambda seen: 0 * seen[PICTURE].sum())


@dataclass(frozen=True)
class Objective:
    """What each of n pictures is to raise, given n, and what they are to raise together.

    The pictures' objectives count by their mean over the batch.
    """

    pictures: Callable[[int], list[Single]]
    together: Joint = ALONE

    def __add__(self, other: Objective) -> Objective:
        """The sum of both."""
        if not isinstance(other, Objective):
            return NotImplemented
        return Objective(
            lambda count: [_sum(a, b) for a, b in zip(self.pictures(count), other.pictures(count), strict=True)],
            other.together if self.together is ALONE else self.together + other.together,
        )

    def __mul__(self, factor: float) -> Objective:
        """This one, weighed."""
        together = ALONE if self.together is ALONE else factor * self.together

        def pictures(count: int) -> list[Single]:
            return [each if each is NOTHING else factor * each for each in self.pictures(count)]

        return Objective(pictures, together)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Objective:
        """This one, divided."""
        return self * (1 / divisor)

    def __neg__(self) -> Objective:
        """What this one avoids."""
        return -1 * self

    def __sub__(self, other: Objective) -> Objective:
        """This one without the other."""
        return self + -other

    @staticmethod
    def sum(objectives: Iterable[Objective]) -> Objective:
        """The sum of one or more."""
        return reduce(add, objectives)


def neuron(
    layer: str, n_channel: int, x: int | None = None, y: int | None = None, batch: int | None = None
) -> Objective:
    """A channel at one position of the map of what the network is shown: column ``x``, row ``y``; by default the middle."""
    single = ours.neuron(layer, n_channel, position=_position(x, y))
    return _of(replace(single, units=(Unit(layer, n_channel),)), batch)


def channel(layer: str, n_channel: int, batch: int | None = None) -> Objective:
    """The mean of a channel."""
    return _of(ours.channel(layer, n_channel), batch)


def direction(layer: str, vec: Vector, cossim_pow: float = 0, batch: int | None = None) -> Objective:
    """The mean of the product with a vector, times the cosine to a power."""
    return _of(ours.cosine(layer, vec, cossim_pow) if cossim_pow else ours.direction(layer, vec), batch)


def direction_neuron(
    layer_name: str,
    vec: Vector,
    x: int | None = None,
    y: int | None = None,
    cossim_pow: float = 0,
    batch: int | None = None,
) -> Objective:
    """As `direction`, at one position as of `neuron`."""
    single = ours.direction_neuron(layer_name, vec, _position(x, y), power=cossim_pow)
    return _of(replace(single, units=()), batch)


def tensor_direction(layer: str, vec: Vector, cossim_pow: float = 0, batch: int | None = None) -> Objective:
    """The product of the middle of a map with a tensor of shape (1, height, width, channels), as Lucid orders its axes."""
    if vec.ndim != 4 or vec.shape[0] != 1:
        message = f"vec has shape {tuple(vec.shape)}; (1, height, width, channels) is expected"
        raise WrongInput(message)
    return _of(ours.tensor_direction(layer, torch.as_tensor(vec)[0].permute(2, 0, 1), power=cossim_pow), batch)


def deepdream(layer: str, batch: int | None = None) -> Objective:
    """The mean of the squares of a layer."""
    return _of(ours.deepdream(layer), batch)


def total_variation(layer: str = "input", batch: int | None = None) -> Objective:
    """The sum of the differences of neighbours: to be subtracted."""
    return _of(ours.total_variation(layer=layer), batch)


def L1(layer: str = "input", constant: float = 0, batch: int | None = None) -> Objective:
    """The sum of the absolute differences from a constant: to be subtracted."""
    return _of(ours.l1(constant, layer=layer), batch)


def L2(layer: str = "input", constant: float = 0, batch: int | None = None) -> Objective:
    """The root of the sum of the squared differences from a constant, 1e-6 under the root: to be subtracted."""
    return _of(ours.l2(constant, layer=layer), batch)


def blur_input_each_step() -> Objective:
    """Half the squared difference of a picture from its blurred self: to be subtracted."""
    return _of(ours.sharpness(), None)


def penalize_boundary_complexity(w: int = 20, C: float = 0.5) -> Objective:
    """Minus the complexity of a frame of ``w`` pixels: to be added. Lucid's first argument, the shape, is not needed."""
    return -_of(ours.boundary(w, C), None)


def channel_interpolate(layer1: str, n_channel1: int, layer2: str, n_channel2: int) -> Objective:
    """From one channel, in the first picture of the batch, to another, in the last."""
    first, last = ours.channel(layer1, n_channel1), ours.channel(layer2, n_channel2)
    return Objective(lambda count: [count * each for each in ours.interpolation(first, last, count)])


def alignment(layer: str, decay_ratio: float = 2) -> Objective:
    """Minus the difference between neighbours of the batch: to be added."""
    return Objective(lambda count: [NOTHING] * count, ours.alignment(layer, decay_ratio))


def diversity(layer: str) -> Objective:
    """The likeness of the styles of the pictures of the batch: to be subtracted."""
    return Objective(lambda count: [NOTHING] * count, -ours.diversity(layer))


def as_objective(obj: str | Single | Objective) -> Objective:
    """``"layer:3"`` as the channel; an objective of this package for each picture; one of this module as it is."""
    if isinstance(obj, Objective):
        return obj
    return _of(ours.unit(obj) if isinstance(obj, str) else obj, None)


def _of(single: Single, batch: int | None) -> Objective:
    if batch is None:
        return Objective(lambda count: [single] * count)

    def pictures(count: int) -> list[Single]:
        if not 0 <= batch < count:
            message = f"batch (={batch}) is out of range: there are {count} pictures, 0 to {count - 1}"
            raise WrongInput(message)
        return [count * single if number == batch else NOTHING for number in range(count)]

    return Objective(pictures)


def _sum(a: Single, b: Single) -> Single:
    """The sum, without what is nothing."""
    if a is NOTHING or b is NOTHING:
        return b if a is NOTHING else a
    return a + b


def _position(x: int | None, y: int | None) -> tuple[int, int] | None:
    if x is None and y is None:
        return None
    if x is None or y is None:
        message = f"x (={x}) and y (={y}) must be given both, or neither for the middle"
        raise WrongInput(message)
    return y, x
