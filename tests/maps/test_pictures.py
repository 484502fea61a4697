from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.maps.conftest import Make
from tests.reference import correlation

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps import ResponseMap, Responses
from neuronatlas.units import Unit


def placed(fitted: ResponseMap) -> np.ndarray:
    return np.isfinite(fitted.positions[:, 0])


def test_a_grid_shows_every_unit_once_in_a_cell_of_its_own(real: Responses, real_map: ResponseMap) -> None:
    picture = real_map.raster(real.stimuli[3], "grid")
    levels = real_map.normalise(real.stimuli[3])
    some = placed(real_map)
    assert picture.shape == (int(np.ceil(np.sqrt(some.sum()))),) * 2
    assert sorted(picture[np.isfinite(picture)]) == sorted(levels[some])
    on_cells = real_map.equal_area()
    side = len(picture)
    columns, rows = np.rint((on_cells.positions[some] + 1) / 2 * side - 0.5).astype(int).T
    assert len(set(zip(rows, columns, strict=True))) == some.sum()
    assert np.array_equal(picture[rows, columns], levels[some])
    assert on_cells.quality["trustworthiness"] > 0.8


def test_the_grid_is_the_same_whatever_the_order_of_the_units(
    real: Responses, real_map: ResponseMap, rng: np.random.Generator
) -> None:
    order = rng.permutation(len(real.units))
    other = ResponseMap().fit(real.select(units=order.tolist()))
    assert np.array_equal(
        other.raster(real.stimuli[0], "grid"), real_map.raster(real.stimuli[0], "grid"), equal_nan=True
    )
    for shape in ("square", "disc"):
        assert np.array_equal(
            other.equal_area(shape).positions, real_map.equal_area(shape).positions[order], equal_nan=True
        )


def test_deviations_are_drawn_about_zero(make: Make, rng: np.random.Generator) -> None:
    values = rng.normal(3, 2, (50, 12)).astype(np.float32)
    fitted = ResponseMap(layout="pca", scale="deviation").fit(make(values))
    expected = (values[7] - values.mean(axis=0, dtype=np.float64)) / values.std(axis=0, ddof=1, dtype=np.float64)
    np.testing.assert_allclose(fitted.normalise("s7"), expected, atol=1e-5)
    axes = fitted.draw("s7", resolution=30)
    low, high = axes.images[0].get_clim()
    assert low == -high
    assert high == pytest.approx(np.percentile(np.abs(expected), 99), rel=1e-4)
    assert (
        axes.figure.axes[1].get_ylabel().replace("\n", " ")
        == "response of each unit from its mean, in its standard deviations"
    )


def test_a_difference_is_cohens_d(real: Responses, real_map: ResponseMap) -> None:
    rows = {kind: [row for row, label in enumerate(real.labels) if label == kind] for kind in ("cat", "coffee")}
    first, second = (real.select(stimuli=rows[kind]) for kind in ("cat", "coffee"))
    found = real_map.effects(first, second)
    for unit in (0, 17, 40):
        one, two = (part.values[:, unit].astype(np.float64) for part in (first, second))
        pooled = np.sqrt(
            (one.var(ddof=1) * (len(one) - 1) + two.var(ddof=1) * (len(two) - 1)) / (len(one) + len(two) - 2)
        )
        assert found[unit] == pytest.approx((one.mean() - two.mean()) / pooled, rel=1e-5)
    assert np.isnan(found[~placed(real_map)]).all()
    np.testing.assert_allclose(real_map.effects(second, first), -found)
    figure, axes = real_map.compare(("cat", first), ("coffee", second), method="grid")
    assert list(axes) == ["cat", "coffee", "cat − coffee"]
    drawn = np.asarray(axes["cat − coffee"].images[0].get_array().filled(np.nan))
    assert sorted(drawn[np.isfinite(drawn)]) == sorted(found[placed(real_map)])
    figure.canvas.draw()
    with pytest.raises(WrongInput, match="first and second are together fewer than three stimuli"):
        real_map.compare(("one", real.stimuli[0]), ("two", real.stimuli[1]))


def test_small_multiples_share_one_scale(real: Responses, real_map: ResponseMap) -> None:
    figure, axes = real_map.draw_situations()
    assert list(axes) == ["astronaut", "cat", "coffee", "palace", "flower"]
    assert {ax.images[0].get_clim() for ax in axes.values()} == {(0.0, 1.0)}
    assert len(figure.axes) == 6
    cat = real.select(stimuli=[row for row, label in enumerate(real.labels) if label == "cat"])
    drawn = axes["cat"].images[0].get_array().filled(np.nan)
    np.testing.assert_allclose(drawn, real_map.raster(cat, "grid"), atol=1e-12, equal_nan=True)
    with pytest.raises(WrongInput, match="labels hold 2 for 60 stimuli: give one for each"):
        real_map.draw_situations(["a", "a"])


