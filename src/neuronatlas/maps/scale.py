"""The usual range of each unit, on which its responses become a number from 0 to 1."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

from neuronatlas.errors import UnknownName

SCALES = {"percentile": (1.0, 99.0), "minmax": (0.0, 100.0)}


def usual_range(
    values: Float[np.ndarray, "stimuli units"], scale: str
) -> tuple[Float64[np.ndarray, " units"], Float64[np.ndarray, " units"]]:
    """The low and the high end of each unit's finite responses; NaN for a unit without any.

    "percentile": from the 1st to the 99th, so that one outlying stimulus among a hundred or more does not squeeze all
    others (among fewer, the 99th lies part of the way to the outlier); where those two coincide, as in a unit that
    answers to almost nothing, from the least to the most. "minmax": always the latter.

    >>> usual_range(np.array([[1.0, 0.0]] * 300 + [[2.0, 8.0]] * 2), "percentile")
    (array([1., 0.]), array([2., 8.]))
    """
    if scale not in SCALES:
        raise UnknownName("scale", scale, SCALES)
    ends = np.full((2, values.shape[1]), np.nan)
    finite = np.isfinite(values)
    whole = finite.all(axis=0)
    if len(values) and whole.any():
        ends[:, whole] = _ends(values[:, whole], scale)
    for column in np.flatnonzero(~whole & finite.any(axis=0)):
        ends[:, column] = _ends(values[finite[:, column], column][:, None], scale)[:, 0]
    return ends[0], ends[1]


def _ends(values: Float[np.ndarray, "stimuli units"], scale: str) -> Float64[np.ndarray, "2 units"]:
    """The two ends of each column, every value being finite."""
    table = values.astype(np.float64)
    ends = np.percentile(table, SCALES[scale], axis=0)
    return np.where(ends[1] > ends[0], ends, np.stack([table.min(axis=0), table.max(axis=0)]))


def onto_range(
    values: Float64[np.ndarray, "stimuli units"],
    low: Float64[np.ndarray, " units"],
    high: Float64[np.ndarray, " units"],
) -> Float64[np.ndarray, "stimuli units"]:
    """Values as 0 at ``low`` to 1 at ``high``, clipped; NaN where not finite, and where a unit has no range."""
    span = np.where(high > low, high - low, np.nan)
    return np.clip((np.where(np.isfinite(values), values, np.nan) - low) / span, 0.0, 1.0)


def mean_of_known(values: Float64[np.ndarray, "stimuli units"]) -> Float64[np.ndarray, " units"]:
    """The mean of each column over what is not NaN; NaN where there is nothing."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
