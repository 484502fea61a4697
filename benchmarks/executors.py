"""Two workers on Ray, of one thread each, against one worker: renderings of units of EfficientNet-Lite0 an hour.

    OMP_NUM_THREADS=1 python benchmarks/executors.py [--units N] [--layer LAYER] [--repeats N]

Each task renders one unit. What is timed is the work: from the moment that every worker of a run has given a result, so that
starting Ray, opening the network and what is made once a layer are in neither figure, to the last result.
The pictures of both runs have to be the same bytes. With two free processors, two workers are to do 1.6 times as much.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import neuronatlas as na
from neuronatlas.executors.ray import Ray

GOAL = 1.6


@dataclass(frozen=True)
class Opening:
    """Opens what renders one unit of ``layer``."""

    layer: str

    def __call__(self) -> Callable[[int], bytes]:
        import torch

        torch.set_num_threads(1)
        network = na.load("efficientnet-lite0")

        def worker(unit: int) -> bytes:
            picture = na.render(network, f"{self.layer}:{unit}").image.tobytes()
            return os.getpid().to_bytes(8, "little") + picture

        return worker


def units_an_hour(workers: int, layer: str, units: int) -> tuple[float, dict[int, bytes]]:
    """And the pictures of the units."""
    pictures: dict[int, bytes] = {}
    seen: set[bytes] = set()
    times: list[float] = []  # of the results since every worker has given one
    for unit, result in Ray(workers, address="local").run(Opening(layer), range(units)):
        assert isinstance(result, bytes), result
        process, pictures[unit] = result[:8], result[8:]
        seen.add(process)
        if len(seen) == workers:
            times.append(time.perf_counter())
    assert len(times) > units / 2, "one worker was ready much later than the other"
    return (len(times) - 1) * 3600 / (times[-1] - times[0]), pictures


def main(layer: str, units: int, repeats: int) -> None:
    ratios = []
    for _ in range(repeats):
        alone, first = units_an_hour(1, layer, units)
        together, second = units_an_hour(2, layer, units)
        assert first == second, "the pictures differ"
        ratios.append(together / alone)
        print(f"{layer}: one worker {alone:.0f} units an hour, two {together:.0f}: {ratios[-1]:.2f} times", flush=True)
    print(f"median {statistics.median(ratios):.2f} times; goal {GOAL}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layer", default="blocks.8")
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    main(given.layer, given.units, given.repeats)
