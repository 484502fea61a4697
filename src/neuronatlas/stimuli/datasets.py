"""Stimuli from data sets: anything with a length and numbered items, as torch's map-style `Dataset`, and Hugging Face's."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuronatlas.errors import WrongInput
from neuronatlas.stimuli.base import StimulusSet
from neuronatlas.stimuli.hugging_face import hugging_face, is_hugging_face
from neuronatlas.stimuli.listing import AT_MOST, Candidate, Loaded, Progress, listed, readable
from neuronatlas.stimuli.pixels import as_array, as_picture


def dataset(
    ds: object,
    *,
    image: str | None = None,
    label: str | None = None,
    at_most: float = AT_MOST,
    progress: Progress | None = None,
) -> StimulusSet:
    """The pictures of a data set, named by their numbers; each is cut to its centre square.

    ``ds`` is a `datasets.Dataset`, or anything with ``len(ds)`` and ``ds[number]``: an item is a picture, a tuple that begins
    with a picture and its label, or a dict. A picture is one of Pillow, or an array or tensor: uint8 or float in 0..1, of
    shape (height, width, channels) or (channels, height, width). ``image`` and ``label`` are the names of columns or keys,
    for where they are not plain. Numbers as labels become the names of the `ClassLabel`, or those in ``ds.classes``.

    The whole set is gone through once. It has to give the same pixels each time, not normalised for a network. Unless it
    is of Hugging Face, one thread at a time asks it. Raises `WrongInput` for a set that can only be gone through in order,
    and as `folder` does.
    """
    kinds = [each.__name__ for each in type(ds).__mro__]
    if "DatasetDict" in kinds and isinstance(ds, Mapping):
        message = f"images is a DatasetDict: give one of its splits, {', '.join(map(repr, ds))}"
        raise WrongInput(message)
    numbered = isinstance(ds, Sequence) or (hasattr(ds, "__len__") and hasattr(ds, "__getitem__"))
    if "IterableDataset" in kinds or isinstance(ds, Mapping | str | bytes) or not numbered:
        message = (
            f"images is a {kinds[0]}, whose items cannot be asked for by number: give a map-style data set, or take some "
            "into memory with list(itertools.islice(images, 1000))"
        )
        raise WrongInput(message)
    if is_hugging_face(ds):
        return hugging_face(ds, f"a {kinds[0]}", image=image, label=label, at_most=at_most, progress=progress)
    held = Held(ds, image or "image", label or "label")
    candidates = [Candidate(str(number), Item(held, number)) for number in range(len(held.items))]
    return listed(f"a {kinds[0]}", candidates, at_most=at_most, progress=progress, alone=True)


class Held:
    """A data set that one thread at a time asks, since what it does for an item may not bear more."""

    def __init__(self, items: Any, image: str, label: str) -> None:
        self.items, self.image_key, self.label_key = items, image, label
        self.classes = _classes(items)
        self._turn = threading.Lock()

    def __reduce__(self) -> tuple[type[Held], tuple[Any, str, str]]:
        """Another process has a turn of its own."""
        return Held, (self.items, self.image_key, self.label_key)

    def __getitem__(self, number: int) -> tuple[object, str]:
        """The picture as the data set has it, and its label."""
        with self._turn:
            item = self.items[number]
        if isinstance(item, Mapping):
            return item[self.image_key], self._text(item.get(self.label_key))
        if isinstance(item, tuple | list):
            return item[0], self._text(item[1] if len(item) > 1 else None)
        return item, ""

    def _text(self, label: object) -> str:
        if isinstance(label, str):
            return readable(label)
        values = label if isinstance(label, int) else as_array(label)
        if isinstance(values, np.ndarray | np.generic) and values.size == 1:
            values = values.reshape(()).item()
        if not isinstance(values, int):
            return ""
        return self.classes[values] if 0 <= values < len(self.classes) else str(values)


@dataclass(frozen=True, eq=False)
class Item:
    """One item of a data set."""

    held: Held
    number: int

    def __str__(self) -> str:
        """Its number."""
        return f"item {self.number} of a {type(self.held.items).__name__}"

    def load(self) -> Loaded:
        """Its pixels."""
        return self.labelled()[0]

    def labelled(self) -> tuple[Loaded, str]:
        """Its pixels and its label."""
        picture, label = self.held[self.number]
        return as_picture(picture, str(self)), label


def _classes(items: object) -> tuple[str, ...]:
    """The names of the classes, where the data set (or, of a subset, the whole) has them as torchvision's do."""
    named = getattr(items, "classes", None) or getattr(getattr(items, "dataset", None), "classes", None)
    if isinstance(named, list | tuple) and all(isinstance(name, str) for name in named):
        return tuple(readable(name) for name in named)
    return ()
