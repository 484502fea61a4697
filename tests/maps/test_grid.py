from __future__ import annotations

import numpy as np
import pytest
from tests.reference import grid as reference

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps.drawing.grid import SHAPES, equal_area_grid
from neuronatlas.maps.quality import map_neighbours

COUNTS = (1, 2, 3, 4, 5, 7, 10, 16, 17, 90, 150)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("units", COUNTS)
def test_cells_are_those_of_the_recursion(units: int, shape: str, rng: np.random.Generator) -> None:
    spread = rng.normal(size=(units, 2)) ** 3
    tied = rng.integers(0, 3, (units, 2)).astype(np.float64)
    for positions in (spread, tied):
        keys = rng.permutation(units)
        found = equal_area_grid(positions, keys, shape=shape)
        expected = reference.grid([tuple(place) for place in positions.tolist()], keys.tolist(), shape)
        assert list(zip(found.columns.tolist(), found.rows.tolist(), strict=True)) == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_each_unit_has_a_cell_of_its_own(shape: str, rng: np.random.Generator) -> None:
    found = equal_area_grid(rng.normal(size=(1234, 2)), shape=shape)
    assert len({(row, column) for row, column in zip(found.rows.tolist(), found.columns.tolist(), strict=True)}) == 1234
    for places in (found.rows, found.columns):
        assert (places.min(), places.max()) == (0, found.side - 1)
    assert found.side == (36 if shape == "square" else 40)  # 1234 = pi * 19.8^2
    assert sorted(found.labels[found.labels >= 0]) == list(range(1234))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_order_of_the_units_moves_no_cell(shape: str, rng: np.random.Generator) -> None:
    positions = np.round(rng.normal(size=(300, 2)), 1)  # many at the same place
    keys = rng.permutation(300)
    straight = equal_area_grid(positions, keys, shape=shape)
    order = rng.permutation(300)
    turned = equal_area_grid(positions[order], keys[order], shape=shape)
    assert np.array_equal(turned.rows, straight.rows[order])
    assert np.array_equal(turned.columns, straight.columns[order])
    unkeyed = equal_area_grid(positions[order], shape=shape)
    assert not np.array_equal(unkeyed.positions, straight.positions[order])


def test_a_lattice_stays_as_it_is(rng: np.random.Generator) -> None:
    columns, rows = rng.permutation(np.stack(np.divmod(np.arange(169), 13), axis=1)).T
    found = equal_area_grid(np.stack([columns * 0.1 - 0.3, rows * 7.0], axis=1))
    assert np.array_equal(found.columns, columns)
    assert np.array_equal(found.rows, rows)


@pytest.mark.parametrize("shape", SHAPES)
def test_two_units_lie_side_by_side(shape: str) -> None:
    found = equal_area_grid(np.array([[0.9, 0.0], [-0.9, 0.1]]), shape=shape)
    assert (found.columns.tolist(), found.rows.tolist(), found.side) == ([1, 0], [0, 0], 2)


def test_a_disc_is_round_and_full(rng: np.random.Generator) -> None:
    found = equal_area_grid(rng.normal(size=(2000, 2)), shape="disc")
    radius = np.hypot(*found.positions.T)
    assert radius.max() < 1.01
    expected = np.sqrt(2000 / np.pi) * 2 / found.side
    assert radius.max() == pytest.approx(expected, abs=2.0 / found.side)


@pytest.mark.parametrize(("shape", "kept"), [("square", 0.45), ("disc", 0.45)])
def test_neighbours_are_kept(shape: str, kept: float, rng: np.random.Generator) -> None:
    """Of the 8 nearest units, about half stay among the 8 nearest; by chance it would be one in a hundred."""
    positions = np.concatenate([rng.normal(centre, 0.1, (200, 2)) for centre in (-1.0, 0.0, 0.7, 2.0)])
    before = map_neighbours(positions, 8)
    after = map_neighbours(equal_area_grid(positions, shape=shape).positions, 8)
    shared = np.mean([len(set(a) & set(b)) / 8 for a, b in zip(before.tolist(), after.tolist(), strict=True)])
    assert shared > kept


def test_a_picture_holds_every_value_once(rng: np.random.Generator) -> None:
    found = equal_area_grid(rng.normal(size=(20, 2)))
    values = rng.uniform(size=20)
    values[3] = np.nan
    picture = found.draw(values)
    assert picture.shape == (5, 5)
    assert np.array_equal(np.sort(picture[np.isfinite(picture)]), np.sort(values[np.isfinite(values)]))
    for unit in range(20):
        x, y = found.positions[unit]
        row, column = int((y + 1) / 2 * 5), int((x + 1) / 2 * 5)
        assert picture[row, column] == pytest.approx(values[unit], nan_ok=True)


def test_values_of_another_length_are_refused() -> None:
    for count in (1, 4):
        with pytest.raises(WrongInput, match=f"values of {count} units must be one for each of the 3 units"):
            equal_area_grid(np.eye(3)[:, :2]).draw(np.zeros(count))


def test_no_units_have_an_empty_grid() -> None:
    for shape in SHAPES:
        assert np.isnan(equal_area_grid(np.zeros((0, 2)), shape=shape).draw(np.zeros(0))).all()


def test_wrong_input_is_named() -> None:
    with pytest.raises(WrongInput, match="holds 1 units without a finite place"):
        equal_area_grid(np.array([[0.0, np.nan], [1.0, 1.0]]))
    with pytest.raises(WrongInput, match="keys holds 1 different numbers for 2 units"):
        equal_area_grid(np.zeros((2, 2)), np.zeros(2, dtype=np.int64))
    with pytest.raises(UnknownName, match="no shape 'circle'"):
        equal_area_grid(np.zeros((2, 2)), shape="circle")
