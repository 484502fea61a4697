"""How good maps are, and how long they take: this package's, two t-SNE packages' by their defaults, and the recipe of
neural-response-map, on one network trained on the spot and, with --large, on every convolution of EfficientNet-Lite0.

.venv/bin/python benchmarks/map_quality.py [--large] [--only WORD]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import neuronatlas as na
from neuronatlas import stimuli
from neuronatlas.maps import standardise, trustworthiness
from neuronatlas.maps.correlation import nearest_neighbours
from neuronatlas.maps.drawing.grid import equal_area_grid
from neuronatlas.maps.quality import continuity, neighbour_correlation, neighbour_recall, topography
from neuronatlas.maps.scale import onto_range, usual_range
from neuronatlas.maps.stability import disparity, overlap

K, SIDE = 15, 16
MOST_FOR_THE_OLD_RECIPE = 10_000
"""Its memory grows with the square of the units: 24 GB are gone near 24,000."""
HEAD = (
    "trust",
    "contin.",
    "recall",
    "ratio",
    "Moran",
    "null",
    "p",
    "on grid",
    "disp.",
    "overlap",
    "warm d.",
    "warm o.",
    "seconds",
    "CPU s",
)

Place = Callable[[na.Responses, na.ResponseMap | None], tuple[np.ndarray, na.ResponseMap | None]]


@dataclass(frozen=True)
class Row:
    """A way to make maps, and the correlation by which they are scored."""

    name: str
    correlation: str
    place: Place
    warm: bool = False


def ours(correlation: str) -> Place:
    def place(table: na.Responses, like: na.ResponseMap | None) -> tuple[np.ndarray, na.ResponseMap]:
        fitted = na.ResponseMap(correlation=correlation).fit(table, like=like)
        return fitted.positions, fitted

    return place


def components(table: na.Responses) -> np.ndarray:
    """Units as points: standardised, on their first 50 principal components."""
    from sklearn.decomposition import PCA

    return PCA(50, random_state=0).fit_transform(standardise(table.values, "pearson").rows)


def by_opentsne(table: na.Responses, like: object) -> tuple[np.ndarray, None]:
    from openTSNE import TSNE

    return np.asarray(TSNE(random_state=0).fit(components(table)), dtype=np.float64), None


def by_scikit_learn(table: na.Responses, like: object) -> tuple[np.ndarray, None]:
    from sklearn.manifold import TSNE

    return TSNE(random_state=0).fit_transform(components(table)).astype(np.float64), None


def by_the_old_recipe(table: na.Responses, like: object) -> tuple[np.ndarray, None]:
    from scipy.stats import spearmanr
    from sklearn.manifold import TSNE

    distances = np.clip(1 - spearmanr(table.values.astype(np.float64)).statistic, 0, None)
    tsne = TSNE(metric="precomputed", init="random", learning_rate=200.0, random_state=0)
    return tsne.fit_transform(distances).astype(np.float64), None


ROWS = (
    Row("neuronatlas, Pearson", "pearson", ours("pearson"), warm=True),
    Row("neuronatlas, Spearman", "spearman", ours("spearman"), warm=True),
    Row("openTSNE, defaults", "pearson", by_opentsne),
    Row("scikit-learn, defaults", "pearson", by_scikit_learn),
    Row("neural-response-map's recipe", "spearman", by_the_old_recipe),
)


def digits() -> tuple[na.Responses, na.Responses]:
    """Every position of three convolutions and two dense layers looking at 1,200 digits, and at the others."""
    data = load_digits()
    images = torch.from_numpy(data.images.astype(np.float32) / 16)[:, None]
    images = nn.functional.interpolate(images, size=(SIDE, SIDE), mode="bilinear").clamp(0, 1)
    targets = torch.from_numpy(data.target)
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 24, 3, padding=1), nn.ReLU(),
        nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(24 * 16, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    fit, held_out = order[:1200], order[1200:]
    optimiser = torch.optim.Adam(module.parameters(), 2e-3)
    for _ in range(15):
        for batch in fit[torch.randperm(1200)].split(50):
            optimiser.zero_grad()
            nn.functional.cross_entropy(module(images[batch]), targets[batch]).backward()
            optimiser.step()
    with torch.no_grad():
        right = (module.eval()(images[held_out]).argmax(1) == targets[held_out]).float().mean()
    network = na.as_network(module, input_size=SIDE, normalise=((0.0,), (1.0,)))
    pictures = images.permute(0, 2, 3, 1).numpy()
    layers = ["1", "4", "6", "10", "11"]
    tables = [na.record(network, pictures[part.numpy()], layers=layers, reduce="none") for part in (fit, held_out)]
    print(f"digits: {right:.1%} of {len(held_out)} held-out digits right")
    return tables[0], tables[1]


def efficientnet() -> tuple[na.Responses, na.Responses]:
    """Every convolution of EfficientNet-Lite0 over seven tenths of the demonstration's stimuli, and over the others."""
    network = na.load("efficientnet-lite0")
    layers = [name for name, layer in network.layers.items() if layer.kind == "convolution"]
    table = na.record(network, stimuli.photographs() + stimuli.vision_science(), layers=layers)
    order = np.random.default_rng(0).permutation(len(table.stimuli))
    cut = 7 * len(order) // 10
    parts = [table.select(stimuli=np.sort(part).tolist()) for part in (order[:cut], order[cut:])]
    return parts[0], parts[1]


