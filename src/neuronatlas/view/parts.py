"""The data of a page in parts, each under a key and made when it is asked for.

A folder holds every part as a classic script; a notebook's widget is sent those that it asks for. Names travel as text
inside parts and never become a key. However large the atlas, there are at most about two thousand parts of pictures.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps.circle import onto_disc
from neuronatlas.view import sprites
from neuronatlas.view.crops import Crops
from neuronatlas.view.faces import Faces
from neuronatlas.view.scene import Scene
from neuronatlas.view.scripts import (
    BEST,
    NEIGHBOURS,
    best,
    column,
    deviations,
    highest,
    moments,
    quantise,
    scale,
    span,
)

DETAILS = 1024
"""Units in one part of details."""
CHUNK = 1_000_000
"""Bytes of responses in one part."""
TABLE = 1 << 27
"""Above so many responses they are kept by stimulus alone, not by unit as well."""
PACKS = 1024
"""Parts of pictures, at most; few pictures lie `PACK` to a part."""
PACK = 16
STIMULUS_PACKS = 128
STIMULUS_PACK = 64
STRONGEST = 8
"""Units named a stimulus and layer."""
EXCITED = 6
"""Rendered units named a stimulus."""


class Parts:
    """The parts of ``scene``. Raises `WrongInput` where a unit is in no layer of it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        names = {layer.name for layer in scene.layers}
        for unit in scene.units:
            if unit.layer not in names:
                message = f"units: {str(unit)!r} is in no layer of the scene: list its layer in layers"
                raise WrongInput(message)
        self._pictured = sorted(scene.pictures)
        self._faces = Faces(scene)
        lowered, varied = self._faces.counts
        self._crops = Crops(scene)
        self._kinds: dict[str, tuple[int, Callable[[int], object]]] = {
            "scene": (0, lambda _: self._overview()),
            "circle": (0, lambda _: column(self._circle(), "f32")),
            "clusters": (0, lambda _: column(self._clusters(), "i32")),
            "number": (len(scene.numbers), self._number),
            "sprites": (len(self.sheets), self._sheet),
            "responses": (_blocks(len(scene.stimuli), self.rows), self._responses),
            "columns": (_blocks(len(scene.units), self.columns) if self.columns else 0, self._columns),
            "strongest": (_blocks(len(scene.stimuli), self.strong), self._strongest),
            "details": (_blocks(len(scene.units), DETAILS), self._details),
            "pictures": (_blocks(len(self._pictured), self.pack), self._pictures),
            "negatives": (lowered, self._faces.negatives),
            "diverse": (varied, self._faces.diverse),
            "crops": (self._crops.count, self._crops.part),
            "stimuli": (_blocks(len(scene.stimuli), self.stimulus_pack), self._stimuli),
        }

    def __iter__(self) -> Iterator[str]:
        """The key of every part, in order."""
        for kind, (count, _) in self._kinds.items():
            yield from (f"{kind}-{number}" for number in range(count)) if kind not in _SINGLE else (kind,)

    def value(self, key: str) -> object:
        """The content of a part, as JSON has it. Raises `UnknownName`."""
        kind, _, number = key.partition("-")
        if kind in self._kinds and (number.isdecimal() if number else kind in _SINGLE):
            count, make = self._kinds[kind]
            if not number:
                return make(0)
            if int(number) < count:
                return make(int(number))
        what = "part of a page"
        raise UnknownName(what, key, list(self))

    @cached_property
    def sheets(self) -> tuple[tuple[int, ...], ...]:
        """The units of each sheet of thumbnails: first some from all over the map, then neighbours together."""
        return sprites.arranged(self._pictured, self.scene.positions)

    @property
    def rows(self) -> int:
        """Stimuli in one part of responses."""
        return max(1, CHUNK // max(1, len(self.scene.units)))

    @property
    def columns(self) -> int:
        """Units in one part of responses by unit; 0 where the table is too large for that."""
        return max(1, CHUNK // 2 // max(1, len(self.scene.stimuli))) if 0 < self.scene.responses.size <= TABLE else 0

    @property
    def strong(self) -> int:
        """Stimuli in one part of strongest units."""
        return max(1, CHUNK // 2 // (8 * STRONGEST * max(1, len(self.scene.layers))))

    @property
    def pack(self) -> int:
        """Pictures in one part."""
        return max(PACK, -(-len(self._pictured) // PACKS))

    @property
    def stimulus_pack(self) -> int:
        """Thumbnails of stimuli in one part."""
        return max(STIMULUS_PACK, -(-len(self.scene.stimuli) // STIMULUS_PACKS))

    @cached_property
    def _scale(self) -> tuple[Float32[np.ndarray, " units"], Float32[np.ndarray, " units"]]:
        return scale(self.scene.responses)

    @cached_property
    def _span(self) -> tuple[Float32[np.ndarray, " units"], Float32[np.ndarray, " units"]]:
        return span(self.scene.responses)

    @cached_property
    def _moments(self) -> tuple[Float64[np.ndarray, " units"], Float64[np.ndarray, " units"]]:
        return moments(self.scene.responses)

    @cached_property
    def _members(self) -> list[Int64[np.ndarray, " members"]]:
        """The units of each layer."""
        number = {layer.name: place for place, layer in enumerate(self.scene.layers)}
        layer_of = np.array([number[unit.layer] for unit in self.scene.units], np.int64)
        return [np.flatnonzero(layer_of == place) for place in range(len(self.scene.layers))]

    def _excited(self) -> Int32[np.ndarray, "stimuli named"]:
        """For each stimulus the rendered units that it drives farthest above their mean response."""
        units = np.array(self._pictured, np.int64)
        count = min(EXCITED, len(units))
        mean, spread = (side[units] for side in self._moments)
        rows = [
            highest(deviations(self.scene.responses[start : start + 64][:, units], mean, spread), units, count)[0]
            for start in range(0, len(self.scene.stimuli), 64)
        ]
        return np.concatenate(rows) if rows else np.zeros((0, count), np.int32)

    def _overview(self) -> dict[str, object]:
        """What the page needs before it shows anything."""
        scene = self.scene
        number = {layer.name: place for place, layer in enumerate(scene.layers)}
        words = sorted({"", *scene.status})
        code = {word: place for place, word in enumerate(words)}
        scores = np.full(len(scene.units), np.nan, np.float32)
        for unit, picture in scene.pictures.items():
            scores[unit] = picture.score
        return {
            "format": 2,
            "title": scene.title,
            "layers": [
                [layer.name, layer.kind, layer.units, list(layer.shape), layer.receptive_field]
                for layer in scene.layers
            ],
            "units": {
                "count": len(scene.units),
                "layer": column(np.array([number[unit.layer] for unit in scene.units]), "u16"),
                "index": column(np.array([unit.index for unit in scene.units]), "u32"),
                "places": [[place, *unit.position] for place, unit in enumerate(scene.units) if unit.position],
                "positions": column(scene.positions, "f32"),
                "status": column(np.array([code[word] for word in scene.status]), "u8"),
                "score": column(scores, "f32"),
                "pictures": column(np.array(self._pictured), "u32"),
            },
            "words": words,
            "reasons": [[unit, scene.reasons[unit]] for unit in sorted(scene.reasons)],
            "stimuli": [[stimulus.name, stimulus.label] for stimulus in scene.stimuli],
            "numbers": list(scene.numbers),
            "clusters": 0 if scene.clusters is None else int(scene.clusters.max(initial=-1)) + 1,
            "sheets": [len(units) for units in self.sheets],
            "sheeted": column(np.array([unit for units in self.sheets for unit in units]), "u32"),
            "pack": self.pack,
            "stimulusPack": self.stimulus_pack,
            "rows": self.rows,
            "columns": self.columns,
            "strong": self.strong,
            "strongest": STRONGEST,
            "details": DETAILS,
            "best": min(BEST, len(scene.stimuli)),
            "excited": column(self._excited(), "i32"),
            "named": min(EXCITED, len(self._pictured)),
            "neighbours": min(NEIGHBOURS, scene.neighbours.shape[1]),
            "facts": [[str(key), str(value)] for key, value in scene.facts.items()],
            "command": scene.command,
            **self._faces.overview(),
            **self._crops.overview(),
        }

    def _circle(self) -> Float32[np.ndarray, "units 2"]:
        """The map drawn out to a disc; units without a place have none there."""
        positions = np.full(self.scene.positions.shape, np.nan, np.float32)
        placed = np.isfinite(self.scene.positions).all(1)
        if placed.sum() > 2:
            positions[placed] = onto_disc(self.scene.positions[placed].astype(np.float64))
        return positions

    def _clusters(self) -> np.ndarray:
        return np.full(len(self.scene.units), -1) if self.scene.clusters is None else self.scene.clusters

    def _number(self, place: int) -> object:
        return column(list(self.scene.numbers.values())[place], "f32")

    def _sheet(self, place: int) -> object:
        """The thumbnails of one sheet as one picture."""
        units = self.sheets[place]
        sheet = sprites.sheet(
            {unit: self.scene.pictures[unit] for unit in units}, sprites.cell_size(len(self._pictured))
        )
        return {"cell": sheet.cell, "columns": sheet.columns, "image": sheet.image}

    def _responses(self, place: int) -> object:
        """Codes of a block of stimuli, all units each."""
        some = slice(place * self.rows, (place + 1) * self.rows)
        return column(quantise(self.scene.responses[some], *self._scale), "u8")

    def _columns(self, place: int) -> object:
        """Codes of a block of units between their least and greatest response, all stimuli each."""
        some = slice(place * self.columns, (place + 1) * self.columns)
        low, high = self._span
        return column(quantise(self.scene.responses[:, some], low[some], high[some]).T, "u8")

    def _strongest(self, place: int) -> object:
        """For each stimulus and layer the units most above their mean response, in standard deviations."""
        some = self.scene.responses[place * self.strong : (place + 1) * self.strong]
        mean, spread = self._moments
        found = [
            highest(deviations(some[:, members], mean[members], spread[members]), members, STRONGEST)
            for members in self._members
        ]
        units, scores = (np.stack(each, axis=1) for each in zip(*found, strict=True))
        return {"units": column(units, "i32"), "scores": column(scores, "f32")}

    def _details(self, place: int) -> object:
        """What the cards of a block of units show."""
        scene = self.scene
        some = slice(place * DETAILS, (place + 1) * DETAILS)
        best_stimuli, best_values = best(scene.responses[:, some])
        worst_stimuli, worst_values = best(-scene.responses[:, some])
        return {
            "neighbours": column(scene.neighbours[some, :NEIGHBOURS], "i32"),
            "correlations": column(scene.correlations[some, :NEIGHBOURS], "f32"),
            "stimuli": column(best_stimuli, "i32"),
            "values": column(best_values, "f32"),
            "worst": column(worst_stimuli, "i32"),
            "worstValues": column(-worst_values, "f32"),
            **{name: column(side[some], "f32") for name, side in zip(("low", "high"), self._scale, strict=True)},
            **{name: column(side[some], "f32") for name, side in zip(("least", "most"), self._span, strict=True)},
            "curves": [
                [unit, column(scene.pictures[unit].curve, "f32")]
                for unit in range(*some.indices(len(scene.units)))
                if unit in scene.pictures
            ],
        }

    def _pictures(self, place: int) -> list[str]:
        units = self._pictured[place * self.pack : (place + 1) * self.pack]
        return [_text(sprites.webp(self.scene.pictures[unit].image)) for unit in units]

    def _stimuli(self, place: int) -> list[str]:
        some = self.scene.stimuli[place * self.stimulus_pack : (place + 1) * self.stimulus_pack]
        return [_text(sprites.thumbnail(stimulus.thumbnail)) for stimulus in some]


_SINGLE = ("scene", "circle", "clusters")


def _blocks(count: int, size: int) -> int:
    return -(-count // size)


def _text(encoded: bytes) -> str:
    return base64.b64encode(encoded).decode("ascii")
