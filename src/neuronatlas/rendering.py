"""Feature visualization: pictures optimised to drive units, many at once.

Pictures are made in tiles of a fixed size, each picture with a random stream of its own derived from the seed and the
objective's name. Convolutions round differently at different batch sizes, and ascent multiplies that until the pictures
differ visibly (0.15 of the range in a late layer after 96 steps); at one batch size they do not. So a short tile is
filled up with copies, and the company in which a picture is made changes nothing, not one bit.

This module returns; it neither shows nor saves unasked, and prints nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, overload

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from neuronatlas import objectives
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.images.fourier import Fourier
from neuronatlas.images.transforms import Affine, LucidChain, Transform
from neuronatlas.networks.allocator import keep_pages
from neuronatlas.networks.base import Capture, Network
from neuronatlas.objectives import Objective
from neuronatlas.units import Unit

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Recipe:
    """How a picture is optimised.

    ``canvas`` is the side of the finished picture in pixels; None: the receptive field of the layer, from 64 to
    ``largest`` and never above the network's input. A neuron at a position of its layer's map is drawn on the whole
    input, where positions are counted. ``margin`` pixels around it are optimised and cut away, so that no
    frame shows. ``learning_rate`` falls linearly to nothing for "momentum" (ascent along each picture's gradient at
    unit length, with momentum 0.9) and is constant for "adam".
    """

    preset: str
    steps: int
    optimiser: Literal["adam", "momentum"]
    learning_rate: float
    transform: Literal["affine", "lucid"]
    canvas: int | None
    margin: int
    contrast_cap: float | None
    sd: float = 0.01
    largest: int = 160


PRESETS = {
    # Lucid's published defaults (lucid/optvis/render.py and param/images.py): Adam 0.05, 512 steps, 128 pixels.
    "lucid": Recipe("lucid", 512, "adam", 0.05, "lucid", canvas=128, margin=0, contrast_cap=None),
    # Measured: the same score in a sixth of the steps (docs/design/0002-the-fast-recipe.md).
    "fast": Recipe("fast", 96, "momentum", 3.0, "affine", canvas=None, margin=8, contrast_cap=1.8),
}
PATIENCE = 16
"""Steps without any gradient after which a picture is given up: each sees it shifted, scaled and turned another way."""


@dataclass(frozen=True, eq=False)
class Rendering:
    """A picture with what it took to make it.

    ``image`` is RGB in 0..1. ``score`` is the objective's value for exactly this picture, ``curve`` its value for the
    transformed picture at each step. ``status`` is "" or "dead" (no gradient reached the picture in the first
    `PATIENCE` steps, or the objective never stirred) or "failed" (it diverged): then ``image`` is plain grey, since a
    picture is never invented, ``curve`` is NaN from where the work was given up, and ``reason`` says more.
    """

    objective: str
    image: Float[np.ndarray, "h w 3"]
    score: float
    curve: Float[np.ndarray, " steps"]
    status: str
    reason: str
    recipe: Recipe
    seed: int
    network: str

    @property
    def settings(self) -> dict[str, object]:
        """What makes this picture again, as plain values."""
        score = self.score if math.isfinite(self.score) else None  # JSON knows no NaN
        about = {"objective": self.objective, "network": self.network, "seed": self.seed, "score": score}
        return about | {"status": self.status} | asdict(self.recipe)

    def png(self) -> bytes:
        """The picture as PNG, its settings in the text chunk ``neuronatlas``."""
        about = PngInfo()
        about.add_text("neuronatlas", json.dumps(self.settings, sort_keys=True))
        stream = io.BytesIO()
        Image.fromarray(self.pixels).save(stream, format="PNG", pnginfo=about)
        return stream.getvalue()

    @property
    def pixels(self) -> np.ndarray:
        """The picture as uint8 RGB."""
        return np.rint(self.image * 255).astype(np.uint8)

    def save(self, path: str | Path) -> Path:
        """Write the picture as PNG; the path comes back."""
        target = Path(path)
        target.write_bytes(self.png())
        return target

    def _repr_png_(self) -> bytes:
        return self.png()


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
            done.update(zip(part, _Loop(fast, company, fitted, seed).run(), strict=False))
            if progress is not None:
                progress(len(done), len(wanted))
    return done[0] if single else [done[index] for index in range(len(wanted))]


def recipe_of(preset: str, **changes: object) -> Recipe:
    """The recipe of a preset with some of its fields replaced; raises `UnknownName`."""
    if preset not in PRESETS:
        raise UnknownName("preset", preset, PRESETS)
    for name in changes:
        if name not in Recipe.__dataclass_fields__ or name == "preset":
            raise UnknownName("setting", name, [field for field in Recipe.__dataclass_fields__ if field != "preset"])
    recipe = replace(PRESETS[preset], **changes)  # type: ignore[arg-type]
    for name, sound, rule in (
        ("steps", recipe.steps >= 1, "at least 1"),
        ("canvas", recipe.canvas is None or recipe.canvas >= 1, "at least 1, or None"),
        ("margin", recipe.margin >= 0, "0 or more"),
        ("largest", recipe.largest >= 1, "at least 1"),
        ("contrast_cap", recipe.contrast_cap is None or recipe.contrast_cap > 0, "above 0, or None"),
        ("learning_rate", recipe.learning_rate > 0, "above 0"),
        ("optimiser", recipe.optimiser in ("adam", "momentum"), "'adam' or 'momentum'"),
        ("transform", recipe.transform in ("affine", "lucid"), "'affine' or 'lucid'"),
    ):
        if not sound:
            message = f"{name} (={getattr(recipe, name)!r}) must be {rule}"
            raise WrongInput(message)
    return recipe


def fit_canvas(network: Network, layers: Sequence[str], recipe: Recipe, *, whole: bool = False) -> Recipe:
    """The recipe with its canvas settled: as large as the target's receptive field needs, if the network takes it.

    With ``whole`` it is the network's input, without a margin.
    """
    height, width = network.input.size
    side = min(height, width)
    if whole and height != width:
        message = f"network {network.name!r} takes {height} x {width} pixels: a position counts only on a square input"
        raise WrongInput(message)
    if whole:
        recipe = replace(recipe, canvas=side, margin=0)
    canvas = recipe.canvas
    if canvas is None:
        field = max(network.receptive_fields(layers).values())
        canvas = min(max(64, min(-(-field // 16) * 16, recipe.largest)), side)
    if _takes(network, layers, canvas + 2 * recipe.margin):
        return replace(recipe, canvas=canvas)
    if not _takes(network, layers, side):
        tried = f"{canvas + 2 * recipe.margin} x {canvas + 2 * recipe.margin} nor {side} x {side} pixels"
        message = f"network {network.name!r} takes neither {tried}: its input_size is {height} x {width}"
        raise WrongInput(message)
    return replace(recipe, canvas=side, margin=0)


def tile_size(recipe: Recipe) -> int:
    """Pictures a tile: a power of two up to 16, with at most 2^17 pixels together where that leaves more than one.

    Measured on two cores: 16 pictures of 80 pixels and 4 of 176 are within a tenth of the best time a picture.
    """
    side = (recipe.canvas or recipe.largest) + 2 * recipe.margin
    room = max(1, min(16, (1 << 17) // side**2))
    return int(1 << (room.bit_length() - 1))


def _takes(network: Network, layers: Sequence[str], side: int) -> bool:
    image = torch.full((1, network.input.channels, side, side), 0.5)
    try:
        with torch.no_grad(), network.capture(layers) as run:
            run(image)
    except (RuntimeError, ValueError, AssertionError):
        return False
    return True


def _stream(seed: int, name: str) -> torch.Generator:
    """The random stream of one picture: a function of the seed and the objective alone."""
    digest = hashlib.sha256(f"{seed}|{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class _Loop:
    """One batch of pictures from noise to finished."""

    def __init__(self, network: Network, wanted: list[Objective], recipe: Recipe, seed: int) -> None:
        assert recipe.canvas is not None
        self.network, self.wanted, self.recipe, self.seed = network, wanted, recipe, seed
        side = recipe.canvas + 2 * recipe.margin
        self.parametrisation = Fourier(side, side, sd=recipe.sd, contrast_cap=recipe.contrast_cap)
        self.transform: Transform = Affine() if recipe.transform == "affine" else LucidChain()
        streams = [_stream(seed, objective.name) for objective in wanted]
        self.numbers = self.parametrisation.start(streams)
        if recipe.transform == "lucid":
            streams = [_stream(seed, "lucid") for _ in wanted]
        self.draws = torch.stack([self.transform.draw(recipe.steps, stream) for stream in streams], 1)
        self.sound = self.numbers.clone()
        self.alive = torch.zeros(len(wanted), dtype=torch.bool)
        self.given_up = torch.zeros(len(wanted), dtype=torch.bool)
        self.failed_at = torch.full((len(wanted),), -1)
        self.one_size = recipe.transform == "lucid" and not self._takes_other_sizes(side)

    def run(self) -> list[Rendering]:
        """All steps, then the score of what came out."""
        layers = self.wanted[0].layers
        curves = torch.full((len(self.wanted), self.recipe.steps), torch.nan)
        ascend = self._adam() if self.recipe.optimiser == "adam" else self._momentum()
        with self.network.capture(layers, wake=True) as run:
            for step in range(self.recipe.steps):
                going = ~self.given_up & (self.failed_at < 0)
                if not going.any():
                    break
                numbers = self.numbers.requires_grad_(True)
                scores = self._measure(run(self._transformed(self.parametrisation.image(numbers), step)))
                gradient = torch.zeros_like(numbers)
                if scores.requires_grad:
                    (gradient,) = torch.autograd.grad(scores.sum(), numbers)
                curves[going, step] = scores.detach()[going]
                self.numbers = self._guarded(ascend(numbers.detach(), gradient, step), gradient, step)
            with torch.no_grad():
                return self._finished(run, curves)

    def _finished(self, run: Capture, curves: Tensor) -> list[Rendering]:
        """The pictures without their margin and their scores; grey where there is none."""
        images = self._cropped(self.parametrisation.image(self.numbers))
        scores = self._measure(run(images))
        statuses = [self._status(index, scores[index], curves[index]) for index in range(len(images))]
        lost = torch.tensor([bool(status) for status, _ in statuses])
        if lost.any():
            images = torch.where(lost.view(-1, 1, 1, 1), 0.5, images)
            scores = torch.where(lost, self._measure(run(images)), scores)
        return [
            Rendering(
                objective=self.wanted[index].name,
                image=images[index].permute(1, 2, 0).contiguous().numpy(),
                score=float(scores[index]),
                curve=curves[index].numpy().copy(),
                status=status,
                reason=reason,
                recipe=self.recipe,
                seed=self.seed,
                network=self.network.name,
            )
            for index, (status, reason) in enumerate(statuses)
        ]

    def _transformed(self, images: Tensor, step: int) -> Tensor:
        moved = self.transform(images, self.draws[step])
        if self.one_size:
            moved = F.interpolate(moved, size=images.shape[2:], mode="bilinear", align_corners=False)
        return moved

    def _takes_other_sizes(self, side: int) -> bool:
        """Does the network take the smallest and the largest that the chain makes, and do positions allow it?"""
        if any(unit.position is not None for objective in self.wanted for unit in objective.units):
            return False
        sizes = (int((side + 16) * scale) - 4 for scale in (0.9, 1.1))
        return all(_takes(self.network, self.wanted[0].layers, size) for size in sizes)

    def _measure(self, seen: dict[str, Tensor]) -> Tensor:
        values = []
        for index, objective in enumerate(self.wanted):
            values.append(objective.measure({layer: output[index] for layer, output in seen.items()}))
        return torch.stack(values)

    def _cropped(self, images: Tensor) -> Tensor:
        margin = self.recipe.margin
        return images[:, :, margin : images.shape[2] - margin, margin : images.shape[3] - margin].contiguous()

    def _guarded(self, proposed: Tensor, gradient: Tensor, step: int) -> Tensor:
        """Where a picture stays finite, the proposal; where it does not, what it last was."""
        self.alive |= gradient.flatten(1).abs().amax(1) > 0
        finite = proposed.flatten(1).isfinite().all(1)
        self.failed_at = torch.where(~finite & (self.failed_at < 0), step, self.failed_at)
        if step + 1 == min(PATIENCE, self.recipe.steps):
            self.given_up = ~self.alive
        self.sound = torch.where(finite.view(-1, 1, 1, 1, 1), proposed, self.sound)
        return self.sound.clone()

    def _momentum(self) -> Callable[[Tensor, Tensor, int], Tensor]:
        velocity = torch.zeros_like(self.numbers)

        def ascend(numbers: Tensor, gradient: Tensor, step: int) -> Tensor:
            length = gradient.flatten(1).norm(dim=1).clamp(min=1e-30).view(-1, 1, 1, 1, 1)
            velocity.mul_(0.9).add_(gradient / length)
            return numbers + self.recipe.learning_rate * (1 - step / self.recipe.steps) * velocity

        return ascend

    def _adam(self) -> Callable[[Tensor, Tensor, int], Tensor]:
        """Adam, ascending (Kingma & Ba 2015: 0.9, 0.999, 1e-8), a picture at a time by construction."""
        first, second = torch.zeros_like(self.numbers), torch.zeros_like(self.numbers)

        def ascend(numbers: Tensor, gradient: Tensor, step: int) -> Tensor:
            first.mul_(0.9).add_(gradient, alpha=0.1)
            second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            mean = first / (1 - 0.9 ** (step + 1))
            spread = (second / (1 - 0.999 ** (step + 1))).sqrt()
            return numbers + self.recipe.learning_rate * mean / (spread + 1e-8)

        return ascend

    def _status(self, index: int, score: Tensor, curve: Tensor) -> tuple[str, str]:
        if self.failed_at[index] >= 0:
            return "failed", f"the gradient was not finite at step {int(self.failed_at[index])}"
        if self.given_up[index]:
            return "dead", f"no gradient reached the picture in {min(PATIENCE, self.recipe.steps)} steps"
        if float(score) == 0 and not curve.any():
            return "dead", "it stayed silent: the objective was 0 in every step"
        return "", ""
