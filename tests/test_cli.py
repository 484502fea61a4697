"""The command line as a person or a script meets it."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuronatlas import stimuli

NETWORK = "efficientnet-lite0"


def run(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "neuronatlas.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number, item in enumerate(stimuli.photographs().items[:40]):
        Image.fromarray(item.draw(96)).save(folder / f"{number:02d}.png")
    return folder


def test_help_names_every_command() -> None:
    said = run("--help").stdout
    for word in ("demo", "layers", "render", "map", "build", "view", "verify"):
        assert f"  {word} " in said
        assert run(word, "--help").returncode == 0


def test_wrong_usage_exits_with_2() -> None:
    assert run("render").returncode == 2
    assert run("frobnicate").returncode == 2


def wrong(*words: str | Path) -> str:
    """The one line that wrong input gets."""
    done = run(*words)
    assert done.returncode == 1, done
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_an_unknown_network_is_one_line(tmp_path: Path) -> None:
    line = wrong("layers", "efficientnet-light0")
    assert line.startswith("neuronatlas: no network 'efficientnet-light0': did you mean 'efficientnet-lite0'")


def test_an_unknown_layer_is_one_line(tmp_path: Path) -> None:
    line = wrong("render", NETWORK, "blokcs.5:17", "-o", tmp_path / "out")
    assert "no layer 'blokcs.5': did you mean 'blocks.5'" in line
    assert not (tmp_path / "out").exists()


def test_a_unit_out_of_range_or_no_address_is_one_line(tmp_path: Path) -> None:
    assert "layer 'stem' has units 0 to 31" in wrong("render", NETWORK, "stem:32", "-o", tmp_path)
    assert "write LAYER:INDEX" in wrong("render", NETWORK, "stem", "-o", tmp_path)


def test_d16_a_folder_without_pictures_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    assert str(tmp_path) in wrong(
        "build", NETWORK, "--images", tmp_path, "-o", tmp_path / "a.atlas", "--layers", "stem"
    )
    missing = tmp_path / "nowhere"
    assert str(missing) in wrong("map", NETWORK, "--images", missing, "-o", tmp_path / "map.png")


def test_a_folder_that_is_no_atlas_is_one_line(tmp_path: Path) -> None:
    assert "no atlas in" in wrong("verify", tmp_path)
    assert "no atlas in" in wrong("view", tmp_path)


def test_layers_as_json_and_as_a_table() -> None:
    found = json.loads(run("layers", NETWORK, "--json").stdout)["layers"]
    rows = {row["layer"]: row for row in found}
    assert rows["blocks.5.expand_conv"] == {
        "layer": "blocks.5.expand_conv",
        "kind": "convolution",
        "units": 240,
        "shape": [240, 28, 28],
        "receptive_field": 67,
    }
    table = run("layers", NETWORK).stdout.splitlines()
    assert table[0].split() == ["LAYER", "KIND", "UNITS", "SHAPE", "FIELD"]
    assert len(table) == len(found) + 1


def test_render_alone_and_among_sixteen_gives_the_same_picture_and_twice_the_same_bytes(tmp_path: Path) -> None:
    units = [f"blocks.2:{index}" for index in range(16)]
    many = run("render", NETWORK, *units, "-o", tmp_path / "many", "--json")
    alone = run("render", NETWORK, "blocks.2:5", "-o", tmp_path / "alone")
    again = run("render", NETWORK, "blocks.2:5", "-o", tmp_path / "again")
    assert (many.returncode, alone.returncode, again.returncode) == (0, 0, 0)
    first, second, third = (tmp_path / place / "blocks.2_5.png" for place in ("many", "alone", "again"))
    pixels = [np.asarray(Image.open(path), np.float64) / 255 for path in (first, second)]
    assert np.abs(pixels[0] - pixels[1]).mean() < 1e-3
    assert first.read_bytes() == second.read_bytes() == third.read_bytes()
    rows = json.loads(many.stdout)["renderings"]
    assert [row["unit"] for row in rows] == units
    assert all(row["score"] > 0 for row in rows)


def test_map_draws_a_picture(pictures: Path, tmp_path: Path) -> None:
    words = ["map", NETWORK, "--images", pictures, "--layers", "stem", "--layers", "blocks.0"]
    done = run(*words, "-o", tmp_path / "map.png", "--json")
    assert done.returncode == 0, done.stderr
    about = json.loads(done.stdout)
    assert about["units"] == 48
    picture = np.asarray(Image.open(tmp_path / "map.png").convert("RGB"))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 40
    linear = run(*words, "-o", tmp_path / "map.svg", "--method", "linear", "--circle", "--show", "03.png")
    assert linear.returncode == 0, linear.stderr
    assert "<svg" in (tmp_path / "map.svg").read_text()
    assert "no stimulus '3.png': did you mean" in run(*words, "-o", tmp_path / "x.png", "--show", "3.png").stderr
    assert "use .png, .svg or .pdf" in wrong(*words, "-o", tmp_path / "map.gif")
    assert {"trustworthiness", "continuity", "recall", "moran", "moran_null"} <= set(about)
    assert {"halves_disparity", "seeds_overlap", "held_out_moran"} <= set(about)


def test_map_compares_two_sets_of_stimuli_on_equal_areas_in_millimetres(pictures: Path, tmp_path: Path) -> None:
    words = ["map", NETWORK, "--images", pictures, "--layers", "stem", "--scale", "deviation"]
    sets = ["--method", "grid", "--show", "00.png", "--show", "01.png", "--against", "02.png", "--against", "03.png"]
    done = run(
        *words,
        *sets,
        "-o",
        tmp_path / "two.png",
        "--layout",
        "mds",
        "--reduce",
        "max",
        "--width",
        "170",
        "--json",
        "--quick",
    )
    assert done.returncode == 0, done.stderr
    assert "halves_disparity" not in json.loads(done.stdout)
    with Image.open(tmp_path / "two.png") as picture:
        assert picture.width / picture.info["dpi"][0] * 25.4 == pytest.approx(170, abs=0.2)
    done = run(*words, "--reduce", "3,4", "--method", "points", "-o", tmp_path / "a.pdf")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    for words_too, told in (
        (["--method", "points", "--against", "00.png"], "--method points does not go with --against"),
        (["--cmap", "viridus"], "no cmap 'viridus': did you mean 'viridis'"),
        (["--quick"], "--quick leaves something out of --json"),
        (["--width", "1"], "--width 1 must be from 10 to 2000 millimetres"),
        (["--against", "9.png"], "no stimulus '9.png'"),
    ):
        assert told in wrong(*words, *words_too, "-o", tmp_path / "b.png")
    assert "no layout 'tsn': did you mean 'tsne'" in wrong(*words, "--layout", "tsn", "-o", tmp_path / "a.png")


def test_build_skips_and_counts_a_truncated_picture_and_view_serves_the_page(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    shutil.copytree(pictures, folder)
    whole = tmp_path / "whole.jpg"
    Image.open(pictures / "00.png").save(whole, quality=95)
    (folder / "cut.jpg").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    words = ["build", NETWORK, "--images", folder, "-o", tmp_path / "a.atlas", "--layers", "stem", "--units", "2"]
    planned = run(*words, "--dry-run")
    assert planned.returncode == 0
    assert "32 units, 2 to render, 40 stimuli, 4 shards" in planned.stdout
    assert not (tmp_path / "a.atlas").exists()
    built = run(*words)
    assert built.returncode == 0, built.stderr
    assert "1 of 41 pictures are skipped" in built.stderr
    assert "cut.jpg" in built.stderr
    assert "40 stimuli" in built.stdout
    assert built.stdout.rstrip().endswith("a.atlas/site/index.html")
    command = [sys.executable, "-m", "neuronatlas.cli", "view", str(tmp_path / "a.atlas"), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    ) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[0]
        with urllib.request.urlopen(address) as answer:
            assert b"<html" in answer.read()
        server.terminate()
    bad = run("verify", tmp_path / "a.atlas", "--json")
    assert json.loads(bad.stdout) == {"shards": 4, "bad": {}}
