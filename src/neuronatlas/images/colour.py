"""Colour decorrelation: an image written in axes along which natural colours vary independently.

A matrix is the square root of the colour covariance of natural pictures: white noise times it has colours that vary
together as theirs do. Only its direction counts, so it is divided by the largest norm of its columns, as Lucid does.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor
from torch.autograd.function import once_differentiable

from neuronatlas.errors import UnknownName, WrongInput

IMAGENET = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""Of ImageNet pictures, as published with Lucid (https://github.com/tensorflow/lucid, lucid/optvis/param/color.py,
``color_correlation_svd_sqrt``): a row for red, green and blue, a column an axis, brightness first."""

PHOTOGRAPHS = ((0.2937, 0.1382, 0.0092), (0.2439, -0.0548, -0.0349), (0.2227, -0.1223, 0.0260))
"""Of the ten photographs in colour that come with scikit-image and scikit-learn, by `colour_root`: the output of
docs/measure_images.py."""

MATRICES = {"imagenet": IMAGENET, "photographs": PHOTOGRAPHS}


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
    matrix = None if colours is None else colour_matrix(colours, logits.dtype, logits.device)
    pictures: Tensor = _Finish.apply(logits, matrix, contrast_cap)  # type: ignore[no-untyped-call]  # torch has no type
    return pictures


class _Finish(torch.autograd.Function):
    """`to_picture` with a gradient of its own: fewer passes, and a picture rounds alike wherever it stands in a batch.

    The last few numbers of a stretch of memory go another way through the exponential than those that fill a processor's
    vectors, so pictures that do not fill them, or are shared among threads, are made by themselves altogether. The
    bound is a factor a picture, which goes into the nine numbers of the matrix where there is one.
    """

    @staticmethod
    def forward(context: Any, logits: Tensor, matrix: Tensor | None, cap: float | None) -> Tensor:
        pictures = torch.empty(logits.shape, dtype=logits.dtype, device=logits.device)
        powers = None if cap is None else _dots(logits, logits) / logits[0].numel()
        factors = None if cap is None or powers is None else _factor(powers, cap)
        for some in _stretches(logits):
            torch.sigmoid(_scaled(logits[some], matrix, None if factors is None else factors[some]), out=pictures[some])
        context.cap, context.matrix, context.powers, context.factors = cap, matrix, powers, factors
        context.save_for_backward(logits, pictures)
        return pictures

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        logits, pictures = context.saved_tensors
        powers, factors = context.powers, context.factors
        matrix = None if context.matrix is None else context.matrix.T
        found, gradient = torch.empty_like(pictures), gradient.contiguous()
        for some in _stretches(logits):
            slope = torch.ops.aten.sigmoid_backward(gradient[some], pictures[some])
            slope = _scaled(slope, matrix, None if factors is None else factors[some])
            if powers is None:
                found[some] = slope
                continue
            turn = _dots(slope, logits[some]) / logits[0].numel()
            turn = turn * powers[some] / (powers[some].square() + context.cap**4)
            torch.addcmul(slope, turn, logits[some], value=-1, out=found[some])
        return found, None, None


def _stretches(batch: Tensor) -> list[slice]:
    """The whole batch where that rounds each picture alike, else picture by picture."""
    fills = torch.get_num_threads() == 1 and batch[0].numel() % 64 == 0
    if batch.device.type != "cpu" or fills:
        return [slice(None)]
    return [slice(index, index + 1) for index in range(len(batch))]


def _dots(one: Tensor, other: Tensor) -> Float[Tensor, "n 1 1 1"]:
    """The sum of the products of each picture's numbers."""
    if one.device.type != "cpu" or one.dtype not in (torch.float32, torch.float64):  # numpy has no others as fast
        return (one * other).sum((1, 2, 3), keepdim=True)
    pair = [each.detach().flatten(1).expand(max(len(each), 2), -1).numpy() for each in (one, other)]
    sums = np.einsum("ij,ij->i", *pair)[: len(one)]  # which adds up one row otherwise than each of several
    return torch.from_numpy(sums).view(-1, 1, 1, 1)


def _scaled(planes: Tensor, matrix: Tensor | None, factors: Tensor | None) -> Tensor:
    """The planes mixed by the matrix and multiplied by a factor a picture, where there is one."""
    if matrix is None:
        return planes if factors is None else planes * factors
    each = matrix.expand(len(planes), 3, 3) if factors is None else matrix * factors[..., 0]
    return _mixed(each, planes)


def _factor(power: Tensor, cap: float) -> Tensor:
    """What logits of this mean square are multiplied with: exact roots, since a power rounds by its place in memory."""
    return cap / (power.square() + cap**4).sqrt().sqrt()


def from_picture(
    pictures: Float[Tensor, "n c h w"], colours: str | None, contrast_cap: float | None
) -> Float[Tensor, "n c h w"]:
    """The logits that `to_picture` makes these pictures of; they must lie above 0 and below 1.

    Raises `WrongInput` when a picture has as much contrast as ``contrast_cap`` or more, which no logits give.
    """
    logits = pictures.logit()
    if colours is not None:
        inverse = torch.linalg.inv(colour_matrix(colours, torch.float64, torch.device("cpu"))).to(logits)
        logits = _mixed(inverse.expand(len(logits), 3, 3), logits)
    if contrast_cap is not None:
        power = logits.square().mean((1, 2, 3), keepdim=True)
        if (largest := float(power.max().sqrt())) >= contrast_cap:
            message = (
                f"contrast_cap (={contrast_cap}) must be above the picture's own contrast of {largest:.4g}, or None"
            )
            raise WrongInput(message)
        logits = logits * contrast_cap / (contrast_cap**4 - power**2) ** 0.25
    return logits


def colour_root(pictures: UInt8[np.ndarray, "n h w 3"]) -> Float64[np.ndarray, "3 3"]:
    """The square root of the covariance of the colours (0..1) of pictures, like `IMAGENET`.

    Each column is an axis along which colours vary independently, as long as their standard deviation along it, the
    longest first; its first entry that is not nought is positive.
    """
    colours = pictures.reshape(-1, 3).astype(np.float64) / 255
    variances, axes = np.linalg.eigh(np.cov(colours, rowvar=False, bias=True))
    root = axes[:, ::-1] * np.sqrt(variances[::-1].clip(min=0))
    return np.where(root[0] < 0, -root, root)


def _mixed(matrices: Float[Tensor, "n 3 3"], planes: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    flat = planes.flatten(2)
    return torch.bmm(matrices, flat).view_as(planes)


@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)  # what is kept must serve where gradients are wanted
def colour_matrix(colours: str, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "3 3"]:
    """The named matrix, its longest column of length 1; raises `UnknownName`."""
    if colours not in MATRICES:
        raise UnknownName("colour matrix", colours, MATRICES)
    root = torch.tensor(MATRICES[colours], dtype=torch.float64, device="cpu")
    return (root / root.norm(dim=0).max()).to(device, dtype)
