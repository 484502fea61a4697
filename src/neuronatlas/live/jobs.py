"""Renderings as jobs: one is made at a time, in the order of asking; each can be watched by many, called off and asked for again."""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neuronatlas import objectives
from neuronatlas.errors import Cancelled, NeuronAtlasError, UnknownName, WrongInput
from neuronatlas.networks.base import Network
from neuronatlas.rendering import PRESETS, Frame, recipe_of, render
from neuronatlas.units import Unit
from neuronatlas.view.sprites import data_uri, webp

KEPT = 256
"""Renderings that are remembered; the oldest is forgotten first."""
WAITING = 64
"""Renderings that may be waited for at once."""
LIMITS = {"steps": (1, 2048), "size": (32, 512), "seed": (0, 2**63 - 1)}
_FIELDS = ("unit", "preset", "steps", "seed", "sign", "size")

Line = dict[str, Any]


class Busy(NeuronAtlasError):
    """More renderings are waited for than are kept in order."""


class Missing(WrongInput):
    """A unit that its layer does not have."""


@dataclass(frozen=True)
class Request:
    """What is to be rendered: what raises the unit, or with ``sign`` -1 what lowers it. None: as the preset has it."""

    unit: str
    preset: str = "fast"
    steps: int | None = None
    seed: int = 0
    sign: int = 1
    size: int | None = None

    @classmethod
    def parse(cls, given: object, network: Network) -> Request:
        """Read what was sent; raises `UnknownName` or `Missing` where the network has no such unit, `WrongInput` for all else."""
        if not isinstance(given, dict) or "unit" not in given:
            message = f"the body must be an object of JSON with the fields {', '.join(_FIELDS)}"
            raise WrongInput(message)
        for name in given:
            if name not in _FIELDS:
                message = str(UnknownName("field", str(name)[:80], _FIELDS))
                raise WrongInput(message)
        for name in ("unit", "preset"):
            if not isinstance(given.get(name, ""), str) or len(given.get(name, "")) > 1000:
                message = f"{name} must be a word"
                raise WrongInput(message)
        for name, (low, high) in LIMITS.items():
            value = given.get(name)
            if (value is not None or (name in given and name == "seed")) and not _whole(value, low, high):
                message = f"{name} (={value!r}) must be a whole number from {low} to {high}"
                raise WrongInput(message)
        if not (_whole(given.get("sign", 1), -1, 1) and given.get("sign", 1)):
            message = f"sign (={given['sign']!r}) must be 1 or -1"
            raise WrongInput(message)
        found = cls(**given)
        if found.preset not in PRESETS:
            message = str(UnknownName("preset", found.preset, PRESETS))
            raise WrongInput(message)
        _check_unit(found.unit, network)
        recipe_of(found.preset, **found.changes)
        return found

    @property
    def changes(self) -> dict[str, object]:
        """What is to be other than in the preset."""
        given = {"steps": self.steps, "canvas": self.size}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(eq=False)
class Job:
    """A rendering that was asked for, with what it has told so far: frames, and a last line when it is over."""

    identity: str
    request: Request
    lines: list[Line] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _dropped: int = 0

    def tell(self, line: Line, *, last: bool = False) -> None:
        """Add a line, if the job is not over. Of one that is, the last two are kept: who watches may lack the one before."""
        with self._lock:
            if self.over.is_set():
                return
            self.lines.append(line)
            if last:
                self._dropped = max(0, len(self.lines) - 2)
                del self.lines[: self._dropped]
                self.over.set()

    def since(self, count: int) -> tuple[list[Line], bool]:
        """The lines after the first ``count``, and whether none will follow; from the start of a job that is over, the last."""
        with self._lock:
            if self.over.is_set():
                return self.lines[max(0, count - self._dropped) if count else -1 :], True
            return self.lines[count:], False

    @property
    def done(self) -> bool:
        """Is it over, and with a picture?"""
        return self.over.is_set() and "done" in self.lines[-1]

    @property
    def lost(self) -> bool:
        """Is it over without an answer?"""
        return self.over.is_set() and not self.done


