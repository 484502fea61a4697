"""One picture each by other tools with their own defaults, and by this package: seconds, scores, in one run.

.venv-benchmarks/bin/python benchmarks/others.py [TOOL...]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import peers
import torch
from score import score

import neuronatlas as na
from neuronatlas.networks.torch import TorchNetwork

LAYERS = {"blocks.1": ("_blocks.1", 3), "blocks.7": ("_blocks.7", 17), "conv_head": ("_conv_head", 430)}


def main(tools: list[str], layers: list[str]) -> None:
    peers.prepare()
    network = na.load("efficientnet-lite0")
    assert isinstance(network, TorchNetwork)
    print(f"{'tool':<14} {'layer':<10} {'seconds':>8} {'plain':>7} {'robust':>7} {'saturated':>9}")
    for layer in layers:
        module, unit = LAYERS[layer]
        fast = network.accelerated([layer])[0]
        for tool in ["this package", *tools]:
            torch.manual_seed(0)
            np.random.seed(0)  # noqa: NPY002 - some of them draw from it
            side = None
            began = time.perf_counter()
            if tool == "this package":
                picture = na.render(network, f"{layer}:{unit}").image
            else:
                make, side = peers.OTHERS[tool]
                picture = make(peers.Normalised(network), module, unit)
            seconds = time.perf_counter() - began
            found = score(fast, layer, unit, picture, side=side)
            print(
                f"{tool:<14} {layer:<10} {seconds:>8.1f} {found.plain:>7.2f} {found.robust:>7.2f} {found.saturation:>9.4f}",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tools", nargs="*", default=list(peers.OTHERS))
    parser.add_argument("--layers", nargs="*", default=list(LAYERS))
    given = parser.parse_args()
    main(given.tools, given.layers)
