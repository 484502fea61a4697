"""The executors of one machine: this process, or several that it starts.

The processes are started anew (``python -c``), not by ``multiprocessing``: a fork is no good for torch, TensorFlow or
threads, and its ``spawn`` imports the user's script a second time. ``concurrent.futures.ProcessPoolExecutor`` gives up all
its tasks when one of its processes dies.
"""

from __future__ import annotations

import io
import os
import pickle
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Generic

from neuronatlas.errors import Cancelled, NeuronAtlasError, WrongInput
from neuronatlas.executors.attending import Answer, Attendant, Died, environment
from neuronatlas.executors.base import ATTEMPTS, Failure, Opener, Task, Worker, perform, reason_of

_SECONDS_TO_STOP = 2.0


@dataclass(frozen=True)
class Here:
    """This process does the work, one task after the other. ``stop`` is asked before each: true raises `Cancelled`."""

    stop: Callable[[], bool] = bool
    threads_each: int | None = None

    def run(self, opener: Opener[Task], tasks: Sequence[Task]) -> Generator[tuple[Task, bytes | Failure]]:
        """See `Executor`. A task that ends this process ends it all; an error that stays in a process stays in this one."""
        worker: Worker[Task] | None = None
        for task in tasks:
            if self.stop():
                message = "stopped before all tasks were done: the same command goes on with the others"
                raise Cancelled(message)
            if worker is None:
                worker = _opened(opener)
            yield task, _tried(worker, task)


def _opened(opener: Opener[Task]) -> Worker[Task]:
    try:
        return opener()
    except NeuronAtlasError:
        raise
    except Exception as error:
        message = f"the worker could not be opened: {reason_of(error)}"
        raise NeuronAtlasError(message) from error


def _tried(worker: Worker[Task], task: Task) -> bytes | Failure:
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            return perform(worker, task)
        except Cancelled:
            raise
        except NeuronAtlasError as error:
            return Failure(reason_of(error))
        except Exception as error:  # noqa: BLE001 - the others are done all the same
            reason = reason_of(error)
    return Failure(reason)


