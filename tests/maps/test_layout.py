from __future__ import annotations

import hashlib
import os

import numpy as np
import pytest
from tests.maps.conftest import table
from tests.maps.elsewhere import ENVIRONMENTS, fingerprint_of

from neuronatlas.errors import WrongInput
from neuronatlas.maps import LAYOUTS, Neighbours, ResponseMap, Responses, nearest_neighbours, standardise
from neuronatlas.maps.layouts import canonical_order, embedding, into_square, neighbours_needed, pca, usable_perplexity


def noisy() -> Responses:
    """150 units in fifteen groups that respond much alike, half of them in whole numbers, so that many of them tie."""
    random = np.random.default_rng(5)
    values = np.repeat(random.normal(size=(64, 15)), 10, axis=1) + random.normal(scale=0.5, size=(64, 150))
    values[:, 75:] = np.round(values[:, 75:])
    return table(values)


def fingerprint() -> str:
    """The sha256 of all that a fit finds out."""
    total = hashlib.sha256()
    for correlation in ("spearman", "pearson"):
        fitted = ResponseMap(correlation).fit(noisy())
        for array in (fitted.positions, fitted.neighbours.indices, fitted.neighbours.correlations):
            total.update(array.tobytes())
        total.update(repr(fitted.quality).encode())
    return total.hexdigest()


def neighbours_and_rows(values: np.ndarray) -> tuple[np.ndarray, Neighbours]:
    rows = standardise(values, "pearson").rows
    return rows, nearest_neighbours(rows, 90)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_map_is_the_same_bytes_however_sums_are_made(environment: dict[str, str]) -> None:
    """The plain products differ between these: what is checked is that rounding hides it."""
    assert fingerprint_of("test_layout", environment) == fingerprint()


def test_tsne_is_the_same_bytes_with_two_threads(varying: Responses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "EARLY_ITERATIONS", 20)
    monkeypatch.setattr(embedding, "ITERATIONS", 20)  # threads wait long for each other where the machine is busy
    rows, near = neighbours_and_rows(varying.values)
    places = []
    for threads in (1, 2):
        monkeypatch.setattr(embedding, "threads", lambda units, threads=threads: threads)
        places.append(LAYOUTS["tsne"](rows, near, seed=0, perplexity=5.0))
    assert places[0].tobytes() == places[1].tobytes()


def test_threads_come_with_the_number_of_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(4)), raising=False)
    assert [embedding.threads(units) for units in (8, 1999, 2000, 3500, 10**6)] == [1, 1, 2, 3, 4]


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("units", [0, 1, 2, 3, 5, 7, 8, 9, 30])
def test_any_number_of_units_has_finite_places_twice_the_same(name: str, units: int, rng: np.random.Generator) -> None:
    rows, near = neighbours_and_rows(rng.normal(size=(20, units)))
    places = LAYOUTS[name](rows, near, seed=3, perplexity=30.0)
    assert places.shape == (units, 2)
    assert np.isfinite(places).all()
    assert places.tobytes() == LAYOUTS[name](rows, near, seed=3, perplexity=30.0).tobytes()
    assert len(np.unique(places, axis=0)) == units


@pytest.mark.parametrize("name", LAYOUTS)
def test_groups_of_units_that_respond_alike_lie_apart(name: str, rng: np.random.Generator) -> None:
    rows, near = neighbours_and_rows(np.repeat(rng.normal(size=(25, 3)), 40, axis=1))
    places = LAYOUTS[name](rows, near, seed=0, perplexity=20.0).reshape(3, 40, 2)
    assert np.isfinite(places).all()
    centres = places.mean(axis=1)
    apart = min(np.hypot(*(centres[one] - centres[other])) for one, other in ((0, 1), (0, 2), (1, 2)))
    assert apart > 4 * places.std(axis=1).max()


def test_tsne_keeps_more_neighbours_than_pca(varying: Responses) -> None:
    near, kept = ResponseMap("pearson").fit(varying), ResponseMap("pearson", "pca").fit(varying)
    assert near.quality["trustworthiness"] > kept.quality["trustworthiness"]
    assert near.quality["recall"] > kept.quality["recall"]


