"""What the responses of a unit say of it in one number: columns of the unit table."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64

BLOCK = 1 << 22
"""Responses taken at a time, so that the memory does not grow with the atlas."""


def numbers_of(
    responses: Float32[np.ndarray, "stimuli units"], labels: Sequence[str] = ()
) -> dict[str, Float32[np.ndarray, " units"]]:
    """Columns by their names; NaN where a unit has no finite response or does not vary.

    ``Mean response`` and ``Standard deviation`` are in the unit's own measure. ``Lifetime sparseness``: 0 when it responds to
    all stimuli alike, 1 when to a single one, negative responses counted as none (Vinje and Gallant 2000, Science
    287:1273). ``Class selectivity``, where there are at least two labels: the share of the variance that lies between classes
    (eta squared, Fisher 1925), 0 to 1; stimuli without a label are left out.
    """
    columns = max(1, BLOCK // max(1, len(responses)))
    parts = [_some(responses[:, start : start + columns], labels) for start in range(0, responses.shape[1], columns)]
    names = parts[0].keys() if parts else ()
    return {name: np.concatenate([part[name] for part in parts]).astype(np.float32) for name in names}


def _some(
    responses: Float32[np.ndarray, "stimuli units"], labels: Sequence[str]
) -> dict[str, Float64[np.ndarray, " units"]]:
    values = np.where(np.isfinite(responses), responses.astype(np.float64), np.nan)
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # a unit without one finite response: NaN is the answer
        numbers = {
            "Mean response": np.nanmean(values, 0),
            "Standard deviation": np.nanstd(values, 0),
            "Lifetime sparseness": sparseness(values),
        }
        if len({label for label in labels if label}) > 1:
            numbers["Class selectivity"] = selectivity(values, labels)
    return numbers


def sparseness(responses: Float64[np.ndarray, "stimuli units"]) -> Float64[np.ndarray, " units"]:
    """(1 - mean(r)^2 / mean(r^2)) / (1 - 1 / n) of the n finite responses r, negative ones taken as 0."""
    positive = np.maximum(responses, 0)
    count = np.isfinite(responses).sum(0)
    return (1 - np.nanmean(positive, 0) ** 2 / np.nanmean(positive**2, 0)) / (1 - 1 / count)


def selectivity(
    responses: Float64[np.ndarray, "stimuli units"], labels: Sequence[str]
) -> Float64[np.ndarray, " units"]:
    """The sum of squares between classes as a part of the whole, over the stimuli that have a label."""
    labelled = np.array([bool(label) for label in labels])
    classes = np.array([label for label in labels if label], object)
    values = responses[labelled]
    middle = np.nanmean(values, 0)
    between = np.zeros(responses.shape[1])
    for label in sorted(set(classes.tolist())):
        members = values[classes == label]
        count = np.isfinite(members).sum(0)
        between += np.where(count > 0, count * (np.nanmean(members, 0) - middle) ** 2, 0)
    return between / np.nansum((values - middle) ** 2, 0)
