"""The tasks of a build: what one shard holds, made by a worker that has the network.

A worker computes in one thread what decides bytes, so that they are the same whatever the number of processors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from neuronatlas import objectives
from neuronatlas.atlas import Atlas, Shard, pack
from neuronatlas.atlas.schema import unlike
from neuronatlas.building.settling import Job, Source, probe, spread
from neuronatlas.building.statistics import SHOWN, Gathering
from neuronatlas.errors import NeuronAtlasError, NoPictures, WrongInput
from neuronatlas.images.files import centre_crop_resize
from neuronatlas.maps.extremes import first_alike
from neuronatlas.networks.base import Network
from neuronatlas.rendering import recipe_of, render
from neuronatlas.responses import ahead, in_colours_of, recorded
from neuronatlas.stimuli import StimulusSet
from neuronatlas.units import Unit

THUMBNAIL = 64
APART = 10.0
"""The weight of the difference between the pictures of a unit, as in `gallery.diversity`."""
KINDS = ("responses", "renderings", "negatives", "diversity")
"""The shards that are tasks; the map and the crops are made of all responses, by whoever has them."""


@dataclass(frozen=True)
class Opening:
    """What a worker is opened with, wherever that is. ``threads``: how many it may use (None: every processor).

    ``folder`` is the atlas, where a worker may see it: what somebody else has put there meanwhile is not made again.
    """

    source: Source
    fingerprint: str
    stimuli: StimulusSet
    layers: tuple[str, ...]
    preset: str
    seed: int
    statistics: bool = False
    diverse: int = 0
    threads: int | None = None
    folder: Path | None = None
    identity: str = ""
    """That of the atlas's manifest: another machine may have another atlas in a folder of that name."""
    probe: dict[str, list[float]] = field(default_factory=dict)
    """What the build's own network answered, see `settling.probe`."""

    def __call__(self) -> Callable[[Shard], bytes]:
        """The worker; raises `WrongInput` where the network is not the one that the build began with."""
        return Worker(self, self.network())

    def network(self) -> Network:
        """The network; raises as above."""
        network = self.source()
        if network.fingerprint != self.fingerprint:
            message = (
                f"the network {network.name!r} of this worker has other weights ({network.fingerprint[:12]}...) than the "
                f"build ({self.fingerprint[:12]}...): use the same files everywhere"
            )
            raise WrongInput(message)
        others = unlike(self.probe, probe(network, self.probe)) if self.probe else []
        if others:
            message = (
                f"the network {network.name!r} of this worker has the weights of the build and answers otherwise to the same "
                f"picture, first in layer {others[0]!r}: use the same code everywhere"
            )
            raise WrongInput(message)
        return network


def opening(job: Job, folder: Path, threads: int | None, *, here: bool) -> Opening:
    """That of a job; ``here``: for this process alone, which has the network already."""
    names = tuple(entry.name for entry in job.manifest.layers)
    fingerprint = job.manifest.network["fingerprint"]
    return Opening(
        (lambda: job.network) if here else job.source,
        fingerprint,
        job.stimuli,
        names,
        job.recipe.preset,
        job.seed,
        "statistics" in job.manifest.settings,
        job.manifest.settings.get("diverse", 0),
        threads,
        folder.absolute(),
        job.manifest.identity,
        {} if here else job.manifest.network["probe"],
    )


