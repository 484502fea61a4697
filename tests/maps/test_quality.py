from __future__ import annotations

import numpy as np
import pytest
from tests.maps.conftest import Make
from tests.reference import correlation, response_map
from tests.reference import quality as reference

from neuronatlas.errors import WrongInput
from neuronatlas.maps import (
    ResponseMap,
    Responses,
    morans_i,
    nearest_neighbours,
    neighbour_recall,
    standardise,
    trustworthiness,
)
from neuronatlas.maps.quality import continuity, map_neighbours, neighbour_correlation, topography


@pytest.fixture(scope="session")
def rows(varying: Responses) -> np.ndarray:
    return standardise(varying.values, "spearman").rows


@pytest.fixture(scope="session")
def places(real_map: ResponseMap) -> np.ndarray:
    return real_map.positions[np.isfinite(real_map.positions[:, 0])]


def test_trustworthiness_is_that_of_scikit_learn(
    rows: np.ndarray, places: np.ndarray, rng: np.random.Generator
) -> None:
    for positions in (places, rng.normal(size=places.shape)):
        for k in (5, 15):
            expected = reference.trustworthiness(rows, positions, k)
            # Equal correlations are ranked by index here and by their rounding errors there.
            assert trustworthiness(rows, positions, k=k) == pytest.approx(expected, abs=2e-4)


def test_a_sample_is_near_the_whole(rows: np.ndarray, rng: np.random.Generator) -> None:
    positions = rng.normal(size=(len(rows), 2))
    whole = trustworthiness(rows, positions, k=5)
    assert trustworthiness(rows, positions, k=5, sample=len(rows)) == whole
    assert trustworthiness(rows, positions, k=5, sample=len(rows) // 2) == pytest.approx(whole, abs=0.1)


def test_recall_is_that_of_counting(rows: np.ndarray, places: np.ndarray) -> None:
    near = nearest_neighbours(rows, 10)
    expected = reference.recall(near.indices.tolist(), places, 10)
    assert neighbour_recall(near, places, k=10) == pytest.approx(expected, abs=1e-12)


def test_morans_i_is_that_of_the_formula(varying: Responses, places: np.ndarray) -> None:
    values = varying.values[::20].astype(np.float64)
    expected = [reference.morans_i(places, row, 8) for row in values]
    np.testing.assert_allclose(morans_i(places, values), expected, atol=1e-9)


def test_morans_i_of_noise_is_nothing_and_of_a_ramp_near_one(rng: np.random.Generator) -> None:
    positions = rng.random((400, 2))
    assert abs(morans_i(positions, rng.normal(size=(50, 400))).mean()) < 0.02
    assert morans_i(positions, positions[:, :1].T).item() > 0.9
    gaps = np.where(np.arange(400) % 7 == 0, np.nan, positions[:, 0])[None]
    assert 0.5 < morans_i(positions, gaps).item() < 1.0


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1 / 3, 1e20, np.nan])
def test_morans_i_of_equal_responses_is_not_a_number(rng: np.random.Generator, value: float) -> None:
    """Also where their mean is off by a rounding: what is left of them must not be read as a pattern."""
    for kind in (np.float64, np.float32):
        assert np.isnan(morans_i(rng.random((49, 2)), np.full((2, 49), value, dtype=kind))).all()


def test_n1_responses_that_are_not_finite_count_as_the_mean(rng: np.random.Generator) -> None:
    positions = rng.random((60, 2))
    values, gaps = positions[:, 0].copy(), positions[:, 0].copy()
    gaps[[3, 8]] = np.nan, np.inf
    values[[3, 8]] = np.delete(values, [3, 8]).mean()
    assert morans_i(positions, gaps[None]).item() == pytest.approx(reference.morans_i(positions, values, 8))


@pytest.mark.parametrize("k", [1, 8, 59])
def test_neighbours_on_the_map_are_the_nearest(rng: np.random.Generator, k: int) -> None:
    positions = rng.random((60, 2))
    assert map_neighbours(positions, k).tolist() == reference.nearest(positions, k)


def test_units_at_one_place_are_not_their_own_neighbours() -> None:
    near = map_neighbours(np.zeros((20, 2)), 3)
    assert (near != np.arange(20)[:, None]).all()
    assert all(len(set(row)) == 3 for row in near.tolist())


def test_a_map_is_scored_far_above_a_shuffled_one(
    real_map: ResponseMap, rows: np.ndarray, places: np.ndarray, rng: np.random.Generator
) -> None:
    scores, k = real_map.quality, int(real_map.quality["k"])
    shuffled = rng.permutation(places)
    near = nearest_neighbours(rows, k)
    assert scores["trustworthiness"] > trustworthiness(rows, shuffled, k=k) + 0.2
    assert scores["recall"] > neighbour_recall(near, shuffled, k=k) + 0.1
    assert scores["moran"] > 0.1


