"""Units that are copies of each other: the same numbers for every stimulus, such as those of a layer that passes its input on.

Two units are copies when no response of the one differs from the other's by more than `ROUNDINGS` float32 roundings of
that response and of the unit's median size, and when, counted in the unit's own spread, they differ by less than `ALIKE`
in the root of the mean square. (The first alone would call units of a large mean and a small spread copies, the second
alone those that one huge response rules.) A unit that is another one scaled or shifted is no copy: a batch norm's units
are its own. Nor is a constant unit.

No two units are compared unless a few short summaries of theirs already agree; so the work grows with the number of units,
not with its square. Nothing depends on the order of the units.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

ROUNDINGS = 64
"""Pooling sums a map in another order than its mean is taken, which costs some roundings."""
ALIKE = 1e-3

_TOLERANCE = ROUNDINGS * float(np.finfo(np.float32).eps)
_CONSTANT = 16 * float(np.finfo(np.float32).eps)  # as `correlation.standardise` has it
_CELLS = 2**22
_PROJECTIONS, _SORTED = 6, 3
_DEVIATIONS = 6.0
"""A sum with random normal weights differs by more than so many deviations once in 500 million."""
_MOST_PASSES = 64
"""Units that still share a cell with others after so many comparisons are left as they are."""


@dataclass(frozen=True, eq=False)
class Copies:
    """For each unit the first unit, in the order of the table, that it is a copy of: itself when there is none before it."""

    original: Int64[np.ndarray, " units"]

    @property
    def is_copy(self) -> Bool[np.ndarray, " units"]:
        """Which units are a copy of one before them."""
        return self.original != np.arange(len(self.original))

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The units of each group of two and more, the original first; groups in the order of their originals."""
        order = np.argsort(self.original, kind="stable")
        starts = np.flatnonzero(np.diff(self.original[order], prepend=-1))
        parts = np.split(order, starts[1:]) if len(order) else []
        return tuple(tuple(part.tolist()) for part in parts if len(part) > 1)


