"""The command refuses what its figures do not take, and numbers the pages of a long layer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tests.building import tiny

from neuronatlas.atlas import Atlas
from neuronatlas.cli import app
from neuronatlas.errors import UnknownName, WrongInput


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    from neuronatlas.building import build

    folder = tmp_path_factory.mktemp("figures")
    return build(tiny.network(), tiny.pictures(folder / "pictures", 12), folder / "a.atlas", layers=("3",), units=5)


def figure(atlas: Atlas, *words: str | Path) -> None:
    app(["figure", str(atlas.folder), *map(str, words)], standalone_mode=False)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["map", "x.pdf", "--unit", "3:0"], "--unit is not for the figure 'map', which takes --stimulus"),
        (["unit", "x.pdf"], "needs --unit"),
        (["layer", "x.pdf"], "needs --layer"),
        (["map", "x.jpg"], "use .pdf, .svg or .png"),
        (["map", "x.pdf", "--stimulus", "a", "--stimulus", "b"], "given 2 times"),
        (["film", "x.pdf"], "at least one"),
        (["map", "x.pdf", "--width-mm", "5"], "from 40 to 2000"),
    ],
)
def test_wrong_options_are_told_and_nothing_is_written(
    atlas: Atlas, tmp_path: Path, words: list[str], says: str
) -> None:
    with pytest.raises(WrongInput, match=says):
        figure(atlas, words[0], tmp_path / words[1], *words[2:])
    assert not list(tmp_path.iterdir())


def test_unknown_names_are_told_with_what_is_near(atlas: Atlas, tmp_path: Path) -> None:
    near = atlas.manifest.stimuli["names"][3]
    with pytest.raises(UnknownName, match=f"did you mean .*{near}"):
        figure(atlas, "map", tmp_path / "x.pdf", "--stimulus", f"{near}x")
    with pytest.raises(UnknownName, match="no layer '4': there are 3"):
        figure(atlas, "unit", tmp_path / "x.pdf", "--unit", "4:0")


def test_a_layer_of_several_pages_is_several_files_in_order(
    atlas: Atlas, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure(atlas, "layer", tmp_path / "l.svg", "--layer", "3", "--columns", "2", "--rows", "1", "--json")
    files = [str(tmp_path / f"l-{number}.svg") for number in (1, 2, 3)]
    assert json.loads(capsys.readouterr().out)["files"] == files
    assert sorted(map(str, tmp_path.iterdir())) == files


def test_a_film_and_a_sheet_are_written_and_named_on_standard_output(
    atlas: Atlas, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = atlas.manifest.stimuli["names"][:2]
    figure(atlas, "film", tmp_path / "new" / "f.pdf", "--stimulus", first, "--stimulus", second)
    figure(atlas, "sheet", tmp_path / "s.png", "--dpi", "50")
    assert capsys.readouterr().out == f"{tmp_path / 'new' / 'f.pdf'}\n{tmp_path / 's.png'}\n"
    assert (tmp_path / "new" / "f.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_every_kind_has_its_width_in_millimetres(
    atlas: Atlas, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, options in (("map", []), ("unit", ["--unit", "3:0"]), ("layer", ["--layer", "3"])):
        out = tmp_path / f"{kind}.png"
        figure(atlas, kind, out, *options, "--width-mm", "60", "--dpi", "100", "--json")
        assert json.loads(capsys.readouterr().out) == {"kind": kind, "files": [str(out)], "width_mm": 60.0}
        with Image.open(out) as image:
            assert image.size[0] == round(60 / 25.4 * 100)


def test_a_wrong_kind_is_exit_1_with_what_is_near(atlas: Atlas, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "neuronatlas", "figure", str(atlas.folder), "mpa", str(tmp_path / "x.png")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert "did you mean 'map'" in done.stderr
