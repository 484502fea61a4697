from __future__ import annotations

import numpy as np
import pytest
from tests.reference import response_map as reference

from neuronatlas.maps import ResponseMap, Responses
from neuronatlas.maps.circle import onto_disc


@pytest.fixture
def square(rng: np.random.Generator) -> np.ndarray:
    """400 places, with the origin, the axes, equal places, and both sides of the half turn among them."""
    odd = [[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1], [-0.3, 1e-9], [-0.7, -1e-9], [-0.0, -0.0], [-0.5, -0.0]]
    places = rng.uniform(-1, 1, (400 - 2 * len(odd), 2))
    return np.concatenate([places, odd, odd]).astype(np.float64)


def test_the_projection_is_the_slow_one(square: np.ndarray) -> None:
    np.testing.assert_allclose(onto_disc(square), reference.circle(square), atol=1e-14)


def test_the_order_of_units_does_not_matter(square: np.ndarray, rng: np.random.Generator) -> None:
    order = rng.permutation(len(square))
    assert np.array_equal(onto_disc(square[order]), onto_disc(square)[order])


def test_the_disc_is_filled_and_not_left(square: np.ndarray) -> None:
    distance = np.hypot(*onto_disc(square).T)
    assert distance.max() <= 1 + 1e-12
    turns = np.rint(np.arctan2(square[:, 1], square[:, 0]) / (2 * np.pi) * 100) % 100
    for sector in np.unique(turns):
        # The length is that of (max |x|, max |y|), which two units may hold between them.
        assert distance[turns == sector].max() > 0.9


def test_directions_are_kept_and_a_second_projection_changes_nothing(square: np.ndarray) -> None:
    once = onto_disc(square)
    outer = np.hypot(*square.T) > 0
    np.testing.assert_allclose(
        np.arctan2(once[outer, 1], once[outer, 0]), np.arctan2(square[outer, 1], square[outer, 0]), atol=1e-12
    )
    np.testing.assert_allclose(onto_disc(once), once, atol=1e-12)


def test_no_units_have_no_places() -> None:
    assert onto_disc(np.zeros((0, 2))).shape == (0, 2)


def test_a_map_is_projected_and_its_square_stays(real_map: ResponseMap, real: Responses) -> None:
    before = real_map.positions.copy()
    disc = real_map.circle()
    placed = ~np.isnan(before[:, 0])
    np.testing.assert_allclose(disc.positions[placed], reference.circle(before[placed]), atol=1e-14)
    assert np.array_equal(np.isnan(disc.positions), np.isnan(before))
    assert np.array_equal(real_map.positions, before, equal_nan=True)
    assert disc.constant == real_map.constant
    # A picture of the disc is not that of the square, though both come from one fit.
    name = real.stimuli[0]
    square_picture = real_map.raster(name, resolution=60)
    assert not np.array_equal(disc.raster(name, resolution=60), square_picture, equal_nan=True)
    assert np.array_equal(real_map.raster(name, resolution=60), square_picture, equal_nan=True)
