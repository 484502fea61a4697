"""A folder that is written beside the one whose place it takes, so that a reader sees the old one or the new one."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ABANDONED = 3600.0
"""Seconds after which what lies beside a folder is nobody's."""


@contextmanager
def taking_the_place_of(folder: Path) -> Iterator[Path]:
    """An empty folder to write to; when nothing has failed it becomes ``folder``.

    What killed writers left beside it is swept, and what one of them had moved away, put back.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    partial = _beside(folder, "partial")
    partial.mkdir()
    try:
        yield partial
        _swap(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _beside(folder: Path, word: str) -> Path:
    return folder.parent / f".{folder.name}.{word}-{os.getpid()}"


def _orphans(folder: Path, word: str) -> list[Path]:
    """Folders of this name that no writer is at any more."""
    found = folder.parent.glob(f".{glob.escape(folder.name)}.{word}-*")
    return [each for each in found if time.time() - each.stat().st_mtime > ABANDONED or each == _beside(folder, word)]


def _sweep(folder: Path) -> None:
    for orphan in _orphans(folder, "replaced"):
        if not folder.exists():  # its writer was killed between the two renames
            with contextlib.suppress(OSError):
                orphan.rename(folder)
    for word in ("partial", "replaced"):
        for orphan in _orphans(folder, word):
            shutil.rmtree(orphan, ignore_errors=True)


def _swap(partial: Path, folder: Path) -> None:
    if not folder.exists():
        partial.rename(folder)
        return
    replaced = _beside(folder, "replaced")
    folder.rename(replaced)
    try:
        partial.rename(folder)
    except BaseException:  # an interrupt too: the old one goes back
        replaced.rename(folder)
        raise
    shutil.rmtree(replaced, ignore_errors=True)
