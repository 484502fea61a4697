"""Colour decorrelation: an image written in axes along which natural colours vary independently.

A matrix is the square root of the colour covariance of natural pictures: white noise times it has colours correlated
as theirs are. Only its direction counts, so it is divided by the largest norm of its columns, as Lucid does.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from neuronatlas.errors import UnknownName, WrongInput

IMAGENET = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""Of ImageNet pictures, as published with Lucid (https://github.com/tensorflow/lucid, lucid/optvis/param/color.py,
``color_correlation_svd_sqrt``): a row for red, green and blue, a column an axis, brightness first."""

MATRICES = {"imagenet": IMAGENET}


def to_rgb(decorrelated: Float[Tensor, "n 3 h w"], colours: str = "imagenet") -> Float[Tensor, "n 3 h w"]:
    """Correlated RGB logits from three decorrelated colour channels; ``colours`` is a name of `MATRICES`."""
    matrix = colour_matrix(colours, decorrelated.dtype, decorrelated.device)
    return _mixed(matrix.expand(len(decorrelated), 3, 3), decorrelated)


def to_picture(
    logits: Float[Tensor, "n c h w"], colours: str | None, contrast_cap: float | None
) -> Float[Tensor, "n c h w"]:
    """Pictures in 0..1 from logits: contrast bounded, decorrelated by the named matrix (None: not at all), sigmoid.

    ``contrast_cap`` c bounds the root mean square z of a picture's logits softly, at z c / (z^4 + c^4)^(1/4).
    """
    factor = None
    if contrast_cap is not None:
        power = logits.square().mean((1, 2, 3)).view(-1, 1, 1)  # z squared: a root has no slope at nothing
        factor = contrast_cap / (power**2 + contrast_cap**4) ** 0.25
    if colours is not None:
        matrix = colour_matrix(colours, logits.dtype, logits.device)
        # The bound is a factor a picture: it goes into the nine numbers of the matrix, not into each pixel.
        logits = _mixed(matrix.expand(len(logits), 3, 3) if factor is None else matrix * factor, logits)
    elif factor is not None:
        logits = logits * factor[..., None]
    return logits.sigmoid()


def _mixed(matrices: Float[Tensor, "n 3 3"], planes: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    return torch.bmm(matrices, planes.flatten(2)).view_as(planes)


@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)  # what is kept must serve where gradients are wanted
def colour_matrix(colours: str, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "3 3"]:
    """The named matrix, its longest column of length 1; raises `UnknownName`."""
    if colours not in MATRICES:
        raise UnknownName("colour matrix", colours, MATRICES)
    root = torch.tensor(MATRICES[colours], dtype=torch.float64, device="cpu")
    return (root / root.norm(dim=0).max()).to(device, dtype)


def check_colours(channels: int, decorrelate: bool | None, colours: str) -> None:  # noqa: FBT001 - a setting
    """Refuse settings that no picture can have; raises `WrongInput` or `UnknownName`."""
    if channels < 1:
        message = f"channels (={channels}) must be at least 1"
        raise WrongInput(message)
    if decorrelate and channels != 3:
        message = f"decorrelate (=True) is for 3 channels, not for channels (={channels}): use None or False"
        raise WrongInput(message)
    if colours not in MATRICES:
        raise UnknownName("colour matrix", colours, MATRICES)


def colours_used(channels: int, decorrelate: bool | None, colours: str) -> str | None:  # noqa: FBT001 - a setting
    """The name of the matrix that pictures of so many channels are mixed with; None: none."""
    wanted = channels == 3 if decorrelate is None else decorrelate
    return colours if wanted else None
