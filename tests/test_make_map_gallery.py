"""The script of the map gallery makes every picture that its page names, and the page fetches nothing."""

from __future__ import annotations

import runpy
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[1] / "docs" / "make_map_gallery.py"


class Tags(HTMLParser):
    """Every tag of a page with its attributes, and its words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("maps") / "new"
    runpy.run_path(str(SCRIPT))["main"](out, quick=True)
    return out


@pytest.mark.slow
def test_every_picture_is_there_and_holds_something(folder: Path) -> None:
    page = Tags((folder / "index.html").read_text(encoding="utf-8"))
    files = [str(given["src"]) for tag, given in page.tags if tag == "img"]
    assert {*files, "index.html"} == {path.name for path in folder.iterdir()}
    assert len(files) == 5
    for file in files:
        with Image.open(folder / file) as picture:
            assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24) or []) > 100
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe"})


@pytest.mark.slow
def test_numbers_of_the_captions_are_those_of_the_run(folder: Path) -> None:
    words = Tags((folder / "index.html").read_text(encoding="utf-8")).words
    assert "3 frames of a grating" in words
    assert "all 1280 moments" in words  # 20 steps of 64 foragers


def test_names_are_shown_as_text() -> None:
    hostile = '<img src=x onerror="alert(1)">'
    page = Tags(runpy.run_path(str(SCRIPT))["page"]([('a".png', hostile, hostile)]))
    images = [given for tag, given in page.tags if tag == "img"]
    assert images == [{"src": 'a".png', "alt": hostile}]
    assert page.words.count(hostile) == 2


def test_shortest_ways_of_the_toy_world_lead_to_their_goal() -> None:
    world = runpy.run_path(str(SCRIPT))["World"](0)
    moves = runpy.run_path(str(SCRIPT))["MOVES"]
    for start in world.free[::17]:
        for goal in world.free[::13]:
            place, steps = start, 0
            while (place != goal).any():
                place = place + moves[world.step_to[(*place, *goal)]]
                assert not world.wall[tuple(place)]
                steps += 1
                assert steps < 40
            assert steps >= np.abs(start - goal).sum()
