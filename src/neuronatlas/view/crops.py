"""What units see of their best and worst stimuli, in parts: where in each, and that part of it."""

from __future__ import annotations

import base64

import numpy as np

from neuronatlas.view import sprites
from neuronatlas.view.scene import Scene, SceneCrop
from neuronatlas.view.scripts import column

PACKS = 256
"""Parts, at most: then a page of 50,000 units is below 2,000 files."""
PACK = 8
"""Units in one part, where they are few."""


class Crops:
    """The crops of a scene: units in order, so many to a part."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.units = sorted(scene.crops)
        self.pack = max(PACK, -(-len(self.units) // PACKS))

    def overview(self) -> dict[str, object]:
        """Which units have crops, how many of them lie in a part, and the height and width in which boxes are counted."""
        units = column(np.array(self.units), "u32")
        return {"crops": {"units": units, "pack": self.pack, "size": list(self.scene.input_size)}}

    @property
    def count(self) -> int:
        """How many parts there are."""
        return -(-len(self.units) // self.pack)

    def part(self, place: int) -> list[list[list[list[object]]]]:
        """For each unit of one part its best and its worst stimuli: number, box and picture of each."""
        units = self.units[place * self.pack : (place + 1) * self.pack]
        return [[[_entry(crop) for crop in side] for side in self.scene.crops[unit]] for unit in units]


def _entry(crop: SceneCrop) -> list[object]:
    return [crop.stimulus, list(crop.box), base64.b64encode(sprites.webp(crop.image)).decode("ascii")]
