from __future__ import annotations

import numpy as np
import pytest
from tests.reference import raster as masking
from tests.reference import response_map as reference

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps.raster import MASKS, METHODS, Raster

RESOLUTION = 101


@pytest.fixture(params=["random", "twins", "grid", "disc"])
def positions(request: pytest.FixtureRequest, rng: np.random.Generator) -> np.ndarray:
    """Places at random, with many at the same place, on a grid (where pixels are equally near to several), on a disc."""
    if request.param == "twins":
        places = rng.uniform(-0.8, 0.9, (40, 2))
        return np.concatenate([places, places[:20]])
    if request.param == "grid":
        x, y = np.meshgrid(np.linspace(-1, 1, 6), np.linspace(-0.5, 0.5, 5))
        return np.stack([x.ravel(), y.ravel()], axis=1)
    if request.param == "disc":
        angles = np.linspace(0, 2 * np.pi, 80, endpoint=False)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return rng.uniform(-1, 1, (150, 2))


def test_nearest_is_griddata_within_the_hull(positions: np.ndarray, rng: np.random.Generator) -> None:
    values = rng.uniform(size=len(positions))
    ours = Raster(positions, RESOLUTION).draw(values, "nearest")
    assert np.array_equal(ours, reference.picture(positions, values, "nearest", RESOLUTION), equal_nan=True)


