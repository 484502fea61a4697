"""Correlations and neighbours, one pair and one unit at a time, on scipy's own correlations."""

from __future__ import annotations

import numpy as np
from scipy import stats


def complete(column: np.ndarray, method: str) -> np.ndarray:
    """The numbers that Pearson's correlation is taken of: values or ranks, the missing ones at the mean of the rest."""
    known = [index for index, value in enumerate(column) if np.isfinite(value)]
    numbers = [float(column[index]) for index in known]
    if method == "spearman":
        numbers = [
            sum(other < number for other in numbers) + (sum(other == number for other in numbers) + 1) / 2
            for number in numbers
        ]
    filled = np.full(len(column), np.mean(numbers) if numbers else 0.0)
    for index, number in zip(known, numbers, strict=True):
        filled[index] = number
    return filled


def is_constant(column: np.ndarray) -> bool:
    """Whether all finite values of a unit are the same but for 16 float32 roundings, or there are fewer than two."""
    finite = [float(value) for value in column if np.isfinite(value)]
    if len(finite) < 2:
        return True
    return max(finite) - min(finite) <= 16 * 2.0**-23 * max(abs(value) for value in finite)


def matrix(values: np.ndarray, method: str) -> np.ndarray:
    """The correlation of every pair of units of a complete table without constant units, by scipy alone."""
    units = values.shape[1]
    if method == "spearman":
        return np.asarray(stats.spearmanr(values.astype(np.float64)).statistic)
    result = np.ones((units, units))
    for one in range(units):
        for other in range(one):
            pair = stats.pearsonr(values[:, one].astype(np.float64), values[:, other].astype(np.float64)).statistic
            result[one, other] = result[other, one] = pair
    return result


def matrix_with_gaps(values: np.ndarray, method: str) -> np.ndarray:
    """The correlation of every pair of units, 0 for constant units, where values may be missing."""
    units = values.shape[1]
    result = np.zeros((units, units))
    columns = [complete(values[:, unit], method) for unit in range(units)]
    varying = [unit for unit in range(units) if not is_constant(values[:, unit])]
    for one in varying:
        for other in varying:
            a, b = columns[one] - columns[one].mean(), columns[other] - columns[other].mean()
            result[one, other] = np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b))
    return result


def neighbours(correlations: np.ndarray, k: int, absolute: bool = False) -> list[list[int]]:
    """The ``k`` most correlated other units of each unit; those equal to within a millionth in order of index."""
    lists = []
    correlations = np.abs(correlations) if absolute else correlations
    for unit, row in enumerate(correlations):
        others = [other for other in range(len(row)) if other != unit]
        # Millionths, counted from a place where no simple fraction falls half way between two of them.
        others.sort(key=lambda other: (np.rint(-row[other] * 1e6 - 0.0707), other))
        lists.append(others[:k])
    return lists
