"""Layouts by UMAP and PaCMAP, for those who want to compare: packages of the extra ``layouts``.

Both keep fewer of a unit's neighbours than `tsne` does (on 4,832 units of a network, of the 15 nearest: t-SNE 0.42, UMAP
0.28, PaCMAP 0.25). Both count in float32 and in code compiled for the machine at hand: the same seed gives the same
bytes in the same place, and may give others on another processor or with another version of the packages.
"""

from __future__ import annotations

import importlib
import logging
import math
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
from jaxtyping import Float, Float32, Float64

from neuronatlas.errors import WrongInput
from neuronatlas.maps.correlation import Neighbours
from neuronatlas.maps.layouts.components import pca, without_signs
from neuronatlas.maps.layouts.layout import usable_perplexity

FEWEST_FOR_OTHERS = 16

_PACMAP_NEIGHBOURS = 10
# The size of the start and the noise on it are those UMAP gives its own start.
_UMAP_START = 10.0
_UMAP_NOISE = 1e-4


def umap(
    standardised: Float[np.ndarray, "units stimuli"],
    neighbours: Neighbours,
    *,
    seed: int,
    perplexity: float,
) -> Float64[np.ndarray, "units 2"]:
    """UMAP of the units (McInnes, Healy and Melville 2018, arXiv:1802.03426) on the neighbours handed over.

    It starts from `pca`; its ``n_neighbors`` is half the perplexity, which makes the usual 30 its own usual 15. Fewer
    than 16 units, or units that are all alike, are placed by `pca` alone.
    """
    units = len(standardised)
    start = pca(standardised, neighbours)
    if units < FEWEST_FOR_OTHERS or not start.any():
        return start
    package = _package("umap")
    k = max(2, min(math.floor(usable_perplexity(units, perplexity) / 2), units - 2, neighbours.indices.shape[1]))
    distances = np.sqrt(2.0 * (1.0 - neighbours.closeness(k)))
    itself = np.arange(units)[:, None]
    model = package.UMAP(
        n_neighbors=k + 1,
        init=_moved(start, seed),
        random_state=seed,
        n_jobs=1,
        force_approximation_algorithm=True,
        precomputed_knn=(
            np.concatenate([itself, neighbours.indices[:, :k]], axis=1).astype(np.int64),
            np.concatenate([np.zeros((units, 1)), distances], axis=1).astype(np.float32),
        ),
    )
    with _quiet("umap.umap_"):
        return np.array(model.fit_transform(_rows(standardised, neighbours)), dtype=np.float64)


def pacmap(
    standardised: Float[np.ndarray, "units stimuli"],
    neighbours: Neighbours,
    *,
    seed: int,
    perplexity: float,  # noqa: ARG001 (every layout is called alike)
) -> Float64[np.ndarray, "units 2"]:
    """PaCMAP of the units (Wang, Huang, Rudin and Shaposhnik 2021, JMLR 22:201) on the neighbours handed over.

    It starts from `pca` and keeps each unit near 10 neighbours, fewer where there are fewer than 41 units; perplexity
    means nothing to it. Fewer than 16 units, or units that are all alike, are placed by `pca` alone.
    """
    units = len(standardised)
    start = pca(standardised, neighbours)
    if units < FEWEST_FOR_OTHERS or not start.any():
        return start
    package = _package("pacmap")
    k = min(_PACMAP_NEIGHBOURS, (units - 1) // 4, neighbours.indices.shape[1])
    pairs = np.stack([np.repeat(np.arange(units), k), neighbours.indices[:, :k].ravel()], axis=1)
    with _quiet("pacmap.pacmap"):
        model = package.PaCMAP(n_neighbors=k, pair_neighbors=pairs.astype(np.int32), random_state=seed)
        return np.array(model.fit_transform(_rows(standardised, neighbours), init=start), dtype=np.float64)


def _moved(start: Float64[np.ndarray, "units 2"], seed: int) -> Float32[np.ndarray, "units 2"]:
    """The start, every point a little off it: UMAP divides by the length of each axis, and must not by none."""
    noise = np.random.default_rng(seed).normal(scale=_UMAP_NOISE, size=start.shape)
    return (start * _UMAP_START + noise).astype(np.float32)


def _rows(
    standardised: Float[np.ndarray, "units stimuli"], neighbours: Neighbours
) -> Float[np.ndarray, "units features"]:
    return without_signs(standardised) if neighbours.absolute else standardised


def _package(name: str) -> Any:
    """The package of that name, or `WrongInput` with the way to install it.

    UMAP's variant for Keras is hidden while UMAP loads: it would load TensorFlow and torchvision, which takes ten seconds
    where they are installed and fails where one of them is broken.
    """
    hidden = f"{name}.parametric_umap"
    fresh = hidden not in sys.modules
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if fresh:
                cast("dict[str, object]", sys.modules)[hidden] = None
            return importlib.import_module(name)
    except ImportError as error:
        message = f'layout {name!r} needs a package that is not here ({error}): pip install "neuronatlas[layouts]"'
        raise WrongInput(message) from error
    finally:
        if fresh:
            sys.modules.pop(hidden, None)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """No remarks about the seed, which is meant, or about neighbours, which are exact."""
    logger = logging.getLogger(name)
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before