class Jobs:
    """The renderings of a network, made by one thread."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._known: dict[Request, Job] = {}
        self._queue: queue.Queue[Job | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def ask(self, request: Request) -> Job:
        """The job of a request: that of an equal one, if it was not called off, or a new one. Raises `Busy`."""
        with self._lock:
            known = self._known.get(request)
            if known is not None and not known.lost:
                return known
            if sum(not job.over.is_set() for job in self._jobs.values()) >= WAITING:
                message = f"{WAITING} renderings are waited for: call some off, or wait until they are there"
                raise Busy(message)
            job = Job(secrets.token_urlsafe(12), request)
            self._jobs[job.identity] = self._known[request] = job
            for old in [each for each in self._jobs.values() if each.over.is_set()][: max(0, len(self._jobs) - KEPT)]:
                del self._jobs[old.identity]
                if self._known.get(old.request) is old:
                    del self._known[old.request]
        self._queue.put(job)
        return job

    def get(self, identity: str) -> Job:
        """The job of that name; raises `UnknownName`."""
        with self._lock:
            if identity not in self._jobs:
                raise UnknownName("rendering", identity[:80], [])
            return self._jobs[identity]

    def cancel(self, identity: str) -> bool:
        """Call a job off, waiting or begun: whoever watches it hears at once. False where it is done; raises `UnknownName`."""
        job = self.get(identity)
        job.tell({"cancelled": True}, last=True)
        return not job.done

    def close(self, seconds: float = 30.0) -> None:
        """Call everything off and wait for the thread: a process that ends while it computes would be aborted."""
        with self._lock:
            for job in self._jobs.values():
                job.tell({"cancelled": True}, last=True)
        self._queue.put(None)
        self._thread.join(seconds)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            if job.over.is_set():
                continue
            try:
                job.tell(self._made(job), last=True)
            except Cancelled:
                job.tell({"cancelled": True}, last=True)
            except NeuronAtlasError as error:
                job.tell({"error": str(error)}, last=True)
            except Exception as error:  # noqa: BLE001 - a network can raise anything, and the next job is to be made
                job.tell({"error": f"the rendering failed ({type(error).__name__}: {error})"}, last=True)

    def _made(self, job: Job) -> Line:
        request = job.request
        aim = objectives.unit(request.unit)
        changes: dict[str, Any] = {"preset": request.preset, "seed": request.seed} | request.changes
        made = render(self.network, aim if request.sign == 1 else -aim, watch=_watching(job), **changes)
        return {
            "done": True,
            "status": made.status,
            "reason": made.reason,
            "score": _number(made.score),
            "image": _picture(made.image),
            "settings": made.settings,
        }


def _watching(job: Job) -> Callable[[Frame], None]:
    """Tells the job's frames; of several restarts, which grow side by side, those of the first."""

    def watch(frame: Frame) -> None:
        if job.over.is_set():
            raise Cancelled
        if frame.restart == 0:
            picture, score = _picture(frame.image), _number(frame.score)
            job.tell({"step": frame.step, "of": frame.steps, "score": score, "image": picture})

    return watch


def _picture(image: np.ndarray) -> str:
    """A picture in 0..1 as a data URI; raises `WrongInput` where its planes are no colours."""
    height, width, planes = image.shape
    if planes not in (1, 3, 4):
        message = f"a picture of {planes} planes has no colours of its own, and cannot be shown"
        raise WrongInput(message)
    pixels = np.rint(image * 255).astype(np.uint8)
    return data_uri(webp(np.broadcast_to(pixels, (height, width, 3)) if planes == 1 else pixels))


def _number(value: float) -> float | None:
    """JSON knows only finite numbers."""
    return value if np.isfinite(value) else None


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _check_unit(address: str, network: Network) -> None:
    """Raise `UnknownName` or `Missing` where the network has no such unit, `WrongInput` where this is no address."""
    unit = Unit.parse(address)
    try:
        network.check(unit)
    except UnknownName:
        raise
    except WrongInput as error:
        raise Missing(str(error)) from error