def test_linear_is_griddata(positions: np.ndarray, rng: np.random.Generator) -> None:
    values = rng.uniform(size=len(positions))
    ours = Raster(positions, RESOLUTION).draw(values, "linear")
    theirs = reference.picture(positions, values, "linear", RESOLUTION)
    np.testing.assert_allclose(ours, theirs, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_blank_lies_outside_the_hull(positions: np.ndarray, method: str) -> None:
    picture = Raster(positions, RESOLUTION).draw(np.ones(len(positions)), method)
    outside = reference.outside(positions, RESOLUTION, margin=1e-9)
    clear = ~np.isnan(outside)
    assert np.array_equal(np.isnan(picture[clear]), outside[clear] == 1)


def test_linear_draws_a_plane_as_it_is(rng: np.random.Generator) -> None:
    positions = rng.uniform(-1, 1, (60, 2))
    picture = Raster(positions, 50).draw(positions @ [0.3, -0.2] + 0.5, "linear")
    plane = (reference.pixels(50) @ [0.3, -0.2] + 0.5).reshape(50, 50)
    inside = ~np.isnan(picture)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(picture[inside], plane[inside], atol=1e-9)


def test_rows_rise_and_columns_go_right() -> None:
    corners = np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    for method in METHODS:
        picture = Raster(corners, 4).draw(np.array([1.0, 2.0, 3.0, 4.0]), method)
        assert [picture[0, 0], picture[0, -1], picture[-1, 0], picture[-1, -1]] == pytest.approx([1, 2, 3, 4])


@pytest.mark.parametrize("method", METHODS)
def test_points_that_span_no_area_colour_every_pixel(method: str) -> None:
    line = np.array([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    for count in (1, 2, 3):
        values = np.arange(1.0, count + 1)
        picture = Raster(line[:count], 9).draw(values, method)
        assert set(np.unique(picture)) == set(values)
    same = Raster(np.zeros((5, 2)), 9).draw(np.full(5, 0.5), method)
    assert (same == 0.5).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_hull_thinner_than_a_pixel_is_none(method: str) -> None:
    """Two units that respond almost alike and a third, as principal components place them."""
    sliver = np.array([[-1.0, 0.0501], [-1.0, 0.0502], [1.0, -0.05]])
    picture = Raster(sliver, 10).draw(np.array([1.0, 1.0, 2.0]), method)
    assert (picture[:, :5] == 1).all()
    assert (picture[:, 5:] == 2).all()


def test_a_missing_value_blanks_its_own_pixels_only(rng: np.random.Generator) -> None:
    positions = rng.uniform(-1, 1, (50, 2))
    values = np.arange(50.0)
    raster = Raster(positions, 80)
    whole = raster.draw(values, "nearest")
    owned = whole == 7
    assert owned.any()
    values[7] = np.nan
    assert np.array_equal(raster.draw(values, "nearest"), np.where(owned, np.nan, whole), equal_nan=True)
    blanked = raster.draw(values, "linear")
    assert np.array_equal(np.isnan(blanked), np.isnan(reference.picture(positions, values, "linear", 80)))


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(UnknownName, match="no method 'cubic': there are nearest, linear"):
        Raster(np.zeros((1, 2)), 4).draw(np.zeros(1), "cubic")


def test_values_of_another_length_are_refused() -> None:
    for method in METHODS:
        for count in (1, 2, 4):
            with pytest.raises(WrongInput, match=f"values of {count} units must be one for each of the 3 positions"):
                Raster(np.eye(3)[:, :2], 4).draw(np.zeros(count), method)


def test_near_blanks_what_is_far_from_every_unit(rng: np.random.Generator) -> None:
    crowds = np.concatenate([rng.normal(centre, 0.08, (40, 2)) for centre in (-0.6, 0.5)])
    lonely = np.array([[-0.9, 0.9]])
    assert np.nanmean(masking.near(crowds, 41)) < 0.5
    for positions in (np.concatenate([crowds, lonely]), rng.uniform(-1, 1, (60, 2)), lonely.repeat(3, axis=0)):
        expected = masking.near(positions, 41)
        known = ~np.isnan(expected)
        for method in METHODS:
            picture = Raster(positions, 41, "near").draw(np.ones(len(positions)), method)
            assert np.array_equal(~np.isnan(picture[known]), expected[known] == 1)
        assert np.nanmean(expected) > 0


def test_near_gives_a_lonely_unit_a_small_field_and_random_ones_nearly_everything(rng: np.random.Generator) -> None:
    uniform = rng.uniform(-1, 1, (3000, 2))
    assert np.isnan(Raster(uniform, 200, "near").draw(np.ones(3000))).mean() < 0.005
    lonely = np.concatenate([rng.uniform(-1, 0, (3000, 2)), [[0.8, 0.8]]])
    labels = Raster(lonely, 200, "near").labels
    assert 0 < (labels == 3000).sum() < 0.01 * labels.size
    assert (Raster(lonely, 200, "none").labels == 3000).mean() > 0.15


def test_none_blanks_nothing_and_agrees_inside_the_hull(positions: np.ndarray, rng: np.random.Generator) -> None:
    values = rng.uniform(size=len(positions))
    for method in METHODS:
        hull, none = (Raster(positions, RESOLUTION, mask).draw(values, method) for mask in ("hull", "none"))
        inside = ~np.isnan(hull)
        assert not np.isnan(none).any()
        assert np.array_equal(none[inside], hull[inside])
        nearest = Raster(positions, RESOLUTION, "none").draw(values, "nearest")
        assert np.array_equal(none[~inside], nearest[~inside])


@pytest.mark.parametrize("mask", MASKS)
def test_labels_say_which_unit_a_pixel_shows(positions: np.ndarray, mask: str) -> None:
    raster = Raster(positions, RESOLUTION, mask)
    picture = raster.draw(np.arange(len(positions), dtype=np.float64), "nearest")
    assert np.array_equal(np.where(np.isnan(picture), -1, picture), raster.labels)


@pytest.mark.parametrize("mask", MASKS)
def test_one_unit_can_be_drawn(mask: str) -> None:
    picture = Raster(np.zeros((1, 2)), 5, mask).draw(np.array([3.0]), "linear")
    assert np.array_equal(picture, np.full((5, 5), 3.0))


def test_wrong_input_is_named() -> None:
    with pytest.raises(UnknownName, match="no mask 'alpha': there are hull, near, none"):
        Raster(np.zeros((1, 2)), 4, "alpha")
    with pytest.raises(WrongInput, match="resolution 1 must be at least 2"):
        Raster(np.zeros((1, 2)), 1)
    for places in (np.zeros((0, 2)), np.array([[0.0, np.nan]])):
        with pytest.raises(WrongInput, match=f"positions of {len(places)} units must hold one or more places"):
            Raster(places, 4)
