"""Building an atlas: a manifest and a plan, then every shard that is missing, then the page.

All that decides the content stands in the manifest, so a build that was stopped, by a key or by the power, goes on where it
was when the same call is made again, and ends in the same bytes.
"""

from __future__ import annotations

import fnmatch
import hashlib
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neuronatlas import atlas as keeping
from neuronatlas import stimuli as showing
from neuronatlas.atlas import Atlas, LayerEntry, Manifest, Plan, Shard
from neuronatlas.errors import NoPictures, WrongInput
from neuronatlas.images.files import centre_crop_resize
from neuronatlas.maps import ResponseMap, Responses
from neuronatlas.networks.base import Network
from neuronatlas.rendering import Recipe, Rendering, fit_canvas, recipe_of, render, tile_size
from neuronatlas.rendering.workers import processors
from neuronatlas.responses import in_colours_of, pixels
from neuronatlas.stimuli import StimulusSet
from neuronatlas.units import Unit
from neuronatlas.view.page import write_page
from neuronatlas.view.scene import scene_of

Progress = Callable[[str, int, int], None]
THUMBNAIL = 64


@dataclass(frozen=True)
class Estimate:
    """What a build comes to: units on the map and rendered, shards, seconds and bytes, the last two estimated."""

    units: int
    rendered: int
    shards: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Job:
    """A build that is settled and not begun."""

    network: Network
    stimuli: StimulusSet
    manifest: Manifest
    plan: Plan
    recipe: Recipe
    seed: int


def build(
    network: Network,
    stimuli: StimulusSet | str | Path,
    folder: str | Path,
    *,
    progress: Progress | None = None,
    **choices: Any,
) -> Atlas:
    """The atlas of ``network`` in ``folder``; an unfinished one is gone on with. ``choices`` are those of `prepare`."""
    shown = stimuli if isinstance(stimuli, StimulusSet) else showing.folder(Path(stimuli))
    return perform(prepare(network, shown, **choices), folder, progress=progress)


def prepare(
    network: Network,
    stimuli: StimulusSet,
    *,
    layers: Iterable[str] = ("*",),
    units: int | None = None,
    preset: str = "fast",
    seed: int = 0,
    correlation: str = "spearman",
) -> Job:
    """Settle what a build will do.

    ``layers`` are names or patterns such as ``blocks.*``; every unit of each goes on the map. ``units`` bounds how many of
    a layer are rendered, evenly spread over it (None: all). Raises `UnknownName` or `WrongInput`.
    """
    if not len(stimuli):
        message = "stimuli is empty: give at least one picture"
        raise WrongInput(message)
    if units is not None and units < 0:
        message = f"units (={units}) must be 0 or more"
        raise WrongInput(message)
    chosen = choose_layers(network, layers)
    recipe = recipe_of(preset)
    fields = network.receptive_fields(chosen)
    entries = []
    for name in chosen:
        layer = network.layer(name)
        entries.append(LayerEntry(name, layer.kind, layer.units, layer.shape, fields[name]))
    rendered = {number: _spread(entry.units, units) for number, entry in enumerate(entries)}
    response_map = ResponseMap(correlation=correlation, seed=seed)
    manifest = Manifest(
        network={"name": network.name, "fingerprint": network.fingerprint, "input": asdict(network.input)},
        layers=tuple(entries),
        stimuli={
            "digest": stimuli.digest,
            "names": [item.name for item in stimuli],
            "labels": [item.label for item in stimuli],
        },
        settings={
            "seed": seed,
            "reduce": "mean",
            "recipe": recipe.settings,
            "rendered": {entry.name: len(rendered[number]) for number, entry in enumerate(entries)},
            "map": {
                "correlation": correlation,
                "layout": response_map.layout,
                "perplexity": response_map.perplexity,
            },
        },
        software=_software(),
    )
    manifest = Manifest.parse(manifest.text(), source="the manifest")  # tuples as a file would give them back
    return Job(network, stimuli, manifest, keeping.plan(manifest, rendered), recipe, seed)


