"""One place for a worker process, seen from the parent: it is started, given orders, its end is noticed, it is stopped."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from neuronatlas.errors import NeuronAtlasError
from neuronatlas.executors.work import RAISED, receive, send, unpacked

GRACE = 1.0
"""Seconds that a process that has nothing more to do may take to end by itself."""
_CRASHES = {"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT"}
_COUNTS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
_CODE = """import sys
sys.path[:] = sys.argv[1:]
del sys.argv[1:]
from neuronatlas.executors.work import main
main()"""


@dataclass(frozen=True)
class Died:
    """A process ended before it answered."""

    reason: str


Answer = bytes | NeuronAtlasError | str | Died
"""A result, an error of this package, the reason of another error, or the end of the process."""


class Attendant:
    """Looks after one process at a time, which it starts itself: on Linux a child dies with the thread that began it.

    Every order gets one answer, which ``tell`` is given with this attendant.
    """

    def __init__(self, opener: bytes, environment: dict[str, str], tell: Callable[[Attendant, Answer], None]) -> None:
        self._thread = threading.Thread(target=self._attend, daemon=True, name="neuronatlas worker")
        self._opener = opener
        self._environment = environment
        self._tell = tell
        self._orders: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._leaving = False
        self._process: subprocess.Popen[bytes] | None = None
        self._words: _Words | None = None

    def start(self) -> None:
        """Begin to take orders."""
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait, at most so long, until the process is gone and no more orders are taken."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def open(self) -> None:
        """Start a new process in the place of the old one, and open its worker; the answer to that is empty."""
        self._orders.put(b"")

    def do(self, task: bytes) -> None:
        """Have a pickled task done."""
        self._orders.put(task)

    def leave(self, *, at_once: bool) -> None:
        """No more orders. The process ends by itself when it has done those it has, or now."""
        self._orders.put(None)
        if at_once:
            with self._lock:
                self._leaving = True
                if self._process is not None:
                    _kill(self._process)

    def _attend(self) -> None:
        while (order := self._orders.get()) is not None:
            self._tell(self, self._answer(order))
        self._stop(kindly=True)

    def _answer(self, order: bytes) -> Answer:
        try:
            if not order:
                self._stop(kindly=False)
                self._start()
            assert self._process is not None
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            send(self._process.stdin, b"O", order or self._opener)
            kind, content = receive(self._process.stdout)
        except (EOFError, OSError) as error:
            return Died(self._end() or f"could not be started: {error}")
        return unpacked(content) if kind == RAISED else content

    def _start(self) -> None:
        command = [sys.executable, "-c", _CODE, *sys.path]
        with self._lock:
            if self._leaving:
                raise EOFError
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment,
                process_group=0,  # so that what it starts can be stopped with it
            )
        assert self._process.stderr is not None
        self._words = _Words(self._process.stderr)

    def _end(self) -> str:
        """What the process that has closed its pipe has died of."""
        if self._process is None:
            return ""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        process, words = self._process, self._words
        self._stop(kindly=False)
        last = words.last() if words is not None else ""
        return how_it_ended(process.returncode) + (f"; its last words: {last}" if last else "")

    def _stop(self, *, kindly: bool) -> None:
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        if kindly:
            with suppress(OSError, subprocess.TimeoutExpired):
                send(process.stdin, b"O", b"")
                process.wait(GRACE)
        with self._lock:
            _kill(process)
            self._process = None
        process.wait()
        if self._words is not None:
            self._words.join(GRACE)
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                pipe.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it has started; nothing where none of them is left."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


class _Words(threading.Thread):
    """Reads what a process prints, so that it never waits, and keeps the end of it."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(daemon=True, name="neuronatlas words")
        self._pipe = pipe
        self._kept = b""
        self.start()

    def run(self) -> None:
        with self._pipe:
            while part := os.read(self._pipe.fileno(), 65536):
                self._kept = (self._kept + part)[-2000:]

    def last(self, *, lines: int = 3, characters: int = 300) -> str:
        """The last lines in one, at most so many characters."""
        text = self._kept.decode(errors="replace")
        full = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
        return " / ".join(full[-lines:])[-characters:]


def how_it_ended(code: int) -> str:
    """A process's exit code in words; a negative one is the signal that ended it.

    >>> how_it_ended(-11)
    'was killed by signal 11 (SIGSEGV): a crash in compiled code'
    """
    if code >= 0:
        shell = f", which is how a shell says {_signal(code - 128)}" if 128 < code < 160 else ""
        return f"ended with exit code {code}{shell}"
    name = _signal(-code)
    if -code == 9:
        return f"was killed by {name}: the machine may have run out of memory"
    return f"was killed by {name}" + (": a crash in compiled code" if name.split("(")[-1][:-1] in _CRASHES else "")


def _signal(number: int) -> str:
    names = {each.value: each.name for each in signal.Signals}
    return f"signal {number} ({names.get(number, 'unknown')})"


def environment(threads: int, *, exactly: bool) -> dict[str, str]:
    """This process's environment, with so many threads for every library; if not exactly, fewer where it says so already."""
    found = dict(os.environ)
    for name in _COUNTS:
        said = found.get(name, "")
        fewer = not exactly and said.isdecimal() and 0 < int(said) < threads
        found[name] = said if fewer else str(threads)
    return found
