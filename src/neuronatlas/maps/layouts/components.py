"""Layouts that keep the large distances: principal components, and scaling of all distances (MDS)."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Float64

from neuronatlas.errors import WrongInput
from neuronatlas.maps.correlation import Neighbours
from neuronatlas.maps.search import EXACT_UNITS

MOST_FOR_MDS = 4000

_BLOCK_CELLS = 2**22
_COVARIANCE_UNITS = 2048
_TURNS = 300
_REFERENCES = 256
_MDS_ROUNDS = 300
_MDS_TOLERANCE = 1e-6


def pca(
    standardised: Float[np.ndarray, "units stimuli"],
    neighbours: Neighbours | None = None,
    *,
    seed: int = 0,  # noqa: ARG001 (every layout is called alike)
    perplexity: float = 30.0,  # noqa: ARG001
) -> Float64[np.ndarray, "units 2"]:
    """The plane of the first two principal components, the largest coordinate being 1.

    Orthogonal iterations from a fixed start, until they move by less than 1e-10 or 300 are done: where components
    nearly tie, as any solver's they are a mixture, but always the same one. The sign of each axis is the one with
    positive skew. The components of more than 20,000 units are those of 20,000 of them, evenly spread. Where signs of
    correlations do not count (`Neighbours.absolute`), the components are those of `without_signs`.
    """
    units, stimuli = standardised.shape
    if not standardised.size:
        return np.zeros((units, 2))
    if neighbours is not None and neighbours.absolute:
        return pca(without_signs(standardised))
    chosen = np.unique(np.linspace(0, units - 1, min(units, EXACT_UNITS)).astype(np.int64))
    sample = np.array(standardised if len(chosen) == units else standardised[chosen], dtype=np.float64)
    mean = sample.mean(axis=0)
    sample -= mean
    axes = _axes(sample)
    positions = np.empty((units, 2))
    block = max(1, _BLOCK_CELLS // stimuli)
    for start in range(0, units, block):
        some = slice(start, start + block)
        positions[some] = (standardised[some] - mean) @ axes
    skew, size = np.sum(positions**3, axis=0), np.sum(np.abs(positions) ** 3, axis=0)
    positions *= np.where(skew < -1e-9 * size, -1.0, 1.0)
    largest = np.abs(positions).max()
    return np.round(positions / (largest or 1.0), 7) + 0.0


def _axes(centred: Float64[np.ndarray, "units stimuli"]) -> Float64[np.ndarray, "stimuli 2"]:
    """The first two directions of largest variance."""
    units, stimuli = centred.shape
    phases = np.arange(1, stimuli + 1)
    axes = np.stack([np.sin(phases * math.sqrt(2)), np.sin(phases * math.sqrt(3) + 1)], axis=1)
    spread = _covariance(centred) if stimuli < units else None
    for _ in range(_TURNS):
        before = axes
        axes = _orthonormal(centred.T @ (centred @ axes) if spread is None else spread @ axes)
        if np.abs(axes - before).max() < 1e-10:
            break
    return axes


def _covariance(centred: Float64[np.ndarray, "units stimuli"]) -> Float64[np.ndarray, "stimuli stimuli"]:
    """The sum of the products of all pairs of stimuli over the units."""
    total = np.zeros((centred.shape[1], centred.shape[1]))
    for start in range(0, len(centred), _COVARIANCE_UNITS):
        part = centred[start : start + _COVARIANCE_UNITS]
        total += part.T.copy() @ part  # copied: a float64 product of an array with itself may crash OpenBLAS
    return total


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


def without_signs(standardised: Float[np.ndarray, "units stimuli"]) -> Float64[np.ndarray, "units references"]:
    """Each unit by the size of its correlations with at most 256 units, evenly spread: opposite units are the same."""
    units = len(standardised)
    chosen = np.unique(np.linspace(0, units - 1, min(units, _REFERENCES)).astype(np.int64))
    references = standardised[chosen].astype(np.float64).T
    described = np.empty((units, len(chosen)))
    block = max(1, _BLOCK_CELLS // max(standardised.shape[1], 1))
    for start in range(0, units, block):
        some = slice(start, start + block)
        described[some] = np.round(np.abs(standardised[some] @ references), 9)
    return described


def mds(
    standardised: Float[np.ndarray, "units stimuli"],
    neighbours: Neighbours | None = None,
    *,
    seed: int = 0,  # noqa: ARG001
    perplexity: float = 30.0,  # noqa: ARG001
) -> Float64[np.ndarray, "units 2"]:
    """Metric scaling: distances on the map as near as can be to sqrt(2 (1 - correlation)), of all pairs alike.

    Each round of SMACOF (de Leeuw 1977) lowers the sum of squared differences; it starts from `pca`, and ends when the
    sum falls by less than a millionth, or after 300 rounds. Raises `WrongInput` above 4,000 units, for all pairs are
    held. (Classical scaling of these distances is `pca`, but for its scale.)
    """
    units = len(standardised)
    if units > MOST_FOR_MDS:
        message = f"layout 'mds' compares all pairs of {units} units and takes at most {MOST_FOR_MDS}: use 'tsne'"
        raise WrongInput(message)
    start = pca(standardised, neighbours)
    if not start.any():
        return start
    correlations = standardised.astype(np.float64) @ standardised.astype(np.float64).T
    if neighbours is not None and neighbours.absolute:
        np.abs(correlations, out=correlations)
    wanted = np.sqrt(np.round(np.clip(2.0 - 2.0 * correlations, 0.0, 4.0), 9))
    np.fill_diagonal(wanted, 0.0)
    distances = _distances(start)
    scale = float(np.sum(wanted * distances) / np.sum(distances * distances))
    positions, distances = start * scale, distances * scale
    stress = float(np.sum((distances - wanted) ** 2))
    for _ in range(_MDS_ROUNDS):
        pull = wanted / np.where(distances > 0, distances, np.inf)
        positions = (positions * pull.sum(axis=1)[:, None] - pull @ positions) / units
        positions = np.round(positions, 9) + 0.0  # before the order of summing can be seen
        distances = _distances(positions)
        before, stress = stress, float(np.sum((distances - wanted) ** 2))
        if before - stress <= _MDS_TOLERANCE * before:
            break
    return np.round(positions, 7) + 0.0


def _distances(positions: Float64[np.ndarray, "units 2"]) -> Float64[np.ndarray, "units units"]:
    x, y = positions.T
    return np.hypot(x[:, None] - x, y[:, None] - y)
