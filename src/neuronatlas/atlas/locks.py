"""Who may write in an atlas: locks of the operating system, which end with the process that holds them.

Any number of processes write at once, on any number of machines; what a killed one left is swept by one that is alone.
Where the file system has no such locks (some NFS and Lustre, Windows), writers share no less: they only may do a duty
twice, which gives the same bytes, and an orphan is swept when it is a day old.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
_DAY = 86400.0
_MOMENT = 0.1
_held: set[int] = set()


class _NoLocks(Exception):
    """There are no locks here."""


@contextlib.contextmanager
def shared(path: Path, sweep: Callable[[float], None]) -> Iterator[None]:
    """Be one of the writers. ``sweep`` removes what is unfinished and older than its argument (seconds).

    It is called where nobody else writes: a lock for one alone is tried, and then exchanged for a shared one. The exchange
    may let another in first, who sweeps too; nothing of this process is there yet.
    """
    with _opened(path) as handle:
        try:
            if _taken(handle, alone=True, waiting=False):
                sweep(0.0)
            _taken(handle, alone=False, waiting=True)
        except _NoLocks:
            sweep(_DAY)
        yield


@contextlib.contextmanager
def alone(path: Path, *, waiting: bool) -> Iterator[bool]:
    """True for one at a time; others get False, or wait. True for all where there are no locks."""
    with _opened(path) as handle:
        try:
            got = _taken(handle, alone=True, waiting=waiting)
        except _NoLocks:
            got = True
        yield got


def settled(path: Path) -> None:
    """Return once nobody holds the lock at ``path`` alone. Writes nothing, and never fails."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return
    except OSError:
        time.sleep(_MOMENT)
        return
    try:
        _taken(handle, alone=False, waiting=True)
    except (_NoLocks, OSError):
        time.sleep(_MOMENT)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A file to lock; for reading and writing, as NFS wants it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    _held.add(handle)
    try:
        yield handle
    finally:
        if handle in _held:
            _held.remove(handle)
            os.close(handle)


def _taken(handle: int, *, alone: bool, waiting: bool) -> bool:
    """Take the lock; False where another has it and ``waiting`` is off."""
    try:
        import fcntl
    except ImportError as error:
        raise _NoLocks from error
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | (0 if waiting else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        _warn()
        raise _NoLocks from error
    return True


def _warn() -> None:
    message = (
        "this file system has no locks: several processes may build one atlas all the same, but a map or a page may be "
        "made twice; ask for a mount with flock, or build with one process at a time"
    )
    warnings.warn(message, stacklevel=2)  # from one line always, so that it is shown once


def _forked() -> None:
    """A child of fork has the locks of its parent open: they would outlive the parent in it."""
    for handle in _held:
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
