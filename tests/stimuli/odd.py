"""Stimuli that go wrong, in functions that another process can import."""

from __future__ import annotations

import ctypes
import threading
import time
from functools import partial

import numpy as np

from neuronatlas.stimuli import Stimulus

RUNNING: list[int] = []


def plain(number: int, size: int) -> np.ndarray:
    """A grey of this number, later ones sooner."""
    time.sleep(0.002 * (number % 3))
    return np.full((size, size, 3), number % 256, np.uint8)


def hang(size: int) -> np.ndarray:
    """It never ends."""
    threading.Event().wait()
    raise AssertionError


def crash(size: int) -> np.ndarray:
    """It reads from address 0, as a faulty codec may."""
    ctypes.string_at(0)
    raise AssertionError


def fail(size: int) -> np.ndarray:
    """It raises an error that is none of the package's."""
    return np.zeros(size) / {}["nothing"]


def late(size: int) -> np.ndarray:
    """An error that has the name of a timeout, and is none of the decoding's."""
    message = "the disk did not answer"
    raise TimeoutError(message)


def wide(size: int) -> np.ndarray:
    """A picture that is too wide."""
    return np.zeros((size, size + 1, 3), np.uint8)


def counted(number: int, size: int) -> np.ndarray:
    """A plain one that is counted."""
    RUNNING.append(number)
    return plain(number, size)


def greys(count: int) -> list[Stimulus]:
    """So many plain ones."""
    return [Stimulus(f"grey {n}", "", str(n), partial(plain, n)) for n in range(count)]
