"""Units that respond alike, gathered in cells around common centres.

Spherical k-means (Dhillon and Modha 2001, Machine Learning 42:143) from an even start. Rows have length 1, so the products
of rows in whole steps of 1 / 2048 stay below 2**24 such steps squared: float32 holds them exactly, and nothing is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64

_COARSE = 2.0**11
_BLOCK_CELLS = 2**24
_UNITS_A_CELL = 128
_MOST_CELLS = 2048
_TAUGHT_A_CELL = 32
_ROUNDS = 6


@dataclass(frozen=True, eq=False)
class Cells:
    """Units gathered around centres: those of cell c are ``order[starts[c] : starts[c + 1]]``, in order of index."""

    centres: Float32[np.ndarray, "cells stimuli"]
    cell: Int64[np.ndarray, " units"]
    order: Int64[np.ndarray, " units"]
    starts: Int64[np.ndarray, " bounds"]


def cells_of(rows: Float[np.ndarray, "units stimuli"], *, absolute: bool = False, most: int = _MOST_CELLS) -> Cells:
    """The rows in cells of about 128 units, at most ``most`` cells; with ``absolute``, opposite rows are alike."""
    units = len(rows)
    count = max(1, min(units // _UNITS_A_CELL, most))
    taught = coarse(rows[spread(units, _TAUGHT_A_CELL * count)])
    centres = taught[spread(len(taught), count)]
    for _ in range(_ROUNDS):
        member, products = closest(taught, centres, 1, absolute=absolute)
        turned = (products[:, 0] < 0) & absolute
        centres = _centres(taught, member[:, 0], turned, centres)
    cell = np.empty(units, dtype=np.int64)
    block = max(1, _BLOCK_CELLS // rows.shape[1])
    for start in range(0, units, block):
        some = slice(start, start + block)
        cell[some] = closest(coarse(rows[some]), centres, 1, absolute=absolute)[0][:, 0]
    order = np.argsort(cell, kind="stable")
    return Cells(centres, cell, order, np.searchsorted(cell[order], np.arange(count + 1)))


def spread(total: int, count: int) -> Int64[np.ndarray, " some"]:
    """At most ``count`` different numbers below ``total``, evenly spread."""
    return np.unique(np.linspace(0, total - 1, min(total, count)).astype(np.int64))


def coarse(rows: Float[np.ndarray, "units stimuli"]) -> Float32[np.ndarray, "units stimuli"]:
    """The rows in whole numbers, 2,048 being 1."""
    return np.rint(rows * rows.dtype.type(_COARSE)).astype(np.float32)


def closest(
    rows: Float32[np.ndarray, "units stimuli"],
    centres: Float32[np.ndarray, "cells stimuli"],
    count: int,
    *,
    absolute: bool,
) -> tuple[Int64[np.ndarray, "units count"], Float64[np.ndarray, "units count"]]:
    """The cells whose centres are closest to each row, closest first, and their products; ties in order of index."""
    indices = np.empty((len(rows), count), dtype=np.int64)
    kept = np.empty((len(rows), count))
    cells = len(centres)
    block = max(1, _BLOCK_CELLS // cells)
    for start in range(0, len(rows), block):
        some = slice(start, start + block)
        products = (rows[some] @ centres.T).astype(np.float64)
        keys = -(np.abs(products) if absolute else products) * cells + np.arange(cells)
        best = np.sort(np.partition(keys, count - 1, axis=1)[:, :count], axis=1)
        indices[some] = best - np.floor(best / cells) * cells
        kept[some] = np.take_along_axis(products, indices[some], axis=1)
    return indices, kept


def _centres(
    rows: Float32[np.ndarray, "units stimuli"],
    member: Int64[np.ndarray, " units"],
    turned: Bool[np.ndarray, " units"],
    before: Float32[np.ndarray, "cells stimuli"],
) -> Float32[np.ndarray, "cells stimuli"]:
    """The mean direction of the members of each cell, some of them ``turned`` round; the centre of none stays."""
    centres = before.copy()
    for cell, some in enumerate(members(member, len(before))):
        total = np.sum(rows[some] * np.where(turned[some], -1.0, 1.0)[:, None], axis=0, dtype=np.float64)
        length = np.sqrt(np.sum(total * total))
        if length > 0:
            centres[cell] = np.rint(total * (_COARSE / length))
    return centres


def members(cell: Int64[np.ndarray, " units"], count: int) -> list[Any]:
    """The indices of the units of each cell."""
    order = np.argsort(cell, kind="stable")
    return np.split(order, np.searchsorted(cell[order], np.arange(1, count)))
