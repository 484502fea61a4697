"""Tiles as large as memory allows: half as large, or two thirds, each time that it runs out, and a picture that does not fit alone is given up."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace

import numpy as np
import torch

from neuronatlas.networks.base import memory_ran_out
from neuronatlas.rendering.result import Rendering
from neuronatlas.rendering.task import Job, Task
from neuronatlas.rendering.workers import Watch, make


def within_memory(
    task: Task, jobs: list[Job], watch: Watch | None, workers: int | None
) -> Generator[tuple[Job, Rendering]]:
    """The pictures of a group as they get ready, each with its job; see `workers.make`.

    Where memory runs out, those that are not finished begin anew in tiles of the next smaller power of two, down to one picture; what
    fails even then is "oom", and so are all of those that are made together.
    """
    left = {(job.number, job.restart): job for job in jobs}
    reason = ""
    while left:
        try:
            with closing(make(task, list(left.values()), watch, workers)) as made:
                for job, rendering in made:
                    del left[job.number, job.restart]
                    yield job, rendering
        except RuntimeError as error:
            if not memory_ran_out(error):
                raise
            reason = (str(error).strip() or "out of memory").splitlines()[0]
        if not left:
            return
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if task.tile > 1 and task.joint is None:
            task = replace(task, tile=1 << (task.tile - 1).bit_length() - 1)  # twelve, eight, four
        elif len(left) == 1 or task.joint is not None:
            yield from ((job, _given_up(task, job, reason)) for job in left.values())
            return
        else:
            for job in left.values():
                yield from within_memory(task, [job], watch, 1)
            return


def _given_up(task: Task, job: Job, reason: str) -> Rendering:
    """Plain grey in place of a picture."""
    height, width = (length - 2 * task.recipe.margin for length in task.recipe.size)
    return Rendering(
        objective=job.objective.name,
        image=np.full((height, width, task.network.input.channels), 0.5, np.float32),
        score=float("nan"),
        curve=np.full(task.recipe.steps, np.nan, np.float32),
        status="oom",
        reason=f"memory ran out with this picture alone: {reason}",
        recipe=task.recipe,
        seed=task.seed,
        network=task.network.name,
    )
