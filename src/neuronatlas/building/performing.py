"""A build carried out: the missing shards, by any executor, then the map, the crops and the page.

Several processes may work on one folder, each its share or all of them everything: a shard that is there is not made
again, and one that two of them made at the same time is the same bytes twice.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuronatlas import stimuli as showing
from neuronatlas import view
from neuronatlas.atlas import Atlas, Shard
from neuronatlas.building.cropping import crop_opening
from neuronatlas.building.settling import Job, Source, prepare
from neuronatlas.building.statistics import merged
from neuronatlas.building.tasks import KINDS, Opening, opening
from neuronatlas.errors import Unfinished, WrongInput
from neuronatlas.executors.base import Executor, Failure
from neuronatlas.executors.local import Here
from neuronatlas.maps import ResponseMap
from neuronatlas.networks.base import Network
from neuronatlas.stimuli import StimulusSet
from neuronatlas.view.page import write_page
from neuronatlas.view.scene import scene_of

Progress = Callable[[str, int, int], None]
BETWEEN_PAGES = 60.0
"""Seconds from one page of an unfinished atlas to the next; at least ten times what writing it took."""


def build(
    network: Network | Source | str,
    stimuli: StimulusSet | str | Path,
    folder: str | Path,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
    **choices: Any,
) -> Atlas:
    """The atlas of ``network`` in ``folder``; an unfinished one is gone on with. ``choices`` are those of `prepare`."""
    shown = stimuli if isinstance(stimuli, StimulusSet) else showing.find(stimuli)
    return perform(prepare(network, shown, **choices), folder, executor=executor, progress=progress)


def perform(
    job: Job,
    folder: str | Path,
    *,
    executor: Executor | None = None,
    threads: int | None = None,
    share: tuple[int, int] = (1, 1),
    progress: Progress | None = None,
) -> Atlas:
    """Make every shard of ``job`` that ``folder`` does not hold whole, and the page when all are there.

    ``executor`` does the work (default: this process), with ``threads`` a worker (default: as it has them). ``share``
    (i, n) does the i-th of n equal shares alone. Raises `Unfinished` where a shard could not be made, after all others.
    """
    number, shares = share
    if not 1 <= number <= shares:
        message = f"share (={number}/{shares}) must be one of 1/{shares} to {shares}/{shares}"
        raise WrongInput(message)
    atlas = Atlas.create(folder, job.manifest, job.plan)
    work = _Work(job, atlas, progress or (lambda *_: None))
    with atlas.writing(), atlas.turn("build") as first:
        missing = {shard.name for shard in atlas.missing()}
        mine = [shard for shard in atlas.plan if shard.kind in KINDS][number - 1 :: shares]
        tasks = [shard for shard in mine if shard.name in missing]
        if shares == 1 and not first:
            tasks.reverse()  # somebody else does the same, from the other end
        failed: dict[str, str] = {}
        workers: Executor = executor or Here()
        opened = opening(job, atlas.folder, threads or workers.threads_each, here=executor is None)
        if tasks:
            with closing(workers.run(opened, tasks)) as results:
                failed = work.done(tasks, results)
        work.map()
        failed |= work.crops(workers, opened)
        work.finish()
        if failed:
            listed = "; ".join(f"{name}: {reason}" for name, reason in list(failed.items())[:5])
            message = (
                f"{len(failed)} of {len(atlas.plan.shards)} shards could not be made ({listed}"
                f"{'; ...' if len(failed) > 5 else ''}): the same command tries these again"
            )
            raise Unfinished(message)
    return atlas


@dataclass(frozen=True)
class _Work:
    """One process's part in an atlas."""

    job: Job
    atlas: Atlas
    told: Progress

    def done(self, tasks: list[Shard], results: Iterator[tuple[Shard, bytes | Failure]]) -> dict[str, str]:
        """Put the shard of every task into the atlas; those that could not be made, with the reason."""
        failed: dict[str, str] = {}
        totals, done = Counter[str](), Counter[str]()
        for shard in tasks:
            totals[shard.kind] += _size(shard)
        for kind in KINDS:  # all that is to be done is told at once, so that it is seen what comes next
            if totals[kind]:
                self.told(kind, 0, totals[kind])
        page = _Pages(self.atlas)
        for shard, result in results:
            if isinstance(result, Failure):
                failed[shard.name] = result.reason
            elif result:
                self.atlas.put_bytes(shard, result)
            elif not self.atlas.has(shard):
                failed[shard.name] = "its worker found it in the folder, where it is not"
            done[shard.kind] += _size(shard)
            self.told(shard.kind, done[shard.kind], totals[shard.kind])
            if shard.kind == "responses" and done["responses"] == totals["responses"]:
                self.map()
            page.perhaps()
        return failed

    def finish(self) -> None:
        """The page, by whoever finds everything else there."""
        if not self.atlas.missing():
            with self.atlas.turn("page", waiting=True):
                for orphan in self.atlas.folder.glob(".site.*-*"):  # of a build that was killed while it wrote the page
                    shutil.rmtree(orphan)
                page_of(self.atlas)

    def map(self) -> None:
        """The map, where all responses are there and it is not."""
        shard = self.atlas.plan.of("map")[0]
        if self.atlas.has(shard) or not all(self.atlas.has(each) for each in self.atlas.plan.of("responses")):
            return
        with self.atlas.turn("map", waiting=True):
            if self.atlas.has(shard):
                return
            self.told("map", 0, 1)
            fitted, statistics = self._fitted()
            tensors: dict[str, np.ndarray] = statistics | {
                "positions": fitted.positions,
                "neighbours": fitted.neighbours.indices[:, :30],
                "correlations": fitted.neighbours.correlations[:, :30],
                "missing": fitted.missing,
            }
            self.atlas.put(shard, tensors, about={"quality": fitted.quality, "notes": list(fitted.notes)})
            self.told("map", 1, 1)

    def crops(self, workers: Executor, opened: Opening) -> dict[str, str]:
        """The crops, where all responses are there and they are not; those that could not be made, with the reason."""
        missing = [shard for shard in self.atlas.missing() if shard.kind in ("responses", "crops")]
        if not missing or missing[0].kind == "responses":
            return {}
        with self.atlas.turn("crops", waiting=True):
            tasks = [shard for shard in missing if not self.atlas.has(shard)]
            if not tasks:
                return {}
            self.told("crops", 0, sum(map(_size, tasks)))
            opener = crop_opening(self.job, self.atlas, tasks, opened)
            with closing(workers.run(opener, tasks)) as results:
                return self.done(tasks, results)

    def _fitted(self) -> tuple[ResponseMap, dict[str, np.ndarray]]:
        """The map of all responses, and what else is known of them all where not all are kept."""
        chosen = self.atlas.manifest.settings["map"]
        settings = {"seed": self.job.seed, "perplexity": chosen["perplexity"]}
        few = "statistics" in self.atlas.manifest.settings
        response_map = ResponseMap(
            chosen["correlation"], chosen["layout"], scale="minmax" if few else "percentile", **settings
        )
        if not few:
            return response_map.fit(self.atlas.responses()), {}
        moments, extremes, sketch = merged(self.atlas.get(shard)[0] for shard in self.atlas.plan.of("responses"))
        fitted = response_map.fit_sketch(sketch, moments, self.atlas.units, shown=self.atlas.responses())
        return fitted, moments.arrays() | extremes.arrays()


