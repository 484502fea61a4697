"""Threads that share the tiles of a group among them, each with a copy of the network and one thread of computation."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from dataclasses import replace

import torch

from neuronatlas.networks.threads import number_of_threads_kept, processors
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
    with number_of_threads_kept():
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
