"""Receptive fields, found by sending NaN through ever fewer columns of the input.

NaN passes every convolution, normalisation, pooling and ReLU, and stays out of what does not see it. Were the columns up
to p NaN, the middle of the layer would be NaN from its first column on; so both ends of its field are found by
bisection, all layers together. Where NaN does not pass, the answer is the input's width.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from neuronatlas.networks.base import Network


def receptive_fields(network: Network, layers: Iterable[str]) -> dict[str, int]:
    """For each of ``layers``, all of them maps, how many columns of the input its middle unit sees; 0 if none is found."""
    names = list(layers)
    first, last = _first_seen(network, names, mirrored=False), _first_seen(network, names, mirrored=True)
    return {name: network.input.size[1] - first[name] - last[name] for name in names}


def _first_seen(network: Network, layers: list[str], *, mirrored: bool) -> dict[str, int]:
    """The first column that the middle of each layer sees, counted from the left, or from the right if mirrored.

    The last one where it sees none, as of a function that hides NaN.
    """
    ends = dict.fromkeys(layers, (-1, network.input.size[1] - 1))
    while unsure := {name: (low + high) // 2 for name, (low, high) in ends.items() if high - low > 1}:
        hits = _spread(network, list(unsure), sorted(set(unsure.values())), mirrored=mirrored)
        for name, middle in unsure.items():
            low, high = ends[name]
            ends[name] = (low, middle) if hits[name, middle] else (middle, high)
    return {name: high for name, (_, high) in ends.items()}


def _spread(network: Network, layers: list[str], columns: list[int], *, mirrored: bool) -> dict[tuple[str, int], bool]:
    """Is the middle of each layer NaN when the input is, up to each of these columns (from the right if mirrored)?"""
    hits: dict[tuple[str, int], bool] = {}
    with torch.no_grad(), network.capture(layers) as run:
        for column in columns:
            image = network.blank()
            reached = image[..., -column - 1 :] if mirrored else image[..., : column + 1]
            reached.fill_(torch.nan)
            for name, output in run(image).items():
                hits[name, column] = bool(output[..., output.shape[3] // 2].isnan().any())
    return hits
