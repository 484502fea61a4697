"""A folder takes the place of another whole, whatever happens on the way."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from neuronatlas.view.folders import ABANDONED, taking_the_place_of


def test_the_new_one_is_there_in_the_end_and_nothing_beside_it(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with taking_the_place_of(tmp_path / "some" / "page") as partial:
            (partial / "a").write_text(text)
        assert (tmp_path / "some" / "page" / "a").read_text() == text
    assert [path.name for path in (tmp_path / "some").iterdir()] == ["page"]


def test_the_old_one_stays_when_something_fails(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt), taking_the_place_of(tmp_path / "page") as partial:
        (partial / "a").write_text("new")
        raise KeyboardInterrupt
    assert (tmp_path / "page" / "a").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_killed_writer_moved_away_is_put_back(tmp_path: Path) -> None:
    moved = tmp_path / ".page.replaced-1"
    moved.mkdir()
    (moved / "a").write_text("old")
    long_ago = time.time() - ABANDONED - 1
    os.utime(moved, (long_ago, long_ago))
    with pytest.raises(ValueError, match="no"), taking_the_place_of(tmp_path / "page"):
        raise ValueError("no")
    assert (tmp_path / "page" / "a").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_others_write_at_this_time_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / ".page.partial-1"
    theirs.mkdir()
    with taking_the_place_of(tmp_path / "page"):
        pass
    assert theirs.is_dir()
