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

from neuronatlas.view.scene import Scene

BEST = 8
"""Best stimuli kept a unit."""
NEIGHBOURS = 12
"""Most correlated units kept a unit."""
EXCITED = 6
"""Rendered units named a stimulus."""
MISSING = 255
"""The code of a response that is not a finite number."""

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


def excited(scene: Scene) -> Int32[np.ndarray, "stimuli named"]:
    """For each stimulus the rendered units that it excites most, in standard deviations over all stimuli.

    Ties go to the lower index; -1 stands where a unit's responses do not vary or are not finite.
    """
    units = np.array(sorted(scene.pictures), np.int64)
    order, score = _highest(_deviations(scene.responses[:, units]), slice(None), EXCITED)
    return np.where(np.isfinite(score), units[order], -1).astype(np.int32)


def strongest(
    scene: Scene, stimuli: slice, count: int
) -> tuple[Int32[np.ndarray, "stimuli layers count"], Float32[np.ndarray, "stimuli layers count"]]:
    """For each stimulus and layer the ``count`` units most above their mean, and by how many standard deviations.

    Ties go to the lower index; -1 and NaN stand where a layer has fewer units that vary.
    """
    rows = range(*stimuli.indices(len(scene.stimuli)))
    units = np.full((len(rows), len(scene.layers), count), -1, np.int32)
    scores = np.full(units.shape, np.nan, np.float32)
    layer_of = np.array([unit.layer for unit in scene.units], object)
    for number, layer in enumerate(scene.layers):
        members = np.flatnonzero(layer_of == layer.name)
        order, score = _highest(_deviations(scene.responses[:, members]), stimuli, count)
        found = order.shape[1]
        known = np.isfinite(score)
        units[:, number, :found] = np.where(known, members[order], -1)
        scores[:, number, :found] = np.where(known, score, np.nan)
    return units, scores


def _deviations(values: Float32[np.ndarray, "stimuli units"]) -> Float64[np.ndarray, "stimuli units"]:
    """Standard deviations above each unit's mean; NaN where that is not known."""
    finite = np.where(np.isfinite(values), values.astype(np.float64), np.nan)
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # a unit without one finite response: NaN is the answer
        score: Float64[np.ndarray, "stimuli units"] = (finite - np.nanmean(finite, axis=0)) / np.nanstd(finite, axis=0)
    return score


def _highest(
    score: Float64[np.ndarray, "stimuli units"], stimuli: slice, count: int
) -> tuple[Int64[np.ndarray, "some count"], Float64[np.ndarray, "some count"]]:
    """The places of the highest finite numbers of some rows, ties by place, and these numbers."""
    part = np.where(np.isfinite(score[stimuli]), score[stimuli], -np.inf)
    order = np.argsort(-part, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(part, order, axis=1)
