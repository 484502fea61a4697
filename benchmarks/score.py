"""How good a picture is, the same way for every tool.

*Native scale*: a picture is scored at the size at which it was optimised. A tool that optimises 128 pixels and shows
them to the network enlarged to 188 is scored at 188: any other size flatters whoever is scored at their own.

- plain: the objective on the clean picture, under the network's own preprocessing.
- robust: its mean over 16 random affines (shift up to 4 pixels, scale 0.9 to 1.1, rotation up to 10 degrees, mirrored
  borders), the same 16 for every picture, from a seed that no rendering uses.
- saturation: the share of numbers under 0.02 or over 0.98.
- slope: the exponent of the radial power spectrum of the grey picture, from 2 cycles a picture to half the highest
  frequency; natural pictures have about -2, noise has 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from neuronatlas.images.transforms import Affine
from neuronatlas.networks.base import Network

TRIALS, SEED = 16, 987_654_321


@dataclass(frozen=True)
class Score:
    """What is said of one picture."""

    plain: float
    robust: float
    saturation: float
    slope: float


def score(network: Network, layer: str, unit: int, picture: np.ndarray, *, side: int | None = None) -> Score:
    """The score of a picture (h, w, 3) in 0..1 for the mean of a unit; ``side`` is its native scale, if not its own."""
    image = torch.from_numpy(np.ascontiguousarray(picture, np.float32)).permute(2, 0, 1)[None]
    native = image if side is None else F.interpolate(image, size=(side, side), mode="bilinear", align_corners=True)
    moves = Affine(shift=4.0, scale=0.1, degrees=10.0)
    draws = moves.draw(TRIALS, torch.Generator().manual_seed(SEED))
    with torch.no_grad(), network.capture([layer], units=[unit]) as run:
        plain = _mean(run(native)[layer])
        robust = np.mean([_mean(run(moves(native, draw[None]))[layer]) for draw in draws])
    return Score(plain, float(robust), saturation(picture), slope(picture))


def saturation(picture: np.ndarray) -> float:
    """The share of numbers that are nearly black or nearly white."""
    return float(((picture < 0.02) | (picture > 0.98)).mean())


def slope(picture: np.ndarray) -> float:
    """The exponent of the power spectrum, by least squares on logarithms of its means over rings."""
    grey = picture.mean(2) - picture.mean()
    height, width = grey.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    power = np.abs(np.fft.fft2(grey * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.fftfreq(width)[None] * width)
    rings = range(2, min(height, width) // 4)
    means = [power[(frequency >= ring - 0.5) & (frequency < ring + 0.5)].mean() for ring in rings]
    return float(np.polyfit(np.log(list(rings)), np.log(means), 1)[0])


def _mean(output: Tensor) -> float:
    return float(output.mean())
