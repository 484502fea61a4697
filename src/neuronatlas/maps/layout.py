"""Places in the plane for units, so that correlated units lie together.

A layout is a function of the standardised rows and their neighbours; `LAYOUTS` names them. Whoever calls one hands the
units over in `canonical_order`, so that the order of the units in a table moves no point.

The t-SNE follows Kobak and Berens (2019, Nature Communications 10:5416) in its informative start, with a weaker early
exaggeration (4) and a wider start (0.01), which kept the arrangement of the whole map most alike between halves of the
stimuli.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float64, Int64

from neuronatlas.errors import WrongInput
from neuronatlas.maps.correlation import Neighbours

FEWEST_FOR_TSNE = 8

_START_SPREAD = 1e-2
_EXAGGERATION = 4.0
_EARLY_ITERATIONS = 250
_ITERATIONS = 500


class Layout(Protocol):
    """Places for standardised units: finite, shape (units, 2), on any scale; the same seed gives the same bytes."""

    def __call__(
        self,
        standardised: Float64[np.ndarray, "units stimuli"],
        neighbours: Neighbours,
        *,
        seed: int,
        perplexity: float,
    ) -> Float64[np.ndarray, "units 2"]:
        """Lay the units out."""


def canonical_order(
    standardised: Float64[np.ndarray, "units stimuli"], names: Sequence[str]
) -> Int64[np.ndarray, " units"]:
    """An order of the units that follows from what they are, not from where they stand: by their responses, then name."""
    rounded = np.round(standardised, 9) + 0.0  # one zero, not two
    keys = [
        (hashlib.blake2b(row.tobytes(), digest_size=16).digest(), name)
        for row, name in zip(rounded, names, strict=True)
    ]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)


def usable_perplexity(units: int, perplexity: float) -> float:
    """The perplexity, lowered to a third of the other units where there are few; raises `WrongInput` below 1."""
    if not perplexity >= 1 or math.isinf(perplexity):
        message = f"perplexity {perplexity} must be a number from 1: 30 is usual, 5 to 100 are useful"
        raise WrongInput(message)
    return min(perplexity, max((units - 1) / 3, 1.0))


def neighbours_needed(units: int, perplexity: float) -> int:
    """How many neighbours of each unit `tsne` reads: three times the perplexity."""
    return min(max(units - 1, 0), math.ceil(3 * usable_perplexity(units, perplexity)))


def pca(
    standardised: Float64[np.ndarray, "units stimuli"],
    neighbours: Neighbours | None = None,  # noqa: ARG001 (every layout is called alike)
    *,
    seed: int = 0,  # noqa: ARG001
    perplexity: float = 30.0,  # noqa: ARG001
) -> Float64[np.ndarray, "units 2"]:
    """The plane of the first two principal components, the largest coordinate being 1.

    Orthogonal iterations from a fixed start, until they move by less than 1e-10 or 300 are done: where components
    nearly tie, as any solver's they are a mixture, but always the same one. The sign of each axis is the one with
    positive skew.
    """
    units, stimuli = standardised.shape
    if not standardised.size:
        return np.zeros((units, 2))
    centred = standardised - standardised.mean(axis=0)
    phases = np.arange(1, stimuli + 1)
    axes = np.stack([np.sin(phases * math.sqrt(2)), np.sin(phases * math.sqrt(3) + 1)], axis=1)
    for _ in range(300):
        before, axes = axes, _orthonormal(centred.T @ (centred @ axes))
        if np.abs(axes - before).max() < 1e-10:
            break
    positions = centred @ axes
    skew, size = np.sum(positions**3, axis=0), np.sum(np.abs(positions) ** 3, axis=0)
    positions *= np.where(skew < -1e-9 * size, -1.0, 1.0)
    largest = np.abs(positions).max()
    return np.round(positions / (largest or 1.0), 7) + 0.0


def _orthonormal(axes: Float64[np.ndarray, "stimuli 2"]) -> Float64[np.ndarray, "stimuli 2"]:
    """Both columns orthogonal and of length 1, or 0 where they hold rounding errors only."""
    first, second = axes.T
    length = np.linalg.norm(first)
    if length < 1e-12:
        return np.zeros_like(axes)
    first = first / length
    before = np.linalg.norm(second)
    second = second - first * np.sum(first * second)
    after = np.linalg.norm(second)
    kept = after > 1e-9 * max(before, length)
    return np.stack([first, second / after if kept else np.zeros_like(second)], axis=1)


def tsne(
    standardised: Float64[np.ndarray, "units stimuli"],
    neighbours: Neighbours,
    *,
    seed: int,
    perplexity: float,
) -> Float64[np.ndarray, "units 2"]:
    """t-SNE of the units on their exact neighbours, at distances sqrt(2 (1 - correlation)).

    It starts from `pca`; the seed sets only by how little (a hundredth of the start) each point is moved off it, so that
    units that respond alike do not start at one place (they may still end at one). Fewer than 8 units have no
    neighbourhoods to keep and are placed by `pca` alone.
    """
    units = len(standardised)
    if units < FEWEST_FOR_TSNE:
        return pca(standardised)
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    threads = _threads(units)
    k = neighbours_needed(units, perplexity)
    distances = np.sqrt(2.0 * (1.0 - neighbours.correlations[:, :k]))
    affinities = PerplexityBasedNN(
        knn_index=PrecomputedNeighbors(neighbours.indices[:, :k].astype(np.int64), distances),
        perplexity=usable_perplexity(units, perplexity),
        n_jobs=threads,
    )
    start = pca(standardised)
    start *= _START_SPREAD / (start[:, 0].std() or 1.0)
    start += np.random.default_rng(seed).normal(scale=_START_SPREAD / 100, size=start.shape)
    embedding = TSNEEmbedding(np.round(start, 9), affinities, n_jobs=threads, random_state=seed)
    embedding.optimize(_EARLY_ITERATIONS, exaggeration=_EXAGGERATION, momentum=0.5, inplace=True)
    embedding.optimize(_ITERATIONS, exaggeration=1.0, momentum=0.8, inplace=True)
    return np.array(embedding, dtype=np.float64)


def _threads(units: int) -> int:
    """One for each thousand units, as far as this process may use that many; the number changes no result.

    With less to do, threads wait for each other longer than they work as soon as anything else runs: 30 units took 0.2 s
    with one thread and 7 to 25 s with two, on two processors that were busy.
    """
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(processors, units // 1000))


def into_square(positions: Float64[np.ndarray, "units 2"]) -> Float64[np.ndarray, "units 2"]:
    """The positions centred on their bounding box and scaled so that its longer side runs from -1 to 1.

    Both axes are scaled by the same factor, so distances keep their proportions. (neural-response-map scales each
    axis by itself.)

    >>> into_square(np.array([[0.0, 0.0], [4.0, 1.0]]))
    array([[-1.  , -0.25],
           [ 1.  ,  0.25]])
    """
    if not len(positions):
        return positions
    low, high = positions.min(axis=0), positions.max(axis=0)
    half = float((high - low).max()) / 2
    return np.clip((positions - (low + high) / 2) / (half or 1.0), -1.0, 1.0)


LAYOUTS: dict[str, Layout] = {"tsne": tsne, "pca": pca}
