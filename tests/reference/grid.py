"""The equal-area grid, part by part and unit by unit."""

from __future__ import annotations

import math

Cell = tuple[int, int]


def square(units: int) -> tuple[list[Cell], int]:
    side = math.ceil(math.sqrt(units))
    return nearest_to_the_middle(side)[:units], side


def nearest_to_the_middle(side: int) -> list[Cell]:
    cells = [(column, row) for column in range(side) for row in range(side)]
    middle = (side - 1) / 2
    return sorted(cells, key=lambda cell: ((cell[0] - middle) ** 2 + (cell[1] - middle) ** 2, cell[1], cell[0]))


def disc(units: int) -> tuple[list[Cell], int]:
    wide = math.ceil(2 * math.sqrt(units / math.pi)) + 2
    chosen = nearest_to_the_middle(wide + 4)[:units]  # a wider lattice with the same middle holds the same cells
    left, bottom = min(column for column, _ in chosen), min(row for _, row in chosen)
    chosen = [(column - left, row - bottom) for column, row in chosen]
    return chosen, max(max(cell) for cell in chosen) + 1


def grid(positions: list[tuple[float, float]], keys: list[int], shape: str) -> list[Cell]:
    """The column and row of each unit."""
    cells, side = square(len(positions)) if shape == "square" else disc(len(positions))
    found: dict[int, Cell] = {}

    def place(units: list[int], mine: list[Cell], low: list[int], high: list[int]) -> None:
        if not units:
            return
        if high[0] - low[0] <= 1 and high[1] - low[1] <= 1:
            assert len(units) == 1
            found[units[0]] = (low[0], low[1])
            return
        axis = 0 if high[0] - low[0] >= high[1] - low[1] else 1
        cut = (low[axis] + high[axis]) // 2
        below = [cell for cell in mine if cell[axis] < cut]
        above = [cell for cell in mine if cell[axis] >= cut]
        share = len(below)
        units = sorted(units, key=lambda unit: (positions[unit][axis], positions[unit][1 - axis], keys[unit]))
        place(units[:share], below, low, [cut if each == axis else high[each] for each in (0, 1)])
        place(units[share:], above, [cut if each == axis else low[each] for each in (0, 1)], high)

    place(list(range(len(positions))), cells, [0, 0], [side, side])
    return [found[unit] for unit in range(len(positions))]