def test_points_layers_and_outlines_are_drawn(real: Responses, real_map: ResponseMap) -> None:
    points = real_map.draw(real.stimuli[0], method="points")
    assert len(points.collections[-1].get_offsets()) == placed(real_map).sum()
    layers = real_map.draw_layers()
    assert [text.get_text() for text in layers.get_legend().get_texts()] == ["stem", "blocks.1"]
    axes = real_map.draw(real.stimuli[0], resolution=60)
    before = len(axes.collections)
    real_map.outline_layers(axes, resolution=60)
    assert len(axes.collections) > before
    axes.figure.canvas.draw()


def test_a_film_has_a_frame_for_each_stimulus(real: Responses, real_map: ResponseMap, tmp_path: Path) -> None:
    from PIL import Image

    real_map.film(tmp_path / "film.gif", real.select(stimuli=[0, 20, 40]), method="grid")
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 3
        first = np.asarray(film.convert("RGB")).copy()
        film.seek(2)
        assert not np.array_equal(first, np.asarray(film.convert("RGB")))


def test_masks_blank_more_or_less(real: Responses, real_map: ResponseMap) -> None:
    blank = {
        mask: np.isnan(real_map.raster(real.stimuli[0], resolution=80, mask=mask)).sum()
        for mask in ("none", "hull", "near")
    }
    assert blank["none"] == 0 < blank["hull"]
    assert blank["near"] != blank["hull"]
    with pytest.raises(UnknownName, match="no mask 'hul': did you mean 'hull'"):
        real_map.raster(real.stimuli[0], mask="hul")


def test_a_further_map_is_a_look_up(real: Responses, real_map: ResponseMap) -> None:
    real_map.raster(real.stimuli[0], resolution=50)
    made = real_map._rasters[50, "hull"]
    real_map.raster(real.stimuli[1], "linear", 50)
    assert real_map._rasters[50, "hull"] is made


def test_copies_are_laid_out_once_and_told(real: Responses, rng: np.random.Generator) -> None:
    part = real.select(units=list(range(30)))
    twice = Responses(
        np.concatenate([part.values, part.values[:, :5]], axis=1),
        (*part.units, *(Unit("flatten", index) for index in range(5))),
        part.stimuli,
        part.labels,
    )
    fitted = ResponseMap().fit(twice)
    varying = [unit for unit in range(5) if not correlation.is_constant(part.values[:, unit])]
    assert fitted.copies == {part.units[unit]: Unit("flatten", unit) for unit in varying}
    assert any(f"{len(varying)} of 35 units are copies of another" in note for note in fitted.notes)
    assert np.array_equal(fitted.positions[30:], fitted.positions[:5], equal_nan=True)
    alone = ResponseMap().fit(part)
    assert fitted.positions[:30].tobytes() == alone.positions.tobytes()
    order = rng.permutation(35)
    other = ResponseMap().fit(twice.select(units=order.tolist()))
    assert other.positions.tobytes() == fitted.positions[order].tobytes()
    apart = ResponseMap(merge=False).fit(twice)
    assert apart.copies == {}
    assert (apart.neighbours.correlations[30:, 0][varying] == 1).all()
    cells = fitted.equal_area().positions
    assert np.array_equal(cells[30:], cells[:5], equal_nan=True)


def test_units_are_added_to_a_map_that_stays(real: Responses) -> None:
    some, rest = real.select(units=list(range(0, 56, 2))), real.select(units=list(range(1, 56, 2)))
    fitted = ResponseMap(perplexity=8).fit(some)
    joint = fitted.add(rest)
    assert joint.positions[:28].tobytes() == fitted.positions.tobytes()
    assert joint.units == (*some.units, *rest.units)
    varying = [unit for unit in range(28) if not correlation.is_constant(rest.values[:, unit])]
    assert np.isfinite(joint.positions[28:][varying]).all()
    assert "were added to a map of" in joint.notes[-1]
    full = correlation.matrix(
        np.concatenate([some.values, rest.values], axis=1)[:, [*np.flatnonzero(placed(fitted)), 28 + varying[3]]],
        "spearman",
    )
    nearest = np.flatnonzero(placed(fitted))[int(np.argmax(full[-1, :-1]))]
    distance = np.linalg.norm(joint.positions[:28] - joint.positions[28 + varying[3]], axis=1)
    assert distance[nearest] < np.nanmedian(distance)
    joint.draw(some.stimuli[0], resolution=20)
    with pytest.raises(WrongInput, match="responses hold 28 units that are on the map already"):
        fitted.add(some)
    with pytest.raises(WrongInput, match="responses are of other stimuli"):
        fitted.add(rest.select(stimuli=[0, 1]))


