"""How far a map can be trusted: numbers that compare it with the correlations it was made from, and with chance.

Everything is done in blocks or on nearest neighbours, never with all pairs at once. With ``sample`` a score looks at
that many units, evenly spread over the table, each against all: then a million units take a bounded time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int32, Int64

from neuronatlas.errors import WrongInput
from neuronatlas.maps.correlation import Neighbours

_BLOCK = 512
_BLOCK_CELLS = 2**24
_COLUMNS = 2**16

Chosen = Int64[np.ndarray, " chosen"]


def map_neighbours(
    positions: Float64[np.ndarray, "units 2"], k: int, *, of: Chosen | None = None
) -> Int32[np.ndarray, "chosen k"]:
    """The ``k`` nearest units on the map of each unit (or of those ``of`` these indices), nearest first, itself left out."""
    from scipy.spatial import cKDTree

    if not 1 <= k < len(positions):
        message = f"k {k} must be from 1 to {len(positions) - 1}, one less than the units on the map"
        raise WrongInput(message)
    lost = np.count_nonzero(~np.isfinite(positions).all(axis=1))
    if lost:
        message = f"positions of {lost} units are not finite: leave out the units that have no place"
        raise WrongInput(message)
    rows = np.arange(len(positions)) if of is None else of
    found = cKDTree(positions).query(positions[rows], k=k + 1)[1]
    own = found == rows[:, None]
    own[~own.any(axis=1), -1] = True  # a unit under many others at the same place may not have found itself
    return found[~own].reshape(len(rows), k).astype(np.int32)


def trustworthiness(
    standardised: Float[np.ndarray, "units stimuli"],
    positions: Float64[np.ndarray, "units 2"],
    *,
    k: int = 15,
    sample: int | None = None,
    absolute: bool = False,
) -> float:
    """1 when neighbours on the map are neighbours in response space, about 0.5 when the map is random.

    Venna and Kaski (2001, Artificial Neural Networks, ICANN, 485). ``k`` must be below half the number of units. With ``absolute``
    the sign of a correlation does not count.
    """
    chosen = _chosen(len(standardised), k, sample)
    near = map_neighbours(positions, k, of=chosen)
    return _rank_score(
        lambda rows: _correlations(standardised, rows, absolute=absolute), chosen, near, len(standardised)
    )


def continuity(
    standardised: Float[np.ndarray, "units stimuli"],
    positions: Float64[np.ndarray, "units 2"],
    *,
    k: int = 15,
    sample: int | None = None,
    absolute: bool = False,
) -> float:
    """1 when neighbours in response space are neighbours on the map, about 0.5 when the map is random.

    Trustworthiness the other way round, of the same source: low where the map tears apart what belongs together.
    """
    chosen = _chosen(len(standardised), k, sample)
    map_neighbours(positions, k, of=chosen[:1])  # refuses what is no map
    near = np.empty((len(chosen), k), dtype=np.int32)
    for start in range(0, len(chosen), _rows_at_once(len(positions))):
        rows = chosen[start : start + _rows_at_once(len(positions))]
        for number, row in enumerate(_correlations(standardised, rows, absolute=absolute), start):
            best = np.flatnonzero(row >= np.partition(row, -k)[-k])
            near[number] = best[np.argsort(-row[best], kind="stable")[:k]]

    def closeness(rows: Chosen) -> Float64[np.ndarray, "rows units"]:
        across, along = (np.square(axis[rows, None] - axis) for axis in positions.T.copy())
        across += along
        return np.negative(across, out=across)

    return _rank_score(closeness, chosen, near, len(standardised))


def neighbour_recall(neighbours: Neighbours, positions: Float64[np.ndarray, "units 2"], *, k: int = 15) -> float:
    """The share of each unit's ``k`` most correlated units that are among its ``k`` nearest on the map: 0 to 1."""
    _check_known(neighbours, k)
    near = map_neighbours(positions, k)
    hits = sum(np.count_nonzero(near == column[:, None]) for column in neighbours.indices[:, :k].T)
    return float(hits / near.size)


