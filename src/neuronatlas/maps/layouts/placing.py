"""Putting units into a map that is there already, and turning one map onto another."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

from neuronatlas.errors import WrongInput
from neuronatlas.maps.correlation import Neighbours
from neuronatlas.maps.search import EXACT_UNITS, exact, search

_BLOCK = 50_000
_LEAST_WEIGHT = 1e-6


def place(
    new_rows: Float[np.ndarray, "new new_stimuli"],
    rows: Float[np.ndarray, "units stimuli"],
    positions: Float64[np.ndarray, "places 2"],
    *,
    k: int = 5,
    absolute: bool = False,
) -> Float64[np.ndarray, "new 2"]:
    """Places for new units among units that have theirs: the `weighted_median` of their ``k`` most correlated ones.

    Both kinds of rows are those of `standardise` over the same stimuli. Units without a place (NaN), and constant ones,
    whose rows are zeros, are no neighbours; a new unit that is constant has no place (NaN). Weights are the correlations,
    negative ones counting as none; all count alike where none is positive.
    """
    if k < 1 or len(rows) != len(positions) or new_rows.shape[1] != rows.shape[1]:
        message = (
            f"k {k} must be at least 1, positions ({len(positions)}) as many as rows ({len(rows)}), and new_rows of as "
            f"many stimuli ({new_rows.shape[1]}) as rows ({rows.shape[1]})"
        )
        raise WrongInput(message)
    known = np.flatnonzero(np.isfinite(positions).all(axis=1) & np.any(rows, axis=1))
    if not len(known):
        message = f"none of the {len(rows)} units in positions has a finite place and a response that varies: fit first"
        raise WrongInput(message)
    find = exact if len(known) <= EXACT_UNITS else search
    old = rows if len(known) == len(rows) else rows[known]
    near = find(new_rows, old, min(k, len(known)), absolute=absolute)
    weights = np.abs(near.correlations) if absolute else np.maximum(near.correlations, 0.0)
    places = weighted_median(positions[known][near.indices], np.where(near.indices < 0, 0.0, weights))
    places[~np.any(new_rows, axis=1)] = np.nan
    return places


def among_neighbours(places: Float64[np.ndarray, "units 2"], neighbours: Neighbours) -> Float64[np.ndarray, "units 2"]:
    """The places, and for each unit without one (NaN) the `weighted_median` of its neighbours that have one.

    Those of which no neighbour has a place are put among neighbours that got theirs in a round before; where that never
    happens, at the middle of all. At least one unit must have a place.
    """
    whole = places.copy()
    closeness = neighbours.closeness(neighbours.indices.shape[1])
    lost = np.flatnonzero(np.isnan(places).any(axis=1))
    while len(lost):
        known = np.isfinite(whole).all(axis=1)
        for some in np.array_split(lost, -(-len(lost) // _BLOCK)):
            near = neighbours.indices[some]
            weights = np.where((near >= 0) & known[near], np.maximum(closeness[some], _LEAST_WEIGHT), 0.0)
            found = weights.any(axis=1)
            near_places = np.where(weights[found][:, :, None] > 0, whole[near[found]], 0.0)
            whole[some[found]] = weighted_median(near_places, weights[found])
        left = lost[np.isnan(whole[lost]).any(axis=1)]
        if len(left) == len(lost):
            whole[left] = whole[known].mean(axis=0)
            break
        lost = left
    return whole


def weighted_median(
    places: Float64[np.ndarray, "units near 2"], weights: Float64[np.ndarray, "units near"]
) -> Float64[np.ndarray, "units 2"]:
    """The median of each coordinate of the ``near`` places of each unit, each counting by its weight.

    Half way between two places where the weights of both sides are equal; the plain median where all weights are 0.

    >>> weighted_median(np.array([[[0.0, 9.0], [1.0, 5.0], [7.0, 6.0]]]), np.array([[1.0, 1.0, 3.0]]))
    array([[7., 6.]])
    """
    weights = np.where(weights.sum(axis=1, keepdims=True) > 0, weights, 1.0)
    result = np.empty((len(places), 2))
    for axis in range(2):
        order = np.argsort(places[:, :, axis], axis=1, kind="stable")
        sorted_places = np.take_along_axis(places[:, :, axis], order, axis=1)
        reached = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
        half = reached[:, -1:] / 2
        lower = np.argmax(reached >= half, axis=1)[:, None]
        upper = np.argmax(reached > half, axis=1)[:, None]
        middle = np.take_along_axis(sorted_places, lower, axis=1) + np.take_along_axis(sorted_places, upper, axis=1)
        result[:, axis] = middle[:, 0] / 2
    return result


def procrustes(
    positions: Float64[np.ndarray, "units 2"], onto: Float64[np.ndarray, "places 2"]
) -> Float64[np.ndarray, "units 2"]:
    """The positions shifted, turned, perhaps mirrored and scaled by one factor, to lie as near to ``onto`` as can be.

    Found by least squares over the units that are finite in both (Schönemann and Carroll 1970, Psychometrika 35:245),
    and done to all. Where all of them lie at one place in either, the positions are shifted only; without any, nothing
    is done.
    """
    if positions.shape != onto.shape:
        message = f"positions of shape {positions.shape} and onto of shape {onto.shape} must be of the same units"
        raise WrongInput(message)
    both = np.isfinite(positions).all(axis=1) & np.isfinite(onto).all(axis=1)
    if not both.any():
        return positions.copy()
    centre, target = positions[both].mean(axis=0), onto[both].mean(axis=0)
    moved, fixed = positions[both] - centre, onto[both] - target
    size = float(np.sum(moved * moved))
    left, strengths, right = np.linalg.svd(moved.T.copy() @ fixed)
    scale = float(strengths.sum()) / size if size > 0 else 0.0
    if scale == 0:
        return positions - centre + target
    return (positions - centre) @ (left @ right) * scale + target
