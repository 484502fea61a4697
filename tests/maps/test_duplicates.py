"""Copies against the comparison of every pair, on tables made to be hard, and on the layers of a network."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from tests.networks import models
from tests.reference import response_map as reference
from torch import nn

from neuronatlas.maps.duplicates import find_copies
from neuronatlas.responses import record

EPS = float(np.finfo(np.float32).eps)


def hard(rng: np.random.Generator) -> np.ndarray:
    """Units, and beside them their copies, near copies, multiples, shifts; sparse, constant and missing ones."""
    dense = rng.normal(size=(40, 7))
    sparse = np.zeros((40, 7))
    sparse[rng.integers(0, 40, 7), np.arange(7)] = rng.random(7) + 0.5
    offset = 1000 + 0.01 * rng.normal(size=(40, 3))
    units = np.concatenate([dense, sparse, offset, np.full((40, 1), 0.7), np.zeros((40, 1))], axis=1)
    units[rng.integers(0, 40, 6), rng.integers(0, 14, 6)] = np.nan
    peak = np.nanmax(np.abs(units), axis=0)
    noise = rng.uniform(-1, 1, units.shape)
    columns = [
        units,
        units,
        units + 20 * EPS * peak * noise,
        units + 40 * EPS * peak,
        units + 500 * EPS * peak * np.sign(noise),
        2 * units,
        units + 0.1,
        np.where(rng.random(units.shape) < 0.02, np.inf, units),
    ]
    table = np.concatenate(columns, axis=1)
    return table[:, rng.permutation(table.shape[1])].astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_copies_are_those_of_comparing_every_pair(seed: int) -> None:
    values = hard(np.random.default_rng(seed))
    found = find_copies(values)
    assert found.original.tolist() == reference.copies(values)
    assert found.is_copy.sum() > 20
    assert [min(group) for group in found.groups] == sorted({group[0] for group in found.groups})
    assert sum(len(group) - 1 for group in found.groups) == found.is_copy.sum()
    assert all(found.original[unit] == group[0] for group in found.groups for unit in group)


def test_scaled_shifted_and_constant_units_are_no_copies(rng: np.random.Generator) -> None:
    unit = rng.normal(size=(30, 1))
    same = np.ones((30, 1))
    values = np.concatenate([unit, 2 * unit, unit + 1, -unit, same, same, 0 * same, unit], axis=1)
    assert find_copies(values).original.tolist() == [0, 1, 2, 3, 4, 5, 6, 0]
    assert find_copies(values).groups == ((0, 7),)


def test_n1_units_are_copies_only_where_the_same_responses_are_missing() -> None:
    nan, inf = np.nan, np.inf
    values = np.array([[1, nan, 3, 4], [1, inf, 3, 4], [1, 2, nan, 4], [1, 0, 3, 4], [nan] * 4, [nan] * 4]).T
    assert find_copies(values).original.tolist() == [0, 0, 2, 3, 4, 5]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (5, 0), (1, 4), (4, 1)])
def test_small_tables_hold_no_copies(shape: tuple[int, int]) -> None:
    values = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    assert find_copies(values).original.tolist() == list(range(shape[1]))
    assert find_copies(values).groups == ()


def test_layers_that_pass_their_input_on_are_copies_of_it() -> None:
    """Pooling and an own identity after a convolution, recorded as means: of these only the batch norm is new."""

    class Twice(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 1.0

    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), Twice(), nn.BatchNorm2d(6), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1)
    )
    network = models.wrap(models.seeded(module), 16)
    shown = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    found = find_copies(record(network, shown).values)
    assert found.original.reshape(5, 6).tolist() == [[0, 1, 2, 3, 4, 5]] * 2 + [[12, 13, 14, 15, 16, 17]] * 3


def test_a_hundred_thousand_units_take_seconds(rng: np.random.Generator) -> None:
    """Half of them copies; an eighth answers to one stimulus alone, so that all of these correlate in groups."""
    values = rng.normal(size=(40, 50_000)).astype(np.float32)
    sparse = np.zeros((40, 12_500), np.float32)
    sparse[rng.integers(0, 40, 12_500), np.arange(12_500)] = rng.random(12_500) + 0.5
    values[:, :12_500] = sparse
    began = time.process_time()
    found = find_copies(np.concatenate([values, values], axis=1))
    assert time.process_time() - began < 20
    np.testing.assert_array_equal(found.original[50_000:], found.original[:50_000])
    assert (found.original[12_500:50_000] == np.arange(12_500, 50_000)).all()


def test_one_outlying_stimulus_makes_no_copies(rng: np.random.Generator) -> None:
    values = rng.normal(size=(100, 30))
    values[3] = 3e5
    assert not find_copies(values.astype(np.float32)).is_copy.any()


def test_a_large_mean_and_a_small_spread_make_no_copies_and_cost_no_more(rng: np.random.Generator) -> None:
    values = (1e4 + 1e-2 * rng.normal(size=(384, 2000))).astype(np.float32)
    began = time.process_time()
    assert not find_copies(values).is_copy.any()
    assert time.process_time() - began < 10


def test_the_groups_do_not_depend_on_the_order_of_units(rng: np.random.Generator) -> None:
    """Chains of copies, whose ends are none of each other."""
    base = rng.normal(size=(30, 20))
    table = np.concatenate([base + step * 45 * EPS * np.abs(base) for step in range(4)], axis=1).astype(np.float32)
    order = rng.permutation(80)
    groups = {frozenset(group) for group in find_copies(table).groups}
    assert groups
    assert {frozenset(int(order[unit]) for unit in group) for group in find_copies(table[:, order]).groups} == groups
