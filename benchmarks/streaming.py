"""Moments, extremes and a sketch of a table of a million units that is never held: seconds, memory, and the sketch's error.

    OMP_NUM_THREADS=1 python benchmarks/streaming.py [1000000] [--stimuli 1024 2048 4096] [--at-once 32]

The responses are made up a few stimuli at a time: rectified units of 200 families in 20 super-families, with noise of their
own. Each number of stimuli runs in a process of its own, so that the peak of memory is its own; "base" is what the process
took before it began. Correlations of 2,000 units, evenly spread, are compared with exact ones: all pairs, and those that
correlate by more than 0.3. The goals are 10 minutes, 6 GB at a million units, and an error of at most 0.03.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np

from neuronatlas.maps import Extremes, Moments, Sketch, standardise

FAMILIES, SUPER_FAMILIES = 200, 20
COMPARED = 2000
BEST = 9
COLUMNS = ("making", "moments", "extremes", "sketch", "total", "base GB", "peak GB", "error", "expected", "correlated")


def blocks(units: int, stimuli: int, at_once: int) -> Iterator[tuple[int, np.ndarray]]:
    """The number of the first stimulus and the responses of a few stimuli, again and again in the same memory."""
    random = np.random.default_rng(0)
    family = random.integers(FAMILIES, size=units)
    own = random.random(units, dtype=np.float32)
    table = np.empty((at_once, units), dtype=np.float32)
    for start in range(0, stimuli, at_once):
        wide = random.standard_normal((at_once, SUPER_FAMILIES), dtype=np.float32)
        features = random.standard_normal((at_once, FAMILIES), dtype=np.float32)
        features += wide[:, np.arange(FAMILIES) % SUPER_FAMILIES]
        for row, feature in zip(table, features, strict=True):
            random.standard_normal(units, dtype=np.float32, out=row)
            row += feature[family]
            row -= own
            np.maximum(row, 0, out=row)
        yield start, table[: stimuli - start]


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def one(units: int, stimuli: int, at_once: int) -> dict[str, float]:
    """All that is to be told of one number of stimuli."""
    took = dict.fromkeys(("making", "moments", "extremes", "sketch"), 0.0)
    compared = np.unique(np.linspace(0, units - 1, COMPARED).astype(np.int64))
    subset = np.empty((stimuli, len(compared)), dtype=np.float32)
    moments: Moments | None = None
    extremes: Extremes | None = None
    sketch: Sketch | None = None
    told = {"base GB": peak()}
    clock = time.perf_counter()

    def lap(what: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        took[what] += now - clock
        clock = now

    for start, values in blocks(units, stimuli, at_once):
        subset[start : start + len(values)] = values[:, compared]
        lap("making")
        found = Moments.of(values, start)
        moments = found if moments is None else Moments.merge([moments, found])
        lap("moments")
        extremes = Extremes.of(values, start, BEST) if extremes is None else extremes.extended(values, start)
        lap("extremes")
        part = Sketch.of(values, found)
        if sketch is None:
            sketch = Sketch.merge([part])
        else:
            sketch.add(part)
        lap("sketch")
    assert moments is not None
    assert sketch is not None
    assert extremes is not None
    told |= took | {"total": sum(took.values()) - took["making"], "peak GB": peak(), "expected": sketch.error}
    rows = sketch.standardised(moments, compared).rows
    exact = standardise(subset, "pearson").rows
    true = (exact @ exact.copy().T)[np.triu_indices(len(compared), 1)]
    wrong = (rows @ rows.copy().T)[np.triu_indices(len(compared), 1)] - true
    close = np.abs(true) > 0.3
    return told | {
        "error": float(np.sqrt(np.mean(wrong**2))),
        "correlated": float(np.sqrt(np.mean(wrong[close] ** 2))),
    }


def main() -> None:
    """Each number of stimuli in its own process, a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("units", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--stimuli", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--only", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(one(given.units, given.stimuli[0], given.at_once)))
        return
    print(f"{'units x stimuli':>16} " + " ".join(f"{column:>10}" for column in COLUMNS))
    for stimuli in given.stimuli:
        command = [sys.executable, __file__, str(given.units), "--stimuli", str(stimuli), "--only"]
        command += ["--at-once", str(given.at_once)]
        told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        size = f"{given.units}x{stimuli}"
        print(f"{size:>16} " + " ".join(f"{told[column]:10.4f}" for column in COLUMNS), flush=True)


if __name__ == "__main__":
    main()
