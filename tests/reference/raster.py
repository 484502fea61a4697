"""Which pixels the masks of a raster leave blank, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np


def near(positions: np.ndarray, resolution: int) -> np.ndarray:
    """1 where the pixel is within reach of its nearest point, 0 where it is blank, NaN within 1e-9 of the limit."""
    points = [tuple(place) for place in positions.tolist()]
    spacing = []
    for index, place in enumerate(points):
        others = sorted(math.dist(place, other) for place_of, other in enumerate(points) if place_of != index)
        spacing.append(sum(others[:6]) / len(others[:6]))
    usual, widest = np.median(spacing), np.quantile(spacing, 0.95)
    reach = [max(1.5 * min(max(each, usual), widest), 2 / (resolution - 1)) for each in spacing]
    steps = np.linspace(-1, 1, resolution)
    mask = np.zeros((resolution, resolution))
    for row, y in enumerate(steps):
        for column, x in enumerate(steps):
            distances = [math.dist((x, y), place) for place in points]
            nearest = min(range(len(points)), key=distances.__getitem__)
            gap = reach[nearest] - distances[nearest]
            mask[row, column] = math.nan if abs(gap) < 1e-9 else float(gap > 0)
    return mask
