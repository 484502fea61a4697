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
        TextColumn("{task.fields[rate]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, TaskID] = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total, rate="")
            speed = progress.tasks[tasks[stage]].speed
            progress.update(tasks[stage], completed=done, total=total, rate=_rate(speed) if speed else "")

        yield tell


class _Stage:
    """When a stage began in this run, and how much of it was done then."""

    def __init__(self, done: int, now: float) -> None:
        self.first, self.began, self.moving = done, now, False

    def told(self, done: int, total: int, now: float) -> str:
        """How long it took, or its rate and what is left."""
        worked, took = done - self.first, now - self.began
        if done == total:
            return f" in {_clock(took)}" if worked else ""
        if not worked or not took:
            return ""
        return f", {_rate(worked / took)}, {_clock(took / worked * (total - done))} left"


class _Lines:
    """One line at the start and the end of each stage, and every few seconds between."""

    def __init__(self) -> None:
        self.stages: dict[str, _Stage] = {}
        self.spoke = self.heard = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        before, self.heard = self.heard, now
        fresh = stage not in self.stages
        told = self.stages.setdefault(stage, _Stage(done, now))
        if done > told.first and not told.moving:  # a stage may be told of long before its turn comes
            told.began, told.moving = max(told.began, before), True
        if not fresh and done < total and now - self.spoke < _SECONDS_BETWEEN_LINES:
            return
        self.spoke = now
        sys.stderr.write(f"{stage}: {done} of {total}{told.told(done, total, now)}\n")
        sys.stderr.flush()


def _rate(a_second: float) -> str:
    return f"{a_second:.3g} a second" if a_second >= 1 else f"{60 * a_second:.3g} a minute"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
