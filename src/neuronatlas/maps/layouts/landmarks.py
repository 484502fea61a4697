"""t-SNE of very many units: some of them are laid out, the others come to stand among these, and then all move a little.

A whole t-SNE of a million units spends its time on a wide plane of empty space; this one stays compact. It kept as many
neighbours as the whole one on 50,000 made-up units (recall of 15: 0.26 against 0.24).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int64

from neuronatlas.maps.cells import cells_of
from neuronatlas.maps.correlation import Neighbours
from neuronatlas.maps.layouts.components import pca
from neuronatlas.maps.layouts.embedding import Affinities, embed, from_components, move
from neuronatlas.maps.layouts.layout import neighbours_needed
from neuronatlas.maps.layouts.placing import among_neighbours
from neuronatlas.maps.search import search

FEWEST_LANDMARKS = 20_000
MOST_LANDMARKS = 50_000
REFINING_ITERATIONS, COARSE_ITERATIONS = 60, 50
"""So many of the former are counted on a grid of twice the usual width."""

_UNITS_A_LANDMARK = 10
_CELLS = 256


def through_landmarks(
    standardised: Float[np.ndarray, "units stimuli"],
    neighbours: Neighbours,
    *,
    seed: int,
    perplexity: float,
    weights: Float[np.ndarray, " units"] | None = None,
) -> Float64[np.ndarray, "units 2"]:
    """Places for many units: of landmarks by t-SNE, of the rest among their neighbours, then of all by moving."""
    units = len(standardised)
    count = min(max(units // _UNITS_A_LANDMARK, FEWEST_LANDMARKS), MOST_LANDMARKS, units)
    chosen = landmarks(standardised, count, weights, absolute=neighbours.absolute)
    rows = standardised[chosen]
    found = search(rows, rows, neighbours_needed(count, perplexity), own=np.arange(count), absolute=neighbours.absolute)
    among = Neighbours(found.indices, found.correlations, found.recall, neighbours.absolute)
    affinities = Affinities(among, perplexity, None if weights is None else weights[chosen])
    places = np.full((units, 2), np.nan)
    places[chosen] = from_components(pca(rows, among), affinities, seed)
    embedding = embed(among_neighbours(places, neighbours), Affinities(neighbours, perplexity, weights), seed)
    move(embedding, COARSE_ITERATIONS, width=2.0)
    move(embedding, REFINING_ITERATIONS - COARSE_ITERATIONS)
    return np.array(embedding, dtype=np.float64)


def landmarks(
    standardised: Float[np.ndarray, "units stimuli"],
    count: int,
    weights: Float[np.ndarray, " units"] | None = None,
    *,
    absolute: bool = False,
) -> Int64[np.ndarray, " count"]:
    """The indices of ``count`` units, rising, spread over all kinds of response, as many of a kind as it weighs.

    The units are put in line cell by cell (`cells.cells_of`), and every so many are taken. ``weights``: the steps along
    the line are of equal weight; a unit that weighs more than a step is taken once, and others fill up.
    """
    units = len(standardised)
    line = cells_of(standardised, absolute=absolute, most=_CELLS).order
    if weights is None:
        return np.sort(line[np.linspace(0, units - 1, count).astype(np.int64)])
    reached = np.cumsum(weights[line].astype(np.float64))
    steps = (np.arange(count) + 0.5) * (reached[-1] / count)
    taken = np.zeros(units, dtype=np.bool_)
    taken[line[np.minimum(np.searchsorted(reached, steps), units - 1)]] = True
    rest = line[~taken[line]]
    missing = count - int(taken.sum())
    taken[rest[np.linspace(0, len(rest) - 1, missing).astype(np.int64)]] = True
    return np.flatnonzero(taken)
