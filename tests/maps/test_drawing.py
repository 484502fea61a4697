"""What stands on the Axes: colours of pixels, names, outlines, legends."""

from __future__ import annotations

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps import drawing
from neuronatlas.maps.drawing import axes as module
from neuronatlas.maps.drawing.colouring import DIVERGING, LAYER_COLOURS, OTHER_COLOUR, SEQUENTIAL
from neuronatlas.maps.raster import Raster
from neuronatlas.maps.scale import LEGENDS, symmetric_limit

PLAIN = drawing.Colouring("numbers", 0.0, 1.0)


def pixels(ax: Axes) -> np.ndarray:
    """The figure as drawn, its lowest row first."""
    ax.figure.canvas.draw()
    return np.asarray(ax.figure.canvas.buffer_rgba())[::-1, :, :3]


def colour_at(ax: Axes, x: float, y: float) -> tuple[int, ...]:
    shown = pixels(ax)
    column, row = ax.transData.transform((x, y))
    return tuple(int(level) for level in shown[int(row), int(column)])


def bytes_of(colour: object) -> tuple[int, ...]:
    return tuple(round(255 * level) for level in mpl.colors.to_rgb(colour))


def test_a_picture_lies_where_its_units_lie() -> None:
    picture = np.array([[0.0, 0.25], [0.75, np.nan]])
    ax = drawing.new_axes(60, 60)
    drawing.draw_picture(ax, picture, PLAIN)
    for (x, y), value in {(-0.5, -0.5): 0.0, (0.5, -0.5): 0.25, (-0.5, 0.5): 0.75}.items():
        assert colour_at(ax, x, y) == pytest.approx(bytes_of(mpl.colormaps[SEQUENTIAL](value)), abs=1)
    assert colour_at(ax, 0.5, 0.5) == (255, 255, 255)


def test_what_is_blank_is_told_from_what_is_near_zero() -> None:
    picture = np.full((3, 3), np.nan)
    picture[1, 1] = 0.0
    ax = drawing.new_axes(60, 60)
    drawing.draw_picture(ax, picture, drawing.about_zero("effect", picture))
    assert colour_at(ax, 0, 0) == pytest.approx((247, 247, 247), abs=1)
    assert colour_at(ax, 0.8, 0) == (255, 255, 255)
    assert max(colour_at(ax, -1 / 3, 0)) < 225
    plain = drawing.new_axes(60, 60)
    drawing.draw_picture(plain, picture, PLAIN)
    assert {tuple(colour) for colour in pixels(plain).reshape(-1, 3)} <= {
        (255, 255, 255),
        bytes_of(mpl.colormaps[SEQUENTIAL](0.0)),
    }


def test_points_have_the_colours_of_their_values(rng: np.random.Generator) -> None:
    positions = np.array([[-0.5, 0.0], [0.0, 0.0], [0.5, 0.0], [0.0, 0.5]])
    ax = drawing.new_axes()
    drawing.draw_points(ax, positions, np.array([0.0, 0.5, 7.0, np.nan]), PLAIN)
    for x, value in ((-0.5, 0.0), (0.0, 0.5), (0.5, 1.0)):
        assert colour_at(ax, x, 0.0) == pytest.approx(bytes_of(mpl.colormaps[SEQUENTIAL](value)), abs=1)
    assert colour_at(ax, 0.0, 0.5) == bytes_of(OTHER_COLOUR)


def test_infinite_values_have_the_colours_of_the_ends() -> None:
    values = np.array([-np.inf, 0.5, np.inf, np.nan])
    colouring = drawing.about_zero("effect", values)
    picture, dots = drawing.new_axes(60, 60), drawing.new_axes(60, 60)
    shown = drawing.draw_picture(picture, values.reshape(2, 2), colouring)
    places = np.array([[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]])
    drawing.draw_points(dots, places, values, colouring)
    for (x, y), share in zip(places[[0, 2]], (0.0, 1.0), strict=True):
        for ax in (picture, dots):
            assert colour_at(ax, x, y) == pytest.approx(bytes_of(mpl.colormaps[DIVERGING](share)), abs=1)
    assert colour_at(picture, 0.5, 0.5) == (255, 255, 255)
    assert colour_at(dots, 0.5, 0.5) == bytes_of(OTHER_COLOUR)
    assert drawing.add_legend(shown, [picture], colouring, values).extend == "both"


