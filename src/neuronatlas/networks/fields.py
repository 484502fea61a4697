"""Receptive fields, found by sending NaN through parts of the input.

NaN passes every convolution, normalisation, pooling and ReLU, and stays out of what does not see it. Were the columns up
to p NaN, the middle of the layer would be NaN from its first column on; so both ends of its field are found by
bisection, all layers together. Where NaN does not pass, the answer is the input's width.

The fields of all positions are found one column, and one row, at a time: what becomes NaN by it sees it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Int64

if TYPE_CHECKING:
    from neuronatlas.networks.base import Network


@dataclass(frozen=True, eq=False)
class Fields:
    """What the positions of a layer's map see of the input, cut at the picture's edges.

    ``rows`` holds for each row of the map the first row of pixels that it sees and the one after the last, ``columns`` the
    same of columns.
    """

    rows: Int64[np.ndarray, "height 2"]
    columns: Int64[np.ndarray, "width 2"]

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """What one position sees, in pixels of the input: top, left, bottom and right, the last two not included."""
        (top, bottom), (left, right) = self.rows[row].tolist(), self.columns[column].tolist()
        return top, left, bottom, right


def fields_of(network: Network, layers: Iterable[str]) -> dict[str, Fields | None]:
    """For each of ``layers`` what its positions see, after as many forward passes as the input has rows and columns.

    None where it has no map, where every position sees the whole picture, and where NaN does not pass.
    """
    found: dict[str, Fields | None] = dict.fromkeys(layers)
    maps = [name for name in found if len(network.layer(name).shape) == 3]
    if not maps:
        return found
    rows, columns = _all_seen(network, maps, axis=2), _all_seen(network, maps, axis=3)
    for name in maps:
        if rows[name].any(0).all() and columns[name].any(0).all():
            fields = Fields(_ends(rows[name]), _ends(columns[name]))
            whole = (fields.rows == [0, len(rows[name])]).all() and (fields.columns == [0, len(columns[name])]).all()
            found[name] = None if whole else fields
    return found


def _all_seen(network: Network, layers: list[str], *, axis: int) -> dict[str, Bool[np.ndarray, "pixels positions"]]:
    """For each layer which of its rows (``axis`` 2) or columns (3) see which of the input's."""
    seen: dict[str, list[np.ndarray]] = {name: [] for name in layers}
    with torch.no_grad(), network.capture(layers) as run:
        for place in range(network.input.size[axis - 2]):
            image = network.blank()
            image.select(axis, place).fill_(torch.nan)
            for name, output in run(image).items():
                summed = output[0].sum(0)  # NaN where any unit is, and sooner found than by looking at each
                seen[name].append(summed.isnan().any(3 - axis).cpu().numpy())
    return {name: np.stack(each) for name, each in seen.items()}


def _ends(seen: Bool[np.ndarray, "pixels positions"]) -> Int64[np.ndarray, "positions 2"]:
    """The first that each position sees, and the one after the last."""
    return np.stack([seen.argmax(0), len(seen) - seen[::-1].argmax(0)], axis=1).astype(np.int64)


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
