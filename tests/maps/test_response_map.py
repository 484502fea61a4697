from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from tests.maps.conftest import Make
from tests.reference import correlation
from tests.reference import response_map as reference

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps import ResponseMap, Responses
from neuronatlas.units import Unit


def silent(responses: Responses) -> list[int]:
    return [unit for unit in range(len(responses.units)) if correlation.is_constant(responses.values[:, unit])]


@pytest.mark.parametrize("method", ["spearman", "pearson"])
def test_neighbours_of_real_units_are_those_of_scipy(real: Responses, varying: Responses, method: str) -> None:
    found = ResponseMap(method, "pca").fit(real).neighbours
    full = correlation.matrix(varying.values, method)
    column = [real.units.index(unit) for unit in varying.units]
    best = correlation.neighbours(full, 20)
    for unit, others in zip(column, best, strict=True):
        listed = [column.index(other) for other in found.indices[unit, :20]]
        assert len(set(listed)) == 20
        # Which of two units that correlate equally comes first may not depend on where they stand in the table.
        row = full[column.index(unit)]
        np.testing.assert_allclose(row[listed], row[others], atol=1.1e-6)
        np.testing.assert_allclose(found.correlations[unit, :20], row[listed], atol=1e-6)
    # Placed units have all others as neighbours, up to 30 at least, and never a silent one.
    assert not set(silent(real)) & set(found.indices[column].ravel().tolist())
    assert (found.indices[column, : min(30, len(column) - 1)] >= 0).all()
    assert (found.indices[silent(real)] == -1).all()


@pytest.mark.parametrize("scale", ["percentile", "minmax"])
def test_levels_of_real_units_are_those_of_the_loop(real: Responses, scale: str) -> None:
    fitted = ResponseMap(layout="pca", scale=scale).fit(real)
    for rows in ([3], [0, 20, 59]):
        shown = real.values[rows] * 1.2
        np.testing.assert_allclose(
            fitted.normalise(shown), reference.normalise(real.values, shown, scale), atol=1e-12, equal_nan=True
        )


@pytest.mark.parametrize("circle", [False, True])
@pytest.mark.parametrize("method", ["nearest", "linear"])
def test_pictures_of_a_real_map_are_those_of_griddata(real_map: ResponseMap, method: str, circle: bool) -> None:
    fitted = real_map.circle() if circle else real_map
    placed = np.isfinite(fitted.positions[:, 0])
    name = fitted.responses.stimuli[7]
    levels = reference.normalise(fitted.responses.values, fitted.responses.values[[7]], "percentile")
    expected = reference.picture(fitted.positions[placed], levels[placed], method, 90)
    found = fitted.raster(name, method, 90)
    np.testing.assert_allclose(found, expected, atol=1e-6, equal_nan=True)
    assert np.nanmax(found) > 0.5 > np.nanmin(found)


def test_permuting_the_units_permutes_the_points(
    real: Responses, real_map: ResponseMap, tied: Responses, rng: np.random.Generator
) -> None:
    for responses in (real, tied):
        fitted = real_map if responses is real else ResponseMap().fit(responses)
        order = rng.permutation(len(responses.units))
        other = ResponseMap().fit(responses.select(units=order.tolist()))
        assert other.positions.tobytes() == fitted.positions[order].tobytes()
        assert other.circle().positions.tobytes() == fitted.circle().positions[order].tobytes()
        assert np.append(order, -1)[other.neighbours.indices].tolist() == fitted.neighbours.indices[order].tolist()
        assert np.array_equal(other.neighbours.correlations, fitted.neighbours.correlations[order])
        assert np.array_equal(other.high, fitted.high[order], equal_nan=True)
        picture = fitted.raster(responses.stimuli[2], resolution=40)
        assert np.array_equal(other.raster(responses.stimuli[2], resolution=40), picture, equal_nan=True)


