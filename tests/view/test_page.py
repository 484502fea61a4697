from __future__ import annotations

import base64
import dataclasses
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from tests.page.synthetic import CONSTANT, HOSTILE_LAYER, HOSTILE_STIMULUS, make_scene

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.units import Unit
from neuronatlas.view import page, parts, scripts, sprites

DTYPES = {"u8": "|u1", "u16": "<u2", "u32": "<u4", "i32": "<i4", "f32": "<f4"}


@pytest.fixture(scope="module")
def scene():
    return make_scene()


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A bundle of four small files: what is written around it does not depend on what is in it."""
    static = tmp_path / "static"
    static.mkdir()
    for name in page.BUNDLE:
        (static / name).write_text(name)
    monkeypatch.setattr(page, "STATIC", static)
    return static


@pytest.fixture
def site(scene, bundle, tmp_path):
    return page.write_page(scene, tmp_path / "site").parent


def read(site, key):
    text = (site / "data" / f"{key}.js").read_bytes().decode("ascii")
    found = re.fullmatch(r'\(self\.neuronatlasData=self\.neuronatlasData\|\|\{\}\)\["([a-z0-9-]+)"\]=(.*);\n', text)
    assert found is not None
    assert found[1] == key
    return json.loads(found[2])


def column(packed):
    ((kind, text),) = packed.items()
    return np.frombuffer(base64.b64decode(text), DTYPES[kind])


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_scene_gives_the_same_bytes_and_nothing_stays_behind(scene, bundle, tmp_path):
    first = page.write_page(scene, tmp_path / "a" / "site")
    second = page.write_page(make_scene(), tmp_path / "b" / "other")
    assert tree(first.parent) == tree(second.parent)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["site"]


def test_names_never_become_paths_or_markup(site):
    for path in tree(site):
        assert re.fullmatch(
            r"index\.html|app\.(js|css)|licences\.txt|data/[a-z]+(-\d+)?\.js",
            path,
        )
    for path in (site / "data").iterdir():
        content = path.read_bytes()
        assert not re.search(rb"[<>&\x80-\xff]", content)
    overview = read(site, "scene")
    assert overview["layers"][2][0] == HOSTILE_LAYER
    assert [HOSTILE_STIMULUS, "<b>hostile</b>"] in overview["stimuli"]


def test_nothing_tells_of_the_machine(site, tmp_path):
    for content in tree(site).values():
        assert str(tmp_path).encode() not in content
        assert b"/home/" not in content


def test_the_overview_holds_the_scene(site, scene):
    overview = read(site, "scene")
    units = overview["units"]
    names = [layer[0] for layer in overview["layers"]]
    read_back = [
        Unit(names[k], int(index)) for k, index in zip(column(units["layer"]), column(units["index"]), strict=True)
    ]
    assert tuple(read_back) == scene.units
    np.testing.assert_array_equal(column(units["positions"]).reshape(-1, 2), scene.positions)
    assert tuple(overview["words"][code] for code in column(units["status"])) == scene.status
    assert set(column(units["pictures"])) == set(scene.pictures)
    score = column(units["score"])
    assert all(score[unit] == np.float32(picture.score) for unit, picture in scene.pictures.items())
    assert np.isnan(score).sum() == len(scene.units) - len(scene.pictures)


def test_responses_survive_to_within_a_step(site, scene):
    codes = column(read(site, "responses-0")).reshape(scene.responses.shape)
    details = read(site, "details-0")
    low, high = column(details["low"]), column(details["high"])
    assert codes[3, 17] == scripts.MISSING
    assert (codes == scripts.MISSING).sum() == 1
    expected = np.clip(scene.responses, low, high)
    shown = low + codes / np.float32(254) * (high - low)
    known = codes != scripts.MISSING
    np.testing.assert_allclose(shown[known], expected[known], atol=0.51 * (high - low).max() / 254 + 1e-6)
    alive = [unit for unit in range(len(scene.units)) if unit not in CONSTANT and unit != 17]
    np.testing.assert_allclose(low[alive], np.percentile(scene.responses[:, alive], 1, axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(high[alive], np.percentile(scene.responses[:, alive], 99, axis=0), rtol=1e-5)


def test_cards_hold_the_best_stimuli_and_the_neighbours(site, scene):
    details = read(site, "details-0")
    best = column(details["stimuli"]).reshape(-1, scripts.BEST)
    for unit in (0, 17, 56, 299):
        values = [(-value, row) for row, value in enumerate(scene.responses[:, unit]) if np.isfinite(value)]
        assert list(best[unit]) == [row for _, row in sorted(values)[: scripts.BEST]]
    np.testing.assert_array_equal(column(details["neighbours"]).reshape(300, -1), scene.neighbours)
    curves = dict(details["curves"])
    assert set(curves) == set(scene.pictures)
    np.testing.assert_array_equal(column(curves[0]), scene.pictures[0].curve)


def test_cards_hold_the_worst_stimuli_and_the_span(site, scene):
    details = read(site, "details-0")
    worst = column(details["worst"]).reshape(-1, scripts.BEST)
    for unit in (0, 17, 56, 299):
        values = [(value, row) for row, value in enumerate(scene.responses[:, unit]) if np.isfinite(value)]
        assert list(worst[unit]) == [row for _, row in sorted(values)[: scripts.BEST]]
        assert column(details["least"])[unit] == min(values)[0]
        assert column(details["most"])[unit] == max(values)[0]


def test_responses_by_unit_survive_to_within_a_step(site, scene):
    codes = column(read(site, "columns-0")).reshape(len(scene.units), len(scene.stimuli))
    details = read(site, "details-0")
    least, most = (column(details[name])[:, None] for name in ("least", "most"))
    known = codes != scripts.MISSING
    assert (~known).sum() == 1
    assert not known[17, 3]
    shown = least + codes / np.float32(254) * (most - least)
    np.testing.assert_allclose(shown[known], scene.responses.T[known], atol=0.51 * (most - least).max() / 254 + 1e-6)


def test_pictures_travel_as_they_were_made(site, scene):
    pictured = sorted(scene.pictures)
    pack = read(site, "scene")["pack"]
    for rank in (0, pack, len(pictured) - 1):
        text = read(site, f"pictures-{rank // pack}")[rank % pack]
        assert base64.b64decode(text) == sprites.webp(scene.pictures[pictured[rank]].image)
    stimuli = read(site, "stimuli-0")
    assert len(stimuli) == len(scene.stimuli)
    assert base64.b64decode(stimuli[5]) == sprites.thumbnail(scene.stimuli[5].thumbnail)


def test_the_strongest_units_of_each_layer(site, scene):
    found = read(site, "strongest-0")
    units = column(found["units"]).reshape(len(scene.stimuli), len(scene.layers), parts.STRONGEST)
    scores = column(found["scores"]).reshape(units.shape)
    values = np.where(np.isfinite(scene.responses), scene.responses, np.nan).astype(float)
    for stimulus, layer in ((0, 0), (3, 0), (29, 3)):
        members = [
            k for k, unit in enumerate(scene.units) if unit.layer == scene.layers[layer].name and k not in CONSTANT
        ]
        expected = []
        for unit in members:
            known = [value for value in values[:, unit] if value == value]
            mean = sum(known) / len(known)
            deviation = (sum((value - mean) ** 2 for value in known) / len(known)) ** 0.5
            if values[stimulus, unit] == values[stimulus, unit]:
                expected.append((-(values[stimulus, unit] - mean) / deviation, unit))
        expected = sorted(expected)[: parts.STRONGEST]
        assert list(units[stimulus, layer]) == [unit for _, unit in expected]
        np.testing.assert_allclose(scores[stimulus, layer], [-score for score, _ in expected], rtol=1e-5)


def test_large_scenes_are_cut_into_scripts(scene, bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "CHUNK", 2100)
    monkeypatch.setattr(parts, "DETAILS", 64)
    site = page.write_page(scene, tmp_path / "cut").parent
    count = {}
    for path in (site / "data").iterdir():
        kind = path.stem.partition("-")[0]
        count[kind] = count.get(kind, 0) + 1
    assert count == {
        "scene": 1, "circle": 1, "clusters": 1, "sprites": 1, "responses": 5, "columns": 9, "strongest": 8, "details": 5,
        "pictures": 3, "negatives": 1, "diverse": 1, "crops": 1, "stimuli": 1,
    }  # fmt: skip
    rows = [column(read(site, f"responses-{k}")).reshape(-1, 300) for k in range(5)]
    by_unit = np.concatenate([column(read(site, f"columns-{k}")) for k in range(9)]).reshape(300, -1)
    monkeypatch.undo()
    low, high = scripts.scale(scene.responses)
    np.testing.assert_array_equal(np.concatenate(rows), scripts.quantise(scene.responses, low, high))
    np.testing.assert_array_equal(by_unit, scripts.quantise(scene.responses, *scripts.span(scene.responses)).T)
    assert [unit for k in range(5) for unit, _ in read(site, f"details-{k}")["curves"]] == sorted(scene.pictures)


def test_very_many_responses_are_kept_by_stimulus_alone(scene, monkeypatch):
    monkeypatch.setattr(parts, "TABLE", scene.responses.size - 1)
    few = parts.Parts(scene)
    assert few.value("scene")["columns"] == 0
    assert not [key for key in few if key.startswith("columns")]


def test_a_part_that_is_not_there_is_named(scene):
    for key in ("pictures-3", "pictures--1", "scene-0", "../scene", "pictures-", ""):
        with pytest.raises(UnknownName, match="part of a page"):
            parts.Parts(scene).value(key)


def test_sprites_are_small_enough_for_any_graphics_card(site, scene):
    sheet = read(site, "sprites-0")
    assert list(column(read(site, "scene")["sheeted"])) == sorted(scene.pictures)
    head, data = sheet["image"].split(",")
    assert head == "data:image/webp;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.size == (sheet["columns"] * sheet["cell"], -(-len(scene.pictures) // sheet["columns"]) * sheet["cell"])
    assert max(image.size) <= 4096
    for place, unit in list(enumerate(sorted(scene.pictures)))[::9]:
        left, top = place % sheet["columns"] * sheet["cell"], place // sheet["columns"] * sheet["cell"]
        cell = image.convert("RGB").crop((left, top, left + sheet["cell"], top + sheet["cell"]))
        expected = Image.fromarray(scene.pictures[unit].image).resize(cell.size, Image.Resampling.LANCZOS)
        inner = slice(20, -20)
        difference = np.abs(np.asarray(cell, float) - np.asarray(expected, float))[inner, inner]
        assert difference.mean() < 12


def test_many_pictures_fill_several_sheets():
    random = np.random.default_rng(0)
    positions = random.uniform(-1, 1, (3001, 2)).astype(np.float32)
    positions[17] = np.nan
    sheets = sprites.arranged(range(3000), positions)
    assert [len(sheet) for sheet in sheets] == [1024, 1024, 952]
    assert sorted(unit for sheet in sheets for unit in sheet) == list(range(3000))
    assert 17 in sheets[-1], "without a place it comes last"
    quarters = {tuple(place) for place in (positions[list(sheets[0])] * 4).astype(int)}
    assert len(quarters) == 49, "the first sheet has some from every part of the map"
    placed = [unit for unit in sheets[1] if unit != 17]
    assert positions[placed].std(0).min() < 0.8 * positions[list(sheets[0])].std(0).min(), "the others lie together"
    assert sprites.arranged(range(0, 500, 7), positions) == (tuple(range(0, 500, 7)),)
    assert sprites.arranged([], positions) == ()


def test_a_page_takes_the_place_of_a_page(scene, bundle, tmp_path):
    target = tmp_path / "site"
    page.write_page(scene, target)
    fewer = dataclasses.replace(scene, pictures={0: scene.pictures[0]})
    page.write_page(fewer, target)
    assert len(read(target, "pictures-0")) == 1
    assert not (target / "data" / "pictures-1.js").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site", "static"]


def test_a_failed_writing_leaves_the_old_page(scene, bundle, tmp_path):
    target = tmp_path / "site"
    page.write_page(scene, target)
    before = tree(target)
    broken = dataclasses.replace(scene, units=(Unit("nowhere", 0), *scene.units[1:]))
    with pytest.raises(WrongInput, match="'nowhere:0' is in no layer of the scene"):
        page.write_page(broken, target)
    assert tree(target) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site", "static"]


def test_somebodys_files_are_never_replaced(scene, bundle, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("cat")
    with pytest.raises(WrongInput, match="holds other files: name one that is new, empty, or holds a page"):
        page.write_page(scene, tmp_path / "photos")
    (tmp_path / "file").write_text("x")
    with pytest.raises(WrongInput, match="is not a folder"):
        page.write_page(scene, tmp_path / "file")
    assert (tmp_path / "photos" / "cat.png").read_text() == "cat"


def test_a_missing_bundle_is_said(scene, bundle, tmp_path):
    (bundle / "app.js").unlink()
    with pytest.raises(WrongInput, match=r"install the package, or run python hatch_build.py"):
        page.write_page(scene, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_an_empty_scene_is_a_page_too(scene, bundle, tmp_path):
    empty = dataclasses.replace(
        scene,
        units=(),
        positions=np.zeros((0, 2), np.float32),
        status=(),
        reasons={},
        stimuli=(),
        responses=np.zeros((0, 0), np.float32),
        neighbours=np.zeros((0, 0), np.int32),
        correlations=np.zeros((0, 0), np.float32),
        pictures={},
    )
    site = page.write_page(empty, tmp_path / "empty").parent
    assert read(site, "scene")["units"]["count"] == 0


def test_odd_responses_have_codes(scene):
    values = np.array(
        [[0, 0, np.nan, 1, -np.inf], [0, 0, np.nan, 1, 0], [0, 5, np.nan, 1, 1], [0, 0, np.nan, 1, 2]], np.float32
    )
    low, high = scripts.scale(values)
    codes = scripts.quantise(values, low, high)
    assert codes[:, 0].tolist() == [0, 0, 0, 0], "constant"
    assert codes[:, 1].tolist() == [0, 0, 254, 0], "one response among zeros keeps its place"
    assert codes[:, 2].tolist() == [255] * 4, "no finite response"
    assert codes[0, 4] == 255
    stimuli, top = scripts.best(values)
    assert stimuli[2].tolist() == [-1] * 4
    assert stimuli[4].tolist() == [3, 2, 1, -1]
    assert np.isnan(top[4, 3])
