"""Progress that tells the truth: a bar on a terminal, plain lines elsewhere, an ETA from the work done in this run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def reporter() -> Iterator[Callable[[str, int, int], None]]:
    """A function to tell (stage, done, total); it writes to standard error until the block ends."""
    if sys.stderr.isatty():
        with _bar() as tell:
            yield tell
    else:
        yield _Lines()


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<11}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, TaskID] = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done, total=total)

        yield tell


class _Lines:
    """One line at the start and the end of a stage, and every few seconds between."""

    def __init__(self) -> None:
        self.stage = ""
        self.began = self.spoke = 0.0
        self.first = 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        fresh = stage != self.stage
        if fresh:
            self.stage, self.began, self.first = stage, now, done
        if not fresh and done < total and now - self.spoke < _SECONDS_BETWEEN_LINES:
            return
        self.spoke = now
        worked = done - self.first
        left = f", {_clock((now - self.began) / worked * (total - done))} left" if worked and done < total else ""
        took = f" in {_clock(now - self.began)}" if done == total and not fresh else ""
        sys.stderr.write(f"{stage}: {done} of {total}{took}{left}\n")
        sys.stderr.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
