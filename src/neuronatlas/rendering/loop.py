"""The loop that makes pictures, a tile of them at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from neuronatlas.errors import Cancelled, WrongInput
from neuronatlas.networks.base import Capture
from neuronatlas.objectives import PICTURE
from neuronatlas.rendering.result import Rendering
from neuronatlas.rendering.task import ATTEMPTS, EVERY, MOMENTUM, PATIENCE, Frame, Job, Task


class Loop:
    """A tile of pictures from noise to finished. All state is a row a picture, so that company changes nothing."""

    def __init__(self, task: Task, watch: Callable[[Frame], None] | None = None, every: int = EVERY) -> None:
        self.task, self.recipe, self.watch, self.every = task, task.recipe, watch, every
        self.size = self.recipe.size
        self.refills = self.recipe.plateau is not None and not self.recipe.transform.shared and task.joint is None
        self.jobs: list[Job | None] = [None] * task.tile
        self.numbers = torch.empty(0)
        self.first = self.second = torch.empty(0)  # the optimiser's moments
        self.step = torch.zeros(task.tile, dtype=torch.long)
        self.going = torch.zeros(task.tile, dtype=torch.bool)
        self.alive = torch.zeros(task.tile, dtype=torch.bool)
        self.failed = torch.zeros(task.tile, dtype=torch.bool)
        self.rate = torch.full((task.tile,), self.recipe.learning_rate, dtype=torch.float64)
        self.curves = torch.full((task.tile, self.recipe.steps), torch.nan, dtype=torch.float32)
        self.draws = torch.empty(0)
        self.common = self.recipe.transform.draw(self.recipe.steps, _stream(task.seed, "shared"))
        self.fits: dict[tuple[int, int], bool] = {}  # which sizes the network takes
        self.running: Capture | None = None

    def run(self, take: Callable[[], Job | None], stop: Callable[[], bool] = bool) -> Iterator[tuple[Job, Rendering]]:
        """Make the picture of every job that ``take`` gives, until it gives None; raises `Cancelled` when told to stop."""
        again: list[Job] = []
        while self._fill(again, take):
            units = [job.objective.mean_of for job in self.jobs if job is not None] if self.task.means else None
            with self.task.network.capture(self.task.layers, wake=True, units=units) as run:  # type: ignore[arg-type]
                self.running, before = run, self.going.clone()
                while self.going.any():
                    if stop():
                        raise Cancelled
                    self._advance(run)
                    if self.refills and not torch.equal(self.going, before):
                        break
                with torch.no_grad():
                    finished = self._finished(run)
            retried = [self._retry(job, rendering) for job, rendering in finished]
            if self.task.joint is not None and any(retried):  # they were made with one another, so all of them again
                retried = [replace(job, attempt=job.attempt + 1) for job, _ in finished]
            again += [job for job in retried if job is not None]
            yield from (made for made, job in zip(finished, retried, strict=True) if job is None)

    def _fill(self, again: list[Job], take: Callable[[], Job | None]) -> bool:
        """Put jobs into the free places, copies of one into those left over; is there any to do?"""
        for place, held in enumerate(self.jobs):
            if held is None or not self.going[place]:
                self.jobs[place] = job = again.pop(0) if again else take()
                if job is not None:
                    self._place(place, job)
        some = next((job for job in self.jobs if job is not None and job.number >= 0), None)
        if some is None:
            return False
        for place, held in enumerate(self.jobs):
            if held is None:
                self._place(place, replace(some, number=-1))
        return True

    def _place(self, place: int, job: Job) -> None:
        """Start a picture: its noise, its draws, and nothing remembered of the one before."""
        recipe, seed = self.recipe, self.task.seed
        stream = _stream(seed, job.stream)
        start = recipe.parametrisation.start(self.size, [stream]).to(self.task.network.device)
        draws = recipe.transform.draw(recipe.steps, stream) if not recipe.transform.shared else self.common
        if len(self.numbers) == 0:
            self.numbers = start.new_zeros((self.task.tile, *start.shape[1:]))
            self.first, self.second = torch.zeros_like(self.numbers), torch.zeros_like(self.numbers)
            self.draws = draws.new_zeros((self.task.tile, *draws.shape))
        self.jobs[place] = job
        self.numbers[place], self.draws[place] = start[0], draws
        self.first[place], self.second[place] = 0, 0
        self.step[place], self.rate[place] = 0, recipe.learning_rate / 4**job.attempt
        self.going[place], self.alive[place], self.failed[place] = True, False, False
        self.curves[place] = torch.nan

    def _advance(self, run: Capture) -> None:
        """One step of every picture that is not finished."""
        numbers = self.numbers.requires_grad_(True)
        images = self.recipe.parametrisation.image(numbers, self.size)
        scores, whole = self._measure(run(self._transformed(images)), self._cropped(images))
        gradient = torch.autograd.grad(whole, numbers)[0] if whole.requires_grad else torch.zeros_like(numbers)
        with torch.no_grad():
            places = self.going.nonzero().flatten()
            self.curves[places, self.step[places]] = scores.detach().to(self.curves)[places]
            self._ascend(numbers.detach(), gradient)
            self.step += self.going
            self._end()
            if self.watch is not None:
                due = (self.step[places] % self.every == 0) | ~self.going[places]
                self._show(places[due & ~self.failed[places]].tolist(), scores)

    def _transformed(self, images: Tensor) -> Tensor:
        """The pictures as the network is to see them in this step."""
        at = self.step.clamp(max=self.recipe.steps - 1)
        if self.recipe.transform.shared:  # all began together; the first row serves all, and may be finished
            at = at.max().expand(self.task.tile)
        moved = self.recipe.transform(images, self.draws[torch.arange(self.task.tile), at])
        if moved.shape[1] != self.task.network.input.channels:
            message = (
                f"network {self.task.network.name!r} takes {self.task.network.input.channels} colour channels, but "
                f"the parametrisation {self.recipe.parametrisation.settings['name']!r} with the transform "
                f"{self.recipe.transform.settings['name']!r} gives {moved.shape[1]}"
            )
            raise WrongInput(message)
        return self._fitting(self._without_margin(moved))

    def _without_margin(self, moved: Tensor) -> Tensor:
        """The middle, of the canvas's size, of pictures that still have a margin: the network is to see the canvas."""
        margins = [
            (length - (whole - 2 * self.recipe.margin))
            for length, whole in zip(moved.shape[2:], self.size, strict=True)
        ]
        if not any(margins) or not all(0 <= margin <= 2 * self.recipe.margin for margin in margins):
            return moved  # nothing to cut away, or the transform made another size of them
        (top, height), (left, width) = (
            (margin // 2, length - margin) for margin, length in zip(margins, moved.shape[2:], strict=True)
        )
        return moved[:, :, top : top + height, left : left + width]

    def _fitting(self, images: Tensor) -> Tensor:
        """The pictures resized to the network's input where it does not take their size, or positions count."""
        size = (images.shape[2], images.shape[3])
        if size not in self.fits:
            input_size = self.task.network.input.size
            self.fits[size] = size == input_size or (not self.task.placed and self._takes(size))
        if self.fits[size]:
            return images
        return F.interpolate(images, size=self.task.network.input.size, mode="bilinear", align_corners=False)

    def _takes(self, size: tuple[int, int]) -> bool:
        assert self.running is not None
        image = torch.full(
            (1, self.task.network.input.channels, *size), 0.5, dtype=torch.float32, device=self.task.network.device
        )
        try:
            with torch.no_grad():
                self.running(image)
        except (RuntimeError, ValueError, AssertionError):
            return False
        return True

    def _measure(self, seen: dict[str, Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
        """The score of each picture, the mean over its views; and the one number whose gradient is followed."""
        tile = self.task.tile
        if self.task.means:
            output = seen[self.task.layers[0]]
            output = output.movedim(self.task.network.layer(self.task.layers[0]).unit_axis + 1, 1)
            scores = _by_picture(output, tile).transpose(1, 2).flatten(2).mean(2).diagonal()
            return scores, scores.sum()
        split = {layer: _by_picture(output, tile) for layer, output in seen.items()}
        views = next(iter(split.values())).shape[1] if split else 1
        values = []
        for place, job in enumerate(self.jobs):
            assert job is not None
            of_views = [
                job.objective.measure(
                    {layer: output[place, view] for layer, output in split.items()} | {PICTURE: images[place]}
                )
                for view in range(views)
            ]
            values.append(torch.stack(of_views).mean())
        scores = torch.stack(values)
        if self.task.joint is None:
            return scores, scores.sum()
        together = [
            self.task.joint.measure({layer: output[:, view] for layer, output in split.items()} | {PICTURE: images})
            for view in range(views)
        ]
        return scores, scores.mean() + torch.stack(together).mean()

    def _ascend(self, numbers: Tensor, gradient: Tensor) -> None:
        """Move each unfinished picture along its gradient; one that would not stay finite stays, and has failed."""
        shape = (-1, *[1] * (numbers.ndim - 1))
        length = gradient.flatten(1).norm(dim=1)
        rate, step = self.rate * self.going, self.step.double()  # a row a picture: exact, and rounded only at the end
        if not bool(length.isfinite().all()):
            gradient = gradient.nan_to_num(0, 0, 0)
        if self.recipe.optimiser == "momentum":
            scale = torch.where(length.isfinite(), 1 / length.clamp(min=1e-30), 0)
            self.first.mul_(MOMENTUM).addcmul_(gradient, scale.view(shape))
            fallen = rate * (1 - step / self.recipe.steps).sqrt()
            proposed = torch.addcmul(numbers, self.first, fallen.to(numbers).view(shape))
        else:  # Adam, ascending (Kingma & Ba 2015: 0.9, 0.999, 1e-8)
            self.first.lerp_(gradient, 0.1)
            self.second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            share = (rate / (1 - 0.9 ** (step + 1))).to(numbers).view(shape)
            spread = (self.second / (1 - 0.999 ** (step + 1)).to(numbers).view(shape)).sqrt_()
            proposed = torch.addcdiv(numbers, self.first * share, spread.add_(1e-8))
        sound = (length + proposed.flatten(1).norm(dim=1)).isfinite()
        self.alive |= (length > 0).cpu()
        self.failed |= self.going & ~sound.cpu()
        self.numbers = proposed if bool(sound.all()) else torch.where(sound.view(shape), proposed, numbers)

    def _end(self) -> None:
        """Which pictures are finished after this step."""
        out_of_patience = ~self.alive & (self.step >= min(PATIENCE, self.recipe.steps))
        self.going &= ~(self.failed | out_of_patience | (self.step >= self.recipe.steps))
        if self.recipe.plateau is not None:
            for place in self.going.nonzero().flatten().tolist():
                seen = self.curves[place, : int(self.step[place])]
                if len(seen) >= 2 * PATIENCE:
                    before, now = seen[-2 * PATIENCE : -PATIENCE].mean(), seen[-PATIENCE:].mean()
                    self.going[place] = bool(now > before + self.recipe.plateau * before.abs())

    def _finished(self, run: Capture) -> list[tuple[Job, Rendering]]:
        """The pictures that are done, without their margin, and their scores; grey where there is none."""
        images = self._cropped(self.recipe.parametrisation.image(self.numbers, self.size))
        scores, _ = self._measure(run(self._fitting(self._shown(images))), images)
        statuses = [self._status(place, score) for place, score in enumerate(scores)]
        lost = torch.tensor([bool(status) for status, _ in statuses], device=images.device)
        if lost.any():
            images = torch.where(lost.view(-1, 1, 1, 1), 0.5, images)
            grey = self._measure(run(self._fitting(self._shown(images))), images)[0]
            scores = torch.where(lost, grey, scores)
        made = []
        for place, job in enumerate(self.jobs):
            if job is None or self.going[place]:
                continue
            if job.number >= 0:
                rendering = self._rendering(place, images[place], float(scores[place]), status=statuses[place])
                made.append((job, rendering))
            self.jobs[place] = None
        return made

    def _rendering(self, place: int, image: Tensor, score: float, *, status: tuple[str, str]) -> Rendering:
        job = self.jobs[place]
        assert job is not None
        return Rendering(
            objective=job.objective.name,
            image=image.permute(1, 2, 0).contiguous().cpu().numpy(),
            score=score,
            curve=self.curves[place].numpy().copy(),
            status=status[0],
            reason=status[1],
            recipe=replace(self.recipe, learning_rate=self.recipe.learning_rate / 4**job.attempt),
            seed=self.task.seed,
            network=self.task.network.name,
        )

    def _shown(self, images: Tensor) -> Tensor:
        """The pictures over mid-grey where they have a plane more than the network takes colours: their alpha."""
        if images.shape[1] == self.task.network.input.channels + 1:
            colours, alpha = images[:, :-1], images[:, -1:]
            return colours * alpha + 0.5 * (1 - alpha)
        return images

    def _retry(self, job: Job, rendering: Rendering) -> Job | None:
        """The job once more, if it diverged on the way and not at once, and has attempts left."""
        begun = bool(np.isfinite(rendering.curve[:1]).all())
        if rendering.status != "failed" or not begun or job.attempt + 1 >= ATTEMPTS:
            return None
        return replace(job, attempt=job.attempt + 1)

    def _cropped(self, images: Tensor) -> Tensor:
        margin = self.recipe.margin
        return images[:, :, margin : images.shape[2] - margin, margin : images.shape[3] - margin].contiguous()

    def _show(self, places: list[int], scores: Tensor) -> None:
        """Tell how the pictures at these places look after this step."""
        assert self.watch is not None
        jobs = [(place, job) for place in places if (job := self.jobs[place]) is not None and job.number >= 0]
        if not jobs:
            return
        images = self._cropped(self.recipe.parametrisation.image(self.numbers, self.size))
        for place, job in jobs:
            step, image = int(self.step[place]), images[place].permute(1, 2, 0).contiguous().cpu().numpy()
            name, steps, score = job.objective.name, self.recipe.steps, float(scores[place])
            self.watch(Frame(job.number, name, step, steps, image, score, job.restart, job.attempt))

    def _status(self, place: int, score: Tensor) -> tuple[str, str]:
        curve = self.curves[place]
        if self.failed[place]:
            job = self.jobs[place]
            tries = (
                "" if job is None or job.attempt == 0 else f", at a quarter of the learning rate {job.attempt} times"
            )
            return "failed", f"the gradient was not finite at step {int(self.step[place]) - 1}{tries}"
        if not self.alive[place] and not self.going[place]:
            return "dead", f"no gradient reached the picture in {min(PATIENCE, self.recipe.steps)} steps"
        if float(score) == 0 and not curve.nan_to_num().any() and not self.going[place]:
            return "dead", "it stayed silent: the objective was 0 in every step"
        return "", ""


def _by_picture(output: Float[Tensor, "m ..."], tile: int) -> Float[Tensor, "n views ..."]:
    return output.reshape(tile, -1, *output.shape[1:])


def _stream(seed: int, name: str) -> torch.Generator:
    """The random stream of one picture: a function of the seed and the name alone."""
    digest = hashlib.sha256(f"{seed}|{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
