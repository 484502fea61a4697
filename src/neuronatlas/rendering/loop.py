"""The loop that makes a tile of pictures, and what comes out of it."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from neuronatlas.images.fourier import Fourier
from neuronatlas.images.transforms import Affine, LucidChain, Transform
from neuronatlas.networks.base import Capture, Network
from neuronatlas.objectives import Objective
from neuronatlas.rendering.recipe import Recipe, takes

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


def _stream(seed: int, name: str) -> torch.Generator:
    """The random stream of one picture: a function of the seed and the objective alone."""
    digest = hashlib.sha256(f"{seed}|{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class Loop:
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
        return all(takes(self.network, self.wanted[0].layers, size) for size in sizes)

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
