"""Lucid's ``render_vis``: the pictures of an objective after so many steps, as arrays."""

from __future__ import annotations

import operator
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float

from neuronatlas import rendering
from neuronatlas.compat.lucid import param, transform
from neuronatlas.compat.lucid.composition import ALONE, NOTHING, Objective, as_objective
from neuronatlas.compat.lucid.notebook import show
from neuronatlas.compat.lucid.refusals import without_equal
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.images.alpha import Alpha
from neuronatlas.images.transforms import Composite, LucidChain, Part
from neuronatlas.networks.base import Network
from neuronatlas.objectives import PICTURE, Joint
from neuronatlas.objectives import Objective as Single
from neuronatlas.rendering import EVERY, Frame, Rendering

SHOWING = {"show_image": False, "show_inline": False, "save_image": False, "preprocess": True, "image_name": None}
"""Lucent's switches, and what each must be: it saves nothing, and a network normalises by itself."""

Images = Float[np.ndarray, "n h w c"]
Aim = str | Single | Objective | Callable[..., object]
Steps = int | Iterable[SupportsIndex]
ParamF = Callable[[], param.Image] | param.Image

make_vis_T = without_equal("make_vis_T", "use neuronatlas.render(..., watch=...), which tells how each picture looks")


def render_vis(
    model: Network,
    objective_f: Aim,
    param_f: ParamF | None = None,
    optimizer: object = None,
    transforms: Sequence[Part] | None = None,
    thresholds: Steps = (512,),
    print_objectives: Sequence[Aim] | None = None,
    verbose: bool = True,
    relu_gradient_override: bool = True,
    use_fixed_seed: bool = False,
    *,
    seed: int = 0,
    **switches: object,
) -> list[Images]:
    """The pictures in 0..1, of shape (batch, height, width, channels), after each number of steps of ``thresholds``.

    ``param_f`` is what `param.image` returns, or a function that returns it; None: one picture of 128 pixels.
    ``transforms`` None: Lucent's own, number for number. ``optimizer`` is None, Adam with a rate of 0.05, or as in Lucent
    a function from parameters to a ``torch.optim.Adam`` that differs from its defaults in the rate alone.

    ``print_objectives`` are printed at each threshold, as their value for exactly the pictures there. ``verbose`` shows
    the pictures in a notebook, and nothing elsewhere. ``seed`` decides all that is random, whatever ``use_fixed_seed``.
    ``switches`` are Lucent's, which must be off; ``progress`` is passed over. A picture of the batch that no objective
    reads stays as it began. One that no gradient reaches, or that diverges, is grey in the end and as it was last seen
    before; a warning says which and why.
    """
    del use_fixed_seed
    wanted = _rising(thresholds)
    _check(switches)
    if not relu_gradient_override:
        message = "relu_gradient_override (=False) must be True: a gradient always passes a rectifier that is silent"
        raise WrongInput(message)
    picture: object = param.image(128) if param_f is None else param_f() if callable(param_f) else param_f
    if isinstance(picture, param.Unbounded):
        message = "param_f gave numbers without bounds: make colours of them with param.to_valid_rgb"
        raise WrongInput(message)
    if not isinstance(picture, param.Image):
        message = f"param_f gave a {type(picture).__name__}; what param.image returns is expected"
        raise WrongInput(message)
    objective = as_objective(objective_f)
    told = [as_objective(each) for each in print_objectives or ()]
    aims = objective.pictures(picture.batch, model.labels)
    asked = [(each.pictures(picture.batch, model.labels), each.together(picture.batch)) for each in told]
    joint = objective.together(picture.batch)
    together = joint if picture.batch > 1 or joint is not ALONE else None
    changes: dict[str, Any] = {
        "canvas": picture.size,
        "parametrisation": picture.parametrisation,
        "transform": _chain(picture, transforms),
        **_rate(optimizer),
    }
    answer = pictures_of(model, aims, wanted, together=together, seed=seed, **changes)
    for steps, images in zip(wanted, answer, strict=True):
        for number, (singles, all_of_them) in enumerate(asked, 1):
            value = _value(model, singles, all_of_them, images)
            sys.stdout.write(f"{steps}: {number:02d}: {_name(singles, all_of_them)}: {value:.4g}\n")
        if verbose:
            show(images)
    return answer


