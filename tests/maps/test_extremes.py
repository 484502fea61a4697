from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from tests.reference import streaming as reference

from neuronatlas.errors import AtlasDamaged, WrongInput
from neuronatlas.maps import Extremes, extremes, first_alike


def table(rng: np.random.Generator, stimuli: int = 300, units: int = 40) -> np.ndarray:
    """Many equal responses, of either sign, some not finite."""
    values = rng.integers(-4, 5, (stimuli, units)).astype(np.float32)
    values[:, ::2] += rng.normal(size=(stimuli, units // 2)).astype(np.float32)
    values[:, 1] = np.maximum(values[:, 1], 0)
    values[values == 0] *= -1  # both zeros
    values[rng.random(values.shape) < 0.05] = np.nan
    values[rng.random(values.shape) < 0.02] = np.inf
    values[rng.random(values.shape) < 0.02] = -np.inf
    values[:, 7] = np.nan
    values[3:, 8] = np.nan
    return values


def same(one: Extremes, other: Extremes) -> bool:
    return all(one.arrays()[name].tobytes() == array.tobytes() for name, array in other.arrays().items())


def check(found: Extremes, values: np.ndarray, k: int, pictures: list[int]) -> None:
    for unit, column in enumerate(values.T):
        for slow, stimuli, numbers in (
            (reference.best, found.best_stimuli, found.best_values),
            (reference.worst, found.worst_stimuli, found.worst_values),
        ):
            expected = slow(column, k, pictures)
            assert stimuli[unit].tolist() == expected[0], (unit, slow)
            assert np.array_equal(numbers[unit], np.float32(expected[1]), equal_nan=True), (unit, slow)


@pytest.mark.parametrize("k", [1, 2, 9, 80])
def test_extremes_are_those_of_sorting(k: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    values = table(rng)
    expected = Extremes.of(values, 0, k)
    check(expected, values, k, list(range(300)))
    monkeypatch.setattr(extremes, "_COLUMNS", 7)
    monkeypatch.setattr(extremes, "_SORTED_COLUMNS", 3)
    monkeypatch.setattr(extremes, "_SORTED", 4)
    assert same(Extremes.of(np.asfortranarray(values), 0, k), expected)


@pytest.mark.parametrize("trial", range(8))
def test_n6_extremes_of_any_split_in_any_order_are_the_same_bytes(trial: int) -> None:
    rng = np.random.default_rng(trial)
    values = table(rng, 150, 30)
    pictures = np.where(rng.random(150) < 0.2 * (trial % 2), rng.integers(0, 150, 150), np.arange(150))
    pictures = first_alike([str(picture) for picture in pictures])
    whole = Extremes.of(values, 0, 5, pictures)
    check(whole, values, 5, pictures.tolist())
    bounds = sorted({0, 150, *rng.integers(0, 151, size=9).tolist()})
    stretches = list(pairwise(bounds))
    parts = [Extremes.of(values[start:stop], start, 5, pictures[start:stop]) for start, stop in stretches]
    for _ in range(3):
        order = rng.permutation(len(parts)).tolist()
        shuffled = [parts[place] for place in order]
        assert same(Extremes.merge(shuffled), whole)
        middle = rng.integers(1, len(parts))
        assert same(Extremes.merge([Extremes.merge(shuffled[middle:]), Extremes.merge(shuffled[:middle])]), whole)
        grown = Extremes.of(values[:0], 0, 5)
        for place in order:
            start, stop = stretches[place]
            grown = grown.extended(values[start:stop], start, pictures[start:stop])
        assert same(grown, whole)


def test_n10_equal_responses_stand_in_the_order_of_the_stimuli() -> None:
    values = np.zeros((200, 3), np.float32)
    values[::2] = -0.0
    values[150, 1] = 1
    found = Extremes.merge([Extremes.of(values[100:], 100, 3), Extremes.of(values[:100], 0, 3)])
    assert found.best_stimuli.tolist() == [[0, 1, 2], [150, 0, 1], [0, 1, 2]]
    assert found.worst_stimuli.tolist() == [[0, 1, 2]] * 3
    assert found.best_values.tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert not np.signbit(found.worst_values).any()


def test_d13_pictures_that_are_the_same_count_once(rng: np.random.Generator) -> None:
    identities = first_alike(["a", "b", "a", "c", "b", "a", "d", "e"])
    assert identities.tolist() == [0, 1, 0, 3, 1, 0, 6, 7]
    values = np.array([[5.0, 3, 5, 1, 3, 5, 4, np.nan]], np.float32).T
    expected = [[0, 6, 1, 3]], [[3, 1, 6, 0]]
    for bounds in ([0, 8], [0, 2, 8], [0, 1, 4, 5, 8]):
        parts = [Extremes.of(values[start:stop], start, 4, identities[start:stop]) for start, stop in pairwise(bounds)]
        found = Extremes.merge(parts[::-1])
        assert (found.best_stimuli.tolist(), found.worst_stimuli.tolist()) == expected
    assert Extremes.of(values, 0, 4).best_stimuli.tolist() == [[0, 2, 5, 6]]


def test_d13_the_same_shard_twice_changes_nothing(rng: np.random.Generator) -> None:
    values = table(rng)
    found = Extremes.of(values)
    assert same(Extremes.merge([found, Extremes.of(values[40:90], 40)]), found)
    assert same(found.extended(values[200:260], 200), found)
    ends = Extremes.merge([Extremes.of(values[:100]), Extremes.of(values[200:], 200)])
    assert same(ends.extended(values[100:200], 100), found)
    assert same(Extremes.from_arrays(ends.arrays()).extended(values[100:200], 100), found)


def test_d16_fewer_stimuli_than_asked_for_are_filled_up() -> None:
    values = np.array([[2.0, np.nan], [1.0, 5.0]], np.float32)
    found = Extremes.of(values, 10, 4)
    assert found.best_stimuli.tolist() == [[10, 11, -1, -1], [11, -1, -1, -1]]
    assert found.worst_stimuli.tolist() == [[11, 10, -1, -1], [11, -1, -1, -1]]
    assert np.isnan(found.best_values).tolist() == [[False, False, True, True], [False, True, True, True]]
    none = Extremes.of(np.zeros((0, 2), np.float32), 0, 4)
    assert (none.best_stimuli == -1).all()
    assert same(Extremes.merge([none, found]), found)
    assert Extremes.of(np.zeros((3, 0), np.float32)).best_values.shape == (0, 9)


def test_n1_what_is_not_finite_is_never_chosen(rng: np.random.Generator) -> None:
    values = table(rng)
    found = Extremes.of(values, 0, 250)
    for stimuli, numbers in ((found.best_stimuli, found.best_values), (found.worst_stimuli, found.worst_values)):
        assert np.array_equal(np.isfinite(numbers), stimuli >= 0)
        assert np.array_equal((stimuli >= 0).sum(axis=1), np.minimum(np.isfinite(values).sum(axis=0), 250))


def test_the_greatest_and_least_numbers_of_float32_are_kept() -> None:
    numbers = np.finfo(np.float32)
    column = np.array(
        [numbers.max, numbers.min, numbers.tiny, -numbers.tiny, numbers.smallest_subnormal, 0], np.float32
    )
    found = Extremes.of(column[:, None], 0, 6)
    assert found.best_stimuli.tolist() == [[0, 2, 4, 5, 3, 1]]
    assert found.best_values[0].tolist() == column[[0, 2, 4, 5, 3, 1]].tolist()
    assert found.worst_values[0].tolist() == column[[1, 3, 5, 4, 2, 0]].tolist()


def test_extremes_come_back_from_arrays_and_damaged_ones_are_refused(rng: np.random.Generator) -> None:
    found = Extremes.of(table(rng, 5), 70, 9)
    arrays = found.arrays()
    assert {name: (array.dtype.name, array.shape) for name, array in arrays.items()} == {
        "extremes_best_values": ("float32", (40, 9)), "extremes_best_stimuli": ("int64", (40, 9)),
        "extremes_worst_values": ("float32", (40, 9)), "extremes_worst_stimuli": ("int64", (40, 9)),
    }  # fmt: skip
    back = Extremes.from_arrays(arrays | {"something": np.zeros(3)})
    assert np.array_equal(back.best, found.best)
    assert np.array_equal(back.worst, found.worst)
    for name, array in (
        ("extremes_best_values", arrays["extremes_best_values"].astype(np.float64)),
        ("extremes_worst_stimuli", arrays["extremes_worst_stimuli"][:, :4]),
        ("extremes_worst_stimuli", arrays["extremes_worst_stimuli"] - 2),
    ):
        with pytest.raises(AtlasDamaged, match="arrays: "):
            Extremes.from_arrays(arrays | {name: array})


def test_what_does_not_fit_is_refused() -> None:
    values = np.zeros((3, 2), np.float32)
    with pytest.raises(WrongInput, match=r"k \(=0\) must be at least 1"):
        Extremes.of(values, 0, 0)
    with pytest.raises(WrongInput, match=r"first \(=-1\) must be 0 or more"):
        Extremes.of(values, -1)
    for identities in ([0, 1], [0, 1, 3], [-1, 0, 0]):
        with pytest.raises(WrongInput, match=r"identities .* see first_alike"):
            Extremes.of(values, 0, 2, np.array(identities))
    with pytest.raises(WrongInput, match="of the same k and units"):
        Extremes.merge([Extremes.of(values), Extremes.of(values, 3, 4)])
    with pytest.raises(WrongInput, match="values are of 2 units, the extremes of 5"):
        Extremes.of(np.zeros((1, 5), np.float32)).extended(values, 3)
    with pytest.raises(WrongInput, match="parts is empty"):
        Extremes.merge([])
