"""Work done ahead in daemon threads, its results given in order; what hangs is named and left behind.

The threads of `concurrent.futures` are waited for when the program ends, so that one that hangs would keep it from ending.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from itertools import islice
from queue import SimpleQueue
from typing import Generic, TypeVar

from neuronatlas.images.files import UnreadablePicture

Item = TypeVar("Item")
Result = TypeVar("Result")
SECONDS = 120.0
"""How long one picture may take; the largest that are read take a few."""
MAX_WORKERS = 16
LEAVING = 1.0
"""How many seconds threads that still have a picture in hand are waited for."""


def cores() -> int:
    """The processors that this process may use, at most `MAX_WORKERS`."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return min(len(allowed), MAX_WORKERS)


def in_order(
    opened: Callable[[], AbstractContextManager[Callable[[Item], Result]]],
    items: Iterable[Item],
    *,
    name: Callable[[Item], str],
    workers: int,
    ahead: int,
    seconds: float | None = SECONDS,
) -> Iterator[Result]:
    """What the function makes of each item, in the order of the items; each thread opens a function for itself.

    At most ``ahead`` items, at least 1, are being worked on or lie ready beside the one that was given. An error of the
    function is raised in its turn. Where an item takes longer than ``seconds`` (None: no limit), `UnreadablePicture` names it.
    With no workers the calling thread does the work, and waits for it.
    """
    if workers == 0:
        with opened() as function:
            yield from map(function, items)
        return
    todo: SimpleQueue[_Job[Item, Result] | None] = SimpleQueue()
    stop = threading.Event()
    threads = [threading.Thread(target=_work, args=(opened, todo, stop), daemon=True) for _ in range(workers)]
    waiting: deque[_Job[Item, Result]] = deque()
    rest = iter(items)

    def ask(count: int) -> None:
        for item in islice(rest, count):
            waiting.append(_Job(item))
            todo.put(waiting[-1])

    try:
        for thread in threads:
            thread.start()
        ask(max(1, ahead))
        while waiting:
            job = waiting.popleft()
            result = job.result(seconds, name)
            ask(1)
            yield result
    finally:
        stop.set()
        until = time.monotonic() + LEAVING
        for _ in threads:
            todo.put(None)
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))


@dataclass(eq=False)
class _Job(Generic[Item, Result]):
    """One item, when its work began, and what comes of it."""

    item: Item
    future: Future[Result] = field(default_factory=Future)
    began: float | None = None

    def result(self, seconds: float | None, name: Callable[[Item], str]) -> Result:
        left = seconds
        while True:
            try:
                return self.future.result(left)
            except TimeoutError:
                if self.future.done():
                    return self.future.result()  # its own result, an error of that kind perhaps
            if seconds is not None and self.began is not None:
                left = self.began + seconds - time.monotonic()
                if left <= 0:
                    reason = f"it was not read and decoded within {seconds:g} seconds: mend it or leave it out"
                    raise UnreadablePicture(name(self.item), reason)


def _work(
    opened: Callable[[], AbstractContextManager[Callable[[Item], Result]]],
    todo: SimpleQueue[_Job[Item, Result] | None],
    stop: threading.Event,
) -> None:
    """The life of one thread."""
    function: Callable[[Item], Result] | None = None
    with ExitStack() as stack:
        while (job := todo.get()) is not None and not stop.is_set():
            try:
                if function is None:
                    function = stack.enter_context(opened())
                job.began = time.monotonic()
                job.future.set_result(function(job.item))
            except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
                job.future.set_exception(error)
