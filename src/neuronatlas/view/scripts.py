"""A scene as classic scripts, the only data that a page opened from ``file://`` can load.

Each script assigns one value to one key of a global. Names are hostile text: they travel as JSON strings in ASCII
with ``<``, ``>`` and ``&`` escaped, and never become a key, a path or markup. Columns of numbers travel as base64 of
little-endian arrays, written ``{"u16": "..."}``.
"""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, Int32, Shaped, UInt8

from neuronatlas.errors import WrongInput
from neuronatlas.view.scene import Scene
from neuronatlas.view.sprites import Sheet

BEST = 8
"""Best stimuli kept a unit."""
NEIGHBOURS = 12
"""Most correlated units kept a unit."""
EXCITED = 6
"""Rendered units named a stimulus."""
DETAILS = 1024
"""Units in one script of details."""
CHUNK = 1_000_000
"""Responses, one byte each, in one script."""
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


def overview(scene: Scene, drawn: list[Sheet]) -> dict[str, object]:
    """What the page needs before it shows anything."""
    number = {layer.name: place for place, layer in enumerate(scene.layers)}
    for unit in scene.units:
        if unit.layer not in number:
            message = f"units: {str(unit)!r} is in no layer of the scene: list its layer in layers"
            raise WrongInput(message)
    words = sorted({"", *scene.status})
    scores = np.full(len(scene.units), np.nan, np.float32)
    for unit_index, picture in scene.pictures.items():
        scores[unit_index] = picture.score
    return {
        "format": 1,
        "title": scene.title,
        "layers": [
            [layer.name, layer.kind, layer.units, list(layer.shape), layer.receptive_field] for layer in scene.layers
        ],
        "units": {
            "count": len(scene.units),
            "layer": column(np.array([number[unit.layer] for unit in scene.units]), "u16"),
            "index": column(np.array([unit.index for unit in scene.units]), "u32"),
            "places": [[place, *unit.position] for place, unit in enumerate(scene.units) if unit.position],
            "positions": column(scene.positions, "f32"),
            "status": column(np.array([words.index(word) for word in scene.status]), "u8"),
            "score": column(scores, "f32"),
            "pictures": column(np.array(sorted(scene.pictures)), "u32"),
        },
        "words": words,
        "reasons": [[unit_index, scene.reasons[unit_index]] for unit_index in sorted(scene.reasons)],
        "stimuli": [[stimulus.name, stimulus.label] for stimulus in scene.stimuli],
        "sheets": len(drawn),
        "rows": rows_in_chunk(scene),
        "details": DETAILS,
        "best": min(BEST, len(scene.stimuli)),
        "excited": column(excited(scene), "i32"),
        "named": min(EXCITED, len(scene.pictures)),
        "neighbours": min(NEIGHBOURS, scene.neighbours.shape[1]),
        "facts": [[str(key), str(value)] for key, value in scene.facts.items()],
    }


def rows_in_chunk(scene: Scene) -> int:
    """Stimuli in one script of responses."""
    return max(1, CHUNK // max(1, len(scene.units)))


def responses(scene: Scene, low: Float32[np.ndarray, " units"], high: Float32[np.ndarray, " units"]) -> Iterator[bytes]:
    """The responses as codes, a block of stimuli a script."""
    rows = rows_in_chunk(scene)
    for number, start in enumerate(range(0, len(scene.stimuli), rows)):
        codes = quantise(scene.responses[start : start + rows], low, high)
        yield script(f"responses-{number}", column(codes, "u8"))


def details(scene: Scene, low: Float32[np.ndarray, " units"], high: Float32[np.ndarray, " units"]) -> Iterator[bytes]:
    """What a unit's card shows, a block of units a script."""
    for number, start in enumerate(range(0, len(scene.units), DETAILS)):
        some = slice(start, start + DETAILS)
        stop = min(start + DETAILS, len(scene.units))
        stimuli, values = best(scene.responses[:, some])
        yield script(
            f"details-{number}",
            {
                "neighbours": column(scene.neighbours[some, :NEIGHBOURS], "i32"),
                "correlations": column(scene.correlations[some, :NEIGHBOURS], "f32"),
                "stimuli": column(stimuli, "i32"),
                "values": column(values, "f32"),
                "low": column(low[some], "f32"),
                "high": column(high[some], "f32"),
                "curves": [
                    [unit, column(scene.pictures[unit].curve, "f32")]
                    for unit in range(start, stop)
                    if unit in scene.pictures
                ],
            },
        )


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
    units = np.array(sorted(scene.pictures), np.int32)
    values = scene.responses[:, units].astype(np.float64)
    finite = np.where(np.isfinite(values), values, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a unit without one finite response: NaN is the answer
        score = (finite - np.nanmean(finite, axis=0)) / np.nanstd(finite, axis=0)
    known = np.isfinite(score)
    order = np.argsort(np.where(known, -score, np.inf), axis=1, kind="stable")[:, :EXCITED]
    return np.where(np.take_along_axis(known, order, axis=1), units[order], -1).astype(np.int32)
