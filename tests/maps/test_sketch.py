from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import pairwise

import numpy as np
import pytest
from tests.maps.conftest import Make
from tests.reference import correlation as slow_correlation
from tests.reference import streaming as reference

from neuronatlas.errors import AtlasDamaged, UnknownName, WrongInput
from neuronatlas.maps import Moments, ResponseMap, Responses, Sketch, correlation, sketch, standardise
from neuronatlas.units import Unit

Part = tuple[Moments, Sketch]


def shard(values: np.ndarray, start: int = 0, **settings: int) -> Part:
    found = Moments.of(values, start)
    return found, Sketch.of(values, found, **settings)


def shards(values: np.ndarray, bounds: list[int], **settings: int) -> list[Part]:
    return [shard(values[start:stop], start, **settings) for start, stop in pairwise(bounds)]


def merged(parts: list[Part]) -> Part:
    return Moments.merge([part[0] for part in parts]), Sketch.merge([part[1] for part in parts])


def rows_of(part: Part) -> np.ndarray:
    return part[1].standardised(part[0]).rows


def correlations(rows: np.ndarray) -> np.ndarray:
    return rows @ rows.copy().T


def families(rng: np.random.Generator, stimuli: int, units: int = 200) -> np.ndarray:
    """Rectified units, in pairs that correlate, and pairs that correlate negatively."""
    own = rng.normal(size=(stimuli, units))
    shared = rng.normal(size=(stimuli, units // 2))
    own[:, ::2] += shared
    own[:, 1::2] += shared * np.where(np.arange(units // 2) % 4 == 0, -1, rng.uniform(0, 3, units // 2))
    return np.maximum(own, -0.5).astype(np.float32)


def holes(rng: np.random.Generator, stimuli: int) -> np.ndarray:
    """Gaps of all kinds: single, whole stimuli, whole shards of a unit, units that never answer."""
    values = families(rng, stimuli, 16)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[3], values[stimuli // 2] = np.nan, np.inf
    values[: stimuli // 2, 4] = np.nan
    values[stimuli // 3 :, 5] = -np.inf
    values[:, 6] = np.nan
    values[:, 7] = 2.5
    values[:, 8] += 100
    values[:, 10] = rng.normal(size=stimuli)  # of no gaps but its whole stimuli
    values[3, 10] = values[stimuli // 2, 10] = np.nan
    return values


@pytest.mark.parametrize("bounds", [[0, 200], [0, 1, 50, 51, 200], list(range(0, 201, 20))])
def test_sums_are_those_of_the_random_rows_written_out(bounds: list[int], rng: np.random.Generator) -> None:
    values = holes(rng, 200)
    found = merged(shards(values, bounds, seed=3, size=64))
    expected = reference.sketched_rows(values, 3, 64)
    expected[found[0].constant] = 0
    np.testing.assert_allclose(rows_of(found), expected[:, np.unique(expected.nonzero()[1])], atol=2e-6)


@pytest.mark.parametrize("trial", range(6))
def test_any_split_gives_the_sketch_of_the_whole(trial: int) -> None:
    rng = np.random.default_rng(trial)
    values = holes(rng, 300)
    whole = shard(values, size=96)
    bounds = sorted({0, 300, *rng.integers(0, 301, size=8).tolist()})
    parts = shards(values, bounds, size=96)
    found = merged([parts[place] for place in rng.permutation(len(parts))])
    np.testing.assert_allclose(rows_of(found), rows_of(whole), atol=2e-6)
    middle = len(parts) // 2
    halves = merged([merged(parts[middle:]), merged(parts[:middle])])
    np.testing.assert_allclose(rows_of(halves), rows_of(whole), atol=2e-6)
    for name in ("sketch_stimuli", "sketch_sums", "sketch_ones", "sketch_gap_units"):
        assert np.array_equal(halves[1].arrays()[name], found[1].arrays()[name])


def test_up_to_as_many_stimuli_as_sums_correlations_are_exact(varying: Responses) -> None:
    values = varying.values
    for size, stimuli in ((64, 60), (1120, 60), (32, 32)):
        part = shard(values[:stimuli], size=size)
        assert part[1].error == 0
        exact = correlations(standardise(values[:stimuli], "pearson").rows)
        np.testing.assert_allclose(correlations(rows_of(part)), exact, atol=2e-6)


@pytest.mark.parametrize("stimuli", [1200, 2500])
def test_correlations_of_any_two_units_come_within_three_hundredths(stimuli: int, rng: np.random.Generator) -> None:
    values = families(rng, stimuli)
    part = merged(shards(values, [*range(0, stimuli, 500), stimuli]))
    exact = correlations(standardise(values, "pearson").rows)
    wrong = correlations(rows_of(part)) - exact
    pairs = np.triu_indices(200, 1)
    together = np.arange(0, 200, 2), np.arange(1, 200, 2)
    expected = part[1].error
    assert expected < 0.03
    assert 0.95 * expected < np.sqrt(np.mean(wrong[pairs] ** 2)) < 1.05 * expected
    assert np.sqrt(np.mean(wrong[together] ** 2)) < 0.9 * expected  # the more two units correlate, the less
    assert abs(wrong[pairs].mean()) < 5e-4


@pytest.mark.parametrize(("start", "stop", "expected"), [(0, 64, 0), (64, 192, 2), (32, 96, 2), (0, 64000, 1000)])
def test_the_error_told_counts_the_blocks_that_the_stimuli_lie_in(start: int, stop: int, expected: int) -> None:
    part = shard(np.zeros((1, 1), np.float32), size=64)[1]
    part.start, part.stop = start, stop
    assert part.error == pytest.approx(np.sqrt((1 - 1 / expected if expected else 0) / 64))


def test_the_error_is_below_three_hundredths_however_many_the_stimuli() -> None:
    part = shard(np.zeros((1, 1), np.float32))[1]
    part.stop = 10**9
    assert 0.0295 < part.error < 0.03


def test_units_that_answer_to_one_stimulus_each_do_not_seem_alike() -> None:
    """With one sum a stimulus two in a thousand pairs would correlate by 1 or -1."""
    values = np.zeros((4000, 400), np.float32)
    values[np.arange(0, 4000, 10), np.arange(400)] = 1
    wrong = correlations(rows_of(merged(shards(values, [0, 1000, 4000]))))
    pairs = np.triu_indices(400, 1)
    assert np.abs(wrong[pairs]).max() < 0.35
    assert np.sqrt(np.mean(wrong[pairs] ** 2)) < 0.03


def test_n1_gaps_stand_at_the_mean_of_the_unit_and_spread_to_no_other(rng: np.random.Generator) -> None:
    values = holes(rng, 60)
    part = merged(shards(values, [0, 10, 40, 60], size=64))
    expected = standardise(values, "pearson")
    found = part[1].standardised(part[0])
    np.testing.assert_allclose(
        correlations(found.rows), slow_correlation.matrix_with_gaps(values, "pearson"), atol=2e-6
    )
    assert np.isfinite(found.rows).all()
    assert found.constant.tolist() == expected.constant.tolist()
    assert found.missing.tolist() == expected.missing.tolist()
    assert not found.rows[found.constant].any()


@pytest.mark.parametrize("bounds", [[0, 60], [0, 7, 60], list(range(0, 61, 5))])
def test_n3_a_large_mean_and_a_small_spread_keep_their_correlations(
    bounds: list[int], rng: np.random.Generator
) -> None:
    values = (1e4 + 1e-2 * families(rng, 60, 20)).astype(np.float32)
    values[:, :4] = (1e4 + 1e-2 * np.linspace(-1, 1, 60)[:, None] + 1e-3 * rng.normal(size=(60, 4))).astype(np.float32)
    found = correlations(rows_of(merged(shards(values, bounds, size=64))))
    np.testing.assert_allclose(found, correlations(standardise(values, "pearson").rows), atol=3e-6)


def test_n3_a_mean_that_moves_from_shard_to_shard_costs_no_precision(rng: np.random.Generator) -> None:
    values = families(rng, 640, 20)
    values[:10] += 1e4
    found = correlations(rows_of(merged(shards(values, list(range(0, 641, 10)), size=640))))
    np.testing.assert_allclose(found, correlations(standardise(values, "pearson").rows), atol=1e-5)


def test_the_greatest_numbers_of_float32_do_not_overflow(rng: np.random.Generator) -> None:
    values = np.where(rng.random((3000, 6)) < 0.5, -3.4e38, 3.4e38).astype(np.float32)
    values[:, 3:] = (1e-30 * rng.normal(size=(3000, 3))).astype(np.float32)
    found = correlations(rows_of(merged(shards(values, [0, 1500, 3000]))))
    np.testing.assert_allclose(found, correlations(standardise(values, "pearson").rows), atol=0.12)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_n6_any_number_of_workers_gives_the_same_bytes(workers: int, rng: np.random.Generator) -> None:
    values = holes(rng, 300)
    expected = merged(shards(values, list(range(0, 301, 50)), size=96))[1].arrays()
    with ThreadPoolExecutor(workers) as pool:
        tasks = [pool.submit(shard, values[start : start + 50], start, size=96) for start in range(0, 300, 50)]
        arrived = [task.result() for task in as_completed(tasks)]
    for order in (arrived, arrived[::-1]):
        found = merged(order)[1].arrays()
        assert all(found[name].tobytes() == array.tobytes() for name, array in expected.items())


def test_n7_neither_threads_nor_blocks_nor_layout_change_a_bit(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import hashlib, numpy as np; from neuronatlas.maps import Moments, Sketch; "
        "v = np.random.default_rng(0).standard_normal((200, 3000), dtype=np.float32); m = Moments.of(v); "
        "s = Sketch.merge([Sketch.of(v, m, size=128)]).standardised(m).rows; print(hashlib.sha256(s.tobytes()).hexdigest())"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for threads in ("1", "3")
    }
    assert len(told) == 1
    values = holes(rng, 100)
    before = merged(shards(values, [0, 40, 100], size=64))
    expected, rows = before[1].arrays(), rows_of(before)
    monkeypatch.setattr(sketch, "_COLUMNS", 5)
    after = merged(shards(np.asfortranarray(values), [0, 40, 100], size=64))
    assert all(after[1].arrays()[name].tobytes() == array.tobytes() for name, array in expected.items())
    assert rows_of(after).tobytes() == rows.tobytes()


def test_some_units_have_the_rows_that_they_have_among_all(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, made = merged(shards(holes(rng, 100), [0, 40, 100], size=64))
    chosen = np.array([8, 0, 15, 6, 4])
    every, some = made.standardised(found), made.standardised(found, chosen)
    assert some.rows.tobytes() == every.rows[chosen].tobytes()
    assert some.missing.tolist() == every.missing[chosen].tolist()
    monkeypatch.setattr(correlation, "EXACT_UNITS", 10)
    many = made.standardised(found)
    assert many.rows.dtype == np.float32
    assert np.array_equal(many.rows * 2.0**24, np.rint(many.rows * 2.0**24))
    np.testing.assert_allclose(many.rows, every.rows, atol=0.5000001 / 2**24)


def test_a_shard_takes_no_more_than_its_responses(rng: np.random.Generator) -> None:
    values = families(rng, 64)
    values[7] = np.nan  # a picture that no unit has an answer to
    part = shard(values, 128)[1]
    assert part.values.shape == (64, 200)
    assert part.gap_ones.shape == (64, 0)
    values[8, 3] = np.inf
    assert shard(values, 128)[1].gap_units.tolist() == [3]
    assert rows_of(merged(shards(values, [0, 20, 64]))).shape == (200, 64)


def test_d16_no_stimuli_one_stimulus_and_no_units(rng: np.random.Generator) -> None:
    values = families(rng, 40)
    none, some = shard(values[:0]), shard(values)
    for part in (merged([none, some]), merged([some, shard(values[:0], 40)])):
        np.testing.assert_array_equal(rows_of(part), rows_of(merged([some])))
    assert none[1].error == 0
    assert rows_of(none).shape[0] == 200
    one = shard(values[:1])
    assert not rows_of(one).any()
    assert one[1].standardised(one[0]).constant.all()
    assert rows_of(shard(values[:, :0])).shape[0] == 0


def test_a_sketch_comes_back_from_arrays_and_damaged_ones_are_refused(rng: np.random.Generator) -> None:
    values = holes(rng, 60)
    part = shard(values[10:], 10, size=64)
    arrays = part[1].arrays() | part[0].arrays()
    back = Sketch.from_arrays(arrays)
    assert all(arrays[name].tobytes() == array.tobytes() for name, array in back.arrays().items())
    first = shard(values[:10], size=64)
    assert (
        rows_of(merged([first, (Moments.from_arrays(arrays), back)])).tobytes()
        == rows_of(merged([first, part])).tobytes()
    )
    for name, array in (
        ("sketch_values", arrays["sketch_values"].astype(np.float64)),
        ("sketch_values", arrays["sketch_values"][1:]),
        ("sketch_sums", arrays["sketch_sums"][::-1].copy()),
        ("sketch_sums", arrays["sketch_sums"] + 60),
        ("sketch_gap_units", arrays["sketch_gap_units"] - 3),
        ("sketch_gap_ones", arrays["sketch_gap_ones"][:, 1:]),
        ("sketch_ones", arrays["sketch_ones"][1:]),
        ("sketch_rows", arrays["sketch_rows"][:1]),
    ):
        with pytest.raises(AtlasDamaged, match="arrays: "):
            Sketch.from_arrays(arrays | {name: array})


def test_what_does_not_fit_is_refused(rng: np.random.Generator) -> None:
    values = families(rng, 40)
    found = Moments.of(values)
    for wrong in ({"size": 33}, {"size": 0}, {"seed": -1}):
        with pytest.raises(WrongInput, match=r"must be a multiple of 32, seed .* 0 or more"):
            Sketch.of(values, found, **wrong)
    with pytest.raises(WrongInput, match=r"moments are of 40 stimuli and 200 units, values of 39"):
        Sketch.of(values[1:], found)
    made = Sketch.merge([Sketch.of(values, found, size=64)])
    for other in (shard(values, 41, size=64), shard(values, 40, size=96), shard(values, 40, size=64, seed=1)):
        with pytest.raises(WrongInput, match=r"where \(40, 0, 64, 200\) go on: add the shard that follows"):
            made.add(other[1])
    with pytest.raises(WrongInput, match="give those of the same stimuli"):
        made.standardised(Moments.of(values[:20]))


def units_of(count: int) -> tuple[Unit, ...]:
    return tuple(Unit("layer", index) for index in range(count))


def test_a_map_of_an_exact_sketch_is_that_of_the_table(varying: Responses) -> None:
    """Copies, constant units and gaps among them."""
    values = varying.values.copy()
    values[:, 5], values[:, 6], values[:, 7] = values[:, 4], 3, values[:, 8] + 4 * values[:, 8].std()
    values[3, 9] = np.nan
    table = Responses(values, varying.units, varying.stimuli, varying.labels)
    settings = ResponseMap("pearson", "pca", scale="minmax")
    expected = settings.fit(table)
    moments, made = merged(shards(values, [0, 20, 60]))
    found = settings.fit_sketch(made, moments, table.units, shown=table)
    np.testing.assert_allclose(found.positions, expected.positions, atol=1e-4)
    assert found.copies == expected.copies
    assert {str(unit) for unit in found.copies} == {str(table.units[5])}
    assert found.constant == expected.constant == (table.units[6],)
    assert found.missing.tolist() == expected.missing.tolist()
    assert found.notes == expected.notes
    assert found.quality == pytest.approx(expected.quality, abs=2e-3)
    for name in ("low", "high"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))
    name = table.stimuli[0]
    assert np.array_equal(found.normalise(name), expected.normalise(name), equal_nan=True)
    assert np.mean(found.neighbours.indices == expected.neighbours.indices) > 0.95


def test_a_map_of_a_sketch_keeps_families_together_and_says_what_it_is(rng: np.random.Generator) -> None:
    family = np.arange(120) % 6
    values = (rng.normal(size=(1500, 6))[:, family] + rng.normal(size=(1500, 120))).astype(np.float32)
    moments, made = merged(shards(values, [0, 500, 1000, 1500], size=320))
    found = ResponseMap("pearson", scale="deviation").fit_sketch(made, moments, units_of(120))
    assert np.isfinite(found.positions).all()
    near = found.neighbours.indices[:, :10]
    assert np.mean(family[near] == family[:, None]) > 0.99
    assert any("a sketch of 1500 stimuli: their error is 0.050 or less" in note for note in found.notes)
    assert set(found.quality) == {"k", "trustworthiness", "continuity", "recall", "correlation"}
    assert found.quality["trustworthiness"] > 0.85
    mean = values.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(found.normalise(mean), 0, atol=1e-9)
    again = ResponseMap("pearson", scale="minmax").fit_sketch(made, moments, units_of(120), like=found)
    assert np.abs(again.positions - found.positions).mean() < 0.1
    assert again.normalise(values.max(axis=0)).tolist() == [1] * 120
    assert found.reliability() == {}


def test_the_order_of_the_units_moves_no_point_of_a_map_of_a_sketch(rng: np.random.Generator) -> None:
    values, names = families(rng, 300, 40), units_of(40)
    settings = ResponseMap("pearson", scale="minmax")
    first = settings.fit_sketch(*merged(shards(values, [0, 150, 300], size=64))[::-1], names)
    order = rng.permutation(40).tolist()
    moved = merged(shards(values[:, order], [0, 150, 300], size=64))
    second = settings.fit_sketch(*moved[::-1], [names[unit] for unit in order])
    assert second.positions.tobytes() == first.positions[order].tobytes()


def test_what_a_sketch_cannot_give_is_refused(make: Make, rng: np.random.Generator) -> None:
    values = families(rng, 100, 20)
    moments, made = shard(values)
    settings, names = ResponseMap("pearson", "pca", scale="minmax"), units_of(20)
    with pytest.raises(WrongInput, match="correlation 'spearman' cannot be had of a sketch"):
        ResponseMap(scale="minmax").fit_sketch(made, moments, names)
    with pytest.raises(WrongInput, match="scale 'percentile' needs every response"):
        ResponseMap("pearson").fit_sketch(made, moments, names)
    with pytest.raises(WrongInput, match=r"units \(19\) must be the 20 of moments"):
        settings.fit_sketch(made, moments, names[1:])
    with pytest.raises(WrongInput, match="those of shown in their order"):
        settings.fit_sketch(made, moments, names, shown=make(values[:, :19]))
    found = settings.fit_sketch(made, moments, names)
    with pytest.raises(WrongInput, match="a map of a sketch of 20 units cannot be added to"):
        found.add(make(values, layer="other"))
    with pytest.raises(UnknownName, match="no stimulus 's0': there are none to choose from"):
        found.draw("s0")
    with pytest.raises(WrongInput, match="labels are all empty"):
        found.situations()