@dataclass(frozen=True)
class Processes:
    """``count`` processes of this machine do the work, each with ``threads`` (default: an equal part of the processors, or what
    OMP_NUM_THREADS and its like say where that is less).

    What they print is kept to say what they died of, and is not shown. Memory is that of one worker a process; at most two
    results of each are held here.
    """

    count: int
    threads: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers below one."""
        for name, value in (("count", self.count), ("threads", self.threads)):
            if value is not None and value < 1:
                message = f"{name} (={value}) must be 1 or more"
                raise WrongInput(message)

    @property
    def threads_each(self) -> int:
        """The threads of each process: at least one."""
        return self.threads or max(1, processors() // self.count)

    def run(self, opener: Opener[Task], tasks: Sequence[Task]) -> Generator[tuple[Task, bytes | Failure]]:
        """See `Executor`. Raises `WrongInput` where ``opener`` or a task cannot be pickled, before any is begun."""
        sealed = pickled(opener, "opener")
        for number, task in enumerate(tasks):
            pickled(task, f"tasks[{number}]")
        if tasks:
            given = environment(self.threads_each, exactly=self.threads is not None)
            yield from _Crew(sealed, tasks, given, min(self.count, len(tasks))).run()


class _Crew(Generic[Task]):
    """The processes of one run, and what each is at.

    Tasks are handed out by the threads that look after the processes, so that these have work while the caller is busy;
    but no more than two for each process are under way or wait for the caller.
    """

    def __init__(self, opener: bytes, tasks: Sequence[Task], given: dict[str, str], count: int) -> None:
        self.hired = [Attendant(opener, given, self._heard) for _ in range(count)]
        self.tasks = tasks
        self.results: queue.SimpleQueue[tuple[int, bytes | Failure] | Exception] = queue.SimpleQueue()
        self.lock = threading.Lock()  # for all that follows
        self.unread = 0
        self.waiting = deque(range(len(tasks)))
        self.tried = Counter[int]()
        self.at: dict[Attendant, int | None] = {}  # None: being opened
        self.idle: list[Attendant] = []
        self.misses = Counter[Attendant]()
        self.once_opened = False

    def run(self) -> Generator[tuple[Task, bytes | Failure]]:
        """Run all tasks; no process is left when this ends, however it does."""
        at_once = True
        try:
            with self.lock:
                for attendant in self.hired:
                    attendant.start()
                    self._open(attendant)
            for _ in self.tasks:
                item = self.results.get()
                if isinstance(item, Exception):
                    raise item
                with self.lock:
                    self.unread -= 1
                    self._hand_out()
                number, result = item
                del item
                yield self.tasks[number], result
                del result
            at_once = False
        finally:
            self._part(at_once=at_once)

    def _heard(self, attendant: Attendant, answer: Answer) -> None:
        """What an attendant's thread has to tell."""
        try:
            with self.lock:
                number = self.at.pop(attendant)
                if number is None:
                    self._opening(attendant, answer)
                else:
                    self._result(attendant, number, answer)
        except Exception as error:  # noqa: BLE001 - the caller is told, in its own thread
            self.results.put(error)

    def _open(self, attendant: Attendant) -> None:
        self.at[attendant] = None
        attendant.open()

    def _hand_out(self) -> None:
        """Give those who are free the tasks that wait."""
        under_way = sum(number is not None for number in self.at.values())
        room = 2 * len(self.hired) - self.unread - under_way
        for _ in range(min(room, len(self.idle), len(self.waiting))):
            number = self.waiting.popleft()
            attendant = self.idle.pop()
            self.at[attendant] = number
            attendant.do(pickled(self.tasks[number], f"tasks[{number}]"))

    def _opening(self, attendant: Attendant, answer: Answer) -> None:
        """What came of opening a worker. One that cannot be opened is given up; raises for the last of all."""
        if isinstance(answer, bytes):
            self.once_opened = True
            self.misses[attendant] = 0
            self.idle.append(attendant)
            self._hand_out()
            return
        if isinstance(answer, NeuronAtlasError):
            raise answer
        self.misses[attendant] += 1
        dead = isinstance(answer, Died)
        if self.misses[attendant] < ATTEMPTS and (dead or self.once_opened):
            self._open(attendant)
        elif not self.at and not self.idle:
            reason = f"its process {answer.reason}" if isinstance(answer, Died) else answer
            message = f"no worker could be opened: {reason}"
            raise NeuronAtlasError(message)

    def _result(self, attendant: Attendant, number: int, answer: Answer) -> None:
        """What came of a task, for the caller or for another attempt, and what its attendant does next."""
        if isinstance(answer, Cancelled):
            raise answer
        if isinstance(answer, bytes | NeuronAtlasError):
            self._deliver(number, Failure(reason_of(answer)) if isinstance(answer, NeuronAtlasError) else answer)
            self.idle.append(attendant)
            self._hand_out()
            return
        self.tried[number] += 1
        if self.tried[number] < ATTEMPTS:
            self.waiting.append(number)
            self._hand_out()
        else:
            self._deliver(number, Failure(f"its process {answer.reason}" if isinstance(answer, Died) else answer))
        if self.waiting:
            self._open(attendant)
        else:
            attendant.leave(at_once=True)

    def _deliver(self, number: int, result: bytes | Failure) -> None:
        self.unread += 1
        self.results.put((number, result))

    def _part(self, *, at_once: bool) -> None:
        with self.lock:
            busy = set(self.at)
        for attendant in self.hired:
            attendant.leave(at_once=at_once or attendant in busy)
        end = time.monotonic() + _SECONDS_TO_STOP
        for attendant in self.hired:
            attendant.join(max(0.0, end - time.monotonic()))


class _Pickler(pickle.Pickler):
    """Refuses what only the user's script defines: a worker does not run that script."""

    def reducer_override(self, given: Any) -> Any:
        if isinstance(given, type | FunctionType) and given.__module__ == "__main__":
            message = f"{given.__qualname__} is defined in the script or notebook that is run"
            raise pickle.PicklingError(message)
        return NotImplemented


def pickled(given: object, name: str) -> bytes:
    """``given`` for another process; raises `WrongInput` with the argument's ``name`` where that cannot be."""
    written = io.BytesIO()
    try:
        _Pickler(written, pickle.HIGHEST_PROTOCOL).dump(given)
    except Exception as error:
        said = getattr(given, "__qualname__", None) or f"a {type(given).__qualname__}"
        message = (
            f"{name} (={said}) cannot be given to another process: {reason_of(error)}; give the network's word, or a "
            "function that can be imported from a module, or work in one process"
        )
        raise WrongInput(message) from error
    return written.getvalue()


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
