"""Feature visualization: pictures optimised to drive units, many at once.

Pictures are made in tiles of a fixed size, each picture with a random stream of its own derived from the seed and the
objective's name. Convolutions round differently at different batch sizes, and ascent multiplies that until the pictures
differ visibly (0.15 of the range in a late layer after 96 steps); at one batch size they do not. So a short tile is
filled up with copies, and the company in which a picture is made changes not one bit of it. Tiles are shared out
among threads that compute with one thread each, so the number of processors changes nothing either.

This module returns; it neither shows nor saves unasked, and prints nothing.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, overload

from neuronatlas import objectives
from neuronatlas.errors import WrongInput
from neuronatlas.networks.allocator import keep_pages
from neuronatlas.networks.base import Network
from neuronatlas.objectives import Joint, Objective
from neuronatlas.objectives.base import reading
from neuronatlas.objectives.custom import Function
from neuronatlas.rendering.memory import within_memory
from neuronatlas.rendering.recipe import PRESETS, Recipe, fit_canvas, recipe_of, tile_size
from neuronatlas.rendering.result import Rendering
from neuronatlas.rendering.task import ATTEMPTS, EVERY, PATIENCE, Frame, Job, Task
from neuronatlas.rendering.workers import Watch
from neuronatlas.units import Unit

if TYPE_CHECKING:
    from neuronatlas.notebook.live_render import LiveRender

__all__ = [
    "ATTEMPTS",
    "EVERY",
    "PATIENCE",
    "PRESETS",
    "Frame",
    "Recipe",
    "Rendering",
    "fit_canvas",
    "recipe_of",
    "render",
    "tile_size",
]

Progress = Callable[[int, int], None]
What = str | Unit | Objective | Function


@overload
def render(
    network: Network,
    what: str | Unit,
    *,
    live: Literal[True],
    preset: str = ...,
    seed: int = ...,
    steps: int | None = ...,
) -> LiveRender: ...
@overload
def render(  # type: ignore[overload-overlap]  # a string is a sequence of strings, and means one address
    network: Network,
    what: What,
    *,
    preset: str = ...,
    seed: int = ...,
    progress: Progress | None = ...,
    together: None = ...,
    watch: Watch | None = ...,
    workers: int | None = ...,
    **changes: object,
) -> Rendering: ...
@overload
def render(
    network: Network,
    what: Sequence[What],
    *,
    together: Joint | None = ...,
    preset: str = ...,
    seed: int = ...,
    progress: Progress | None = ...,
    watch: Watch | None = ...,
    workers: int | None = ...,
    **changes: object,
) -> list[Rendering]: ...
def render(
    network: Network,
    what: What | Sequence[What],
    *,
    together: Joint | None = None,
    preset: str = "fast",
    seed: int = 0,
    progress: Progress | None = None,
    watch: Watch | None = None,
    workers: int | None = None,
    **changes: object,
) -> Rendering | list[Rendering] | LiveRender:
    """Feature visualizations: one `Rendering` for one objective, a list of them for several.

    ``what`` is a unit's address, a `Unit`, an `Objective`, or a function from the outputs of layers to a number. With
    ``together`` the pictures are made as one batch and that objective of all of them is added to the mean of theirs.
    ``changes`` replaces fields of the preset's `Recipe`, such as ``steps`` or ``canvas``.

    ``progress`` is told how many of how many pictures are done, ``watch`` how each looks every `EVERY` steps; both are called
    in the calling thread, and what they raise, such as `Cancelled`, ends the work at once. ``workers`` is the number of
    threads, by default one a processor. Raises `UnknownName` or `WrongInput` before any work when a unit, a preset or a
    field does not exist.

    In a notebook, ``live=True`` gives a widget in which the picture of a unit grows, and others are chosen: `notebook.live`.
    """
    if changes.pop("live", False):
        return _live(network, what, preset=preset, seed=seed, **changes)
    recipe = recipe_of(preset, **changes)
    single = isinstance(what, (str, Unit, Objective)) or callable(what)
    if not single and not isinstance(what, Iterable):
        message = f"what (={what!r}) must be a unit's address, an objective, a function, or several of these"
        raise WrongInput(message)
    wanted = [_objective(network, item) for item in ([what] if single else what)]  # type: ignore[union-attr, arg-type]
    seed = operator.index(seed)
    if workers is not None and workers < 1:
        message = f"workers (={workers}) must be at least 1, or None"
        raise WrongInput(message)
    if together is not None and "restarts" not in changes:
        recipe = replace(recipe, restarts=1)
    if together is not None and recipe.restarts > 1:
        message = f"restarts (={recipe.restarts}) must be 1 for pictures made together"
        raise WrongInput(message)
    placed = any(unit.position is not None for objective in wanted for unit in objective.units)
    if placed and changes.get("canvas") is not None and not _is_input(network, recipe.canvas):
        message = (
            f"canvas (={recipe.canvas}) cannot be chosen for a neuron at a position, which counts on the whole input"
        )
        raise WrongInput(message)
    keep_pages()
    tries: list[dict[int, Rendering]] = [{} for _ in wanted]
    done = 0
    for task, jobs in _groups(network, wanted, recipe, seed, together=together):
        with closing(within_memory(task, jobs, watch, workers)) as made:
            for job, rendering in made:
                tries[job.number][job.restart] = rendering
                if len(tries[job.number]) == recipe.restarts:
                    tries[job.number] = {0: _best(tries[job.number])}
                    done += 1
                    if progress is not None:
                        progress(done, len(wanted))
    return tries[0][0] if single else [kept[0] for kept in tries]


def _live(network: Network, what: object, *, preset: str, seed: int, **changes: object) -> LiveRender:
    """The widget of `notebook.live`, which chooses among units and of a recipe's fields knows the steps alone."""
    from neuronatlas import notebook

    steps = changes.pop("steps", None)
    if not isinstance(what, (str, Unit)) or changes or not isinstance(steps, int | None):
        given = ", ".join(sorted(changes)) or f"what (={what!r})"
        message = f"{given} cannot be used with live=True: give the address of one unit, preset, steps and seed"
        raise WrongInput(message)
    return notebook.live(network, str(what), preset=preset, steps=steps, seed=seed)


