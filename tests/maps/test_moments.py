from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import pairwise

import numpy as np
import pytest
from tests.reference import correlation as slow_correlation
from tests.reference import streaming as reference

from neuronatlas.errors import AtlasDamaged, WrongInput
from neuronatlas.maps import Moments, moments, standardise


def awkward(rng: np.random.Generator, stimuli: int = 90) -> np.ndarray:
    """Units with gaps, without a finite value, with one, constant, of a large mean and a small spread, and of all sizes."""
    values = rng.normal(size=(stimuli, 12)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[5, 1], values[6, 1], values[7, 2] = np.inf, -np.inf, -np.inf
    values[:, 3] = np.nan
    values[:, 4] = np.nan
    values[40, 4] = 2.5
    values[:, 5] = 7
    values[:, 6] = 1e4 + 1e-2 * rng.normal(size=stimuli)
    values[:30, 7] = np.nan
    values[:, 8] = 3e38
    values[::2, 8] = -3e38
    values[::3, 9] = 0
    values[:, 11] = rng.normal(size=stimuli) * 10.0 ** rng.integers(-8, 8, stimuli)  # sums of these are rounded
    return values


def shards(values: np.ndarray, bounds: list[int]) -> list[Moments]:
    return [Moments.of(values[start:stop], start) for start, stop in pairwise(bounds)]


def same(one: Moments, other: Moments) -> bool:
    return all(one.arrays()[name].tobytes() == array.tobytes() for name, array in other.arrays().items())


def close(found: Moments, values: np.ndarray) -> None:
    for unit, column in enumerate(values.T):
        expected = reference.moments(column)
        reach = 1e-14 * np.nan_to_num(max(abs(expected["low"]), abs(expected["high"])))
        for name, number in expected.items():
            near = pytest.approx(number, rel=1e-10, abs=reach if name == "mean" else 0, nan_ok=True)
            assert float(getattr(found, name)[unit]) == near, (unit, name)


def test_moments_are_those_of_exact_fractions(rng: np.random.Generator) -> None:
    close(Moments.of(awkward(rng)), awkward(np.random.default_rng(20)))


@pytest.mark.parametrize("trial", range(8))
def test_moments_of_any_split_are_those_of_the_whole(trial: int, rng: np.random.Generator) -> None:
    rng = np.random.default_rng(trial)
    values = awkward(rng)
    bounds = sorted({0, 90, *rng.integers(0, 91, size=rng.integers(0, 12)).tolist()})
    parts = shards(values, bounds)
    order = rng.permutation(len(parts)).tolist()
    found = Moments.merge([parts[place] for place in order])
    close(found, values)
    assert same(found, Moments.merge(parts))
    middle = len(parts) // 2
    if middle:  # first some and then the others
        close(Moments.merge([Moments.merge(parts[middle:]), Moments.merge(parts[:middle])]), values)


def test_n1_what_is_not_finite_is_counted_and_does_not_spread(rng: np.random.Generator) -> None:
    values = rng.normal(size=(50, 6)).astype(np.float32)
    holes = values.copy()
    holes[3, 2], holes[4, 2], holes[5, 2] = np.nan, np.inf, -np.inf
    found, clean = Moments.of(holes), Moments.of(values)
    assert found.missing.tolist() == [0, 0, 3, 0, 0, 0]
    others = [0, 1, 3, 4, 5]
    assert np.array_equal(found.std[others], clean.std[others])
    without = Moments.of(np.delete(holes[:, [2]], [3, 4, 5], axis=0))
    assert (found.mean[2], found.squares[2]) == (without.mean[0], without.squares[0])


@pytest.mark.parametrize("bounds", [[0, 4096], [0, 64, 4096], list(range(0, 4097, 64))])
def test_n3_a_large_mean_and_a_small_spread_keep_their_variance(bounds: list[int], rng: np.random.Generator) -> None:
    values = (1e4 + 1e-2 * rng.normal(size=(4096, 5))).astype(np.float32)
    found = Moments.merge(shards(values, bounds))
    np.testing.assert_allclose(found.std, values.astype(np.float64).std(axis=0, ddof=1), rtol=1e-10)
    assert not found.constant.any()


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_n6_any_number_of_workers_gives_the_same_bytes(workers: int, rng: np.random.Generator) -> None:
    values = awkward(rng)
    expected = Moments.merge(shards(values, list(range(0, 91, 10))))
    with ThreadPoolExecutor(workers) as pool:
        tasks = [pool.submit(Moments.of, values[start : start + 10], start) for start in range(0, 90, 10)]
        arrived = [task.result() for task in as_completed(tasks)]
    for order in (arrived, arrived[::-1], [arrived[place] for place in rng.permutation(9).tolist()]):
        assert same(Moments.merge(order), expected)


def test_n7_neither_the_layout_in_memory_nor_the_blocks_of_units_change_a_bit(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = awkward(rng, 300)
    expected = Moments.of(values)
    assert same(Moments.of(np.asfortranarray(values)), expected)
    for columns in (1, 5):
        monkeypatch.setattr(moments, "_COLUMNS", columns)
        assert same(Moments.of(values), expected)


def test_constant_units_and_gaps_are_those_of_the_correlation(rng: np.random.Generator) -> None:
    values = awkward(rng)
    values[:, 10] = 1e4 * (1 + 1e-7 * rng.normal(size=90))
    found, rows = Moments.merge(shards(values, [0, 17, 90])), standardise(values, "pearson")
    assert found.constant.tolist() == rows.constant.tolist()
    assert found.constant.tolist() == [slow_correlation.is_constant(column) for column in values.T]
    assert found.constant[[3, 4, 5, 10]].all()
    assert found.missing.tolist() == rows.missing.tolist()


def test_a_variance_needs_two_responses() -> None:
    found = Moments.of(np.array([[1, 2, np.nan], [3, np.nan, np.nan]], dtype=np.float32))
    assert found.variance.tolist() == pytest.approx([2, np.nan, np.nan], nan_ok=True)


def test_d16_no_stimuli_and_no_units_are_moments_too() -> None:
    none = Moments.of(np.zeros((0, 3), np.float32), 5)
    assert none.count.tolist() == [0, 0, 0]
    assert np.isnan(none.mean).all()
    some = Moments.of(np.ones((4, 3), np.float32), 5)
    assert same(Moments.merge([some, none]), some)
    assert Moments.merge([Moments.of(np.zeros((2, 0), np.float32))]).mean.shape == (0,)


def test_shards_that_are_missing_twice_there_or_out_of_order_are_refused(rng: np.random.Generator) -> None:
    parts = shards(awkward(rng), [0, 30, 60, 90])
    assert Moments.merge(iter(parts)).stop == 90
    for wrong, message in (
        ([parts[0], parts[2]], "up to 30 and then from 60: give every shard once"),
        ([parts[0], parts[0], parts[1]], "up to 30 and then from 0"),
        (iter(parts[::-1]), "up to 90 and then from 30.*iterator in the order"),
        ([], "parts is empty"),
        ([parts[0], Moments.of(np.zeros((5, 4), np.float32), 30)], "of 12 and of 4 units"),
    ):
        with pytest.raises(WrongInput, match=message):
            Moments.merge(wrong)


def test_moments_come_back_from_arrays_and_damaged_ones_are_refused(rng: np.random.Generator) -> None:
    found = Moments.of(awkward(rng), 64)
    arrays = found.arrays()
    back = Moments.from_arrays(arrays | {"something": np.zeros(3)})
    assert (back.start, back.stop) == (64, 154)
    assert same(back, found)
    changes: list[Callable[[dict[str, np.ndarray]], object]] = [
        lambda given: given.pop("moments_mean"),
        lambda given: given.update(moments_low=given["moments_low"].astype(np.float32)),
        lambda given: given.update(moments_high=given["moments_high"][:, None]),
        lambda given: given.update(moments_count=given["moments_count"][:3]),
    ]
    for change in changes:
        damaged = dict(arrays)
        change(damaged)
        with pytest.raises(AtlasDamaged, match="arrays: "):
            Moments.from_arrays(damaged)
