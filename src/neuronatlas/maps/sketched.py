"""A sketch and moments in the place of a table of responses that was too large to keep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from neuronatlas.errors import WrongInput
from neuronatlas.maps.correlation import Standardised
from neuronatlas.maps.moments import Moments
from neuronatlas.maps.scale import DEVIATION
from neuronatlas.maps.sketch import Sketch


@dataclass(frozen=True, eq=False)
class Sketched:
    """What a map needs to know of responses, by their sketch and their moments, which are of the same stimuli."""

    sketch: Sketch
    moments: Moments

    def standardised(self, units: Int64[np.ndarray, " chosen"] | None = None) -> Standardised:
        """The rows of all units, or of these, as `correlation.standardise` makes them of a table."""
        return self.sketch.standardised(self.moments, units)

    def table(self) -> Float32[np.ndarray, "sums units"]:
        """A table that is alike for units whose responses are, in which `duplicates.find_copies` finds them."""
        return self.sketch.table(self.moments)

    def ends(self, scale: str) -> tuple[Float64[np.ndarray, " units"], Float64[np.ndarray, " units"]]:
        """The responses that are drawn as 0 and 1, or a deviation below and above the mean; raises `WrongInput`."""
        if scale == "minmax":
            return self.moments.low, self.moments.high
        if scale != DEVIATION:
            message = (
                f"scale {scale!r} needs every response, which a sketch does not keep: use 'minmax' or {DEVIATION!r}"
            )
            raise WrongInput(message)
        spread = np.where(self.moments.std > 0, self.moments.std, np.nan)
        return self.moments.mean - spread, self.moments.mean + spread

    @property
    def notes(self) -> tuple[str, ...]:
        """How far the correlations may be off, for the reader of a map; empty where they are exact."""
        stimuli, error = self.sketch.stop - self.sketch.start, self.sketch.error
        if not error:
            return ()
        return (
            f"correlations come from a sketch of {stimuli} stimuli: their error is {error:.3f} or less (root mean square)",
        )
