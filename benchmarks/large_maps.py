"""How long maps of very many units take, how much memory, and how good they are, on made-up responses of known kinds.

.venv/bin/python benchmarks/large_maps.py 50000x2000 200000x1000 --peer

Units by stimuli. The responses are those of 200 families of rectified features, in 20 super-families, with a share of
another family and noise of their own. ``--peer`` lays the same standardised responses out with openTSNE as it comes.
Each runs in a process of its own, so that the peak of memory is its own; it is taken before anything is scored. Seconds
are those of the clock, but for "processors": those of all processors together, which other work on the machine does not
change much.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

from neuronatlas.maps import LAYOUTS, morans_i, nearest_neighbours, standardise, trustworthiness
from neuronatlas.maps.layouts import canonical_order, neighbours_needed
from neuronatlas.maps.quality import map_neighbours
from neuronatlas.maps.search import exact

FAMILIES, SUPER_FAMILIES = 200, 20
HELD_OUT = 20
K = 15
SAMPLE = 500
COLUMNS = (
    "standardise",
    "order",
    "neighbours",
    "layout",
    "total",
    "processors",
    "GB",
    "found",
    "recall",
    "trust",
    "moran",
    "purity",
)


def responses(units: int, stimuli: int) -> tuple[np.ndarray, np.ndarray]:
    """Float32 responses of shape (stimuli, units), and the family of each unit."""
    random = np.random.default_rng(0)
    wide = random.standard_normal((SUPER_FAMILIES, stimuli), dtype=np.float32)
    features = (
        random.standard_normal((FAMILIES, stimuli), dtype=np.float32) + wide[np.arange(FAMILIES) % SUPER_FAMILIES]
    )
    values = np.empty((units, stimuli), dtype=np.float32)
    family = random.integers(FAMILIES, size=units)
    for start in range(0, units, 10_000):
        own = family[start : start + 10_000]
        part = values[start : start + 10_000]
        random.standard_normal(part.shape, dtype=np.float32, out=part)
        part += features[own]
        part += (
            0.7 * random.random((len(own), 1), dtype=np.float32) * features[random.integers(FAMILIES, size=len(own))]
        )
        part -= random.random((len(own), 1), dtype=np.float32)
        np.maximum(part, 0, out=part)
    return values.T, family


def ours(values: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """The places of this package's t-SNE, and the seconds that each step took."""
    clock = [time.perf_counter()]

    def lap() -> float:
        clock.append(time.perf_counter())
        return clock[-1] - clock[-2]

    rows = standardise(values, "pearson").rows
    took = {"standardise": lap()}
    order = canonical_order(rows, [str(unit) for unit in range(len(rows))])
    rows = rows[order]
    took["order"] = lap()
    near = nearest_neighbours(rows, max(30, neighbours_needed(len(rows), 30)))
    took |= {"neighbours": lap(), "found": near.recall}
    places = np.empty((len(rows), 2))
    places[order] = LAYOUTS["tsne"](rows, near, seed=0, perplexity=30)
    return places, took | {"layout": lap(), "total": clock[-1] - clock[0]}


def peer(values: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """The places of openTSNE with its own defaults, on all processors."""
    from openTSNE import TSNE

    began = time.perf_counter()
    rows = standardise(values, "pearson").rows
    standardised = time.perf_counter() - began
    places = np.array(TSNE(n_jobs=len(os.sched_getaffinity(0)), random_state=0).fit(rows))
    total = time.perf_counter() - began
    return places, {"standardise": standardised, "layout": total - standardised, "total": total}


def scores(values: np.ndarray, held_out: np.ndarray, family: np.ndarray, places: np.ndarray) -> dict[str, float]:
    """How good the places are; all but Moran's I on evenly spread units."""
    rows = standardise(values, "pearson").rows
    sample = np.unique(np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64))
    true = exact(rows[sample], rows, K, own=sample).indices
    near = map_neighbours(places, K)[sample]
    return {
        "recall": float(np.mean([np.isin(one, other).mean() for one, other in zip(true, near, strict=True)])),
        "trust": trustworthiness(rows, places, k=K, sample=SAMPLE // 2),
        "moran": float(morans_i(places, held_out).mean()),
        "purity": float(np.mean(family[near] == family[sample][:, None])),
    }


def one(who: str, size: str) -> dict[str, float]:
    """All that is to be told of one map."""
    units, stimuli = (int(number) for number in size.split("x"))
    values, family = responses(units, stimuli + HELD_OUT)
    before = time.process_time()
    places, told = {"ours": ours, "peer": peer}[who](values[:stimuli])
    told["processors"] = time.process_time() - before
    told["GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return told | scores(values[:stimuli], values[stimuli:], family, places)


def main() -> None:
    """Each map in its own process, a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="+", metavar="UNITSxSTIMULI")
    parser.add_argument("--peer", action="store_true", help="openTSNE on the same responses too")
    parser.add_argument("--only", choices=["ours", "peer"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(one(given.only, given.sizes[0])))
        return
    print(f"{'units x stimuli':>16} {'who':>5} " + " ".join(f"{column:>11}" for column in COLUMNS))
    for size in given.sizes:
        for who in ("ours", "peer") if given.peer else ("ours",):
            command = [sys.executable, __file__, size, "--only", who]
            told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            cells = (f"{told[column]:11.3f}" if column in told else f"{'':11}" for column in COLUMNS)
            print(f"{size:>16} {who:>5} " + " ".join(cells), flush=True)


if __name__ == "__main__":
    main()
