"""Disks that fail, fill up and may not be written. Run as a program it is a process for one test::

python -m tests.atlas.faults killed FOLDER
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.atlas import small

from neuronatlas.atlas import Atlas
from neuronatlas.errors import AtlasDamaged, CannotWrite

CALLS = ("open", "write", "fsync", "replace", "mkdir", "unlink")
LARGE = 1_000_000
NOBODY = 65534


class Fault:
    """The n-th call to the system does half of what it should, and then ``end`` is called."""

    def __init__(self, number: int, end: Callable[[], None]) -> None:
        self.left = number
        self.end = end

    @contextlib.contextmanager
    def injected(self) -> Iterator[Fault]:
        """With the functions of `os` wrapped."""
        usual = {name: getattr(os, name) for name in CALLS}
        for name, function in usual.items():
            setattr(os, name, self._wrapped(name, function))
        try:
            yield self
        finally:
            for name, function in usual.items():
                setattr(os, name, function)

    @property
    def happened(self) -> bool:
        """Was there an n-th call?"""
        return self.left <= 0

    def _wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                if name == "write":
                    function(given[0], given[1][: len(given[1]) // 2])
                self.end()
            return function(*given, **named)

        return call


def fail(code: int) -> Callable[[], None]:
    """End with this error."""

    def end() -> None:
        raise OSError(code, os.strerror(code))

    return end


def kill() -> None:
    """End here and now."""
    os.kill(os.getpid(), signal.SIGKILL)


def nothing_half(folder: Path, before: dict[str, bytes], after: dict[str, bytes]) -> None:
    """Each file that a reader may see is as it was or as it will be, and each shard says so."""
    for name in before.keys() | after.keys():
        path = folder / name
        found = path.read_bytes() if path.is_file() else None
        assert found in (before.get(name), after.get(name)), name
    with contextlib.suppress(ValueError, AtlasDamaged):
        atlas = Atlas.open(folder)
        for shard in atlas.plan:
            if atlas.state(shard) == "whole":
                atlas.get(shard)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that is not a writer's own."""
    return {name: (folder / name).read_bytes() for name in small.digests(folder)} if folder.is_dir() else {}


def killed(place: Path, old: Path | None = None) -> int:
    """Kill a build at its n-th call for every n; how many there were. ``old``: what was in the folder before."""
    whole = contents(small.work(place / "whole").folder)
    for number in itertools.count(1):
        folder = place / str(number)
        if old is not None:
            shutil.copytree(old, folder)
        before = contents(folder)
        child = os.fork()
        if not child:
            with Fault(number, kill).injected():
                small.work(folder)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        nothing_half(folder, before, whole)
        small.work(folder)
        assert contents(folder) == whole
        assert small.unfinished_in(folder) == []
        shutil.rmtree(folder)
        if os.waitstatus_to_exitcode(status) == 0:
            return number - 1
    raise AssertionError


class Room:
    """A folder with 5 MB of room: a file system of its own, or else files that may not grow beyond 0.6 MB."""

    def __init__(self, folder: Path, *, mounted: bool) -> None:
        self.folder = folder
        self.mounted = mounted
        folder.mkdir()
        if mounted:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", folder], check=True)
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))

    def more(self) -> None:
        """Make enough room."""
        if self.mounted:
            subprocess.run(["mount", "-o", "remount,size=50m", self.folder], check=True)
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def full(place: Path, how: str) -> None:
    """A build that finds no room, and goes on when there is."""
    size = 1_800_000 if how == "mounted" else LARGE
    whole = contents(small.work(place / "whole", size).folder)
    room = Room(place / "room", mounted=how == "mounted")
    folder = room.folder / "a.atlas"
    told = _refused(folder, size)
    numbers = re.search(r"it takes ([\d,]+) bytes, ([\d,]+) are free: ", told)
    assert numbers, told
    needed, free = (int(number.replace(",", "")) for number in numbers.groups())
    assert needed in {len(small.content(shard, size)) for shard in small.planned()}
    if how == "mounted":
        assert free == shutil.disk_usage(folder).free
        assert 0 < free < needed
    assert "make room there" in told
    assert str(folder) in told
    assert small.unfinished_in(folder) == []
    states = [Atlas.open(folder).state(shard) for shard in small.planned()]
    assert set(states) <= {"whole", "absent"}
    assert states.count("whole") == (2 if how == "mounted" else 0), states
    nothing_half(folder, {}, whole)
    _refused(folder, size)
    room.more()
    small.work(folder, size)
    assert contents(folder) == whole


def closed(place: Path, how: str) -> None:
    """A folder that may not be written: a mount that is read only, or rights that forbid it."""
    folder = place / "a.atlas"
    folder.mkdir()
    if how == "mounted":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", folder], check=True)
    atlas = small.work(folder)
    victim = atlas.plan.shards[1]
    (folder / "shards" / f"{victim.name}.sha256").unlink()
    before = contents(folder)
    mine = os.geteuid()
    if how == "mounted":
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    else:
        for one in (folder, folder / "shards"):
            one.chmod(0o555)
        if mine == 0:
            os.seteuid(NOBODY)
    told = _refused(folder, 100)
    assert ("Read-only file system" if how == "mounted" else "Permission denied") in told
    assert "make the folder writable, or choose another" in told
    assert contents(folder) == before
    assert Atlas.open(folder).missing() == [victim]
    begun = _refused(folder / "new.atlas", 100)
    assert "cannot write shards" in begun, begun
    if how == "mounted":
        subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
    else:
        os.seteuid(mine)
        for one in (folder, folder / "shards"):
            one.chmod(0o755)
    assert small.work(folder).missing() == []


def _refused(folder: Path, size: int) -> str:
    try:
        small.work(folder, size)
    except CannotWrite as error:
        return str(error)
    message = "it could be written"
    raise AssertionError(message)


def main(mode: str, place: Path, *rest: str) -> None:
    """One test in a process of its own."""
    if mode == "killed":
        print(json.dumps(killed(place, Path(rest[0]) if rest else None)))
    elif mode == "full":
        full(place, *rest)
    elif mode == "closed":
        closed(place, *rest)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
