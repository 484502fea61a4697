"""Atlases side by side: matches and likeness from their definitions, maps turned onto one another, and the folder."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuronatlas import comparing
from neuronatlas.atlas import Atlas
from neuronatlas.errors import WrongInput
from neuronatlas.maps.clusters import clusters_of
from neuronatlas.table import Responses
from neuronatlas.units import Unit
from neuronatlas.view.scene import scene_of
from tests import twins
from tests.reference import matching


def table(values: np.ndarray, layers: dict[str, int], labels: tuple[str, ...] | None = None) -> Responses:
    units = tuple(Unit(name, index) for name, count in layers.items() for index in range(count))
    names = tuple(f"s{number}" for number in range(len(values)))
    return Responses(values.astype(np.float32), units, names, labels or ("",) * len(values))


@pytest.fixture(scope="module")
def some() -> list[Responses]:
    """Three tables over 24 stimuli, with constant units, two that are the same, and a layer without any response."""
    random = np.random.default_rng(4)
    hidden = random.normal(size=(24, 5))
    tables = []
    for layers in ({"a": 7, "b": 5}, {"p": 9, "q": 4, "r": 3}, {"z": 6}):
        count = sum(layers.values())
        tables.append(table(hidden @ random.normal(size=(5, count)) + random.normal(size=(24, count)) + 3, layers))
    tables[0].values[:, 2] = 1.5
    tables[1].values[:, 8] = 2 * tables[1].values[:, 1] + 1
    tables[1].values[:, 13:] = 0
    return tables


@pytest.fixture(scope="module")
def atlases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Atlas, Atlas]:
    return twins.build(tmp_path_factory.mktemp("twins"))


def told(path: Path) -> dict[str, object]:
    text = path.read_text(encoding="ascii")
    return json.loads(text[text.index("]=") + 2 : text.rindex(";")])


def numbers(packed: dict[str, str]) -> np.ndarray:
    ((kind, text),) = packed.items()
    return np.frombuffer(
        base64.b64decode(text), {"u8": "|u1", "u16": "<u2", "u32": "<u4", "i32": "<i4", "f32": "<f4"}[kind]
    )


@pytest.mark.parametrize("cells", [comparing._CELLS, 40])
def test_matches_are_those_of_the_definition(
    some: list[Responses], cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "_CELLS", cells)
    pairs = comparing.match_all(some)
    assert set(pairs) == {(a, b) for a in range(3) for b in range(3) if a != b}
    for (a, b), found in pairs.items():
        indices, correlations = matching.match(some[a].values, some[b].values)
        back, _ = matching.match(some[b].values, some[a].values)
        assert found.indices.tolist() == indices
        np.testing.assert_allclose(found.correlations, correlations, atol=1e-6)
        assert found.mutual.tolist() == [at >= 0 and back[at] == unit for unit, at in enumerate(indices)]
        assert found.mutual.any()
    assert pairs[0, 1].indices[2] == -1
    assert 8 not in pairs[0, 1].indices, "unit 1 has the same responses and the lower index"


def test_layers_are_as_alike_as_by_the_definition(some: list[Responses]) -> None:
    for (a, b), found in comparing.match_all(some).items():
        rows, columns = (comparing.layer_slices(some[number].units) for number in (a, b))
        for row, (row_name, part) in enumerate(rows):
            for column, (column_name, other) in enumerate(columns):
                x, y = some[a].values[:, part], some[b].values[:, other]
                if "r" in (row_name, column_name):
                    assert np.isnan(found.cka[row, column])
                    assert np.isnan(found.best[row, column])
                    continue
                _, correlations = matching.match(x, y)
                assert found.best[row, column] == pytest.approx(np.nanmean(correlations), abs=2e-6)
                assert found.cka[row, column] == pytest.approx(matching.cka(x, y), abs=1e-5)


def test_cka_is_that_of_a_rotated_and_scaled_layer() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(30, 6))
    turn, _ = np.linalg.qr(random.normal(size=(6, 6)))
    found = comparing.match_all([table(values, {"a": 6}), table(-3 * values @ turn + 5, {"a": 6})])[0, 1]
    assert found.cka[0, 0] == pytest.approx(1, abs=1e-6)
    assert found.best[0, 0] < 0.95


def test_the_matrix_of_all_correlations_is_never_held() -> None:
    random = np.random.default_rng(1)
    tables = [table(random.normal(size=(10, 5000)), {"a": 5000}) for _ in range(2)]
    tracemalloc.start()
    comparing.match_all(tables)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 180e6, "all 25 million of them take 200 MB"


def test_the_units_of_a_network_are_found_again_in_another_order(atlases: tuple[Atlas, Atlas]) -> None:
    tables = [atlas.responses() for atlas in atlases]
    shared = comparing.shared_stimuli(tables)
    assert len(shared) == twins.SHARED
    assert shared == list(zip(tables[1].stimuli, tables[1].labels, strict=True))[: twins.SHARED]
    pairs = comparing.match_all([comparing._rows(each, shared) for each in tables])
    alive = twins.ORDER != twins.CONSTANT
    back = pairs[1, 0]
    assert back.indices[alive].tolist() == twins.ORDER[alive].tolist()
    assert back.indices[~alive].tolist() == [-1]
    assert np.all(back.correlations[alive] == 1)
    assert np.isnan(back.correlations[~alive]).all()
    assert back.mutual.tolist() == alive.tolist()
    assert np.diag(back.best).tolist() == [1, 1]
    np.testing.assert_allclose(np.diag(back.cka), 1, atol=1e-6)


def match_of(indices: np.ndarray) -> comparing.Match:
    count = len(indices)
    none = np.zeros((1, 1), np.float32)
    return comparing.Match(indices.astype(np.int32), np.ones(count, np.float32), indices >= 0, none, none)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_known_turn_is_undone(mirrored: bool) -> None:
    random = np.random.default_rng(6)
    there = random.uniform(-0.7, 0.7, (40, 2)).astype(np.float32)
    there -= there.mean(axis=0)
    angle = np.deg2rad(130)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag(
        [1, -1 if mirrored else 1]
    )
    order = random.permutation(40)
    here = (there[order] @ turn).astype(np.float32)
    here[7] = np.nan
    turned = comparing.align(here, there, match_of(order))
    placed = np.arange(40) != 7
    np.testing.assert_allclose(turned[placed], there[order][placed], atol=1e-3)
    assert np.isnan(turned[7]).all()


def test_turned_positions_stay_on_the_map_and_too_few_matches_turn_nothing() -> None:
    here = np.array([[1, 1], [-1, -1], [1, -1], [-1, 1]], np.float32)
    angle = np.pi / 4
    there = here @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    turned = comparing.align(here, there, match_of(np.arange(4)))
    np.testing.assert_allclose(turned, there / np.sqrt(2), atol=1e-6)
    assert np.abs(turned).max() <= 1
    two = comparing.align(here, there, match_of(np.array([0, 1, -1, -1])))
    assert np.array_equal(two, here)


def test_a_page_holds_both_atlases_and_their_matches(atlases: tuple[Atlas, Atlas], tmp_path: Path) -> None:
    (tmp_path / "side by side").mkdir()
    index = comparing.compare(atlases, tmp_path / "side by side")
    assert index == tmp_path / "side by side" / "index.html"
    assert sorted(path.name for path in index.parent.iterdir()) == [
        "atlas-0", "atlas-1", "compare.css", "compare.js", "data", "index.html",
    ]  # fmt: skip
    said = told(index.parent / "data" / "compare.js")
    assert [each["title"] for each in said["atlases"]] == ["twin (1)", "twin (2)"]
    assert said["stimuli"][6] == twins.HOSTILE_STIMULUS
    pair = said["pairs"][1]
    assert (pair["from"], pair["to"]) == (1, 0)
    assert numbers(pair["indices"]).tolist() == [-1 if unit == twins.CONSTANT else unit for unit in twins.ORDER]
    again = comparing.compare(atlases, index.parent, names=["left", "right"])
    assert told(again.parent / "data" / "compare.js")["atlases"][1]["title"] == "right"
    assert [path.name for path in tmp_path.iterdir()] == ["side by side"], "nothing is left beside it"


def test_a_turned_map_has_the_patches_of_its_new_places(atlases: tuple[Atlas, Atlas], tmp_path: Path) -> None:
    scenes = []
    with pytest.MonkeyPatch.context() as patch:
        write = comparing.page.write_page
        patch.setattr(comparing.page, "write_page", lambda scene, folder: scenes.append(scene) or write(scene, folder))
        comparing.compare(atlases, tmp_path / "page")
    given = scene_of(atlases[1])
    assert not np.array_equal(scenes[1].positions, given.positions, equal_nan=True)
    assert scenes[1].clusters.tolist() == clusters_of(scenes[1].positions).tolist()
    assert np.array_equal(scenes[0].positions, scene_of(atlases[0]).positions, equal_nan=True)


def test_what_cannot_be_compared_is_refused(atlases: tuple[Atlas, Atlas], tmp_path: Path) -> None:
    for count in (1, 5):
        with pytest.raises(WrongInput, match=f"atlases has {count} entries: give 2 to 4"):
            comparing.compare([atlases[0]] * count, tmp_path / "page")
    with pytest.raises(WrongInput, match="names has 1 entries for 2 atlases"):
        comparing.compare(atlases, tmp_path / "page", names=["one"])
    (tmp_path / "mine.txt").write_text("kept")
    for folder in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(WrongInput, match="holds other files"):
            comparing.compare(atlases, folder)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_at_least_eight_stimuli_must_be_shared_under_name_and_label() -> None:
    values = np.random.default_rng(0).normal(size=(12, 2))
    plain = table(values, {"a": 2})
    relabelled = replace(plain, labels=("other",) * 5 + ("",) * 7)
    with pytest.raises(WrongInput, match=r"share 7 stimuli \(same name and label\), and at least 8"):
        comparing.shared_stimuli([plain, relabelled])
    relabelled = replace(plain, labels=("other",) * 4 + ("",) * 8)
    assert [name for name, _ in comparing.shared_stimuli([plain, relabelled])] == [
        f"s{number}" for number in range(4, 12)
    ]


def test_the_command_writes_the_page(atlases: tuple[Atlas, Atlas], tmp_path: Path) -> None:
    words = [
        "compare",
        *(str(atlas.folder) for atlas in atlases),
        "-o",
        str(tmp_path / "page"),
        "--name",
        "A",
        "--name",
        "B",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "neuronatlas.cli", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "page" / "index.html")
    assert [each["title"] for each in told(tmp_path / "page" / "data" / "compare.js")["atlases"]] == ["A", "B"]
