"""What every layout does alike, on inputs that have next to nothing in them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from tests.maps.conftest import table

from neuronatlas.errors import WrongInput
from neuronatlas.maps import LAYOUTS, Neighbours, ResponseMap, nearest_neighbours, standardise
from neuronatlas.maps.layouts import components, mds, pca


def rows_of(values: np.ndarray, absolute: bool = False) -> tuple[np.ndarray, Neighbours]:
    rows = standardise(values, "pearson").rows
    return rows, nearest_neighbours(rows, max(1, min(90, len(rows) - 1)), absolute=absolute)


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("units", [1, 2, 3, 5, 15, 16, 17, 40])
@pytest.mark.parametrize("kind", ["two stimuli", "all alike", "perplexity too large", "two kinds"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_next_to_nothing_has_finite_places(name: str, kind: str, units: int, absolute: bool) -> None:
    random = np.random.default_rng(units)
    values = {
        "two stimuli": random.normal(size=(2, units)),
        "all alike": np.tile(random.normal(size=(9, 1)), (1, units)),
        "perplexity too large": random.normal(size=(9, units)),
        "two kinds": random.normal(size=(9, 2))[:, np.arange(units) % 2],
    }[kind]
    rows, near = rows_of(values, absolute)
    perplexity = 1e6 if kind == "perplexity too large" else 30.0
    places = LAYOUTS[name](rows, near, seed=0, perplexity=perplexity)
    assert places.shape == (units, 2)
    assert np.isfinite(places).all()


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_order_of_units_moves_no_point(name: str, rng: np.random.Generator) -> None:
    values = np.repeat(rng.normal(size=(30, 6)), 10, axis=1) + rng.normal(size=(30, 60))
    responses = table(values)
    shuffled = rng.permutation(60)
    one = ResponseMap("pearson", name).fit(responses)
    other = ResponseMap("pearson", name).fit(responses.select(units=shuffled.tolist()))
    assert one.positions[shuffled].tobytes() == other.positions.tobytes()


@pytest.mark.parametrize("name", LAYOUTS)
def test_opposite_units_lie_together_where_signs_do_not_count(name: str, rng: np.random.Generator) -> None:
    kinds = np.repeat(rng.normal(size=(40, 3)), 20, axis=1) + rng.normal(scale=0.5, size=(40, 60))
    kinds[:, ::2] *= -1
    rows, near = rows_of(kinds, absolute=True)
    places = LAYOUTS[name](rows, near, seed=0, perplexity=10.0)
    centres = np.stack([places[20 * kind : 20 * kind + 20].mean(axis=0) for kind in range(3)])
    nearest = np.argmin(np.hypot(*(places[:, None] - centres).transpose(2, 0, 1)), axis=1)
    assert np.array_equal(nearest, np.repeat(np.arange(3), 20))


@pytest.mark.parametrize("name", ["umap", "pacmap"])
def test_a_missing_package_is_told_with_the_way_to_install_it(
    name: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    rows, near = rows_of(rng.normal(size=(20, 30)))
    with pytest.raises(WrongInput, match=rf"layout '{name}' .* pip install \"neuronatlas\[layouts\]\""):
        LAYOUTS[name](rows, near, seed=0, perplexity=10.0)


@pytest.mark.parametrize("name", ["umap", "pacmap"])
def test_other_layouts_say_nothing_and_leave_the_random_state_alone(
    name: str, rng: np.random.Generator, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    rows, near = rows_of(rng.normal(size=(20, 60)))
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    LAYOUTS[name](rows, near, seed=0, perplexity=30.0)
    assert np.random.random() == expected  # noqa: NPY002
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_mds_is_scikit_learns_from_the_same_start(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.manifold import smacof

    values = np.repeat(rng.normal(size=(30, 5)), 10, axis=1) + rng.normal(size=(30, 50))
    rows, near = rows_of(values)
    monkeypatch.setattr(components, "_MDS_ROUNDS", 20)
    found = mds(rows, near)
    correlations = np.corrcoef(rows)
    wanted = np.sqrt(np.clip(2 - 2 * correlations, 0, None))
    start = pca(rows)
    distances = np.hypot(*(start[:, None] - start).transpose(2, 0, 1))
    start = start * np.sum(wanted * distances) / np.sum(distances**2)
    expected = smacof(wanted, init=start, n_init=1, max_iter=20, eps=0.0, normalized_stress=False)[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_mds_keeps_distances_that_fit_the_plane() -> None:
    """Units that differ by two things only, in part, lie as these say."""
    angles = np.linspace(0.2, 1.1, 12)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(30, 3)))[0]
    basis -= basis.mean(axis=0)
    basis = np.linalg.qr(basis)[0]
    rows = (np.cos(angles) * basis[:, :1] + np.sin(angles) * basis[:, 1:2]).T.copy()
    found = mds(rows)
    apart = np.hypot(*(found[:, None] - found).transpose(2, 0, 1))
    wanted = np.sqrt(2 - 2 * np.cos(angles[:, None] - angles))
    np.testing.assert_allclose(apart, wanted, atol=2e-3)


def test_mds_of_too_many_units_names_what_to_use(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    rows = standardise(rng.normal(size=(5, 4001)), "pearson").rows
    with pytest.raises(WrongInput, match="compares all pairs of 4001 units and takes at most 4000: use 'tsne'"):
        mds(rows)


def test_the_components_of_many_units_are_those_of_an_even_part(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    rows = standardise(np.repeat(rng.normal(size=(30, 3)), 100, axis=1) + rng.normal(size=(30, 300)), "pearson").rows
    whole = pca(rows)
    monkeypatch.setattr(components, "EXACT_UNITS", 150)
    part = pca(rows.astype(np.float32))
    assert part.dtype == np.float64
    assert abs(np.corrcoef(part[:, 0], whole[:, 0])[0, 1]) > 0.99
    assert not np.array_equal(part, whole)
