from __future__ import annotations

import numpy as np
import pytest
from tests.reference import response_map as reference

from neuronatlas.errors import UnknownName
from neuronatlas.maps import Responses
from neuronatlas.maps.scale import SCALES, mean_of_known, onto_range, usual_range


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
