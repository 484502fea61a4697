"""Penalties on the picture itself: plain positive quantities, to be subtracted.

The sums run over all pixels and colours as in Lucid, so that a weight for a larger picture is a smaller one.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from neuronatlas.errors import WrongInput
from neuronatlas.objectives.base import PICTURE, Objective, Outputs, as_numbers, digest, reading, written


def total_variation(*, layer: str = PICTURE) -> Objective:
    """The sum of the absolute differences of all neighbours, down and across, of the picture or a layer's map.

    As TensorFlow's ``image.total_variation``; Mahendran & Vedaldi 2015 use it as a penalty.
    """

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        output = seen[layer]
        if output.ndim != 3:
            message = f"layer {layer!r} has no neighbours to vary: its output has shape {tuple(output.shape)}"
            raise WrongInput(message)
        return output.diff(dim=1).abs().sum() + output.diff(dim=2).abs().sum()

    return Objective(_named("total_variation", layer), reading(layer), measure)


def l1(constant: float = 0.5, *, layer: str = PICTURE) -> Objective:
    """The sum of the absolute differences from ``constant``, by default grey; Lucid's default is 0."""

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        return (seen[layer] - constant).abs().sum()

    return Objective(_named("l1", layer, constant), reading(layer), measure)


def l2(constant: float = 0.5, *, layer: str = PICTURE) -> Objective:
    """The root of the sum of the squared differences from ``constant``, with 1e-6 added under the root, as in Lucid."""

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        return (1e-6 + ((seen[layer] - constant) ** 2).sum()).sqrt()

    return Objective(_named("l2", layer, constant), reading(layer), measure)


def sharpness() -> Objective:
    """Half the sum of the squared differences of the picture from its blurred self, taken as given.

    Lucid's ``blur_input_each_step``: a step of plain gradient descent by k mixes k of the blurred picture in, as Nguyen
    et al. 2015 blur theirs. The blur is a weighed mean of 3 x 3 pixels, 1 in the middle and 0.5 around it.
    """

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        picture = seen[PICTURE]
        return 0.5 * ((picture - _blurred(picture, 3).detach()) ** 2).sum()

    return Objective("sharpness", (), measure)


def boundary(width: int = 20, constant: float = 0.5) -> Objective:
    """The sum of ``(blurred - x)^2 + 0.8 (x - constant)^2`` over the pixels less than ``width`` from an edge.

    To be subtracted, so that a picture fades into a grey frame. Lucid's ``penalize_boundary_complexity`` is the same
    with a minus sign. The blur is a weighed mean of 5 x 5 pixels, 1 in the middle 3 x 3 and 0.5 around them.
    """
    if width < 1:
        message = f"width (={width}) must be 1 or more pixels"
        raise WrongInput(message)

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        picture = seen[PICTURE]
        frame = torch.ones_like(picture)
        frame[:, width:-width, width:-width] = 0
        return (((_blurred(picture, 5) - picture) ** 2 + 0.8 * (picture - constant) ** 2) * frame).sum()

    return Objective(f"boundary({width}, {written(constant)})", (), measure)


def input_difference(picture: np.ndarray | Tensor) -> Objective:
    """The root of the mean squared difference from another picture (c, h, w) in 0..1; Lucid's ``input_diff``.

    With 1e-12 added under the root, whose slope would not be finite at the picture itself.
    """
    wanted = as_numbers("picture", picture)

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        found = seen[PICTURE]
        if found.shape != wanted.shape:
            message = f"picture has shape {tuple(wanted.shape)}, but what is made has shape {tuple(found.shape)}"
            raise WrongInput(message)
        return (1e-12 + ((found - wanted.to(found)) ** 2).mean()).sqrt()

    return Objective(f"input_difference({digest(wanted)})", (), measure)


def mean_alpha() -> Objective:
    """How opaque an RGBA picture is: the mean of its fourth channel, in 0..1."""

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        picture = seen[PICTURE]
        if len(picture) != 4:
            message = f"mean_alpha needs an RGBA picture; this one has shape {tuple(picture.shape)}"
            raise WrongInput(message)
        return picture[3].mean()

    return Objective("mean_alpha", (), measure)


def _blurred(picture: Float[Tensor, "c h w"], size: int) -> Float[Tensor, "c h w"]:
    """The weighed mean of ``size`` x ``size`` pixels, 0.5 at their rim and 1 inside it; outside the picture is nothing."""
    kernel = torch.full((1, 1, size, size), 0.5).to(picture)
    kernel[..., 1:-1, 1:-1] = 1

    def summed(values: Tensor) -> Tensor:
        return F.conv2d(values.unsqueeze(1), kernel, padding=size // 2).squeeze(1)

    return summed(picture) / summed(torch.ones_like(picture[:1]))


def _named(name: str, layer: str, *arguments: float) -> str:
    words = [*map(written, arguments), *reading(layer)]
    return f"{name}({', '.join(words)})" if words else name