def perform(job: Job, folder: str | Path, *, progress: Progress | None = None) -> Atlas:
    """Make every shard of ``job`` that ``folder`` does not hold whole, and the page when all are there."""
    atlas = Atlas.create(folder, job.manifest, job.plan)
    with atlas.writing():
        missing = atlas.missing()
        for kind in ("responses", "map", "renderings"):
            shards = [shard for shard in missing if shard.kind == kind]
            total = sum(_work(shard) for shard in shards)
            done = 0
            for shard in shards:
                if progress is not None:
                    progress(kind, done, total)
                tensors, about = _MAKERS[kind](job, atlas, shard)
                atlas.put(shard, tensors, about=about)
                done += _work(shard)
            if shards and progress is not None:
                progress(kind, total, total)
        for orphan in atlas.folder.glob(".site.*-*"):  # what a build left that was killed while it wrote the page
            shutil.rmtree(orphan)
        page_of(atlas)
    return atlas


def estimate(job: Job, *, timed: int = 12) -> Estimate:
    """What the build will come to, from a few tiles of at most ``timed`` layers and one batch of stimuli, timed here.

    Between the layers that are timed, the seconds that a pixel costs rise evenly.
    """
    size = len(job.stimuli) * sum(entry.units for entry in job.manifest.layers) * 4
    names = [entry.name for entry in job.manifest.layers]
    shown = pixels(job.network, job.stimuli.items[:16])
    seconds = (
        _timed(lambda: job.network.respond(in_colours_of(job.network, shown), names)) / len(shown) * len(job.stimuli)
    )
    counts = dict.fromkeys(range(len(names)), 0)
    for shard in job.plan.of("renderings"):
        counts[shard.layer] += len(shard.units)
    drawn = [number for number, count in counts.items() if count]
    fitted = {number: fit_canvas(job.network, [names[number]], job.recipe) for number in drawn}
    sampled = [drawn[place] for place in _spread(len(drawn), timed)]
    paces = [_pace(job, names[number], fitted[number]) for number in sampled]
    for number in drawn:
        height, width = (length - 2 * fitted[number].margin for length in fitted[number].size)
        pace = float(np.interp(number, sampled, paces))
        seconds += counts[number] * pace * height * width * job.recipe.restarts
        size += counts[number] * (height * width * 3 + 4 * job.recipe.steps)
    rendered = sum(counts.values())
    return Estimate(sum(entry.units for entry in job.manifest.layers), rendered, len(job.plan.shards), seconds, size)


def _pace(job: Job, layer: str, fitted: Recipe) -> float:
    """The seconds that one picture of a layer takes, a pixel of its canvas, when many are made; 0 where none can be."""
    count = tile_size(fitted, job.network) * processors()
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


def page_of(atlas: Atlas) -> Path:
    """The page of a finished atlas, written anew only when the atlas or the page's code has changed; its index.html."""
    folder = atlas.folder / "site"
    stamp = atlas.folder / ".site-made-from"
    state = _state(atlas)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == state and (folder / "index.html").is_file():
        return folder / "index.html"
    index = write_page(scene_of(atlas), folder)
    stamp.write_text(state, encoding="utf-8")
    return index


def choose_layers(network: Network, patterns: Iterable[str]) -> list[str]:
    """The layers that fit any of the patterns, in the network's order; raises `UnknownName` for one that fits none."""
    chosen: set[str] = set()
    for pattern in patterns:
        fitting = fnmatch.filter([*network.layers, *network.aliases], pattern) or [pattern]
        chosen.update(network.layer(name).name for name in fitting)  # an unusable or unknown one says why
    return [name for name in network.layers if name in chosen]