def find_copies(values: Float[np.ndarray, "stimuli units"]) -> Copies:
    """Which units of a table of responses are copies of which; responses that are not finite count as equal.

    >>> find_copies(np.array([[1.0, 1.0, 2.0], [2.0, 2.0, 4.0]])).original
    array([0, 0, 2])
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    units = values.shape[1]
    summaries, varying = _summaries(values)
    group = np.arange(units)
    first, second = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    gap = _DEVIATIONS * ALIKE
    for shift in product((0.0, 0.5), repeat=_SORTED):
        # Two keys within a quarter of a cell share a cell of this grid or of the one half a cell further.
        cells = np.floor(summaries[:_SORTED].T / (4 * gap) + shift).astype(np.int64)
        found = _within_cells(
            values, summaries, group, varying[_crowded(cells[varying], summaries[:, varying])], cells=cells
        )
        first, second = np.append(first, found[0]), np.append(second, found[1])
        if len(found[0]):
            links = coo_array((np.ones(len(first)), (first, second)), shape=(units, units))
            group = connected_components(links, directed=False)[1].astype(np.int64)
    leaders = np.full(group.max(initial=-1) + 1, units)
    np.minimum.at(leaders, group, np.arange(units))
    return Copies(leaders[group])


def _summaries(
    values: Float[np.ndarray, "stimuli units"],
) -> tuple[Float64[np.ndarray, "summaries units"], Int64[np.ndarray, " varying"]]:
    """Each unit's spread, sums of its bounded responses with random weights, and its median; and the units that vary."""
    stimuli, units = values.shape
    weights = np.random.default_rng(0).standard_normal((_PROJECTIONS, stimuli)) / np.sqrt(max(stimuli, 1))
    summaries = np.zeros((_PROJECTIONS + 2, units))
    varies = np.zeros(units, dtype=bool)
    width = max(1, _CELLS // max(stimuli, 1))
    for start in range(0, units if stimuli else 0, width):
        some = slice(start, start + width)
        bounded, middle, spread, finite = _bounded(values[:, some])
        peak = np.abs(np.where(finite, values[:, some], 0)).max(axis=0)
        lowest = np.min(values[:, some], axis=0, where=finite, initial=np.inf)
        highest = np.max(values[:, some], axis=0, where=finite, initial=-np.inf)
        varies[some] = (finite.sum(axis=0) > 1) & (highest.astype(np.float64) - lowest > _CONSTANT * peak)
        summaries[0, some] = np.log(spread)
        summaries[1:-1, some] = np.round(weights @ bounded, 9)  # a product rounds by its place in memory
        summaries[-1, some] = np.arcsinh(middle / spread)
    return summaries + 0.0, np.flatnonzero(varies)


def _bounded(
    values: Float[np.ndarray, "stimuli units"],
) -> tuple[
    Float64[np.ndarray, "stimuli units"],
    Float64[np.ndarray, " units"],
    Float64[np.ndarray, " units"],
    Bool[np.ndarray, "stimuli units"],
]:
    """Each unit's responses from its median, in its spread, bounded by tanh; the median; the spread; what is finite.

    The spread is the median distance from the median, of the responses that are not at it.
    """
    table = values.astype(np.float64)
    finite = np.isfinite(table)
    middle = _median(np.where(finite, table, np.nan))
    away = np.where(finite, table - middle, 0.0)
    sizes = np.abs(away)
    spread = _median(np.where(sizes > _CONSTANT * np.abs(middle), sizes, np.nan))
    spread = np.where(spread > 0, spread, 1.0)
    return np.tanh(away / spread), middle, spread, finite


def _median(table: Float64[np.ndarray, "stimuli units"]) -> Float64[np.ndarray, " units"]:
    """The lower median of what is not NaN in each column; 0 without any."""
    rising = np.sort(table, axis=0)  # NaN is sorted last
    count = (~np.isnan(table)).sum(axis=0)
    found = rising[np.maximum(count - 1, 0) // 2, np.arange(table.shape[1])]
    return np.where(count > 0, found, 0.0)


def _crowded(
    cells: Int64[np.ndarray, "units keys"], summaries: Float64[np.ndarray, "summaries units"]
) -> Int64[np.ndarray, " crowded"]:
    """The units that share their cell with another one, cell by cell, within each in the order of their summaries."""
    mixed = _mixed(cells)
    order = np.lexsort((*summaries[::-1], mixed))
    equal = np.diff(mixed[order]) == 0
    return order[np.append(equal, False) | np.append(False, equal)] if len(order) else order


def _mixed(cells: Int64[np.ndarray, "units keys"]) -> Int64[np.ndarray, " units"]:
    """One number a cell. Two cells of the same number cost a comparison, no more."""
    mixed = np.zeros(len(cells), dtype=np.int64)
    for column in cells.T:
        mixed = (mixed ^ column) * np.int64(-7046029254386353131)  # 2**64 over the golden ratio, Knuth's multiplier
    return mixed


def _within_cells(
    values: Float[np.ndarray, "stimuli units"],
    summaries: Float64[np.ndarray, "summaries units"],
    group: Int64[np.ndarray, " units"],
    crowded: Int64[np.ndarray, " crowded"],
    *,
    cells: Int64[np.ndarray, "units keys"],
) -> tuple[Int64[np.ndarray, " links"], Int64[np.ndarray, " links"]]:
    """Pairs of copies among the units of each cell: each unit with the first of its cell that it is a copy of."""
    firsts: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
    seconds: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
    cell = _mixed(cells[crowded])
    gap = _DEVIATIONS * ALIKE
    for _ in range(_MOST_PASSES):
        if not len(crowded):
            break
        begins = np.append(True, cell[1:] != cell[:-1])
        leader = crowded[np.flatnonzero(begins)][np.cumsum(begins) - 1]
        alike = group[crowded] == group[leader]
        near = ~alike & (np.abs(summaries[:, crowded] - summaries[:, leader]) <= gap).all(axis=0)
        near[near] = _equal(values, leader[near], crowded[near])
        firsts.append(leader[near])
        seconds.append(crowded[near])
        left = ~(alike | near)
        crowded, cell = crowded[left], cell[left]
    return np.concatenate(firsts), np.concatenate(seconds)


def _equal(
    values: Float[np.ndarray, "stimuli units"],
    first: Int64[np.ndarray, " pairs"],
    second: Int64[np.ndarray, " pairs"],
) -> Bool[np.ndarray, " pairs"]:
    """Which pairs of units are copies, by all their responses."""
    result = np.zeros(len(first), dtype=bool)
    width = max(1, _CELLS // len(values))
    for start in range(0, len(first), width):
        one = values[:, first[start : start + width]].astype(np.float64)
        two = values[:, second[start : start + width]].astype(np.float64)
        finite = np.isfinite(one)
        same = (finite == np.isfinite(two)).all(axis=0)
        one[~finite] = two[~finite] = 0.0
        two[~np.isfinite(two)] = 0.0
        sizes = np.maximum(np.abs(one), np.abs(two))
        usual = _median(np.where(finite, sizes, np.nan))
        same &= (np.abs(one - two) <= _TOLERANCE * (sizes + usual)).all(axis=0)
        one[~finite] = two[~finite] = np.nan
        away = _bounded(one)[0] - _bounded(two)[0]
        same &= np.sqrt(np.mean(away * away, axis=0)) < ALIKE
        result[start : start + width] = same
    return result
