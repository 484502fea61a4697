"""How a map is drawn: responses as numbers of its scale, as pictures, on Axes, many at once, as a film."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps import drawing
from neuronatlas.maps.drawing.colouring import Colouring, about_zero, levels
from neuronatlas.maps.drawing.grid import Grid
from neuronatlas.maps.levels import Levels, Values
from neuronatlas.maps.raster import METHODS, Raster
from neuronatlas.maps.scale import DEVIATION
from neuronatlas.table import Responses
from neuronatlas.units import Unit

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.colors
    import matplotlib.figure

Picture = Float64[np.ndarray, "side side"]

RASTERS = (*METHODS, "grid")
WAYS = (*RASTERS, "points")
_INCH_MM = 25.4
_DRAWN = "neuronatlas"
"""Begins the gid of what is drawn, which says how: outlines and names that follow go by it."""


@dataclass(frozen=True, eq=False)
class Pictures(Levels):
    """A fitted map that can be drawn.

    ``values`` is what `Levels` takes. ``method`` is
    "nearest" (each pixel shows its nearest unit), "linear" (the plane through the three units around it), "grid" (each
    unit a cell of the same size, near the units that it lies near) or, where Axes are drawn on, "points".
    """

    _rasters: dict[tuple[int, str], Raster] = field(default_factory=dict, init=False, repr=False)
    _grids: list[Grid] = field(default_factory=list, init=False, repr=False)

    def raster(self, values: Values, method: str = "nearest", resolution: int = 1000, *, mask: str = "hull") -> Picture:
        """The picture that `draw` shows, over -1..1 both ways; row 0 is the lowest y; NaN where blank.

        ``mask`` says what of "nearest" and "linear" is blank: outside the convex hull of the units ("hull"), far from
        all units ("near"), or nothing ("none"); see `raster.Raster`. "grid" has one pixel a cell, whatever the
        ``resolution``.
        """
        return self._picture(self.normalise(values), method, resolution, mask)

    def draw(
        self,
        values: Values,
        *,
        method: str = "nearest",
        cmap: str | matplotlib.colors.Colormap | None = None,
        ax: matplotlib.axes.Axes | None = None,
        size: tuple[float, float] = (5, 5),
        resolution: int = 1000,
        mask: str = "hull",
        legend: bool = True,
    ) -> matplotlib.axes.Axes:
        """The map coloured by responses.

        Without ``ax`` a figure of ``size`` inches is made that belongs to the Axes alone: nothing opens, and pyplot
        does not know it. Save it with `drawing.save_figure`, or ``.figure.savefig(...)``. The y axis points upwards, as
        in a scatter of `positions` (neural-response-map draws it downwards). ``cmap``: viridis, or for deviations a
        diverging map of blue and red.
        """
        _check_way(method, WAYS)
        found = self.normalise(values)
        colouring = self._colouring(found) if cmap is None else replace(self._colouring(found), cmap=cmap)
        _ = colouring.colours  # refuses a name that matplotlib does not know, before anything is made
        ways = {"resolution": resolution, "mask": mask}
        picture = None if method == "points" else self._picture(found, method, **ways)  # type: ignore[arg-type]
        if ax is None:
            ax = drawing.new_axes(size[0] * _INCH_MM, size[1] * _INCH_MM)
        shown: Any
        if picture is None:
            shown = drawing.draw_points(ax, *self._placed(found), colouring)
        else:
            shown = drawing.draw_picture(ax, picture, colouring)
        shown.set_gid(f"{_DRAWN} {method} {mask}")
        if legend:
            drawing.add_legend(shown, [ax], colouring, found[np.isfinite(found)])
        return ax

    def draw_layers(
        self, *, ax: matplotlib.axes.Axes | None = None, size: tuple[float, float] = (5, 5)
    ) -> matplotlib.axes.Axes:
        """A dot for each unit in the colour of its layer; ``ax`` and ``size`` as in `draw`."""
        if ax is None:
            ax = drawing.new_axes(size[0] * _INCH_MM, size[1] * _INCH_MM)
        self._some()
        placed = np.flatnonzero(self._fitted.varies)  # copies too: otherwise whole layers would be missing
        layers = [self._fitted.responses.units[unit].layer for unit in placed]
        drawing.draw_layers(ax, self._fitted.positions[placed], layers)
        return ax

    def outline_layers(
        self, ax: matplotlib.axes.Axes, *, resolution: int = 1000, only: Sequence[str] | None = None
    ) -> None:
        """Lines around the regions of each layer (or of these layers ``only``), over the map that was drawn on ``ax``."""
        method, mask = _drawn_on(ax)
        placed = np.flatnonzero(self._some())
        layers = [self._fitted.responses.units[unit].layer for unit in placed]
        if method == "points":
            message = "ax shows the map as points, which have no regions: draw it by 'nearest', 'linear' or 'grid'"
            raise WrongInput(message)
        cells = self._cells(method)
        drawing.outline_layers(
            ax, self._raster(resolution, mask).labels if cells is None else cells.labels, layers, only
        )

    def name_units(self, ax: matplotlib.axes.Axes, units: Sequence[Unit | str]) -> None:
        """The addresses of a few units beside the map that was drawn on ``ax``, each with a line to its place there."""
        method, _ = _drawn_on(ax)
        row = {str(unit): index for index, unit in enumerate(self._fitted.responses.units)}
        positions = self._fitted.positions.copy()
        if (cells := self._cells(method)) is not None:
            positions[self._some()] = cells.positions
            leader = self._fitted.leader
            positions[self._fitted.varies] = positions[leader[self._fitted.varies]]
        named = {}
        for unit in units:
            if str(unit) not in row:
                raise UnknownName("unit", str(unit), row)
            named[row[str(unit)]] = str(unit)
        drawing.name_units(ax, positions, named)

    def draw_many(
        self,
        sets: Mapping[str, Values],
        *,
        method: str = "nearest",
        resolution: int = 500,
        mask: str = "hull",
        columns: int | None = None,
        width_mm: float = 180.0,
    ) -> tuple[matplotlib.figure.Figure, dict[str, matplotlib.axes.Axes]]:
        """Small multiples: one map for each title and its values, all on one scale with one legend; and their Axes."""
        _check_way(method, RASTERS)
        found = {title: self.normalise(values) for title, values in sets.items()}
        pictures = {title: self._picture(each, method, resolution, mask) for title, each in found.items()}
        return drawing.small_multiples(pictures, self._colouring(*found.values()), columns=columns, width_mm=width_mm)

    def draw_situations(
        self,
        labels: Sequence[str] | None = None,
        *,
        method: str = "grid",
        resolution: int = 500,
        mask: str = "hull",
        columns: int | None = None,
        width_mm: float = 180.0,
    ) -> tuple[matplotlib.figure.Figure, dict[str, matplotlib.axes.Axes]]:
        """The expected map under each label (default: those of the fitted stimuli): see `draw_many`."""
        responses = self._fitted.responses
        given = responses.labels if labels is None else tuple(labels)
        kinds = [label for label in dict.fromkeys(given) if label != ""]
        if len(given) != len(responses.stimuli):
            message = f"labels hold {len(given)} for {len(responses.stimuli)} stimuli: give one for each"
            raise WrongInput(message)
        if not kinds:
            message = "labels are all empty: give each stimulus one, or record a folder whose sub-folders are classes"
            raise WrongInput(message)
        sets: dict[str, Values] = {
            str(kind): responses.values[[row for row, label in enumerate(given) if label == kind]] for kind in kinds
        }
        return self.draw_many(sets, method=method, resolution=resolution, mask=mask, columns=columns, width_mm=width_mm)

    def compare(
        self,
        first: tuple[str, Values],
        second: tuple[str, Values],
        *,
        method: str = "nearest",
        resolution: int = 500,
        mask: str = "hull",
        cmap: str | matplotlib.colors.Colormap | None = None,
        width_mm: float = 180.0,
    ) -> tuple[matplotlib.figure.Figure, dict[str, matplotlib.axes.Axes]]:
        """Two sets of stimuli, each with a title, and the difference between them as effect sizes (`effects`).

        ``cmap`` is that of the two sets.
        """
        _check_way(method, RASTERS)
        if first[0] == second[0]:
            message = f"first and second are both called {first[0]!r}: give each its own title"
            raise WrongInput(message)
        found = {title: self.normalise(values) for title, values in (first, second)}
        effects = self.effects(first[1], second[1])
        if np.isnan(effects).all():
            message = (
                "first and second are together fewer than three stimuli: an effect size needs a spread within them"
            )
            raise WrongInput(message)
        pictures = {title: self._picture(each, method, resolution, mask) for title, each in found.items()}
        return drawing.first_against_second(
            pictures,
            self._picture(effects, method, resolution, mask),
            self._colouring(*found.values()) if cmap is None else replace(self._colouring(*found.values()), cmap=cmap),
            about_zero("effect", effects),
            width_mm=width_mm,
        )

    def film(
        self,
        path: str | os.PathLike[str],
        frames: Iterable[Values] | Responses,
        names: Sequence[str] | None = None,
        *,
        method: str = "nearest",
        resolution: int = 480,
        mask: str = "hull",
        rate: float = 8.0,
    ) -> None:
        """Write a film (.gif, .png or .mp4) of the map over a sequence; of `Responses` a frame for each stimulus."""
        _check_way(method, RASTERS)
        if isinstance(frames, Responses):
            names = frames.stimuli if names is None else names
            frames = list(self._table(frames))
        shown: list[Values] = [frames] if isinstance(frames, str) else list(frames)
        found = [self.normalise(values) for values in shown]
        told = [one if isinstance(one, str) else str(number) for number, one in enumerate(shown, 1)]
        told = told if names is None else list(names)
        pictures = (self._picture(each, method, resolution, mask) for each in found)
        drawing.write_film(path, pictures, told, self._colouring(*found), rate=rate)

    def _colouring(self, *drawn: Float64[np.ndarray, " units"]) -> Colouring:
        if self.scale == DEVIATION:
            return about_zero(DEVIATION, *(each[np.isfinite(each)] for each in drawn))
        return levels(self.scale)

    def _picture(self, values: Float64[np.ndarray, " units"], method: str, resolution: int, mask: str) -> Picture:
        _check_way(method, RASTERS)
        shown = values[self._some()]
        cells = self._cells(method)
        return self._raster(resolution, mask).draw(shown, method) if cells is None else cells.draw(shown)

    def _cells(self, method: str) -> Grid | None:
        """The cells that a picture is made of, if it is: those of a grid, or of a map that is one already."""
        if method == "grid" or (method == "nearest" and self._fitted.grid is not None):
            return self._grid()
        return None

    def _some(self) -> np.ndarray:
        """Which units are drawn: those that were laid out; raises `WrongInput` without any."""
        fitted = self._fitted
        if not fitted.placed.any():
            units = len(fitted.responses.units)
            message = f"none of the {units} units varies over the stimuli: fit the map to more, other stimuli"
            raise WrongInput(message)
        return fitted.placed

    def _placed(
        self, values: Float64[np.ndarray, " units"]
    ) -> tuple[Float64[np.ndarray, "placed 2"], Float64[np.ndarray, " placed"]]:
        placed = self._some()
        return self._fitted.positions[placed], values[placed]

    def _raster(self, resolution: int, mask: str) -> Raster:
        """The raster of this resolution; the tables of one are enough to keep."""
        if (resolution, mask) not in self._rasters:
            made = Raster(self._fitted.positions[self._some()], resolution, mask)
            self._rasters.clear()
            self._rasters[resolution, mask] = made
        return self._rasters[resolution, mask]

    def _grid(self) -> Grid:
        if self._fitted.grid is not None:
            return self._fitted.grid
        if not self._grids:
            self._grids.append(self._lattice("square"))
        return self._grids[0]

    @abstractmethod
    def _lattice(self, shape: str) -> Grid:
        """The cells of the units that are drawn."""


def _check_way(method: str, ways: Sequence[str]) -> None:
    if method == "points" and "points" not in ways:
        message = f"method 'points' is for draw alone: use {', '.join(ways)}"
        raise WrongInput(message)
    if method not in ways:
        raise UnknownName("method", method, ways)


def _drawn_on(ax: matplotlib.axes.Axes) -> tuple[str, str]:
    """The method and the mask of the map that was drawn on these Axes; raises `WrongInput` without one."""
    for shown in (*ax.images, *ax.collections):
        words = str(shown.get_gid()).split()
        if len(words) == 3 and words[0] == _DRAWN:
            return words[1], words[2]
    message = "ax shows no map: draw one on it first"
    raise WrongInput(message)
