"""Threads that share the tiles of a group among them, each with a copy of the network and one thread of computation."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from neuronatlas.rendering.loop import Loop
from neuronatlas.rendering.result import Rendering
from neuronatlas.rendering.task import Frame, Job, Task

Watch = Callable[[Frame], None]
_Told = tuple[Job, Rendering] | Frame | BaseException | None


def make(task: Task, jobs: list[Job], watch: Watch | None, workers: int | None) -> Generator[tuple[Job, Rendering]]:
    """The pictures of a group as they get ready, each with its job.

    There are as many threads as processors (or ``workers``), tiles and copies of the network. Whatever one of them or
    ``watch`` raises, or the end of this iterator, stops them all before it goes on.
    """
    most = workers or processors() if task.network.device.type == "cpu" else 1
    margin, (height, width) = 2 * task.recipe.margin, task.recipe.size
    networks = task.network.accelerated(
        task.layers,
        size=(height - margin, width - margin),
        precision=task.recipe.precision,
        copies=min(most, -(-len(jobs) // task.tile)),
    )
    waiting, lock, stop = iter(jobs), threading.Lock(), threading.Event()
    told: queue.Queue[_Told] = queue.Queue()

    def take() -> Job | None:
        with lock:
            return next(waiting, None)

    def work(part: Task) -> None:
        try:
            torch.set_num_threads(1)
            for made in Loop(part, None if watch is None else told.put).run(take, stop.is_set):
                told.put(made)
        except BaseException as error:  # noqa: BLE001 - it is raised in the calling thread
            told.put(error)
        told.put(None)

    threads = [threading.Thread(target=work, args=(replace(task, network=each),), daemon=True) for each in networks]
    with _number_of_threads_kept():
        for thread in threads:
            thread.start()
        try:
            yield from _heard(told, len(threads), watch)
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def _heard(told: queue.Queue[_Told], working: int, watch: Watch | None) -> Generator[tuple[Job, Rendering]]:
    while working:
        item = told.get()
        if item is None:
            working -= 1
        elif isinstance(item, BaseException):
            raise item
        elif isinstance(item, tuple):
            yield item
        elif watch is not None:
            watch(item)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Threads:
    """torch's number of threads, which each worker sets to one for all threads begun later; as before after the last."""

    lock = threading.Lock()
    users = 0
    before = 0


@contextmanager
def _number_of_threads_kept() -> Iterator[None]:
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
