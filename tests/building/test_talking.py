"""A build from the command line: interrupted, without a terminal, with a worker that dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.building import tiny

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.pictures(tmp_path_factory.mktemp("pictures"), 40)


def command(pictures: Path, atlas: Path, *more: str, factory: str = "network") -> list[str]:
    words = [sys.executable, "-m", "neuronatlas.cli", "build", f"{HERE / 'tiny.py'}:{factory}", "-o", str(atlas)]
    return [*words, "--images", str(pictures), *more]


def children(process: int) -> set[int]:
    """The processes that a process has started and that are still there."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = status.read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        if f"PPid:\t{process}" in lines:
            found.add(int(status.parent.name))
    return found


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["here", "processes"])
def test_r1_control_c_stops_at_once_and_says_how_to_go_on(
    workers: tuple[str, ...], pictures: Path, tmp_path: Path
) -> None:
    atlas = tmp_path / "atlas"
    process = subprocess.Popen(
        command(pictures, atlas, *workers, factory="slow_network"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("renderings"):
            break
    time.sleep(2)  # in the middle of it
    started = children(process.pid)
    assert len(started) >= 2 if workers else True
    pressed = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=20)[1]
    assert time.monotonic() - pressed < 5
    assert process.returncode == 130
    assert "the same command goes on where it stopped" in said
    assert "Traceback" not in said
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline and any(Path(f"/proc/{each}").exists() for each in started):
        time.sleep(0.05)
    assert not any(Path(f"/proc/{each}").exists() for each in started)
    assert not list(atlas.rglob(".unfinished-*"))


def test_r16_without_a_terminal_there_are_plain_lines(pictures: Path, tmp_path: Path) -> None:
    words = command(pictures, tmp_path / "atlas")
    plain = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "NO_COLOR": "1", "PYTHONUTF8": "0"}
    done = subprocess.run(words, capture_output=True, check=True, env=plain)
    talk = done.stderr.decode("ascii")
    assert "\x1b" not in talk
    assert "\r" not in talk
    assert "responses: 0 of 40" in talk
    assert "renderings: 0 of " in talk  # what comes next is told before its turn
    assert talk.index("renderings: 0 of ") < talk.index("responses: 40 of 40")
    assert "map: 1 of 1" in talk
    done.stdout.decode("ascii")


@pytest.mark.timeout(120)
def test_r12_a_shard_that_ends_its_worker_is_left_and_listed(pictures: Path, tmp_path: Path) -> None:
    atlas = tmp_path / "atlas"
    words = command(pictures, atlas, "--workers", "2", factory="network_that_crashes")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "2 of " in done.stderr  # the layer and the rectifier behind it
    assert "renderings-003-0000" in done.stderr
    assert "renderings-004-0000" in done.stderr
    assert "the same command tries these again" in done.stderr
    verify = [sys.executable, "-m", "neuronatlas.cli", "verify", str(atlas)]
    left = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert left.stdout == "renderings-003-0000  absent\nrenderings-004-0000  absent\n"
    again = subprocess.run(
        [*words[:4], f"{HERE / 'tiny.py'}:network", *words[5:]], capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr  # the same weights, which crash no more
    assert subprocess.run(verify, capture_output=True, text=True, check=True).stdout.endswith("all whole\n")
