"""The inside of a worker process of `executors.local`: an opener, then tasks, from a pipe; results into another.

Its standard output is given away before anything else is imported: what tasks print goes to standard error, and cannot end
up among the results. A process whose parent is gone ends itself.
"""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import queue
import signal
import struct
import sys
import threading
from contextlib import suppress
from typing import IO, Any

from neuronatlas import errors
from neuronatlas.executors.base import perform, reason_of

DONE, RAISED = b"D", b"R"
_HEADER = struct.Struct("<cQ")
_WHEN_PARENT_DIES = 1  # PR_SET_PDEATHSIG, linux/prctl.h


def send(pipe: IO[bytes], kind: bytes, content: bytes) -> None:
    """Write one message: its kind (one byte), its length, its content."""
    pipe.write(_HEADER.pack(kind, len(content)))
    pipe.write(content)
    pipe.flush()


def receive(pipe: IO[bytes]) -> tuple[bytes, bytes]:
    """The kind and the content of the next message; raises `EOFError` where the other side is gone."""
    kind, length = _HEADER.unpack(_exactly(pipe, _HEADER.size))
    return kind, _exactly(pipe, length)


def _exactly(pipe: IO[bytes], length: int) -> bytes:
    content = pipe.read(length)
    if len(content) < length:
        raise EOFError
    return content


def packed(error: Exception) -> bytes:
    """An error in words, and its nearest type in this package's tree ("" where it has none)."""
    kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__]
    kind = kinds[0] if kinds else ""
    return json.dumps([kind, str(error) if kind else reason_of(error)]).encode()


def unpacked(content: bytes) -> errors.NeuronAtlasError | str:
    """What `packed` has packed: the error anew, or the reason alone where it was none of this package."""
    kind, text = json.loads(content)
    if not kind:
        return str(text)
    found: type[errors.NeuronAtlasError] = getattr(errors, kind)
    return found.__new__(found, text)  # not called: some make their message from other arguments


def main() -> None:
    """Serve the process that started this one until it says that nothing more is to be done, or is gone."""
    orders, results = _pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to decide on
    _die_with_parent()
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(orders, inbox), daemon=True).start()
    worker: Any = None
    opened = False
    while order := inbox.get():
        try:
            given = pickle.loads(order)  # noqa: S301 - from the process that started this one
            del order
            if not opened:
                worker, opened, result = given(), True, b""
            else:
                result = perform(worker, given)
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told
            kind, content = RAISED, packed(error)
        else:
            kind, content = DONE, result
            del result
        send(results, kind, content)
        del content


def _pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Standard input and output, under other numbers; from now on nothing can be read, and all that is printed is an error."""
    orders, results = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr

    def forget() -> None:
        os.close(orders)
        os.close(results)

    if hasattr(os, "register_at_fork"):  # else what a task leaves behind would hide that this process is dead
        os.register_at_fork(after_in_child=forget)
    return os.fdopen(orders, "rb", closefd=False), os.fdopen(results, "wb", closefd=False)


def _read(orders: IO[bytes], inbox: queue.SimpleQueue[bytes]) -> None:
    """Hand on what comes, also while a task runs; the end of the pipe is the end of this process and of all it started."""
    with suppress(EOFError, OSError):
        while True:
            _, content = receive(orders)
            inbox.put(content)
            if not content:
                return
            del content
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _die_with_parent() -> None:
    """Also where a task lets no other thread of Python run: a second after the parent's death the kernel ends this process.

    The handler of the signal is the C library's ``alarm``, which takes the signal's number, 1, for seconds.
    """
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        library.signal(signal.SIGHUP, ctypes.cast(library.alarm, ctypes.c_void_p))
        library.prctl(_WHEN_PARENT_DIES, signal.SIGHUP)
