"""What recording costs beside the bare forward pass with folded batch norms: medians of rounds in turn, in one run.

.venv/bin/python benchmarks/recording.py [--pictures 512] [--rounds 5] [--threads 2]

Recorded are the means of every unit over the positions, and of these the moments, the greatest and the least, and the 9 most and
least exciting stimuli; "maxima": the maxima over the positions, too. The bare pass has no hooks,
and its pictures are an array, as are those recorded but in the rows "JPEGs": there they are decoded meanwhile.
"some" are the convolutions and the linear layers.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

import neuronatlas as na
from neuronatlas.maps.extremes import Extremes
from neuronatlas.maps.moments import Moments
from neuronatlas.networks import as_network
from neuronatlas.networks.allocator import keep_pages
from neuronatlas.networks.folding import Flow, fold_batch_norms, fold_padding, rectify_in_place
from neuronatlas.networks.recording import AT_ONCE
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.responses import BATCH, ahead, pixels, reduced
from neuronatlas.stimuli import Stimulus, StimulusSet, folder, photographs

TOP = 9
SIDES = (256, 448)
"""Of the files: as pictures are often kept for networks of 224 px, and about as large as those of ImageNet."""
BLOCK = 256
"""Stimuli whose statistics are taken at once."""


def alexnet() -> TorchNetwork:
    """Krizhevsky's network as torchvision has it, with random weights."""
    torch.manual_seed(0)
    widths = [(3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1), (384, 256, 3, 1, 1), (256, 256, 3, 1, 1)]
    parts: list[nn.Module] = []
    for number, (given, made, kernel, stride, padding) in enumerate(widths):
        parts += [nn.Conv2d(given, made, kernel, stride, padding), nn.ReLU(inplace=True)]
        parts += [nn.MaxPool2d(3, 2)] if number in (0, 1, 4) else []
    dense = [nn.Linear(9216, 4096), nn.ReLU(inplace=True), nn.Linear(4096, 4096), nn.ReLU(inplace=True)]
    module = nn.Sequential(*parts, nn.Flatten(), *dense, nn.Linear(4096, 1000)).eval()
    network = as_network(module, input_size=224, normalise=((0.5,) * 3, (0.25,) * 3), name="alexnet, random weights")
    assert isinstance(network, TorchNetwork)
    return network


def bare(network: TorchNetwork, *, overwriting: bool) -> nn.Module:
    """The module with its batch norms folded; ``overwriting``: with its padding folded and rectifiers in place, too."""
    module = copy.deepcopy(network.module).eval().requires_grad_(False)
    with torch.no_grad():
        flow = Flow.of(module, network.input.normalise(network.blank()))
        fold_batch_norms(module, flow, keep=())
        if overwriting:
            fold_padding(module, flow)
            rectify_in_place(module, flow, keep=())
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def passes(network: TorchNetwork, module: nn.Module, shown: np.ndarray, size: int) -> None:
    with torch.inference_mode():
        for start in range(0, len(shown), size):
            images = torch.from_numpy(shown[start : start + size]).permute(0, 3, 1, 2).float().div_(255)
            module(network.input.normalise(images))


def written(place: Path, chosen: list[Stimulus], side: int) -> StimulusSet:
    """The stimuli as files of so many pixels a side."""
    folder_of = place / str(side)
    folder_of.mkdir(exist_ok=True)
    for number, item in enumerate(chosen):
        Image.fromarray(item.draw(side)).save(folder_of / f"{number:04}.jpg", quality=90)
    return folder(folder_of)


def recording(
    network: TorchNetwork, batches: Iterable[np.ndarray], names: list[str], workers: int, *, maxima: bool
) -> None:
    """The statistics of every unit of these layers, from its mean over the positions of each stimulus.

    Count, mean, variance, least and greatest of these means, and the most and least exciting stimuli: what an atlas keeps of
    stimuli too many for a table. ``maxima``: the maximum over the positions is taken besides, and the greatest of all kept.
    """
    waiting: list[np.ndarray] = []
    most: np.ndarray | None = None
    moments: list[Moments] = []
    extremes: Extremes | None = None

    def digest(start: int) -> None:
        nonlocal extremes
        values = np.concatenate(waiting)
        waiting.clear()
        moments.append(Moments.of(values, start))
        extremes = Extremes.of(values, start, TOP) if extremes is None else extremes.extended(values, start)

    done = 0
    for means, *others in reduced(network, batches, names, ("mean", "max") if maxima else ("mean",), workers=workers):
        waiting.append(np.concatenate([means[name] for name in names], axis=1))
        if others:
            highest = np.concatenate([others[0][name].max(axis=0) for name in names])
            most = highest if most is None else np.maximum(most, highest)
        done += len(waiting[-1])
        if len(waiting) * BATCH >= BLOCK:
            digest(done - sum(map(len, waiting)))
    if waiting:
        digest(done - sum(map(len, waiting)))
    assert Moments.merge(moments).stop == done


def in_turn(works: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """The seconds of each in every round, after one that does not count."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            if number:
                times[name].append(time.perf_counter() - began)
    return times


def main(pictures: int, rounds: int, threads: int) -> None:
    keep_pages()
    torch.set_num_threads(threads)
    real = photographs().items
    chosen = [real[number % len(real)] for number in range(pictures)]
    with tempfile.TemporaryDirectory() as place:
        for network in (na.load("efficientnet-lite0"), alexnet()):
            assert isinstance(network, TorchNetwork)
            unique = pixels(network, real[: min(len(real), pictures)])
            shown = unique[np.arange(pictures) % len(unique)]
            files = {side: written(Path(place), chosen, side) for side in SIDES}
            plain, fast = bare(network, overwriting=False), bare(network, overwriting=True)
            every = list(network.layers)
            some = [
                name
                for name in every
                if isinstance(network.module.get_submodule(network.home(name)), nn.Conv2d | nn.Linear)
            ]

            def recorded(
                source: np.ndarray | StimulusSet, names: list[str], *, maxima: bool, network: TorchNetwork = network
            ) -> None:
                if isinstance(source, np.ndarray):
                    batches = (source[start : start + BATCH] for start in range(0, len(source), BATCH))
                    recording(network, batches, names, threads, maxima=maxima)
                else:
                    recording(network, ahead(network, source, workers=threads), names, threads, maxima=maxima)

            works: dict[str, Callable[[], None]] = {
                "bare, folded": lambda n=network, m=plain, s=shown: passes(n, m, s, BATCH),  # type: ignore[misc]
                "bare, folded, in place": lambda n=network, m=fast, s=shown: passes(n, m, s, AT_ONCE),  # type: ignore[misc]
            }
            for which, names in (("all", every), ("some", some)):
                for maxima in (False, True):
                    kept = f"{which}, maxima" if maxima else which
                    works[kept] = partial(recorded, shown, names, maxima=maxima)
                    for side, source in files.items():
                        works[f"{kept}, JPEGs of {side}"] = partial(recorded, source, names, maxima=maxima)
            times = in_turn(works, rounds)
            print(f"{network.name}: {len(network.layers)} layers, {pictures} pictures, {threads} threads")
            for name, seconds in times.items():
                each = 1000 * statistics.median(seconds) / pictures
                ratios = [
                    statistics.median(one / other for one, other in zip(seconds, times[bottom], strict=True))
                    for bottom in list(works)[:2]
                ]
                print(f"  {name:<28} {each:7.2f} ms a picture, {ratios[0]:.2f} and {ratios[1]:.2f} times", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    main(given.pictures, given.rounds, given.threads)
