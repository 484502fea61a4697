"""What each actor of Ray holds: the opened worker. Errors go back as words, since not every error can be pickled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from neuronatlas.errors import NeuronAtlasError
from neuronatlas.executors.base import perform, reason_of


@dataclass(frozen=True)
class Raised:
    """An error: its class where that is one of this package, and its message, which is one line where it is not."""

    kind: type[NeuronAtlasError] | None
    reason: str

    def error(self) -> NeuronAtlasError:
        """The error of this package once more; its class may want other arguments than a message."""
        kind = self.kind or NeuronAtlasError
        return kind.__new__(kind, self.reason)


def raised(error: BaseException) -> Raised:
    """What is to be known of an error elsewhere."""
    ours = [kind for kind in type(error).__mro__ if kind.__module__ == NeuronAtlasError.__module__]
    if ours:
        return Raised(ours[0], str(error))
    return Raised(None, reason_of(error))


class RayWorker:
    """An actor: `where` and `stop` are answered while `open` and `do` are under way."""

    def __init__(self) -> None:
        self._worker: Callable[[Any], bytes] | None = None

    def where(self) -> str:
        """The node: also a sign of life."""
        import ray

        return ray.get_runtime_context().get_node_id()

    def stop(self) -> None:
        """Begin no more tasks."""
        self._worker = None

    def open(self, opener: Callable[[], Callable[[Any], bytes]]) -> Raised | None:
        """Load what is large; None when that went well."""
        try:
            self._worker = opener()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, the driver has to know
            return raised(error)
        return None

    def do(self, task: Any, after: None) -> tuple[None, bytes | Raised | None]:  # noqa: ARG002 - Ray waits for it
        """That it is over, and the result, or what was raised, or None where the task was not begun.

        ``after`` is the first of what the task before this one gave: Ray sends this one when that has arrived with the
        driver, so of an actor that died everybody knows which task it was at. Nothing is begun after an error that is not
        one of this package.
        """
        worker = self._worker
        if worker is None:
            return None, None
        try:
            return None, perform(worker, task)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, the driver has to know
            reason = raised(error)
            if reason.kind is None:
                self.stop()
            return None, reason
