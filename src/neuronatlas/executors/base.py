"""What every executor does: tasks in, their results out, whoever computed them.

A worker is opened once wherever it is to work (a process, a node of a cluster), which loads what is large, and is then given
one task at a time. Tasks do not depend on each other, and one done twice gives the same bytes, so that whatever dies can be
done again elsewhere. Results come in any order; only the caller writes anything down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

Task = TypeVar("Task")
Worker = Callable[[Task], bytes]
Opener = Callable[[], Worker[Task]]
ATTEMPTS = 3
"""A task that has ended its worker (killed, out of memory, crashed) so many times is not tried again."""


@dataclass(frozen=True)
class Failure:
    """Why a task has no result: what its worker died of, or the error that it raised, in one line."""

    reason: str


class Executor(Protocol):
    """Something that runs tasks. ``opener`` and the tasks are pickled where workers are other processes."""

    def run(self, opener: Opener[Task], tasks: Sequence[Task]) -> Iterator[tuple[Task, bytes | Failure]]:
        """Each task with its result as it gets ready; leaving the iterator stops all workers.

        A task that raises an error of this package is a `Failure` at once, as is one that raises another error
        `ATTEMPTS` times; a worker that dies is opened again, and the task that it had is tried `ATTEMPTS` times in all.
        Where no worker can be opened at all, `NeuronAtlasError` says why.
        """
        ...
