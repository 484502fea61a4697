"""The most correlated units of each unit, among few by comparing all pairs, among many by comparing likely ones.

Among many, units that respond alike are first gathered in cells around common centres (`cells`), and a
unit is compared with the units of its own cell and of those nearby. How many cells are nearby is read off a fixed sample
of units whose exact neighbours are known, and what share of these is found is part of the result.

Nothing here is drawn at random, and every product of the float32 rows that `standardise` makes of many units is a sum of
whole numbers too small to be rounded: so the number of threads, the library of linear algebra and its order of summing
cannot change a bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int32, Int64

from neuronatlas.maps.cells import Cells, cells_of, closest, coarse, members, spread

EXACT_UNITS = 20_000
"""Up to so many units all pairs are compared."""

# Correlations are rounded to this fraction of one. The offset keeps exact fractions, which small samples are full of,
# away from the places where rounding goes either way.
_STEPS = 1_000_000
_OFFSET = 0.0707
_BLOCK_CELLS = 2**24
_GATHERED = 256
_VOTES = 32
_SAMPLE = 500
_WANTED_RECALL = 0.99
_MOST_CANDIDATES = 16_384


@dataclass(frozen=True, eq=False)
class Found:
    """Neighbours of some rows: best first, -1 and 0 where there are too few; ``recall`` is the share that was found."""

    indices: Int32[np.ndarray, "queries k"]
    correlations: Float64[np.ndarray, "queries k"]
    recall: float


def exact(
    queries: Float[np.ndarray, "queries stimuli"],
    rows: Float[np.ndarray, "units stimuli"],
    k: int,
    *,
    own: Int64[np.ndarray, " queries"] | None = None,
    absolute: bool = False,
    block: int = 1024,
) -> Found:
    """The ``k`` best of ``rows`` for each of ``queries``, by comparing every pair.

    ``own`` is the index of each query among the rows, which is left out (-1: it is none of them).
    """
    units = len(rows)
    own = np.full(len(queries), -1, dtype=np.int64) if own is None else own
    indices = np.full((len(queries), k), -1, dtype=np.int32)
    correlations = np.zeros((len(queries), k))
    everyone = np.arange(units)
    block = max(1, min(block, _BLOCK_CELLS // max(units, 1)))
    for start in range(0, len(queries) if units else 0, block):
        some = slice(start, start + block)
        products = _products(queries[some], rows, None)
        indices[some], correlations[some] = _best(products, everyone, own[some], k=k, units=units, absolute=absolute)
    return Found(indices, correlations, 1.0)


def search(
    queries: Float[np.ndarray, "queries stimuli"],
    rows: Float[np.ndarray, "units stimuli"],
    k: int,
    *,
    own: Int64[np.ndarray, " queries"] | None = None,
    absolute: bool = False,
) -> Found:
    """As `exact`, comparing each query only with the units of nearby cells.

    As many cells are searched as find 0.99 of the exact neighbours of 500 queries, evenly spread, but no more than hold
    16,384 units. ``recall`` is the share that they do find.
    """
    own = np.full(len(queries), -1, dtype=np.int64) if own is None else own
    cells = cells_of(rows, absolute=absolute)
    home, nearby = _nearby(queries, cells, absolute=absolute)
    sample = spread(len(queries), _SAMPLE)
    truth = exact(queries[sample], rows, k, own=own[sample], absolute=absolute).indices
    probes, recall = _probes(home, nearby, cells, (home[sample], truth), k=k)
    indices = np.full((len(queries), k), -1, dtype=np.int32)
    correlations = np.zeros((len(queries), k))
    for cell, asking in enumerate(members(home, len(nearby))):
        if not len(asking):
            continue
        lists = [cells.order[cells.starts[one] : cells.starts[one + 1]] for one in nearby[cell, :probes]]
        candidates = np.sort(np.concatenate(lists))
        block = max(1, _BLOCK_CELLS // 8 // len(candidates))
        for start in range(0, len(asking), block):
            some = asking[start : start + block]
            products = _products(queries[some], rows, candidates)
            indices[some], correlations[some] = _best(
                products, candidates, own[some], k=k, units=len(rows), absolute=absolute
            )
    return Found(indices, correlations, recall)


def _nearby(
    queries: Float[np.ndarray, "queries stimuli"], cells: Cells, *, absolute: bool
) -> tuple[Int64[np.ndarray, " queries"], Int64[np.ndarray, "cells cells"]]:
    """The cell of each query; and for each cell all cells, first those that are close to most of its queries."""
    count = len(cells.centres)
    home = np.empty(len(queries), dtype=np.int64)
    votes = np.zeros(count * count)
    block = max(1, _BLOCK_CELLS // max(queries.shape[1], 1))
    for start in range(0, len(queries), block):
        some = slice(start, start + block)
        close = closest(coarse(queries[some]), cells.centres, min(_VOTES, count), absolute=absolute)[0]
        home[some] = close[:, 0]
        votes += np.bincount((close[:, :1] * count + close).ravel(), minlength=count * count)
    alike = (cells.centres @ cells.centres.copy().T).astype(np.float64)
    keys = votes.reshape(count, count) * 2.0**24 + (np.abs(alike) if absolute else alike)
    return home, np.argsort(-keys, axis=1, kind="stable")


def _probes(
    home: Int64[np.ndarray, " queries"],
    nearby: Int64[np.ndarray, "cells cells"],
    cells: Cells,
    sample: tuple[Int64[np.ndarray, " sample"], Int32[np.ndarray, "sample k"]],
    *,
    k: int,
) -> tuple[int, float]:
    """How many cells to search for each query, and the share of the exact neighbours of a sample that are in them."""
    count = len(nearby)
    held = np.cumsum(np.diff(cells.starts)[nearby], axis=1)
    fewest = int(np.argmax((held > min(k, len(cells.cell) - 1)).all(axis=0))) + 1
    work = np.bincount(home, minlength=count) @ held / len(home)
    most = max(fewest, int(np.searchsorted(work, _MOST_CANDIDATES, side="right")), 1)
    rank = np.empty_like(nearby)
    np.put_along_axis(rank, nearby, np.arange(count)[None].repeat(count, axis=0), axis=1)
    asking, truth = sample
    known = truth >= 0
    ranks = rank[np.broadcast_to(asking[:, None], truth.shape)[known], cells.cell[truth[known]]]
    shares = np.cumsum(np.bincount(ranks, minlength=count)) / max(known.sum(), 1)
    wanted = int(np.searchsorted(shares, _WANTED_RECALL)) + 1
    probes = min(max(fewest, wanted), most, count)
    return probes, float(shares[probes - 1]) if known.any() else 1.0


def _products(
    queries: Float[np.ndarray, "queries stimuli"],
    rows: Float[np.ndarray, "units stimuli"],
    chosen: Int64[np.ndarray, " chosen"] | None,
) -> Float64[np.ndarray, "queries candidates"]:
    """Float64 products of queries and rows, or the ``chosen`` of the rows.

    The queries are copied: a float64 product of an array with itself may crash OpenBLAS.
    """
    queries = queries.astype(np.float64)
    if chosen is None and rows.dtype == np.float64:
        return queries @ rows.T
    total = len(rows) if chosen is None else len(chosen)
    products = np.empty((len(queries), total))
    # Space that is used again and again: new pages for each part cost more than the products.
    narrow = np.empty((min(_GATHERED, total), rows.shape[1]), dtype=rows.dtype)
    wide = np.empty(narrow.shape)
    for start in range(0, total, _GATHERED):
        stop = min(start + _GATHERED, total)
        if chosen is None:
            wide[: stop - start] = rows[start:stop]
        else:  # without the clipping, numpy would gather into yet another space first
            np.take(rows, chosen[start:stop], axis=0, out=narrow[: stop - start], mode="clip")
            wide[: stop - start] = narrow[: stop - start]
        np.matmul(queries, wide[: stop - start].T, out=products[:, start:stop])
    return products


def _best(
    products: Float64[np.ndarray, "queries candidates"],
    candidates: Int64[np.ndarray, " candidates"],
    own: Int64[np.ndarray, " queries"],
    *,
    k: int,
    units: int,
    absolute: bool,
) -> tuple[Int32[np.ndarray, "queries k"], Float64[np.ndarray, "queries k"]]:
    """The ``k`` best candidates by correlation, rounded to 1e-6, then by index; changes ``products``.

    ``candidates`` are indices among ``units``, rising.
    """
    indices = np.full((len(products), k), -1, dtype=np.int32)
    correlations = np.zeros((len(products), k))
    kept = min(k, len(candidates))
    if not kept:
        return indices, correlations
    np.clip(products, -1.0, 1.0, out=products)
    negative = products < 0 if absolute else None
    if absolute:
        np.abs(products, out=products)
    # One whole number a pair, unique in its row, that sorts by falling correlation and then by rising index.
    # It stays below 2**53 / units, so that float64 holds it exactly.
    keys = products
    keys *= -_STEPS
    keys -= _OFFSET
    np.rint(keys, out=keys)
    keys *= units
    keys += candidates
    place = np.minimum(np.searchsorted(candidates, own), len(candidates) - 1)
    mine = np.flatnonzero(candidates[place] == own)
    keys[mine, place[mine]] = np.inf
    best = np.sort(np.partition(keys, kept - 1, axis=1)[:, :kept], axis=1)
    known = np.isfinite(best)
    best[~known] = 0.0
    falling = np.floor(best / units)
    found = (best - falling * units).astype(np.int64)
    levels = np.where(known, -falling / _STEPS + 0.0, 0.0)
    if negative is not None:
        places = np.minimum(np.searchsorted(candidates, found), len(candidates) - 1)
        levels *= np.where(np.take_along_axis(negative, places, axis=1), -1.0, 1.0)
    indices[:, :kept] = np.where(known, found, -1)
    correlations[:, :kept] = levels + 0.0
    return indices, correlations
