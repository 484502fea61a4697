"""The page: one folder that opens by double click, from any static host, and with no network at all.

It holds ``index.html``, one script, one style sheet, the licences of what is in the script, and ``data/``: classic scripts,
pictures in them, named by number only.
Nothing in it depends on when or where it was written: the same scene gives the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from neuronatlas.errors import WrongInput
from neuronatlas.view import scripts
from neuronatlas.view.folders import taking_the_place_of
from neuronatlas.view.parts import Parts
from neuronatlas.view.scene import Scene

STATIC = Path(__file__).parent / "static"
"""The bundle that ``web/`` is built into."""
BUNDLE = ("index.html", "app.js", "app.css", "licences.txt")


def write_page(scene: Scene, folder: Path) -> Path:
    """Write the page of a scene and return its ``index.html``.

    The page is written beside ``folder`` and takes its place in the end, so a reader sees the old page or the new one.
    Raises `WrongInput` where ``folder`` holds anything but a page, and where the viewer's bundle was never built.
    """
    folder = folder.resolve()
    _refuse_strangers(folder)
    bundle = _bundle()
    with taking_the_place_of(folder) as partial:
        for name, content in _files(scene):
            target = partial / name
            target.parent.mkdir(exist_ok=True)
            _write(target, content)
        for source in bundle:
            _write(partial / source.name, source.read_bytes())
    return folder / "index.html"


def _files(scene: Scene) -> Iterator[tuple[str, bytes]]:
    """Names, none of which is made from data, and contents."""
    parts = Parts(scene)
    for key in parts:
        yield f"data/{key}.js", scripts.script(key, parts.value(key))


def _bundle() -> list[Path]:
    files = [STATIC / name for name in BUNDLE]
    if not all(file.is_file() for file in files):
        message = f"the viewer's bundle is not in {STATIC.name}/: install the package, or run python hatch_build.py"
        raise WrongInput(message)
    return files


def _refuse_strangers(folder: Path) -> None:
    """A page may replace a page or an empty folder, never somebody's files."""
    if folder.exists() and not folder.is_dir():
        message = f"folder {str(folder)!r} is not a folder: name one that is new, empty, or holds a page"
        raise WrongInput(message)
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / "index.html").is_file() or not (folder / "data" / "scene.js").is_file():
        message = f"folder {str(folder)!r} holds other files: name one that is new, empty, or holds a page"
        raise WrongInput(message)


def _write(target: Path, content: bytes) -> None:
    with target.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
