"""Threads that compute with one thread each: torch's number of threads is kept, and what they make comes in order."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, TypeVar

import torch

Given = TypeVar("Given")
Made = TypeVar("Made")
_END = object()


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Threads:
    """torch's number of threads, which each worker sets to one for all threads begun later; as before after the last."""

    lock = threading.Lock()
    users = 0
    before = 0


@contextmanager
def number_of_threads_kept() -> Iterator[None]:
    """Inside the block threads may set torch's number of threads; after the last such block it is as before the first."""
    # A thread that began while workers ran took their number over, so only the main thread's word counts twice.
    sure = threading.current_thread() is threading.main_thread()
    with _Threads.lock:
        if not _Threads.users and (sure or not _Threads.before):
            _Threads.before = torch.get_num_threads()
        _Threads.users += 1
    try:
        yield
    finally:
        with _Threads.lock:
            _Threads.users -= 1
            if not _Threads.users:
                torch.set_num_threads(_Threads.before)


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside the block torch computes with one thread in this one; as before after it."""
    before = torch.get_num_threads()
    with number_of_threads_kept():
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def in_order(workers: Sequence[Callable[[Given], Made]], items: Iterable[Given]) -> Iterator[Made]:
    """What the workers make of the items, in the order of these; each has a thread, and one alone the caller's.

    Each computes with one thread of torch. One of them at a time draws an item, and twice as many items as there are
    workers are drawn before what they became is asked for. What ``items`` or a worker raises is raised in its place.
    """
    if len(workers) == 1:
        for item in items:
            with one_thread():
                made = workers[0](item)
            yield made
        return
    work = _Work(iter(items), 2 * len(workers))
    threads = [threading.Thread(target=work.do, args=(worker,), daemon=True) for worker in workers]
    with number_of_threads_kept():
        for thread in threads:
            thread.start()
        try:
            yield from work.heard()
        finally:
            work.stop(len(threads))
            for thread in threads:
                thread.join()


class _Work:
    """Items that threads share; what became of each, or what it raised, and the end, by number."""

    def __init__(self, items: Iterator[Any], ahead: int) -> None:
        self._items = items
        self._lock = threading.Lock()
        self._taken, self._ended = 0, False
        self._tickets = threading.Semaphore(ahead)
        self._told: queue.SimpleQueue[tuple[int, object]] = queue.SimpleQueue()

    def do(self, worker: Callable[[Any], object]) -> None:
        torch.set_num_threads(1)
        while True:
            self._tickets.acquire()
            with self._lock:
                if self._ended:
                    return
                number = self._taken
                self._taken += 1
                try:
                    item = next(self._items, _END)
                except BaseException as error:  # noqa: BLE001 - raised in the calling thread
                    item = error
                if item is _END or isinstance(item, BaseException):
                    self._ended = True
                    self._told.put((number, item))
                    return
            try:
                self._told.put((number, (worker(item),)))
            except BaseException as error:  # noqa: BLE001 - raised in the calling thread
                self._told.put((number, error))

    def heard(self) -> Iterator[Any]:
        waiting: dict[int, object] = {}
        for number in count():
            while number not in waiting:
                other, made = self._told.get()
                waiting[other] = made
            made = waiting.pop(number)
            if made is _END:
                return
            if isinstance(made, BaseException):
                raise made
            assert isinstance(made, tuple)
            yield made[0]
            self._tickets.release()

    def stop(self, threads: int) -> None:
        with self._lock:
            self._ended = True
        self._tickets.release(threads)
