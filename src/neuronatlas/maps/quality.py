"""How far a map can be trusted: three numbers that compare it with the correlations it was made from.

Everything is done in blocks or on nearest neighbours, never with all pairs at once.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int32

from neuronatlas.errors import WrongInput
from neuronatlas.maps.correlation import Neighbours

_BLOCK = 512


def map_neighbours(positions: Float64[np.ndarray, "units 2"], k: int) -> Int32[np.ndarray, "units k"]:
    """The ``k`` nearest units on the map, nearest first, the unit itself left out."""
    from scipy.spatial import cKDTree

    if not 1 <= k < len(positions):
        message = f"k {k} must be from 1 to {len(positions) - 1}, one less than the units on the map"
        raise WrongInput(message)
    found = cKDTree(positions).query(positions, k=k + 1)[1]
    own = found == np.arange(len(positions))[:, None]
    own[~own.any(axis=1), -1] = True  # a unit under many others at the same place may not have found itself
    return found[~own].reshape(len(positions), k).astype(np.int32)


def trustworthiness(
    standardised: Float64[np.ndarray, "units stimuli"],
    positions: Float64[np.ndarray, "units 2"],
    *,
    k: int = 15,
    sample: int | None = None,
) -> float:
    """1 when neighbours on the map are neighbours in response space, about 0.5 when the map is random.

    Venna and Kaski (2001). ``sample`` limits the work to that many units, evenly spread over the table; each is still
    ranked against all. ``k`` must be below half the number of units.
    """
    units = len(standardised)
    if not 1 <= k < units / 2:
        message = f"k {k} must be from 1 to below half of the {units} units"
        raise WrongInput(message)
    near = map_neighbours(positions, k)
    chosen = np.arange(units) if sample is None or sample >= units else np.linspace(0, units - 1, sample).astype(int)
    excess = 0
    for start in range(0, len(chosen), _BLOCK):
        rows = chosen[start : start + _BLOCK]
        correlations = np.round(standardised[rows].copy() @ standardised.T, 9)
        correlations[np.arange(len(rows)), rows] = -np.inf
        for column in near[rows].T:
            own = correlations[np.arange(len(rows)), column][:, None]
            before = (correlations == own) & (np.arange(units) < column[:, None])
            rank = 1 + np.count_nonzero(correlations > own, axis=1) + np.count_nonzero(before, axis=1)
            excess += int(np.maximum(rank - k, 0).sum())
    return 1.0 - excess * 2.0 / (len(chosen) * k * (2.0 * units - 3.0 * k - 1.0))


def neighbour_recall(neighbours: Neighbours, positions: Float64[np.ndarray, "units 2"], *, k: int = 15) -> float:
    """The share of each unit's ``k`` most correlated units that are among its ``k`` nearest on the map: 0 to 1."""
    if k > neighbours.indices.shape[1]:
        message = f"k {k} must not exceed the {neighbours.indices.shape[1]} neighbours that are known"
        raise WrongInput(message)
    near = map_neighbours(positions, k)
    hits = sum(np.count_nonzero(near == column[:, None]) for column in neighbours.indices[:, :k].T)
    return float(hits / near.size)


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
        finite = np.isfinite(row)
        known = row[finite].astype(np.float64)
        if not known.size or known.min() == known.max():  # their mean may be off by a rounding, so it cannot tell
            continue
        deviations = np.where(finite, row - known.mean(), 0.0)
        result[index] = np.sum(deviations * deviations[near].mean(axis=1)) / np.sum(deviations**2)
    return result
