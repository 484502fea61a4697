"""Drawing in another process, which may crash or be killed without any harm but to the picture that it had in hand."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from jaxtyping import UInt8

from neuronatlas.errors import NeuronAtlasError, WrongInput
from neuronatlas.images.files import UnreadablePicture
from neuronatlas.stimuli.base import Stimulus, draw_checked

LEAVING = 1.0
"""How many seconds a process that was told to end is waited for before it is killed."""


class Child:
    """A process that is given the stimuli once and then draws them by number, until the block ends.

    It is a fresh one ("spawn"): one that is forked while other threads hold locks can wait for them for ever.
    """

    def __init__(self, items: Sequence[Stimulus], side: int, seconds: float) -> None:
        self.items, self.side, self.seconds = items, side, seconds

    def __enter__(self) -> Child:
        """The process once it is ready; raises `NeuronAtlasError` where none can be started."""
        context = multiprocessing.get_context("spawn")
        self.here, there = context.Pipe()
        self.process = context.Process(target=_serve, args=(there, self.items, self.side), daemon=True)
        try:
            self.process.start()
            there.close()
            self.here.recv()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            message = f"apart: these stimuli cannot be sent to another process ({error}); leave apart out"
            raise WrongInput(message) from error
        except (EOFError, OSError) as error:
            message = (
                f"apart: a process for decoding did not start ({self._end()}); what its main file does must stand "
                'behind if __name__ == "__main__":, or leave apart out'
            )
            raise NeuronAtlasError(message) from error
        return self

    def __call__(self, number: int) -> UInt8[np.ndarray, "side side 3"]:
        """The picture of this number; raises `UnreadablePicture` where drawing it ends the process or takes too long."""
        name = self.items[number].name
        try:
            self.here.send(number)
            if not self.here.poll(self.seconds):
                self.process.kill()
                reason = f"it was not read and decoded within {self.seconds:g} seconds: mend it or leave it out"
                raise UnreadablePicture(name, reason)
            answer: Any = self.here.recv()
        except (EOFError, OSError) as error:
            reason = f"the process that decoded it died ({self._end()}): leave it out"
            raise UnreadablePicture(name, reason) from error
        if isinstance(answer, np.ndarray):
            return answer
        raise UnreadablePicture(*answer) if isinstance(answer, tuple) else WrongInput(answer)

    def __exit__(self, *_: object) -> None:
        """The process ends."""
        self.here.close()  # which it takes as the end
        if self.process.pid is not None:
            self.process.join(LEAVING)
            self.process.kill()
            self.process.join()
            self.process.close()

    def _end(self) -> str:
        self.process.join(LEAVING)
        code = self.process.exitcode
        return f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"


def _serve(pipe: Connection[Any, Any], items: Sequence[Stimulus], side: int) -> None:
    """The life of the process: a number comes in, its picture goes out, or the message of the error."""
    try:
        pipe.send("ready")
        while True:
            number = pipe.recv()
            try:
                answer: object = draw_checked(items[number], side)
            except UnreadablePicture as error:
                answer = (error.name, error.reason)
            except Exception as error:  # noqa: BLE001 - it is raised in the process that asked
                answer = str(error) or type(error).__name__
            pipe.send(answer)
    except (EOFError, OSError, KeyboardInterrupt):
        return
