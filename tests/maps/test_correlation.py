from __future__ import annotations

import numpy as np
import pytest
from tests.maps.conftest import Make
from tests.reference import correlation as reference

from neuronatlas.errors import UnknownName
from neuronatlas.maps import Neighbours, Responses, correlation, nearest_neighbours, standardise
from neuronatlas.maps.search import exact

METHODS = ("pearson", "spearman")


@pytest.fixture(params=["real", "tied", "alike"])
def values(request: pytest.FixtureRequest, varying: Responses, tied: Responses, rng: np.random.Generator) -> np.ndarray:
    """Three tables without constant units or gaps; in the last many units are equal, or opposite, to others."""
    if request.param == "alike":
        few = rng.normal(size=(20, 6)).astype(np.float32)
        return np.concatenate([few, 3 * few + 1, -few, few[:, ::-1]], axis=1)
    return {"real": varying, "tied": tied}[request.param].values


@pytest.mark.parametrize("method", METHODS)
def test_products_of_rows_are_the_correlations_of_scipy(values: np.ndarray, method: str) -> None:
    rows = standardise(values, method).rows
    expected = reference.matrix(values, method)
    np.testing.assert_allclose(rows @ rows.copy().T, expected, atol=1e-12)
    np.testing.assert_allclose(rows.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose((rows**2).sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("block", [1024, 7, 1])
@pytest.mark.parametrize("method", METHODS)
def test_neighbours_are_those_of_the_full_matrix(values: np.ndarray, method: str, block: int) -> None:
    near = nearest_neighbours(standardise(values, method).rows, 15, block=block)
    full = reference.matrix(values, method)
    assert near.indices.tolist() == reference.neighbours(full, 15)
    np.testing.assert_allclose(near.correlations, np.take_along_axis(full, near.indices, axis=1), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_no_better_neighbour_is_left_out(values: np.ndarray, method: str) -> None:
    """By no rule of rounding but the tolerance alone."""
    near = nearest_neighbours(standardise(values, method).rows, 10)
    full = reference.matrix(values, method)
    for unit, best in enumerate(near.indices):
        assert unit not in best
        assert len(set(best.tolist())) == 10
        listed = full[unit, best]
        assert np.all(np.diff(listed) <= 1.1e-6)
        others = np.delete(full[unit], [unit, *best.tolist()])
        assert others.max() <= listed.min() + 1.1e-6


@pytest.mark.parametrize("method", METHODS)
def test_without_regard_to_sign_the_largest_correlations_are_neighbours(values: np.ndarray, method: str) -> None:
    near = nearest_neighbours(standardise(values, method).rows, 15, absolute=True)
    full = reference.matrix(values, method)
    assert near.absolute
    assert near.recall == 1
    assert near.indices.tolist() == reference.neighbours(full, 15, absolute=True)
    np.testing.assert_allclose(near.correlations, np.take_along_axis(full, near.indices, axis=1), atol=1e-6)
    assert np.array_equal(near.closeness(7), np.abs(near.correlations[:, :7]))


@pytest.mark.parametrize("method", METHODS)
def test_rows_of_many_units_are_those_of_few_in_steps_that_float32_holds(
    values: np.ndarray, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = standardise(values, method)
    monkeypatch.setattr(correlation, "EXACT_UNITS", 10)
    monkeypatch.setattr(correlation, "_BLOCK_CELLS", 7 * len(values))
    many = standardise(values, method)
    assert few.rows.dtype == np.float64
    assert many.rows.dtype == np.float32
    np.testing.assert_allclose(many.rows, few.rows, atol=0.5000001 / 2**24)
    assert np.array_equal(many.rows * 2.0**24, np.rint(many.rows * 2.0**24))
    assert np.array_equal(many.constant, few.constant)
    assert np.array_equal(many.missing, few.missing)


def test_above_twenty_thousand_units_are_searched(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlation, "EXACT_UNITS", 599)
    rows = standardise(rng.normal(size=(10, 600)), "pearson").rows
    near = nearest_neighbours(rows, 20)
    assert near.recall >= 0.99
    everything = exact(rows, rows, 20, own=np.arange(600)).indices
    hits = sum(
        len(set(some) & set(others)) for some, others in zip(near.indices.tolist(), everything.tolist(), strict=True)
    )
    assert hits >= 0.98 * everything.size


def test_equal_correlations_stand_in_order_of_index(make: Make) -> None:
    values = make([[0, 0, 0, 9, 0, 0], [1, 1, 1, 5, 1, 1], [2, 2, 2, 1, 2, 2]]).values
    near = nearest_neighbours(standardise(values, "pearson").rows, 4)
    assert near.indices.tolist() == [
        [1, 2, 4, 5],
        [0, 2, 4, 5],
        [0, 1, 4, 5],
        [0, 1, 2, 4],
        [0, 1, 2, 5],
        [0, 1, 2, 4],
    ]
    assert near.correlations[0].tolist() == [1.0] * 4
    assert near.correlations[3].tolist() == [-1.0] * 4


def test_a_thousandth_of_a_correlation_decides_before_the_index(make: Make) -> None:
    line = np.arange(50.0)
    bent = line.copy()
    bent[0] += 3
    near = nearest_neighbours(standardise(make(np.stack([bent, line, line], axis=1)).values, "pearson").rows, 2)
    assert near.indices.tolist() == [[1, 2], [2, 0], [1, 0]]


@pytest.mark.parametrize("units", range(5))
def test_where_there_are_too_few_units_the_rest_is_empty(units: int, rng: np.random.Generator) -> None:
    near = nearest_neighbours(standardise(rng.normal(size=(9, units)), "pearson").rows, 3)
    assert near.indices.shape == near.correlations.shape == (units, 3)
    known = near.indices >= 0
    assert (known.sum(axis=1) == min(3, max(units - 1, 0))).all()
    assert (near.indices[~known] == -1).all()
    assert (near.correlations[~known] == 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_n1_values_that_are_not_finite_are_counted_and_add_nothing(method: str, rng: np.random.Generator) -> None:
    values = rng.integers(0, 9, (25, 12)).astype(np.float32)
    values[0, 0] = np.nan
    values[3, 4], values[4, 4], values[5, 4] = np.inf, -np.inf, np.nan
    values[:, 7] = np.nan
    values[1:, 8] = np.inf
    values[2:, 9] = np.nan
    found = standardise(values, method)
    assert found.missing.tolist() == [1, 0, 0, 0, 3, 0, 0, 25, 24, 23, 0, 0]
    assert found.constant.tolist() == [reference.is_constant(column) for column in values.T]
    assert np.flatnonzero(found.constant).tolist() == [7, 8]
    assert (found.rows[~np.isfinite(values.T)] == 0).all()
    np.testing.assert_allclose(found.rows @ found.rows.copy().T, reference.matrix_with_gaps(values, method), atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_n2_a_unit_is_constant_when_only_rounding_moves_it(method: str) -> None:
    values = np.ones((40, 5), dtype=np.float32)
    values[::2, 1] = np.nextafter(np.float32(1), np.float32(2))
    values[:, 2] = -1e-30
    values[0, 3] = 1.0001
    values[::3, 4] = 1e-30
    found = standardise(values, method)
    assert found.constant.tolist() == [True, True, True, False, False]
    assert (found.rows[:3] == 0).all()


def test_n3_a_small_spread_on_a_large_mean_is_kept(rng: np.random.Generator) -> None:
    values = (1e4 + rng.normal(scale=1e-2, size=(200, 4))).astype(np.float32)
    found = standardise(values, "pearson")
    assert not found.constant.any()
    np.testing.assert_allclose(found.rows @ found.rows.copy().T, reference.matrix(values, "pearson"), atol=1e-9)


@pytest.mark.parametrize("factor", [1e-35, 1e30])
def test_very_small_and_very_large_responses_correlate_like_any(factor: float, rng: np.random.Generator) -> None:
    values = rng.normal(size=(50, 6))
    scaled = standardise((values * factor).astype(np.float32), "pearson")
    np.testing.assert_allclose(scaled.rows, standardise(values, "pearson").rows, atol=1e-5)


def test_an_unknown_correlation_is_named(rng: np.random.Generator) -> None:
    with pytest.raises(UnknownName, match="no correlation 'spearmen': did you mean 'spearman'"):
        standardise(rng.normal(size=(4, 3)), "spearmen")


def test_a_neighbour_list_knows_its_shape() -> None:
    """The hook that checks shapes is on in tests."""
    with pytest.raises(Exception, match="indices"):
        Neighbours(np.zeros((3, 2)), np.zeros((3, 2)))
