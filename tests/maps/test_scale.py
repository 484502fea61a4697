from __future__ import annotations

import numpy as np
import pytest
from tests.reference import deviations as slow
from tests.reference import response_map as reference

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps import Responses
from neuronatlas.maps.scale import (
    DEVIATION,
    LEGENDS,
    SCALES,
    effect_sizes,
    mean_differences,
    mean_of_known,
    onto_deviations,
    onto_range,
    symmetric_limit,
    usual_level,
    usual_range,
)


@pytest.fixture
def gappy(rng: np.random.Generator) -> np.ndarray:
    """Numbers with ties, gaps, infinities, a unit that answers once, one that never varies and one without anything."""
    values = rng.integers(0, 12, (150, 9)).astype(np.float32)
    values[:, 1] = 0
    values[5, 1] = 3
    values[:, 2] = 4
    values[:, 3] = np.nan
    values[::7, 4] = np.nan
    values[2, 5], values[3, 5] = np.inf, -np.inf
    values[1:, 6] = np.nan
    return values


@pytest.mark.parametrize("scale", SCALES)
def test_ranges_are_those_of_the_loop(gappy: np.ndarray, real: Responses, scale: str) -> None:
    for values in (gappy, real.values):
        found = np.stack(usual_range(values, scale), axis=1)
        for column, (low, high) in zip(values.T, found, strict=True):
            if np.isfinite(column).any():
                assert (low, high) == pytest.approx(reference.ends(column, scale), rel=1e-12)
            else:
                assert np.isnan([low, high]).all()


@pytest.mark.parametrize("scale", SCALES)
def test_levels_are_those_of_the_loop(gappy: np.ndarray, real: Responses, scale: str) -> None:
    for values in (gappy, real.values):
        some = (values[:20] if values is gappy else values[10:40] * 1.5).astype(np.float64)
        levels = mean_of_known(onto_range(some, *usual_range(values, scale)))
        usable = np.isfinite(values).any(axis=0)
        expected = np.full(len(usable), np.nan)
        expected[usable] = reference.normalise(values[:, usable], some[:, usable], scale)
        np.testing.assert_allclose(levels, expected, atol=1e-12, equal_nan=True)
        assert np.isnan(expected).any()


def test_a_unit_that_answers_once_keeps_its_answer(gappy: np.ndarray) -> None:
    low, high = usual_range(gappy[:, [1]], "percentile")
    assert (low[0], high[0]) == (0, 3)


def test_one_outlying_stimulus_does_not_crush_the_others(rng: np.random.Generator) -> None:
    usual = rng.uniform(size=(120, 10))
    values = np.concatenate([usual, np.full((1, 10), 1000.0)])
    spread = {scale: onto_range(usual, *usual_range(values, scale)).std(axis=0) for scale in SCALES}
    assert spread["percentile"].min() > 0.25
    assert spread["minmax"].max() < 0.001


def test_no_stimuli_have_no_range() -> None:
    assert np.isnan(usual_range(np.zeros((0, 3)), "percentile")).all()


def test_an_unknown_scale_is_named() -> None:
    with pytest.raises(UnknownName, match="no scale 'min-max': did you mean 'minmax'"):
        usual_range(np.zeros((2, 2)), "min-max")


def test_deviations_are_those_of_the_loop(gappy: np.ndarray, real: Responses) -> None:
    for values in (gappy, real.values):
        mean, deviation = usual_level(values)
        levels = onto_deviations(values.astype(np.float64), mean, deviation)
        for unit, column in enumerate(values.T):
            np.testing.assert_allclose(levels[:, unit], slow.deviations(column.tolist()), atol=1e-9, equal_nan=True)
        assert np.isnan(levels).all(axis=0).any()


def test_a_small_spread_far_from_zero_is_not_lost(rng: np.random.Generator) -> None:
    values = 1e4 + 1e-2 * rng.normal(size=(500, 3))
    values[:, 2] = 1e4 + 0.1
    mean, deviation = usual_level(values)
    np.testing.assert_allclose(deviation[:2], values[:, :2].std(axis=0, ddof=1), rtol=1e-6)
    assert np.isnan(deviation[2])
    assert np.isfinite(mean).all()


