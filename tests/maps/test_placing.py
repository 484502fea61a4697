from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import procrustes as scipy_procrustes

from neuronatlas.errors import WrongInput
from neuronatlas.maps import Neighbours, standardise
from neuronatlas.maps.layouts import place, placing, procrustes
from neuronatlas.maps.layouts.placing import weighted_median


def slow_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The value that minimises the weighted sum of distances; the middle of all that do."""
    costs = [
        sum(weight * abs(value - other) for other, weight in zip(values, weights, strict=True)) for value in values
    ]
    best = [value for value, cost in zip(values, costs, strict=True) if cost <= min(costs) + 1e-12]
    return (min(best) + max(best)) / 2


def test_the_weighted_median_has_the_least_weighted_distance(rng: np.random.Generator) -> None:
    places = rng.integers(0, 6, (200, 5, 2)).astype(float)
    weights = rng.integers(0, 4, (200, 5)).astype(float)
    weights[weights.sum(axis=1) == 0] = 1
    found = weighted_median(places, weights)
    for unit in range(200):
        for axis in range(2):
            some = weights[unit] > 0
            assert found[unit, axis] == slow_median(places[unit, some, axis], weights[unit, some])


def test_the_weighted_median_without_weights_is_the_median(rng: np.random.Generator) -> None:
    places = rng.normal(size=(20, 6, 2))
    np.testing.assert_allclose(weighted_median(places, np.zeros((20, 6))), np.median(places, axis=1))


@pytest.fixture
def old(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """60 units, and places that have nothing to do with them."""
    return standardise(rng.normal(size=(30, 60)), "pearson").rows, rng.normal(size=(60, 2))


def test_a_unit_that_is_there_already_is_placed_where_it_is(old: tuple[np.ndarray, np.ndarray]) -> None:
    rows, positions = old
    assert np.array_equal(place(rows, rows, positions, k=1), positions)


@pytest.mark.parametrize("absolute", [False, True])
def test_new_units_stand_in_the_middle_of_their_most_correlated(
    old: tuple[np.ndarray, np.ndarray], absolute: bool, rng: np.random.Generator
) -> None:
    rows, positions = old
    new = standardise(rng.normal(size=(30, 15)), "pearson").rows
    found = place(new, rows, positions, k=4, absolute=absolute)
    for unit in range(15):
        levels = np.array([float(new[unit] @ row) for row in rows])
        levels = np.abs(levels) if absolute else levels
        best = np.argsort(-levels)[:4]
        expected = [slow_median(positions[best, axis], levels[best]) for axis in range(2)]
        assert found[unit] == pytest.approx(expected)


def test_units_without_a_place_or_a_response_are_no_neighbours(old: tuple[np.ndarray, np.ndarray]) -> None:
    rows, positions = old
    rows, positions = rows.copy(), positions.copy()
    rows[3], positions[4], positions[5, 1] = 0, np.nan, np.inf
    new = np.concatenate([rows[:6], rows[50:]])
    some = np.ones(60, dtype=bool)
    some[3:6] = False
    expected = place(new, rows[some], positions[some])
    found = place(new, rows, positions)
    assert np.array_equal(found, expected, equal_nan=True)
    assert np.isnan(found[3]).all()
    assert np.isfinite(np.delete(found, 3, axis=0)).all()


def test_placing_among_many_is_as_among_few(
    old: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    rows, positions = old
    new = standardise(rng.normal(size=(30, 15)), "pearson").rows
    few = place(new, rows, positions)
    monkeypatch.setattr(placing, "EXACT_UNITS", 10)
    np.testing.assert_allclose(place(new, rows, positions), few, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_map_of_few_units_takes_new_ones(count: int, old: tuple[np.ndarray, np.ndarray]) -> None:
    rows, positions = old
    found = place(rows[10:20], rows[:count], positions[:count])
    assert np.isfinite(found).all()
    assert found.min() >= positions[:count].min()
    assert found.max() <= positions[:count].max()


def test_what_cannot_be_placed_is_told(old: tuple[np.ndarray, np.ndarray]) -> None:
    rows, positions = old
    with pytest.raises(WrongInput, match="k 0 must be at least 1"):
        place(rows, rows, positions, k=0)
    with pytest.raises(WrongInput, match=r"positions \(50\) as many as rows \(60\)"):
        place(rows, rows, positions[:50])
    with pytest.raises(WrongInput, match=r"many stimuli \(29\) as rows \(30\)"):
        place(rows[:, 1:].copy(), rows, positions)
    with pytest.raises(WrongInput, match="none of the 60 units in positions has a finite place"):
        place(rows, rows, np.full((60, 2), np.nan))


def test_procrustes_undoes_turning_mirroring_scaling_and_shifting(rng: np.random.Generator) -> None:
    onto = rng.normal(size=(40, 2))
    for angle, mirror in ((0.3, 1.0), (2.5, -1.0)):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([1.0, mirror])
        np.testing.assert_allclose(procrustes(7 * onto @ turn + [5.0, -3.0], onto), onto, atol=1e-12)


def test_what_procrustes_leaves_is_what_scipys_leaves(rng: np.random.Generator) -> None:
    positions, onto = rng.normal(size=(50, 2)) * [3, 1], rng.normal(size=(50, 2))
    onto += positions @ np.array([[0.0, 1.0], [1.0, 0.0]])
    found = procrustes(positions, onto)
    left = np.sum((found - onto) ** 2) / np.sum((onto - onto.mean(axis=0)) ** 2)
    assert left == pytest.approx(scipy_procrustes(onto, positions)[2])
    np.testing.assert_allclose(found.mean(axis=0), onto.mean(axis=0))


def test_procrustes_goes_by_the_units_known_in_both_and_moves_all(rng: np.random.Generator) -> None:
    onto = rng.normal(size=(30, 2))
    positions = onto[:, ::-1] * 3 + 1
    blank = onto.copy()
    blank[:5] = np.nan
    positions[7] = np.nan
    found = procrustes(positions, blank)
    np.testing.assert_allclose(np.delete(found, 7, axis=0), np.delete(onto, 7, axis=0), atol=1e-12)
    assert np.isnan(found[7]).all()


def test_procrustes_of_next_to_nothing_shifts_or_does_nothing() -> None:
    one, other = np.array([[1.0, 2.0], [3.0, 3.0]]), np.array([[5.0, 5.0], [np.nan, 0.0]])
    assert procrustes(one, other).tolist() == [[5, 5], [7, 6]]
    assert procrustes(one, np.full((2, 2), np.nan)).tolist() == one.tolist()
    assert procrustes(one, np.ones((2, 2))).tolist() == [[0, 0.5], [2, 1.5]]
    assert procrustes(np.ones((2, 2)), one).tolist() == [[2, 2.5], [2, 2.5]]
    with pytest.raises(WrongInput, match=r"positions of shape \(2, 2\) and onto of shape \(3, 2\)"):
        procrustes(one, np.zeros((3, 2)))


def slowly_among_neighbours(places: np.ndarray, near: Neighbours) -> np.ndarray:
    """Round by round, unit by unit: the median of those of its neighbours that have a place; at last the middle of all."""
    whole = [None if np.isnan(place).any() else place for place in places]
    while any(place is None for place in whole):
        before = list(whole)
        for unit, neighbours in enumerate(near.indices):
            known = [(other, level) for other, level in zip(neighbours, near.correlations[unit], strict=True)]
            known = [
                (before[other], max(level, 1e-6)) for other, level in known if other >= 0 and before[other] is not None
            ]
            if before[unit] is None and known:
                spots, weights = np.stack([spot for spot, _ in known]), np.array([weight for _, weight in known])
                whole[unit] = np.array([slow_median(spots[:, axis], weights) for axis in range(2)])
        if all(one is other for one, other in zip(whole, before, strict=True)):
            middle = np.mean([place for place in whole if place is not None], axis=0)
            whole = [middle if place is None else place for place in whole]
    return np.stack(whole)


def test_units_without_a_place_come_to_stand_among_their_neighbours(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 units in a chain of neighbours, three at its start known; two units know nobody but each other."""
    indices = np.array([[unit - 1, unit - 2, unit + 1] for unit in range(40)], dtype=np.int32)
    indices[0] = [-1, -1, 1]
    indices[39] = [38, 37, -1]
    indices[38] = [37, 36, 39]
    indices = np.concatenate([indices, np.array([[41, -1, -1], [40, -1, -1]], dtype=np.int32)])
    near = Neighbours(indices, rng.uniform(-0.2, 1.0, size=indices.shape), 1.0, absolute=False)
    places = np.full((42, 2), np.nan)
    places[:3] = rng.normal(size=(3, 2))
    monkeypatch.setattr(placing, "_BLOCK", 7)
    found = placing.among_neighbours(places, near)
    np.testing.assert_allclose(found, slowly_among_neighbours(places, near), atol=1e-12)
    assert np.array_equal(found[:3], places[:3])
    assert np.array_equal(found[40], found[41])