def pictures_of(
    network: Network,
    aims: Sequence[Single],
    thresholds: Steps,
    *,
    together: Joint | None = None,
    seed: int = 0,
    **changes: Any,
) -> list[Images]:
    """The pictures of these objectives after each number of steps, in rising order; what is lost is warned of."""
    wanted = _rising(thresholds)

    def made(steps: int) -> _Made:
        seen: list[dict[int, Frame]] = [{} for _ in aims]

        def watch(frame: Frame) -> None:
            seen[frame.number] |= {threshold: frame for threshold in wanted if frame.step <= threshold}

        finished = rendering.render(
            network,
            aims,
            together=together,
            preset="lucid",
            seed=seed,
            watch=watch,
            steps=steps,
            **changes,
        )
        return _Made(list(aims), finished, seen)

    last = wanted[-1]
    runs = {last: made(last)}
    answer = []
    for steps in wanted:
        if steps % EVERY and steps != last:
            runs[steps] = made(steps)
        answer.append(runs.get(steps, runs[last]).after(steps))
    lost: dict[int, str] = {}
    for run in runs.values():  # the longest first
        lost = run.lost() | lost
    for message in lost.values():
        warnings.warn(message, stacklevel=3)
    return answer


@dataclass(frozen=True)
class _Made:
    """The pictures of a run, and for each how it last looked before each threshold."""

    aims: list[Single]
    finished: list[Rendering]
    seen: list[dict[int, Frame]]

    def after(self, steps: int) -> Images:
        """The pictures after so many steps of the run, one of its thresholds, or as they were last seen before."""
        return np.stack([self._after(steps, number) for number in range(len(self.aims))])

    def _after(self, steps: int, number: int) -> Float[np.ndarray, "h w c"]:
        made, frame = self.finished[number], self.seen[number].get(steps)
        whole = steps >= made.recipe.steps and not self._free(number)
        return made.image if whole or frame is None else frame.image

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


def _rising(thresholds: int | Iterable[Any]) -> tuple[int, ...]:
    """The numbers of steps, one or any number of them, each once."""
    given = (thresholds,) if isinstance(thresholds, int) else tuple(thresholds)
    try:
        steps = sorted({operator.index(each) for each in given})
    except TypeError:
        steps = []
    if not steps or steps[0] < 1:
        message = f"thresholds (={given!r}) must hold whole numbers of steps, each at least 1"
        raise WrongInput(message)
    return tuple(steps)


def _check(switches: dict[str, object]) -> None:
    for name, value in switches.items():
        if name == "progress":
            continue
        if name not in SHOWING:
            what = "argument of render_vis"
            raise UnknownName(what, name, ["seed", "progress", *SHOWING])
        if (value or None) != (SHOWING[name] or None):
            message = (
                f"{name} (={value!r}) must be {SHOWING[name]}: nothing is shown or saved, and the network normalises"
            )
            raise WrongInput(message)


def _rate(optimizer: object) -> dict[str, float]:
    """The learning rate of an optimiser that is Adam but for it."""
    if optimizer is None:
        return {}
    found = optimizer([torch.nn.Parameter(torch.zeros(1))]) if callable(optimizer) else optimizer
    if type(found) is torch.optim.Adam:
        usual = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))]).defaults
        if all(found.defaults.get(name) == value for name, value in usual.items() if name != "lr"):
            return {"learning_rate": float(found.defaults["lr"])}
    message = (
        f"optimizer (={optimizer!r}) must be None, which is Adam with a rate of 0.05, or lambda params: "
        "torch.optim.Adam(params, lr=...): for momentum use neuronatlas.render(..., optimiser=..., learning_rate=...)"
    )
    raise WrongInput(message)


def _name(singles: Sequence[Single], together: Joint) -> str:
    names = list(dict.fromkeys(single.name for single in singles if single is not NOTHING))
    return ", ".join([*names, *([] if together is ALONE else [together.name])])


def _value(network: Network, singles: Sequence[Single], together: Joint, images: Images) -> float:
    """What an objective comes to for exactly these pictures, over grey where they have a plane of opacity."""
    layers = list(dict.fromkeys([*(layer for each in singles for layer in each.layers), *together.layers]))
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(network.device)
    shown = batch
    if batch.shape[1] == network.input.channels + 1:
        shown = batch[:, :-1] * batch[:, -1:] + 0.5 * (1 - batch[:, -1:])
    with torch.no_grad():
        seen: dict[str, torch.Tensor] = {PICTURE: batch}
        if layers:
            with network.capture(layers) as run:
                seen |= run(shown)
        values = [
            single.measure({name: output[number] for name, output in seen.items()})
            for number, single in enumerate(singles)
        ]
        return float(torch.stack(values).mean() + together.measure(seen))


def _chain(picture: param.Image, transforms: Sequence[Part] | None) -> Part:
    """The transforms as one, with a random background for pictures that have a plane of opacity."""
    parts: list[Part] = [LucidChain()] if transforms is None else list(transforms)
    if isinstance(picture.parametrisation, Alpha) and not any(isinstance(part, Composite) for part in parts):
        parts.insert(0, Composite())
    return parts[0] if len(parts) == 1 else transform.compose(parts)
