"""How alike two maps are, against a search over all turns and counting by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.maps.conftest import Make
from tests.reference import quality as reference

from neuronatlas.errors import WrongInput
from neuronatlas.maps import ResponseMap, Responses
from neuronatlas.maps.stability import disparity, overlap, stability

TURN = np.array([[0.6, -0.8], [0.8, 0.6]])


def test_disparity_is_what_no_turn_takes_away(rng: np.random.Generator) -> None:
    first = rng.normal(size=(40, 2)) * (3, 1)
    for second in (
        first + rng.normal(size=(40, 2)),
        first @ TURN * (1, -1) + 0.3 * rng.normal(size=(40, 2)),
        rng.random((40, 2)),
    ):
        assert disparity(first, second) == pytest.approx(reference.disparity(first, second), abs=1e-5)


def test_the_same_figure_has_no_disparity_and_the_same_neighbours(rng: np.random.Generator) -> None:
    first = rng.random((50, 2))
    for second in (first, 7 * first @ TURN + 3, first * (-1, 1)):
        assert disparity(first, second) < 1e-12
        assert overlap(first, second, k=7) == 1.0
    assert disparity(first, rng.permutation(first)) > 0.8


def test_overlap_is_that_of_counting(rng: np.random.Generator) -> None:
    first = rng.random((60, 2))
    second = first + 0.05 * rng.normal(size=(60, 2))
    expected = reference.overlap(first, second, 6)
    assert 0.2 < expected < 0.9
    assert overlap(first, second, k=6) == pytest.approx(expected, abs=1e-12)
    assert overlap(first, second, k=6, sample=30) == pytest.approx(expected, abs=0.1)


def test_units_without_a_place_are_left_out(rng: np.random.Generator) -> None:
    first, second = rng.random((2, 40, 2))
    one, two = first.copy(), second.copy()
    one[[0, 5]], two[[5, 9]] = np.nan, np.nan
    kept = [unit for unit in range(40) if unit not in (0, 5, 9)]
    assert disparity(one, two) == disparity(first[kept], second[kept])
    assert overlap(one, two, k=4) == overlap(first[kept], second[kept], k=4)


def test_maps_that_cannot_be_compared_are_refused(rng: np.random.Generator) -> None:
    places = rng.random((9, 2))
    with pytest.raises(WrongInput, match="of 9 and of 8 units: give maps of the same units"):
        disparity(places, places[:8])
    with pytest.raises(WrongInput, match="of the 9 units that both maps place are one point"):
        disparity(places, np.zeros((9, 2)))
    with pytest.raises(WrongInput, match="of the 0 units that both maps place"):
        disparity(places, np.full((9, 2), np.nan))


def test_stability_is_that_of_its_parts(make: Make, rng: np.random.Generator) -> None:
    """A layout by hand: the first two stimuli of a table, and noise from its seed."""
    table = make(rng.normal(size=(9, 40)))
    asked: list[tuple[tuple[str, ...], int]] = []

    def place(part: Responses, seed: int) -> np.ndarray:
        asked.append((part.stimuli, seed))
        return part.values[:2].T.astype(np.float64) + 0.2 * np.random.default_rng(seed).normal(size=(40, 2))

    found = stability(place, table, seeds=(3, 4, 5), splits=2, k=6)
    whole = [place(table, seed) for seed in (3, 4, 5)]
    pairs = [(whole[0], whole[1]), (whole[0], whole[2]), (whole[1], whole[2])]
    assert found.seeds_disparity == pytest.approx(np.mean([disparity(*pair) for pair in pairs]))
    assert found.seeds_overlap == pytest.approx(np.mean([overlap(*pair, k=6) for pair in pairs]))
    halves = [set(stimuli) for stimuli, _ in asked[3:7]]
    assert [seed for _, seed in asked[:7]] == [3, 4, 5, 3, 3, 3, 3]
    for one, two in (halves[:2], halves[2:]):
        assert not one & two
        assert one | two == set(table.stimuli)
        assert abs(len(one) - len(two)) == 1
    assert halves[0] != halves[2]
    parts = [place(table.select(stimuli=[table.stimuli.index(s) for s in stimuli]), 3) for stimuli, _ in asked[3:7]]
    assert found.halves_disparity == pytest.approx(np.mean([disparity(*parts[:2]), disparity(*parts[2:])]))
    assert found.halves_overlap == pytest.approx(np.mean([overlap(*parts[:2], k=6), overlap(*parts[2:], k=6)]))


def test_a_response_map_is_scored(varying: Responses) -> None:
    settings = ResponseMap(layout="pca")
    found = stability(lambda table, seed: replace(settings, seed=seed).fit(table).positions, varying)
    assert found.seeds_disparity < 1e-12
    assert found.seeds_overlap == 1.0
    assert 0 < found.halves_disparity < 0.8
    assert 0.1 < found.halves_overlap < 1.0


@pytest.mark.parametrize("wrong", [{"seeds": (1,)}, {"seeds": (1, 1)}, {"splits": 0}, {}])
def test_too_little_to_compare_is_refused(make: Make, wrong: dict[str, object]) -> None:
    table = make(np.zeros((3 if not wrong else 8, 5)))
    with pytest.raises(WrongInput, match="at least 2 different seeds, 1 split and 4 stimuli"):
        stability(lambda part, seed: np.zeros((5, 2)), table, **wrong)


@pytest.mark.parametrize(("correlation", "layout"), [("spearman", "tsne"), ("pearson", "pca")])
@pytest.mark.parametrize("seed", [0, 1])
def test_permuting_the_units_permutes_the_whole_map(real: Responses, correlation: str, layout: str, seed: int) -> None:
    """With copies, a constant unit, ties and missing responses: places, colours and copies go with their units."""
    values = real.values.copy()
    values[:, 3], values[:, 9], values[5, 20] = values[:, 2], values[:, 2], np.nan
    values[:, 30:34] = np.rint(values[:, 30:34])
    table = replace(real, values=values)
    order = np.random.default_rng(seed).permutation(len(real.units))
    settings = ResponseMap(correlation=correlation, layout=layout)
    one, two = settings.fit(table), settings.fit(table.select(units=order.tolist()))
    assert two.units == tuple(real.units[unit] for unit in order)
    np.testing.assert_array_equal(two.positions, one.positions[order])
    np.testing.assert_array_equal(two.normalise(real.stimuli[7]), one.normalise(real.stimuli[7])[order])
    assert set(one.constant) == set(two.constant)
    assert {frozenset(pair) for pair in _groups(one)} == {frozenset(pair) for pair in _groups(two)}
    rasters = [map_.raster(real.stimuli[7], resolution=40) for map_ in (one, two)]
    np.testing.assert_array_equal(*rasters)


def _groups(fitted: ResponseMap) -> list[set[str]]:
    groups: dict[str, set[str]] = {}
    for copy, original in fitted.copies.items():
        groups.setdefault(str(original), {str(original)}).add(str(copy))
    return list(groups.values())
