"""What every layout is and does: the function that one is, and the order, size and square that they share."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float, Float64, Int64

from neuronatlas.errors import WrongInput
from neuronatlas.maps.correlation import Neighbours

FEWEST_FOR_TSNE = 8
LANDMARKS_ABOVE = 50_000
"""Above so many units `tsne` lays out landmarks first."""
REFINING_NEIGHBOURS = 30

_BLOCK_CELLS = 2**22


class Layout(Protocol):
    """Places for standardised units: finite, shape (units, 2), on any scale; the same seed gives the same bytes."""

    def __call__(
        self,
        standardised: Float[np.ndarray, "units stimuli"],
        neighbours: Neighbours,
        *,
        seed: int,
        perplexity: float,
    ) -> Float64[np.ndarray, "units 2"]:
        """Lay the units out."""


def canonical_order(
    standardised: Float[np.ndarray, "units stimuli"], names: Sequence[str]
) -> Int64[np.ndarray, " units"]:
    """An order of the units that follows from what they are, not from where they stand: by their responses, then name."""
    keys: list[tuple[bytes, str]] = []
    block = max(1, _BLOCK_CELLS // max(standardised.shape[1], 1))
    for start in range(0, len(standardised), block):
        rounded = np.round(standardised[start : start + block], 9) + standardised.dtype.type(0)  # one zero, not two
        some = names[start : start + block]
        keys += [
            (hashlib.blake2b(row.tobytes(), digest_size=16).digest(), name)
            for row, name in zip(rounded, some, strict=True)
        ]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)


def usable_perplexity(units: int, perplexity: float) -> float:
    """The perplexity, lowered to a third of the other units where there are few; raises `WrongInput` below 1."""
    if not perplexity >= 1 or math.isinf(perplexity):
        message = f"perplexity {perplexity} must be a number from 1: 30 is usual, 5 to 100 are useful"
        raise WrongInput(message)
    return min(perplexity, max((units - 1) / 3, 1.0))


def neighbours_needed(units: int, perplexity: float) -> int:
    """How many neighbours of each unit `tsne` reads: three times the perplexity, above 50,000 units no more than 30."""
    needed = math.ceil(3 * usable_perplexity(units, perplexity))
    if units > LANDMARKS_ABOVE:
        needed = min(needed, REFINING_NEIGHBOURS)
    return min(max(units - 1, 0), needed)


def into_square(positions: Float64[np.ndarray, "units 2"]) -> Float64[np.ndarray, "units 2"]:
    """The positions centred on their bounding box and scaled so that its longer side runs from -1 to 1.

    Both axes are scaled by the same factor, so distances keep their proportions. (neural-response-map scales each
    axis by itself.)

    >>> into_square(np.array([[0.0, 0.0], [4.0, 1.0]]))
    array([[-1.  , -0.25],
           [ 1.  ,  0.25]])
    """
    if not len(positions):
        return positions
    low, high = positions.min(axis=0), positions.max(axis=0)
    half = float((high - low).max()) / 2
    return np.clip((positions - (low + high) / 2) / (half or 1.0), -1.0, 1.0)