def scores(row: Row, fit: na.Responses, held_out: na.Responses) -> list[float]:
    began, began_cpu = time.perf_counter(), time.process_time()
    positions, _ = row.place(fit, None)
    seconds, processor = time.perf_counter() - began, time.process_time() - began_cpu
    rows = standardise(fit.values, row.correlation).rows
    near = nearest_neighbours(rows, K)
    sample = 2000
    levels = onto_range(held_out.values.astype(np.float64), *usual_range(fit.values, "percentile"))
    found = topography(positions, levels)
    dealt = np.random.default_rng(0).permutation(len(fit.stimuli))
    half = len(dealt) // 2
    first, second = (fit.select(stimuli=np.sort(part).tolist()) for part in (dealt[:half], dealt[half:]))
    one, before = row.place(first, None)
    two, _ = row.place(second, None)
    again = row.place(second, before)[0] if row.warm else np.full_like(one, np.nan)
    return [
        trustworthiness(rows, positions, k=K, sample=sample),
        continuity(rows, positions, k=K, sample=sample),
        neighbour_recall(near, positions, k=K),
        neighbour_correlation(rows, near, positions, k=K),
        found.moran,
        found.null_mean,
        found.p,
        topography(equal_area_grid(positions).positions, levels, permutations=1).moran,
        disparity(one, two),
        overlap(one, two, k=K),
        disparity(one, again) if row.warm else np.nan,
        overlap(one, again, k=K) if row.warm else np.nan,
        seconds,
        processor,
    ]


def compare(name: str, fit: na.Responses, held_out: na.Responses, only: str) -> None:
    halves = np.array_split(np.random.default_rng(0).permutation(len(fit.stimuli)), 2)
    live = ~np.any([standardise(fit.values[np.sort(part)], "pearson").constant for part in halves], axis=0)
    live &= np.ptp(fit.values, axis=0) > 0
    kept = np.flatnonzero(live).tolist()
    fit, held_out = fit.select(units=kept), held_out.select(units=kept)
    print(f"{name}: {len(kept)} live units, {len(fit.stimuli)} stimuli to fit, {len(held_out.stimuli)} held out")
    print(f"{'':<30}" + "".join(f"{word:>9}" for word in HEAD), flush=True)
    for row in ROWS:
        if only in row.name and (row.place is not by_the_old_recipe or len(kept) <= MOST_FOR_THE_OLD_RECIPE):
            numbers = scores(row, fit, held_out)
            shown = "".join(f"{'-':>9}" if np.isnan(each) else f"{each:>9.3f}" for each in numbers[:-2])
            print(f"{row.name:<30}{shown}{numbers[-2]:>9.1f}{numbers[-1]:>9.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--large", action="store_true", help="EfficientNet-Lite0 as well: some 20 minutes")
    parser.add_argument("--only", default="", help="rows that have this word in their name")
    asked = parser.parse_args(sys.argv[1:])
    print(f"{K} neighbours on the map; {torch.get_num_threads()} threads")
    compare("digits", *digits(), asked.only)
    if asked.large:
        compare("EfficientNet-Lite0", *efficientnet(), asked.only)


if __name__ == "__main__":
    main()
