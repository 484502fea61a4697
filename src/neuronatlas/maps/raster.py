"""Pictures of values at scattered points: which point each pixel shows is worked out once, then a picture is a look-up.

Equal to ``scipy.interpolate.griddata`` with the methods "nearest" (masked to the convex hull) and "linear".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64, Int32

from neuronatlas.errors import UnknownName

if TYPE_CHECKING:
    from scipy.spatial import Delaunay

METHODS = ("nearest", "linear")


@dataclass(frozen=True, eq=False)
class Raster:
    """A square grid over -1..1, ``resolution`` samples a side with both ends, around ``positions`` within it.

    Row 0 of a picture is the lowest y, column 0 the lowest x. Points whose hull holds no pixel (fewer than three, or
    all but on a line) are drawn as though they had none: every pixel, and by "nearest" whatever the method.
    """

    positions: Float64[np.ndarray, "points 2"]
    resolution: int

    def draw(self, values: Float64[np.ndarray, " points"], method: str) -> Float64[np.ndarray, "rows columns"]:
        """The picture of one value a point, NaN outside the hull; a NaN value blanks what it would have coloured."""
        if method not in METHODS:
            raise UnknownName("method", method, METHODS)
        picture = np.full(self.resolution**2, np.nan)
        if method == "nearest" or self._flat:
            picture[self._inside] = values[self._nearest]
        else:
            corners, weights = self._corners
            picture[self._inside] = np.sum(values[corners] * weights, axis=1)
        return picture.reshape(self.resolution, self.resolution)

    @cached_property
    def _pixels(self) -> Float64[np.ndarray, "pixels 2"]:
        """The place of each pixel, row by row."""
        steps = np.linspace(-1.0, 1.0, self.resolution)
        x, y = np.meshgrid(steps, steps)
        return np.stack([x.ravel(), y.ravel()], axis=1)

    @cached_property
    def _triangles(self) -> Delaunay | None:
        """The Delaunay triangulation, or None where the points span no area."""
        from scipy.spatial import Delaunay, QhullError

        if len(self.positions) < 3:
            return None
        try:
            return Delaunay(self.positions)
        except QhullError:
            return None

    @cached_property
    def _simplices(self) -> Int32[np.ndarray, " pixels"]:
        """The triangle that holds each pixel, -1 outside the hull."""
        if self._triangles is None:
            return np.full(self.resolution**2, -1, dtype=np.int32)
        return self._triangles.find_simplex(self._pixels).astype(np.int32)

    @cached_property
    def _inside(self) -> Bool[np.ndarray, " pixels"]:
        return (self._simplices >= 0) | self._flat

    @cached_property
    def _flat(self) -> bool:
        """Whether the hull is too thin for any pixel to lie in it."""
        return not (self._simplices >= 0).any()

    @cached_property
    def _nearest(self) -> Int32[np.ndarray, " inside"]:
        """The nearest point of each pixel that is drawn."""
        from scipy.spatial import cKDTree

        return cKDTree(self.positions).query(self._pixels[self._inside])[1].astype(np.int32)

    @cached_property
    def _corners(self) -> tuple[Int32[np.ndarray, "inside 3"], Float64[np.ndarray, "inside 3"]]:
        """For each pixel inside the hull, the three points around it and their weights."""
        assert self._triangles is not None
        simplices = self._simplices[self._inside]
        transform = self._triangles.transform[simplices]
        offset = self._pixels[self._inside] - transform[:, 2]
        first = transform[:, 0, 0] * offset[:, 0] + transform[:, 0, 1] * offset[:, 1]
        second = transform[:, 1, 0] * offset[:, 0] + transform[:, 1, 1] * offset[:, 1]
        weights = np.stack([first, second, 1.0 - first - second], axis=1)
        return self._triangles.simplices[simplices].astype(np.int32), weights