def test_many_units_are_scaled_like_one(rng: np.random.Generator) -> None:
    values = rng.normal(size=(3, 9000)).astype(np.float32)
    mean, deviation = usual_level(values)
    for unit in (0, 4095, 4096, 8999):
        np.testing.assert_array_equal(usual_level(values[:, [unit]]), [[mean[unit]], [deviation[unit]]])
    sizes = effect_sizes(values, values[::-1][:2])
    for unit in (0, 4095, 4096, 8999):
        assert effect_sizes(values[:, [unit]], values[::-1][:2, [unit]])[0] == sizes[unit]


def test_effect_sizes_are_those_of_the_loop(gappy: np.ndarray, real: Responses) -> None:
    for values in (gappy, real.values):
        first, second = values[:40], values[40:]
        sizes = effect_sizes(first, second)
        expected = [slow.effect_size(a.tolist(), b.tolist()) for a, b in zip(first.T, second.T, strict=True)]
        np.testing.assert_allclose(sizes, expected, atol=1e-9, equal_nan=True)
        assert np.isnan(sizes).any() == (values is gappy)
        assert (sizes == 0).any()
        np.testing.assert_allclose(effect_sizes(second, first), -sizes, equal_nan=True)


def test_a_unit_that_tells_two_sets_apart_without_fail_has_an_infinite_effect() -> None:
    first = np.array([[1.0, 0.0, 0.1, np.nan, 2.0]] * 7)
    second = np.array([[0.0, 3.0, 0.1, 1.0, 2.0]] * 3)
    second[0, 4] = np.nan
    assert effect_sizes(first, second)[[0, 1, 2, 4]].tolist() == [np.inf, -np.inf, 0.0, 0.0]
    assert np.isnan(effect_sizes(first, second)[3])
    assert effect_sizes(first[:1], second[1:])[[0, 1]].tolist() == [np.inf, -np.inf]
    assert np.isnan(effect_sizes(first[:1], second[:1])).all()


def test_effect_sizes_of_single_stimuli_have_no_spread_to_stand_on() -> None:
    one = np.array([[1.0, 2.0]])
    assert np.isnan(effect_sizes(one, one + 1)).all()
    assert np.isnan(effect_sizes(np.zeros((0, 2)), one)).all()


def test_mean_differences_are_in_the_deviations_given(real: Responses) -> None:
    _, deviation = usual_level(real.values)
    found = mean_differences(real.values[:12], real.values[12:], deviation)
    table = real.values.astype(np.float64)
    varying = np.isfinite(deviation)
    expected = (table[:12].mean(axis=0) - table[12:].mean(axis=0))[varying] / table.std(axis=0, ddof=1)[varying]
    np.testing.assert_allclose(found[varying], expected, atol=1e-9)
    assert np.isnan(found[~varying]).all()


def test_limits_are_shared_and_robust() -> None:
    first, second = np.linspace(-1, 1, 101), np.array([np.nan, 3.0, -np.inf])
    everything = np.abs(np.append(first, 3.0))
    assert symmetric_limit(first, second) == pytest.approx(np.percentile(everything, 99))
    assert symmetric_limit(first, second, percentile=100) == 3.0
    assert symmetric_limit(np.append(np.zeros(500), -2.0)) == 2.0
    assert symmetric_limit(np.array([np.inf, -np.inf])) == 1.0
    assert symmetric_limit(np.zeros(5)) == symmetric_limit(np.full(2, np.nan)) == symmetric_limit() == 1.0
    with pytest.raises(WrongInput, match="percentile 0 must be above 0"):
        symmetric_limit(first, percentile=0)


def test_every_scale_says_what_its_numbers_are() -> None:
    assert {*SCALES, DEVIATION} < set(LEGENDS)
    assert len(set(LEGENDS.values())) == len(LEGENDS)
