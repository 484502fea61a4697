"""What leaves an atlas is what it holds: every picture once, in the old folders, and nothing that it only says it holds."""

import csv
import json
import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuronatlas import exporting, stimuli
from neuronatlas.atlas import Atlas, LayerEntry, Manifest, Shard, plan
from neuronatlas.building import build
from neuronatlas.errors import AtlasDamaged, CannotWrite, WrongInput
from neuronatlas.units import Unit
from tests.networks import models


def synthetic(
    folder: Path,
    names: list[str],
    *,
    network: str = "=cmd",
    units: int = 4,
    size: int = 6,
    status: tuple[int, ...] = (),
    planes: int = 3,
) -> Atlas:
    """An atlas of pictures that nothing made; the units in ``status`` of each layer are dead."""
    layers = tuple(LayerEntry(name, "convolution", units, (units, 1, 1), 3) for name in names)
    manifest = Manifest(
        network={"name": network, "fingerprint": "ab" * 32},
        layers=layers,
        stimuli={"digest": "cd" * 32, "names": ["=1+1", "-3", "plain"], "labels": ["@sum", "", "b"]},
        settings={"seed": 7},
        software={},
    )
    atlas = Atlas.create(folder, manifest, plan(manifest, {n: tuple(range(units)) for n in range(len(names))}))
    rng = np.random.default_rng(3)
    every = len(names) * units
    for shard in atlas.plan:
        count = len(shard.units)
        if shard.kind == "responses":
            values = rng.normal(size=(3, every)).astype(np.float32)
            values[0, 0], values[1, 0] = np.nan, np.inf
            atlas.put(shard, {"responses": values})
        elif shard.kind == "map":
            atlas.put(shard, {"positions": rng.uniform(-1, 1, (every, 2)).astype(np.float32)})
        else:
            dead = ["dead" if index in status else "" for index in shard.units]
            images = rng.integers(0, 256, (count, size, size, planes), dtype=np.uint8)
            scores = rng.normal(size=count).astype(np.float32)
            about = {"status": dead, "reason": ["no gradient" if word else "" for word in dead]}
            atlas.put(shard, {"images": images, "scores": scores}, about=about)
    return atlas


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_unit_of_every_layer_lies_where_the_old_script_put_it(tmp_path: Path) -> None:
    names = ["alexnet_v2/conv1/Conv2D", "alexnet_v2/fc8/Conv2D"]
    atlas = synthetic(tmp_path / "a.atlas", names, units=19)
    told: list[tuple[int, int]] = []
    made = exporting.export_png(atlas, tmp_path / "out", progress=lambda done, total: told.append((done, total)))
    expected = {
        f"layer_channel_visualizations/layer_{number}/layer_alexnet_v2_{word}_Conv2D_channel_{channel}.png"
        for number, word in ((1, "conv1"), (2, "fc8"))
        for channel in range(19)
    }
    assert set(files(tmp_path / "out")) == expected
    assert (made.written, made.kept, made.lost, made.unasked, made.renamed) == (38, 0, {}, 0, {})
    assert told == [(0, 38), (19, 38), (38, 38)]  # a layer's pictures lie in one shard
    last = made.folder / "layer_2" / "layer_alexnet_v2_fc8_Conv2D_channel_18.png"
    with Image.open(last) as picture:
        stored, _ = atlas.get(atlas.plan.of("renderings")[-1])
        assert np.array_equal(np.asarray(picture), stored["images"][-1])
        about = json.loads(picture.text["neuronatlas"])
    assert about["objective"] == "alexnet_v2/fc8/Conv2D:18"
    assert about["score"] == pytest.approx(float(stored["scores"][-1]))


def test_alexnets_layers_have_the_names_of_the_old_script(tmp_path: Path) -> None:
    atlas = synthetic(tmp_path / "a.atlas", ["conv1", "pool1", "fc8"], units=1, network="alexnet-ecoset")
    exporting.export_png(atlas, tmp_path / "out")
    assert [name.split("/", 1)[1] for name in files(tmp_path / "out")] == [
        "layer_1/layer_alexnet_v2_conv1_Conv2D_channel_0.png",
        "layer_2/layer_pool1_channel_0.png",
        "layer_3/layer_alexnet_v2_fc8_Conv2D_channel_0.png",
    ]


