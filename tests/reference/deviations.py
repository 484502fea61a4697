"""Deviations from a mean, and effect sizes, one unit at a time with Python's own statistics."""

from __future__ import annotations

import math
import statistics


def known(values: list[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def deviations(values: list[float]) -> list[float]:
    usable = known(values)
    if len(set(usable)) < 2:
        return [math.nan] * len(values)
    mean, spread = statistics.fmean(usable), statistics.stdev(usable)
    return [(value - mean) / spread if math.isfinite(value) else math.nan for value in values]


def effect_size(first: list[float], second: list[float]) -> float:
    """Cohen's d."""
    first, second = known(first), known(second)
    if not first or not second or len(first) + len(second) < 3:
        return math.nan
    if len(set(first)) == len(set(second)) == 1:
        return 0.0 if first[0] == second[0] else math.copysign(math.inf, first[0] - second[0])
    squares = sum((len(each) - 1) * statistics.variance(each) if len(each) > 1 else 0.0 for each in (first, second))
    pooled = math.sqrt(squares / (len(first) + len(second) - 2))
    return (statistics.fmean(first) - statistics.fmean(second)) / pooled
