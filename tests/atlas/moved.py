"""An atlas that was moved to a place where nothing can be written: a process for one test.

python -m tests.atlas.moved read FOLDER mounted
"""

from __future__ import annotations

import encodings.idna
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.atlas.faults import NOBODY

import neuronatlas as na
from neuronatlas.atlas import Atlas
from neuronatlas.building import page_of
from neuronatlas.errors import CannotWrite
from neuronatlas.view.scene import scene_of
from neuronatlas.view.server import serve


def main(mode: str, place: Path, how: str) -> None:
    """Make the folder read only, and read everything in it."""
    assert mode == "read"
    assert encodings.idna  # wanted by a server, and out of reach for nobody where Python lies in somebody's home
    folder = place / "moved here ü"
    if how == "mounted":
        subprocess.run(["mount", "--bind", folder, folder], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
    else:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        if os.geteuid() == 0:
            os.seteuid(NOBODY)
    try:
        (folder / "x").write_bytes(b"")
    except OSError:
        pass
    else:
        raise AssertionError
    read(folder)


def read(folder: Path) -> None:
    """All that a reader does; the page too."""
    atlas = na.open(folder)
    assert isinstance(atlas, Atlas)
    assert atlas.missing() == []
    assert atlas.responses().values.shape == (6, 8)
    assert len(scene_of(atlas).pictures) == 4
    try:
        with atlas.writing():
            raise AssertionError
    except CannotWrite:
        pass
    with serve(folder / "site") as server:
        for path in sorted((folder / "site").rglob("*")):
            if path.is_file():
                with urllib.request.urlopen(server.address + path.relative_to(folder / "site").as_posix()) as answer:
                    assert answer.read() == path.read_bytes()
    page = (folder / "site" / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert "app.js" in "".join(links)
    for link in (link for link in links if not link.startswith(("data:", "#"))):
        assert (folder / "site" / link).is_file(), link
    assert page_of(atlas) == folder / "site" / "index.html"


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