@pytest.mark.parametrize(("planes", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_grey_colour_and_opacity_stay_what_they_are(tmp_path: Path, planes: int, mode: str) -> None:
    atlas = synthetic(tmp_path / "a.atlas", ["a"], planes=planes)
    made = exporting.export_png(atlas, tmp_path)
    with Image.open(made.folder / "layer_1" / "layer_a_channel_0.png") as picture:
        assert picture.mode == mode
        expected = atlas.get(atlas.plan.of("renderings")[0])[0]["images"][0]
        assert np.array_equal(np.asarray(picture).reshape(expected.shape), expected)


def test_a_second_export_writes_only_what_is_absent_or_wrong(tmp_path: Path) -> None:
    atlas = synthetic(tmp_path / "a.atlas", ["a", "b"])
    exporting.export_png(atlas, tmp_path / "out")
    whole = files(tmp_path / "out")
    place = tmp_path / "out" / "layer_channel_visualizations"
    gone, cut, kept = (place / "layer_1" / f"layer_a_channel_{n}.png" for n in range(3))
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-20])
    before = kept.stat().st_mtime_ns
    orphans = [place / "layer_1" / f".unfinished-1-{word}.png" for word in ("old", "new")]
    for orphan in orphans:
        orphan.write_bytes(b"half")
    os.utime(orphans[0], (time.time() - 3600,) * 2)
    made = exporting.export_png(atlas, tmp_path / "out")
    assert (made.written, made.kept) == (2, 6)
    assert kept.stat().st_mtime_ns == before
    assert [orphan.exists() for orphan in orphans] == [False, True]  # the new one may be another export's
    orphans[1].unlink()
    assert files(tmp_path / "out") == whole


def test_what_is_dead_or_damaged_is_listed_and_not_invented(tmp_path: Path) -> None:
    atlas = synthetic(tmp_path / "a.atlas", ["a", "b"], status=(2,))
    shards = atlas.plan.of("renderings")
    (atlas.folder / "shards" / f"{shards[1].name}.safetensors").write_bytes(b"no shard")
    made = exporting.export_png(atlas, tmp_path / "out")
    assert len(files(tmp_path / "out")) == made.written == 3
    assert made.lost[Unit("a", 2)] == "dead: no gradient"
    assert {unit for unit in made.lost if unit.layer == "b"} == {Unit("b", index) for index in range(4)}
    assert "run the build again" in made.lost[Unit("b", 0)]


HOSTILE = [
    "../../../etc/cron.d/x",
    "..",
    "a\\..\\b",
    "/abs",
    "nul\0",
    "x" * 400,
    "line\nbreak",
    "été",
    "con:1",
    "a_b",
    "a/b",
]


