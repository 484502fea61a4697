"""Units an hour at equal score: this package against Lucent, at an early, a middle and a late layer of EfficientNet-Lite0.

    .venv-benchmarks/bin/python benchmarks/speed.py benchmarks/.pictures [--units N] [--layers L] [--sheet OUT.png]

Lucent is timed before and after this package, a step at a time on the network as it is (as its users have it), and the
faster of the two is compared with. Its pictures after 512 steps come from `lucent_pictures.py`.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from dataclasses import astuple
from pathlib import Path

import numpy as np
import peers
import torch
from lucent_pictures import SETS, in_order
from PIL import Image
from score import Score, score

import neuronatlas as na
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.rendering import PRESETS

STEPS = 512


def seconds_a_step(network: TorchNetwork, layer: str, unit: int, *, steps: int = 16) -> float:
    """Of Lucent, with its defaults: the median, without the first three."""
    model = peers.Normalised(network)
    times: list[float] = []
    model.net.register_forward_pre_hook(lambda *_: times.append(time.perf_counter()))
    peers.lucent(model, SETS[layer][0], unit, steps=steps)
    return statistics.median(np.diff(times)[3:])


def main(folder: Path, units: int, layers: list[str], sheet: Path | None) -> None:
    peers.prepare()
    network = na.load("efficientnet-lite0")
    assert isinstance(network, TorchNetwork)
    print(f"{torch.get_num_threads()} threads; Lucent: {STEPS} steps; this package: {PRESETS['fast'].steps}")
    rows = []
    for layer in layers:
        chosen = [unit for unit in in_order(layer) if (folder / f"{layer}-{unit}.npy").exists()][:units]
        first = seconds_a_step(network, layer, chosen[0])
        na.render(network, f"{layer}:{chosen[0]}", steps=1)  # what is made once a layer is not counted twice below
        seeds = range(4 if len(chosen) < 32 else 1)  # a few seconds of work
        began = time.perf_counter()
        made, *_ = [na.render(network, [f"{layer}:{unit}" for unit in chosen], seed=seed) for seed in seeds]
        ours = (time.perf_counter() - began) / len(chosen) / len(seeds)
        second = seconds_a_step(network, layer, chosen[0])
        theirs = [np.load(folder / f"{layer}-{unit}.npy") for unit in chosen]
        fast = network.accelerated([layer])[0]
        old = [
            score(fast, layer, unit, picture, side=peers.LUCENT_NATIVE)
            for unit, picture in zip(chosen, theirs, strict=True)
        ]
        new = [score(fast, layer, unit, one.image) for unit, one in zip(chosen, made, strict=True)]
        report(layer, (first, second), ours, old, new)
        rows.append((layer, theirs[:8], [one.image for one in made[:8]], min(first, second) * STEPS, ours))
    print(f"most memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    if sheet is not None:
        draw(sheet, rows)


def report(layer: str, lucent: tuple[float, float], ours: float, old: list[Score], new: list[Score]) -> None:
    faster = min(lucent) * STEPS
    print(f"\n{layer}, {len(new)} units")
    print(
        f"  Lucent  {lucent[0] * 1000:.1f} and {lucent[1] * 1000:.1f} ms a step: {3600 / faster:.0f} units an hour at most"
    )
    print(f"  ours    {ours:.3f} s a unit: {3600 / ours:.0f} units an hour, {faster / ours:.0f} times as many")
    ratios = np.array([np.array(astuple(one)) / np.array(astuple(other)) for one, other in zip(new, old, strict=True)])
    for column, name in enumerate(("plain", "robust")):
        median, tenth = np.median(ratios[:, column]), np.quantile(ratios[:, column], 0.1)
        print(f"  {name:<7} score over Lucent's: median {median:.3f}, 10th percentile {tenth:.3f}")
    for name in ("saturation", "slope"):
        values = [np.array([getattr(one, name) for one in group]) for group in (new, old)]
        print(f"  {name:<10} ours {values[0].mean():.4f}, Lucent's {values[1].mean():.4f} (means)", flush=True)


def draw(path: Path, rows: list[tuple[str, list[np.ndarray], list[np.ndarray], float, float]], side: int = 150) -> None:
    """Lucent's and our pictures of the same units, row under row, with the time that one took."""
    from matplotlib.figure import Figure

    columns = max(len(theirs) for _, theirs, _, _, _ in rows)
    figure = Figure(figsize=(columns * 1.25 + 1.6, len(rows) * 2.75), layout="constrained")
    axes = figure.subplots(2 * len(rows), columns, squeeze=False)
    for number, (layer, theirs, ours, old, new) in enumerate(rows):
        for row, (pictures, label) in enumerate(((theirs, f"Lucent\n{old:.0f} s"), (ours, f"fast\n{new:.2f} s"))):
            for column in range(columns):
                cell = axes[2 * number + row, column]
                cell.set(xticks=[], yticks=[])
                for spine in cell.spines.values():
                    spine.set_visible(False)
                if column < len(pictures):
                    small = Image.fromarray(np.rint(pictures[column] * 255).astype(np.uint8))
                    cell.imshow(np.asarray(small.resize((side, side), Image.Resampling.BICUBIC)))
            axes[2 * number + row, 0].set_ylabel(
                f"{layer}\n{label}" if row == 0 else label, rotation=0, ha="right", va="center"
            )
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--layers", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    main(given.folder, given.units, given.layers, given.sheet)
