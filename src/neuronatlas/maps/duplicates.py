"""Units that are copies of each other: the same numbers for every stimulus, such as those of a layer that passes its input on.

Two units are copies when none of their responses differ by more than `ROUNDINGS` float32 roundings of the largest, and
when they correlate by more than 1 - `ALIKE`. A unit that is another one scaled or shifted is no copy, though Pearson's
correlation of the two is 1: a batch norm's units are its own. Nor is a constant unit. Copies of a copy are copies.

No two units are compared unless a few short summaries of theirs, sorted, already agree; so the work grows with the number
of units, not with its square.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

ROUNDINGS = 64
"""Pooling sums a map in another order than its mean is taken, which costs some roundings."""
ALIKE = 1e-6

_TOLERANCE = ROUNDINGS * float(np.finfo(np.float32).eps)
_CONSTANT = 16 * float(np.finfo(np.float32).eps)  # as `correlation.standardise` has it
_CELLS = 2**22
_SORTED, _SUMMARIES = 3, 7
# A sum of n errors of at most e with random weights in -1..1 exceeds 8 e sqrt(n) with a chance below 2 exp(-32)
# (Hoeffding 1963, Journal of the American Statistical Association 58:13).
_DEVIATIONS = 8.0


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
    gaps = _gaps(len(values))
    for shift in product((0.0, 0.5), repeat=_SORTED):
        # Two keys within a quarter of a cell share a cell of this grid or of the one half a cell further.
        cells = np.floor(summaries[:_SORTED].T / (4 * gaps[:_SORTED]) + shift).astype(np.int64)
        found = _within_cells(values, summaries, group, varying[_crowded(cells[varying])], cells=cells)
        first, second = np.append(first, found[0]), np.append(second, found[1])
        if len(found[0]):
            links = coo_array((np.ones(len(first)), (first, second)), shape=(units, units))
            group = connected_components(links, directed=False)[1].astype(np.int64)
    leaders = np.full(group.max(initial=-1) + 1, units)
    np.minimum.at(leaders, group, np.arange(units))
    return Copies(leaders[group])


def _gaps(stimuli: int) -> Float64[np.ndarray, " summaries"]:
    """By how much each summary of two copies may differ at most."""
    gaps = np.full(_SUMMARIES, 2 * _TOLERANCE * min(1.0, _DEVIATIONS / np.sqrt(max(stimuli, 1))))
    gaps[0] = 2 * _TOLERANCE
    return gaps


def _summaries(
    values: Float[np.ndarray, "stimuli units"],
) -> tuple[Float64[np.ndarray, "summaries units"], Int64[np.ndarray, " varying"]]:
    """The logarithm of each unit's peak, and weighted means of its responses over the peak; and the units that vary."""
    stimuli, units = values.shape
    weights = np.random.default_rng(0).uniform(-1, 1, (_SUMMARIES - 1, stimuli)) / max(stimuli, 1)
    summaries = np.zeros((_SUMMARIES, units))
    varying = np.zeros(units, dtype=bool)
    width = max(1, _CELLS // max(stimuli, 1))
    for start in range(0, units if stimuli else 0, width):
        part = values[:, start : start + width].astype(np.float64)
        finite = np.isfinite(part)
        spread = np.max(part, axis=0, where=finite, initial=-np.inf) - np.min(
            part, axis=0, where=finite, initial=np.inf
        )
        part[~finite] = 0.0
        peak = np.abs(part).max(axis=0)
        varying[start : start + width] = (finite.sum(axis=0) > 1) & (spread > _CONSTANT * peak)
        part /= np.where(peak > 0, peak, 1.0)
        summaries[0, start : start + width] = np.log(np.where(peak > 0, peak, 1.0))
        summaries[1:, start : start + width] = weights @ part
    return summaries, np.flatnonzero(varying)


def _crowded(cells: Int64[np.ndarray, "units keys"]) -> Int64[np.ndarray, " crowded"]:
    """The units that share their cell with another one, cell by cell, in order of index within each."""
    mixed = _mixed(cells)
    order = np.argsort(mixed, kind="stable")
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
    gaps = _gaps(len(values))[:, None]
    while len(crowded):
        begins = np.append(True, cell[1:] != cell[:-1])
        leader = crowded[np.flatnonzero(begins)][np.cumsum(begins) - 1]
        alike = group[crowded] == group[leader]
        near = ~alike & (np.abs(summaries[:, crowded] - summaries[:, leader]) <= gaps).all(axis=0)
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
        two = np.where(np.isfinite(two), two, 0.0)
        peak = np.maximum(np.abs(one).max(axis=0), np.abs(two).max(axis=0))
        same &= np.abs(one - two).max(axis=0) <= _TOLERANCE * peak
        count = np.maximum(finite.sum(axis=0), 1)
        one = np.where(finite, one - one.sum(axis=0) / count, 0.0)
        two = np.where(finite, two - two.sum(axis=0) / count, 0.0)
        lengths = np.sqrt((one * one).sum(axis=0) * (two * two).sum(axis=0))
        same &= (one * two).sum(axis=0) > (1 - ALIKE) * lengths
        result[start : start + width] = same
    return result
