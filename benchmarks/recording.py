"""What recording costs beside the bare forward pass with folded batch norms: medians of rounds in turn, in one run.

.venv/bin/python benchmarks/recording.py [--pictures 512] [--rounds 5] [--threads 2]

Recorded are the mean, the maximum, the top 9 and the moments of every unit of every layer. The bare pass has no hooks,
and its pictures are an array, as are those recorded but in the row "from files": there they are decoded meanwhile.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

import neuronatlas as na
from neuronatlas.networks import as_network
from neuronatlas.networks.allocator import keep_pages
from neuronatlas.networks.folding import Flow, fold_batch_norms, fold_padding, rectify_in_place
from neuronatlas.networks.recording import AT_ONCE
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.responses import BATCH, pixels, reduced
from neuronatlas.stimuli import folder, photographs
from neuronatlas.stimuli.decoding import drawn

TOP = 9


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


def recording(network: TorchNetwork, batches: Iterable[np.ndarray], workers: int) -> None:
    """The statistics of every unit, from the mean and the maximum of each stimulus."""
    names = list(network.layers)
    best = count = total = squares = None
    for means, maxima in reduced(network, batches, names, ("mean", "max"), workers=workers):
        mean = np.concatenate([means[name] for name in names], axis=1).astype(np.float64)
        most = np.concatenate([maxima[name] for name in names], axis=1)
        best = most if best is None else np.concatenate([best, most])
        best = -np.partition(-best, min(TOP, len(best) - 1), axis=0)[:TOP]
        count = len(mean) + (count or 0)
        total = mean.sum(0) + (0 if total is None else total)
        squares = (mean**2).sum(0) + (0 if squares is None else squares)


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
            side = max(network.input.size)
            for number, item in enumerate(chosen):
                ending = "jpg" if number % 2 else "png"
                Image.fromarray(item.draw(2 * side)).save(Path(place) / f"{number:04}.{ending}")
            files = folder(Path(place))
            plain, fast = bare(network, overwriting=False), bare(network, overwriting=True)

            def batches(shown: np.ndarray = shown) -> Iterable[np.ndarray]:
                return (shown[start : start + BATCH] for start in range(0, len(shown), BATCH))

            def from_files(side: int = side, files: na.StimulusSet = files) -> Iterable[np.ndarray]:
                return drawn(files.items, side, batch=BATCH, workers=threads)

            works: dict[str, Callable[[], None]] = {
                "bare, folded": lambda n=network, m=plain, s=shown: passes(n, m, s, BATCH),  # type: ignore[misc]
                "bare, folded, in place": lambda n=network, m=fast, s=shown: passes(n, m, s, AT_ONCE),  # type: ignore[misc]
                "recorded": lambda n=network, b=batches: recording(n, b(), threads),  # type: ignore[misc]
                "recorded from files": lambda n=network, b=from_files: recording(n, b(), threads),  # type: ignore[misc]
            }
            times = in_turn(works, rounds)
            print(f"{network.name}: {len(network.layers)} layers, {pictures} pictures, {threads} threads")
            for name, seconds in times.items():
                each = 1000 * statistics.median(seconds) / pictures
                ratios = [
                    statistics.median(one / other for one, other in zip(seconds, times[bottom], strict=True))
                    for bottom in list(works)[:2]
                ]
                print(f"  {name:<24} {each:7.2f} ms a picture, {ratios[0]:.2f} and {ratios[1]:.2f} times", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    main(given.pictures, given.rounds, given.threads)