def neighbour_correlation(
    standardised: Float[np.ndarray, "units stimuli"],
    neighbours: Neighbours,
    positions: Float64[np.ndarray, "units 2"],
    *,
    k: int = 15,
    sample: int | None = None,
) -> float:
    """The mean correlation of a unit with its ``k`` nearest on the map, over that with its ``k`` most correlated.

    At most 1, about 0 when the map is random; NaN where even the most correlated units do not correlate positively.
    """
    _check_known(neighbours, k)
    chosen = evenly_spread(len(standardised), sample)
    near = map_neighbours(positions, k, of=chosen)
    reached = 0.0
    step = max(1, _BLOCK_CELLS // max(1, k * standardised.shape[1]))
    for start in range(0, len(chosen), step):
        rows, others = chosen[start : start + step], near[start : start + step]
        products = np.einsum("us,uks->uk", standardised[rows], standardised[others]).astype(np.float64)
        reached += float((np.abs(products) if neighbours.absolute else products).sum())
    best = float(neighbours.closeness(k)[chosen].sum())
    return reached / best if best > 0 else float("nan")


def morans_i(
    positions: Float64[np.ndarray, "units 2"], values: Float[np.ndarray, "stimuli units"], *, k: int = 8
) -> Float64[np.ndarray, " stimuli"]:
    """How smoothly the responses to each stimulus lie on the map: near 1 in patches, about 0 at random.

    Moran's I (1950) on the graph of the ``k`` nearest units of each unit. NaN where all responses are equal; responses
    that are not finite count as the mean. Stimuli that the map was fitted on flatter it: for a fair number, give others.
    """
    near = map_neighbours(positions, k)
    result = np.full(len(values), np.nan)
    for index, row in enumerate(values):
        deviations = _deviations(row)
        if deviations is not None:
            result[index] = np.sum(deviations * deviations[near].mean(axis=1)) / len(deviations)
    return result


@dataclass(frozen=True, eq=False)
class Topography:
    """Moran's I of a map beside that of maps on which the same units were dealt out at random.

    ``moran`` is the mean over the stimuli, ``each`` that of each stimulus (NaN where all units answer alike).
    ``null_mean`` and ``null_sd`` are of the mean over the stimuli on the random maps, and ``p`` is the share of them,
    this map counted in, that come up to ``moran``.
    """

    moran: float
    null_mean: float
    null_sd: float
    p: float
    each: Float64[np.ndarray, " stimuli"]


def topography(
    positions: Float64[np.ndarray, "units 2"],
    values: Float[np.ndarray, "stimuli units"],
    *,
    k: int = 8,
    permutations: int = 99,
    seed: int = 0,
    sample: int | None = None,
) -> Topography:
    """`morans_i` of responses, best of held-out stimuli, with what chance would give.

    Each of the ``permutations`` deals the units out anew among the places, the same for all stimuli, so that how stimuli
    resemble each other does not count as topography. The least ``p`` is 1 / (permutations + 1) (Phipson and Smyth 2010,
    Statistical Applications in Genetics and Molecular Biology 9:39). Raises `WrongInput` where no stimulus tells the
    units apart.
    """
    if permutations < 1:
        message = f"permutations {permutations} must be at least 1: 99 is usual"
        raise WrongInput(message)
    rows = [_deviations(row) for row in values]
    varying = [index for index, row in enumerate(rows) if row is not None]
    if not varying:
        message = f"values of {len(values)} stimuli are the same for every unit: give stimuli that tell units apart"
        raise WrongInput(message)
    table = np.stack([row for row in rows if row is not None], axis=1)
    chosen = evenly_spread(len(positions), sample)
    near = map_neighbours(positions, k, of=chosen)
    found = _moran_of(table, chosen, near)
    generator = np.random.default_rng(seed)
    null = np.empty(permutations)
    for number in range(permutations):
        dealt = generator.permutation(len(positions))
        null[number] = _moran_of(table, dealt[chosen], dealt[near]).mean()
    each = np.full(len(values), np.nan)
    each[varying] = found
    reached = np.count_nonzero(null >= found.mean() - 1e-12)
    p = float((1 + reached) / (1 + permutations))
    return Topography(float(found.mean()), float(null.mean()), float(null.std()), p, each)


def _moran_of(
    table: Float64[np.ndarray, "units stimuli"],
    own: Chosen,
    near: Int32[np.ndarray, "chosen k"] | Int64[np.ndarray, "chosen k"],
) -> Float64[np.ndarray, " stimuli"]:
    """Moran's I of each column of standardised responses, seen from the units ``own`` with these neighbours."""
    around = table[near[:, 0]]
    for column in near.T[1:]:
        around += table[column]
    return np.einsum("us,us->s", table[own], around) / near.size


def _deviations(row: Float[np.ndarray, " units"]) -> Float64[np.ndarray, " units"] | None:
    """The responses with mean 0 and variance 1, what is not finite at the mean; None where all are equal."""
    finite = np.isfinite(row)
    known = row[finite].astype(np.float64)
    if not known.size or known.min() == known.max():  # their mean may be off by a rounding, so it cannot tell
        return None
    deviations = np.where(finite, row - known.mean(), 0.0)
    return deviations / np.sqrt(np.mean(deviations**2))


def evenly_spread(units: int, sample: int | None) -> Chosen:
    """All units, or ``sample`` of them, evenly spread."""
    if sample is not None and sample < 1:
        message = f"sample {sample} must be at least 1 unit: 2000 are enough for two decimals"
        raise WrongInput(message)
    return np.arange(units) if sample is None or sample >= units else np.linspace(0, units - 1, sample).astype(np.int64)


def _chosen(units: int, k: int, sample: int | None) -> Chosen:
    """The units to look at for a score of ranks."""
    if not 1 <= k < units / 2:
        message = f"k {k} must be from 1 to below half of the {units} units"
        raise WrongInput(message)
    return evenly_spread(units, sample)


def _check_known(neighbours: Neighbours, k: int) -> None:
    if k > neighbours.indices.shape[1]:
        message = f"k {k} must not exceed the {neighbours.indices.shape[1]} neighbours that are known"
        raise WrongInput(message)


def _rows_at_once(units: int) -> int:
    return max(1, min(_BLOCK, _BLOCK_CELLS // units))


def _correlations(
    standardised: Float[np.ndarray, "units stimuli"], rows: Chosen, *, absolute: bool
) -> Float64[np.ndarray, "chosen units"]:
    """The correlation of some units with all, that with itself being -inf."""
    # In float64 whatever the rows: sums of float32 depend on the processor. Indexing copies the rows, since a float64
    # product of an array with itself may crash OpenBLAS.
    own = standardised[rows].astype(np.float64)
    correlations = np.empty((len(rows), len(standardised)))
    for start in range(0, len(standardised), _COLUMNS):
        correlations[:, start : start + _COLUMNS] = own @ standardised[start : start + _COLUMNS].astype(np.float64).T
    np.round(correlations, 9, out=correlations)
    if absolute:
        np.abs(correlations, out=correlations)
    correlations[np.arange(len(rows)), rows] = -np.inf
    return correlations


def _rank_score(
    closeness: Callable[[Chosen], Float[np.ndarray, "rows units"]],
    chosen: Chosen,
    near: Int32[np.ndarray, "chosen k"],
    units: int,
) -> float:
    """1 less the mean excess of the ranks of ``near`` by ``closeness`` over k, as a share of the greatest possible.

    Equally close units are ranked by index.
    """
    k, excess = near.shape[1], 0
    for start in range(0, len(chosen), _rows_at_once(units)):
        rows = chosen[start : start + _rows_at_once(units)]
        close = closeness(rows)
        close[np.arange(len(rows)), rows] = -np.inf
        for column in near[start : start + len(rows)].T:
            own = close[np.arange(len(rows)), column][:, None]
            rank = 1 + np.count_nonzero(close > own, axis=1)
            tied = np.flatnonzero(np.count_nonzero(close >= own, axis=1) > rank)
            before = (close[tied] == own[tied]) & (np.arange(units) < column[tied, None])
            rank[tied] += np.count_nonzero(before, axis=1)
            excess += int(np.maximum(rank - k, 0).sum())
    return 1.0 - excess * 2.0 / (len(chosen) * k * (2.0 * units - 3.0 * k - 1.0))