def test_a_map_like_an_earlier_one_stays_where_it_was(real: Responses) -> None:
    halves = [real.select(stimuli=list(range(start, 60, 2))) for start in (0, 1)]
    earlier = ResponseMap().fit(halves[0])
    cold, warm = ResponseMap().fit(halves[1]), ResponseMap().fit(halves[1], like=earlier)
    both = placed(earlier) & placed(warm)

    def moved(one: ResponseMap) -> float:
        return float(np.sqrt(np.mean((one.positions[both] - earlier.positions[both]) ** 2)))

    assert moved(warm) < 0.8 * moved(cold.onto(earlier)) <= 0.8 * moved(cold) + 1e-9
    assert np.abs(warm.positions[both]).max() <= 1
    with pytest.raises(WrongInput, match="like holds none of the 52 units that are laid out"):
        ResponseMap().fit(
            real,
            like=ResponseMap().fit(
                Responses(
                    real.values,
                    tuple(Unit("other", u.index + 99) for u in real.units[:1])
                    + tuple(Unit("other", index) for index in range(1, 56)),
                    real.stimuli,
                    real.labels,
                )
            ),
        )


def test_a_balanced_map_weighs_layers_alike(real: Responses) -> None:
    assert ResponseMap(balanced=True).fit(real).positions.tobytes() != ResponseMap().fit(real).positions.tobytes()
    with pytest.raises(WrongInput, match="balanced=True goes with layout 'tsne' alone, not with 'pca'"):
        ResponseMap(layout="pca", balanced=True)


def test_opposite_units_lie_together_where_the_sign_does_not_count(make: Make, rng: np.random.Generator) -> None:
    base = rng.normal(size=(80, 10))
    values = np.concatenate([base, -base + 0.01 * rng.normal(size=base.shape)], axis=1)
    fitted = ResponseMap(absolute=True, perplexity=3).fit(make(values))
    assert (fitted.neighbours.indices[:10, 0] == np.arange(10, 20)).all()
    assert (fitted.neighbours.correlations[:10, 0] < -0.9).all()
    near = np.linalg.norm(fitted.positions[:10] - fitted.positions[10:], axis=1)
    assert np.median(near) < 0.3


def test_quality_and_reliability_name_their_numbers(real: Responses, real_map: ResponseMap) -> None:
    assert set(real_map.quality) == {
        "k", "trustworthiness", "continuity", "recall", "correlation", "moran", "moran_null", "moran_p",
    }  # fmt: skip
    assert real_map.quality["moran"] > 0.3 > abs(real_map.quality["moran_null"])
    found = ResponseMap(perplexity=10).fit(real).reliability()
    assert set(found) == {
        "seeds_disparity", "seeds_overlap", "halves_disparity", "halves_overlap",
        "held_out_moran", "held_out_moran_null", "held_out_moran_p",
    }  # fmt: skip
    assert found["seeds_disparity"] < found["halves_disparity"]
    assert found["held_out_moran"] > found["held_out_moran_null"]


def test_labels_are_situations(real: Responses, real_map: ResponseMap) -> None:
    found = real_map.situations()
    assert found.names == ("astronaut", "cat", "coffee", "palace", "flower")
    unit = int(found.most_selective("cat", 1)[0])
    assert found.accuracy[1, unit] > 0.75


def test_added_copies_share_a_place_and_no_unit_hides_another(real: Responses) -> None:
    some = real.select(units=list(range(30)))
    again = Responses(some.values, tuple(Unit("z", index) for index in range(30)), some.stimuli, some.labels)
    fitted = ResponseMap(perplexity=8).fit(some)
    joint = fitted.add(again)
    assert joint.positions.tobytes() == np.concatenate([fitted.positions, fitted.positions]).tobytes()
    assert {str(copy): str(own) for copy, own in joint.copies.items()} == {
        f"z:{index}": str(some.units[index]) for index in np.flatnonzero(placed(fitted))
    }
    scores = {name: value for name, value in joint.quality.items() if "moran" not in name}
    assert scores == {name: fitted.quality[name] for name in scores}
    others = real.select(units=list(range(30, 56)))
    more = joint.add(others)
    apart = np.unique(more.positions[placed(more) & ~np.isin(np.arange(86), list(range(30, 60)))], axis=0)
    assert len(apart) == len({unit for unit in more.units if unit.layer != "z" and unit not in more.constant})
    order = np.random.default_rng(0).permutation(26).tolist()
    shuffled = joint.add(others.select(units=order))
    assert shuffled.positions[60:].tobytes() == more.positions[60:][order].tobytes()


