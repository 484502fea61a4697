"""Stimuli from arrays: numpy's, in memory or in .npy and .npz files, and Zarr's. Only what is looked at is read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path

import numpy as np

from neuronatlas.errors import WrongInput
from neuronatlas.stimuli.base import StimulusSet
from neuronatlas.stimuli.listing import AT_MOST, Candidate, Progress, listed, readable
from neuronatlas.stimuli.pixels import RULE, as_array, is_picture
from neuronatlas.stimuli.rows import Row, Rows, of_npy, of_npz, of_numpy
from neuronatlas.stimuli.zarrays import is_zarr, of_zarr


def array(
    x: object,
    labels: Sequence[object] | np.ndarray | str | None = None,
    names: Sequence[str] | None = None,
    *,
    member: str | None = None,
    at_most: float = AT_MOST,
    progress: Progress | None = None,
) -> StimulusSet:
    """Pictures that stand one after the other in an array, (n, height, width, 3 or 1); each is cut to its centre square.

    ``x`` is an array of numpy (in memory or mapped), a tensor, a Zarr array or group, or the path of a .npy or .npz file or
    of a Zarr folder; ``member`` says which array of a group or an .npz, where several could be pictures. Its values are
    uint8, or float in 0..1; also (n, 3 or 1, height, width) and (n, height, width) are taken. ``labels`` are one a picture, or
    the name of a member that holds them. ``names`` are the numbers from 0 if not given, behind the file's name if it is one.

    Files are read a picture at a time and Zarr arrays a chunk at a time, but a compressed .npz at once. The identity of a
    picture is the digest of its pixels. Raises `WrongInput` for anything else, for arrays of Python objects (which would be
    run), and as `folder` does.
    """
    what, before = f"a {type(x).__name__}", ""
    if isinstance(x, str | os.PathLike):
        x = Path(x)
        what, before = repr(str(x)), f"{readable(x.stem)}/"
    rows = _rows(x, member, what)
    one = len(rows.shape) == 3 and rows.shape[2] in (1, 3, 4)  # a picture, rather than several that are so narrow
    numbers = rows.dtype == np.uint8 or rows.dtype.kind == "f"
    if len(rows.shape) < 3 or one or not is_picture(rows.shape[1:]) or not numbers:
        message = f"images (={what}) has the shape {rows.shape} and holds {rows.dtype}: for each of n pictures, {RULE}"
        raise WrongInput(message)
    count = rows.shape[0]
    if isinstance(labels, str):
        beside = _rows(x, labels, what)
        labels = np.array([beside.reader(index)() for index in range(beside.shape[0])])
    called = [f"{before}{number}" for number in range(count)] if names is None else [readable(name) for name in names]
    for argument, given in (("labels", labels), ("names", called)):
        if given is not None and len(given) != count:
            message = f"{argument} are {len(given)}, and images (={what}) holds {count} pictures: give one for each"
            raise WrongInput(message)
    written = repeat("", count) if labels is None else (_text(label) for label in labels)
    candidates = [
        Candidate(name, Row(name, label, rows.reader(index)))
        for index, (name, label) in enumerate(zip(called, written, strict=True))
    ]
    return listed(what, candidates, at_most=at_most, progress=progress)


def _rows(x: object, member: str | None, what: str) -> Rows:
    """The rows of whatever was given."""
    if is_zarr(x):
        return of_zarr(x, member)
    if isinstance(x, Path):
        try:
            with x.open("rb") as file:
                zipped = file.read(2) == b"PK"
        except OSError as error:
            message = f"images (={what}) cannot be opened: {error.strerror}; give a .npy or .npz file or a Zarr folder"
            raise WrongInput(message) from error
        return of_npz(x, member) if zipped else of_npy(x)
    values = as_array(x)
    if values is None:
        message = f"images (={what}) is no array: give one of numpy or Zarr, or the path of a .npy or .npz file"
        raise WrongInput(message)
    return of_numpy(values)


def _text(label: object) -> str:
    """A label as text: a number, a word, or an array that holds one of them."""
    values = np.asarray(label)
    return readable(str(values.reshape(()) if values.size == 1 else values.tolist()))
