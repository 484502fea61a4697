"""What an early unit weighs the pixels with, and the Gabor function that is nearest to it.

Simple cells of the visual cortex weigh what they see as a wave under a bell, a Gabor function (Marcelja 1980; Jones &
Palmer 1987), and so do many units of the first layers of networks for pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import least_squares

from neuronatlas.errors import WrongInput
from neuronatlas.networks.base import Network
from neuronatlas.units import Unit

Pattern = Float[np.ndarray, "height width"]

DIRECTIONS, WAVES, BELLS = 8, (0.7, 1.5, 3.0), (0.15, 0.3)
"""Where a fit begins: so many directions, cycles over the shorter side, and spreads in shares of it."""
REFINED = 2
"""How many of the beginnings are followed to the end."""


@dataclass(frozen=True, eq=False)
class GaborFit:
    """The nearest Gabor function to a pattern.

    ``image`` has the size of the pattern; ``correlation`` is Pearson's with it, 0..1. ``orientation`` is that of the
    stripes in degrees, 0 horizontal and 90 vertical, counted with the clock's hands as rows run down; ``wavelength`` and
    the spreads across and along the stripes are in pixels, ``centre`` is (row, column), ``phase`` in degrees, 0 for a
    bright stripe in the centre.
    """

    image: Pattern
    correlation: float
    orientation: float
    wavelength: float
    across: float
    along: float
    centre: tuple[float, float]
    phase: float


def linear_filter(network: Network, unit: str | Unit) -> Float[np.ndarray, "height width c"]:
    """How much each pixel of a grey picture moves a unit in the middle of its map: its gradient, cut to what is not 0.

    Of a unit of the first convolution, before its rectifier, these are its weights, over the std of the input; of a later
    one they hold near grey alone. Raises `WrongInput` for a layer without a map and where no pixel moves the unit.
    """
    address = network.check(Unit.parse(unit) if isinstance(unit, str) else unit)
    shape = network.layer(address.layer).shape
    if len(shape) != 3:
        message = f"unit {address} is of a layer without a map (its shape is {shape}): give one of a convolution"
        raise WrongInput(message)
    row, column = address.position or (shape[1] // 2, shape[2] // 2)
    picture = network.blank().requires_grad_(True)
    with torch.enable_grad(), network.capture([address.layer]) as run:
        value = run(picture)[address.layer][0, address.index, row, column]
        (gradient,) = torch.autograd.grad(value, picture)
    weights = gradient[0].permute(1, 2, 0).cpu().numpy()
    rows, columns = (np.flatnonzero(np.abs(weights).max((axis, 2))) for axis in (1, 0))
    if not rows.size:
        message = f"unit {address} is not moved by any pixel of a grey picture: take a layer before a rectifier"
        raise WrongInput(message)
    cut: np.ndarray = weights[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return cut


def main_pattern(weights: Float[np.ndarray, "height width c"]) -> tuple[Pattern, float]:
    """The pattern that all colours share, each in its own strength, and its share of the whole, 0..1.

    The first singular vector over colours; its sign is that of the colours' sum.
    """
    left, strengths, right = np.linalg.svd(weights.reshape(-1, weights.shape[2]), full_matrices=False)
    sign = 1.0 if right[0].sum() >= 0 else -1.0
    pattern = (sign * strengths[0] * left[:, 0]).reshape(weights.shape[:2])
    return pattern, float(strengths[0] ** 2 / max(float((strengths**2).sum()), 1e-30))


def fit_gabor(pattern: Pattern) -> GaborFit:
    """The Gabor function with the least squared difference, found from several beginnings; always the same one.

    Raises `WrongInput` for patterns below 5 x 5 pixels, which have fewer numbers than would tell, and even ones.
    """
    if min(pattern.shape) < 5 or not np.isfinite(pattern).all() or pattern.std() == 0:
        message = f"pattern of shape {pattern.shape} must be 5 x 5 or more finite numbers that are not all the same"
        raise WrongInput(message)
    values = (pattern - pattern.mean()).astype(np.float64) / pattern.std()
    side = min(pattern.shape)
    middle = [(length - 1) / 2 for length in pattern.shape]
    begun = [
        np.array([*middle, np.pi * direction / DIRECTIONS, waves / side, np.log(bell * side), np.log(bell * side)])
        for direction in range(DIRECTIONS)
        for waves in WAVES
        for bell in BELLS
    ]
    begun.sort(key=lambda start: float((_left(start, values) ** 2).sum()))
    low = [-0.5, -0.5, -np.inf, 0.2 / side, np.log(0.5), np.log(0.5)]
    high = [pattern.shape[0] - 0.5, pattern.shape[1] - 0.5, np.inf, 0.5, np.log(2 * side), np.log(2 * side)]
    found = [
        least_squares(_left, np.clip(start, low, high), args=(values,), bounds=(low, high), max_nfev=60)
        for start in begun[:REFINED]
    ]
    best = min(found, key=lambda each: each.cost).x
    weights, basis = _solved(best, values)
    image = (basis @ weights).reshape(pattern.shape)
    row, column, angle, frequency, across, along = best
    return GaborFit(
        image=image * pattern.std() + pattern.mean(),
        correlation=float(np.corrcoef(image.ravel(), values.ravel())[0, 1]) if image.std() else 0.0,
        orientation=float((np.degrees(angle) + 90) % 180),
        wavelength=float(1 / frequency),
        across=float(np.exp(across)),
        along=float(np.exp(along)),
        centre=(float(row), float(column)),
        phase=float(np.degrees(np.arctan2(-weights[1], weights[0]))),
    )


def _left(parameters: Float[np.ndarray, " p"], values: Pattern) -> Float[np.ndarray, " pixels"]:
    """What the best Gabor function of this shape leaves of the pattern."""
    weights, basis = _solved(parameters, values)
    left: np.ndarray = basis @ weights - values.ravel()
    return left


def _solved(
    parameters: Float[np.ndarray, " p"], values: Pattern
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "pixels k"]]:
    """The heights of the even wave, the odd one and the ground that leave the least, and these three as pictures."""
    row, column, angle, frequency, across, along = parameters
    y, x = np.mgrid[: values.shape[0], : values.shape[1]]
    u = (x - column) * np.cos(angle) + (y - row) * np.sin(angle)
    v = (y - row) * np.cos(angle) - (x - column) * np.sin(angle)
    bell = np.exp(-0.5 * ((u / np.exp(across)) ** 2 + (v / np.exp(along)) ** 2))
    waves = (bell * np.cos(2 * np.pi * frequency * u), bell * np.sin(2 * np.pi * frequency * u), np.ones_like(bell))
    basis = np.stack([wave.ravel() for wave in waves], 1)
    return np.linalg.lstsq(basis, values.ravel(), rcond=1e-6)[0], basis
