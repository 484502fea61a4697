"""Patches of a map: where units lie dense, with thin ground between, found as basins of the density of units.

After Berman, Choi, Bialek and Shaevitz (2014, Journal of the Royal Society Interface 11:20140672), who divide a t-SNE map of
behaviour in this way: the density is smoothed, and each of its peaks is a patch that reaches to the valleys around it. A
patch is a description of the map; whether its units belong together says the correlation, which the map only shows.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int32, Int64

SIDE = 200
"""Cells along one side of the density."""
WIDTH = 0.045
"""Standard deviation of the smoothing, as a part of the side of the map."""


def clusters_of(positions: Float[np.ndarray, "units 2"], width: float = WIDTH) -> Int32[np.ndarray, " units"]:
    """The number of each unit's patch, the patch with most units first (ties: by place); -1 for units without a place.

    ``positions`` are in -1..1. The order of the units makes no difference, and a million of them take a second.
    """
    from scipy import ndimage

    found = np.full(len(positions), -1, np.int32)
    placed = np.flatnonzero(np.isfinite(positions).all(1))
    if not len(placed):
        return found
    cells = np.clip(((positions[placed] + 1) / 2 * SIDE).astype(np.int64), 0, SIDE - 1)
    density = np.zeros((SIDE, SIDE))
    np.add.at(density, (cells[:, 0], cells[:, 1]), 1.0)
    smooth = np.round(ndimage.gaussian_filter(density, width * SIDE, mode="constant"), 9)
    basins = _climbed(smooth).ravel()[cells @ np.array([SIDE, 1])]
    peaks, number, sizes = np.unique(basins, return_inverse=True, return_counts=True)
    order = np.lexsort((peaks, -sizes))
    rank = np.empty(len(peaks), np.int32)
    rank[order] = np.arange(len(peaks))
    found[placed] = rank[number]
    return found


def _climbed(heights: Float[np.ndarray, "side side"]) -> Int64[np.ndarray, "side side"]:
    """The cell of the peak that one reaches from each cell by the steepest of the eight steps, again and again."""
    side = len(heights)
    own = np.arange(side * side).reshape(side, side)
    rim = np.pad(heights, 1, constant_values=-1.0)
    cells = np.pad(own, 1, constant_values=-1)
    around = [
        (rim[1 + row : 1 + row + side, 1 + column : 1 + column + side],
         cells[1 + row : 1 + row + side, 1 + column : 1 + column + side])
        for row in (-1, 0, 1)
        for column in (-1, 0, 1)
    ]  # fmt: skip
    best, where = heights, own
    for height, cell in around:
        better = (height > best) | ((height == best) & (cell > where))
        best, where = np.where(better, height, best), np.where(better, cell, where)
    flat = where.ravel()
    while not np.array_equal(flat[flat], flat):
        flat = flat[flat]
    return flat.reshape(side, side)
