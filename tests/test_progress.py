"""Progress off a terminal: plain lines on standard error, few, and honest."""

from __future__ import annotations

import os
import pty
import re
import sys
import time
from contextlib import suppress
from io import TextIOWrapper

import pytest

from neuronatlas.progress import _clock, _Lines, reporter


def test_plain_lines_at_the_start_and_the_end_only(capsys: pytest.CaptureFixture[str]) -> None:
    with reporter() as tell:
        for stage in ("responses", "renderings"):
            for done in range(101):
                tell(stage, done, 100)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert [re.sub(r"\d+ s", "T", line) for line in lines] == [
        "responses: 0 of 100",
        "responses: 100 of 100 in T",
        "renderings: 0 of 100",
        "renderings: 100 of 100 in T",
    ]
    assert "\x1b" not in err
    assert "\r" not in err


def test_the_time_left_counts_only_this_runs_work(capsys: pytest.CaptureFixture[str]) -> None:
    """Resumed at 80 of 100: ten more in about two seconds leave two more."""
    lines = _Lines()
    lines("renderings", 80, 100)
    lines.heard -= 2.0  # as though two seconds had passed
    lines.stages["renderings"].began -= 2.0
    lines.spoke -= 6.0
    lines("renderings", 90, 100)
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"renderings: 90 of 100, (5|4\.99|4\.98) a second, 2 s left", said)


def test_the_time_left_counts_from_a_stages_turn(capsys: pytest.CaptureFixture[str]) -> None:
    """Told of a minute before, and begun when the stage before it ended, four seconds ago."""
    lines = _Lines()
    lines("responses", 0, 50)
    lines("renderings", 0, 100)
    lines.stages["renderings"].began -= 60.0
    lines("responses", 50, 50)
    lines.heard -= 4.0
    lines.spoke -= 6.0
    lines("renderings", 1, 100)
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"renderings: 1 of 100, (15|14\.9\d?) a minute, 6 min 3\d s left", said)


def test_a_line_every_few_seconds_between(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _Lines()
    lines("renderings", 0, 100)
    for done in range(1, 50):
        lines("renderings", done, 100)
    assert len(capsys.readouterr().err.splitlines()) == 1
    lines.spoke = time.monotonic() - 6
    lines("renderings", 50, 100)
    lines("renderings", 51, 100)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_stage_without_work_is_no_division_by_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with reporter() as tell:
        tell("map", 0, 0)
    assert capsys.readouterr().err == "map: 0 of 0\n"


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3725, "62 min 5 s")])
def test_durations_read_well(seconds: float, text: str) -> None:
    assert _clock(seconds) == text


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm-256color")
    with os.fdopen(theirs, "wb", buffering=0) as raw, TextIOWrapper(raw, write_through=True) as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with reporter() as tell:
            tell("renderings", 0, 8)
            tell("renderings", 8, 8)
        monkeypatch.undo()
    shown = _all_of(ours).decode()
    assert "renderings" in shown
    assert "8/8" in shown
    assert "\x1b" in shown


def _all_of(terminal: int) -> bytes:
    """A terminal hands over what was written in pieces, and says with an error that its other end is closed."""
    pieces = []
    with os.fdopen(terminal, "rb", buffering=0) as ours, suppress(OSError):
        while piece := ours.read(65536):
            pieces.append(piece)
    return b"".join(pieces)