def test_permuting_units_that_respond_alike_permutes_their_points(make: Make, rng: np.random.Generator) -> None:
    responses = make(np.repeat(rng.normal(size=(15, 4)), 5, axis=1))
    order = rng.permutation(20)
    first, second = ResponseMap().fit(responses), ResponseMap().fit(responses.select(units=order.tolist()))
    assert second.positions.tobytes() == first.positions[order].tobytes()


def test_the_seed_settles_the_map(real: Responses, real_map: ResponseMap) -> None:
    assert ResponseMap().fit(real).positions.tobytes() == real_map.positions.tobytes()
    other = ResponseMap(seed=1).fit(real)
    assert other.positions.tobytes() != real_map.positions.tobytes()
    assert other.neighbours.indices.tobytes() == real_map.neighbours.indices.tobytes()


def test_n2_constant_units_are_named_and_set_apart(make: Make, rng: np.random.Generator) -> None:
    values = rng.normal(size=(40, 12)).astype(np.float32)
    values[:, 3] = 0
    values[:, 7] = 1
    values[::2, 7] = np.nextafter(np.float32(1), np.float32(2))
    fitted = ResponseMap().fit(make(values))
    assert fitted.constant == (Unit("layer", 3), Unit("layer", 7))
    assert np.flatnonzero(np.isnan(fitted.positions).any(axis=1)).tolist() == [3, 7]
    assert "2 of 12 units never vary and have no place (first: layer:3)" in fitted.notes
    assert not {3, 7} & set(fitted.neighbours.indices.ravel().tolist())
    assert np.flatnonzero(np.isnan(fitted.normalise("s1"))).tolist() == [3, 7]
    assert np.flatnonzero(np.isnan(fitted.circle().positions).any(axis=1)).tolist() == [3, 7]
    without = ResponseMap().fit(make(values).select(units=[0, 1, 2, 4, 5, 6, 8, 9, 10, 11]))
    assert np.array_equal(without.positions, np.delete(fitted.positions, [3, 7], axis=0))


def test_a_silent_unit_of_a_real_network_is_found(real: Responses, real_map: ResponseMap) -> None:
    assert silent(real)
    assert real_map.constant == tuple(real.units[unit] for unit in silent(real))


def test_n1_responses_that_are_not_finite_are_masked_and_counted(make: Make, rng: np.random.Generator) -> None:
    values = rng.normal(size=(60, 12)).astype(np.float32)
    values[4, 1], values[5, 1], values[6, 2] = np.nan, np.inf, -np.inf
    values[:, 5] = np.nan
    fitted = ResponseMap().fit(make(values))
    assert fitted.missing.tolist() == [0, 2, 1, 0, 0, 60, 0, 0, 0, 0, 0, 0]
    assert "63 responses of 3 units are not finite: each counts as its unit's mean" in fitted.notes
    assert fitted.constant == (Unit("layer", 5),)
    assert np.isfinite(np.delete(fitted.positions, 5, axis=0)).all()
    assert np.isfinite(list(fitted.quality.values())).all()
    assert np.flatnonzero(np.isnan(fitted.normalise("s5"))).tolist() == [1, 5]
    assert np.isfinite(np.delete(fitted.normalise(make(values)), 5)).all()
    full = correlation.matrix_with_gaps(values, "spearman")
    assert (
        fitted.neighbours.indices[1, :9].tolist()
        == [other for other in correlation.neighbours(full, 10)[1] if other != 5][:9]
    )


@pytest.mark.parametrize("units", [1, 2, 3, 4, 5])
def test_n5_a_handful_of_units_is_placed_and_drawn(make: Make, units: int, rng: np.random.Generator) -> None:
    fitted = ResponseMap().fit(make(rng.normal(size=(30, units))))
    assert np.isfinite(fitted.positions).all()
    assert np.abs(fitted.positions).max() <= 1
    assert len(np.unique(fitted.positions, axis=0)) == units
    assert fitted.notes == (f"placed by principal components: t-SNE wants 8 units, the map has {units}",)
    assert fitted.quality == {}
    for drawn in (fitted, fitted.circle()):
        for method in ("nearest", "linear"):
            assert np.isfinite(drawn.raster("s0", method, 60)).mean() > 0.05
            drawn.draw("s0", method=method, resolution=20).figure.canvas.draw()


