"""Figures show what the scene holds, in millimetres, the same bytes every time."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps.drawing import save_figure
from neuronatlas.view.figures import (
    contact_sheet,
    film_figure,
    grid_figure,
    layer_figures,
    map_figure,
    unit_figure,
)
from neuronatlas.view.figures.values import of_class, of_stimulus, scaled
from neuronatlas.view.scene import Scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    from tests.page.synthetic import make_scene

    return make_scene()


def words(figure) -> list[str]:
    from matplotlib.text import Text

    return [each.get_text() for each in figure.findobj(Text) if each.get_text() and each.get_visible()]


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def by_hand(scene: Scene, rows: list[int], unit: int) -> float:
    """The mean over some stimuli of a unit's responses between its 1st and 99th percentile, number by number."""
    known = sorted(value for value in scene.responses[:, unit].tolist() if value == value)
    low, high = (float(np.percentile(np.array(known, np.float32), percent)) for percent in (1, 99))
    shares = [min(max((scene.responses[row, unit] - low) / (high - low), 0), 1) for row in rows]
    return sum(shares) / len(shares)


def test_responses_are_those_of_the_stimulus_and_means_those_of_the_class(scene: Scene) -> None:
    photographs = [k for k, stimulus in enumerate(scene.stimuli) if stimulus.label == "photographs"]
    alone, together = scaled(scene, of_stimulus(scene, "photo-3.png"), of_class(scene, "photographs"))
    for unit in (0, 56, 130, 299):
        assert alone[unit] == pytest.approx(by_hand(scene, [15], unit), abs=1 / 254)
        assert together[unit] == pytest.approx(by_hand(scene, photographs, unit), abs=1 / 254)


def test_a_difference_has_zero_in_the_middle_of_its_colours(scene: Scene) -> None:
    figure = map_figure(scene, label="photographs", minus="gratings")
    first, second = scaled(scene, of_class(scene, "photographs"), of_class(scene, "gratings"))
    (points,) = [
        each
        for axes in figure.axes
        for each in axes.collections
        if each.get_array() is not None and len(each.get_offsets()) > 100
    ]
    placed = np.flatnonzero(np.isfinite(scene.positions).all(1))
    shown = {
        tuple(np.round(place, 5)): value for place, value in zip(points.get_offsets(), points.get_array(), strict=True)
    }
    for unit in placed[::17]:
        value = shown[tuple(np.round(scene.positions[unit].astype(float), 5))]
        assert value == pytest.approx(first[unit] - second[unit])
    low, high = points.get_clim()
    assert low == -high


def test_a_map_by_layer_has_every_unit_with_a_place_and_names_the_layers(scene: Scene) -> None:
    figure = map_figure(scene)
    count = sum(len(each.get_offsets()) for axes in figure.axes[:1] for each in axes.collections)
    assert count == np.isfinite(scene.positions).all(1).sum()
    assert {"features.0", "blocks.2.dw", "head"} <= {text.replace("\\", "") for text in words(figure)}


