"""What a build will come to, told before it begins: units, shards, seconds and bytes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from neuronatlas.building import cropping
from neuronatlas.building.settling import Job, spread
from neuronatlas.building.tasks import THUMBNAIL
from neuronatlas.errors import NoPictures
from neuronatlas.networks.base import Network
from neuronatlas.networks.threads import processors
from neuronatlas.rendering import Recipe, fit_canvas, render, tile_size
from neuronatlas.responses import BATCH, in_colours_of, pixels, recorded
from neuronatlas.units import Unit


@dataclass(frozen=True)
class Estimate:
    """What a build comes to: units on the map and rendered, shards, seconds and bytes, the last two estimated."""

    units: int
    rendered: int
    shards: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class LayerCost:
    """What the pictures of one layer cost, those of one kind.

    ``asked`` pictures are kept, of ``bytes`` each; ``computed`` are optimised, since tiles are filled up, in ``seconds``
    each.
    """

    asked: int
    computed: int
    seconds: float
    bytes: float


def total(stimuli: int, units: int, stimulus_seconds: float, layers: Iterable[LayerCost]) -> tuple[float, float]:
    """The seconds and bytes of an atlas: the responses of ``units`` to ``stimuli``, thumbnails, and the pictures."""
    seconds, size = stimulus_seconds * stimuli, float(stimuli * (4 * units + 3 * THUMBNAIL**2))
    for layer in layers:
        seconds += layer.computed * layer.seconds
        size += layer.asked * layer.bytes
    return seconds, size


def estimate(job: Job, *, timed: int = 12) -> Estimate:
    """What the build will come to in this process, from a few tiles of at most ``timed`` layers and one batch of stimuli.

    Between the layers that are timed, the seconds that a pixel costs rise evenly. The map, minutes for the units of a
    large network, is left out.
    """
    names = [entry.name for entry in job.manifest.layers]
    shown = pixels(job.network, job.stimuli.items[:BATCH])
    few, more = processors(), 3 * processors()  # batches, of which each worker takes its part
    batch = in_colours_of(job.network, shown)
    times = [_timed(partial(_answered, job.network, [batch] * count, names)) for count in (few, more)]
    stimulus = max(times[1] - times[0], times[1] / 3) / ((more - few) * len(shown))
    counts = Counter(shard.layer for shard in job.plan.of("renderings"))
    diverse = job.manifest.settings.get("diverse", 0)
    fitted = {number: fit_canvas(job.network, [names[number]], job.recipe) for number in counts}
    drawn = sorted(counts)
    sampled = [drawn[place] for place in spread(len(drawn), timed)]
    paces = [_pace(job, names[number], fitted[number]) for number in sampled]
    costs = []
    for number in drawn:
        height, width = (length - 2 * fitted[number].margin for length in fitted[number].size)
        pace = float(np.interp(number, sampled, paces))
        asked = [len(shard.units) for shard in job.plan.of("renderings") if shard.layer == number]
        area = height * width
        for layers in ([names[number]], []) if "negative" in job.manifest.settings else ([names[number]],):
            at_once = tile_size(fitted[number], job.network, layers)  # negative pictures are not a unit's mean
            computed = sum(_filled(count * job.recipe.restarts, at_once) for count in asked)
            costs.append(LayerCost(sum(asked), computed, pace * area, 3 * area + 4 * job.recipe.steps))
        if diverse:  # those of a unit keep one processor busy alone
            several = diverse * sum(asked)
            costs.append(LayerCost(several, several * processors(), pace * area, 3 * area))
    units = sum(entry.units for entry in job.manifest.layers)
    rendered = sum(len(shard.units) for shard in job.plan.of("renderings"))
    seconds, size = total(len(job.stimuli), units, stimulus, costs)
    pictures, kept = cropping.cost(job)
    seconds += pictures * stimulus * processors()
    return Estimate(units, rendered, len(job.plan.shards), seconds, round(size + kept))


def _answered(network: Network, batches: list[np.ndarray], names: list[str]) -> None:
    for _ in recorded(network, batches, names):
        pass


def _filled(pictures: int, tile: int) -> int:
    """The pictures whose time a shard takes: tiles are filled up, and there is one for each processor."""
    return -(-pictures // (tile * processors())) * tile * processors()


def _pace(job: Job, layer: str, fitted: Recipe) -> float:
    """The seconds that one picture of a layer takes, a pixel of its canvas, when many are made; 0 where none can be."""
    count = tile_size(fitted, job.network, [layer]) * processors()
    units = [Unit(layer, index % job.network.layer(layer).units) for index in range(count)]
    few, more = 2, 6
    times = {}
    for steps in (few, few, more):  # the first call pays for what is made once a layer
        make = partial(render, job.network, units, preset=fitted.preset, steps=steps, restarts=1)
        try:
            times[steps] = _timed(make)
        except NoPictures:
            return 0.0
    height, width = (length - 2 * fitted.margin for length in fitted.size)
    return _stretched(times, job.recipe.steps) / count / (height * width)


def _stretched(times: dict[int, float], steps: int) -> float:
    """The seconds of ``steps`` steps from those of few and of more: what they all share, and as much a step as is between.

    On a busy machine the more may have taken less than the few; a step counts at least half of the mean of the more.
    """
    few, more = sorted(times)
    each = max((times[more] - times[few]) / (more - few), times[more] / more / 2)
    return max(times[few] - few * each, 0) + each * steps


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