@pytest.mark.parametrize("values", [np.zeros((5, 0)), np.ones((5, 3)), np.zeros((0, 3)), np.ones((1, 3))])
def test_a_map_without_a_unit_that_varies_says_so(make: Make, values: np.ndarray) -> None:
    fitted = ResponseMap().fit(make(values))
    units = values.shape[1]
    assert np.isnan(fitted.positions).all()
    assert len(fitted.constant) == units
    assert fitted.notes == (
        (f"{units} of {units} units never vary and have no place (first: layer:0)",) if units else ()
    )
    assert fitted.circle().quality == {}
    with pytest.raises(WrongInput, match=f"none of the {units} units varies over the stimuli: fit the map to more"):
        fitted.draw(np.zeros(units))


def test_n5_a_lowered_perplexity_is_told(make: Make, real_map: ResponseMap, rng: np.random.Generator) -> None:
    few = make(rng.normal(size=(30, 16)))
    assert ResponseMap().fit(few).notes == ("perplexity lowered from 30 to 5: the map has 16 units",)
    assert ResponseMap(perplexity=5).fit(few).notes == ()
    assert ResponseMap(layout="pca").fit(few).notes == ()
    assert ResponseMap(perplexity=5).fit(few).positions.tobytes() == ResponseMap().fit(few).positions.tobytes()


@pytest.mark.parametrize("copies", [3, 30])
@pytest.mark.parametrize("layout", ["tsne", "pca"])
def test_n4_identical_units_have_finite_places(make: Make, layout: str, copies: int, rng: np.random.Generator) -> None:
    fitted = ResponseMap(layout=layout, merge=False).fit(make(np.repeat(rng.normal(size=(20, 1)), copies, axis=1)))
    assert np.isfinite(fitted.positions).all()
    assert (fitted.neighbours.correlations[:, : copies - 1] == 1).all()
    picture = fitted.raster("s0", resolution=20)
    assert np.nanmin(picture) == np.nanmax(picture) == fitted.normalise("s0")[0]


def test_one_outlying_stimulus_does_not_crush_the_others(make: Make, rng: np.random.Generator) -> None:
    values = rng.uniform(size=(150, 20))
    values[17] = 50
    spread = {}
    for scale in ("percentile", "minmax"):
        fitted = ResponseMap(layout="pca", scale=scale).fit(make(values))
        spread[scale] = np.std([fitted.normalise(f"s{index}") for index in range(150) if index != 17])
        assert (fitted.normalise("s17") == 1).all()
    assert spread["percentile"] > 0.2
    assert spread["minmax"] < 0.01


def test_values_come_as_name_array_or_responses_in_any_order(
    real: Responses, real_map: ResponseMap, rng: np.random.Generator
) -> None:
    expected = real_map.normalise(real.stimuli[4])
    order = rng.permutation(len(real.units)).tolist()
    assert not np.array_equal(expected, expected[order], equal_nan=True)
    for values in (real.values[4], real.values[[4]], real.values[4].astype(np.float64)):
        assert np.array_equal(real_map.normalise(values), expected, equal_nan=True)
    more = real.select(units=order, stimuli=[4])
    assert np.array_equal(real_map.normalise(more), expected, equal_nan=True)
    both = np.mean([expected, real_map.normalise(real.stimuli[9])], axis=0)
    np.testing.assert_allclose(real_map.normalise(real.select(units=order, stimuli=[4, 9])), both, atol=1e-12)
    picture = real_map.draw(more, resolution=30).images[0].get_array()
    assert np.ma.allequal(picture, real_map.draw(real.stimuli[4], resolution=30).images[0].get_array())


