"""What units see of their best and worst stimuli: the part of each in which a unit answers most, or least.

Which stimuli those are is known when all responses are there, so whoever finds them sends it to the workers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int32, Shaped, UInt8
from PIL import Image

from neuronatlas.atlas import Atlas, Shard, pack
from neuronatlas.building.settling import CROPS, Job
from neuronatlas.building.tasks import Opening
from neuronatlas.networks.base import ROOM, Network
from neuronatlas.networks.fields import Fields, fields_of
from neuronatlas.networks.threads import one_thread
from neuronatlas.responses import BATCH, in_colours_of, pixels
from neuronatlas.view.scripts import best

SIDE = 48
"""Pixels along one side of a crop."""
GREY = 128
Wanted = Int32[np.ndarray, "units 2 kept"]
"""For each unit of a shard the numbers of its best and worst stimuli, -1 where there are fewer."""


@dataclass(frozen=True)
class CropOpening:
    """What a worker that crops is opened with: as any worker, and with what is to be cropped.

    ``wanted`` is by the name of a shard, ``fields`` by that of a layer.
    """

    opening: Opening
    wanted: Mapping[str, Wanted]
    fields: Mapping[str, Fields | None]

    def __call__(self) -> Cropper:
        """The worker; raises `WrongInput` where the network is not the one that the build began with."""
        return Cropper(self, self.opening.network())


def crop_opening(job: Job, atlas: Atlas, shards: Sequence[Shard], opening: Opening) -> CropOpening:
    """That of these shards of an atlas that has all its responses."""
    names = [opening.layers[number] for number in sorted({shard.layer for shard in shards})]
    return CropOpening(opening, wanted_of(atlas, shards), fields_of(job.network, names))


def wanted_of(atlas: Atlas, shards: Iterable[Shard]) -> dict[str, Wanted]:
    """The stimuli that the cards of the units show, of those whose responses are kept whole."""
    counts = [layer.units for layer in atlas.manifest.layers]
    columns = {shard.name: sum(counts[: shard.layer]) + np.array(shard.units, np.int64) for shard in shards}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in columns}
    numbers: list[int] = []
    for source in atlas.plan.of("responses"):
        tensors, _ = atlas.get(source)
        numbers += tensors.get("shown", np.arange(source.start, source.stop)).tolist()
        for name, some in columns.items():
            parts[name].append(tensors["responses"][:, some])
    return {name: _extremes(np.concatenate(each), np.array([*numbers, -1], np.int32)) for name, each in parts.items()}


def _extremes(responses: Float32[np.ndarray, "stimuli units"], numbers: Int32[np.ndarray, " one_more"]) -> Wanted:
    """The numbers of the stimuli with the greatest and with the least responses; the last of ``numbers`` is that of none."""
    found = np.full((responses.shape[1], 2, CROPS), -1, np.int32)
    for side, values in enumerate((responses, -responses)):
        order = numbers[best(values)[0][:, :CROPS]]
        found[:, side, : order.shape[1]] = order
    return found


def cost(job: Job) -> tuple[int, int]:
    """How many pictures one thread shows to the network for the crops, at most, and the bytes that these take."""
    shards = job.plan.of("crops")
    shown = sum(job.network.input.size) if shards else 0  # to find the receptive fields
    shown += sum(min(len(job.stimuli), 2 * CROPS * len(shard.units)) for shard in shards)
    return shown, sum(len(shard.units) for shard in shards) * 2 * CROPS * (3 * SIDE**2 + 4 * 5)


class Cropper:
    """Makes one shard of crops after another; the content of its file."""

    def __init__(self, given: CropOpening, network: Network) -> None:
        self.given = given
        self.network = network

    def __call__(self, shard: Shard) -> bytes:
        """See `executors.base`."""
        name = self.given.opening.layers[shard.layer]
        wanted, fields = self.given.wanted[shard.name], self.given.fields[name]
        crops = np.full((*wanted.shape, SIDE, SIDE, 3), GREY, np.uint8)
        boxes = np.full((*wanted.shape, 4), -1, np.int32)
        stimuli = np.full(wanted.shape, -1, np.int32)
        numbers = np.unique(wanted[wanted >= 0]).tolist() if fields is not None else []
        batch = min(BATCH, max(1, ROOM // math.prod(self.network.layer(name).shape)))  # the same whoever works
        for start in range(0, len(numbers), batch):
            some = numbers[start : start + batch]
            pictures = pixels(self.network, [self.given.opening.stimuli.items[number] for number in some])
            maps = self._maps(name, shard.units, pictures)
            for place, number in enumerate(some):
                for row, side, rank in np.argwhere(wanted == number).tolist():
                    spot = most(maps[place, row] if side == 0 else -maps[place, row])
                    if spot is None or fields is None:
                        continue
                    box = fields.box(*spot)
                    crops[row, side, rank] = cropped(pictures[place], box)
                    boxes[row, side, rank], stimuli[row, side, rank] = box, number
        return pack({"crops": crops, "boxes": boxes, "stimuli": stimuli})

    def _maps(
        self, layer: str, units: Sequence[int], pictures: UInt8[np.ndarray, "n h w 3"]
    ) -> Float32[np.ndarray, "n units height width"]:
        """What these units of a layer answer at every position."""
        values = torch.from_numpy(in_colours_of(self.network, pictures).astype(np.float32)) / 255
        images = values.permute(0, 3, 1, 2).contiguous().to(self.network.device)
        with one_thread(), torch.no_grad(), self.network.capture([layer], units=list(units)) as run:
            found: np.ndarray = run(images)[layer].float().cpu().numpy()
        return found


def most(values: Float32[np.ndarray, "height width"]) -> tuple[int, int] | None:
    """The row and the column of the greatest number, of equals the first.

    None where no place stands out: where half of the map or more is as great, as behind a rectifier that is shut, or where
    a number is not finite.
    """
    greatest = values.max()
    if not np.isfinite(values).all() or 2 * np.count_nonzero(values == greatest) >= values.size:
        return None
    row, column = divmod(int(values.argmax()), values.shape[1])
    return row, column


def cropped(picture: UInt8[np.ndarray, "h w 3"], box: tuple[int, int, int, int]) -> Shaped[np.ndarray, "side side 3"]:
    """The part of a picture in a square of `SIDE` pixels; one that is cut at an edge keeps its proportions, on grey."""
    top, left, bottom, right = box
    part = picture[top:bottom, left:right]
    longest = max(part.shape[:2])
    height, width = (max(1, round(SIDE * length / longest)) for length in part.shape[:2])
    small = Image.fromarray(np.ascontiguousarray(part)).resize((width, height), Image.Resampling.BICUBIC)
    found = np.full((SIDE, SIDE, 3), GREY, np.uint8)
    first, second = (SIDE - height) // 2, (SIDE - width) // 2
    found[first : first + height, second : second + width] = np.asarray(small)
    return found