class Worker:
    """Makes one shard after another; the content of its file, or nothing where that is there already."""

    def __init__(self, given: Opening, network: Network) -> None:
        self.given = given
        self.network = network

    def __call__(self, shard: Shard) -> bytes:
        """See `executors.base`."""
        if self._atlas is not None and self._atlas.has(shard):
            return b""
        make = {"responses": self._responses, "diversity": self._diversity}.get(shard.kind, self._renderings)
        return make(shard)

    @cached_property
    def _atlas(self) -> Atlas | None:
        """The atlas, where this machine sees it."""
        try:
            found = None if self.given.folder is None else Atlas.open(self.given.folder)
            return found if found is not None and found.manifest.identity == self.given.identity else None
        except (NeuronAtlasError, OSError):
            return None

    def _responses(self, shard: Shard) -> bytes:
        """The responses to a stretch of stimuli, or their statistics and a few of them."""
        names = list(self.given.layers)
        small: list[np.ndarray] = []
        rows: list[np.ndarray] = []
        everything = range(shard.start, shard.stop)
        shown = sorted(set(spread(len(self.given.stimuli), SHOWN)) & set(everything)) if self.given.statistics else None
        kept = set(everything if shown is None else shown)
        gathering = Gathering(shard.start, self._alike, self.given.seed) if shown is not None else None

        def batches() -> Iterator[np.ndarray]:
            start = shard.start
            items = self.given.stimuli.items[shard.start : shard.stop]
            for pictures in ahead(self.network, items, workers=self.given.threads):
                stop = start + len(pictures)
                chosen = [pictures[number - start] for number in range(start, stop) if number in kept]
                small.extend(centre_crop_resize(picture, THUMBNAIL) for picture in chosen)
                start = stop
                yield in_colours_of(self.network, pictures)

        first = shard.start
        for part in recorded(self.network, batches(), names, workers=self.given.threads):
            values = np.concatenate([part[name] for name in names], axis=1)
            if gathering is not None:
                gathering.take(values)
            rows.append(values[[number in kept for number in range(first, first + len(values))]])
            first += len(values)
        tensors = {"responses": np.concatenate(rows), "thumbnails": _stacked(small)}
        if gathering is not None:
            tensors |= gathering.arrays() | {"shown": np.array(shown, np.int64)}
        return pack(tensors)

    @cached_property
    def _alike(self) -> np.ndarray:
        return first_alike(item.identity for item in self.given.stimuli)

    def _renderings(self, shard: Shard) -> bytes:
        """The pictures of what raises each unit, or of what lowers it; scores and curves are the unit's own values."""
        units = [objectives.unit(unit) for unit in self._units(shard)]
        sign = -1 if shard.kind == "negatives" else 1
        about: dict[str, object]
        try:
            made = render(
                self.network,
                units if sign > 0 else [-unit for unit in units],
                preset=self.given.preset,
                seed=self.given.seed,
                workers=self.given.threads,
            )
        except NoPictures as error:
            recipe = recipe_of(self.given.preset)
            # units that have failed since their layer lets no gradient through; one grey pixel each
            tensors: dict[str, np.ndarray] = {
                "images": np.full((len(units), 1, 1, 3), 128, np.uint8),
                "scores": np.full(len(units), np.nan, np.float32),
                "curves": np.full((len(units), recipe.steps), np.nan, np.float32),
            }
            about = {"status": ["failed"] * len(units), "reason": [str(error)] * len(units), "recipe": recipe.settings}
        else:
            tensors = {
                "images": np.stack([rendering.pixels for rendering in made]),
                "scores": sign * np.array([rendering.score for rendering in made], np.float32),
                "curves": sign * np.stack([rendering.curve for rendering in made]),
            }
            about = {
                "status": [rendering.status for rendering in made],
                "reason": [rendering.reason for rendering in made],
                "recipe": made[0].recipe.settings,
            }
        return pack(tensors, about)

    def _diversity(self, shard: Shard) -> bytes:
        """For each unit its pictures that are unlike each other; those of a unit are made together, by one thread."""
        count, units = self.given.diverse, self._units(shard)
        together = APART * objectives.diversity(units[0].layer)
        try:
            sets = [
                render(
                    self.network,
                    [objectives.unit(unit)] * count,
                    together=together,
                    preset=self.given.preset,
                    seed=self.given.seed,
                    workers=1,
                )
                for unit in units
            ]
        except NoPictures as error:
            tensors: dict[str, np.ndarray] = {
                "images": np.full((len(units), count, 1, 1, 3), 128, np.uint8),
                "scores": np.full((len(units), count), np.nan, np.float32),
            }
            recipe = recipe_of(self.given.preset)
            failed = {"status": ["failed"] * len(units), "reason": [str(error)] * len(units)}
            return pack(tensors, failed | {"recipe": recipe.settings})
        bad = [next((each for each in made if each.status), None) for made in sets]
        return pack(
            {
                "images": np.stack([[rendering.pixels for rendering in made] for made in sets]),
                "scores": np.array([[rendering.score for rendering in made] for made in sets], np.float32),
            },
            {
                "status": [each.status if each else "" for each in bad],
                "reason": [each.reason if each else "" for each in bad],
                "recipe": sets[0][0].recipe.settings,
            },
        )

    def _units(self, shard: Shard) -> list[Unit]:
        return [Unit(self.given.layers[shard.layer], index) for index in shard.units]


def _stacked(pictures: list[np.ndarray]) -> np.ndarray:
    return np.stack(pictures) if pictures else np.zeros((0, THUMBNAIL, THUMBNAIL, 3), np.uint8)
