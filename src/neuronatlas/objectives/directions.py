"""Objectives of directions: weighed sums of the units of a layer.

Where there is a ``power`` p > 0, a product ``x . v`` is multiplied by the cosine between x and v, no less than 0.1,
to the power p: ``(x . v) max(0.1, (x . v) / (|x| + 1e-4) / (|v| + 1e-4))^p``, Lucid's ``_dot_cossim``. The plain product
is easily raised by large outputs that point elsewhere; the cosine asks for outputs that point the same way.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor
from torch.linalg import vector_norm

from neuronatlas.errors import WrongInput
from neuronatlas.objectives.base import Objective, Outputs, as_numbers, by_unit, digest, reading, written
from neuronatlas.objectives.units import at
from neuronatlas.units import Unit


def direction(layer: str, vector: Tensor | np.ndarray) -> Objective:
    """The mean over positions of the product of ``vector`` (units,) with the outputs of the units."""
    weights = _vector(vector)

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        outputs = by_unit(seen[layer])
        return _product(outputs, _fitting(weights, outputs, layer), 0.0)

    return Objective(f"direction({layer}, {digest(weights)})", reading(layer), measure)


def cosine(layer: str, vector: Tensor | np.ndarray, power: float = 2.0) -> Objective:
    """The mean over positions of the product with ``vector`` (units,) times the cosine to ``power``, as said above."""
    weights = _vector(vector)
    _check(power)

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        outputs = by_unit(seen[layer])
        return _product(outputs, _fitting(weights, outputs, layer), power)

    return Objective(f"cosine({layer}, {digest(weights)}, power={written(power)})", reading(layer), measure)


def direction_neuron(
    layer: str,
    vector: Tensor | np.ndarray,
    position: tuple[int, int] | None = None,
    *,
    power: float = 0.0,
) -> Objective:
    """The product of ``vector`` (units,) with the units of a map at one position (row, column), by default the middle."""
    weights = _vector(vector)
    _check(power)

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        outputs = at(seen, layer, position).unsqueeze(1)
        return _product(outputs, _fitting(weights, outputs, layer), power)

    place = "middle" if position is None else f"{position[0]},{position[1]}"
    places = () if position is None else (Unit(layer, 0, position),)  # any unit: the position is to be checked
    return Objective(
        f"direction_neuron({layer}, {digest(weights)}@{place}, power={written(power)})", reading(layer), measure, places
    )


def tensor_direction(layer: str, tensor: Tensor | np.ndarray, *, power: float = 0.0) -> Objective:
    """The mean over positions of the product of ``tensor`` (units, h, w) with the middle h x w positions of a map.

    The first of them is ``(size - h) // 2``, as in Lucid. Raises `WrongInput` when ``tensor`` is larger than the map.
    """
    weights = as_numbers("tensor", tensor)
    _check(power)
    if weights.ndim != 3:
        message = f"tensor has shape {tuple(weights.shape)}; (units, height, width) is expected"
        raise WrongInput(message)
    height, width = weights.shape[1:]

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        output = seen[layer]
        if output.ndim != 3 or output.shape[1] < height or output.shape[2] < width:
            message = (
                f"the tensor of shape {tuple(weights.shape)} does not fit into layer {layer!r}: its output has shape "
                f"{tuple(output.shape)}"
            )
            raise WrongInput(message)
        top, left = (output.shape[1] - height) // 2, (output.shape[2] - width) // 2
        outputs = output[:, top : top + height, left : left + width].flatten(1)
        return _product(outputs, _fitting(weights.flatten(1), outputs, layer), power)

    return Objective(f"tensor_direction({layer}, {digest(weights)}, power={written(power)})", reading(layer), measure)


def _product(
    x: Float[Tensor, "units positions"], v: Float[Tensor, "units #positions"], power: float
) -> Float[Tensor, ""]:
    """The mean over positions of ``(x . v) max(0.1, cosine)^power``."""
    products = (x * v).sum(0)
    if power == 0:
        return products.mean()
    cosines = products / (vector_norm(x, dim=0) + 1e-4) / (vector_norm(v, dim=0) + 1e-4)
    return (products * cosines.clamp(min=0.1) ** power).mean()


def _vector(values: Tensor | np.ndarray) -> Float[Tensor, "units 1"]:
    vector = as_numbers("vector", values)
    if vector.ndim != 1:
        message = f"vector has shape {tuple(vector.shape)}; (units,) is expected"
        raise WrongInput(message)
    return vector.unsqueeze(1)


def _fitting(
    weights: Float[Tensor, "weights k"], outputs: Float[Tensor, "units p"], layer: str
) -> Float[Tensor, "weights k"]:
    """The weights where and as the outputs are; raises `WrongInput` when there are not as many as units."""
    if len(weights) != len(outputs):
        message = f"{len(weights)} numbers do not fit layer {layer!r}: its output has {len(outputs)} units"
        raise WrongInput(message)
    return weights.to(outputs)


def _check(power: float) -> None:
    if not power >= 0:
        message = f"power (={power}) must be 0 or more"
        raise WrongInput(message)
