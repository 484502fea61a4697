"""The script of the gallery shows every public name once at least, and no picture is empty."""

from __future__ import annotations

import runpy
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuronatlas import gallery, objectives
from neuronatlas.images import transforms
from neuronatlas.images.parametrisation import PARAMETRISATIONS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SCRIPT = Path(__file__).parents[1] / "docs" / "make_gallery.py"
PROTOCOLS = {"Part", "Transform", "transform_of"}
"""Public names of the transforms that are none themselves."""


class Pictures(HTMLParser):
    """The address and the words of every picture of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            given = dict(attrs)
            self.found[str(given["src"])] = str(given["alt"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gallery") / "new"
    runpy.run_path(str(SCRIPT))["main"](out, quick=True)
    return out


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ("objectives", set(objectives.__all__)),
        ("parametrisations", set(PARAMETRISATIONS)),
        ("transforms", set(transforms.__all__) - PROTOCOLS),
        ("recipes", set(gallery.__all__)),
    ],
)
def test_every_public_name_has_a_picture(folder: Path, section: str, names: set[str]) -> None:
    page = Pictures((folder / "index.html").read_text(encoding="utf-8"))
    shown = [words.split(":")[0].split(", ") for src, words in page.found.items() if src.startswith(f"{section}-")]
    assert names == {name for each in shown for name in each}


def test_no_picture_is_constant_and_the_page_shows_them_all(folder: Path) -> None:
    page = Pictures((folder / "index.html").read_text(encoding="utf-8"))
    assert set(page.found) == {path.name for path in folder.glob("*.png")}
    for name, words in page.found.items():
        with Image.open(folder / name) as picture:
            assert np.asarray(picture).reshape(-1, 3).std(0).max() > 1, name
        assert len(words) > 10


def test_the_code_of_each_picture_stands_on_the_page(folder: Path) -> None:
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == page.count("<code>") - 2  # two stand in the words at the top
    assert "gallery.deepdream(network, cat, &quot;blocks.9&quot;" in page
    assert "http" not in page
