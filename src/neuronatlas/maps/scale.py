"""Scales on which responses of different units can be compared.

From 0 to 1 over each unit's usual range; in standard deviations of the unit's own responses from their mean; and the
difference between two sets of stimuli as an effect size. Each picture says which by its `LEGENDS`.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int64

from neuronatlas.errors import UnknownName, WrongInput

SCALES = {"percentile": (1.0, 99.0), "minmax": (0.0, 100.0)}
DEVIATION = "deviation"
LEGENDS = {
    "percentile": "response of each unit, 1st to 99th percentile = 0 to 1",
    "minmax": "response of each unit, least to most = 0 to 1",
    DEVIATION: "response of each unit from its mean, in its standard deviations",
    "effect": "difference of the means in pooled standard deviations (Cohen's d)",
    "difference": "difference of the means in standard deviations of each unit",
}
_COLUMNS = 4096
"""Units looked at together: bounds the float64 copy of a large table."""


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
    for start in range(0, values.shape[1] if len(values) else 0, _COLUMNS):
        part = values[:, start : start + _COLUMNS]
        finite = np.isfinite(part)
        whole = finite.all(axis=0)
        if whole.any():
            ends[:, start : start + _COLUMNS][:, whole] = _ends(part[:, whole], scale)
        for column in np.flatnonzero(~whole & finite.any(axis=0)):
            ends[:, start + column] = _ends(part[finite[:, column], column][:, None], scale)[:, 0]
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


def usual_level(
    values: Float[np.ndarray, "stimuli units"],
) -> tuple[Float64[np.ndarray, " units"], Float64[np.ndarray, " units"]]:
    """The mean and the standard deviation (over n - 1) of each unit's finite responses.

    The mean is NaN for a unit without any; the deviation is NaN for a unit with fewer than two, or all equal.
    """
    mean, deviation = np.full((2, values.shape[1]), np.nan)
    for start in range(0, values.shape[1], _COLUMNS):
        part = slice(start, start + _COLUMNS)
        mean[part], squares, count = _moments(values[:, part])
        deviation[part] = np.sqrt(squares / np.maximum(count - 1, 1))
    return mean, np.where(deviation > 0, deviation, np.nan)


def onto_deviations(
    values: Float64[np.ndarray, "stimuli units"],
    mean: Float64[np.ndarray, " units"],
    deviation: Float64[np.ndarray, " units"],
) -> Float64[np.ndarray, "stimuli units"]:
    """How many standard deviations each value lies above its unit's mean; NaN where not finite, or without one."""
    return (np.where(np.isfinite(values), values, np.nan) - mean) / deviation


def effect_sizes(
    first: Float[np.ndarray, "first units"], second: Float[np.ndarray, "second units"]
) -> Float64[np.ndarray, " units"]:
    """Cohen's d of each unit: the mean response to the ``first`` stimuli less that to the ``second``, in pooled deviations.

    The pooled variance is that of both sets around their own means, over n1 + n2 - 2 (Cohen 1988, section 2.5). Where
    neither set varies, infinite if the means differ (the unit tells the sets apart without fail) and 0 if they are equal.
    Responses that are not finite count for nothing. NaN where a set has none, or both together have fewer than three.
    """
    sizes = np.full(first.shape[1], np.nan)
    for start in range(0, first.shape[1], _COLUMNS):
        part = slice(start, start + _COLUMNS)
        (mean, squares, count), (other, more, others) = _moments(first[:, part]), _moments(second[:, part])
        pooled = np.sqrt((squares + more) / np.maximum(count + others - 2, 1))
        difference = mean - other
        certain = np.where(difference == 0, 0.0, np.copysign(np.inf, difference))
        found = np.where(pooled > 0, difference / np.where(pooled > 0, pooled, 1.0), certain)
        sizes[part] = np.where((count > 0) & (others > 0) & (count + others > 2), found, np.nan)
    return sizes


def mean_differences(
    first: Float[np.ndarray, "first units"],
    second: Float[np.ndarray, "second units"],
    deviation: Float64[np.ndarray, " units"],
) -> Float64[np.ndarray, " units"]:
    """The mean response to the ``first`` stimuli less that to the ``second``, in these deviations (see `usual_level`)."""
    return (usual_level(first)[0] - usual_level(second)[0]) / deviation


def symmetric_limit(*drawn: Float64[np.ndarray, "..."], percentile: float = 99.0) -> float:
    """The number at which a diverging scale ends either way: this percentile of the absolute values of all that is drawn.

    Where more than that share is 0, the largest absolute value; 1 where nothing is drawn but zeros. Infinite values count
    for nothing: they lie beyond every limit.
    """
    if not 0 < percentile <= 100:
        message = f"percentile {percentile} must be above 0 and at most 100: 99 is usual"
        raise WrongInput(message)
    sizes = np.abs(np.concatenate([np.ravel(each) for each in drawn]) if drawn else np.zeros(0))
    sizes = sizes[np.isfinite(sizes)]
    if not sizes.any():
        return 1.0
    return float(np.percentile(sizes, percentile)) or float(sizes.max())


def _moments(
    values: Float[np.ndarray, "stimuli units"],
) -> tuple[Float64[np.ndarray, " units"], Float64[np.ndarray, " units"], Int64[np.ndarray, " units"]]:
    """Of each column's finite numbers the mean (NaN without any), the squares around it (0 if all equal), the count."""
    table = values.astype(np.float64)
    finite = np.isfinite(table)
    count = finite.sum(axis=0)
    table[~finite] = 0.0
    mean = np.where(count > 0, table.sum(axis=0) / np.maximum(count, 1), np.nan)
    squares = (np.where(finite, table - mean, 0.0) ** 2).sum(axis=0)
    least = np.where(finite, table, np.inf).min(axis=0, initial=np.inf)
    most = np.where(finite, table, -np.inf).max(axis=0, initial=-np.inf)
    varies = least < most  # a rounded mean must not make a constant vary, nor differ from the same constant
    return np.where(varies | (count == 0), mean, least), np.where(varies, squares, 0.0), count