def test_the_strongest_of_two_at_one_place_lies_above() -> None:
    for values in ([0.1, -0.9], [-0.9, 0.1]):
        ax = drawing.new_axes(60, 60)
        colouring = drawing.Colouring("d", -1.0, 1.0, DIVERGING)
        drawing.draw_points(ax, np.zeros((2, 2)), np.array(values), colouring)
        assert colour_at(ax, 0, 0) == pytest.approx(bytes_of(mpl.colormaps[DIVERGING](0.05)), abs=1)


def test_density_counts_the_units(rng: np.random.Generator) -> None:
    positions = rng.uniform(-1, 1, (500, 2))
    ax = drawing.new_axes()
    shown = np.asarray(drawing.draw_density(ax, positions, 8).get_array())
    assert np.nansum(shown) == 500
    inside = ((positions >= [0.5, -1.0]) & (positions < [0.75, -0.75])).all(axis=1)  # column 6, row 0
    assert np.nan_to_num(shown[0, 6]) == inside.sum()
    assert "8 x 8 squares" in ax.figure.axes[1].get_ylabel()
    few = drawing.new_axes()
    drawing.draw_density(few, np.array([[0.1, 0.1]] + [[-0.6, -0.6]] * 500), 4)
    assert max(colour_at(few, 0.25, 0.25)) < 225
    assert colour_at(few, 0.75, 0.75) == (255, 255, 255)
    with pytest.raises(WrongInput, match="cells 0 must be at least 1"):
        drawing.draw_density(ax, positions, 0)


def test_no_more_layers_are_coloured_than_can_be_told_apart() -> None:
    layers = [f"l{layer}" for layer in range(11) for _ in range(5 + (layer in {2, 9}))] + ["tiny"]
    colours = module.layer_colours(layers)
    assert list(colours) == [*(f"l{layer}" for layer in range(11)), "tiny"]
    coloured = {layer for layer, colour in colours.items() if colour != OTHER_COLOUR}
    assert coloured == {"l0", "l1", "l2", "l3", "l4", "l5", "l6", "l9"}
    assert [colours[layer] for layer in colours if layer in coloured] == list(LAYER_COLOURS)
    ax = drawing.new_axes()
    drawing.draw_layers(ax, np.zeros((len(layers), 2)), layers)
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()][-1] == "4 other layers"


def test_layers_have_the_colours_of_the_legend() -> None:
    ax = drawing.new_axes()
    drawing.draw_layers(ax, np.array([[-0.5, 0.0], [0.5, 0.0]]), ["a", "$b_2$"])
    legend = ax.get_legend()
    assert legend is not None
    for x, handle, text in zip((-0.5, 0.5), legend.legend_handles, legend.get_texts(), strict=True):
        assert colour_at(ax, x, 0.0) == bytes_of(handle.get_color())
        assert not text.get_parse_math()


@pytest.mark.parametrize("kind", ["raster", "grid"])
def test_outlines_run_between_the_layers(kind: str) -> None:
    x, y = np.meshgrid(np.linspace(-0.9, 0.9, 10), np.linspace(-0.9, 0.9, 10))
    positions = np.stack([x.ravel(), y.ravel()], axis=1)
    layers = ["left" if place < 0 else "right" for place in positions[:, 0]]
    labels = Raster(positions, 200, "none").labels if kind == "raster" else drawing.equal_area_grid(positions).labels
    ax = drawing.new_axes()
    drawing.outline_layers(ax, labels, layers, only=["left"])
    (lines,) = ax.collections
    corners = lines.get_paths()[0].vertices
    assert corners.min(axis=0) == pytest.approx([-1, -1], abs=0.02)
    assert corners.max(axis=0) == pytest.approx([0, 1], abs=0.02)
    assert to_hex(lines.get_edgecolor()[0]).upper() == LAYER_COLOURS[0]
    both = drawing.new_axes()
    drawing.outline_layers(both, labels, layers)
    assert len(both.collections) == 2


def test_only_the_layers_asked_for_are_outlined() -> None:
    names = [f"blocks.{layer}" for layer in range(12)]
    layers = [name for name in names for _ in range(3)] + ["blocks.1"]
    labels = np.arange(36).reshape(6, 6)
    for only, expected in (
        ("blocks.11", ["blocks.11"]),
        (["blocks.11"], ["blocks.11"]),
        (("blocks.11", "blocks.0"), ["blocks.0", "blocks.11"]),
    ):
        ax = drawing.new_axes()
        drawing.outline_layers(ax, labels, layers, only)
        colours = [to_hex(lines.get_edgecolor()[0]).upper() for lines in ax.collections]
        assert colours == list(LAYER_COLOURS[: len(expected)])
        legend = ax.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == expected
    with pytest.raises(UnknownName, match=r"no layer 'blocks\.12': did you mean 'blocks"):
        drawing.outline_layers(drawing.new_axes(), labels, layers, ["blocks.0", "blocks.12"])


