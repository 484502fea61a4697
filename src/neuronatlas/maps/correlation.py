"""Which units respond alike: Pearson or Spearman correlation, and each unit's most correlated units.

Correlated units are neighbours in standardised response space, so the matrix of all pairs is never held: its rows are
made block by block, and only the best of each are kept. Correlations are products in float64, rounded, so that they
are the same bytes whatever the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int32, Int64

from neuronatlas.errors import UnknownName

CORRELATIONS = ("pearson", "spearman")

# A unit is constant when its values spread over no more than this many float32 roundings of the largest of them:
# what is left then is the order in which a mean was summed.
_ROUNDINGS = 16
# Correlations are rounded to this fraction of one. The offset keeps exact fractions, which small samples are full of,
# away from the places where rounding goes either way.
_STEPS = 1_000_000
_OFFSET = 0.0707
_BLOCK_CELLS = 2**24


@dataclass(frozen=True, eq=False)
class Standardised:
    """Units as points on a sphere: the product of two rows is the correlation of their units.

    ``rows`` have mean 0 and length 1, or are 0 throughout where ``constant``. ``missing`` counts the values of each
    unit that were not finite; each of them stands at the unit's mean (for Spearman at its mean rank), where it adds
    nothing to any correlation.
    """

    rows: Float64[np.ndarray, "units stimuli"]
    constant: Bool[np.ndarray, " units"]
    missing: Int64[np.ndarray, " units"]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The most correlated units of each unit, best first, itself left out.

    Equal correlations stand in order of index. Where there are too few units, the index is -1 and the correlation 0.
    """

    indices: Int32[np.ndarray, "units k"]
    correlations: Float64[np.ndarray, "units k"]


def standardise(values: Float[np.ndarray, "stimuli units"], method: str) -> Standardised:
    """The responses, turned so that each unit is a row, and standardised for "pearson" or "spearman".

    A unit is constant when it has fewer than two finite values, or when they differ by no more than rounding.

    >>> standardise(np.array([[1.0, 5.0], [2.0, 5.0], [9.0, 5.0]]), "spearman").rows.round(3) + 0.0
    array([[-0.707,  0.   ,  0.707],
           [ 0.   ,  0.   ,  0.   ]])
    """
    if method not in CORRELATIONS:
        raise UnknownName("correlation", method, CORRELATIONS)
    table = np.array(values.T, dtype=np.float64, order="C")
    finite = np.isfinite(table)
    count = finite.sum(axis=1)
    low = np.min(table, axis=1, where=finite, initial=np.inf)
    high = np.max(table, axis=1, where=finite, initial=-np.inf)
    peak = np.maximum(np.abs(low), np.abs(high))
    constant = (count < 2) | (high - low <= _ROUNDINGS * np.finfo(np.float32).eps * peak)
    table[~finite] = 0.0
    table[constant] = 0.0
    if method == "spearman":
        table = _ranks(table, finite, constant)
    else:
        table /= np.where(constant, 1.0, high - low)[:, None]
    table -= (table.sum(axis=1, where=finite) / np.maximum(count, 1))[:, None]
    table[~finite] = 0.0
    length = np.sqrt(np.sum(table * table, axis=1))
    table /= np.where(constant, 1.0, length)[:, None]
    table[constant] = 0.0
    return Standardised(table, constant, (table.shape[1] - count).astype(np.int64))


def _ranks(
    table: Float64[np.ndarray, "units stimuli"],
    finite: Bool[np.ndarray, "units stimuli"],
    constant: Bool[np.ndarray, " units"],
) -> Float64[np.ndarray, "units stimuli"]:
    """Ranks along each row, equal values sharing their mean rank; missing values have rank 0 and take none."""
    from scipy.stats import rankdata

    ranks = np.zeros_like(table)
    whole = finite.all(axis=1) & ~constant
    if whole.any():
        ranks[whole] = rankdata(table[whole], axis=1)
    for row in np.flatnonzero(~whole & ~constant):
        ranks[row, finite[row]] = rankdata(table[row, finite[row]])
    return ranks


def nearest_neighbours(standardised: Float64[np.ndarray, "units stimuli"], k: int, *, block: int = 1024) -> Neighbours:
    """The ``k`` most correlated units of every unit, exactly, in the memory of ``block`` rows of the whole matrix.

    Takes the rows of `Standardised`; leave constant units out, for a row of zeros correlates 0 with everything.
    The correlations are rounded to 1e-6.
    """
    units = len(standardised)
    kept = max(min(k, units - 1), 0)
    indices = np.full((units, k), -1, dtype=np.int32)
    correlations = np.zeros((units, k))
    block = max(1, min(block, _BLOCK_CELLS // max(units, 1)))
    for start in range(0, units if kept else 0, block):
        stop = min(start + block, units)
        # The block is copied: a float64 product of an array with itself may crash OpenBLAS.
        keys = standardised[start:stop].copy() @ standardised.T
        np.clip(keys, -1.0, 1.0, out=keys)
        # One whole number a pair, unique in its row, that sorts by falling correlation and then by rising index.
        # It stays below 2**53 / units, so that float64 holds it exactly.
        keys *= -_STEPS
        keys -= _OFFSET
        np.rint(keys, out=keys)
        keys *= units
        keys += np.arange(units)
        keys[np.arange(stop - start), np.arange(start, stop)] = np.inf
        best = np.sort(np.partition(keys, kept - 1, axis=1)[:, :kept], axis=1)
        falling = np.floor(best / units)
        indices[start:stop, :kept] = best - falling * units
        correlations[start:stop, :kept] = -falling / _STEPS + 0.0
    return Neighbours(indices, correlations)
