"""Decoding beside the network: pictures are made ready in threads, or in other processes, while the caller computes.

Threads are the rule, since Pillow lets go of Python's lock while it decodes and resizes: on two cores, JPEGs of 500 x 375
pixels are ready 1.7 times as fast with two threads as with none, and no slower than with two processes. Processes
(``apart``) are for pictures that may crash a codec, and for data sets whose own Python takes long. Each picture is decoded
whole: the quick way of JPEG, which decodes at a half, a quarter or an eighth of the size, gives other pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from jaxtyping import UInt8

from neuronatlas.errors import WrongInput
from neuronatlas.stimuli.apart import Child
from neuronatlas.stimuli.base import Stimulus, draw_checked
from neuronatlas.stimuli.workers import SECONDS, cores, in_order


def drawn(
    items: Iterable[Stimulus],
    side: int,
    *,
    batch: int,
    workers: int | None = None,
    ahead: int = 2,
    seconds: float = SECONDS,
    apart: bool = False,
) -> Iterator[UInt8[np.ndarray, "n side side 3"]]:
    """The stimuli in order, ``batch`` at a time (the last ones fewer), ready before they are asked for.

    ``workers`` are so many at once (default: the processors that there are); 0 draws in the calling thread, where
    nothing can be timed. ``ahead`` batches are held ready beside the one that is given. ``apart`` draws in processes; they
    are fresh ones, so what a program's main file does must stand behind ``if __name__ == "__main__":``.

    A stimulus that takes longer than ``seconds``, or that ends its process, raises `UnreadablePicture` with its name, after
    those before it were given. A thread cannot be killed: one that hangs is left behind, and does not keep the program
    from ending. Stimuli that are drawn `Stimulus.alone` have one thread between them.
    """
    if side < 1 or batch < 1 or ahead < 0 or (workers is not None and workers < 0):
        message = f"side (={side}) and batch (={batch}) must be at least 1, ahead (={ahead}) and workers (={workers}) at least 0"
        raise WrongInput(message)
    shown = tuple(items)
    count = min(cores() if workers is None else workers, len(shown))
    opened: Callable[[], AbstractContextManager[Callable[[int], np.ndarray]]]
    if apart and count:
        opened, limit = (lambda: Child(shown, side, seconds)), None
    else:
        opened, limit = (lambda: nullcontext(lambda number: draw_checked(shown[number], side))), seconds
        count = min(count, 1) if any(item.alone for item in shown) else count
    pictures = in_order(
        opened,
        range(len(shown)),
        name=lambda number: shown[number].name,
        workers=count,
        ahead=max(count, batch * ahead),
        seconds=limit,
    )
    return _batches(pictures, [min(batch, len(shown) - start) for start in range(0, len(shown), batch)], side)


def _batches(
    pictures: Iterator[np.ndarray], counts: Sequence[int], side: int
) -> Iterator[UInt8[np.ndarray, "n side side 3"]]:
    try:
        for count in counts:
            filled = np.empty((count, side, side, 3), np.uint8)
            for place in range(count):
                filled[place] = next(pictures)
            yield filled
    finally:
        pictures.close()  # type: ignore[attr-defined]  # a generator, whose threads end now and not when it is collected
