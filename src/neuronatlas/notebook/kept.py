"""Pictures that need not be made again: those of this session, and those of an atlas."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from neuronatlas.atlas import Atlas
from neuronatlas.errors import AtlasMismatch, NeuronAtlasError, WrongInput
from neuronatlas.networks import Network
from neuronatlas.view.sprites import data_uri, webp

KEPT = 1024
"""Pictures that are remembered; the one that was not looked at for longest is forgotten first."""


@dataclass(frozen=True)
class Wish:
    """What decides a picture."""

    layer: str
    channel: int
    preset: str
    steps: int
    seed: int

    @property
    def unit(self) -> str:
        """The unit's address."""
        return f"{self.layer}:{self.channel}"


@dataclass(frozen=True)
class Made:
    """A picture as a data URI, its score (None: it has none), and what else there is to say."""

    image: str
    score: float | None
    words: str = ""


class Kept:
    """The pictures there are, from whatever thread. Raises `AtlasMismatch` where the atlas is of another network."""

    def __init__(self, network: Network, atlas: Atlas | None) -> None:
        if atlas is not None and atlas.manifest.network["fingerprint"] != network.fingerprint:
            name = atlas.manifest.network["name"]
            message = (
                f"atlas is of {name!r} with other weights than network {network.name!r}: give that network, or no atlas"
            )
            raise AtlasMismatch(message)
        self._atlas = atlas
        self._lock = threading.Lock()
        self._made: OrderedDict[Wish, Made] = OrderedDict()
        self._rows = {} if atlas is None else _rows(atlas)

    def get(self, wish: Wish) -> Made | None:
        """The picture, if it was made."""
        with self._lock:
            if wish in self._made:
                self._made.move_to_end(wish)
                return self._made[wish]
        found = self._of_atlas(wish)
        if found is not None:
            self.put(wish, found)
        return found

    def put(self, wish: Wish, made: Made) -> None:
        """Remember a picture."""
        with self._lock:
            self._made[wish] = made
            while len(self._made) > KEPT:
                self._made.popitem(last=False)

    def _of_atlas(self, wish: Wish) -> Made | None:
        """The picture of the atlas, where it was built with just these settings and the shard is there."""
        if self._atlas is None or (wish.preset, wish.steps, wish.seed) != settings_of(self._atlas):
            return None
        number = self._rows.get((wish.layer, wish.channel))
        if number is None:
            return None
        shard = self._atlas.plan.of("renderings")[number]
        try:
            tensors, about = self._atlas.get(shard)
        except NeuronAtlasError:  # not built yet, or damaged: it can be made here
            return None
        row = shard.units.index(wish.channel)
        if about["status"][row] not in ("", "dead"):  # what failed there may come out well here
            return None
        words = f"{about['status'][row]}: {about['reason'][row]}" if about["status"][row] else "from the atlas"
        return Made(picture_of(tensors["images"][row]), finite(float(tensors["scores"][row])), words)


def settings_of(atlas: Atlas) -> tuple[str, int, int]:
    """Preset, steps and seed of the pictures of an atlas."""
    settings = atlas.manifest.settings
    return settings["recipe"]["preset"], settings["recipe"]["steps"], settings["seed"]


def picture_of(pixels: UInt8[np.ndarray, "height width planes"]) -> str:
    """A picture as a data URI; raises `WrongInput` where its planes are no colours."""
    height, width, planes = pixels.shape
    if planes not in (1, 3, 4):
        message = f"a picture of {planes} planes has no colours of its own, and cannot be shown"
        raise WrongInput(message)
    return data_uri(webp(np.broadcast_to(pixels, (height, width, 3)) if planes == 1 else pixels, quality=92))


def in_bytes(image: Float[np.ndarray, "height width planes"]) -> UInt8[np.ndarray, "height width planes"]:
    """A picture in 0..1 as uint8."""
    return np.rint(image * 255).astype(np.uint8)


def finite(score: float) -> float | None:
    """JSON knows only finite numbers."""
    return score if np.isfinite(score) else None


def _rows(atlas: Atlas) -> dict[tuple[str, int], int]:
    """The number of the shard that holds the picture of each unit."""
    layers = atlas.manifest.layers
    return {
        (layers[shard.layer].name, index): number
        for number, shard in enumerate(atlas.plan.of("renderings"))
        for index in shard.units
    }
