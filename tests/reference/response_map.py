"""What a response map draws, worked out one unit, one pixel at a time, or by scipy."""

from __future__ import annotations

import math
import statistics

import numpy as np
from scipy.interpolate import griddata
from scipy.spatial import ConvexHull
from scipy.stats import spearmanr
from tests.reference.correlation import is_constant


def quantile(values: list[float], share: float) -> float:
    """The value below which ``share`` of the sorted values lie, in a straight line between the two around it."""
    values = sorted(values)
    place = share * (len(values) - 1)
    below = math.floor(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (place - below) * (values[above] - values[below])


def ends(column: np.ndarray, scale: str) -> tuple[float, float]:
    """The least and the greatest response of a unit that its colours tell apart."""
    finite = [float(value) for value in column if np.isfinite(value)]
    if scale == "percentile":
        low, high = quantile(finite, 0.01), quantile(finite, 0.99)
        if high > low:
            return low, high
    return min(finite), max(finite)


def normalise(fitted: np.ndarray, shown: np.ndarray, scale: str) -> np.ndarray:
    """Each unit's responses to what is ``shown``, put from 0 to 1 one by one and then averaged."""
    result = []
    for unit in range(fitted.shape[1]):
        low, high = ends(fitted[:, unit], scale)
        known = [float(value) for value in shown[:, unit] if np.isfinite(value)]
        levels = [min(max((value - low) / (high - low), 0.0), 1.0) for value in known] if high > low else []
        result.append(sum(levels) / len(levels) if levels else math.nan)
    return np.array(result)


def circle(positions: np.ndarray) -> np.ndarray:
    """Neural-response-map's projection, unit by unit, but reading from a frozen copy."""
    frozen = [(float(x), float(y)) for x, y in positions]
    sectors = [round(math.atan2(y, x) / (2 * math.pi) * 100) % 100 for x, y in frozen]
    result = []
    for (x, y), sector in zip(frozen, sectors, strict=True):
        peers = [place for place, other in zip(frozen, sectors, strict=True) if other == sector]
        length = math.hypot(max(abs(peer[0]) for peer in peers), max(abs(peer[1]) for peer in peers))
        result.append((x / length, y / length) if length else (x, y))
    return np.array(result)


def pixels(resolution: int) -> np.ndarray:
    """The place of each pixel of a picture, row 0 lowest."""
    steps = np.linspace(-1.0, 1.0, resolution)  # to the last bit, or a pixel between two units may go to the other
    return np.array([(x, y) for y in steps for x in steps])


def outside(positions: np.ndarray, resolution: int, margin: float) -> np.ndarray:
    """How each pixel lies to the convex hull: 1 outside, 0 inside, NaN within ``margin`` of its edge."""
    hull = ConvexHull(positions)
    distance = (pixels(resolution) @ hull.equations[:, :2].T + hull.equations[:, 2]).max(axis=1)
    side = np.where(distance > 0, 1.0, 0.0)
    side[np.abs(distance) < margin] = np.nan
    return side.reshape(resolution, resolution)


def picture(positions: np.ndarray, values: np.ndarray, method: str, resolution: int) -> np.ndarray:
    """The picture by scipy's ``griddata``; "nearest" is blank where "linear" is."""
    places = pixels(resolution)
    linear = griddata(positions, values, places, method="linear")
    if method == "nearest":
        inside = ~np.isnan(griddata(positions, np.zeros(len(positions)), places, method="linear"))
        linear = np.where(inside, griddata(positions, values, places, method="nearest"), np.nan)
    return linear.reshape(resolution, resolution)


def copies(values: np.ndarray) -> list[int]:
    """The first unit that each one is a copy of, directly or over others: every pair compared."""
    units = values.shape[1]
    group = list(range(units))
    for one in range(units):
        for other in range(one):
            if _copied(values[:, one], values[:, other]):
                first, second = sorted((group[one], group[other]))
                group = [first if each == second else each for each in group]
    return group


def _copied(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal to within 64 float32 roundings of each response and of the median size, and alike in their own spread."""
    known = [bool(np.isfinite(value)) for value in one]
    if known != [bool(np.isfinite(value)) for value in other] or is_constant(one) or is_constant(other):
        return False
    a, b = ([float(value) for value, there in zip(column, known, strict=True) if there] for column in (one, other))
    sizes = [max(abs(x), abs(y)) for x, y in zip(a, b, strict=True)]
    usual = statistics.median_low(sizes)
    if any(abs(x - y) > 64 * 2.0**-23 * (size + usual) for x, y, size in zip(a, b, sizes, strict=True)):
        return False
    squares = [(x - y) ** 2 for x, y in zip(_in_spread(a), _in_spread(b), strict=True)]
    return math.sqrt(sum(squares) / len(known)) < 1e-3


def _in_spread(column: list[float]) -> list[float]:
    """Bounded distances from the median, in the median distance of what is not at it."""
    middle = statistics.median_low(column)
    away = [abs(value - middle) for value in column if abs(value - middle) > 16 * 2.0**-23 * abs(middle)]
    spread = statistics.median_low(away) if away else 1.0
    return [math.tanh((value - middle) / spread) for value in column]


class OldMap:
    """Neural-response-map 1.0.0 for activations that are given: what it keeps, correlates and draws, one number at a time."""

    def __init__(self, train: np.ndarray) -> None:
        self.low = [min(float(value) for value in column) for column in train.T]
        self.high = [max(float(value) for value in column) for column in train.T]
        self.neurons = [len({float(value) for value in column}) > 1 for column in train.T]
        self.kept = [unit for unit, kept in enumerate(self.neurons) if kept]
        self.distance = 1 - np.asarray(spearmanr(train[:, self.kept].astype(np.float64)).statistic)

    def colours(self, shown: np.ndarray) -> np.ndarray:
        """Each kept neuron's mean over the samples, from 0 at its least to 1 at its most in training."""
        result = []
        for unit in self.kept:
            low, high = self.low[unit], self.high[unit]
            levels = [min(max((float(value) - low) / (high - low), 0.0), 1.0) for value in shown[:, unit]]
            result.append(sum(levels) / len(levels))
        return np.array(result)

    @staticmethod
    def picture(positions: np.ndarray, values: np.ndarray, method: str, resolution: int) -> np.ndarray:
        """``griddata`` over the bounding box of the positions; row 0 at the lowest y."""
        x, y = (np.linspace(axis.min(), axis.max(), resolution) for axis in positions.T)
        places = tuple(np.meshgrid(x, y))
        linear = griddata(positions, values, places, method="linear")
        if method == "linear":
            return linear
        return np.where(np.isnan(linear), np.nan, griddata(positions, values, places, method="nearest"))


def old_circle(positions: np.ndarray) -> np.ndarray:
    """Neural-response-map's projection as it was: each row is divided by what its sector, half of it moved, reaches."""
    places = positions.copy()
    sectors = [np.round((math.atan2(place[1], place[0]) + np.pi) / (2 * np.pi), 2) for place in places]
    for unit in range(len(places)):
        reach = np.zeros(2, dtype=places.dtype)
        for other in range(len(places)):
            if sectors[other] == sectors[unit]:
                reach = np.maximum(reach, np.abs(places[other]))
        places[unit] /= np.sqrt(reach[0] ** 2 + reach[1] ** 2)
    return places
