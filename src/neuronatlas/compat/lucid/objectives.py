"""Lucid's objectives by their old names: what each picture of a batch is to raise, and what all of them together.

They are added, subtracted and scaled with the signs that Lucid's documentation has: ``channel("a", 1) - 1e2 *
diversity("a")``. Where Lucid takes the mean over a batch, so does a rendering; where it sums over a batch, so does the
objective. A ``batch`` number means one picture alone.
"""

from __future__ import annotations

import math
import operator
from dataclasses import replace
from typing import SupportsIndex

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neuronatlas import objectives as ours
from neuronatlas.compat.lucid.composition import NOTHING, Objective, as_objective, as_one, of_pictures, summed
from neuronatlas.compat.lucid.refusals import without_equal
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.objectives import PICTURE, Outputs
from neuronatlas.units import Unit

__all__ = [
    "L1", "L2", "Objective", "activation_difference", "alignment", "as_objective", "blur_alpha_each_step",
    "blur_input_each_step", "channel", "channel_interpolate", "class_logit", "deepdream", "direction",
    "direction_cossim", "direction_neuron", "diversity", "input_diff", "neuron", "penalize_boundary_complexity",
    "tensor_direction", "total_variation", "wrap_objective",
]  # fmt: skip

Vector = Tensor | np.ndarray
EPSILON = 1e-6


def neuron(
    layer: str, n_channel: int, x: int | None = None, y: int | None = None, batch: int | None = None
) -> Objective:
    """A channel at one position of the map of what the network is shown, by default the middle.

    Column ``x`` and row ``y``, as in Lucent; Lucid's ``x`` is the row.
    """
    single = ours.neuron(layer, n_channel, position=_position(x, y))
    return of_pictures(replace(single, units=(Unit(layer, n_channel),)), batch)


def channel(layer: str, n_channel: int, batch: int | None = None) -> Objective:
    """The mean of a channel."""
    return of_pictures(ours.channel(layer, n_channel), batch)


def direction(layer: str, vec: Vector, cossim_pow: float = 0, batch: int | None = None) -> Objective:
    """The mean of the product with a vector, times the cosine to a power."""
    return of_pictures(ours.cosine(layer, vec, cossim_pow) if cossim_pow else ours.direction(layer, vec), batch)


direction_cossim = direction
"""As in the last version of Lucid; in early ones it is the mean of the cosine."""


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
    return of_pictures(replace(single, units=()), batch)


def tensor_direction(layer: str, vec: Vector, cossim_pow: float = 0, batch: int | None = None) -> Objective:
    """The product of the middle of a map with a tensor of shape (height, width, channels), as Lucid orders its axes; an
    axis of length 1 may be before them.
    """
    tensor = torch.as_tensor(vec)
    tensor = tensor[0] if tensor.ndim == 4 and len(tensor) == 1 else tensor
    if tensor.ndim != 3:
        message = f"vec has shape {tuple(vec.shape)}; (height, width, channels) is expected"
        raise WrongInput(message)
    return of_pictures(ours.tensor_direction(layer, tensor.permute(2, 0, 1), power=cossim_pow), batch)


def deepdream(layer: str, batch: int | None = None) -> Objective:
    """The mean of the squares of a layer."""
    return of_pictures(ours.deepdream(layer), batch)


def total_variation(layer: str = "input", batch: int | None = None) -> Objective:
    """The sum of the differences of neighbours: to be subtracted."""
    return of_pictures(ours.total_variation(layer=layer), batch)


def L1(layer: str = "input", constant: float = 0, batch: int | None = None) -> Objective:
    """The sum of the absolute differences from a constant, over the whole batch: to be subtracted."""
    return summed(ours.l1(constant, layer=layer), batch)


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
    return as_one(single, single.measure) if batch is None else of_pictures(single, batch)


def blur_input_each_step() -> Objective:
    """Half the sum of the squared differences of all pictures from their blurred selves: to be subtracted."""
    return summed(ours.sharpness(), None)


def penalize_boundary_complexity(shp: object = None, w: int = 20, mask: object = None, C: float = 0.5) -> Objective:
    """Minus the complexity of frames of ``w`` pixels, summed over the batch: to be added. ``shp`` is not needed."""
    if isinstance(shp, int) or mask is not None:
        message = f"shp (={shp!r}) must be the shape of the pictures or None, and mask None: the frame is w (={w}) wide"
        raise WrongInput(message)
    return -summed(ours.boundary(w, C), None)


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

    return as_one(single, measure)


def class_logit(layer: str, label: str | SupportsIndex, batch: int | None = None) -> Objective:
    """A channel by the name of its class, where ``layer`` has a unit for each of the network's labels, or by its number.

    As in Lucid the outputs of a batch are summed.
    """
    return Objective(
        lambda count, labels: summed(ours.channel(layer, _index(labels, label)), batch).making(count, labels)
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


activation_difference = without_equal("activation_difference", "use neuronatlas.objectives.activation_difference")
blur_alpha_each_step = without_equal("blur_alpha_each_step", "use neuronatlas.objectives.mean_alpha, or sharpness")
wrap_objective = without_equal("wrap_objective", "use neuronatlas.objectives.of (docs/how-to/add-an-objective.md)")


def _index(labels: tuple[str, ...], label: str | SupportsIndex) -> int:
    """The number of a label, the first of equals."""
    if not isinstance(label, str):
        return operator.index(label)
    if label not in labels:
        raise UnknownName("label", label, labels)
    return labels.index(label)


def _position(x: int | None, y: int | None) -> tuple[int, int] | None:
    if x is None and y is None:
        return None
    if x is None or y is None:
        message = f"x (={x}) and y (={y}) must be given both, or neither for the middle"
        raise WrongInput(message)
    return y, x
