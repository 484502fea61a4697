"""Moments, extremes and sketches again, one unit and one stimulus at a time, of a whole table at once."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from scipy.linalg import hadamard


def moments(column: np.ndarray) -> dict[str, float]:
    """Count, mean, sum of squared distances from it, least and greatest of one unit, in exact fractions."""
    known = [Fraction(float(value)) for value in column if np.isfinite(value)]
    if not known:
        return {"count": 0, "mean": math.nan, "squares": 0.0, "low": math.nan, "high": math.nan}
    mean = sum(known) / len(known)
    squares = float(sum((value - mean) ** 2 for value in known))
    return {
        "count": len(known), "mean": float(mean), "squares": squares, "low": float(min(known)), "high": float(max(known)),
    }  # fmt: skip


def best(column: np.ndarray, k: int, pictures: list[int]) -> tuple[list[int], list[float]]:
    """The pictures of the ``k`` greatest responses of one unit, and these; -1 and NaN where there are none left."""
    found: dict[int, float] = {}
    for picture, value in zip(pictures, column.tolist(), strict=True):
        if math.isfinite(value):
            found[picture] = max(value, found.get(picture, -math.inf))
    order = sorted(found, key=lambda picture: (-found[picture], picture))[:k]
    empty = k - len(order)
    return order + [-1] * empty, [found[picture] for picture in order] + [math.nan] * empty


def worst(column: np.ndarray, k: int, pictures: list[int]) -> tuple[list[int], list[float]]:
    """As `best`, of the least responses."""
    order, values = best(-column, k, pictures)
    return order, [-value for value in values]


def random_row(stimulus: int, seed: int, size: int) -> np.ndarray:
    """The numbers that one stimulus is added to the ``size`` sums with, which have length sqrt(32)."""
    block, place = divmod(stimulus, size)
    raw = np.random.PCG64(np.random.SeedSequence([seed, block])).random_raw(3 * size)
    order = sorted(range(size), key=lambda number: int(raw[number]))
    group, inside = divmod(place, 32)
    row = np.zeros(size)
    own = 1 if int(raw[size + place]) < 2**63 else -1
    for mixture in range(32):
        target = order[32 * group + mixture]
        turned = int(raw[2 * size + 32 * group + mixture]) < 2**63
        row[target] = own * hadamard(32)[mixture, inside] * (-1 if turned else 1)
    return row


def sketched_rows(values: np.ndarray, seed: int, size: int) -> np.ndarray:
    """The rows of each unit, of length 1, of the whole table: shape (units, size)."""
    table = values.astype(np.float64)
    table[~np.isfinite(table)] = np.nan
    for unit in range(table.shape[1]):
        column = table[:, unit]
        known = column[~np.isnan(column)]
        column -= math.fsum(known) / max(len(known), 1)
        column[np.isnan(column)] = 0.0
    random = np.stack([random_row(stimulus, seed, size) for stimulus in range(len(table))])
    rows = table.T @ random
    lengths = np.sqrt((rows**2).sum(axis=1))
    return rows / np.where(lengths > 0, lengths, 1)[:, None]
