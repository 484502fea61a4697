"""Pictures of values at scattered points: which point each pixel shows is worked out once, then a picture is a look-up.

Equal to ``scipy.interpolate.griddata`` with the methods "nearest" (masked to the convex hull) and "linear".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from neuronatlas.errors import UnknownName, WrongInput

if TYPE_CHECKING:
    from scipy.spatial import Delaunay

METHODS = ("nearest", "linear")
MASKS = ("hull", "near", "none")
REACH = 1.5
"""How far "near" lets a point colour pixels, in the mean distance to its nearest points. Among points at random in the
plane a pixel lies farther from all of them once in a thousand (exp(-pi reach^2), that mean being about 1/sqrt(density))."""
_SPACING = 6
"""Over so many of the nearest points the spacing around a point is the mean."""
_WIDEST = 0.95
"""A point is given no more room than this share of all points ask for: a lonely one would colour a wide empty field."""


@dataclass(frozen=True, eq=False)
class Raster:
    """A square grid over -1..1, ``resolution`` samples a side with both ends, around ``positions`` within it.

    Row 0 of a picture is the lowest y, column 0 the lowest x. ``mask`` says which pixels stay blank: "hull", those
    outside the convex hull of the points (where the hull holds no pixel, with fewer than three points, or all but on a
    line: none, and "linear" draws as "nearest"); "near", those farther from the nearest point than `REACH` times the
    spacing of the points around it, so that no point fills a wide empty field; "none", no pixel. Outside the hull
    "linear" has nothing to draw from: there it shows the nearest point.
    """

    positions: Float64[np.ndarray, "points 2"]
    resolution: int
    mask: str = "hull"

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if self.mask not in MASKS:
            raise UnknownName("mask", self.mask, MASKS)
        if self.resolution < 2:
            message = f"resolution {self.resolution} must be at least 2 pixels a side: 1000 is usual"
            raise WrongInput(message)
        if not len(self.positions) or not np.isfinite(self.positions).all():
            message = f"positions of {len(self.positions)} units must hold one or more places, each of them finite"
            raise WrongInput(message)

    def draw(self, values: Float64[np.ndarray, " points"], method: str = "nearest") -> Float64[np.ndarray, "side side"]:
        """The picture of one value a point, NaN where blank; a NaN value blanks what it would have coloured."""
        if method not in METHODS:
            raise UnknownName("method", method, METHODS)
        if len(values) != len(self.positions):
            message = f"values of {len(values)} units must be one for each of the {len(self.positions)} positions"
            raise WrongInput(message)
        blank = np.append(values, np.nan)  # the last one is what pixels without a point show
        picture = np.take(blank, self._owner, mode="clip") if method == "nearest" else self._mixing @ blank
        return picture.reshape(self.resolution, self.resolution)

    @property
    def labels(self) -> Int64[np.ndarray, "side side"]:
        """The point that each pixel shows by "nearest", -1 where blank."""
        owner = np.where(self._owner < len(self.positions), self._owner, -1)
        return owner.reshape(self.resolution, self.resolution)

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
    def _flat(self) -> bool:
        """Whether the hull is too thin for any pixel to lie in it."""
        return not (self._simplices >= 0).any()

    @cached_property
    def _owner(self) -> Int64[np.ndarray, " pixels"]:
        """The nearest point of each pixel, ``len(positions)`` where it is blank."""
        from scipy.spatial import cKDTree

        points = len(self.positions)
        tree = cKDTree(self.positions)
        if self.mask == "hull" and not self._flat:
            owner = np.full(self.resolution**2, points)
            inside = self._simplices >= 0
            owner[inside] = tree.query(self._pixels[inside])[1]
            return owner
        distance, nearest = tree.query(self._pixels)
        owner = nearest.astype(np.int64)
        if self.mask == "near" and points > 1:
            owner[distance > self._reach[owner]] = points
        return owner

    @cached_property
    def _reach(self) -> Float64[np.ndarray, " points"]:
        """How far from a point "near" colours: never less than to the pixels around it, nor than half the points do."""
        from scipy.spatial import cKDTree

        count = min(_SPACING, len(self.positions) - 1)
        spacing = cKDTree(self.positions).query(self.positions, k=count + 1)[0][:, 1:].mean(axis=1)
        usual, widest = np.quantile(spacing, [0.5, _WIDEST])
        pixel = 2.0 / (self.resolution - 1)
        return np.maximum(REACH * np.clip(spacing, usual, widest), pixel)

    @cached_property
    def _mixing(self) -> Any:
        """The share of each point (the last one: nothing) in each pixel by "linear", as a sparse matrix."""
        from scipy.sparse import csr_array

        owner, inside = self._owner, self._simplices >= 0
        mixed = inside & (owner < len(self.positions))
        corners, weights = self._corners(mixed)
        entries = np.where(mixed, 3, 1)
        starts = np.concatenate([[0], np.cumsum(entries)]).astype(np.int32)
        columns, shares = np.empty(starts[-1], dtype=np.int32), np.ones(starts[-1])
        columns[starts[:-1][~mixed]] = owner[~mixed]
        for corner in range(3):
            columns[starts[:-1][mixed] + corner] = corners[:, corner]
            shares[starts[:-1][mixed] + corner] = weights[:, corner]
        return csr_array((shares, columns, starts), shape=(len(owner), len(self.positions) + 1))

    def _corners(
        self, mixed: Bool[np.ndarray, " pixels"]
    ) -> tuple[Int32[np.ndarray, "mixed 3"], Float64[np.ndarray, "mixed 3"]]:
        """For each of these pixels, all inside the hull, the three points around it and their weights."""
        if self._triangles is None:
            return np.zeros((0, 3), dtype=np.int32), np.zeros((0, 3))
        simplices = self._simplices[mixed]
        transform = self._triangles.transform[simplices]
        offset = self._pixels[mixed] - transform[:, 2]
        first = transform[:, 0, 0] * offset[:, 0] + transform[:, 0, 1] * offset[:, 1]
        second = transform[:, 1, 0] * offset[:, 0] + transform[:, 1, 1] * offset[:, 1]
        weights = np.stack([first, second, 1.0 - first - second], axis=1)
        return self._triangles.simplices[simplices].astype(np.int32), weights
