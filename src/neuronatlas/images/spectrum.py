"""The magnitudes of natural pictures' Fourier coefficients, measured on pictures and brought to any size."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Complex128, Float32, Float64, UInt8
from scipy import ndimage
from torch.nn import functional as F  # noqa: N812 - the field's own name

from neuronatlas.errors import WrongInput
from neuronatlas.images.base import Size, check_size
from neuronatlas.images.colour import colour_matrix

SMALLEST = 8
"""Pixels a side of the smallest pictures whose spectrum can be continued to larger ones."""


def natural_spectrum(pictures: UInt8[np.ndarray, "n h w 3"], size: Size) -> Float32[np.ndarray, "3 height columns"]:
    """The mean magnitude of each coefficient of ``rfft2`` (norm "ortho") over pictures brought to ``size``.

    The planes are those of decorrelated colour (the matrix "imagenet" of `neuronatlas.images.colour`, of values in
    0..1 less the mean colour of all the pictures). Of each picture its periodic part is taken: the pictures made with a
    spectrum are periodic, and the jump from one border to the other would fill them with level and upright stripes.
    Other sizes are resized, bilinear and without aliasing. Raises `WrongInput` when there are no pictures.
    """
    check_size(size)
    if not pictures.size:
        message = f"pictures (shape {pictures.shape}) must hold one at least"
        raise WrongInput(message)
    mean = pictures.mean((0, 1, 2), dtype=np.float64) / 255
    inverse = np.linalg.inv(colour_matrix("imagenet", torch.float64, torch.device("cpu")).numpy())
    total = np.zeros((3, size[0], size[1] // 2 + 1))
    for picture in pictures:
        planes = np.einsum("rc,hwc->rhw", inverse, picture / 255 - mean)
        if planes.shape[1:] != size:
            whole = torch.from_numpy(planes)[None]
            planes = F.interpolate(whole, size=size, mode="bilinear", align_corners=False, antialias=True)[0].numpy()
        total += np.abs(_periodic_spectrum(planes))
    return (total / len(pictures)).astype(np.float32)


def _periodic_spectrum(planes: Float64[np.ndarray, "c h w"]) -> Complex128[np.ndarray, "c h k"]:
    """The spectrum of planes less a smooth part that holds the jumps between opposite borders.

    Moisan 2011, doi 10.1007/s10851-010-0227-1: the Laplacian of the smooth part is nought save at the borders, where it
    is the jump across them.
    """
    jumps = np.zeros_like(planes)
    for plane, jump in ((planes, jumps), (planes.swapaxes(1, 2), jumps.swapaxes(1, 2))):
        jump[:, 0] += plane[:, -1] - plane[:, 0]
        jump[:, -1] += plane[:, 0] - plane[:, -1]
    height, width = planes.shape[1:]
    rows = np.cos(2 * np.pi * np.fft.fftfreq(height))[:, None]
    laplacian = 2 * rows + 2 * np.cos(2 * np.pi * np.fft.rfftfreq(width)) - 4
    laplacian[0, 0] = 1  # the smooth part has no mean: that of the jumps is nought
    return np.fft.rfft2(planes, norm="ortho") - np.fft.rfft2(jumps, norm="ortho") / laplacian


@cache
def photographs_spectrum() -> Float32[np.ndarray, "3 64 33"]:
    """The `natural_spectrum` of the photographs in colour that come with scikit-image and scikit-learn, up to 32 cycles.

    Measured by docs/measure_images.py at 128 x 128 pixels, of which half the frequencies are kept: those that resizing
    left alone.
    """
    return np.load(Path(__file__).with_name("photographs_spectrum.npy"), allow_pickle=False)


def resampled(magnitudes: Float64[np.ndarray, "c h k"], size: Size) -> Float64[np.ndarray, "c height columns"]:
    """Magnitudes of ``rfft2`` at one size for pictures of another that show the same at another resolution.

    Those given are of pictures of at least `SMALLEST` pixels a side. A coefficient keeps its cycles a picture. Where a frequency was not measured, the magnitude at the edge in its
    direction is continued as a power of the frequency, fitted to each plane over the upper three quarters: natural
    pictures have such spectra (Field 1987, doi 10.1364/JOSAA.4.002379).
    """
    height, columns = magnitudes.shape[1:]
    limit = (height // 2, columns - 1)
    # Row by row from the lowest frequency to the highest; that of an even height stands for both signs.
    logs = np.log(magnitudes.clip(min=1e-9 * magnitudes.max()))[:, np.arange(-limit[0], limit[0] + 1)]
    rows = np.round(np.fft.fftfreq(size[0]) * size[0])[:, None]
    across = np.arange(size[1] // 2 + 1.0)[None, :]
    inside = np.minimum(1, np.minimum(limit[0] / np.abs(rows).clip(min=1), limit[1] / across.clip(min=1)))
    places = np.broadcast_arrays(rows * inside + limit[0], across * inside)
    found = np.stack([ndimage.map_coordinates(plane, places, order=1, mode="nearest") for plane in logs])
    slopes = np.array([_slope(plane, min(limit)) for plane in logs])
    return np.exp(found - slopes[:, None, None] * np.log(inside))


def _slope(logs: Float64[np.ndarray, "rows k"], limit: int) -> float:
    """The slope of the logarithm of magnitude over that of frequency, by least squares from a quarter of the limit up."""
    rows, columns = np.mgrid[-(logs.shape[0] // 2) : logs.shape[0] // 2 + 1, : logs.shape[1]]
    radius = np.hypot(rows, columns)
    kept = (radius >= limit / 4) & (radius <= limit)
    return float(np.polyfit(np.log(radius[kept]), logs[kept], 1)[0])
