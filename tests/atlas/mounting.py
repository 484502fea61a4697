"""Whether a test may mount a file system of its own: in a name space that ends with its process, so nothing is left."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.atlas import small


@functools.cache
def mounting() -> tuple[str, ...] | None:
    """The words before a command that may mount, None where nobody lets one: in a container without that right."""
    words = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--mount")
    if shutil.which("unshare") is None:
        return None
    probe = [*words, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/tmp"]
    return words if subprocess.run(probe, capture_output=True, check=False).returncode == 0 else None


@contextlib.contextmanager
def in_the_open() -> Iterator[Path]:
    """A folder that every user may enter, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield Path(place)


def run_apart(module: str, mode: str, place: Path, how: str) -> None:
    """Run a mode of a module of these tests, "mounted" if that may be, else with its other way to the same error."""
    before = (mounting() or ()) if how == "mounted" else ()
    if not before:
        how = "otherwise"
    command = [*before, sys.executable, "-m", f"tests.atlas.{module}", mode, str(place), how]
    done = subprocess.run(command, env=small.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
