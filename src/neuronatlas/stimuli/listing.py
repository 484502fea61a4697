"""Listing pictures: each is read once, in threads, for its identity; one that cannot be read is left out and told.

A picture comes as the bytes of a file, whose digest is its identity, or as pixels, whose digest and shape are. When it is drawn
it is read again, and refused where it has another identity by then.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from neuronatlas.errors import NeuronAtlasError, WrongInput
from neuronatlas.images.files import UnreadablePicture, centre_crop_resize, decode_picture
from neuronatlas.stimuli.base import Stimulus, StimulusSet
from neuronatlas.stimuli.workers import SECONDS, cores, in_order

Loaded = bytes | UInt8[np.ndarray, "height width 3"]
Progress = Callable[[int, int], None]
Skipped = tuple[tuple[str, str], ...]
AT_MOST = 0.5
"""The share of pictures that may be unreadable: with more of them, what was given is not what was meant."""
AHEAD = 64


@runtime_checkable
class Source(Protocol):
    """Where a picture lies; as text it is what an error names. It holds no open file, so that other processes can have it."""

    def load(self) -> Loaded:
        """The picture; raises `UnreadablePicture`."""
        ...

    def labelled(self) -> tuple[Loaded, str]:
        """The picture and its label; raises `UnreadablePicture` also where there is a label that cannot be read."""
        ...


class Candidate(NamedTuple):
    """What may be a picture, and its name in the set."""

    name: str
    source: Source


def listed(
    what: str,
    candidates: Sequence[Candidate],
    *,
    skipped: Skipped = (),
    at_most: float = AT_MOST,
    progress: Progress | None = None,
    alone: bool = False,
) -> StimulusSet:
    """The set of all that can be read, in order; ``skipped`` are pictures that are known to be unreadable already.

    ``what`` was given for ``images``, in words. ``progress`` is told how many of how many are read. Raises `WrongInput`
    where nothing can be read, or a larger share than ``at_most`` cannot; `UnreadablePicture` where reading one hangs.
    """
    if not 0 <= at_most <= 1:
        message = f"at_most (={at_most}) is a share of the pictures: give 0 to 1"
        raise WrongInput(message)
    items: list[Stimulus] = []
    left_out = list(skipped)
    examined = in_order(
        lambda: nullcontext(_examined),
        candidates,
        name=lambda candidate: candidate.name,
        workers=min(1 if alone else cores(), len(candidates)),
        ahead=AHEAD,
        seconds=SECONDS,
    )
    for number, ((name, source), found) in enumerate(zip(candidates, examined, strict=True), 1):
        if isinstance(found, UnreadablePicture):
            left_out.append((name, found.reason))
        else:
            identity, label = found
            items.append(Stimulus(name, label, identity, partial(_draw, source, identity), alone))
        if progress is not None:
            progress(number, len(candidates))
    _check_share(what, len(items), left_out, at_most)
    return StimulusSet(tuple(items), tuple(left_out))


def readable(name: str) -> str:
    r"""The name as one line of text, different names as different ones.

    Bytes that are no UTF-8 and characters that would break the line are written as ``\xNN``, a backslash as two.

    >>> print(readable("a\nb"))
    a\x0ab
    """
    text = name.replace("\\", "\\\\").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: f"\\x{ord(found[0]):02x}", text)


def _examined(candidate: Candidate) -> tuple[str, str] | UnreadablePicture:
    """The identity and the label, or why there are none."""
    try:
        loaded, label = candidate.source.labelled()
        _pixels(loaded, str(candidate.source))
        return _identity(loaded), label
    except UnreadablePicture as refusal:
        return refusal
    except (NeuronAtlasError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - somebody else's data set can raise anything
        return UnreadablePicture(candidate.name, f"{type(error).__name__}: {error}")


def _draw(source: Source, identity: str, size: int) -> UInt8[np.ndarray, "size size 3"]:
    loaded = source.load()
    if _identity(loaded) != identity:
        message = f"the picture {str(source)!r} has changed since it was listed: list it again"
        if not isinstance(loaded, bytes):
            message += ", without random transforms if it is of a data set"
        raise WrongInput(message)
    return centre_crop_resize(_pixels(loaded, str(source)), size)


def _identity(loaded: Loaded) -> str:
    if isinstance(loaded, bytes):
        return hashlib.sha256(loaded).hexdigest()
    height, width, _ = loaded.shape
    return f"{height} x {width} pixels {hashlib.sha256(np.ascontiguousarray(loaded).data).hexdigest()}"


def _pixels(loaded: Loaded, name: str) -> UInt8[np.ndarray, "height width 3"]:
    return decode_picture(loaded, name).pixels if isinstance(loaded, bytes) else loaded


def _check_share(what: str, kept: int, left_out: list[tuple[str, str]], at_most: float) -> None:
    lost = len(left_out)
    if not kept:
        why = f": {lost} files could not be read, the first because {left_out[0][1]}" if lost else ""
        message = f"images (={what}) holds no picture that can be read{why}"
        raise WrongInput(message)
    if lost > at_most * (kept + lost):
        name, reason = left_out[0]
        message = (
            f"images (={what}): {lost} of {kept + lost} pictures could not be read, a larger share than at_most (={at_most:g}); "
            f"the first is {name!r}: {reason}. Mend or remove them, or let at_most be larger"
        )
        raise WrongInput(message)
