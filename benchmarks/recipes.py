"""The fast recipe beside Lucid's, in one run, turn by turn: seconds a picture, score, saturated pixels.

    .venv/bin/python benchmarks/recipes.py [UNITS_A_LAYER]

Each score is the unit's mean activation for the finished picture at the picture's own size. Both recipes run in this
package's loop; the ratio of times is therefore that of the recipes, not of programs.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

import neuronatlas as na

LAYERS = ("blocks.1", "blocks.7", "head_bn")


def saturated(image: np.ndarray) -> float:
    """The share of numbers within 0.02 of black or white."""
    return float(((image < 0.02) | (image > 0.98)).mean())


def main(units: int) -> None:
    network = na.load("efficientnet-lite0")
    print(f"{'layer':<10} {'recipe':<6} {'s/picture':>9} {'score':>7} {'saturated':>9}   fast : lucid")
    for layer in LAYERS:
        found: dict[str, list[tuple[float, float, float]]] = {"lucid": [], "fast": []}
        for start in range(0, units, 4):
            group = [f"{layer}:{index}" for index in range(start, min(start + 4, units))]
            for preset, rows in found.items():
                began = time.perf_counter()
                made = na.render(network, group, preset=preset)
                seconds = (time.perf_counter() - began) / len(group)
                rows += [(seconds, rendering.score, saturated(rendering.image)) for rendering in made]
        for preset, rows in found.items():
            columns = [statistics.median(column) for column in zip(*rows, strict=True)]
            print(f"{layer:<10} {preset:<6} {columns[0]:>9.2f} {columns[1]:>7.2f} {columns[2]:>9.4f}", end="")
            if preset == "fast":
                pairs = list(zip(found["lucid"], rows, strict=True))
                speed = statistics.median(old[0] / new[0] for old, new in pairs)
                score = statistics.median(new[1] / old[1] for old, new in pairs)
                print(f"   {speed:.1f} times as fast at {score:.2f} of the score", end="")
            print(flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8)
