"""A stimulus, and an ordered set of them.

A stimulus makes its pixels when asked, so a set of a million costs no memory. It also has an identity (a digest of the file,
or the recipe of a drawn one), so that an atlas knows without drawing whether it is looking at the same set.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64, UInt8

from neuronatlas.errors import NeuronAtlasError, WrongInput
from neuronatlas.images.files import UnreadablePicture


@dataclass(frozen=True)
class Stimulus:
    """One picture: its name (unique in a set), its class label, its identity, and how to draw it.

    ``draw(size)`` gives uint8 RGB of shape (size, size, 3), sRGB; it may be called from several threads at once, unless the
    stimulus is drawn ``alone``.
    """

    name: str
    label: str
    identity: str
    draw: Callable[[int], UInt8[np.ndarray, "size size 3"]] = field(repr=False, compare=False)
    alone: bool = field(default=False, repr=False, compare=False)


@dataclass(frozen=True)
class StimulusSet:
    """An ordered set of stimuli; ``+`` joins two. ``skipped`` says which files were left out, and why.

    Raises `WrongInput` when two have the same name, by which everything else knows them.
    """

    items: tuple[Stimulus, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Refuse two of one name."""
        for name, count in Counter(item.name for item in self.items).most_common(1):
            if count > 1:
                message = f"items holds {count} stimuli named {name!r}: rename or leave out all but one"
                raise WrongInput(message)

    def __len__(self) -> int:
        """The number of stimuli."""
        return len(self.items)

    def __iter__(self) -> Iterator[Stimulus]:
        """The stimuli in order."""
        return iter(self.items)

    def __add__(self, other: StimulusSet) -> StimulusSet:
        """Both sets, this one first."""
        return StimulusSet(self.items + other.items, self.skipped + other.skipped)

    @property
    def codes(self) -> Int64[np.ndarray, "{len(self)}"]:
        """A number for each stimulus, the same for those of the same identity: the place of the first of them."""
        first: dict[str, int] = {}
        return np.array([first.setdefault(item.identity, place) for place, item in enumerate(self.items)], np.int64)

    @property
    def digest(self) -> str:
        """The sha256 of every name, label and identity in order: equal digests mean equal stimuli."""
        total = hashlib.sha256()
        for item in self.items:
            for part in (item.name, item.label, item.identity):
                encoded = part.encode("utf-8", "surrogateescape")
                total.update(len(encoded).to_bytes(8, "little") + encoded)
        return total.hexdigest()


def draw_checked(item: Stimulus, size: int) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """What the stimulus draws; whatever goes wrong is an error of this package that names it."""
    try:
        picture = item.draw(size)
    except (NeuronAtlasError, MemoryError):
        raise
    except Exception as error:  # a data set or a drawing function of somebody else can raise anything
        raise UnreadablePicture(item.name, f"{type(error).__name__}: {error}") from error
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.shape != (size, size, 3):
        given = (
            f"{picture.dtype} of shape {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
        )
        raise UnreadablePicture(item.name, f"draw({size}) gave {given}, not uint8 of shape ({size}, {size}, 3)")
    return picture