class _Pages:
    """The page of an atlas that is being built, written anew now and then."""

    def __init__(self, atlas: Atlas) -> None:
        self.atlas = atlas
        self.due = time.monotonic() + BETWEEN_PAGES

    def perhaps(self) -> None:
        """Write it when it is time and there is a map to be seen."""
        if time.monotonic() < self.due or not self.atlas.has(self.atlas.plan.of("map")[0]):
            return
        start = time.monotonic()
        with self.atlas.turn("page") as free:
            if free:
                page_of(self.atlas)
        now = time.monotonic()
        self.due = now + max(BETWEEN_PAGES, 10 * (now - start))


def page_of(atlas: Atlas) -> Path:
    """The page of an atlas, written anew only when the atlas or the page's code has changed; its index.html."""
    folder = atlas.folder / "site"
    stamp = atlas.folder / ".site-made-from"
    state = _state(atlas)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == state and (folder / "index.html").is_file():
        return folder / "index.html"
    index = write_page(scene_of(atlas), folder)
    stamp.write_text(state, encoding="utf-8")
    return index


def _size(shard: Shard) -> int:
    """The size of a shard in what its kind is counted in: stimuli, units, or one map."""
    return {"responses": shard.stop - shard.start, "map": 1}.get(shard.kind, len(shard.units))


def _state(atlas: Atlas) -> str:
    """A digest of all that the page is made from: the manifest, every shard, and the page's own code."""
    total = hashlib.sha256(atlas.manifest.text().encode())
    viewer = Path(view.__file__).parent
    notes = sorted((atlas.folder / "shards").glob("*.sha256"))
    code = sorted(path for path in viewer.rglob("*") if path.is_file() and path.suffix != ".pyc")
    for path in (*notes, *code):
        total.update(path.read_bytes())
    return total.hexdigest() + "\n"
