"""What every executor does: tasks in, their results out, whoever computed them.

A worker is opened once wherever it is to work (a process, a node of a cluster), which loads what is large, and is then given
one task at a time. Tasks do not depend on each other, and one done twice gives the same bytes, so that whatever dies can be
done again elsewhere. Results come in any order; only the caller writes anything down.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from neuronatlas.errors import NeuronAtlasError, WrongInput

Task = TypeVar("Task")
Worker = Callable[[Task], bytes]
Opener = Callable[[], Worker[Task]]
ATTEMPTS = 3
"""A task that has so many times ended its worker (killed, out of memory, crashed) or raised is not tried again."""


@dataclass(frozen=True)
class Failure:
    """Why a task has no result: what its worker died of, or the error that it raised, in one line."""

    reason: str


@runtime_checkable
class Executor(Protocol):
    """Something that runs tasks. ``opener`` and the tasks are pickled where workers are other processes."""

    @property
    def threads_each(self) -> int | None:
        """The threads that each worker may use; None: as many as there are processors."""
        ...

    def run(self, opener: Opener[Task], tasks: Sequence[Task]) -> Generator[tuple[Task, bytes | Failure]]:
        """Each task, as the object that was given, with its result as it gets ready; leaving the iterator stops all workers.

        A task that raises an error of this package is a `Failure` at once; only `Cancelled` goes to the caller and ends
        the run. One that raises another error is tried `ATTEMPTS` times, each time by a worker in a new process where
        workers are processes, since some errors (of CUDA) stay in theirs. A worker that dies is opened again, and the
        task that it had is tried `ATTEMPTS` times in all. The other tasks are done all the same.

        An error of this package that is raised by ``opener`` goes to the caller. Where no worker can be opened for
        another reason, or they die `ATTEMPTS` times in a row on being opened, `NeuronAtlasError` says why. Without tasks
        nothing is opened.
        """
        ...


def perform(worker: Worker[Task], task: Task) -> bytes:
    """What ``worker`` makes of ``task``; raises `WrongInput` where that is not bytes."""
    result: object = worker(task)
    if not isinstance(result, bytes):
        message = f"the worker's result for {type(task).__name__} is {type(result).__name__}: it must be bytes"
        raise WrongInput(message)
    return result


def reason_of(error: BaseException) -> str:
    """One line about an error: its message, with its type before it where that is not one of this package."""
    text = " ".join(str(error).split())
    if isinstance(error, NeuronAtlasError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
