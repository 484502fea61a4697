"""Stimuli from a folder of pictures; a sub-folder is a class."""

from __future__ import annotations

import hashlib
import os
import re
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from neuronatlas.errors import WrongInput
from neuronatlas.images.files import (
    UnreadablePicture,
    centre_crop_resize,
    decode_picture,
    find_pictures,
    read_file,
)
from neuronatlas.stimuli.base import Stimulus, StimulusSet


def folder(path: str | os.PathLike[str]) -> StimulusSet:
    """The pictures below a folder, by the bytes of their names; each is the centre square of its file.

    The label is the first sub-folder's name, or "" for a picture that lies in the folder itself. Every file is read once: one
    that is no whole picture is left out and stands in ``skipped`` with the reason. Raises `WrongInput` when nothing is left.
    """
    top = Path(path)
    if not top.is_dir():
        message = f"images (={str(path)!r}) is not a folder: give a folder of pictures"
        raise WrongInput(message)
    items: list[Stimulus] = []
    skipped: list[tuple[str, str]] = []
    for file in find_pictures(top):
        inside = file.relative_to(top)
        name = _readable(inside.as_posix())
        try:
            content = read_file(file)
            decode_picture(content, str(file))
        except UnreadablePicture as refusal:
            skipped.append((name, refusal.reason))
            continue
        label = _readable(inside.parts[0]) if len(inside.parts) > 1 else ""
        identity = hashlib.sha256(content).hexdigest()
        items.append(Stimulus(name, label, identity, partial(_draw, file.absolute(), identity)))
    if not items:
        why = f": {len(skipped)} files could not be read, the first because {skipped[0][1]}" if skipped else ""
        message = f"images (={str(path)!r}) holds no picture that can be read{why}"
        raise WrongInput(message)
    return StimulusSet(tuple(items), tuple(skipped))


def _draw(file: Path, identity: str, size: int) -> UInt8[np.ndarray, "size size 3"]:
    content = read_file(file)
    if hashlib.sha256(content).hexdigest() != identity:
        message = f"the picture {str(file)!r} has changed since the folder was listed: list the folder again"
        raise WrongInput(message)
    return centre_crop_resize(decode_picture(content, str(file)).pixels, size)


def _readable(name: str) -> str:
    r"""The name as one line of text, different names as different ones.

    Bytes that are no UTF-8 and characters that would break the line are written as ``\xNN``, a backslash as two.

    >>> print(_readable("a\nb"))
    a\x0ab
    """
    text = name.replace("\\", "\\\\").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: f"\\x{ord(found[0]):02x}", text)
