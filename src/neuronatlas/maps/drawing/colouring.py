"""How numbers become colours, and what the legend says that they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps.scale import DEVIATION, LEGENDS, SCALES, symmetric_limit

if TYPE_CHECKING:
    import matplotlib.colors

SEQUENTIAL = "viridis"
"""Rises evenly in lightness, also to eyes that confuse red and green (Smith and van der Walt 2015)."""
DIVERGING = "RdBu_r"
"""Blue below, red above, equally dark either way (Brewer's RdBu, which she marks as safe for colour-blind readers)."""
LAYER_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""The eight of Okabe and Ito, "Color universal design" (2008), told apart with every common kind of colour vision."""
OTHER_COLOUR = "#B5B5B5"


@dataclass(frozen=True)
class Colouring:
    """Numbers from ``low`` to ``high`` are coloured by ``cmap``, those beyond as the ends; ``legend`` names the numbers.

    An infinite number lies beyond the ends like another; NaN alone is blank.

    ``cmap`` is a name that matplotlib knows, or a colour map.
    """

    legend: str
    low: float = 0.0
    high: float = 1.0
    cmap: str | matplotlib.colors.Colormap = SEQUENTIAL

    def __post_init__(self) -> None:
        """Refuse a range that is none."""
        if not (np.isfinite([self.low, self.high]).all() and self.low < self.high):
            message = f"low {self.low} and high {self.high} must be finite, low below high"
            raise WrongInput(message)

    @property
    def colours(self) -> matplotlib.colors.Colormap:
        """The colour map; raises `UnknownName`."""
        import matplotlib as mpl

        if not isinstance(self.cmap, str):
            return self.cmap
        if self.cmap not in mpl.colormaps:
            raise UnknownName("cmap", self.cmap, list(mpl.colormaps))
        return mpl.colormaps[self.cmap]

    def drawable(self, values: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
        """The values with infinite ones as the ends of the scale: matplotlib leaves those blank."""
        return np.where(np.isinf(values), np.clip(values, self.low, self.high), values)

    def beyond(self, *drawn: Float64[np.ndarray, "..."]) -> str:
        """Which ends of the scale some of the numbers lie beyond, in matplotlib's word: both, min, max or neither."""
        below, above = (any((each < self.low).any() for each in drawn), any((each > self.high).any() for each in drawn))
        return {(True, True): "both", (True, False): "min", (False, True): "max", (False, False): "neither"}[
            below, above
        ]


def levels(scale: str) -> Colouring:
    """The colouring of responses on the usual ranges of `scale.SCALES`."""
    if scale not in SCALES:
        raise UnknownName("scale", scale, SCALES)
    return Colouring(LEGENDS[scale])


def about_zero(kind: str, *drawn: Float64[np.ndarray, "..."], percentile: float = 99.0) -> Colouring:
    """A diverging colouring for numbers of a ``kind``: "deviation", "effect" or "difference".

    Its ends are `symmetric_limit` of everything ``drawn``: give it all the pictures that shall be compared by eye.
    """
    kinds = [DEVIATION, "effect", "difference"]
    if kind not in kinds:
        raise UnknownName("kind", kind, kinds)
    limit = symmetric_limit(*drawn, percentile=percentile)
    return Colouring(LEGENDS[kind], -limit, limit, DIVERGING)
