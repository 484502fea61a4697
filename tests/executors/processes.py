"""What the kernel says of processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path


def until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something that will be so soon."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def gone(pids: set[int], *, within: float) -> bool:
    """Whether none of the processes is left after so many seconds."""
    end = time.monotonic() + within
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    return bool(pids) and not any(map(alive, pids))


def alive(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def processor_time(pid: int) -> float:
    """The seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(parent: int) -> set[int]:
    """The processes that a process has started, and that have not ended."""
    return {
        int(path.name) for path in Path("/proc").glob("[0-9]*") if _parent(path) == parent and alive(int(path.name))
    }


def _parent(path: Path) -> int:
    try:
        return int((path / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
