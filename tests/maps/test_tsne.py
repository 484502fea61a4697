from __future__ import annotations

import hashlib
import sys

import numpy as np
import pytest
from tests.maps.elsewhere import THREADS, fingerprint_of

from neuronatlas.errors import WrongInput
from neuronatlas.maps import Neighbours, nearest_neighbours, neighbour_recall, standardise
from neuronatlas.maps.cells import cells_of
from neuronatlas.maps.layouts import embedding, landmarks, neighbours_needed, procrustes, tsne

tsne_module = sys.modules[tsne.__module__]


def groups(units: int, count: int = 8) -> tuple[np.ndarray, Neighbours]:
    """Units in ``count`` groups, the first units/count of them the first group and so on."""
    random = np.random.default_rng(4)
    values = np.repeat(random.normal(size=(40, count)), units // count, axis=1)
    values += random.normal(scale=0.8, size=values.shape)
    rows = standardise(values, "pearson").rows
    return rows, nearest_neighbours(rows, 90)


def few_landmarks(patch: pytest.MonkeyPatch) -> None:
    """Landmarks from 201 units on, 150 of them."""
    patch.setattr(tsne_module, "LANDMARKS_ABOVE", 200)
    patch.setattr(landmarks, "FEWEST_LANDMARKS", 150)


def fingerprint() -> str:
    """The sha256 of a map through landmarks and of one with a warm start."""
    total = hashlib.sha256()
    rows, near = groups(400)
    with pytest.MonkeyPatch.context() as patch:
        few_landmarks(patch)
        patch.setattr(embedding, "EARLY_ITERATIONS", 50)
        patch.setattr(embedding, "ITERATIONS", 50)
        places = tsne(rows, near, seed=1, perplexity=10.0)
        total.update(places.tobytes())
        patch.setattr(tsne_module, "WARM_ITERATIONS", 50)
        total.update(tsne(rows, near, seed=1, perplexity=10.0, start=places).tobytes())
    return total.hexdigest()


@pytest.mark.parametrize("environment", THREADS)
def test_landmarks_and_warm_starts_are_the_same_bytes_whatever_the_threads(environment: dict[str, str]) -> None:
    assert fingerprint_of("test_tsne", environment) == fingerprint()


def test_landmarks_keep_about_as_many_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, near = groups(800)
    whole = tsne(rows, near, seed=0, perplexity=30.0)
    few_landmarks(monkeypatch)
    quick = tsne(rows, near, seed=0, perplexity=30.0)
    assert not np.array_equal(whole, quick)
    assert neighbour_recall(near, quick) > 0.8 * neighbour_recall(near, whole)


def test_many_units_need_fewer_neighbours() -> None:
    assert neighbours_needed(50_000, 30) == 90
    assert neighbours_needed(50_001, 30) == 30
    assert neighbours_needed(50_001, 5) == 15


def test_landmarks_are_spread_over_all_kinds_of_units() -> None:
    rows, _ = groups(2048)
    chosen = landmarks.landmarks(rows, 256)
    assert len(set(chosen.tolist())) == 256
    assert (np.diff(chosen) > 0).all()
    cells = cells_of(rows)
    size = np.bincount(cells.cell)
    share = np.bincount(cells.cell[chosen], minlength=len(size)) / size
    assert np.abs(share * size - size / 8).max() <= 1


def test_units_that_weigh_more_are_landmarks_more_often() -> None:
    rows, _ = groups(2048)
    weights = np.ones(2048)
    weights[:256] = 7.0  # as much as all others together
    chosen = landmarks.landmarks(rows, 256, weights)
    assert len(set(chosen.tolist())) == 256
    assert np.count_nonzero(chosen < 256) == pytest.approx(128, abs=8)
    weights[:256] = 1e6  # all of these, and to fill up others
    chosen = landmarks.landmarks(rows, 300, weights)
    assert np.count_nonzero(chosen < 256) > 250
    assert len(set(chosen.tolist())) == 300


def disparity(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sum((procrustes(one, other) - other) ** 2) / np.sum((other - other.mean(axis=0)) ** 2))


@pytest.mark.parametrize("scale", [1.0, 0.02, 50.0])
def test_a_warm_start_stays_where_it_was(scale: float) -> None:
    """The same units again with other noise; a cold start lays the groups out anew."""
    rows, near = groups(400)
    before = tsne(rows, near, seed=0, perplexity=20.0)
    noisy = rows + np.random.default_rng(9).normal(scale=0.02, size=rows.shape)
    again = standardise(noisy.T.copy(), "pearson").rows
    near_again = nearest_neighbours(again, 90)
    start = before * scale + 3
    warm = tsne(again, near_again, seed=5, perplexity=20.0, start=start)
    cold = tsne(again, near_again, seed=5, perplexity=20.0)
    # Already lying on the start, and no less faithful to the new responses.
    assert np.sum((warm - start) ** 2) < 0.03 * np.sum((start - start.mean(axis=0)) ** 2)
    assert disparity(warm, before) < 0.3 * disparity(cold, before)
    assert neighbour_recall(near_again, warm) > 0.95 * neighbour_recall(near_again, cold)


def test_units_new_to_a_warm_start_begin_among_their_like() -> None:
    rows, near = groups(400)
    before = tsne(rows, near, seed=0, perplexity=20.0)
    start = before.copy()
    start[::10] = np.nan
    after = tsne(rows, near, seed=0, perplexity=20.0, start=start)
    assert np.isfinite(after).all()
    size = before.std()
    assert np.median(np.hypot(*(after - before)[::10].T)) < 0.3 * size
    assert np.isfinite(tsne(rows, near, seed=0, perplexity=20.0, start=np.full((400, 2), np.nan))).all()
    assert np.isfinite(tsne(rows, near, seed=0, perplexity=20.0, start=np.ones((400, 2)))).all()


def test_equal_weights_are_none() -> None:
    _, near = groups(80)
    plain = embedding.Affinities(near, 10.0)
    equal = embedding.Affinities(near, 10.0, np.full(80, 0.25))
    np.testing.assert_allclose(equal.P.toarray(), plain.P.toarray(), rtol=1e-12)


def test_an_affinity_counts_by_the_weights_of_both_units(rng: np.random.Generator) -> None:
    _, near = groups(80)
    weights = rng.uniform(0.1, 5, size=80)
    plain = embedding.Affinities(near, 10.0).P.toarray()
    expected = np.zeros((80, 80))
    for one in range(80):
        for other in range(80):
            expected[one, other] = plain[one, other] * np.sqrt(weights[one] * weights[other])
    np.testing.assert_allclose(embedding.Affinities(near, 10.0, weights).P.toarray(), expected / expected.sum())


def test_units_that_weigh_more_keep_more_of_their_neighbours() -> None:
    rows, near = groups(400, count=2)
    weights = np.where(np.arange(400) < 200, 1.0, 1 / 16)

    def kept(places: np.ndarray) -> float:
        own = Neighbours(near.indices[:200] % 200, near.correlations[:200])
        return neighbour_recall(own, places[:200])

    equal = tsne(rows, near, seed=0, perplexity=20.0)
    weighted = tsne(rows, near, seed=0, perplexity=20.0, weights=weights)
    assert np.isfinite(weighted).all()
    assert weighted[:200].std(axis=0).mean() < equal[:200].std(axis=0).mean()
    assert kept(weighted) > 0.8 * kept(equal)


def test_wrong_weights_and_starts_are_told() -> None:
    rows, near = groups(80)
    for weights in (np.zeros(80), np.full(80, np.nan), np.ones(80) * -1, np.ones(79)):
        with pytest.raises(WrongInput, match="weights must be 80 positive numbers"):
            tsne(rows, near, seed=0, perplexity=10.0, weights=weights)
    with pytest.raises(WrongInput, match=r"start of shape \(79, 2\) must hold a place, or NaN, for each of the 80"):
        tsne(rows, near, seed=0, perplexity=10.0, start=np.zeros((79, 2)))


@pytest.mark.parametrize("units", [1, 2, 5, 9])
def test_few_units_can_start_warm(units: int, rng: np.random.Generator) -> None:
    rows = standardise(rng.normal(size=(20, units)), "pearson").rows
    near = nearest_neighbours(rows, 15)
    start = rng.normal(size=(units, 2))
    after = tsne(rows, near, seed=0, perplexity=30.0, start=start)
    assert np.isfinite(after).all()
    np.testing.assert_allclose(after.mean(axis=0), start.mean(axis=0), atol=1e-9)
