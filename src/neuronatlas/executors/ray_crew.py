"""The driver's side of a run on Ray: workers are hired, given tasks, listened to, lost, and dismissed.

Ray itself runs a task at least once, tells of a dead node late (it is listed as alive until its health checks have failed)
and restarts what it thinks fit. Here nothing is left to that: no actor is restarted and no task is retried by Ray. The driver
asks each actor for signs of life, gives one up that is silent, hires another, and counts what each task has cost.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from neuronatlas.errors import Cancelled, WrongInput
from neuronatlas.executors.base import ATTEMPTS, Failure, Opener, reason_of
from neuronatlas.executors.ray_cluster import Cluster
from neuronatlas.executors.ray_hiring import SIGNS, Hiring, Terms
from neuronatlas.executors.ray_worker import Raised, raised

LOSSES = 20
"""A task whose node went away under it so many times, through no fault of its own, is not tried again."""
_WATCHED = 1.0  # seconds that one turn counts for at most: while the caller is away, nobody is silent


@dataclass(eq=False)
class _Job:
    """A task, and what it has cost."""

    task: Any
    over: Any = None
    tries: int = 0
    losses: int = 0


@dataclass(eq=False)
class _Seat:
    """An actor: placed once it has said where it is, opened once it can be given jobs, which it does in their order."""

    actor: Any
    sign: Any
    asked: float
    quiet: float = 0.0
    node: str | None = None
    opening: Any = None
    opened: bool = False
    jobs: dict[Any, _Job] = field(default_factory=dict)

    def references(self) -> list[Any]:
        """What may become ready, signs of life first; of the jobs the first, as they are done in their order."""
        return [one for one in (self.sign, self.opening, *list(self.jobs)[:1]) if one is not None]


class Crew:
    """All workers of one run, their jobs, and the results that nobody has taken yet."""

    def __init__(self, terms: Terms, cluster: Cluster, opener: Opener[Any], tasks: Sequence[Any]) -> None:
        self.terms, self.cluster, self.ray = terms, cluster, cluster.ray
        self.hiring = Hiring(terms, cluster)
        self.waiting = deque(_Job(task) for task in tasks)
        self.left = len(self.waiting)
        self.done: deque[tuple[Any, bytes | Failure]] = deque()
        self.seats: list[_Seat] = []
        self._check(opener, "opener")
        for number, task in enumerate(tasks):
            self._check(task, f"tasks[{number}]")
        self.opener = self.ray.put(opener)
        self.turned = time.monotonic()

    def turn(self) -> None:
        """Do what is to be done now, then wait half a second at most for one thing to happen."""
        now = time.monotonic()
        watched, self.turned = min(now - self.turned, _WATCHED), now
        self._hire(now)
        self._hand_out()
        self._listen(now, watched)
        waited = [reference for seat in self.seats for reference in seat.references()]
        if not waited:
            time.sleep(0.1)
            return
        ready, _ = self.ray.wait(waited, timeout=0.5)
        for reference in ready:
            seat = next(seat for seat in self.seats if reference in seat.references())
            self.seats.remove(seat)
            self.seats.append(seat)  # the others come first next time
            self._hear(seat, reference)

    def dismiss(self) -> None:
        """End all workers at once, whatever they are at; none of them begins anything more."""
        stops = [seat.actor.stop.options(concurrency_group=SIGNS).remote() for seat in self.seats if seat.opened]
        if stops:
            self.ray.wait(stops, num_returns=len(stops), timeout=1.0)
        for seat in self.seats:
            self.ray.kill(seat.actor)
        self.seats.clear()

    def _hire(self, now: float) -> None:
        """As many workers as there is room and work for."""
        working = any(seat.node for seat in self.seats)
        count, shunned = self.hiring.openings(now, left=self.left, seats=len(self.seats), working=working)
        for _ in range(count):
            actor = self.terms.actor(self.ray, shunned)
            self.seats.append(_Seat(actor, self._sign(actor), now))

    def _sign(self, actor: Any) -> Any:
        return actor.where.options(concurrency_group=SIGNS).remote()

    def _check(self, given: object, name: str) -> None:
        """Raise `WrongInput` where it cannot be pickled."""
        try:
            self.ray.cloudpickle.dumps(given)
        except Exception as error:
            said = getattr(given, "__qualname__", None) or f"a {type(given).__qualname__}"
            message = (
                f"{name} (={said}) cannot be given to another process: {reason_of(error)}; it may hold no open file, lock "
                "or device, only what it takes to open them there"
            )
            raise WrongInput(message) from error

    def _hand_out(self) -> None:
        """One job for each, and while many are left one more, so that nobody waits for the driver."""
        opened = [seat for seat in self.seats if seat.opened]
        for depth in (0, 1):
            for seat in opened:
                if len(seat.jobs) == depth and len(self.waiting) > depth * len(opened):
                    self._give(seat, self.waiting.popleft())

    def _give(self, seat: _Seat, job: _Job) -> None:
        before = next(iter(seat.jobs.values())).over if seat.jobs else None
        job.over, result = seat.actor.do.options(num_returns=2).remote(job.task, before)
        seat.jobs[result] = job

    def _listen(self, now: float, watched: float) -> None:
        """Ask for signs of life, and give up those that gave none for too long."""
        for seat in list(self.seats):
            if seat.node is None:
                continue
            if seat.sign is not None:
                seat.quiet += watched
                if seat.quiet > self.terms.silence:
                    self.hiring.silent(seat.node)
                    self._lose(seat, f"no sign of life for {self.terms.silence:g} s")
            elif now - seat.asked > self.terms.silence / 4:
                seat.sign, seat.asked, seat.quiet = self._sign(seat.actor), now, 0.0

    def _hear(self, seat: _Seat, reference: Any) -> None:
        """What has become ready: a sign of life, an opened worker, a result, or the end of them."""
        try:
            value = self._value(reference)
        except self.ray.exceptions.RayError as error:
            self._lose(seat, _why(error), error)
            return
        if reference == seat.sign:
            seat.sign = None
            self._see(seat, value)
        elif reference == seat.opening:
            seat.opening = None
            self._open(seat, value)
        elif not self._finish(seat.jobs.pop(reference), value):
            self._lose(seat, value.reason)

    def _value(self, reference: Any, timeout: float | None = None) -> Any:
        """What was sent back; what cannot be unpickled there was raised there."""
        try:
            return self.ray.get(reference, timeout=timeout)
        except self.ray.exceptions.RayTaskError as error:
            return raised(error.cause)
        except self.ray.exceptions.RaySystemError as error:
            return Raised(None, reason_of(error))

    def _see(self, seat: _Seat, node: str | Raised) -> None:
        """A sign of life; the first says where the actor is, and only then is it opened."""
        if isinstance(node, Raised):
            self._fail_to_open(seat, node.reason)
            self._lose(seat, node.reason)
        elif seat.node is None:
            seat.node, seat.opening = node, seat.actor.open.remote(self.opener)

    def _open(self, seat: _Seat, value: Raised | None) -> None:
        if value is None:
            seat.opened = True
            self.hiring.opened(seat.node)
        elif value.kind is not None:
            raise value.error()
        else:
            self._fail_to_open(seat, value.reason)
            self._lose(seat, value.reason)

    def _fail_to_open(self, seat: _Seat, reason: str) -> None:
        self.hiring.failed(seat.node, reason, others=any(other.opened for other in self.seats))

    def _finish(self, job: _Job, value: bytes | Raised | None) -> bool:
        """What came back of a job; whether its process can be trusted with another."""
        if isinstance(value, bytes):
            self.done.append((job.task, value))
        elif value is None:
            self.waiting.appendleft(job)
        elif value.kind is Cancelled:
            raise value.error()
        elif value.kind is not None:
            self.done.append((job.task, Failure(" ".join(value.reason.split()))))
        else:
            job.tries += 1
            self._again(job, value.reason)
            return False
        return True

    def _again(self, job: _Job, reason: str) -> None:
        """Let it be tried once more, unless that was often enough."""
        if job.tries >= ATTEMPTS or job.losses >= LOSSES:
            self.done.append((job.task, Failure(reason)))
        else:
            self.waiting.appendleft(job)

    def _lose(self, seat: _Seat, reason: str, error: Exception | None = None) -> None:
        """An actor is no more, or is given up: what it has done counts, the rest is done elsewhere.

        Of an actor that ended by itself the job that it was at is to blame, if its node lives; the others were not begun.
        """
        self.seats.remove(seat)
        self.hiring.look_again()
        self.ray.kill(seat.actor)
        died = isinstance(error, (self.ray.exceptions.ActorDiedError, self.ray.exceptions.OutOfMemoryError))
        died = died and seat.node in self.cluster.nodes()
        if error is not None and not seat.opened and (died or seat.node is None):
            self._fail_to_open(seat, f"its process ended ({reason})")
        blamed = error is None and seat.quiet <= self.terms.silence
        for reference, job in seat.jobs.items():
            if blamed:
                self.waiting.appendleft(job)
            elif self._is_over(job):
                self._rescue(reference, job)
            else:
                blamed = True
                job.tries += died
                job.losses += not died
                self._again(job, f"the worker's process ended: {reason}" if died else f"the worker was lost: {reason}")

    def _is_over(self, job: _Job) -> bool:
        try:
            self.ray.get(job.over, timeout=0)
        except self.ray.exceptions.RayError:
            return False
        return True

    def _rescue(self, reference: Any, job: _Job) -> None:
        """The result that a lost worker has left, if it is here already."""
        try:
            self._finish(job, self._value(reference, timeout=0))
        except self.ray.exceptions.RayError as error:
            job.losses += 1
            self._again(job, f"the result was lost: {reason_of(error)}")


def _why(error: Exception) -> str:
    """The part of what Ray says that tells why an actor died."""
    said = " ".join(str(error).split())
    for before in ("Worker exit detail: ", "The actor is dead because ", "The actor died because of "):
        said = said.partition(before)[2] or said
    return said[:300]
