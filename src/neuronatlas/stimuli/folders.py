"""Stimuli from a folder of pictures; a sub-folder is a class."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from neuronatlas.errors import WrongInput
from neuronatlas.images.files import find_pictures, read_file
from neuronatlas.stimuli.base import StimulusSet
from neuronatlas.stimuli.listing import AT_MOST, Candidate, Loaded, Progress, listed, readable

ARCHIVES = (".tar", ".tgz", ".zip")
"""Endings that are told of; a lone .gz may be anything."""
PACKED = "an archive is not opened within a folder of pictures: give it by itself"


def folder(path: str | os.PathLike[str], *, at_most: float = AT_MOST, progress: Progress | None = None) -> StimulusSet:
    """The pictures below a folder, by the bytes of their names; each is the centre square of its file.

    The label is the first sub-folder's name, or "" for a picture that lies in the folder itself. Every file is read once
    (``progress`` is told how many of how many): one that is no whole picture is left out and stands in ``skipped`` with the
    reason, and so does a tar or zip file, which is not opened here. Raises `WrongInput` when nothing is left, or when a
    larger share than ``at_most`` is left out.
    """
    top = Path(path)
    if not top.is_dir():
        message = f"images (={str(path)!r}) is not a folder: give a folder of pictures"
        raise WrongInput(message)
    candidates = []
    for file in find_pictures(top):
        inside = file.relative_to(top)
        label = readable(inside.parts[0]) if len(inside.parts) > 1 else ""
        candidates.append(Candidate(readable(inside.as_posix()), File(file.absolute(), label)))
    packed = tuple((readable(file.relative_to(top).as_posix()), PACKED) for file in find_pictures(top, ARCHIVES))
    return listed(repr(str(path)), candidates, skipped=packed, at_most=at_most, progress=progress)


@dataclass(frozen=True)
class File:
    """A file that is a picture."""

    path: Path
    written: str

    def __str__(self) -> str:
        """Its path."""
        return str(self.path)

    def load(self) -> Loaded:
        """The bytes of the file."""
        return read_file(self.path)

    def labelled(self) -> tuple[Loaded, str]:
        """The bytes, and the label that is known from the path."""
        return self.load(), self.written
