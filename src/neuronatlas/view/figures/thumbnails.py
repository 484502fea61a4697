"""Pictures of units laid on a map at the places of the units, as many as fit without touching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64, UInt8

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GAP = 0.92
"""The side of a picture by the distance between the two that lie nearest."""
LARGEST = 0.5
"""The side of a picture on a map that spans 2."""
LEAST_MM = 3.0
"""On smaller pictures nothing can be seen."""


def spread(
    positions: Float64[np.ndarray, "points 2"], count: int, closest: float = 0.0
) -> tuple[Int64[np.ndarray, " chosen"], float]:
    """At most ``count`` points far from each other, and the distance of the two that lie nearest.

    The first is the one nearest to the middle, each next the one farthest from all before, as long as that is farther
    than ``closest``. Distances are those of squares: the larger of the two differences.
    """
    first = int(np.argmin(np.abs(positions).max(axis=1)))
    chosen, least = [first], float("inf")
    away = np.abs(positions - positions[first]).max(axis=1)
    while len(chosen) < min(count, len(positions)):
        farthest = int(np.argmax(away))
        if away[farthest] <= closest:
            break
        chosen.append(farthest)
        least = float(away[farthest])
        away = np.minimum(away, np.abs(positions - positions[farthest]).max(axis=1))
    return np.array(chosen), least


def lay_pictures(
    ax: Axes,
    positions: Float64[np.ndarray, "points 2"],
    images: Sequence[UInt8[np.ndarray, "height width 3"]],
    *,
    side: float,
    frames: Sequence[str],
) -> None:
    """Pictures ``side`` wide in the map's own measure, each with its middle at its position and a frame of its colour."""
    from matplotlib.patches import Rectangle

    for (x, y), image, frame in zip(positions, images, frames, strict=True):
        half = side / 2 * np.array(image.shape[1::-1]) / max(image.shape[:2])
        edges = (x - half[0], x + half[0], y - half[1], y + half[1])
        ax.imshow(image, extent=edges, zorder=5)
        corner = (x - half[0], y - half[1])
        ax.add_patch(Rectangle(corner, *(2 * half), fill=False, edgecolor=frame, linewidth=0.8, zorder=6))
    reach = 1.03 + side / 2
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