def _responses(job: Job, atlas: Atlas, shard: Shard) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    names = [entry.name for entry in atlas.manifest.layers]
    values, small = [], []
    for start in range(shard.start, shard.stop, 32):
        shown = pixels(job.network, job.stimuli.items[start : min(start + 32, shard.stop)])
        found = job.network.respond(in_colours_of(job.network, shown), names)
        values.append(np.concatenate([found[name] for name in names], axis=1))
        small += [centre_crop_resize(picture, THUMBNAIL) for picture in shown]
    return {"responses": np.concatenate(values), "thumbnails": np.stack(small)}, {}


def _map(job: Job, atlas: Atlas, shard: Shard) -> tuple[dict[str, np.ndarray], dict[str, object]]:  # noqa: ARG001
    responses: Responses = atlas.responses()
    chosen = atlas.manifest.settings["map"]
    fitted = ResponseMap(chosen["correlation"], chosen["layout"], seed=job.seed, perplexity=chosen["perplexity"]).fit(
        responses
    )
    tensors = {
        "positions": fitted.positions,
        "neighbours": fitted.neighbours.indices[:, :30],
        "correlations": fitted.neighbours.correlations[:, :30],
        "missing": fitted.missing,
    }
    return tensors, {"quality": fitted.quality, "notes": list(fitted.notes)}


def _renderings(job: Job, atlas: Atlas, shard: Shard) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    layer = atlas.manifest.layers[shard.layer].name
    units = [Unit(layer, index) for index in shard.units]
    try:
        made: list[Rendering] = render(job.network, units, preset=job.recipe.preset, seed=job.seed)
    except NoPictures as error:
        return _no_pictures(job, len(units), str(error))
    tensors = {
        "images": np.stack([rendering.pixels for rendering in made]),
        "scores": np.array([rendering.score for rendering in made], np.float32),
        "curves": np.stack([rendering.curve for rendering in made]),
    }
    about: dict[str, object] = {
        "status": [rendering.status for rendering in made],
        "reason": [rendering.reason for rendering in made],
        "recipe": made[0].recipe.settings,
    }
    return tensors, about


def _no_pictures(job: Job, units: int, reason: str) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """The shard of units that have failed since their layer lets no gradient through; one grey pixel each."""
    tensors: dict[str, np.ndarray] = {
        "images": np.full((units, 1, 1, 3), 128, np.uint8),
        "scores": np.full(units, np.nan, np.float32),
        "curves": np.full((units, job.recipe.steps), np.nan, np.float32),
    }
    return tensors, {"status": ["failed"] * units, "reason": [reason] * units, "recipe": job.recipe.settings}


_MAKERS = {"responses": _responses, "map": _map, "renderings": _renderings}


def _work(shard: Shard) -> int:
    """The size of a shard in what its kind is counted in: stimuli, units, or one map."""
    return {"responses": shard.stop - shard.start, "renderings": len(shard.units)}.get(shard.kind, 1)


def _spread(count: int, wanted: int | None) -> tuple[int, ...]:
    """At most ``wanted`` of ``count`` indices, evenly spread, the first and the last among them."""
    if wanted is None or wanted >= count:
        return tuple(range(count))
    return tuple(int(index) for index in np.linspace(0, count - 1, wanted).round())


def _software() -> dict[str, str]:
    packages = {
        name: metadata.version(name) for name in ("neuronatlas", "torch", "numpy", "scipy", "openTSNE", "pillow")
    }
    return packages | {"threads": str(torch.get_num_threads())}


def _state(atlas: Atlas) -> str:
    """A digest of all that the page is made from: the manifest, every shard, and the page's own code."""
    total = hashlib.sha256(atlas.manifest.text().encode())
    viewer = Path(__file__).parent / "view"
    notes = sorted((atlas.folder / "shards").glob("*.sha256"))
    code = sorted(path for path in viewer.rglob("*") if path.is_file() and path.suffix != ".pyc")
    for path in (*notes, *code):
        total.update(path.read_bytes())
    return total.hexdigest() + "\n"


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