def test_the_tsne_of_few_units_says_nothing(
    rng: np.random.Generator, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for units in (8, 9, 40):
        rows, near = neighbours_and_rows(rng.normal(size=(20, units)))
        LAYOUTS["tsne"](rows, near, seed=0, perplexity=30.0)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_pca_spans_the_plane_of_the_largest_singular_values(varying: Responses, tied: Responses) -> None:
    for responses, share in ((varying, 0.9999), (tied, 0.97)):
        rows = standardise(responses.values, "spearman").rows
        centred = rows - rows.mean(axis=0)
        places = pca(rows)
        # What the two axes, scaled freely, explain of the rows, against the most that any two can.
        basis = np.linalg.qr(places)[0]
        explained = np.sum((basis.T @ centred) ** 2)
        assert explained > share * np.sum(np.linalg.svd(centred, compute_uv=False)[:2] ** 2)
        assert np.abs(places).max() == 1


def test_pca_axes_point_to_their_longer_tail(varying: Responses) -> None:
    rows = standardise(varying.values, "pearson").rows
    places = pca(rows)
    assert (np.sum(places**3, axis=0) > 0).all()
    # Turning every response round turns the rows round, and the rule turns the axes back.
    assert np.array_equal(np.abs(pca(-rows)), np.abs(places))
    assert (np.sum(pca(-rows) ** 3, axis=0) > 0).all()


def test_pca_of_a_line_has_no_second_axis() -> None:
    rows = standardise(np.array([[0.0, 1.0], [1.0, 0.0], [5.0, -5.0]]), "pearson").rows
    assert (pca(np.concatenate([rows, rows]))[:, 1] == 0).all()
    assert (pca(rows[[0, 0, 0]]) == 0).all()


def test_canonical_order_follows_responses_then_names(rng: np.random.Generator) -> None:
    rows = standardise(np.repeat(rng.normal(size=(10, 20)), 2, axis=1), "pearson").rows
    names = [f"unit {index}" for index in rng.permutation(40)]
    order = canonical_order(rows, names)
    shuffled = rng.permutation(40)
    again = canonical_order(rows[shuffled], [names[index] for index in shuffled])
    assert np.array_equal(shuffled[again], order)
    assert sorted(order.tolist()) == list(range(40))
    for first, second in zip(order[::2], order[1::2], strict=True):
        assert np.array_equal(rows[first], rows[second])
        assert names[first] < names[second]
    nudged = canonical_order(rows + rng.normal(scale=1e-15, size=rows.shape), names)
    assert np.array_equal(nudged, order)


def test_the_square_keeps_proportions_and_is_filled(rng: np.random.Generator) -> None:
    places = rng.normal(size=(50, 2)) * [9.0, 2.0] + 100
    square = into_square(places)
    assert [square[:, 0].min(), square[:, 0].max()] == pytest.approx([-1, 1])
    assert np.abs(square).max() <= 1
    assert square[:, 1].min() == pytest.approx(-square[:, 1].max())
    slopes = np.polyfit(places[:, 0], square[:, 0], 1)[0], np.polyfit(places[:, 1], square[:, 1], 1)[0]
    assert slopes[0] == pytest.approx(slopes[1])
    assert (into_square(np.full((3, 2), 7.0)) == 0).all()
    assert into_square(np.zeros((0, 2))).shape == (0, 2)


def test_n5_perplexity_is_lowered_for_few_units() -> None:
    assert usable_perplexity(1000, 30) == 30
    assert usable_perplexity(91, 30) == 30
    assert usable_perplexity(90, 30) == pytest.approx(89 / 3)
    assert usable_perplexity(0, 30) == 1
    assert neighbours_needed(1000, 30) == 90
    assert neighbours_needed(10, 30) == 9
    assert neighbours_needed(0, 30) == 0


@pytest.mark.parametrize("perplexity", [0.0, 0.5, -3.0, float("nan"), float("inf")])
def test_a_perplexity_that_means_nothing_is_refused(perplexity: float) -> None:
    with pytest.raises(WrongInput, match=f"perplexity {perplexity} must be a number from 1"):
        usable_perplexity(100, perplexity)
