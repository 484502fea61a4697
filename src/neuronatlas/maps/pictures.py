"""How a map is drawn: responses as numbers of its scale, as pictures, on Axes, many at once, as a film."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Real

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps import drawing
from neuronatlas.maps.drawing.colouring import Colouring, about_zero, levels
from neuronatlas.maps.drawing.grid import Grid
from neuronatlas.maps.fitting import Fitted
from neuronatlas.maps.raster import METHODS, Raster
from neuronatlas.maps.scale import DEVIATION, effect_sizes, mean_of_known, onto_deviations, onto_range
from neuronatlas.maps.settings import MapSettings
from neuronatlas.table import Responses

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.colors
    import matplotlib.figure

Values = str | Responses | Real[np.ndarray, "..."]
Picture = Float64[np.ndarray, "side side"]

WAYS = (*METHODS, "grid", "points")
_INCH_MM = 25.4


@dataclass(frozen=True, eq=False)
class Pictures(MapSettings, ABC):
    """A fitted map that can be drawn.

    ``values`` is everywhere the name of a fitted stimulus; `Responses` of the same units in any order; or an array of
    shape (units,) or (stimuli, units) in the order of `units`. Of several stimuli the mean is drawn. ``method`` is
    "nearest" (each pixel shows its nearest unit), "linear" (the plane through the three units around it), "grid" (each
    unit a cell of the same size, near the units that it lies near) or, where Axes are drawn on, "points".
    """

    _rasters: dict[tuple[int, str], Raster] = field(default_factory=dict, init=False, repr=False)
    _grids: list[Grid] = field(default_factory=list, init=False, repr=False)

    @property
    @abstractmethod
    def _fitted(self) -> Fitted:
        """What was found out about the units."""

    def normalise(self, values: Values) -> Float64[np.ndarray, " units"]:
        """Each unit's response on the map's scale: from 0 (`low`) to 1 (`high`), clipped, or in standard deviations.

        Over several stimuli their mean. NaN for constant units and where nothing is finite.
        """
        fitted, table = self._fitted, self._table(values)
        if self.scale == DEVIATION:
            half = (fitted.high - fitted.low) / 2
            found = mean_of_known(onto_deviations(table, fitted.low + half, half))
        else:
            found = mean_of_known(onto_range(table, fitted.low, fitted.high))
        return np.where(fitted.varies, found, np.nan)

    def effects(self, first: Values, second: Values) -> Float64[np.ndarray, " units"]:
        """Cohen's d of each unit between two sets of stimuli: above 0 where it responds more to the ``first``.

        NaN for constant units, and for all where both sets together are fewer than three stimuli.
        """
        return np.where(self._fitted.varies, effect_sizes(self._table(first), self._table(second)), np.nan)

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
        if legend:
            drawing.add_legend(shown, [ax], colouring, found[np.isfinite(found)])
        return ax

    def draw_layers(
        self, *, ax: matplotlib.axes.Axes | None = None, size: tuple[float, float] = (5, 5)
    ) -> matplotlib.axes.Axes:
        """A dot for each unit in the colour of its layer; ``ax`` and ``size`` as in `draw`."""
        if ax is None:
            ax = drawing.new_axes(size[0] * _INCH_MM, size[1] * _INCH_MM)
        placed = np.flatnonzero(self._some())
        layers = [self._fitted.responses.units[unit].layer for unit in placed]
        drawing.draw_layers(ax, self._fitted.positions[placed], layers)
        return ax

    def outline_layers(
        self,
        ax: matplotlib.axes.Axes,
        *,
        method: str = "nearest",
        resolution: int = 1000,
        mask: str = "hull",
        only: Sequence[str] | None = None,
    ) -> None:
        """Lines around the regions of each layer, over a map that was drawn on ``ax`` by the same ``method`` before."""
        placed = np.flatnonzero(self._some())
        layers = [self._fitted.responses.units[unit].layer for unit in placed]
        labels = self._grid().labels if method == "grid" else self._raster(resolution, mask).labels
        drawing.outline_layers(ax, labels, layers, only)

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
        kinds = [label for label in dict.fromkeys(given) if label]
        if len(given) != len(responses.stimuli) or not kinds:
            message = f"labels name {len(kinds)} situations of {len(given)} stimuli: give one for each of the {len(responses.stimuli)}"
            raise WrongInput(message)
        sets: dict[str, Values] = {
            kind: responses.values[[row for row, label in enumerate(given) if label == kind]] for kind in kinds
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
        width_mm: float = 180.0,
    ) -> tuple[matplotlib.figure.Figure, dict[str, matplotlib.axes.Axes]]:
        """Two sets of stimuli, each with a title, and the difference between them as effect sizes (`effects`)."""
        found = {title: self.normalise(values) for title, values in (first, second)}
        effects = self.effects(first[1], second[1])
        if not np.isfinite(effects).any():
            message = (
                "first and second are together fewer than three stimuli: an effect size needs a spread within them"
            )
            raise WrongInput(message)
        pictures = {title: self._picture(each, method, resolution, mask) for title, each in found.items()}
        return drawing.first_against_second(
            pictures,
            self._picture(effects, method, resolution, mask),
            self._colouring(*found.values()),
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
        if isinstance(frames, Responses):
            names = frames.stimuli if names is None else names
            frames = list(self._table(frames))
        found = [self.normalise(values) for values in frames]
        told = [str(number + 1) for number in range(len(found))] if names is None else list(names)
        pictures = (self._picture(each, method, resolution, mask) for each in found)
        drawing.write_film(path, pictures, told, self._colouring(*found), rate=rate)

    def _colouring(self, *drawn: Float64[np.ndarray, " units"]) -> Colouring:
        if self.scale == DEVIATION:
            return about_zero(DEVIATION, *(each[np.isfinite(each)] for each in drawn))
        return levels(self.scale)

    def _picture(self, values: Float64[np.ndarray, " units"], method: str, resolution: int, mask: str) -> Picture:
        if method not in WAYS or method == "points":
            raise UnknownName("method", method, WAYS)
        shown = values[self._some()]
        if method == "grid":
            return self._grid().draw(shown)
        return self._raster(resolution, mask).draw(shown, method)

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
        if not self._grids:
            self._grids.append(self._lattice("square"))
        return self._grids[0]

    @abstractmethod
    def _lattice(self, shape: str) -> Grid:
        """The cells of the units that are drawn."""

    def _table(self, values: Any) -> Float64[np.ndarray, "stimuli units"]:
        """Values as one row a stimulus, in the order of the units."""
        units = self._fitted.responses.units
        if isinstance(values, str):
            values = self._fitted.responses.stimulus(values)
        if isinstance(values, Responses):
            column = {unit: index for index, unit in enumerate(values.units)}
            absent = [str(unit) for unit in units if unit not in column]
            if absent:
                message = (
                    f"values lack {len(absent)} of the {len(units)} units of the map, first {absent[0]!r}: "
                    "record the same layers that the map was fitted to"
                )
                raise WrongInput(message)
            values = values.values[:, [column[unit] for unit in units]]
        table = np.atleast_2d(np.asarray(values, dtype=np.float64))
        if table.ndim != 2 or table.shape[1] != len(units) or not len(table):
            message = (
                f"values of shape {np.shape(values)} must hold one number for each of the {len(units)} units of "
                "the map, or a row of them for each stimulus"
            )
            raise WrongInput(message)
        return table
