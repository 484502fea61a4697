"""A scene as classic scripts, the only data that a page opened from ``file://`` can load.

Each script assigns one value to one key of a global. Names are hostile text: they travel as JSON strings in ASCII
with ``<``, ``>`` and ``&`` escaped, and never become a key, a path or markup. Columns of numbers travel as base64 of
little-endian arrays, written ``{"u16": "..."}``.
"""

from __future__ import annotations

import base64
import json
import warnings

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, Shaped, UInt8

BEST = 8
"""Best stimuli kept a unit."""
NEIGHBOURS = 12
"""Most correlated units kept a unit."""
MISSING = 255
"""The code of a response that is not a finite number."""

_CELLS = 1 << 23
"""Responses taken at a time."""

_KINDS = {"u8": "|u1", "u16": "<u2", "u32": "<u4", "i32": "<i4", "f32": "<f4"}


def script(key: str, value: object) -> bytes:
    r"""One classic script.

    >>> script("x", ["</script>\u2028"])
    b'(self.neuronatlasData=self.neuronatlasData||{})["x"]=["\\u003c/script\\u003e\\u2028"];\n'
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f'(self.neuronatlasData=self.neuronatlasData||{{}})["{key}"]={text};\n'.encode("ascii")


def column(values: Shaped[np.ndarray, "..."], kind: str) -> dict[str, str]:
    """Numbers as base64; ``kind`` is one of u8, u16, u32, i32, f32."""
    return {kind: base64.b64encode(np.ascontiguousarray(values, dtype=_KINDS[kind]).tobytes()).decode("ascii")}


def scale(
    values: Float32[np.ndarray, "stimuli units"],
) -> tuple[Float32[np.ndarray, " units"], Float32[np.ndarray, " units"]]:
    """Each unit's 1st and 99th percentile over its finite responses.

    A unit that answers to very few stimuli has both at one value; its least and greatest response take their place.
    """
    if not len(values):
        return np.zeros(values.shape[1], np.float32), np.zeros(values.shape[1], np.float32)
    finite = np.where(np.isfinite(values), values, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a unit without one finite response: NaN is the answer
        low, high = np.nanpercentile(finite, [1, 99], axis=0)
        flat = ~(high > low)
        low[flat], high[flat] = np.nanmin(finite[:, flat], axis=0), np.nanmax(finite[:, flat], axis=0)
    return low.astype(np.float32), high.astype(np.float32)


def span(
    values: Float32[np.ndarray, "stimuli units"],
) -> tuple[Float32[np.ndarray, " units"], Float32[np.ndarray, " units"]]:
    """Each unit's least and greatest finite response; 0 and 0 where there is none."""
    finite = np.isfinite(values)
    low = np.where(finite, values, np.inf).min(0, initial=np.inf)
    high = np.where(finite, values, -np.inf).max(0, initial=-np.inf)
    some = low <= high
    return np.where(some, low, 0).astype(np.float32), np.where(some, high, 0).astype(np.float32)


def quantise(
    values: Float32[np.ndarray, "stimuli units"],
    low: Float32[np.ndarray, " units"],
    high: Float32[np.ndarray, " units"],
) -> UInt8[np.ndarray, "stimuli units"]:
    """Codes 0 (``low`` and below) to 254 (``high`` and above), 255 where the response is not finite."""
    width = np.where(high > low, high - low, 1).astype(np.float32)
    known = np.isfinite(values) & np.isfinite(low) & np.isfinite(width)
    share = np.clip((np.where(known, values, 0) - np.where(np.isfinite(low), low, 0)) / np.where(known, width, 1), 0, 1)
    return np.where(known, np.rint(share * (MISSING - 1)), MISSING).astype(np.uint8)


def best(
    values: Float32[np.ndarray, "stimuli units"],
) -> tuple[Int32[np.ndarray, "units best"], Float32[np.ndarray, "units best"]]:
    """The stimuli with the greatest finite responses, ties by stimulus index; -1 and NaN where there are fewer."""
    finite = np.isfinite(values)
    order = np.argsort(np.where(finite, -values, np.inf), axis=0, kind="stable")[:BEST]
    chosen = np.take_along_axis(finite, order, axis=0)
    top = np.where(chosen, np.take_along_axis(values, order, axis=0), np.nan)
    return np.where(chosen, order, -1).T.astype(np.int32), top.T.astype(np.float32)


def moments(
    values: Float32[np.ndarray, "stimuli units"],
) -> tuple[Float64[np.ndarray, " units"], Float64[np.ndarray, " units"]]:
    """Mean and standard deviation of each unit's finite responses, some units at a time; NaN where there are none."""
    mean, spread = np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    step = max(1, _CELLS // max(1, len(values)))
    for start in range(0, values.shape[1], step):
        some = slice(start, start + step)
        finite = np.where(np.isfinite(values[:, some]), values[:, some].astype(np.float64), np.nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a unit without one finite response: NaN is the answer
            mean[some], spread[some] = np.nanmean(finite, axis=0), np.nanstd(finite, axis=0)
    return mean, spread


def deviations(
    values: Float32[np.ndarray, "stimuli units"],
    mean: Float64[np.ndarray, " units"],
    spread: Float64[np.ndarray, " units"],
) -> Float64[np.ndarray, "stimuli units"]:
    """Standard deviations above each unit's mean; minus infinity where that is not known."""
    with np.errstate(invalid="ignore", divide="ignore"):
        score = (values.astype(np.float64) - mean) / spread
    return np.where(np.isfinite(score), score, -np.inf)


def highest(
    score: Float64[np.ndarray, "stimuli units"], units: Int64[np.ndarray, " units"], count: int
) -> tuple[Int32[np.ndarray, "stimuli count"], Float32[np.ndarray, "stimuli count"]]:
    """The units with the highest finite numbers of each row, ties by place, and these numbers; -1 and NaN where there are fewer."""
    order = np.argsort(-score, axis=1, kind="stable")[:, :count]
    found, numbers = np.full((len(score), count), -1, np.int32), np.full((len(score), count), np.nan, np.float32)
    top = np.take_along_axis(score, order, axis=1)
    known = np.isfinite(top)
    found[:, : order.shape[1]] = np.where(known, units[order], -1)
    numbers[:, : order.shape[1]] = np.where(known, top, np.nan)
    return found, numbers