def test_no_layers_name_becomes_a_path(tmp_path: Path) -> None:
    atlas = synthetic(tmp_path / "in" / "a.atlas", HOSTILE, units=2)
    before = files(tmp_path)
    made = exporting.export_png(atlas, tmp_path / "deep" / "er" / "out")
    new = set(files(tmp_path)) - set(before)
    assert len(new) == made.written == 2 * len(HOSTILE)
    for name in new:
        assert name.startswith("deep/er/out/layer_channel_visualizations/layer_")
        assert len(Path(name).name) < 200
        assert set(Path(name).name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert made.renamed["nul\0"] == "nul_"
    assert set(made.renamed) == {"a\\..\\b", "nul\0", "x" * 400, "line\nbreak", "été", "con:1"}


@pytest.mark.parametrize("change", [{"units": [99]}, {"units": [-1]}, {"layer": 5}, {"layer": -1}])
def test_a_plan_of_units_that_are_not_there_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    atlas = spoilt(tmp_path, "plan.json", "shards", change)
    with pytest.raises(AtlasDamaged, match=r"plans renderings-000-0000 for units that atlas.json has not"):
        exporting.export_png(Atlas.open(atlas), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("file", "change", "expected"),
    [
        ("plan.json", {"units": ["../../x"]}, "has a value of a wrong type"),
        ("plan.json", {"units": [True]}, "has a value of a wrong type"),
        ("plan.json", {"layer": "../x"}, "has a value of a wrong type"),
        ("atlas.json", {"name": 3}, "no name and number of units of layer 0"),
        ("atlas.json", {"name": ["a"]}, "no name and number of units of layer 0"),
        ("atlas.json", {"units": "../x"}, "no name and number of units of layer 0"),
    ],
)
def test_values_of_another_type_are_refused(
    tmp_path: Path, file: str, change: dict[str, object], expected: str
) -> None:
    atlas = spoilt(tmp_path, file, "shards" if file == "plan.json" else "layers", change)
    done = command(atlas, "png", tmp_path / "out")  # without the checks of types that these tests are run with
    assert (done.returncode, done.stdout) == (1, "")
    assert expected in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def spoilt(folder: Path, file: str, what: str, change: dict[str, object]) -> Path:
    """An atlas with something changed in its last shard or layer; of version 1, which had no digests there."""
    atlas = synthetic(folder / "a.atlas", ["a"]).folder
    for name in ("atlas.json", "plan.json"):
        values = json.loads((atlas / name).read_text())
        kept = {key: value for key, value in values.items() if key not in ("digest", "manifest")}
        if name == "atlas.json":
            kept["version"] = 1
        if name == file:
            kept[what][-1] |= change
        (atlas / name).write_text(json.dumps(kept))
    return atlas


def put_again(atlas: Atlas, shard: Shard, tensors: dict[str, np.ndarray], about: dict[str, object]) -> None:
    """Other content in the place of a shard that is whole."""
    (atlas.folder / "shards" / f"{shard.name}.sha256").unlink()
    atlas.put(shard, tensors, about=about)


def test_a_shard_without_pictures_is_listed(tmp_path: Path) -> None:
    atlas = synthetic(tmp_path / "a.atlas", ["a"])
    shard = atlas.plan.of("renderings")[0]
    put_again(atlas, shard, {"images": np.zeros((4, 5), np.uint8)}, {"status": ["", "", "", ""]})
    made = exporting.export_png(atlas, tmp_path / "out")
    assert len(made.lost) == 4
    assert "holds no pictures of its 4 units" in made.lost[Unit("a", 0)]


def test_memory_holds_one_shard_however_large_the_layer(tmp_path: Path) -> None:
    atlas = synthetic(tmp_path / "a.atlas", ["a"], units=256, size=96)  # 7 MB of pictures, 0.44 MB a shard
    tracemalloc.start()
    made = exporting.export_png(atlas, tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert made.written == 256
    assert peak < 3.5e6


def test_a_table_in_csv_has_every_number_and_no_formula(tmp_path: Path) -> None:
    atlas = synthetic(tmp_path / "a.atlas", ["=cmd|'/c calc'!A0", "b"], status=(1,))
    with exporting.export_table(atlas, tmp_path / "new" / "table.csv").open(newline="", encoding="utf-8") as handle:
        head, *rows = list(csv.reader(handle))
    assert head == ["unit", "layer", "index", "x", "y", "status", "score", "'=1+1", "'-3", "plain"]
    assert len(rows) == 8
    assert rows[0][0] == "'=cmd|'/c calc'!A0:0"
    assert [row[5] for row in rows] == ["done", "dead", "done", "done"] * 2
    for row in [head, *rows]:
        for cell in [*row[:3], *row[5:6]]:
            assert not cell.startswith(("=", "+", "-", "@"))
    numbers = np.array([[float(cell) for cell in row[7:]] for row in rows], np.float32)
    assert np.array_equal(numbers, atlas.responses().values.T, equal_nan=True)
    assert rows[0][7:9] == ["nan", "inf"]
    positions = atlas.get(atlas.plan.of("map")[0])[0]["positions"]
    assert np.array_equal(np.array([row[3:5] for row in rows], np.float32), positions)


def forged(folder: Path, **about: object) -> Atlas:
    """An atlas of four units whose shard of pictures says this of them."""
    atlas = synthetic(folder / "a.atlas", ["a"])
    shard = atlas.plan.of("renderings")[0]
    tensors, before = atlas.get(shard)
    put_again(atlas, shard, tensors, {**before, **about})
    return atlas


def test_a_status_is_no_formula(tmp_path: Path) -> None:
    atlas = forged(tmp_path, status=['=HYPERLINK("http://x")', "@a", "dead", ""])
    with exporting.export_table(atlas, tmp_path / "table.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["status"] for row in rows] == ['\'=HYPERLINK("http://x")', "'@a", "dead", "done"]


@pytest.mark.parametrize("status", [["", ""], "done", [None] * 4, [1, 2, 3, 4], None, [["dead"]] * 4])
def test_a_status_that_is_not_one_word_a_unit_is_damage(tmp_path: Path, status: object) -> None:
    atlas = forged(tmp_path, status=status)
    for write, name in ((exporting.export_table, "a.csv"), (exporting.export_npz, "a.npz")):
        with pytest.raises(AtlasDamaged, match="has no status of each of its 4 units: run the build again"):
            write(atlas, tmp_path / name)
        assert not (tmp_path / name).exists()
    made = exporting.export_png(atlas, tmp_path / "out")
    assert (made.written, len(made.lost)) == (0, 4)
    assert "has no status of each of its 4 units" in made.lost[Unit("a", 0)]


def test_a_reason_or_a_score_that_is_missing_is_damage(tmp_path: Path) -> None:
    made = exporting.export_png(forged(tmp_path, status=["dead"] * 4, reason=["no gradient"]), tmp_path / "out")
    assert "has no reason of each of its 4 units" in made.lost[Unit("a", 3)]
    atlas = Atlas.open(tmp_path / "a.atlas")
    shard = atlas.plan.of("renderings")[0]
    tensors, about = atlas.get(shard)
    put_again(atlas, shard, {**tensors, "scores": tensors["scores"][:2]}, about)
    with pytest.raises(AtlasDamaged, match="has no score of each of its 4 units"):
        exporting.export_table(atlas, tmp_path / "a.csv")


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    atlas = synthetic(tmp_path / "a.atlas", ["a"])
    for write, name in ((exporting.export_table, "d.csv"), (exporting.export_npz, "d.npz")):
        (tmp_path / name).mkdir()
        with pytest.raises(WrongInput, match=rf"out \(=.*{name}'\) is a folder"):
            write(atlas, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.atlas", "d.csv", "d.npz"]


def test_a_file_that_cannot_be_put_in_place_leaves_nothing_behind(tmp_path: Path) -> None:
    atlas = synthetic(tmp_path / "a.atlas", ["a"])
    folder = tmp_path / "out" / "layer_channel_visualizations" / "layer_1"
    (folder / "layer_a_channel_0.png").mkdir(parents=True)
    with pytest.raises(CannotWrite, match=r"layer_a_channel_0\.png .*directory.* choose another"):
        exporting.export_png(atlas, tmp_path / "out")
    assert [path.name for path in folder.iterdir()] == ["layer_a_channel_0.png"]


def test_pictures_of_another_atlas_are_counted(tmp_path: Path) -> None:
    first = exporting.export_png(synthetic(tmp_path / "a.atlas", ["a", "b"]), tmp_path / "out")
    again = exporting.export_png(Atlas.open(tmp_path / "a.atlas"), tmp_path / "out")
    assert (first.foreign, again.foreign) == (0, 0)
    other = synthetic(tmp_path / "b.atlas", ["c"], status=(2,))
    (first.folder / "layer_1" / ".unfinished-1-x.png").write_bytes(b"of an export that runs")
    made = exporting.export_png(other, tmp_path / "out")
    assert (made.written, made.foreign) == (3, 8)
    later = exporting.export_png(synthetic(tmp_path / "d.atlas", ["c"], status=(0, 1)), tmp_path / "out")
    assert later.foreign == 8 + 2  # with the pictures 0 and 1 of the atlas before, whose 3 is replaced
    done = command(tmp_path / "b.atlas", "png", tmp_path / "out", "--json")
    assert f"9 pictures in {made.folder} are not of this export" in done.stderr
    assert json.loads(done.stdout)["foreign"] == 9


def test_a_table_in_json_and_arrays_hold_the_same(tmp_path: Path) -> None:
    atlas = synthetic(tmp_path / "a.atlas", ["a", "b"], status=(1,))
    found = json.loads(exporting.export_table(atlas, tmp_path / "table.json").read_text())
    assert found["stimuli"][0] == {"name": "=1+1", "label": "@sum"}
    assert found["units"][0]["responses"][:2] == [None, None]
    assert found["units"][5]["unit"] == "b:1"
    assert found["units"][5]["status"] == "dead"
    with np.load(exporting.export_npz(atlas, tmp_path / "arrays.npz"), allow_pickle=False) as arrays:
        assert np.array_equal(arrays["responses"], atlas.responses().values, equal_nan=True)
        assert arrays["units"].tolist() == [str(unit) for unit in atlas.units]
        assert arrays["scores"][3] == pytest.approx(found["units"][3]["score"])
        assert arrays["labels"].tolist() == ["@sum", "", "b"]
        assert arrays["positions"][2].tolist() == pytest.approx(found["units"][2]["position"])


def test_other_endings_are_refused(tmp_path: Path) -> None:
    atlas = synthetic(tmp_path / "a.atlas", ["a"])
    with pytest.raises(WrongInput, match=r"ends in '.xls': use .csv or .json"):
        exporting.export_table(atlas, tmp_path / "table.xls")
    with pytest.raises(WrongInput, match=r"use .npz"):
        exporting.export_npz(atlas, tmp_path / "arrays.npy")


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "neuronatlas.cli", "export", *map(str, words)]
    return subprocess.run(program, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas that a small network was built into, six of the eight units of a layer rendered, two of them silent."""
    import torch

    module = models.plain()
    with torch.no_grad():
        module[4].weight[7], module[4].bias[7] = 0, -1  # type: ignore[index, operator]
    folder = tmp_path_factory.mktemp("built") / "a.atlas"
    shown = stimuli.StimulusSet(stimuli.photographs().items[:12])
    build(models.wrap(module, 32), shown, folder, layers=["5"], units=6)
    return folder


def test_the_command_exports_a_real_atlas_and_says_what_is_missing(built: Path, tmp_path: Path) -> None:
    done = command(built, "png", tmp_path / "out")
    assert done.returncode == 3, done.stderr
    assert "2 units have no picture in this atlas: it was built with --units" in done.stderr
    assert "'5:7' has no picture, dead: no gradient reached the picture in 16 steps" in done.stderr
    assert done.stdout.endswith("4 pictures written, 0 there already, 2 missing\n")
    found = sorted((tmp_path / "out" / "layer_channel_visualizations" / "layer_1").iterdir())
    assert [path.name for path in found] == [f"layer_5_channel_{index}.png" for index in (0, 1, 3, 6)]
    assert min(np.asarray(Image.open(path)).std() for path in found) > 5
    again = command(built, "png", tmp_path / "out", "--json")
    assert again.returncode == 3
    told = json.loads(again.stdout)
    assert (told["written"], told["kept"], told["unasked"], list(told["lost"])) == (0, 4, 2, ["5:4", "5:7"])


def test_the_command_exports_a_table_and_the_page(built: Path, tmp_path: Path) -> None:
    done = command(built, "table", tmp_path / "table.csv")
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / "table.csv"))
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["unit"] for row in rows] == [f"5:{index}" for index in range(8)]
    assert [row["status"] for row in rows] == ["done", "done", "", "done", "dead", "", "done", "dead"]
    done = command(built, "site", tmp_path / "site", "--json")
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["file"]).is_file()


def test_a_site_may_leave_the_stimuli_out(built: Path, tmp_path: Path) -> None:
    seen = command(built, "site", tmp_path / "seen")
    unseen = command(built, "site", tmp_path / "unseen", "--no-images")
    count = len(Atlas.open(built).manifest.stimuli["names"])
    assert f"thumbnails of {count} stimuli (--no-images leaves them out)" in seen.stderr
    assert "MB" in seen.stderr
    assert "thumbnails" not in unseen.stderr
    packs = [json.loads((tmp_path / name / "data" / "stimuli-0.js").read_text().split("]=", 1)[1].rstrip().rstrip(";"))
             for name in ("seen", "unseen")]  # fmt: skip
    assert len(packs[0]) == len(packs[1]) == count
    assert len(set(packs[0])) > 1
    assert len(set(packs[1])) == 1, "every stimulus is the same grey square"


def test_the_command_refuses_another_kind(built: Path, tmp_path: Path) -> None:
    done = command(built, "pgn", tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip() == "neuronatlas: no kind of export 'pgn': did you mean 'png'?"


def test_exporting_loads_no_framework(built: Path, tmp_path: Path) -> None:
    check = (
        "import sys; from neuronatlas import exporting; from neuronatlas.atlas import open as opened\n"
        f"exporting.export_png(opened({str(built)!r}), {str(tmp_path)!r})\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'tensorflow', 'jax', 'keras')))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
