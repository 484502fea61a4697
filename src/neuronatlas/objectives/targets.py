"""Objectives that compare a picture with a target: the outputs of layers for another picture, from `outputs_of`.

`style`, `content` and `activation_difference` are distances, to be subtracted; `caricature` is a likeness, to be raised.
The canvas of a rendering may have another size than the target's picture: a target map is then resized to the output's
height and width, bilinearly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn import functional as F  # noqa: N812 - the field's own name

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.networks.base import Network
from neuronatlas.objectives.base import Objective, Outputs, as_numbers, by_unit, digest, reading, written


def outputs_of(network: Network, picture: np.ndarray, layers: Iterable[str]) -> dict[str, Tensor]:
    """What ``layers`` give for a picture (h, w, channels) of uint8, or of floats in 0..1: targets, without a batch axis."""
    values = as_floats(picture, network.input.channels)
    batch = torch.from_numpy(values).permute(2, 0, 1)[None].contiguous().to(network.device)
    with torch.no_grad(), network.capture(list(layers)) as run:
        return {name: output[0] for name, output in run(batch).items()}


def as_floats(picture: object, channels: int) -> Float[np.ndarray, "h w c"]:
    """A picture (h, w, channels) of uint8, or of floats in 0..1, as float32; raises `WrongInput` for any other."""
    if not isinstance(picture, np.ndarray):
        message = f"picture is a {type(picture).__name__}; an array (height, width, {channels}) is expected"
        raise WrongInput(message)
    if picture.ndim != 3 or picture.shape[2] != channels or not picture.size:
        message = f"picture has shape {picture.shape}; (height, width, {channels}) is expected"
        raise WrongInput(message)
    values: np.ndarray = picture.astype(np.float32) / (255 if picture.dtype == np.uint8 else 1)
    if not (values.min() >= 0 and values.max() <= 1):
        message = (
            f"picture holds values from {values.min():g} to {values.max():g}; uint8, or floats in 0..1 are expected"
        )
        raise WrongInput(message)
    return values


def gram(output: Float[Tensor, "..."]) -> Float[Tensor, "units units"]:
    """The Gram matrix of an output: the mean over positions of the product of each two units (Gatys et al. 2016)."""
    units = by_unit(output)
    return units @ units.mT / units.shape[1]


def activation_difference(
    layers: Iterable[str],
    target: Mapping[str, Tensor],
    *,
    transform: Callable[[Tensor], Tensor] | None = None,
) -> Objective:
    """The mean absolute difference between each layer's output and its target, summed over the layers.

    ``transform`` is applied to both first, as `gram` for the style. Source: the notebook on style transfer to
    Mordvintsev et al. 2018, "Differentiable Image Parameterizations" (Distill), function of the same name.
    """
    names = tuple(dict.fromkeys(layers))
    if not names:
        message = "layers is empty: there is nothing to compare"
        raise WrongInput(message)
    missing = [name for name in names if name not in target]
    if missing:
        raise UnknownName("layer of the target", missing[0], target)
    given = {name: as_numbers(f"the target of layer {name!r}", target[name]) for name in names}
    with torch.inference_mode(False):
        wanted = {name: values if transform is None else transform(values) for name, values in given.items()}

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        found = {name: seen[name] if transform is None else transform(seen[name]) for name in names}
        differences = [(found[name] - _fitted(wanted[name], found[name], name)).abs().mean() for name in names]
        return torch.stack(differences).sum()

    how = "" if transform is None else f", {getattr(transform, '__name__', type(transform).__name__)}"
    name = f"activation_difference({', '.join(names)}, {digest(*given.values())}{how})"
    return Objective(name, reading(*names), measure)


def content(layer: str, target: Tensor) -> Objective:
    """How far a layer's output is from ``target``: the mean absolute difference."""
    return activation_difference((layer,), {layer: target})


def style(layer: str, target: Tensor) -> Objective:
    """How far the Gram matrix of a layer's output is from that of ``target``: the mean absolute difference.

    ``target`` may have another number of positions.
    """
    return activation_difference((layer,), {layer: target}, transform=gram)


def caricature(layer: str, target: Tensor, power: float = 0.0) -> Objective:
    """``(x . t) max(0.1, cosine)^power`` of a layer's output x and the target t, over all units and positions at once.

    Source: ``dot_compare`` in lucid/recipes/caricature.py, whose default is also a power of 0: an inversion of the
    features. It divides by the length of x alone, so that its cosine is |t| times as large; here it is a cosine.
    """
    wanted = as_numbers(f"the target of layer {layer!r}", target)
    if not power >= 0:
        message = f"power (={power}) must be 0 or more"
        raise WrongInput(message)

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        x = seen[layer]
        t = _fitted(wanted, x, layer)
        product = (x * t).sum()
        if power == 0:
            return product
        cosine = product / (vector_norm(x) * vector_norm(t) + 1e-6)
        return product * cosine.clamp(min=0.1) ** power

    return Objective(f"caricature({layer}, {digest(wanted)}, power={written(power)})", reading(layer), measure)


def _fitted(target: Float[Tensor, "..."], output: Float[Tensor, "..."], layer: str) -> Float[Tensor, "..."]:
    """The target where and as the output is, a map also in its size."""
    target = target.to(output)
    if target.shape == output.shape:
        return target
    if target.ndim != 3 or output.ndim != 3 or len(target) != len(output):
        message = f"the target of layer {layer!r} has shape {tuple(target.shape)}, but its output has shape {tuple(output.shape)}"
        raise WrongInput(message)
    return F.interpolate(target[None], size=output.shape[1:], mode="bilinear", align_corners=False)[0]