def test_another_scale_needs_no_other_map_and_other_settings_are_another_map(
    real: Responses, real_map: ResponseMap
) -> None:
    scaled = replace(real_map, scale="deviation")
    assert np.array_equal(
        scaled.normalise("cat"), ResponseMap(scale="deviation").fit(real).normalise("cat"), equal_nan=True
    )
    assert scaled.positions is real_map.positions
    with pytest.raises(WrongInput, match="not fitted"):
        _ = replace(real_map, correlation="pearson").quality


def test_stimuli_come_by_name_by_class_and_several_at_once(real: Responses, real_map: ResponseMap) -> None:
    cats = [row for row, label in enumerate(real.labels) if label == "cat"]
    expected = real_map.normalise(real.values[cats])
    for values in (
        "cat",
        [real.stimuli[row] for row in cats],
        ["cat", real.stimuli[cats[0]]],
        real.select(stimuli=cats),
    ):
        np.testing.assert_allclose(real_map.normalise(values), expected, atol=1e-12)
    with pytest.raises(UnknownName, match="no stimulus 'catt'"):
        real_map.draw(["cat", "catt"])


def test_names_and_outlines_go_by_what_was_drawn(real: Responses, real_map: ResponseMap) -> None:
    unit = int(np.flatnonzero(placed(real_map))[5])
    on_cells = real_map.equal_area().positions[unit]
    for method, expected in (
        ("grid", on_cells),
        ("nearest", real_map.positions[unit]),
        ("points", real_map.positions[unit]),
    ):
        axes = real_map.draw(real.stimuli[0], method=method, resolution=60)
        real_map.name_units(axes, [real.units[unit]])
        assert [tuple(text.xy) for text in axes.texts] == [tuple(expected)]
    with pytest.raises(WrongInput, match="ax shows the map as points, which have no regions"):
        real_map.outline_layers(axes)
    with pytest.raises(WrongInput, match="ax shows no map: draw one on it first"):
        real_map.outline_layers(real_map.draw_layers())
    with pytest.raises(UnknownName, match="no unit 'stem:99'"):
        real_map.name_units(axes, ["stem:99"])


def test_an_equal_area_map_is_drawn_as_its_cells(real: Responses, real_map: ResponseMap) -> None:
    for shape in ("square", "disc"):
        cells = real_map.equal_area(shape)
        picture = cells.raster(real.stimuli[0])
        assert np.isfinite(picture).sum() == placed(real_map).sum()
        assert np.array_equal(picture, cells.raster(real.stimuli[0], "grid"), equal_nan=True)


def test_a_map_of_the_same_units_twice_is_refused(make: Make, rng: np.random.Generator) -> None:
    table = make(rng.normal(size=(20, 4)))
    twice = Responses(table.values, (*table.units[:3], table.units[0]), table.stimuli, table.labels)
    with pytest.raises(WrongInput, match="responses hold 1 units twice, first 'layer:0'"):
        ResponseMap().fit(twice)
    with pytest.raises(WrongInput, match="method 'points' is for draw alone: use nearest, linear, grid"):
        ResponseMap().fit(table).raster("s0", "points")


@pytest.mark.parametrize("units", [8, 10, 15, 20])
def test_reliability_of_few_units_is_told_or_left_out(make: Make, units: int, rng: np.random.Generator) -> None:
    found = ResponseMap(layout="pca").fit(make(rng.normal(size=(40, units)))).reliability()
    assert 0 <= found["halves_overlap"] <= 1
    one_hot = np.zeros((20, units))
    one_hot[np.arange(20) % units if units < 20 else np.arange(20), np.arange(20) % units] = 1
    sparse = ResponseMap(layout="pca").fit(make(one_hot * rng.uniform(1, 2, (20, 1)))).reliability()
    assert all(np.isfinite(value) for value in sparse.values())


def test_an_earlier_place_of_any_copy_is_kept(real: Responses) -> None:
    part = real.select(units=list(range(24, 56)))
    earlier = ResponseMap(perplexity=8).fit(part)
    twin = Responses(part.values, tuple(Unit("a", unit.index) for unit in part.units), part.stimuli, part.labels)
    again = ResponseMap(perplexity=8).fit(Responses.merge([twin, part]), like=earlier)
    moved = np.linalg.norm(again.places_of(part.units) - earlier.positions, axis=1)
    assert np.nanmean(moved) < 0.1
