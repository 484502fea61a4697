"""Films of the optimisation, from noise to the finished picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from neuronatlas.errors import WrongInput
from neuronatlas.networks.base import Network
from neuronatlas.objectives import Objective
from neuronatlas.rendering import EVERY, Frame, Rendering, render
from neuronatlas.units import Unit

FORMATS = {".gif": "GIF", ".png": "PNG", ".webp": "WEBP"}
LAST = 1500


def animate(
    network: Network,
    what: str | Unit | Objective,
    path: str | Path,
    *,
    every: int = EVERY,
    milliseconds: int = 120,
    **changes: Any,
) -> Rendering:
    """The picture, and a film of how it was made in the file ``path``: GIF, animated PNG or WebP, by its ending.

    A frame for ``every`` steps, a multiple of 8, shown for so many ``milliseconds``, and the finished picture for 1.5
    seconds; it plays without end. Of a recipe with restarts it shows the one that is kept. GIF has 256 colours a frame;
    WebP and PNG keep all. A ``watch`` among ``changes`` is called too. Raises `WrongInput` for another ending, before any work.
    """
    target = Path(path)
    kind = FORMATS.get(target.suffix.lower())
    if kind is None:
        message = f"path (={str(path)!r}) must end in {', '.join(FORMATS)}"
        raise WrongInput(message)
    if every < EVERY or every % EVERY:
        message = f"every (={every}) must be a multiple of {EVERY}, the steps between two frames of a rendering"
        raise WrongInput(message)
    if milliseconds < 1:
        message = f"milliseconds (={milliseconds}) must be at least 1"
        raise WrongInput(message)
    takes: dict[tuple[int, int], list[Frame]] = {}
    told = changes.pop("watch", None)

    def watch(frame: Frame) -> None:
        takes.setdefault((frame.restart, frame.attempt), []).append(frame)
        if told is not None:
            told(frame)

    made = render(network, what, **{**changes, "watch": watch})
    shown = [frame.image for frame in _take(takes, made) if frame.step % every == 0]
    images = [_image(image) for image in [*shown, made.image]]
    durations = [milliseconds] * len(shown) + [LAST]
    images[0].save(target, format=kind, save_all=True, append_images=images[1:], duration=durations, loop=0, quality=90)
    return made


def _take(takes: dict[tuple[int, int], list[Frame]], made: Rendering) -> list[Frame]:
    """How the picture that was kept looked before it was finished; if all are lost, and so grey, that of the first restart."""
    if made.status:
        return takes[max(key for key in takes if key[0] == min(takes)[0])] if takes else []
    kept = min(takes.values(), key=lambda frames: float(np.abs(frames[-1].image - made.image).mean()))
    return kept[:-1]


def _image(values: np.ndarray) -> Image.Image:
    if values.shape[2] not in (1, 3, 4):
        message = f"a picture of {values.shape[2]} planes has no colours of its own, so there is no film of it"
        raise WrongInput(message)
    pixels = np.rint(values * 255).astype(np.uint8)
    return Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
