from __future__ import annotations

import hashlib

import numpy as np
import pytest
from tests.maps.elsewhere import ENVIRONMENTS, fingerprint_of
from tests.reference import correlation as reference

from neuronatlas.maps import cells, correlation, search, standardise


def grouped(units: int, stimuli: int, groups: int = 12) -> np.ndarray:
    """Responses of shape (stimuli, units) in groups that run into each other."""
    random = np.random.default_rng(8)
    features = random.normal(size=(groups, stimuli))
    mixed = (
        features[random.integers(groups, size=units)]
        + random.random((units, 1)) * features[random.integers(groups, size=units)]
    )
    return (mixed + random.normal(scale=0.7, size=mixed.shape)).astype(np.float32).T


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Rows as those of many units are: float32, in whole steps."""
    monkeypatch.setattr(correlation, "EXACT_UNITS", 10)
    return standardise(grouped(900, 40), "pearson").rows


@pytest.fixture
def small_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """About 45 cells of 900 units, so that there are cells to leave out."""
    monkeypatch.setattr(cells, "_UNITS_A_CELL", 20)


def fingerprint() -> str:
    """The sha256 of all that a search among many units finds."""
    cells._UNITS_A_CELL, correlation.EXACT_UNITS, before = 20, 10, (cells._UNITS_A_CELL, correlation.EXACT_UNITS)
    total = hashlib.sha256()
    try:
        for absolute in (False, True):
            rows = standardise(grouped(900, 200), "pearson").rows
            found = search.search(rows, rows, 30, own=np.arange(900), absolute=absolute)
            for array in (found.indices, found.correlations, np.array(found.recall)):
                total.update(array.tobytes())
    finally:
        cells._UNITS_A_CELL, correlation.EXACT_UNITS = before
    return total.hexdigest()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_is_found_is_the_same_bytes_however_sums_are_made(environment: dict[str, str]) -> None:
    assert fingerprint_of("test_search", environment) == fingerprint()


@pytest.mark.usefixtures("small_cells")
def test_products_of_these_rows_are_never_rounded(rows: np.ndarray) -> None:
    """Whole numbers, added up in Python's own, which know no rounding."""
    chosen = np.arange(5, 900, 7)
    products = search._products(rows[:20], rows, chosen)
    whole = (rows.astype(np.float64) * 2**24).astype(np.int64)
    for query in range(20):
        for place, unit in enumerate(chosen[:30]):
            exactly = sum(int(one) * int(other) for one, other in zip(whole[query], whole[unit], strict=True))
            assert int(products[query, place] * 2**48) == exactly


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.usefixtures("small_cells")
def test_when_all_cells_are_searched_all_neighbours_are_found(
    rows: np.ndarray, absolute: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_WANTED_RECALL", 1.1)
    found = search.search(rows, rows, 12, own=np.arange(900), absolute=absolute)
    full = np.round(rows.astype(np.float64) @ rows.astype(np.float64).copy().T, 12)
    assert found.indices.tolist() == reference.neighbours(full, 12, absolute=absolute)
    np.testing.assert_allclose(found.correlations, np.take_along_axis(full, found.indices, axis=1), atol=1e-6)
    assert found.recall == 1


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.usefixtures("small_cells")
def test_the_recall_told_is_the_share_that_is_found(
    rows: np.ndarray, absolute: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_WANTED_RECALL", 0.8)
    monkeypatch.setattr(search, "_SAMPLE", 900)
    own = np.arange(900)
    found = search.search(rows, rows, 12, own=own, absolute=absolute)
    truth = search.exact(rows, rows, 12, own=own, absolute=absolute)
    hits = [
        len(set(some) & set(others))
        for some, others in zip(found.indices.tolist(), truth.indices.tolist(), strict=True)
    ]
    assert found.recall == pytest.approx(sum(hits) / truth.indices.size)
    assert 0.8 <= found.recall < 0.97
    for unit, near in enumerate(found.indices.tolist()):
        assert unit not in near
        assert len(set(near)) == 12


@pytest.mark.usefixtures("small_cells")
def test_the_work_is_limited_even_where_less_is_found(rows: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    own = np.arange(900)
    monkeypatch.setattr(search, "_MOST_CANDIDATES", 60)
    assert search.search(rows, rows, 12, own=own).recall < 0.9
    # Yet each query is shown more units than it asks for.
    assert (search.search(rows, rows, 100, own=own).indices >= 0).all()


@pytest.mark.usefixtures("small_cells")
def test_others_are_looked_up_among_the_units(rows: np.ndarray) -> None:
    found = search.search(rows[::3], rows, 3)
    assert found.indices[:, 0].tolist() == list(range(0, 900, 3))
    np.testing.assert_allclose(found.correlations[:, 0], 1, atol=1e-6)
    among = search.search(rows[:50], rows[100:], 4)
    truth = search.exact(rows[:50], rows[100:], 4)
    assert np.mean(among.indices == truth.indices) > 0.95


def test_units_that_are_all_alike_are_neighbours_in_order_of_index() -> None:
    rows = standardise(np.tile(np.arange(30.0)[:, None], (1, 300)), "pearson").rows
    found = search.search(rows, rows, 3, own=np.arange(300))
    assert found.indices[:4].tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]
    assert (found.correlations == 1).all()
    assert found.recall == 1


@pytest.mark.parametrize("units", range(5))
def test_few_units_can_be_searched_too(units: int, rng: np.random.Generator) -> None:
    if not units:
        return
    rows = standardise(rng.normal(size=(9, units)), "pearson").rows
    found = search.search(rows, rows, 3, own=np.arange(units))
    assert found.indices.tolist() == search.exact(rows, rows, 3, own=np.arange(units)).indices.tolist()


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.usefixtures("small_cells")
def test_a_cell_is_the_one_with_the_closest_centre(rows: np.ndarray, absolute: bool) -> None:
    found = cells.cells_of(rows, absolute=absolute)
    assert len(found.centres) == 45
    whole = np.rint(rows.astype(np.float64) * 2048)
    for unit in range(900):
        products = whole[unit] @ found.centres.astype(np.float64).T
        assert found.cell[unit] == np.argmax(np.abs(products) if absolute else products)
    for number in range(45):
        members = found.order[found.starts[number] : found.starts[number + 1] if number < 44 else None]
        assert members.tolist() == np.flatnonzero(found.cell == number).tolist()
    # Units of a cell are more alike than units of any two.
    full = rows.astype(np.float64) @ rows.astype(np.float64).copy().T
    full = np.abs(full) if absolute else full
    same = found.cell[:, None] == found.cell
    assert full[same].mean() > full[~same].mean() + 0.3


def test_a_centre_is_the_mean_direction_of_its_members(rng: np.random.Generator) -> None:
    rows = rng.integers(-300, 300, (50, 7)).astype(np.float32)
    member, turned = rng.integers(0, 3, 50), rng.random(50) < 0.3
    before = rng.integers(-9, 9, (4, 7)).astype(np.float32)
    found = cells._centres(rows, member, turned, before)
    for cell in range(3):
        total = np.zeros(7)
        for unit in range(50):
            if member[unit] == cell:
                total += -rows[unit] if turned[unit] else rows[unit]
        assert found[cell].tolist() == np.round(2048 * total / np.linalg.norm(total)).tolist()
    assert found[3].tolist() == before[3].tolist()


def test_opposite_units_share_a_cell_where_signs_do_not_count(rng: np.random.Generator) -> None:
    values = grouped(400, 40)
    rows = standardise(np.concatenate([values, -values], axis=1), "pearson").rows
    found = cells.cells_of(rows, absolute=True)
    assert np.array_equal(found.cell[:400], found.cell[400:])
    assert len(np.unique(found.cell)) > 1