def test_the_scores_of_a_map_are_those_of_the_slow_ones(varying: Responses) -> None:
    fitted = ResponseMap().fit(varying)
    k = int(fitted.quality["k"])
    assert k == 15
    rows = standardise(varying.values, "spearman").rows
    best = correlation.neighbours(correlation.matrix(varying.values, "spearman"), k)
    levels = [response_map.normalise(varying.values, row[None], "percentile") for row in varying.values]
    moran = np.mean([reference.morans_i(fitted.positions, row, 8) for row in levels])
    expected = reference.trustworthiness(rows, fitted.positions, k)
    assert fitted.quality["trustworthiness"] == pytest.approx(expected, abs=2e-4)
    assert fitted.quality["recall"] == pytest.approx(reference.recall(best, fitted.positions, k), abs=2e-3)
    assert fitted.quality["moran"] == pytest.approx(moran, abs=1e-5)


def test_silent_units_and_the_order_of_units_change_no_score(
    real: Responses, real_map: ResponseMap, varying: Responses, rng: np.random.Generator
) -> None:
    assert ResponseMap().fit(varying).quality == real_map.quality
    shuffled = real.select(units=rng.permutation(len(real.units)).tolist())
    assert ResponseMap().fit(shuffled).quality == real_map.quality


def test_few_units_have_no_scores_and_identical_ones_no_pattern(make: Make, rng: np.random.Generator) -> None:
    names = {"k", "trustworthiness", "recall", "moran"}
    assert ResponseMap().fit(make(rng.normal(size=(20, 7)))).quality == {}
    assert set(ResponseMap().fit(make(rng.normal(size=(20, 8)))).quality) >= names
    alike = ResponseMap(merge=False).fit(make(np.repeat(rng.normal(size=(20, 1)), 12, axis=1)))
    assert names - {"moran"} <= set(alike.quality)
    assert "moran" not in alike.quality


def test_too_many_neighbours_are_refused(rng: np.random.Generator) -> None:
    rows = standardise(rng.normal(size=(9, 10)).astype(np.float32), "pearson").rows
    positions = rng.normal(size=(10, 2))
    with pytest.raises(WrongInput, match="k 5 must be from 1 to below half of the 10 units"):
        trustworthiness(rows, positions, k=5)
    with pytest.raises(WrongInput, match="k 4 must not exceed the 3 neighbours"):
        neighbour_recall(nearest_neighbours(rows, 3), positions, k=4)
    with pytest.raises(WrongInput, match="k 10 must be from 1 to 9"):
        morans_i(positions, rng.normal(size=(1, 10)), k=10)


def test_continuity_is_that_of_scikit_learn_the_other_way_round(
    rows: np.ndarray, places: np.ndarray, rng: np.random.Generator
) -> None:
    for positions in (places, rng.normal(size=places.shape)):
        for k in (5, 15):
            expected = reference.trustworthiness(positions, rows, k)
            assert continuity(rows, positions, k=k) == pytest.approx(expected, abs=2e-4)


def test_continuity_is_that_of_sorting_also_where_units_tie(rng: np.random.Generator) -> None:
    rows = standardise(rng.integers(0, 3, (5, 90)).astype(np.float32), "pearson").rows
    positions = rng.integers(0, 6, (len(rows), 2)).astype(np.float64)
    assert continuity(rows, positions, k=7) == pytest.approx(reference.ranked_continuity(rows, positions, 7), abs=1e-12)


def test_a_map_torn_apart_is_trusted_but_not_continuous(rng: np.random.Generator) -> None:
    """Units on a ring in response space, cut open into two strips far apart; and folded, the other way round."""
    turns = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    rows = standardise(np.stack([np.cos(turns - place) for place in rng.uniform(0, 7, 50)]), "pearson").rows
    half = np.arange(120) // 60
    torn = np.stack([turns, 100.0 * half], axis=1)
    folded = np.stack([np.abs(turns - np.pi), 1e-6 * half], axis=1)
    assert trustworthiness(rows, torn, k=6) > 0.99 > 0.98 > continuity(rows, torn, k=6)
    assert continuity(rows, folded, k=6) > 0.95 > trustworthiness(rows, folded, k=6) + 0.1


def test_the_correlation_of_map_neighbours_is_that_of_adding_up(
    varying: Responses, rows: np.ndarray, places: np.ndarray, rng: np.random.Generator
) -> None:
    near = nearest_neighbours(rows, 10)
    pairs = correlation.matrix(varying.values, "spearman")
    found = neighbour_correlation(rows, near, places, k=10)
    assert found == pytest.approx(reference.neighbour_correlation(pairs, places, 10), abs=1e-5)
    shuffled = rng.permutation(places)
    dealt = neighbour_correlation(rows, near, shuffled, k=10)
    assert dealt == pytest.approx(reference.neighbour_correlation(pairs, shuffled, 10), abs=1e-5)
    assert dealt + 0.2 < found < 1
    assert neighbour_correlation(rows, near, places, k=10, sample=30) == pytest.approx(found, abs=0.1)


