"""One thread that does the newest of what it is asked; what it was doing before is called off."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Wish = TypeVar("Wish")
CalledOff = Callable[[], bool]


class Newest(Generic[Wish]):
    """Does ``work(wish, called_off)`` in a thread of its own, one at a time; ``work`` stops soon once it is called off."""

    def __init__(self, work: Callable[[Wish, CalledOff], None]) -> None:
        self._work = work
        self._change = threading.Condition()
        self._wish: Wish | None = None
        self._number = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def ask(self, wish: Wish) -> None:
        """Do this next, and nothing that was asked before."""
        with self._change:
            self._wish = wish
            self._number += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="neuronatlas live")
                self._thread.start()
            self._change.notify()

    def stop(self) -> None:
        """Call off what is being done, and what waits."""
        with self._change:
            self._wish = None
            self._number += 1

    def close(self, seconds: float = 5.0) -> None:
        """Stop, and end the thread, for which so many seconds are waited."""
        self.stop()
        with self._change:
            self._closed = True
            self._change.notify()
            thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._change:
                while self._wish is None and not self._closed:
                    self._change.wait()
                if self._wish is None:
                    return
                wish, number, self._wish = self._wish, self._number, None
            self._work(wish, lambda number=number: number != self._number)  # type: ignore[misc]
