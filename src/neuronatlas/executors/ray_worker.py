"""What each actor of Ray holds: the opened worker. Errors go back as words, since not every error can be pickled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from neuronatlas.errors import NeuronAtlasError, WrongInput


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
    return Raised(None, f"{type(error).__name__}: {one_line(error)}" if str(error) else type(error).__name__)


def one_line(error: object) -> str:
    """A message without its breaks of lines."""
    return " ".join(str(error).split())


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

    def do(self, task: Any) -> bytes | Raised | None:
        """The result, or what was raised; None where the task was not begun, since one before it left things unsure."""
        worker = self._worker
        if worker is None:
            return None
        try:
            result = worker(task)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, the driver has to know
            reason = raised(error)
            if reason.kind is None:
                self.stop()
            return reason
        if not isinstance(result, bytes):
            return Raised(WrongInput, f"a worker's result has to be bytes, not {type(result).__name__}")
        return result