def _objective(network: Network, item: What) -> Objective:
    """The objective that is meant, when the network has all that it speaks of."""
    if isinstance(item, Objective):
        objective = item
    elif isinstance(item, (str, Unit)):
        objective = objectives.unit(item)
    elif callable(item):
        objective = objectives.discover(network, item)
    else:
        message = f"what (={item!r}) must be a unit's address, an objective or a function"  # type: ignore[unreachable]
        raise WrongInput(message)
    for unit in objective.units:
        network.check(unit)
    for layer in objective.layers:
        network.layer(layer)
    return objective


def _groups(
    network: Network, wanted: list[Objective], recipe: Recipe, seed: int, *, together: Joint | None
) -> Iterator[tuple[Task, list[Job]]]:
    """The jobs that can share tiles, with what they have in common."""
    groups: dict[tuple[tuple[str, ...], bool, bool], list[Job]] = {}
    for number, objective in enumerate(wanted):
        placed = any(unit.position is not None for unit in objective.units)
        for restart in range(recipe.restarts):
            stream = objective.name + (f"#{restart}" if restart else "")
            key = (objective.layers, placed, objective.mean_of is not None)
            groups.setdefault(key, []).append(Job(number, objective, stream, restart))
    if together is not None:
        layers = reading(*(layer for objective in wanted for layer in objective.layers), *together.layers)
        placed = any(key[1] for key in groups)
        jobs = [Job(number, objective, f"{objective.name}#{number}") for number, objective in enumerate(wanted)]
        groups = {(layers, placed, False): jobs} if jobs else {}
    for (layers, placed, means), jobs in groups.items():
        fitted = fit_canvas(network, layers, recipe, whole=placed)
        tile = len(jobs) if together is not None else tile_size(fitted, network, layers if means else ())
        yield Task(network, fitted, seed, layers, tile, means, placed, together), jobs


def _best(tries: dict[int, Rendering]) -> Rendering:
    """The picture of the highest score, one that was made before any that was not, the first of equals."""
    ordered = [tries[restart] for restart in sorted(tries)]
    return max(ordered, key=lambda made: (not made.status, -math.inf if math.isnan(made.score) else made.score))


def _is_input(network: Network, canvas: int | tuple[int, int] | None) -> bool:
    """Is this canvas the network's whole input?"""
    return ((canvas, canvas) if isinstance(canvas, int) else canvas) == network.input.size
