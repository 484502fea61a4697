"""Which units respond alike: Pearson or Spearman correlation, and each unit's most correlated units.

Correlated units are neighbours in standardised response space, so the matrix of all pairs is never held: its rows are
made block by block, and only the best of each are kept; how is told in `search`. Correlations are products in float64,
rounded, so that they are the same bytes whatever the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int32, Int64

from neuronatlas.errors import UnknownName
from neuronatlas.maps.search import EXACT_UNITS, exact, search

CORRELATIONS = ("pearson", "spearman")

# A unit is constant when its values spread over no more than this many float32 roundings of the largest of them:
# what is left then is the order in which a mean was summed.
_ROUNDINGS = 16
_BLOCK_CELLS = 2**22
_STEPS = 2.0**24


@dataclass(frozen=True, eq=False)
class Standardised:
    """Units as points on a sphere: the product of two rows is the correlation of their units.

    ``rows`` have mean 0 and length 1, or are 0 throughout where ``constant``. ``missing`` counts the values of each
    unit that were not finite; each of them stands at the unit's mean (for Spearman at its mean rank), where it adds
    nothing to any correlation. The rows are float64; of more than 20,000 units
    float32, in whole steps of 2**-24, so that their products can be summed in float64 without any rounding.
    """

    rows: Float[np.ndarray, "units stimuli"]
    constant: Bool[np.ndarray, " units"]
    missing: Int64[np.ndarray, " units"]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The most correlated units of each unit, best first, itself left out.

    Equal correlations stand in order of index. Where there are too few units, the index is -1 and the correlation 0.
    ``absolute``: best are those of largest size, whatever their sign; the correlations keep their signs. ``recall`` is
    the share of the true neighbours that these are: 1 where all pairs were compared.
    """

    indices: Int32[np.ndarray, "units k"]
    correlations: Float64[np.ndarray, "units k"]
    recall: float = 1.0
    absolute: bool = False

    def closeness(self, k: int) -> Float64[np.ndarray, "units near"]:
        """How close the first ``k`` neighbours are: the correlations, without their signs where these do not count."""
        return np.abs(self.correlations[:, :k]) if self.absolute else self.correlations[:, :k]


def standardise(values: Float[np.ndarray, "stimuli units"], method: str) -> Standardised:
    """The responses, turned so that each unit is a row, and standardised for "pearson" or "spearman".

    A unit is constant when it has fewer than two finite values, or when they differ by no more than rounding.

    >>> standardise(np.array([[1.0, 5.0], [2.0, 5.0], [9.0, 5.0]]), "spearman").rows.round(3) + 0.0
    array([[-0.707,  0.   ,  0.707],
           [ 0.   ,  0.   ,  0.   ]])
    """
    if method not in CORRELATIONS:
        raise UnknownName("correlation", method, CORRELATIONS)
    stimuli, units = values.shape
    rows = np.empty((units, stimuli), dtype=kind_of(units))
    constant = np.empty(units, dtype=np.bool_)
    missing = np.empty(units, dtype=np.int64)
    block = max(1, _BLOCK_CELLS // max(stimuli, 1))
    for start in range(0, units, block):
        some = slice(start, start + block)
        block_rows, constant[some], missing[some] = _standardised(values[:, some], method)
        rows[some] = in_steps(block_rows) if rows.dtype == np.float32 else block_rows
    return Standardised(rows, constant, missing)


def _standardised(
    values: Float[np.ndarray, "stimuli units"], method: str
) -> tuple[Float64[np.ndarray, "units stimuli"], Bool[np.ndarray, " units"], Int64[np.ndarray, " units"]]:
    """The rows of `standardise`, which are constant, and how many values each misses."""
    table = np.array(values.T, dtype=np.float64, order="C")
    finite = np.isfinite(table)
    count = finite.sum(axis=1)
    low = np.min(table, axis=1, where=finite, initial=np.inf)
    high = np.max(table, axis=1, where=finite, initial=-np.inf)
    constant = is_constant(count, low, high)
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
    return table, constant, (table.shape[1] - count).astype(np.int64)


def kind_of(units: int) -> type[np.float64] | type[np.float32]:
    """What the rows of so many standardised units are kept as."""
    return np.float64 if units <= EXACT_UNITS else np.float32


def in_steps(rows: Float64[np.ndarray, "units stimuli"]) -> Float64[np.ndarray, "units stimuli"]:
    """The rows in whole steps of 2**-24, which float32 holds."""
    return np.rint(rows * _STEPS) / _STEPS


def is_constant(
    count: Int64[np.ndarray, " units"], low: Float64[np.ndarray, " units"], high: Float64[np.ndarray, " units"]
) -> Bool[np.ndarray, " units"]:
    """Which units have fewer than two finite values, or a least and a greatest that differ by no more than rounding."""
    peak = np.maximum(np.abs(low), np.abs(high))
    return (count < 2) | (high - low <= _ROUNDINGS * np.finfo(np.float32).eps * peak)


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


def nearest_neighbours(
    standardised: Float[np.ndarray, "units stimuli"], k: int, *, absolute: bool = False, block: int = 1024
) -> Neighbours:
    """The ``k`` most correlated units of every unit; with ``absolute``, those of the largest correlation of any sign.

    Up to 20,000 units exactly, in the memory of ``block`` rows of the whole matrix. Above, by `search.search`, which
    measures its own ``recall``. Takes the rows of `Standardised`; leave constant units out, for a row of zeros
    correlates 0 with everything. The correlations are rounded to 1e-6.
    """
    units = len(standardised)
    own = np.arange(units)
    if units <= EXACT_UNITS:
        found = exact(standardised, standardised, k, own=own, absolute=absolute, block=block)
    else:
        found = search(standardised, standardised, k, own=own, absolute=absolute)
    return Neighbours(found.indices, found.correlations, found.recall, absolute)
