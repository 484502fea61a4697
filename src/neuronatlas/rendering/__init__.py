"""Feature visualization: pictures optimised to drive units, many at once.

Pictures are made in tiles of a fixed size, each picture with a random stream of its own derived from the seed and the
objective's name. Convolutions round differently at different batch sizes, and ascent multiplies that until the pictures
differ visibly (0.15 of the range in a late layer after 96 steps); at one batch size they do not. So a short tile is
filled up with copies, and the company in which a picture is made changes nothing, not one bit.

This module returns; it neither shows nor saves unasked, and prints nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

from neuronatlas import objectives
from neuronatlas.errors import WrongInput
from neuronatlas.networks.allocator import keep_pages
from neuronatlas.networks.base import Network
from neuronatlas.objectives import Objective
from neuronatlas.rendering.loop import PATIENCE, Loop, Rendering
from neuronatlas.rendering.recipe import PRESETS, Recipe, fit_canvas, recipe_of, tile_size
from neuronatlas.units import Unit

__all__ = ["PATIENCE", "PRESETS", "Recipe", "Rendering", "fit_canvas", "recipe_of", "render", "tile_size"]

Progress = Callable[[int, int], None]
What = str | Unit | Objective


@overload
def render(  # type: ignore[overload-overlap]  # a string is a sequence of strings, and means one address
    network: Network,
    what: What,
    *,
    preset: str = ...,
    seed: int = ...,
    progress: Progress | None = ...,
    **changes: object,
) -> Rendering: ...
@overload
def render(
    network: Network,
    what: Sequence[What],
    *,
    preset: str = ...,
    seed: int = ...,
    progress: Progress | None = ...,
    **changes: object,
) -> list[Rendering]: ...
def render(
    network: Network,
    what: What | Sequence[What],
    *,
    preset: str = "fast",
    seed: int = 0,
    progress: Progress | None = None,
    **changes: object,
) -> Rendering | list[Rendering]:
    """Feature visualizations: one `Rendering` for one objective, a list of them for several.

    ``what`` is a unit's address, a `Unit` or an `Objective`. ``changes`` replaces fields of the preset's `Recipe`, such
    as ``steps`` or ``canvas``. ``progress`` is told how many of how many pictures are done. Raises `UnknownName` or
    `WrongInput` before any work when a unit, a preset or a field does not exist.
    """
    recipe = recipe_of(preset, **changes)
    single = isinstance(what, (str, Unit, Objective))
    asked: list[What] = [what] if single else list(what)  # type: ignore[list-item, arg-type]
    wanted = [item if isinstance(item, Objective) else objectives.unit(item) for item in asked]
    for objective in wanted:
        for unit in objective.units:
            network.check(unit)
    if network.input.channels != 3:
        message = f"network {network.name!r} takes {network.input.channels} colour channels; pictures are made in 3"
        raise WrongInput(message)
    groups: dict[tuple[tuple[str, ...], bool], list[int]] = {}
    for index, objective in enumerate(wanted):
        placed = any(unit.position is not None for unit in objective.units)
        groups.setdefault((objective.layers, placed), []).append(index)
    if any(placed for _, placed in groups) and "canvas" in changes:
        message = (
            f"canvas (={recipe.canvas}) cannot be chosen for a neuron at a position, which counts on the whole input"
        )
        raise WrongInput(message)
    done: dict[int, Rendering] = {}
    keep_pages()
    for (layers, placed), members in groups.items():
        fast = network.accelerated(layers[0]) if recipe.preset != "lucid" and len(layers) == 1 else network
        fitted = fit_canvas(network, layers, recipe, whole=placed)
        tile = tile_size(fitted)
        for start in range(0, len(members), tile):
            part = members[start : start + tile]
            company = [wanted[index] for index in part] + [wanted[part[-1]]] * (tile - len(part))
            done.update(zip(part, Loop(fast, company, fitted, seed).run(), strict=False))
            if progress is not None:
                progress(len(done), len(wanted))
    return done[0] if single else [done[index] for index in range(len(wanted))]
