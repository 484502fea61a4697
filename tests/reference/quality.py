"""How far a map can be trusted, by scikit-learn and by loops over all pairs."""

from __future__ import annotations

import numpy as np
from sklearn import manifold


def trustworthiness(standardised: np.ndarray, positions: np.ndarray, k: int) -> float:
    """Scikit-learn's, of units as points on the sphere."""
    return float(manifold.trustworthiness(standardised, positions, n_neighbors=k))


def nearest(positions: np.ndarray, k: int) -> list[list[int]]:
    """The ``k`` nearest others of each place."""
    lists = []
    for unit, place in enumerate(positions):
        others = [other for other in range(len(positions)) if other != unit]
        others.sort(key=lambda other: (float(np.hypot(*(positions[other] - place))), other))
        lists.append(others[:k])
    return lists


def recall(neighbours: list[list[int]], positions: np.ndarray, k: int) -> float:
    """The share of each unit's ``k`` most correlated units that are also its ``k`` nearest."""
    found = [len(set(best[:k]) & set(near)) for best, near in zip(neighbours, nearest(positions, k), strict=True)]
    return sum(found) / (k * len(positions))


def morans_i(positions: np.ndarray, values: np.ndarray, k: int) -> float:
    """Moran's I by its formula: N over the sum of weights, times a weighted covariance over the variance."""
    units = len(positions)
    near = nearest(positions, k)
    mean = sum(float(value) for value in values) / units
    above = total = 0.0
    for one in range(units):
        for other in range(units):
            weight = 1.0 if other in near[one] else 0.0
            total += weight
            above += weight * (float(values[one]) - mean) * (float(values[other]) - mean)
    below = sum((float(value) - mean) ** 2 for value in values)
    return units / total * above / below


def ranked_continuity(standardised: np.ndarray, positions: np.ndarray, k: int) -> float:
    """Venna and Kaski's formula by sorting every unit's others twice: by correlation, and by distance on the map."""
    units = len(positions)
    excess = 0
    for unit in range(units):
        others = [other for other in range(units) if other != unit]
        alike = sorted(others, key=lambda other: (-round(float(standardised[unit] @ standardised[other]), 9), other))
        close = sorted(others, key=lambda other: (float(np.sum((positions[unit] - positions[other]) ** 2)), other))
        excess += sum(max(close.index(other) + 1 - k, 0) for other in alike[:k])
    return 1 - 2 * excess / (units * k * (2 * units - 3 * k - 1))


def neighbour_correlation(correlations: np.ndarray, positions: np.ndarray, k: int) -> float:
    """The sum of correlations with the nearest on the map over the sum of the greatest, pair by pair."""
    reached = best = 0.0
    for unit, near in enumerate(nearest(positions, k)):
        reached += sum(float(correlations[unit, other]) for other in near)
        best += sum(sorted(np.delete(correlations[unit], unit).tolist(), reverse=True)[:k])
    return reached / best


def dealt_morans(positions: np.ndarray, values: np.ndarray, k: int, deals: list[np.ndarray]) -> list[float]:
    """The mean of Moran's I over the stimuli, for each way to deal the units out."""
    return [float(np.mean([morans_i(positions, row[deal], k) for row in values])) for deal in deals]


def disparity(first: np.ndarray, second: np.ndarray) -> float:
    """Procrustes: the least sum of squares over turns, found by trying them all to a thousandth, mirrored and not.

    Scaled to length 1, two figures at their best scale differ by 1 less the square of their product.
    """
    one, two = (np.asarray(places) - np.mean(places, axis=0) for places in (first, second))
    one, two = one / np.sqrt(np.sum(one**2)), two / np.sqrt(np.sum(two**2))
    best = 0.0
    for mirror in (1.0, -1.0):
        for turn in np.linspace(0, 2 * np.pi, 6284):
            turned = two * (1.0, mirror) @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
            best = max(best, float(np.sum(one * turned)))
    return 1 - best**2


def overlap(first: np.ndarray, second: np.ndarray, k: int) -> float:
    """The mean share of common nearest units."""
    pairs = zip(nearest(first, k), nearest(second, k), strict=True)
    return float(np.mean([len(set(one) & set(two)) / k for one, two in pairs]))
