"""Toy tasks for executors, each with its own way of going well or badly; importable wherever a worker is."""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuronatlas.errors import Cancelled, UnknownName, WrongInput

_poisoned = threading.Event()
"""Set for the rest of a process's life, as an error of CUDA is."""


@dataclass(frozen=True)
class Toy:
    """A task: ``what`` happens, and which of its kind it is. "..., once" goes well when it is tried again."""

    what: str = "digest"
    number: int = 0
    length: int = 1000


@dataclass(frozen=True)
class Opening:
    """Opens a `ToyWorker`, or fails as ``how`` says ("..., later": all but the first time).

    What begins leaves a file in ``folder``, so that it can be counted.
    """

    folder: Path
    how: str = "well"

    def __call__(self) -> ToyWorker:
        mark(self.folder, "opened")
        how, _, when = self.how.partition(", ")
        if not when or (when == "once") == self._is_first():
            misfortune(how)
        return ToyWorker(self.folder)

    def _is_first(self) -> bool:
        try:
            (self.folder / "first").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


class ToyWorker:
    """Does what the toy says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, toy: Toy) -> bytes:
        mark(self.folder, f"{toy.what}-{toy.number}")
        if _poisoned.is_set():
            message = "CUDA error: an illegal memory access was encountered"
            raise RuntimeError(message)
        what, once, _ = toy.what.partition(", once")
        if not once or begun(self.folder, f"{toy.what}-{toy.number}") == 1:
            misfortune(what)
        if toy.what == "text":
            return "not bytes"  # type: ignore[return-value]
        return digest(toy)


def digest(toy: Toy) -> bytes:
    """What every toy that goes well gives: ``toy.length`` bytes that only ``toy.number`` decides."""
    rng = np.random.default_rng(toy.number)
    head = hashlib.sha256(rng.standard_normal(64).tobytes()).digest()
    return (head + rng.bytes(max(0, toy.length - len(head))))[: toy.length]


def mark(folder: Path, what: str) -> None:
    """Leave a file that says that ``what`` has begun in this process."""
    (folder / f"{what}={os.getpid()}={uuid.uuid4().hex}").touch()


def begun(folder: Path, what: str) -> int:
    """How often ``what`` has begun."""
    return len(list(folder.glob(f"{what}=*")))


def where(folder: Path, what: str) -> set[int]:
    """The processes in which ``what`` has begun."""
    return {int(path.name.split("=")[1]) for path in folder.glob(f"{what}=*")}


def misfortune(what: str) -> None:
    """Whatever ``what`` names; nothing for other words."""
    MISFORTUNES.get(what, bool)()


def _wrong() -> None:
    message = "length (=0) must be\n1 or more"
    raise WrongInput(message)


def _unknown() -> None:
    raise UnknownName("layer", "blokcs.1", ["blocks.1", "head"])


def _error() -> None:
    message = "the disk\nis full"
    raise OSError(message)


def _cancelled() -> None:
    message = "somebody asked"
    raise Cancelled(message)


def _poison() -> None:
    _poisoned.set()
    message = "CUDA error: device-side assert triggered"
    raise RuntimeError(message)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _killed_by_the_kernel() -> None:
    """Use up all the processor time that this process may have: the kernel kills it, with no warning."""
    end = int(time.process_time()) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (end, end))
    while True:
        pass


def _segfault() -> None:
    ctypes.string_at(0)


def _exit() -> None:
    os._exit(139)


def _leave() -> None:
    sys.exit("the licence server is away")


def _abort() -> None:
    print("\nstd::bad_alloc\n")
    os.abort()


def _print() -> None:
    print("to standard output", flush=True)
    os.write(1, b"\x00" * 4096)
    os.write(2, b"x" * 300_000)
    assert not sys.stdin.read()


def _memory() -> None:
    """Ask for more than the kernel lets this process have."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 50_000_000, resource.RLIM_INFINITY))
    np.ones(100_000_000)


def _sleep() -> None:
    time.sleep(300)


def _hold() -> None:
    """Sleep without letting any other thread of Python run."""
    ctypes.PyDLL(None).sleep(300)


def _brood() -> None:
    """Start processes that hold on to all they can, and die."""
    folder = Path(os.environ["TOYS"])
    child = os.fork()
    if not child:
        mark(folder, "brood")
        time.sleep(300)
        os._exit(0)
    subprocess.Popen(["sleep", "300"])
    while child not in where(folder, "brood"):
        time.sleep(0.01)
    misfortune(os.environ["THEN"])


def _bye() -> None:
    atexit.register(mark, Path(os.environ["TOYS"]), "bye")


def _stay() -> None:
    threading.Thread(target=_sleep).start()


def _threads() -> None:
    import torch

    said = [os.environ[f"{library}_NUM_THREADS"] for library in ("OMP", "MKL", "OPENBLAS")]
    raise WrongInput(" ".join([str(torch.get_num_threads()), *said]))


MISFORTUNES: dict[str, Callable[[], object]] = {
    "wrong": _wrong,
    "unknown": _unknown,
    "error": _error,
    "cancelled": _cancelled,
    "poison": _poison,
    "kill": _kill,
    "kernel": _killed_by_the_kernel,
    "segfault": _segfault,
    "exit": _exit,
    "leave": _leave,
    "abort": _abort,
    "print": _print,
    "memory": _memory,
    "brood": _brood,
    "bye": _bye,
    "stay": _stay,
    "threads": _threads,
    "sleep": _sleep,
    "hold": _hold,
    "slow": lambda: time.sleep(0.2),
}
