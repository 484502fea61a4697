"""run.py: what a newcomer calls first."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def script(tmp_path: Path) -> ModuleType:
    """run.py as a module, looking at a small checkout of its own."""
    spec = importlib.util.spec_from_file_location("run", ROOT / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, text in {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "nothing"\n',
        "constraints.txt": "",
        "web/src/main.ts": "let x = 1",
        "web/node_modules/other.js": "1",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    module.ROOT, module.VENV = tmp_path, tmp_path / ".venv"
    module.BIN = module.VENV / "bin"
    module.PYTHON = module.BIN / "python"
    return module


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *words], capture_output=True, text=True, check=False, cwd=cwd
    )


def test_an_unknown_word_is_told_the_known_ones(tmp_path: Path) -> None:
    done = run("tset", cwd=tmp_path)
    assert done.returncode == 1
    assert "unknown word 'tset': use demo or test" in done.stderr
    assert run("--help", cwd=tmp_path).returncode == 0


def test_the_state_changes_with_what_is_installed_and_with_nothing_else(script: ModuleType, tmp_path: Path) -> None:
    first = script.fingerprint()
    (tmp_path / "web/node_modules/other.js").write_text("2")
    (tmp_path / "notes.txt").write_text("mine")
    assert script.fingerprint() == first
    (tmp_path / "web/src/main.ts").write_text("let x = 2")
    second = script.fingerprint()
    (tmp_path / "constraints.txt").write_text("numpy==2.0")
    assert len({first, second, script.fingerprint()}) == 3


def test_a_half_made_environment_is_seen(script: ModuleType) -> None:
    assert not script.works()
    script.BIN.mkdir(parents=True)
    script.PYTHON.write_text("#!/bin/sh\nexit 1\n")
    script.PYTHON.chmod(0o755)
    assert not script.works()
    script.PYTHON.unlink()
    script.PYTHON.symlink_to(sys.executable)
    assert script.works()


def test_a_failed_installation_shows_why_and_leaves_no_stamp(
    script: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    assert not script.install("demo")
    said = capfd.readouterr().err
    assert "this failed with exit code" in said
    assert "pip" in said
    assert not list(script.VENV.glob("installed-*"))


def test_an_installation_that_holds_is_not_made_again(script: ModuleType) -> None:
    script.BIN.mkdir(parents=True)
    script.PYTHON.symlink_to(sys.executable)
    (script.VENV / "installed-test.txt").write_text(script.fingerprint())
    assert script.install("test")
    assert script.install("demo"), "the test extra holds the demonstration's"


BACKEND = """
import pathlib, zipfile
def build_editable(folder, *_):
    bundle = pathlib.Path("src/neuronatlas/view/static/index.html")
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("made")
    with open("installations.txt", "a") as count:
        count.write("one ")
    name = "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as wheel:
        wheel.writestr("tiny.py", "")
        about = "tiny-1.0.dist-info/"
        wheel.writestr(about + "METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\nProvides-Extra: test\\n")
        wheel.writestr(about + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(about + "RECORD", "")
    return name
"""


def test_a_real_installation_is_made_once_and_again_when_its_sources_change(
    script: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "backend.py").write_text(BACKEND)
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "tiny"\nversion = "1.0"\n'
    )

    def made() -> int:
        return len((tmp_path / "installations.txt").read_text().split())

    assert script.install("test"), capfd.readouterr().err
    assert made() == 1
    capfd.readouterr()
    assert script.install("test")
    assert script.install("demo")
    assert made() == 1
    assert capfd.readouterr().err == "", "the second time there is nothing to say"
    (tmp_path / "web/src/main.ts").write_text("let x = 3")
    assert script.install("test")
    assert made() == 2
    (tmp_path / "src/neuronatlas/view/static/index.html").unlink()
    assert script.install("test")
    assert made() == 3, "a bundle that is gone is made again"


def test_chromium_is_where_it_was_said_to_be(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = tmp_path / "my-chromium"
    monkeypatch.setenv("NEURONATLAS_CHROMIUM", str(said))
    assert script.find_chromium() is None
    said.touch()
    assert script.find_chromium() == said


def test_the_exit_code_of_what_ran_comes_back(script: ModuleType) -> None:
    assert script.run([sys.executable, "-c", "raise SystemExit(7)"], os.environ.copy()) == 7
