"""Tasks on a Ray cluster: one actor a worker, on whatever nodes there are, any of which may come and go.

Ray itself runs a task at least once, tells of a dead node late (it is listed as alive until its health checks have failed)
and restarts what it thinks fit. Here nothing is left to that: no actor is restarted and no task is retried by Ray. The driver
asks each actor for signs of life, gives one up that is silent, hires another, and counts what each task has cost.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from neuronatlas.errors import Cancelled, NeuronAtlasError, WrongInput
from neuronatlas.executors.base import ATTEMPTS, Failure, Opener, Task
from neuronatlas.executors.ray_cluster import Cluster, Needs, connected
from neuronatlas.executors.ray_worker import Raised, RayWorker, one_line, raised

LOSSES = 20
"""A task whose node went away under it so many times, through no fault of its own, is not tried again."""
_LOOK = 2.0  # seconds between two looks at the nodes
_WATCHED = 1.0  # seconds that one turn counts for at most: while the caller is away, nobody is silent


@dataclass(frozen=True)
class Ray:
    """Runs tasks on a Ray cluster; see `neuronatlas.executors.base.Executor`.

    ``workers``: how many at most; None is as many as the nodes have room for, also those that join later. ``address``: "auto",
    or the address of a node; None is the cluster that this process is connected to, that of the environment's RAY_ADDRESS,
    or else one that is started on this machine and stopped afterwards. ``cpus`` and ``gpus``: what a worker takes of its node,
    in parts too (two workers share a GPU with 0.5); it computes with as many threads as it has CPUs. ``environment``:
    variables that are set where workers are, such as KERAS_BACKEND. ``silence``: seconds without a sign of life after which
    a worker is given up (a task may take as long as it likes). ``patience``: seconds without any node that is large enough
    after which `NeuronAtlasError` is raised.
    """

    workers: int | None = None
    _: KW_ONLY
    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)
    silence: float = 60.0
    patience: float = 600.0

    def __post_init__(self) -> None:
        """Raise `WrongInput` for what cannot be."""
        for wrong, message in (
            (
                self.workers is not None and self.workers < 1,
                f"workers={self.workers} must be 1 or more, or None for as many as fit",
            ),
            (
                min(self.cpus, self.gpus) < 0 or self.cpus + self.gpus == 0,
                f"cpus={self.cpus}, gpus={self.gpus}: neither may be negative, nor both 0",
            ),
            (
                self.gpus > 1 and self.gpus % 1 > 0,
                f"gpus={self.gpus}: more than one GPU a worker is a whole number of them",
            ),
            (self.silence <= 0, f"silence={self.silence} must be more than 0 seconds"),
            (self.patience < 0, f"patience={self.patience} must be 0 seconds or more"),
        ):
            if wrong:
                raise WrongInput(message)

    def run(self, opener: Opener[Task], tasks: Sequence[Task]) -> Generator[tuple[Task, bytes | Failure], None, None]:
        """Each task with its result as it gets ready; leaving the iterator stops all workers."""
        if not tasks:
            return
        with connected(self.address, self.workers, Needs(self.cpus, self.gpus)) as cluster:
            crew = _Crew(self, cluster, opener, tasks)
            try:
                while crew.left:
                    crew.turn()
                    while crew.done:
                        crew.left -= 1
                        yield crew.done.popleft()
            finally:
                crew.dismiss()


@dataclass(eq=False)
class _Job:
    """A task, and what it has cost."""

    task: Any
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
        """What may become ready, signs of life first."""
        return [one for one in (self.sign, self.opening, *self.jobs) if one is not None]


class _Crew:
    """All workers of one run, their jobs, and the results that nobody has taken yet."""

    def __init__(self, settings: Ray, cluster: Cluster, opener: Opener[Any], tasks: Sequence[Any]) -> None:
        self.settings, self.cluster, self.ray = settings, cluster, cluster.ray
        self.needs = Needs(settings.cpus, settings.gpus)
        self.waiting = deque(_Job(task) for task in tasks)
        self.left = len(self.waiting)
        self.done: deque[tuple[Any, bytes | Failure]] = deque()
        self.seats: list[_Seat] = []
        self.opener = self._sent(self.ray.put, opener, "opener")
        self.kind = self.ray.remote(max_restarts=0, max_task_retries=0, concurrency_groups={"signs": 1})(RayWorker)
        self.shunned: dict[str | None, float] = {}  # nodes that fell silent or cannot open workers, and since when
        self.unopened: Counter[str | None] = Counter()  # openings that failed, one after the other, a node
        self.reason = ""  # of the last of them
        self.opened = False  # since the last time that all nodes were shunned
        self.turned = self.peopled = time.monotonic()
        self.looked = 0.0
        self.warned = False

    def turn(self) -> None:
        """Do what is to be done now, then wait half a second at most for one thing to happen."""
        now = time.monotonic()
        watched, self.turned = min(now - self.turned, _WATCHED), now
        if now - self.looked >= _LOOK:
            self.looked = now
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
        stops = [seat.actor.stop.options(concurrency_group="signs").remote() for seat in self.seats if seat.opened]
        if stops:
            self.ray.wait(stops, num_returns=len(stops), timeout=1.0)
        for seat in self.seats:
            self.ray.kill(seat.actor)
        self.seats.clear()

    def _hire(self, now: float) -> None:
        """As many workers as there is room and work for."""
        self.shunned = {node: since for node, since in self.shunned.items() if now - since < 10 * self.settings.silence}
        nodes = {node: self.needs.places(resources) for node, resources in self.cluster.nodes().items()}
        room = sum(places for node, places in nodes.items() if node not in self.shunned)
        if any(seat.node for seat in self.seats):
            self.peopled, self.warned = now, False
        else:
            self._nobody(now, room_of_all=sum(nodes.values()), room=0 if None in self.shunned else room)
        wanted = self.settings.workers or max(1, room)
        if None in self.shunned:  # no worker starts anywhere
            wanted = 0
        for _ in range(min(wanted, self.left) - len(self.seats)):
            self._seat(now, [node for node in nodes if node in self.shunned])

    def _nobody(self, now: float, *, room_of_all: int, room: int) -> None:
        """Nobody works: why, and whether that may change."""
        if room_of_all and not room:
            if not self.opened:
                message = f"no worker could be opened, on any node: {self.reason}"
                raise NeuronAtlasError(message)
            self.opened = False
            self.shunned.clear()
            self.unopened.clear()
        waited = now - self.peopled
        message = f"for {waited:.0f} s no worker could start: each needs {self.needs}, and the cluster has {self.cluster.words()}"
        if not room_of_all and (self.cluster.started_here or waited >= self.settings.patience):
            raise NeuronAtlasError(message)
        if waited >= self.settings.silence and not self.warned:
            self.warned = True
            warnings.warn(f"{message}; waiting", RuntimeWarning, stacklevel=4)

    def _seat(self, now: float, shunned: list[str]) -> None:
        settings = self.settings
        threads = str(max(1, int(settings.cpus)))
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
        environment = dict.fromkeys(names, threads) | dict(settings.environment)
        actor = self.kind.options(
            num_cpus=settings.cpus,
            num_gpus=settings.gpus,
            runtime_env={"env_vars": environment},
            scheduling_strategy="SPREAD",
            label_selector={"ray.io/node-id": f"!in({','.join(shunned)})"} if shunned else None,
        ).remote()
        self.seats.append(_Seat(actor, self._sign(actor), now))

    def _sign(self, actor: Any) -> Any:
        return actor.where.options(concurrency_group="signs").remote()

    def _sent(self, send: Callable[[Any], Any], value: Any, what: str) -> Any:
        """What ``send`` gives; `WrongInput` where the value cannot be pickled."""
        try:
            return send(value)
        except self.ray.exceptions.RayError:
            raise
        except Exception as error:
            message = f"{what}={value!r:.200} cannot be sent to other processes ({one_line(error):.200}): it may hold no open files, locks or devices"
            raise WrongInput(message) from error

    def _hand_out(self) -> None:
        """One job for each, and while many are left one more, so that nobody waits for the driver."""
        opened = [seat for seat in self.seats if seat.opened]
        for depth in (0, 1):
            for seat in opened:
                if len(seat.jobs) == depth and len(self.waiting) > depth * len(opened):
                    job = self.waiting.popleft()
                    seat.jobs[self._sent(seat.actor.do.remote, job.task, "task")] = job

    def _listen(self, now: float, watched: float) -> None:
        """Ask for signs of life, and give up those that gave none for too long."""
        for seat in list(self.seats):
            if seat.node is None:
                continue
            if seat.sign is not None:
                seat.quiet += watched
                if seat.quiet > self.settings.silence:
                    self.shunned[seat.node] = now
                    self.reason = f"a worker gave no sign of life for {self.settings.silence:g} s"
                    self._lose(seat, self.reason)
            elif now - seat.asked > self.settings.silence / 4:
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
            if seat.node is None:
                seat.node, seat.opening = value, seat.actor.open.remote(self.opener)
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
            return Raised(None, one_line(error))

    def _open(self, seat: _Seat, value: Raised | None) -> None:
        if value is None:
            seat.opened = self.opened = True
            self.unopened[seat.node] = 0
        elif value.kind is not None:
            raise value.error()
        else:
            self._fail_to_open(seat, value.reason)
            self._lose(seat, value.reason)

    def _fail_to_open(self, seat: _Seat, reason: str) -> None:
        self.reason = reason
        self.unopened[seat.node] += 1
        if self.unopened[seat.node] >= ATTEMPTS:
            self.shunned[seat.node] = time.monotonic()

    def _finish(self, job: _Job, value: bytes | Raised | None) -> bool:
        """What came back of a job; whether its process can be trusted with another."""
        if isinstance(value, bytes):
            self.done.append((job.task, value))
        elif value is None:
            self.waiting.appendleft(job)
        elif value.kind is Cancelled:
            raise value.error()
        elif value.kind is not None:
            self.done.append((job.task, Failure(one_line(value.reason))))
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
        self.looked = 0.0  # another one is hired at once
        self.ray.kill(seat.actor)
        died = isinstance(error, (self.ray.exceptions.ActorDiedError, self.ray.exceptions.OutOfMemoryError))
        died = died and seat.node in self.cluster.nodes()
        if error is not None and not seat.opened and (died or seat.node is None):
            self._fail_to_open(seat, f"its process ended ({reason})")
        blamed = error is None and seat.quiet <= self.settings.silence
        for reference, job in seat.jobs.items():
            try:
                value = self._value(reference, timeout=0)
            except self.ray.exceptions.RayError:
                job.tries += died and not blamed
                job.losses += not died and not blamed
                blamed = True
                self._again(job, f"the worker's process ended: {reason}" if died else f"the worker was lost: {reason}")
            else:
                self._finish(job, value)


def _why(error: Exception) -> str:
    """The part of what Ray says that tells why an actor died."""
    said = one_line(error)
    for before in ("Worker exit detail: ", "The actor is dead because ", "The actor died because of "):
        said = said.partition(before)[2] or said
    return said[:300]