@pytest.mark.parametrize("kind", ["pdf", "svg", "png"])
def test_sizes_are_in_millimetres_and_bytes_are_the_same(scene: Scene, tmp_path: Path, kind: str) -> None:
    for name in ("one", "two"):
        save_figure(map_figure(scene, stimulus="photo-3.png", width_mm=90), tmp_path / f"{name}.{kind}", width_mm=90)
    content = (tmp_path / f"one.{kind}").read_bytes()
    assert content == (tmp_path / f"two.{kind}").read_bytes()
    if kind == "pdf":
        width = float(re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", content)[1]) / 72 * 25.4
    elif kind == "svg":
        width = float(re.search(rb'width="([\d.]+)pt"', content)[1]) / 72 * 25.4
    else:
        width = size_of(tmp_path / "one.png")[0] / 300 * 25.4
    assert width == pytest.approx(90, abs=0.1)


def test_names_are_shown_as_they_are_and_fit(scene: Scene) -> None:
    stimuli = list(scene.stimuli)
    stimuli[0] = replace(stimuli[0], name="$x^2$ <b>&amp; " + "long " * 40)
    figure = map_figure(replace(scene, stimuli=tuple(stimuli)), stimulus=stimuli[0].name, width_mm=90)
    figure.draw_without_rendering()
    from matplotlib.text import Text

    shown = [each for each in figure.findobj(Text) if "x^2" in each.get_text()]
    assert shown
    for each in shown:
        assert not each.get_parse_math() or "\\$" in each.get_text()
        box = each.get_window_extent()
        assert box.x0 >= -1
        assert box.x1 <= figure.bbox.width + 1


def test_pictures_lie_on_a_map_without_overlap(scene: Scene) -> None:
    figure = map_figure(scene, pictures=10)
    figure.draw_without_rendering()
    boxes = [axes.get_window_extent() for axes in figure.axes[1:] if axes.images]
    boxes += [image.get_window_extent() for image in figure.axes[0].images]
    assert 5 <= len(boxes) <= 10
    for number, one in enumerate(boxes):
        for other in boxes[:number]:
            assert one.x1 <= other.x0 + 1 or other.x1 <= one.x0 + 1 or one.y1 <= other.y0 + 1 or other.y1 <= one.y0 + 1


def test_a_film_has_a_map_a_stimulus_on_one_scale(scene: Scene) -> None:
    figure = film_figure(scene, ["photo-3.png", "noise 2"], ["gratings"], columns=3)
    maps = [axes.images[0] for axes in figure.axes if axes.images and axes.images[0].get_array().ndim == 2]
    maps = maps[:3]
    assert len(maps) == 3
    assert len({image.get_clim() for image in maps}) == 1


def test_the_sheet_shows_rendered_units_of_each_layer_from_the_first_to_the_last(scene: Scene) -> None:
    layers = [
        layer.name for layer in scene.layers if any(scene.units[unit].layer == layer.name for unit in scene.pictures)
    ]
    said = " ".join(words(contact_sheet(scene, layers[:2], columns=3, rows=1)))
    for layer in layers[:2]:
        rendered = [unit for unit in sorted(scene.pictures) if scene.units[unit].layer == layer]
        for unit in (rendered[0], rendered[-1]):
            assert f"{scene.pictures[unit].score:.3g}" in said


def test_a_layer_is_paged_and_every_picture_is_on_a_page(scene: Scene) -> None:
    rendered = [unit for unit in scene.pictures if scene.units[unit].layer == "blocks.2.dw"]
    pages = list(layer_figures(scene, "blocks.2.dw", columns=3, rows=2))
    assert len(pages) == -(-len(rendered) // 6)
    assert sum(len(axes.images) for page in pages for axes in page.axes) == len(rendered)


def test_the_sheet_of_a_unit_has_its_stimuli_and_its_neighbours(scene: Scene) -> None:
    said = " ".join(words(unit_figure(scene, "blocks.2.dw:8")))
    best = int(np.argmax(scene.responses[:, 56]))
    assert f"{scene.responses[best, 56]:.3g}" in said
    assert f"{scene.correlations[56, 0]:.2f}" in said
    assert str(scene.units[scene.neighbours[56, 0]]).split(":")[-1] in said


def drawn_texts(figure):
    """Every text that is seen: of the ticks those within the Axes alone."""
    found = []
    for axes in figure.axes:
        found += axes.texts
        if axes.axison:
            found += [axes.xaxis.label, axes.yaxis.label, axes.xaxis.offsetText, axes.yaxis.offsetText]
            for axis in (axes.xaxis, axes.yaxis):
                low, high = sorted(axis.get_view_interval())
                found += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for text in found if text.get_text().strip()]


@pytest.mark.parametrize("width", [60, 90, 180])
def test_no_text_of_a_sheet_leaves_the_page_lies_on_other_text_or_is_too_small(scene: Scene, width: float) -> None:
    stimuli = tuple(
        replace(each, name=f"$\\frac{{{each.name}", label=each.label and f"${each.label * 8}$")
        for each in scene.stimuli
    )
    hostile = replace(scene, stimuli=stimuli)
    for unit in (scene.units[56], scene.units[100], scene.units[5], scene.units[17]):
        figure = unit_figure(hostile, unit, width_mm=width)
        figure.draw_without_rendering()
        shown = drawn_texts(figure)
        assert len(shown) > 20
        assert min(each.get_fontsize() for each in shown) >= 5
        boxes = [each.get_window_extent().padded(-0.5) for each in shown]
        for number, box in enumerate(boxes):
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= figure.bbox.width
            assert box.y1 <= figure.bbox.height
            for other, text in zip(boxes[:number], shown, strict=False):
                assert not box.overlaps(other), (shown[number].get_text(), text.get_text())


def test_a_line_of_text_fits_the_width_that_it_has() -> None:
    from neuronatlas.view.figures.paper import distinct, fitted, wrapped

    name = "frequency=64/orientation=120/colour=blue-yellow"
    assert fitted(name, 6, 200) == name
    assert 20 < len(fitted(name, 6, 30)) < 30
    assert "".join(wrapped(name, 6, 30, 5)) == name
    assert len(wrapped(name, 6, 30, 5)) == 2
    assert fitted("a\nb", 6, 30) == "a b"
    assert distinct(["a", "a", "a (2)"]) == ["a", "a (2)", "a (2) (2)"]


def test_a_grid_of_pictures_is_a_figure_beside_its_photograph(rng: np.random.Generator, tmp_path: Path) -> None:
    grid = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    photograph = rng.integers(0, 256, (30, 30, 3), dtype=np.uint8)
    figure = grid_figure(grid, photograph, title="$blocks$", width_mm=100)
    shown = [np.asarray(image.get_array()) for axes in figure.axes for image in axes.images]
    assert [image.shape[:2] for image in shown] == [(30, 30), (40, 60)]
    np.testing.assert_array_equal(shown[1], grid)
    save_figure(figure, tmp_path / "grid.png", width_mm=100, dpi=254)
    assert size_of(tmp_path / "grid.png")[0] == 1000


def test_what_is_not_there_is_told(scene: Scene) -> None:
    with pytest.raises(UnknownName, match="no layer 'nowhere'"):
        contact_sheet(scene, ["nowhere"])
    with pytest.raises(WrongInput, match="has no picture"):
        contact_sheet(replace(scene, pictures={}), [scene.layers[0].name])
    with pytest.raises(UnknownName, match=r"did you mean .photo-3\.png."):
        map_figure(scene, stimulus="photo-3.pgn")
    with pytest.raises(UnknownName, match="did you mean 'gratings'"):
        map_figure(scene, label="grating")
    with pytest.raises(WrongInput, match="give a stimulus or a label"):
        map_figure(scene, method="nearest")
    with pytest.raises(UnknownName, match="no unit 'head:60'"):
        unit_figure(scene, "head:60")
