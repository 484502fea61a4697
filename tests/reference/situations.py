"""The accuracy of a threshold on one unit, by trying every one."""

from __future__ import annotations

import math
from itertools import pairwise


def balanced(values: list[float], inside: list[bool], threshold: float, above: bool) -> float:
    """NaN without members or without others."""
    told = [(value > threshold) == above for value in values]
    members = [t for t, m in zip(told, inside, strict=True) if m]
    others = [not t for t, m in zip(told, inside, strict=True) if not m]
    if not members or not others:
        return math.nan
    return (sum(members) / len(members) + sum(others) / len(others)) / 2


def accuracy(values: list[float], inside: list[bool], fitted: list[bool]) -> float:
    rows = [row for row in zip(values, inside, fitted, strict=True) if math.isfinite(row[0])]
    chosen = [(value, member) for value, member, fit in rows if fit]
    kept = [(value, member) for value, member, fit in rows if not fit]
    levels = sorted({value for value, _ in chosen})
    best, choice = -1.0, None
    for low, high in pairwise(levels):
        for above in (True, False):
            score = balanced([v for v, _ in chosen], [m for _, m in chosen], low + (high - low) / 2, above)
            if round(score, 12) > best:  # what rounding makes of equal scores decides nothing
                best, choice = round(score, 12), (low + (high - low) / 2, above)
    if choice is None or not kept:
        return math.nan
    return balanced([v for v, _ in kept], [m for _, m in kept], *choice)