@pytest.mark.parametrize(("side", "name"), [(120, "blocks.{}:$7$"), (60, "b.{}:"), (60, "b.{}:\nsecond")])
def test_names_point_at_their_units_and_do_not_overlap(side: int, name: str, rng: np.random.Generator) -> None:
    positions = rng.uniform(-1, 1, (100, 2))
    positions[:14] = rng.normal(0.3, 0.01, (14, 2))  # in a crowd
    ax = drawing.new_axes(1.4 * side, side)
    module._frame(ax)
    count = 14 if side > 100 else 8
    drawing.name_units(ax, positions, {unit: name.format(unit) for unit in range(count)})
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == count
    for text in ax.texts:
        unit = int(text.get_text().split(".")[1].split(":")[0])
        assert text.xy == pytest.approx(tuple(positions[unit]))
    words = [mpl.text.Text.get_window_extent(text) for text in ax.texts]
    assert not any(a.overlaps(b) for index, a in enumerate(words) for b in words[:index])
    with pytest.raises(WrongInput, match="names holds 25 units, more than the 24"):
        drawing.name_units(ax, positions, dict.fromkeys(range(25), "x"))
    positions[3, 1] = np.nan
    for unit in (3, 100, -1):
        with pytest.raises(
            WrongInput, match=f"names holds unit {unit} \\('b.3:'\\), which has no finite place among the 100"
        ):
            drawing.name_units(ax, positions, {0: "a", unit: "b.3:"})
    assert len(ax.texts) == count


@pytest.mark.parametrize("heights", [[0.0] * 12, [1.0] * 5, [-1.0, -1.0, 0.9, 0.95, 1.0], [0.2], []])
def test_heights_keep_apart_and_in_order(heights: list[float]) -> None:
    moved = module._spread(np.array(heights), 0.12)
    assert (np.diff(moved) >= 0.12 - 1e-9).all()
    assert (np.abs(moved) <= 1.33).all()
    assert moved[-1:].max(initial=0) <= 1.0
    if len(heights) == 1:
        assert moved.tolist() == heights


def test_colourings_say_what_they_show() -> None:
    assert drawing.levels("minmax") == drawing.Colouring(LEGENDS["minmax"], 0.0, 1.0, SEQUENTIAL)
    drawn = np.linspace(-2.0, 5.0, 200), np.array([np.nan, -9.0])
    for kind in ("deviation", "effect", "difference"):
        found = drawing.about_zero(kind, *drawn, percentile=90)
        assert found.high == -found.low == symmetric_limit(*drawn, percentile=90)
        assert found.legend == LEGENDS[kind]
        assert found.cmap == DIVERGING
    with pytest.raises(UnknownName, match="no scale 'effect'"):
        drawing.levels("effect")
    with pytest.raises(UnknownName, match="no kind 'levels'"):
        drawing.about_zero("levels")
    with pytest.raises(WrongInput, match=r"low 1.0 and high 1.0 must be finite, low below high"):
        drawing.Colouring("x", 1.0, 1.0)
    with pytest.raises(UnknownName, match="no cmap 'viridjs': did you mean 'viridis'"):
        _ = drawing.Colouring("x", cmap="viridjs").colours


@pytest.mark.parametrize(
    ("value", "word"), [(0.5, "neither"), (-0.1, "min"), (1.1, "max"), (np.nan, "neither"), (None, "both")]
)
def test_a_legend_points_at_what_lies_beyond(value: float | None, word: str) -> None:
    picture = np.array([[0.0, 1.0, value]]) if value is not None else np.array([[-1.0, np.nan, 2.0]])
    assert PLAIN.beyond(picture) == word
    ax = drawing.new_axes()
    bar = drawing.add_legend(drawing.draw_picture(ax, np.zeros((2, 2)), PLAIN), [ax], PLAIN, picture)
    assert bar.extend == word
    assert bar.ax.get_ylabel() == "numbers"


def test_a_long_legend_is_broken_to_fit() -> None:
    colouring = drawing.levels("percentile")
    figure, shown = drawing.small_multiples({"one": np.zeros((2, 2))}, colouring, width_mm=70)
    bar = figure.axes[-1]
    figure.canvas.draw()
    assert bar.get_ylabel().replace("\n", " ") == colouring.legend
    box = bar.yaxis.label.get_window_extent()
    assert box.y0 >= 0
    assert box.y1 <= figure.bbox.height
    assert list(shown) == ["one"]