def test_correlations_that_are_nowhere_positive_have_no_best() -> None:
    rows = standardise(np.array([[1.0, -1.0], [-1.0, 1.0], [0.0, 0.0]]), "pearson").rows
    near = nearest_neighbours(rows, 1)
    assert np.isnan(neighbour_correlation(rows, near, np.array([[0.0, 0.0], [1.0, 1.0]]), k=1))


def test_topography_is_that_of_dealing_units_out(varying: Responses, places: np.ndarray) -> None:
    values = varying.values[::20].astype(np.float64)
    generator = np.random.default_rng(5)
    deals = [generator.permutation(len(places)) for _ in range(4)]
    null = reference.dealt_morans(places, values, 6, deals)
    found = topography(places, values, k=6, permutations=4, seed=5)
    np.testing.assert_allclose(found.each, [reference.morans_i(places, row, 6) for row in values], atol=1e-9)
    assert found.moran == pytest.approx(found.each.mean())
    assert found.null_mean == pytest.approx(np.mean(null), abs=1e-9)
    assert found.null_sd == pytest.approx(np.std(null), abs=1e-9)
    assert found.p == 1 / 5


def test_the_p_of_noise_is_any_and_of_a_pattern_the_least(rng: np.random.Generator) -> None:
    positions = rng.random((150, 2))
    shares = [topography(positions, rng.normal(size=(2, 150)), permutations=19).p for _ in range(60)]
    assert 0.35 < np.mean(shares) < 0.65
    assert min(shares) < 0.2 < 0.8 < max(shares)
    pattern = topography(positions, positions.T)
    assert pattern.p == 0.01
    assert abs(pattern.null_mean + 1 / 149) < 3 * pattern.null_sd / np.sqrt(99)


def test_topography_of_a_sample_is_near_the_whole(rng: np.random.Generator) -> None:
    positions = rng.random((2000, 2))
    values = np.sin(9 * positions[:, 0]) * np.ones((3, 1)) + 0.5 * rng.normal(size=(3, 2000))
    whole, part = (topography(positions, values, permutations=9, sample=sample) for sample in (None, 500))
    assert part.moran == pytest.approx(whole.moran, abs=0.05)
    assert abs(part.null_mean) < 0.05
    assert whole.null_sd < part.null_sd


def test_topography_passes_over_stimuli_that_tell_nothing(rng: np.random.Generator) -> None:
    positions = rng.random((50, 2))
    values = np.stack([np.full(50, 0.1), positions[:, 0], np.full(50, np.nan)])
    found = topography(positions, values)
    assert np.isnan(found.each[[0, 2]]).all()
    assert found.moran == found.each[1] == pytest.approx(morans_i(positions, values)[1])
    with pytest.raises(WrongInput, match="values of 2 stimuli are the same for every unit"):
        topography(positions, values[[0, 2]])
    with pytest.raises(WrongInput, match="permutations 0 must be at least 1"):
        topography(positions, values, permutations=0)


def test_scores_of_a_large_map_take_little_memory() -> None:
    """60,000 units: all pairs would be 29 GB."""
    import tracemalloc

    rng = np.random.default_rng(0)
    values = rng.normal(size=(8, 60_000))
    rows, positions = standardise(values, "pearson").rows, values[:2].T.copy()
    tracemalloc.start()
    scores = [score(rows, positions, sample=40) for score in (trustworthiness, continuity)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.5 < min(scores) < max(scores) < 1
    assert peak < 800e6


def test_places_that_are_missing_and_samples_of_none_are_refused(rng: np.random.Generator) -> None:
    positions = rng.random((30, 2))
    with pytest.raises(WrongInput, match="sample 0 must be at least 1 unit"):
        topography(positions, rng.normal(size=(2, 30)), sample=0)
    positions[[3, 4]] = np.nan
    with pytest.raises(WrongInput, match="positions of 2 units are not finite"):
        map_neighbours(positions, 3)
    with pytest.raises(WrongInput, match="positions of 2 units are not finite"):
        continuity(rng.normal(size=(30, 9)), positions, k=3)


def test_with_absolute_correlations_the_sign_of_a_unit_changes_nothing(
    rows: np.ndarray, places: np.ndarray, rng: np.random.Generator
) -> None:
    signs = rng.choice([-1.0, 1.0], len(rows))
    turned = rows * signs[:, None]
    for score in (trustworthiness, continuity):
        assert score(turned, places, absolute=True) == pytest.approx(score(rows, places, absolute=True), abs=1e-12)
        assert score(turned, places) < score(rows, places) - 0.01
    near = nearest_neighbours(turned, 5, absolute=True)
    best = nearest_neighbours(rows, 5, absolute=True)
    found = neighbour_correlation(turned, near, places, k=5)
    assert found == pytest.approx(neighbour_correlation(rows, best, places, k=5), abs=1e-9)
    assert found > neighbour_correlation(turned, nearest_neighbours(turned, 5), places, k=5)
