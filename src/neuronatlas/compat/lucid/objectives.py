"""Lucid's objectives by their old names: what each picture of a batch is to raise, and what all of them together.

They are added, subtracted and scaled with the signs that Lucid's documentation has: ``channel("a", 1) - 1e2 *
diversity("a")``. Where Lucid takes the mean over a batch, so does a rendering; where it sums over a batch, so does the
objective. A ``batch`` number means one picture alone.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neuronatlas import objectives as ours
from neuronatlas.compat.lucid.refusals import without_equal
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.objectives import PICTURE, Joint, Outputs
from neuronatlas.objectives import Objective as Single
from neuronatlas.units import Unit

Vector = Tensor | np.ndarray

NOTHING = Single("nothing", (), lambda seen: 0 * seen[PICTURE].sum())
EPSILON = 1e-6
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

    def __sub__(self, other: Single | Objective | Joint | float) -> Objective:
        """This one without the other."""
        return self + -1 * other

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


def neuron(
    layer: str, n_channel: int, x: int | None = None, y: int | None = None, batch: int | None = None
) -> Objective:
    """A channel at one position of the map of what the network is shown, by default the middle.

    Column ``x`` and row ``y``, as in Lucent; Lucid's ``x`` is the row.
    """
    single = ours.neuron(layer, n_channel, position=_position(x, y))
    return _of(replace(single, units=(Unit(layer, n_channel),)), batch)


def channel(layer: str, n_channel: int, batch: int | None = None) -> Objective:
    """The mean of a channel."""
    return _of(ours.channel(layer, n_channel), batch)


def direction(layer: str, vec: Vector, cossim_pow: float = 0, batch: int | None = None) -> Objective:
    """The mean of the product with a vector, times the cosine to a power."""
    return _of(ours.cosine(layer, vec, cossim_pow) if cossim_pow else ours.direction(layer, vec), batch)


direction_cossim = direction
"""As in Lucid since 2019; before, the mean cosine."""


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
    """The product of the middle of a map with a tensor of shape (height, width, channels), as Lucid orders its axes; an
    axis of length 1 may be before them.
    """
    tensor = torch.as_tensor(vec)
    tensor = tensor[0] if tensor.ndim == 4 and len(tensor) == 1 else tensor
    if tensor.ndim != 3:
        message = f"vec has shape {tuple(vec.shape)}; (height, width, channels) is expected"
        raise WrongInput(message)
    return _of(ours.tensor_direction(layer, tensor.permute(2, 0, 1), power=cossim_pow), batch)


def deepdream(layer: str, batch: int | None = None) -> Objective:
    """The mean of the squares of a layer."""
    return _of(ours.deepdream(layer), batch)


def total_variation(layer: str = "input", batch: int | None = None) -> Objective:
    """The sum of the differences of neighbours: to be subtracted."""
    return _of(ours.total_variation(layer=layer), batch)


def L1(layer: str = "input", constant: float = 0, batch: int | None = None) -> Objective:
    """The sum of the absolute differences from a constant, over the whole batch: to be subtracted."""
    return _summed(ours.l1(constant, layer=layer), batch)


def L2(layer: str = "input", constant: float = 0, epsilon: float = EPSILON, batch: int | None = None) -> Objective:
    """The root of ``epsilon`` and the sum of the squared differences from a constant, over the whole batch: to be
    subtracted.
    """
    if not 0 <= epsilon < math.inf:
        message = f"epsilon (={epsilon}) must be 0 or more, and finite"
        raise WrongInput(message)
    single = ours.l2(constant, layer=layer)
    if epsilon != EPSILON:

        def measure(seen: Outputs) -> Float[Tensor, ""]:
            return (epsilon + ((seen[layer] - constant) ** 2).sum()).sqrt()

        single = replace(single, name=f"{single.name} with {epsilon!r} under the root", measure=measure)
    return _as_one(single, single.measure) if batch is None else _of(single, batch)


def blur_input_each_step() -> Objective:
    """Half the sum of the squared differences of all pictures from their blurred selves: to be subtracted."""
    return _summed(ours.sharpness(), None)


def penalize_boundary_complexity(shp: object = None, w: int = 20, mask: object = None, C: float = 0.5) -> Objective:
    """Minus the complexity of frames of ``w`` pixels, summed over the batch: to be added. ``shp`` is not needed."""
    if isinstance(shp, int) or mask is not None:
        message = f"shp (={shp!r}) must be the shape of the pictures or None, and mask None: the frame is w (={w}) wide"
        raise WrongInput(message)
    return -_summed(ours.boundary(w, C), None)


def input_diff(orig_img: Vector) -> Objective:
    """The root of the mean squared difference of the whole batch from a picture (h, w, channels) in 0..1: to be subtracted."""
    picture = torch.as_tensor(orig_img)
    picture = picture[0] if picture.ndim == 4 and len(picture) == 1 else picture
    if picture.ndim != 3:
        message = f"orig_img has shape {tuple(picture.shape)}; (height, width, channels) is expected"
        raise WrongInput(message)
    single = ours.input_difference(picture.permute(2, 0, 1))

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        return torch.stack([single.measure({PICTURE: each}) for each in seen[PICTURE]]).square().mean().sqrt()

    return _as_one(single, measure)


def class_logit(layer: str, label: str | SupportsIndex, batch: int | None = None) -> Objective:
    """A channel by the name of its class, where ``layer`` has a unit for each of the network's labels, or by its number.

    As in Lucid the outputs of a batch are summed.
    """
    return Objective(
        lambda count, labels: _summed(ours.channel(layer, _index(labels, label)), batch).making(count, labels)
    )


def channel_interpolate(layer1: str, n_channel1: int, layer2: str, n_channel2: int) -> Objective:
    """From one channel, in the first picture of the batch, to another, in the last."""
    first, last = ours.channel(layer1, n_channel1), ours.channel(layer2, n_channel2)
    return Objective(lambda count, _: [count * each for each in ours.interpolation(first, last, count)])


def alignment(layer: str, decay_ratio: float = 2) -> Objective:
    """Minus the difference between neighbours of the batch: to be added."""
    return Objective(lambda count, _: [NOTHING] * count, lambda _: ours.alignment(layer, decay_ratio))


def diversity(layer: str) -> Objective:
    """The likeness of the styles of the pictures of the batch: to be subtracted."""
    return Objective(lambda count, _: [NOTHING] * count, lambda _: -ours.diversity(layer))


def as_objective(obj: str | Single | Objective | Callable[..., object]) -> Objective:
    """``"layer:3"`` as the channel; an objective of this package for each picture; one of this module as it is.

    Lucid's functions of T are refused: they are written in TensorFlow.
    """
    if isinstance(obj, Objective):
        return obj
    if isinstance(obj, str):
        layer, colon, number = obj.rpartition(":")
        return _of(ours.unit(f"{layer.strip()}{colon}{number.strip()}"), None)
    if not isinstance(obj, Single):
        message = (
            f"the objective is a {type(obj).__name__}: for a function of T write neuronatlas.objectives.of(lambda seen: "
            'seen["layer"][3].mean(), "layer"), where a map is (units, height, width) of one picture'
        )
        raise WrongInput(message)
    return _of(obj, None)


activation_difference = without_equal("activation_difference", "use neuronatlas.objectives.activation_difference")
blur_alpha_each_step = without_equal("blur_alpha_each_step", "use neuronatlas.objectives.mean_alpha, or sharpness")
wrap_objective = without_equal("wrap_objective", "use neuronatlas.objectives.of (docs/how-to/add-an-objective.md)")


def _of(single: Single, batch: Any) -> Objective:
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


def _summed(single: Single, batch: Any) -> Objective:
    """What is summed over a batch, where a rendering takes the mean."""
    return Objective(lambda count, _: [_weighed(single, count)] * count) if batch is None else _of(single, batch)


def _as_one(single: Single, measure: Callable[[Outputs], Float[Tensor, ""]]) -> Objective:
    """The objective of one picture, and of more than one the same formula over all of them, which is ``measure``."""
    joint = Joint(single.name, single.layers, measure)
    return Objective(
        lambda count, _: [single if count == 1 else NOTHING] * count, lambda count: ALONE if count == 1 else joint
    )


def _weighed(single: Single, count: int) -> Single:
    """An objective that counts as much as all; the name of one alone, which decides its noise, stays."""
    return single if count == 1 else count * single


def _index(labels: tuple[str, ...], label: str | SupportsIndex) -> int:
    """The number of a label, the first of equals."""
    if not isinstance(label, str):
        return operator.index(label)
    if label not in labels:
        raise UnknownName("label", label, labels)
    return labels.index(label)


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


def _position(x: int | None, y: int | None) -> tuple[int, int] | None:
    if x is None and y is None:
        return None
    if x is None or y is None:
        message = f"x (={x}) and y (={y}) must be given both, or neither for the middle"
        raise WrongInput(message)
    return y, x
