"""Lucent's pictures of 512 steps for the units that `speed.py` scores, kept in a folder; goes on where it was stopped.

    .venv-benchmarks/bin/python benchmarks/lucent_pictures.py benchmarks/.pictures

Lucent's own code makes them, on a copy of the network that ends at the layer and has its batch norms folded, which
changes rounding alone and saves half the time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import peers
import torch
from torch import Tensor, nn

import neuronatlas as na
from neuronatlas.networks.allocator import keep_pages

SETS = {
    # our name of the layer, the module's, and the units: none of them was used to choose a setting
    "blocks.1": ("_blocks.1", range(24)),
    "blocks.7": ("_blocks.7", [unit for unit in range(80) if unit % 5]),
    "conv_head": ("_conv_head", range(10, 1290, 20)),
}
SPREAD = [place * 27 % 64 for place in range(64)]
"""An order in which the first few units are spread over the layer as well."""


def in_order(layer: str) -> list[int]:
    """The units of a layer in the order in which they are made."""
    units = list(SETS[layer][1])
    return [units[place] for place in SPREAD if place < len(units)]


class Cut(nn.Module):
    """The network up to one layer."""

    def __init__(self, layer: str) -> None:
        super().__init__()
        network = na.load("efficientnet-lite0")
        fast = network.accelerated([layer])[0]
        self.fast, self.layer = fast, layer
        self.net = fast.module
        self.net.requires_grad_(False)

    def forward(self, images: Tensor) -> None:
        # Lucent's hooks on the module are called before this one ends the pass.
        with self.fast.capture([self.layer]) as run:
            run(images)


def main(folder: Path) -> None:
    peers.prepare()
    keep_pages()
    folder.mkdir(parents=True, exist_ok=True)
    models = {layer: Cut(layer) for layer in SETS}
    for turn in range(64):
        for layer, (module, _) in SETS.items():
            order = in_order(layer)
            if turn >= len(order) or (path := folder / f"{layer}-{order[turn]}.npy").exists():
                continue
            np.random.seed(order[turn])  # noqa: NPY002 - Lucent draws from it
            torch.manual_seed(order[turn])
            np.save(path, peers.lucent(models[layer], module, order[turn]))
            print(layer, order[turn], flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