def test_values_that_do_not_fit_are_refused(real: Responses, real_map: ResponseMap) -> None:
    units = len(real.units)
    name = real.stimuli[0]
    with pytest.raises(UnknownName, match=f"no stimulus '{name}x': did you mean '{name}'"):
        real_map.draw(name + "x")
    with pytest.raises(WrongInput, match=f"values lack 2 of the {units} units of the map, first 'stem:1': record"):
        real_map.draw(real.select(units=[unit for unit in range(units) if unit not in (1, 5)]))
    for shape in ((units - 1,), (2, units + 1), (2, 2, units), (0, units)):
        with pytest.raises(WrongInput, match=r"values \(ndarray of shape .* must hold one number for each of the"):
            real_map.normalise(np.zeros(shape))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"correlation": "kendal"}, "no correlation 'kendal': there are pearson, spearman"),
        ({"correlation": "spearmen"}, "no correlation 'spearmen': did you mean 'spearman'"),
        ({"layout": "t-sne"}, "no layout 't-sne': did you mean 'tsne'"),
        ({"scale": "min-max"}, "no scale 'min-max': did you mean 'minmax'"),
        ({"perplexity": 0.0}, "perplexity 0.0 must be a number from 1"),
        ({"perplexity": float("nan")}, "perplexity nan must be a number from 1"),
        ({"seed": -1}, "seed -1 must be a whole number from 0 to 4294967295"),
        ({"seed": 2**32}, "seed 4294967296 must be a whole number"),
    ],
)
def test_settings_that_do_not_exist_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(WrongInput, match=message):
        ResponseMap(**settings)


def test_wrong_ways_to_draw_are_refused(real_map: ResponseMap) -> None:
    name = real_map.responses.stimuli[0]
    with pytest.raises(UnknownName, match="no method 'nearst': did you mean 'nearest'"):
        real_map.draw(name, method="nearst", resolution=20)
    with pytest.raises(UnknownName, match="no cmap 'viridus': did you mean 'viridis'"):
        real_map.draw(name, cmap="viridus")
    with pytest.raises(WrongInput, match="resolution 1 must be at least 2 pixels a side"):
        real_map.draw(name, resolution=1)
    for read in ("positions", "units", "quality", "notes"):
        with pytest.raises(WrongInput, match=r"not fitted: use the map that \.fit\(responses\) returns"):
            getattr(ResponseMap(), read)


def test_fitting_changes_neither_the_settings_nor_the_responses(real: Responses) -> None:
    before = real.values.copy()
    settings = ResponseMap("pearson", "pca", scale="minmax")
    fitted = settings.fit(real)
    assert np.array_equal(real.values, before)
    assert fitted.responses is real
    assert (fitted.correlation, fitted.layout, fitted.scale) == ("pearson", "pca", "minmax")
    with pytest.raises(WrongInput, match="not fitted"):
        _ = settings.positions


def test_drawing_returns_axes_with_one_numeric_legend_and_leaks_no_figure(real_map: ResponseMap) -> None:
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes

    name = real_map.responses.stimuli[0]
    before = plt.get_fignums()
    drawn = [real_map.draw(name, resolution=40, size=(3, 4)) for _ in range(3)]
    assert plt.get_fignums() == before
    assert len({id(axes.figure) for axes in drawn}) == 3
    axes = drawn[0]
    assert isinstance(axes, Axes)
    assert axes.figure.get_size_inches().tolist() == pytest.approx([3, 4])
    legends = [other for other in axes.figure.axes if other is not axes]
    assert [legend.get_ylabel().replace("\n", " ") for legend in legends] == [
        "response of each unit, 1st to 99th percentile = 0 to 1"
    ]
    axes.figure.canvas.draw()
    assert [float(label.get_text()) for label in legends[0].get_yticklabels()] == pytest.approx(
        [0, 0.2, 0.4, 0.6, 0.8, 1]
    )
    assert legends[0].get_ylim() == (0, 1)
    assert real_map.draw(name, resolution=20, legend=False).figure.axes[1:] == []
    by_extremes = ResponseMap(layout="pca", scale="minmax").fit(real_map.responses).draw(name, resolution=20)
    assert by_extremes.figure.axes[1].get_ylabel().replace("\n", " ") == "response of each unit, least to most = 0 to 1"


