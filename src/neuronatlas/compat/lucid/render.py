"""Lucid's ``render_vis``: the pictures of an objective after so many steps, as arrays. It returns, and shows nothing."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from neuronatlas import rendering
from neuronatlas.compat.lucid import param, transform
from neuronatlas.compat.lucid.objectives import ALONE, NOTHING, Objective, as_objective
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.images.alpha import Alpha
from neuronatlas.images.transforms import Composite, LucidChain, Part
from neuronatlas.networks.base import Network
from neuronatlas.objectives import Objective as Single
from neuronatlas.rendering import EVERY, Frame, Rendering

SHOWING = {"verbose": False, "show_image": False, "show_inline": False, "save_image": False, "preprocess": True}
"""Lucent's switches, and what each must be: nothing is shown or saved, and a network normalises by itself."""

Images = Float[np.ndarray, "n h w c"]


def render_vis(
    network: Network,
    objective_f: str | Single | Objective,
    param_f: Callable[[], param.Image] | None = None,
    optimizer: object = None,
    transforms: Sequence[Part] | None = None,
    thresholds: Sequence[int] = (512,),
    *,
    seed: int = 0,
    **switches: object,
) -> list[Images]:
    """The pictures in 0..1, of shape (batch, height, width, channels), after each number of steps of ``thresholds``.

    ``param_f`` is a function that returns `param.image`; None: one picture of 128 pixels. ``transforms`` None: Lucent's
    own, number for number. The optimiser is Adam with a rate of 0.05; any other is refused. ``switches`` are Lucent's
    for showing and saving, which must be off; ``progress`` is passed over. A picture of the batch that no objective reads
    stays as it began. One that no gradient reaches, or that diverges, is grey in the end and as it was last seen before;
    a warning says which and why.
    """
    _check(optimizer, thresholds, switches)
    picture: object = param.image(128) if param_f is None else param_f()
    if not isinstance(picture, param.Image):
        message = f"param_f gave a {type(picture).__name__}; what param.image returns is expected"
        raise WrongInput(message)
    objective = as_objective(objective_f)
    changes: dict[str, Any] = {
        "canvas": picture.size,
        "parametrisation": picture.parametrisation,
        "transform": _chain(picture, transforms),
    }
    aims = objective.pictures(picture.batch)
    together = objective.together if picture.batch > 1 or objective.together is not ALONE else None

    def made(steps: int) -> _Made:
        seen: list[list[Frame]] = [[] for _ in aims]
        finished = rendering.render(
            network,
            aims,
            together=together,
            preset="lucid",
            seed=seed,
            watch=lambda frame: seen[frame.number].append(frame),
            steps=steps,
            **changes,
        )
        return _Made(aims, finished, seen)

    last = max(thresholds)
    runs = {last: made(last)}
    answer = []
    for steps in sorted(set(thresholds)):
        if steps % EVERY and steps != last:
            runs[steps] = made(steps)
        answer.append(runs.get(steps, runs[last]).after(steps))
    lost: dict[int, str] = {}
    for run in runs.values():  # the longest first
        lost = run.lost() | lost
    for message in lost.values():
        warnings.warn(message, stacklevel=2)
    return answer


@dataclass(frozen=True)
class _Made:
    """The pictures of a run with how each looked on the way."""

    aims: list[Single]
    finished: list[Rendering]
    seen: list[list[Frame]]

    def after(self, steps: int) -> Images:
        """The pictures after so many steps of the run, or as they were last seen before."""
        return np.stack([self._after(steps, number) for number in range(len(self.aims))])

    def _after(self, steps: int, number: int) -> Float[np.ndarray, "h w c"]:
        made, frames = self.finished[number], self.seen[number]
        tried = max((frame.attempt for frame in frames), default=0)
        frames = [frame for frame in frames if frame.attempt == tried and frame.step <= steps]
        whole = steps >= made.recipe.steps and not self._free(number)
        return made.image if whole or not frames else frames[-1].image

    def _free(self, number: int) -> bool:
        """Is this a picture without an objective, for which a score of 0 is no loss?"""
        return self.aims[number] is NOTHING and self.finished[number].status != "failed"

    def lost(self) -> dict[int, str]:
        """What there is to say of each picture that is lost, by its number."""
        return {
            number: f"picture {number}, of objective {made.objective!r}, is {made.status} and grey: {made.reason}"
            for number, made in enumerate(self.finished)
            if made.status and not self._free(number)
        }


def _check(optimizer: object, thresholds: Sequence[int], switches: dict[str, object]) -> None:
    if optimizer is not None:
        message = (
            f"optimizer (={optimizer!r}) must be None, which is Adam with a rate of 0.05: for another rate or for momentum "
            "use neuronatlas.render(..., optimiser=..., learning_rate=...)"
        )
        raise WrongInput(message)
    if not thresholds or min(thresholds) < 1:
        message = f"thresholds (={thresholds!r}) must hold numbers of steps, each at least 1"
        raise WrongInput(message)
    for name, value in switches.items():
        if name == "progress":
            continue
        if name not in SHOWING:
            what = "argument of render_vis"
            raise UnknownName(what, name, ["seed", "progress", *SHOWING])
        if bool(value) != SHOWING[name]:
            message = (
                f"{name} (={value!r}) must be {SHOWING[name]}: nothing is shown or saved, and the network normalises"
            )
            raise WrongInput(message)


def _chain(picture: param.Image, transforms: Sequence[Part] | None) -> Part:
    """The transforms as one, with a random background for pictures that have a plane of opacity."""
    parts: list[Part] = [LucidChain()] if transforms is None else list(transforms)
    if isinstance(picture.parametrisation, Alpha) and not any(isinstance(part, Composite) for part in parts):
        parts.insert(0, Composite())
    return parts[0] if len(parts) == 1 else transform.compose(parts)
