"""Files of an atlas: read without following a link, written so that they are as before or whole, whoever dies.

What cannot be written is a `CannotWrite`, which says what it takes, how much is free and what to do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from neuronatlas.errors import AtlasDamaged, CannotWrite

TEMPORARY = ".unfinished-"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
_NO_SYNC = (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES)
"""What some file systems say when a folder is to be flushed: they cannot, or need not."""


def is_there(path: Path) -> bool:
    """Is there anything of that name, be it a link? A folder that may not be read is an error, and not an empty one."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_plain(path: Path) -> bool:
    """Is there a file, and neither a link nor anything that is read without an end?"""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def read_text(path: Path) -> str:
    """The text of a plain file, to the byte; raises `AtlasDamaged` where it is none."""
    if not is_plain(path):
        message = f"{path} is no plain file; links are not followed"
        raise AtlasDamaged(message)
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"{path} is not UTF-8 text: it is not as it was written"
        raise AtlasDamaged(message) from error


def write_atomically(path: Path, content: bytes) -> None:
    """The file is either as before or whole, whenever the process or the machine dies; raises `CannotWrite`."""
    with unfinished(path, content) as fresh:
        finish(fresh, path, len(content))


@contextlib.contextmanager
def unfinished(path: Path, content: bytes) -> Iterator[Path]:
    """The content on the disk beside ``path``, under a name that no other writer has; gone in the end unless renamed."""
    host = re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname())[:40]
    fresh = path.with_name(f"{TEMPORARY}{host}-{os.getpid()}-{secrets.token_hex(8)}")
    try:
        with explained(path, len(content)):
            _write(fresh, content)
        yield fresh
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)


def finish(fresh: Path, path: Path, size: int) -> None:
    """Give an unfinished file of ``size`` bytes its name, and let the disk know."""
    with explained(path, size):
        fresh.replace(path)
        _sync(path.parent)


@contextlib.contextmanager
def explained(path: Path, needed: int) -> Iterator[None]:
    """An `OSError` on the way becomes a `CannotWrite` about ``path``, for which ``needed`` bytes were wanted."""
    try:
        yield
    except OSError as error:
        folder = path.parent
        if error.errno in _NO_ROOM:
            advice = "make room there, or raise the quota or the limit"
        elif error.errno in _NOT_ALLOWED:
            advice = "make the folder writable, or choose another"
        else:
            advice = "look after the disk"
        message = (
            f"cannot write {path.name} into {str(folder)!r} ({error.strerror or error}): it takes {needed:,} bytes, "
            f"{_free(folder)} are free: {advice}, then run the same command again; what is done stays"
        )
        raise CannotWrite(message) from error


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    except OSError:
        path.unlink(missing_ok=True)  # at once: what it took is counted as free
        raise
    finally:
        os.close(handle)


def _sync(folder: Path) -> None:
    """Flush the names in a folder; POSIX alone can."""
    if os.name != "posix":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def _free(folder: Path) -> str:
    with contextlib.suppress(OSError):
        return f"{shutil.disk_usage(folder).free:,}"
    return "an unknown number"
