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
