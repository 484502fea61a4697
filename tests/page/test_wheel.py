"""The wheel brings the viewer with it: installed where there is no Node, it writes the page of the demonstration."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from tests.page import browsing

pytestmark = [pytest.mark.page, pytest.mark.slow]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(bundle, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, timeout=200)
    (built,) = folder.glob("*.whl")
    return built


def test_the_viewer_is_in_the_wheel_as_it_was_built(wheel, bundle):
    from neuronatlas.view.page import BUNDLE

    with zipfile.ZipFile(wheel) as archive:
        for name in (*BUNDLE, "compare.html", "compare.js", "widget.js"):
            assert archive.read(f"neuronatlas/view/static/{name}") == (bundle / name).read_bytes()
        assert not [name for name in archive.namelist() if "node_modules" in name or name.endswith(".ts")]


def test_installed_without_node_it_writes_the_page(wheel, demonstration, chromium, tmp_path):
    home = tmp_path / "clean"
    venv.create(home, with_pip=False)
    library = home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", str(library)]
    subprocess.run([*pip, str(wheel)], check=True, timeout=120)
    # what the package depends on comes from here; the package itself, installed for editing, does not
    (library / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    words = "import neuronatlas, shutil, sys; print(neuronatlas.__file__, shutil.which('node'), shutil.which('npm'))"
    environment = {"PATH": str(home / "bin"), "HOME": str(tmp_path), "LANG": os.environ.get("LANG", "C.UTF-8")}
    python = str(home / "bin" / "python")
    said = subprocess.run(
        [python, "-c", words], env=environment, check=True, capture_output=True, text=True, timeout=60
    )
    assert said.stdout.split() == [str(library / "neuronatlas" / "__init__.py"), "None", "None"]
    site = tmp_path / "site"
    words = [python, "-m", "neuronatlas", "export", str(demonstration), "site", str(site)]
    subprocess.run(words, env=environment, check=True, capture_output=True, timeout=120)
    with browsing.visit(chromium, browsing.address(site), start="#/unit/blocks.7%3A0") as visit:
        visit.wait("atlas.unit === 'blocks.7:0' && atlas.dots > 1500")
        visit.wait("document.querySelector('#card .portrait img').naturalWidth > 0")