def test_small_multiples_share_one_scale() -> None:
    pictures = {f"number {index} of $many$": np.full((3, 3), index * 1.0) for index in range(7)}
    colouring = drawing.Colouring("numbers", 0.0, 6.0)
    figure, axes = drawing.small_multiples(pictures, colouring)
    assert len(figure.axes) == 8  # one legend
    for index, (title, ax) in enumerate(axes.items()):
        assert colour_at(ax, 0.0, 0.0) == pytest.approx(bytes_of(mpl.colormaps[SEQUENTIAL](index / 6)), abs=1)
        assert ax.get_title().replace("\n", " ") == title
        assert not ax.title.get_parse_math()
    lefts = {round(ax.get_position().x0, 3) for ax in axes.values()}
    assert len(lefts) == 3
    wide = drawing.small_multiples(pictures, colouring, columns=7)[1]
    assert len({round(ax.get_position().y0, 3) for ax in wide.values()}) == 1
    with pytest.raises(WrongInput, match="pictures is empty"):
        drawing.small_multiples({}, colouring)
    with pytest.raises(WrongInput, match=r"room 0\.5 must be"):
        drawing.small_multiples(pictures, colouring, room=0.5)
    with pytest.raises(WrongInput, match="columns 0 must be"):
        drawing.small_multiples(pictures, colouring, columns=0)


LONG = (
    2 * "great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias, n01484850 of ILSVRC 2012"
)


@pytest.mark.parametrize("columns", [2, 4])
def test_long_titles_have_three_lines_and_room(columns: int) -> None:
    pictures = {f"{number} {LONG}": np.eye(3) for number in range(3)} | {"x" * 200: np.eye(3), "short": np.eye(3)}
    figure, axes = drawing.small_multiples(pictures, PLAIN, columns=columns)
    figure.canvas.draw()
    titles = [ax.get_title().split("\n") for ax in axes.values()]
    assert [len(lines) for lines in titles] == [3, 3, 3, 3, 1]
    assert all(lines[-1].endswith("…") for lines in titles[:4])
    boxes = [ax.title.get_window_extent() for ax in axes.values()]
    assert not any(a.overlaps(b) for index, a in enumerate(boxes) for b in boxes[:index])
    maps = [ax.get_window_extent() for ax in axes.values()]
    usual = (180.0 - 24.0) / columns / 25.4 * figure.dpi
    assert min(box.height for box in maps) > 0.85 * usual
    compared, three = drawing.first_against_second(
        {LONG: np.eye(3), LONG[::-1]: np.eye(3)}, np.eye(3), PLAIN, drawing.about_zero("effect")
    )
    compared.canvas.draw()
    shown = [ax.get_title().split("\n") for ax in three.values()]
    assert [len(lines) for lines in shown] == [3, 3, 2]
    assert [line[:8] for line in shown[2]] == [LONG[:8], f"− {LONG[::-1]}"[:8]]
    assert min(ax.get_window_extent().height for ax in three.values()) > 0.85 * 44.0 / 25.4 * compared.dpi


def test_first_against_second_has_two_legends() -> None:
    of_difference = drawing.about_zero("effect", np.array([[2.0]]))
    pictures = {"cats": np.full((2, 2), 0.9), "dogs": np.full((2, 2), 0.2)}
    figure, axes = drawing.first_against_second(pictures, np.full((2, 2), 0.7), PLAIN, of_difference)
    assert list(axes) == ["cats", "dogs", "cats − dogs"]
    expected = {
        "cats": mpl.colormaps[SEQUENTIAL](0.9),
        "dogs": mpl.colormaps[SEQUENTIAL](0.2),
        "cats − dogs": mpl.colormaps[DIVERGING]((0.7 + 2) / 4),
    }
    for title, ax in axes.items():
        assert colour_at(ax, 0.3, 0.3) == pytest.approx(bytes_of(expected[title]), abs=2)
    labels = {ax.get_ylabel().replace("\n", " ") for ax in figure.axes} - {""}
    assert labels == {"numbers", LEGENDS["effect"]}
    with pytest.raises(WrongInput, match="pictures holds 1 maps: give two"):
        drawing.first_against_second({"cats": np.zeros((2, 2))}, np.zeros((2, 2)), PLAIN, of_difference)


def test_drawing_loads_no_matplotlib_before_it_draws_and_never_pyplot() -> None:
    code = (
        "import sys, numpy as np; from neuronatlas.maps import drawing as d; assert 'matplotlib' not in sys.modules\n"
        "ax = d.new_axes(); d.draw_picture(ax, np.eye(3), d.levels('minmax')); ax.figure.canvas.draw()\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
