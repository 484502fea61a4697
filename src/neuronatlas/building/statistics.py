"""Responses too many to keep: of each stretch of stimuli the moments, the extremes, a sketch, and a few whole rows.

Those of all stretches are merged in order, so that they are the same bytes whoever made which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from neuronatlas.maps.extremes import Extremes
from neuronatlas.maps.moments import Moments
from neuronatlas.maps.sketch import Sketch

SHOWN = 1000
"""Stimuli, evenly spread, whose responses are kept whole, so that maps can be drawn of them."""
BEST = 9
_BLOCK_CELLS = 2**26
_GROUP = 32


def worth_it(stimuli: int, units: int) -> bool:
    """Is a table of this size too large to be kept: above two gibibytes?"""
    return 4 * stimuli * units > 1 << 31


@dataclass
class Gathering:
    """The statistics of one stretch, from its responses as they come."""

    start: int
    identities: Int64[np.ndarray, " stimuli"]
    """Of each stimulus of the whole set, the number of the first that is the same picture."""
    seed: int

    def __post_init__(self) -> None:
        """Nothing has come yet."""
        self._waiting: list[np.ndarray] = []
        self._moments: list[Moments] = []
        self._sketch: Sketch | None = None
        self._extremes: Extremes | None = None
        self._stop = self.start

    def take(self, values: Float32[np.ndarray, "stimuli units"]) -> None:
        """The responses to the stimuli that follow."""
        self._waiting.append(values)
        held = sum(len(each) for each in self._waiting)
        if held >= max(_GROUP, _BLOCK_CELLS // values.shape[1] // _GROUP * _GROUP):
            self._digest()

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it, for a shard."""
        self._digest()
        assert self._sketch is not None
        assert self._extremes is not None
        return Moments.merge(self._moments).arrays() | self._extremes.arrays() | self._sketch.arrays()

    def _digest(self) -> None:
        if not self._waiting:
            return
        values = np.concatenate(self._waiting)
        self._waiting = []
        first, self._stop = self._stop, self._stop + len(values)
        alike = self.identities[first : self._stop]
        moments = Moments.of(values, first)
        sketch = Sketch.of(values, moments, seed=self.seed)
        self._moments.append(moments)
        if self._sketch is None or self._extremes is None:
            self._sketch, self._extremes = sketch, Extremes.of(values, first, BEST, alike)
        else:
            self._sketch.add(sketch)
            self._extremes = self._extremes.extended(values, first, alike)


def merged(shards: Iterable[Mapping[str, Any]]) -> tuple[Moments, Extremes, Sketch]:
    """Those of all stretches, in the order of their stimuli; each is read when its turn comes."""
    moments: list[Moments] = []
    extremes: Extremes | None = None
    sketch: Sketch | None = None
    for arrays in shards:
        moments.append(Moments.from_arrays(arrays))
        found, part = Extremes.from_arrays(arrays), Sketch.from_arrays(arrays)
        extremes = found if extremes is None else Extremes.merge([extremes, found])
        if sketch is None:
            sketch = Sketch.merge([part])
        else:
            sketch.add(part)
    assert extremes is not None
    assert sketch is not None
    return Moments.merge(moments), extremes, sketch