def test_a_unit_has_its_colour_where_it_stands(make: Make) -> None:
    """Three units in a triangle, the picture looked up pixel by pixel as it is saved."""
    values = np.array([[0.0, 5.0, 0.0], [1.0, 0.0, 0.3], [0.2, 1.0, 1.0], [0.9, 4.0, 0.1], [0.4, 2.0, 0.6]])
    fitted = ResponseMap().fit(make(values))
    axes = fitted.draw("s0", cmap="gray", resolution=200, legend=False)
    axes.figure.canvas.draw()
    pixels = np.asarray(axes.figure.canvas.buffer_rgba())
    levels = fitted.normalise("s0")
    assert levels.tolist() == [0, 1, 0]
    for place, level in zip(fitted.positions, levels, strict=True):
        column, row = axes.transData.transform(0.97 * place + 0.03 * fitted.positions.mean(axis=0))
        assert pixels[len(pixels) - 1 - int(row), int(column), 0] == pytest.approx(255 * level, abs=2)


def test_drawing_into_given_axes_leaves_the_others(real_map: ResponseMap) -> None:
    from matplotlib.figure import Figure

    left, right = Figure().subplots(1, 2)
    assert real_map.draw(real_map.responses.stimuli[0], ax=right, legend=False, resolution=20) is right
    assert len(right.images) == 1
    assert not left.images


def test_a_new_resolution_is_a_new_picture(real_map: ResponseMap) -> None:
    name = real_map.responses.stimuli[0]
    first = real_map.raster(name, resolution=21)
    assert real_map.raster(name, resolution=41).shape == (41, 41)
    assert np.array_equal(real_map.raster(name, resolution=41)[::2, ::2], first, equal_nan=True)
    assert np.array_equal(real_map.raster(name, resolution=21), first, equal_nan=True)


def test_importing_maps_loads_no_heavy_package() -> None:
    script = "import sys, neuronatlas.maps; print({'torch', 'matplotlib', 'scipy', 'openTSNE', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def awkward(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Tables that break maps elsewhere: 24 units."""
    values = rng.normal(size=(40, 24))
    if kind == "two stimuli":
        return values[:2]
    if kind == "half constant":
        values[:, ::2] = 3.0
    if kind == "large mean, small spread":
        return 1e4 + 1e-2 * values
    if kind == "one outlier":
        values[7] = 1e6
    if kind == "one unit answers to one stimulus":
        values[:, 0] = 0
        values[3, 0] = 1
    if kind == "holes":
        values[rng.random(values.shape) < 0.3] = np.nan
        values[rng.random(values.shape) < 0.1] = np.inf
    return values


@pytest.mark.parametrize("layout", ["tsne", "umap", "pacmap", "mds", "pca"])
@pytest.mark.parametrize(
    "kind",
    [
        "two stimuli", "half constant", "large mean, small spread", "one outlier", "one unit answers to one stimulus",
        "holes",
    ],
)  # fmt: skip
def test_n1_to_n6_awkward_tables_give_whole_maps(make: Make, kind: str, layout: str, rng: np.random.Generator) -> None:
    values = awkward(kind, rng).astype(np.float32)
    fitted = ResponseMap(layout=layout).fit(make(values))
    varying = [unit for unit in range(24) if not correlation.is_constant(values[:, unit])]
    assert np.flatnonzero(np.isfinite(fitted.positions).all(axis=1)).tolist() == varying
    assert np.nanmax(np.abs(fitted.positions)) <= 1
    assert np.isfinite(list(fitted.quality.values())).all()
    if kind == "half constant":
        assert "12 of 24 units never vary and have no place (first: layer:0)" in fitted.notes
    if kind == "holes":
        assert any("are not finite" in note for note in fitted.notes)
    for method in ("nearest", "linear", "grid"):
        picture = fitted.raster(values[:1], method, 30)
        assert np.isfinite(picture).any()
        assert np.nanmin(picture) >= 0
        assert np.nanmax(picture) <= 1
