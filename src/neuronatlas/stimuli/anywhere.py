"""One word for pictures wherever they lie: what the command line takes for ``--images``."""

from __future__ import annotations

import os
from pathlib import Path

from neuronatlas.errors import WrongInput
from neuronatlas.stimuli.archives import archives, is_pattern
from neuronatlas.stimuli.arrays import array
from neuronatlas.stimuli.base import StimulusSet
from neuronatlas.stimuli.folders import folder
from neuronatlas.stimuli.hugging_face import is_hugging_face, saved
from neuronatlas.stimuli.listing import AT_MOST, Progress
from neuronatlas.stimuli.zarrays import is_zarr

RULE = (
    "give a folder of pictures, a .tar or .zip file or a pattern of them (shard-{000000..000009}.tar), a .npy file, an .npz "
    "file (FILE.npz:NAME), a Zarr folder, or hf:FOLDER of a saved data set of Hugging Face"
)


def find(text: str | os.PathLike[str], *, at_most: float = AT_MOST, progress: Progress | None = None) -> StimulusSet:
    """The pictures that a path means, by what lies there: `folder`, `archives`, `array`, or a saved `datasets.Dataset`.

    ``FILE.npz:NAME`` says which array is meant, and ``hf:FOLDER`` is what ``save_to_disk`` wrote. Nothing is fetched from a
    network. Raises `WrongInput` where nothing lies there, and as those functions do.
    """
    written = os.fspath(text)
    path = Path(written)
    file, _, member = written.rpartition(":")
    if written.startswith("hf:") and not path.exists():
        path = Path(written.removeprefix("hf:"))
        if not is_hugging_face(path):
            message = f"images (={written!r}): {str(path)!r} is no folder that save_to_disk of a data set wrote; {RULE}"
            raise WrongInput(message)
    if is_zarr(path):
        return array(path, at_most=at_most, progress=progress)
    if is_hugging_face(path):
        return saved(path, at_most=at_most, progress=progress)
    if path.is_dir():
        return folder(path, at_most=at_most, progress=progress)
    if path.suffix.lower() in (".npy", ".npz") and path.is_file():
        return array(path, at_most=at_most, progress=progress)
    if file.lower().endswith(".npz") and Path(file).is_file():
        return array(file, member=member, at_most=at_most, progress=progress)
    if path.is_file() or is_pattern(written):
        return archives(written, at_most=at_most, progress=progress)
    why = "nothing is fetched from a network" if "://" in written else "there is nothing"
    message = f"images (={written!r}): {why}; {RULE}"
    raise WrongInput(message)
