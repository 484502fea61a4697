"""The other pictures of units, in parts: what lowers a unit most, and several that raise it and are unlike each other."""

from __future__ import annotations

import base64

import numpy as np

from neuronatlas.view import sprites
from neuronatlas.view.scene import Scene, ScenePicture
from neuronatlas.view.scripts import column

PACKS = 256
"""Parts of each kind, at most: then a page of 50,000 units is below 2,000 files."""
PACK = 16
"""Units in one part that have one picture there, where they are few; with several it is a quarter of them."""


class Faces:
    """The pictures ``scene.negatives`` and ``scene.diverse``: units in order, so many to a part."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.lowered, self.varied = sorted(scene.negatives), sorted(scene.diverse)
        self.negative_pack, self.diverse_pack = _size(self.lowered, PACK), _size(self.varied, PACK // 4)

    def overview(self) -> dict[str, object]:
        """Which units have such pictures, what the lowest values are, how many diverse ones, and the units in a part."""
        lowest = np.array([self.scene.negatives[unit].score for unit in self.lowered])
        return {
            "negatives": {
                "units": column(np.array(self.lowered), "u32"),
                "scores": column(lowest, "f32"),
                "pack": self.negative_pack,
            },
            "diverse": {
                "units": column(np.array(self.varied), "u32"),
                "counts": column(np.array([len(self.scene.diverse[unit]) for unit in self.varied]), "u8"),
                "pack": self.diverse_pack,
            },
        }

    @property
    def counts(self) -> tuple[int, int]:
        """How many parts there are of negatives, and of diverse pictures."""
        return -(-len(self.lowered) // self.negative_pack), -(-len(self.varied) // self.diverse_pack)

    def negatives(self, place: int) -> list[str]:
        """The pictures of one part."""
        units = self.lowered[place * self.negative_pack : (place + 1) * self.negative_pack]
        return [_text(self.scene.negatives[unit]) for unit in units]

    def diverse(self, place: int) -> list[dict[str, object]]:
        """For each unit of one part the scores of its pictures, and these."""
        units = self.varied[place * self.diverse_pack : (place + 1) * self.diverse_pack]
        return [
            {
                "scores": column(np.array([picture.score for picture in self.scene.diverse[unit]]), "f32"),
                "images": [_text(picture) for picture in self.scene.diverse[unit]],
            }
            for unit in units
        ]


def _size(units: list[int], least: int) -> int:
    return max(least, -(-len(units) // PACKS))


def _text(picture: ScenePicture) -> str:
    return base64.b64encode(sprites.webp(picture.image)).decode("ascii")
