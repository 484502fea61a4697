"""An equal-area map: every unit is one cell of a square lattice, near the units that it lay near in the layout.

In a Voronoi picture the area of a unit is an accident of the layout, and many units of a large map own no pixel at all.
Here the lattice is cut in two across its longer side, the units along that side in two such that each part has as many
units as cells, and each part again, until it is one cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int64, Real

from neuronatlas.errors import UnknownName, WrongInput

SHAPES = ("square", "disc")


@dataclass(frozen=True, eq=False)
class Grid:
    """The cell of each unit in a lattice of ``side`` x ``side``; row 0 lies lowest, column 0 leftmost."""

    rows: Int64[np.ndarray, " units"]
    columns: Int64[np.ndarray, " units"]
    side: int

    @property
    def positions(self) -> Float64[np.ndarray, "units 2"]:
        """The middle of each unit's cell, x and y, in a lattice that spans -1..1."""
        return (np.stack([self.columns, self.rows], axis=1) + 0.5) * (2.0 / self.side) - 1.0

    @cached_property
    def labels(self) -> Int64[np.ndarray, "side side"]:
        """The unit in each cell, -1 where there is none."""
        cells = np.full((self.side, self.side), -1)
        cells[self.rows, self.columns] = np.arange(len(self.rows))
        return cells

    def draw(self, values: Float64[np.ndarray, " units"]) -> Float64[np.ndarray, "side side"]:
        """The picture of one value a unit, NaN in empty cells."""
        if len(values) != len(self.rows):
            message = f"values of {len(values)} units must be one for each of the {len(self.rows)} units of the grid"
            raise WrongInput(message)
        picture = np.full((self.side, self.side), np.nan)
        picture[self.rows, self.columns] = values
        return picture


def equal_area_grid(
    positions: Real[np.ndarray, "units 2"], keys: Int64[np.ndarray, " units"] | None = None, *, shape: str = "square"
) -> Grid:
    """One cell for each unit, neighbours kept together.

    ``keys`` tells units at exactly the same place apart (all different; the order of the units where not given), so that
    with them the order of the units moves no cell. "square": the lattice of ceil(sqrt(units)) a side, its empty cells at
    the corners. "disc": the cells nearest to the middle of a lattice. Raises `WrongInput` for
    positions that are not finite, and for keys of which two are equal.
    """
    if shape not in SHAPES:
        raise UnknownName("shape", shape, SHAPES)
    units = len(positions)
    if not np.isfinite(positions).all():
        lost = int((~np.isfinite(positions).all(axis=1)).sum())
        message = f"positions holds {lost} units without a finite place: leave them out of the grid"
        raise WrongInput(message)
    if keys is None:
        keys = np.arange(units)
    elif len(np.unique(keys)) < units:
        message = f"keys holds {len(np.unique(keys))} different numbers for {units} units: give each unit its own"
        raise WrongInput(message)
    cells, side = _square(units) if shape == "square" else _disc(units)
    found = _bisect(_ranks(positions, keys), cells, side)
    return Grid(found[:, 1], found[:, 0], side)


def _square(units: int) -> tuple[Int64[np.ndarray, "units 2"], int]:
    """The cells (column, row) of the smallest square that holds the units, without those at its corners that are too many."""
    side = max(int(np.ceil(np.sqrt(units))), 1)
    return _middle(side, units), side


def _disc(units: int) -> tuple[Int64[np.ndarray, "units 2"], int]:
    """As many cells as units, nearest to the middle of a lattice that is cut to them."""
    chosen = _middle(int(np.ceil(2.0 * np.sqrt(max(units, 1) / np.pi))) + 2, units)
    if not units:
        return chosen, 1
    chosen = chosen - chosen.min(axis=0)
    return chosen, int(chosen.max()) + 1


def _middle(side: int, count: int) -> Int64[np.ndarray, "count 2"]:
    """The ``count`` cells of a square nearest to its middle; of equally near ones those below, then to the left.

    (So two units, which a layout places left and right, lie side by side.)
    """
    cells = np.stack(np.divmod(np.arange(side * side), side)[::-1], axis=1)
    distance = ((2 * cells - (side - 1)) ** 2).sum(axis=1)
    return cells[np.argsort(distance, kind="stable")[:count]]


def _ranks(positions: Real[np.ndarray, "units 2"], keys: Int64[np.ndarray, " units"]) -> Int64[np.ndarray, "2 units"]:
    """The place of each unit from left to right, and from below; equal ones by the other axis, then by key."""
    x, y = positions.T
    ranks = np.empty((2, len(keys)), dtype=np.int64)
    for axis, order in enumerate((np.lexsort((keys, y, x)), np.lexsort((keys, x, y)))):
        ranks[axis, order] = np.arange(len(keys))
    return ranks


def _bisect(
    ranks: Int64[np.ndarray, "2 units"], cells: Int64[np.ndarray, "units 2"], side: int
) -> Int64[np.ndarray, "units 2"]:
    """The cell of each unit, there being as many cells as units.

    Every pass cuts all parts at once: a part is a box of the lattice with its cells and as many units.
    """
    units = ranks.shape[1]
    low, high = np.zeros((1, 2), dtype=np.int64), np.full((1, 2), side)  # of each part, first and past-the-last
    of_unit, of_cell = np.zeros((2, units), dtype=np.int64)
    while (high - low).max(initial=1) > 1:
        parts = np.arange(len(low))
        axis = np.argmax(high - low, axis=1)  # the first of two equally long sides
        cut = (low + high)[parts, axis] // 2  # a box of one cell is cut at its own lower edge: into nothing and itself
        above = cells[np.arange(units), axis[of_cell]] >= cut[of_cell]
        count = np.bincount(of_cell, minlength=len(parts))
        below = np.bincount(of_cell[~above], minlength=len(parts))
        order = np.argsort(of_unit * units + ranks[axis[of_unit], np.arange(units)])
        place = np.arange(units) - (np.cumsum(count) - count)[of_unit[order]]
        upper = np.empty(units, dtype=bool)
        upper[order] = place >= below[of_unit[order]]

        of_unit, of_cell = 2 * of_unit + upper, 2 * of_cell + above
        low, high = np.repeat(low, 2, axis=0), np.repeat(high, 2, axis=0)
        high[2 * parts, axis] = cut
        low[2 * parts + 1, axis] = cut
        kept = np.bincount(of_unit, minlength=len(low)) > 0
        number = np.cumsum(kept) - 1
        of_unit, of_cell, low, high = number[of_unit], number[of_cell], low[kept], high[kept]
    return low[of_unit]
