"""What a step of the loop costs beside a bare pass, and how batches and slices pay; one thread, the least of several.

.venv/bin/python benchmarks/step.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from unittest import mock

import torch

import neuronatlas as na
from neuronatlas import objectives
from neuronatlas.networks.allocator import keep_pages
from neuronatlas.networks.base import Capture
from neuronatlas.rendering import fit_canvas, recipe_of
from neuronatlas.rendering.loop import Loop
from neuronatlas.rendering.task import Job, Task

CASES = (
    ("blocks.1", 64, 8),
    ("blocks.7", 128, 4),
    ("conv_head", 160, 4),
    ("blocks.1", 64, 12),
    ("blocks.1", 64, 16),
    ("blocks.7", 128, 8),
)


def least(*works: Callable[[], object], rounds: int = 15) -> list[float]:
    """The least time of each in milliseconds, taken turn by turn."""
    best = [float("inf")] * len(works)
    for _ in range(rounds):
        for number, work in enumerate(works):
            began = time.perf_counter()
            work()
            best[number] = min(best[number], 1000 * (time.perf_counter() - began))
    return best


def there_and_back(run: Capture, layer: str, images: torch.Tensor) -> None:
    """A forward pass to the mean of a unit a picture, and the gradient of that."""
    images.requires_grad_(True)
    torch.autograd.grad(run(images)[layer].mean((2, 3)).diagonal().sum(), images)


def main() -> None:
    torch.set_num_threads(1)
    keep_pages()
    network = na.load("efficientnet-lite0")
    print("milliseconds a picture: a whole step; bare passes of the cut and folded network; and with its parts joined")
    folded = na.load("efficientnet-lite0")
    for layer, canvas, tile in CASES:
        recipe = fit_canvas(network, [layer], recipe_of("fast", canvas=canvas))
        fast = network.accelerated([layer])[0]
        with mock.patch("neuronatlas.networks.copies.join"):
            plain = folded.accelerated([layer])[0]
        loop = Loop(Task(fast, recipe, 0, (layer,), tile, means=True, placed=False))
        jobs = iter([Job(unit, objectives.channel(layer, unit), str(unit)) for unit in range(tile)])
        loop._fill([], lambda jobs=jobs: next(jobs, None))
        units = list(range(tile))
        with fast.capture([layer], wake=True, units=units) as run, plain.capture([layer], units=units) as plain_run:
            loop.running = run

            def whole(loop: Loop = loop, run=run) -> None:  # type: ignore[no-untyped-def]
                loop.going[:], loop.step[:] = True, 3
                loop._advance(run)

            images = torch.rand(tile, 3, canvas, canvas)
            bare, own = (partial(there_and_back, each, layer, images) for each in (plain_run, run))
            step, passes, joined = (each / tile for each in least(whole, bare, own))
        print(
            f"  {layer:<10} {canvas:>4} px, {tile:>2} at once: {step:6.2f}  {passes:6.2f} ({step / passes:.2f} times)"
            f"  {joined:6.2f} ({step / joined:.2f} times)",
            flush=True,
        )
    batches(network)
    slices(network)


def batches(network: na.Network) -> None:
    print("milliseconds a picture, forward and backward, alone and in batches")
    for layer, side in (("blocks.1", 224), ("blocks.1", 64), ("blocks.7", 128)):
        fast = network.accelerated([layer])[0]
        with fast.capture([layer]) as run:
            works = []
            for count in (1, 8, 16):
                images = torch.rand(count, 3, side, side)

                def work(images: torch.Tensor = images, layer: str = layer, run=run) -> None:  # type: ignore[no-untyped-def]
                    images.requires_grad_(True)
                    torch.autograd.grad(run(images)[layer].mean(), images)

                works.append(work)
            times = least(*works, rounds=6)
        print(
            f"  {layer:<10} {side:>4} px: "
            + ", ".join(f"{c}: {t / c:.2f}" for c, t in zip((1, 8, 16), times, strict=True)),
            flush=True,
        )


def slices(network: na.Network) -> None:
    print("milliseconds of the last dense convolution, forward and backward: all channels, and those of 4 pictures")
    fast = network.accelerated(["conv_head"])[0]
    weight = fast.module.get_submodule("_conv_head").weight
    images = torch.rand(4, weight.shape[1], 5, 5).to(memory_format=torch.channels_last)

    def work(part: torch.Tensor) -> None:
        images.requires_grad_(True)
        torch.autograd.grad(torch.nn.functional.conv2d(images, part).mean(), images)

    four = weight[:4].contiguous(memory_format=torch.channels_last)
    full, cut = least(lambda: work(weight), lambda: work(four), rounds=40)
    print(f"  conv_head {full:.3f} and {cut:.3f}: {full / cut:.1f} times")


if __name__ == "__main__":
    main()
