"""The map by other numbers than one stimulus: classes, differences, columns, patches; filled, drawn out to a disc, as a film."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from tests.page import browsing
from tests.page.synthetic import CONSTANT

from neuronatlas import insight
from neuronatlas.maps.clusters import clusters_of
from neuronatlas.maps.raster import Raster
from neuronatlas.view import scripts
from neuronatlas.view.page import write_page
from neuronatlas.view.records import unit_record

pytestmark = pytest.mark.page


@pytest.fixture(scope="module")
def full(scene, bundle, tmp_path_factory) -> Iterator[tuple[object, Path]]:
    """The synthetic scene with its columns, its patches and gratings that say what was varied."""
    labels = [stimulus.label for stimulus in scene.stimuli]
    names = [f"grating/orientation={15 * k:03d}/frequency={4 + 4 * (k % 2)}" for k in range(12)]
    renamed = [dataclasses.replace(each, name=name) for each, name in zip(scene.stimuli, names, strict=False)]
    rich = dataclasses.replace(
        scene,
        stimuli=(*renamed, *scene.stimuli[12:]),
        numbers=insight.numbers_of(scene.responses, labels),
        clusters=clusters_of(scene.positions),
        command="neuronatlas render synthetic UNIT --preset fast --seed 0 -o pictures",
    )
    return rich, write_page(rich, tmp_path_factory.mktemp("full") / "site").parent


@pytest.fixture
def opened(full, chromium):
    return lambda start="", **rest: browsing.visit(chromium, browsing.address(full[1]), start=start, **rest)


def shares(scene) -> np.ndarray:
    """What the page must show: codes as shares of the scale, NaN where there is none."""
    codes = scripts.quantise(scene.responses, *scripts.scale(scene.responses)).astype(float)
    return np.where(codes == scripts.MISSING, np.nan, codes / 254)


def numbers(visit, scene, units) -> list[float]:
    return [
        visit.page.evaluate("address => window.neuronatlas.number(address)", str(scene.units[unit])) for unit in units
    ]


def test_the_mean_over_a_class_and_a_difference(opened, full):
    scene, _ = full
    values = shares(scene)
    photographs = [k for k, stimulus in enumerate(scene.stimuli) if stimulus.label == "photographs"]
    units = [0, 17, 56, 130, 299]
    with opened("#/map") as visit:
        visit.page.locator("#colouring summary").click()
        visit.page.get_by_label("Mean over class").select_option("photographs")
        visit.wait("atlas.coloured && atlas.number('features.0:0') !== null")
        np.testing.assert_allclose(numbers(visit, scene, units), np.nanmean(values[photographs], 0)[units], atol=1e-6)
        assert visit.page.url.endswith("#/map?class=photographs")
        assert "mean response to class photographs" in visit.page.locator(".legend").inner_text()
        before = visit.state("colours")
        visit.page.get_by_label("Minus", exact=True).select_option(label="gratings")
        visit.wait("atlas.colours !== argument", before)
        gratings = np.nanmean(values[:12], 0)
        difference = np.nanmean(values[photographs], 0) - gratings
        np.testing.assert_allclose(numbers(visit, scene, units), difference[units], atol=1e-6)
        assert "minus class gratings" in visit.page.locator(".legend").inner_text()
        assert visit.page.locator(".ticks").inner_text().split() == ["−1.00", "−0.50", "0.00", "+0.50", "+1.00"]
        link = visit.page.url
    with opened(link[link.index("#") :]) as visit:
        visit.wait("atlas.coloured && atlas.number('head:3') !== null")
        np.testing.assert_allclose(numbers(visit, scene, units), difference[units], atol=1e-6)


def test_columns_of_the_table_and_patches(opened, full):
    scene, _ = full
    with opened("#/map?colour=Lifetime%20sparseness") as visit:
        visit.wait("atlas.coloured && atlas.number('head:3') !== null")
        units = [3, 99, 240]
        np.testing.assert_allclose(numbers(visit, scene, units), scene.numbers["Lifetime sparseness"][units], rtol=1e-6)
        visit.page.locator("#colouring summary").click()
        visit.page.get_by_label("Colour by", exact=True).select_option("patches")
        visit.wait("atlas.number('head:3') % 1 === 0")
        assert numbers(visit, scene, units) == scene.clusters[units].tolist()
        assert f"{scene.clusters.max() + 1} patches" in visit.page.locator(".legend").inner_text()
    with opened("#/map?colour=nonsense") as visit:
        assert "no “nonsense”" in visit.page.locator("#problem").inner_text()


@pytest.mark.parametrize("fill", ["nearest", "linear"])
def test_the_filled_map_is_the_one_that_python_draws(opened, full, fill):
    scene, _ = full
    places = [k for k in range(len(scene.units)) if k not in CONSTANT]
    values = shares(scene)[5]
    side = 161
    picture = Raster(scene.positions[places].astype(float), side).draw(values[places], fill)
    with opened(
        f"#/map?stimulus={scene.stimuli[5].name.replace('/', '%2F')}&fill={fill}", query="?renderer=canvas"
    ) as visit:
        visit.wait("atlas.filled")
        visit.page.wait_for_timeout(200)
        image = visit.page.evaluate(
            "() => { const c = document.querySelector('#surface canvas'); const x = c.getContext('2d');"
            "return [c.width, c.height, Array.from(x.getImageData(0, 0, c.width, c.height).data)]; }"
        )
        width, height, data = image[0], image[1], np.array(image[2], np.uint8).reshape(image[1], image[0], 4)
        scale = width / visit.page.evaluate("() => document.querySelector('#surface canvas').clientWidth")
    side_px = min(width, height) - 72 * scale  # the map is fitted with 36 pixels on every side
    from matplotlib import colormaps

    checked = 0
    for row in range(8, side - 8, 6):
        for column in range(8, side - 8, 6):
            x, y = column / (side - 1) * 2 - 1, row / (side - 1) * 2 - 1
            near = picture[row - 2 : row + 3, column - 2 : column + 3]
            if np.isnan(near).any() or np.ptp(near) > 0.05:
                continue
            left, top = int(width / 2 + x * side_px / 2), int(height / 2 - y * side_px / 2)
            wanted = np.array(colormaps["viridis"](picture[row, column])[:3]) * 255
            assert np.abs(data[top, left, :3] - wanted).max() < 26, (row, column)
            checked += 1
    assert checked > 40


def test_the_disc_is_the_one_that_python_draws(opened, full):
    from neuronatlas.maps.circle import onto_disc

    scene, _ = full
    places = [k for k in range(len(scene.units)) if k not in CONSTANT]
    disc = onto_disc(scene.positions[places].astype(float))
    with opened("#/map?shape=disc") as visit:
        first, second, third = (str(scene.units[places[k]]) for k in (0, 100, 200))
        visit.page.wait_for_timeout(300)
        a, b, c = (np.array(visit.where(address)) for address in (first, second, third))
        wanted = (disc[100] - disc[0], disc[200] - disc[0])
        shown = ((b - a) * [1, -1], (c - a) * [1, -1])
        ratio = np.linalg.norm(shown[0]) / np.linalg.norm(wanted[0])
        np.testing.assert_allclose(shown[0], wanted[0] * ratio, atol=1)
        np.testing.assert_allclose(shown[1], wanted[1] * ratio, atol=1)


def test_a_film_strip_steps_through_a_class(opened, full):
    with opened("#/map?class=photographs&film=1") as visit:
        frames = visit.page.locator("#film .frame")
        assert frames.count() == 11
        visit.wait(
            "document.querySelector('#film canvas').getContext('2d').getImageData(0, 0, 224, 224).data.some((v, k) => k % 4 < 3 && v < 200)"
        )
        frames.nth(3).click()
        visit.wait("atlas.stimulus === 'photo-3.png' && atlas.coloured")
        visit.page.keyboard.press(".")
        visit.wait("atlas.stimulus === 'photo-4.png'")
        visit.page.keyboard.press(",")
        visit.wait("atlas.stimulus === 'photo-3.png'")
        visit.page.get_by_label("Play").click()
        visit.wait("atlas.stimulus === 'photo-5.png'")
        visit.page.get_by_label("Pause").click()
        visit.page.get_by_label("Close the film strip").click()
        visit.wait("document.getElementById('film').hidden")


def test_a_lasso_selects_units_that_leave_as_files(opened, full, tmp_path):
    scene, _ = full
    with opened() as visit:
        target = "blocks.2.dw:40"
        left, top = visit.where(target)
        places = {
            str(unit): visit.page.evaluate("address => window.neuronatlas.where(address)", str(unit))
            for unit in scene.units
        }
        inside = [unit for unit, at in places.items() if at and abs(at[0] - left) < 58 and abs(at[1] - top) < 58]
        visit.page.get_by_label("Select units by drawing round them").click()
        corners = [(left - 60, top - 60), (left + 60, top - 60), (left + 60, top + 60), (left - 60, top + 60)]
        visit.page.mouse.move(*corners[0])
        visit.page.mouse.down()
        for corner in corners[1:]:
            visit.page.mouse.move(*corner, steps=4)
        visit.page.mouse.up()
        visit.wait("atlas.selection.length > 1")
        selected = visit.state("selection")
        assert set(inside) <= set(selected)
        assert target in selected
        assert len(selected) <= len(inside) + 8
        panel = visit.page.locator("#selection")
        assert f"{len(selected)} units selected" in panel.inner_text().replace("\n", " ")
        assert panel.locator(".cell").count() == len(selected)
        with visit.page.expect_download() as table:
            panel.get_by_text("CSV").click()
        with Path(table.value.path()).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [row["unit"] for row in rows] == selected
        with visit.page.expect_download() as twins:
            panel.get_by_text("JSON").click()
        records = json.loads(Path(twins.value.path()).read_text())
        assert [record["unit"] for record in records] == selected
        index = {str(unit): k for k, unit in enumerate(scene.units)}
        assert records[0] == unit_record(scene, index[selected[0]])
        visit.page.keyboard.press("Escape")
        visit.wait("atlas.selection.length === 0")
        visit.page.keyboard.press("v")
        visit.wait("atlas.selection.length === 296")


def test_the_twin_of_a_card_is_what_python_writes(opened, full):
    scene, _ = full
    for unit in (56, 17, 5, 100):
        address = str(scene.units[unit])
        with opened() as visit:
            visit.unit(address)
            visit.wait("atlas.unit === argument", address)
            visit.page.get_by_label("This card as JSON").click()
            shown = visit.page.locator("#twin pre")
            assert json.loads(shown.inner_text()) == unit_record(scene, unit)
            assert visit.page.evaluate("location.hash").endswith("?json=1")
            with visit.page.expect_download() as download:
                visit.page.locator("#twin").get_by_text("Save").click()
            assert json.loads(Path(download.value.path()).read_text()) == unit_record(scene, unit)


def test_the_twin_of_a_card_has_an_address(opened, full):
    scene, _ = full
    address = str(scene.units[17])
    with opened(f"#/unit/{quote(address, safe='')}?json=1") as visit:
        shown = visit.page.locator("#twin pre")
        assert json.loads(shown.inner_text()) == unit_record(scene, 17)
        visit.page.keyboard.press("Escape")
        visit.wait("!document.querySelector('#twin').open")
        assert visit.state("unit") == address
        assert visit.page.evaluate("location.hash") == f"#/unit/{quote(address, safe='')}"
        visit.page.keyboard.press("j")
        visit.wait("document.querySelector('#twin').open")
        visit.page.evaluate("location.hash = '#/map?json=1'")
        visit.wait("!document.querySelector('#twin').open")


def test_a_card_draws_all_responses(opened, full):
    scene, _ = full
    with opened("#/unit/blocks.2.dw%3A8") as visit:
        unit = 56
        card = visit.page.locator("#card")
        card.locator(".charts .bin").first.wait_for()
        values = scene.responses[:, unit]
        heights = [int(title.split(" of ")[0]) for title in card.locator(".bin title").all_text_contents()]
        assert sum(heights) == len(values)
        edges = np.linspace(values.min(), values.max(), 18)
        expected = np.histogram(values, edges)[0]
        assert np.abs(np.array(heights) - expected).sum() <= 4, (
            "codes are 255 steps, so a value at an edge may change sides"
        )
        rows = card.locator(".classes tr").all()
        means = {label: values[[k for k, s in enumerate(scene.stimuli) if s.label == label]].mean()
                 for label in {s.label for s in scene.stimuli} - {""}}  # fmt: skip
        assert [row.locator("th").inner_text() for row in rows] == sorted(means, key=means.get, reverse=True)
        for row in rows:
            shown = float(row.locator("td").last.inner_text().replace("−", "-"))
            assert shown == pytest.approx(means[row.locator("th").inner_text()], abs=0.02)
        captions = card.locator(".charts figcaption").all_inner_texts()
        assert any(caption.startswith("grating: orientation") for caption in captions)
        assert "neuronatlas render synthetic blocks.2.dw:8 --preset fast" in card.locator(".command").inner_text()


def test_the_page_of_a_stimulus(opened, full):
    scene, _ = full
    deviations = (scene.responses - np.nanmean(scene.responses, 0)) / np.where(
        np.nanstd(scene.responses, 0) > 1e-6, np.nanstd(scene.responses, 0), np.nan
    )
    with opened("#/stimulus/photo-3.png") as visit:
        rows = visit.page.locator(".excited section")
        rows.first.locator(".tile").first.wait_for()
        assert rows.count() == len(scene.layers)
        row = next(k for k, stimulus in enumerate(scene.stimuli) if stimulus.name == "photo-3.png")
        first = np.nanargmax(np.where(np.array([u.layer == "head" for u in scene.units]), deviations[row], np.nan))
        tile = rows.nth(3).locator(".tile").first
        assert tile.get_attribute("title") == str(scene.units[first])
        assert tile.locator(".value").inner_text() == f"+{deviations[row, first]:.1f}"
        visit.page.get_by_text("Show its map").click()
        visit.wait("atlas.place === 'map' && atlas.stimulus === 'photo-3.png' && atlas.coloured")
        visit.page.locator(".legend-head a").click()
        visit.wait("atlas.place === 'stimulus'")


@pytest.mark.parametrize(
    "start",
    ["#/map?class=photographs", "#/map?class=photographs&fill=nearest", "#/map"],
    ids=["dots", "filled", "layers"],
)
def test_the_map_is_saved_in_millimetres(opened, full, start, tmp_path):
    _scene, _ = full
    with opened(start) as visit:
        visit.wait("atlas.coloured")
        visit.page.wait_for_timeout(300)
        visit.page.get_by_role("button", name="Save the map as a figure").click()
        visit.page.get_by_label("Width in mm").fill("120")
        files = {}
        for kind in ("PDF", "SVG", "PNG"):
            visit.page.get_by_label("Kind").select_option(kind)
            with visit.page.expect_download() as download:
                visit.page.get_by_role("button", name="Save", exact=True).click()
            files[kind] = Path(download.value.path()).read_bytes()
    svg = files["SVG"].decode()
    assert 'width="120mm"' in svg
    height = float(re.search(r'height="([\d.]+)mm"', svg)[1])
    dots = svg.count("<circle")
    assert dots == (0 if "fill=" in start else 296)
    assert ET.fromstring(svg).tag.endswith("svg")
    box = re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", files["PDF"])
    assert float(box[1]) == pytest.approx(120 / 25.4 * 72, abs=0.01)
    assert float(box[2]) == pytest.approx(height / 25.4 * 72, abs=0.01)
    streams = [
        zlib.decompress(found) for found in re.findall(rb"FlateDecode >>\nstream\n(.*?)\nendstream", files["PDF"], re.S)
    ]
    assert streams[0].count(b" h B") == dots
    for start_of in re.findall(rb"(\d{10}) 00000 n", files["PDF"]):
        assert re.match(rb"\d+ 0 obj", files["PDF"][int(start_of) :]), "the table says where each object begins"
    image = Image.open(io.BytesIO(files["PNG"]))
    assert image.size == (round(120 / 25.4 * 300), round(height / 25.4 * 300))
    assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    assert len(set(np.asarray(image.convert("RGB"))[::7, ::7].reshape(-1, 3).sum(1).tolist())) > 20


def test_the_table_of_a_selection_has_what_colours_the_map(opened, full):
    scene, _ = full
    with opened("#/map?class=photographs") as visit:
        visit.wait("atlas.coloured && atlas.number('head:3') !== null")
        visit.page.keyboard.press("v")
        with visit.page.expect_download() as table:
            visit.page.locator("#selection").get_by_text("CSV").click()
        with Path(table.value.path()).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    photographs = [k for k, stimulus in enumerate(scene.stimuli) if stimulus.label == "photographs"]
    means = np.nanmean(shares(scene)[photographs], 0)
    index = {str(unit): k for k, unit in enumerate(scene.units)}
    assert len(rows) == 296
    for row in rows[::23]:
        assert float(row["response: class photographs"]) == pytest.approx(means[index[row["unit"]]], abs=1e-6)


def test_a_layer_by_response_shows_the_strongest_with_a_picture_or_their_best_stimulus(opened, full):
    scene, _ = full
    with opened("#/layer/blocks.2.dw?stimulus=photo-3.png") as visit:
        visit.page.locator("#order").select_option("number")
        visit.wait("document.querySelectorAll('#layer .cell .stand-in').length > 3")
        members = [k for k, unit in enumerate(scene.units) if unit.layer == "blocks.2.dw"]
        row = next(k for k, stimulus in enumerate(scene.stimuli) if stimulus.name == "photo-3.png")
        values = np.nan_to_num(shares(scene)[row], nan=-1)
        expected = sorted(members, key=lambda k: (-values[k], k))[:12]
        shown = [int(cell.get_attribute("data-unit")) for cell in visit.page.locator("#layer .cell").all()[:12]]
        assert shown == expected
        assert "Numbers: response to photo-3.png" in visit.page.locator("#layer").inner_text()
