"""t-SNE itself, by openTSNE: affinities of given neighbours, and points that move by them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from neuronatlas.maps.correlation import Neighbours
from neuronatlas.maps.layouts.layout import neighbours_needed, usable_perplexity

EXAGGERATION = 4.0
EARLY_ITERATIONS, ITERATIONS = 120, 300
"""Of 4,777 units of a small network this took 0.6 of the time of the usual 250 and 500, with the same recall (0.585) and
a whole that halves of the stimuli arrange more alike (disparity 0.18 and 0.24)."""
GRID_FROM = 10_000
"""From so many units openTSNE counts on a grid."""
EARLY_ITERATIONS_OF_MANY, ITERATIONS_OF_MANY = 250, 500
COARSE_ITERATIONS = 350
"""So many of the latter are counted on a grid of twice the usual width, which takes half the time: among 25,000 units
recall fell from 0.304 to 0.300."""

_START_SPREAD = 1e-2
_JITTER = 1e-2


class Affinities:
    """What openTSNE asks of affinities: the matrix ``P``, which sums to 1; and the rate of learning that goes with it."""

    def __init__(
        self, neighbours: Neighbours, perplexity: float, weights: Float[np.ndarray, " units"] | None = None
    ) -> None:
        from openTSNE.affinity import PerplexityBasedNN
        from openTSNE.nearest_neighbors import PrecomputedNeighbors

        units = len(neighbours.indices)
        k = min(neighbours_needed(units, perplexity), neighbours.indices.shape[1])
        distances = np.sqrt(2.0 * (1.0 - neighbours.closeness(k)))
        made = PerplexityBasedNN(
            knn_index=PrecomputedNeighbors(neighbours.indices[:, :k].astype(np.int64), distances),
            perplexity=min(usable_perplexity(units, perplexity), max(k / 3, 1.0)),
            n_jobs=threads(units),
        )
        self.P = made.P
        # The usual rate is the number of units (Belkina et al. 2019, Nature Communications 10:5415): 1 / their shares.
        self.rate = float(units)
        if weights is not None:
            root = np.sqrt(weights / np.max(weights)).astype(np.float64)
            self.P.data *= np.repeat(root, np.diff(self.P.indptr)) * root[self.P.indices]
            self.P.data /= self.P.data.sum()
            shares = np.asarray(self.P.sum(axis=1)).ravel()
            self.rate = min(self.rate, 1.0 / float(np.percentile(shares, 99)))


def embed(start: Float64[np.ndarray, "units 2"], affinities: Affinities, seed: int) -> Any:
    """An openTSNE embedding at ``start``, each point moved off it by a hundredth of its spread.

    Without that, units that respond alike would start at one place.
    """
    from openTSNE import TSNEEmbedding

    spread = float(start[:, 0].std()) or _START_SPREAD
    moved = start + np.random.default_rng(seed).normal(scale=spread * _JITTER, size=start.shape)
    return TSNEEmbedding(np.round(moved, 9), affinities, n_jobs=threads(len(start)), random_state=seed)


def move(
    embedding: Any, iterations: int, *, exaggeration: float = 1.0, momentum: float = 0.8, width: float = 1.0
) -> None:
    """Let the points of an embedding move; ``width`` is that of a cell of the grid, if there is one."""
    embedding.optimize(
        iterations,
        exaggeration=exaggeration,
        momentum=momentum,
        learning_rate=embedding.affinities.rate / exaggeration,
        ints_in_interval=width,
        inplace=True,
    )


def from_components(
    components: Float64[np.ndarray, "units 2"], affinities: Affinities, seed: int
) -> Float64[np.ndarray, "units 2"]:
    """The whole way: from a small copy of ``components``, exaggerated and then not."""
    small = components * (_START_SPREAD / (components[:, 0].std() or 1.0))
    embedding = embed(small, affinities, seed)
    many = len(components) >= GRID_FROM
    early = EARLY_ITERATIONS_OF_MANY if many else EARLY_ITERATIONS
    move(embedding, early, exaggeration=EXAGGERATION, momentum=0.5)
    if many:
        move(embedding, COARSE_ITERATIONS, width=2.0)
        move(embedding, ITERATIONS_OF_MANY - COARSE_ITERATIONS)
    else:
        move(embedding, ITERATIONS)
    return np.array(embedding, dtype=np.float64)


def threads(units: int) -> int:
    """One for each thousand units, as far as this process may use that many; the number changes no result.

    With less to do, threads wait for each other longer than they work as soon as anything else runs: 30 units took 0.2 s
    with one thread and 7 to 25 s with two, on two processors that were busy.
    """
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(processors, units // 1000))
