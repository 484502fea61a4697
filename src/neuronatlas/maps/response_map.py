"""The response map: units laid out so that those which respond alike lie together, coloured by their responses.

The method of neural-response-map (Cerretani), done again: the same choices are its arguments, and the points where it
differs are told in the docstrings.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, Real

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps.circle import onto_disc
from neuronatlas.maps.correlation import CORRELATIONS, Neighbours, nearest_neighbours, standardise
from neuronatlas.maps.layouts import (
    FEWEST_FOR_TSNE,
    LAYOUTS,
    canonical_order,
    into_square,
    neighbours_needed,
    usable_perplexity,
)
from neuronatlas.maps.quality import morans_i, neighbour_recall, trustworthiness
from neuronatlas.maps.raster import Raster
from neuronatlas.maps.scale import SCALES, mean_of_known, onto_range, usual_range
from neuronatlas.table import Responses
from neuronatlas.units import Unit

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.colors

Values = str | Responses | Real[np.ndarray, "..."]

_FEWEST_NEIGHBOURS = 30
_FEWEST_FOR_QUALITY = 8
_QUALITY_UNITS = 2000
_QUALITY_STIMULI = 200


@dataclass(frozen=True, eq=False)
class _Fitted:
    """What `ResponseMap.fit` found out; every array is aligned with the units of ``responses``."""

    responses: Responses
    positions: Float64[np.ndarray, "units 2"]
    placed: Bool[np.ndarray, " units"]
    missing: Int64[np.ndarray, " units"]
    neighbours: Neighbours
    low: Float64[np.ndarray, " units"]
    high: Float64[np.ndarray, " units"]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ResponseMap:
    """Settings of a map, and after `fit` the map: ``ResponseMap().fit(responses).draw("a stimulus")``.

    ``correlation``: "spearman" or "pearson". ``layout``: a name in `layout.LAYOUTS`. ``perplexity``: about how many
    neighbours a unit is kept near; lowered where there are few units, and then `notes` says so. ``scale``: the range
    drawn from 0 to 1, "percentile" (the 1st to the 99th of each unit's responses) or "minmax".
    """

    correlation: str = "spearman"
    layout: str = "tsne"
    seed: int = 0
    perplexity: float = 30.0
    scale: str = field(default="percentile", kw_only=True)
    _fit: _Fitted | None = field(default=None, kw_only=True, repr=False)
    _rasters: dict[int, Raster] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse settings that do not exist."""
        for what, name, options in (
            ("correlation", self.correlation, CORRELATIONS),
            ("layout", self.layout, LAYOUTS),
            ("scale", self.scale, SCALES),
        ):
            if name not in options:
                raise UnknownName(what, name, options)
        usable_perplexity(2, self.perplexity)
        if not isinstance(self.seed, int | np.integer) or not 0 <= self.seed < 2**32:
            message = f"seed {self.seed!r} must be a whole number from 0 to {2**32 - 1}"
            raise WrongInput(message)

    def fit(self, responses: Responses) -> ResponseMap:
        """A new map with these settings, of these units. The order of the units moves no point."""
        standardised = standardise(responses.values, self.correlation)
        placed = np.flatnonzero(~standardised.constant)
        names = [str(responses.units[unit]) for unit in placed]
        order = placed[canonical_order(standardised.rows[placed], names)]
        rows = standardised.rows[order]
        near = nearest_neighbours(rows, max(_FEWEST_NEIGHBOURS, neighbours_needed(len(rows), self.perplexity)))
        places = LAYOUTS[self.layout](rows, near, seed=self.seed, perplexity=self.perplexity)
        positions = np.full((len(responses.units), 2), np.nan)
        positions[order] = into_square(places)
        low, high = usual_range(responses.values, self.scale)
        found = _Fitted(
            responses=responses,
            positions=positions,
            placed=~standardised.constant,
            missing=standardised.missing,
            neighbours=_renumbered(near, order, len(responses.units)),
            low=low,
            high=high,
            notes=self._remarks(responses, standardised.constant, standardised.missing),
        )
        return replace(self, _fit=found)

    def circle(self) -> ResponseMap:
        """A new map, this one projected onto the unit disc; see `circle.onto_disc`."""
        fitted = self._fitted
        positions = fitted.positions.copy()
        positions[fitted.placed] = onto_disc(positions[fitted.placed])
        return replace(self, _fit=replace(fitted, positions=positions))

    @property
    def responses(self) -> Responses:
        """The responses that the map was fitted to."""
        return self._fitted.responses

    @property
    def units(self) -> tuple[Unit, ...]:
        """All units of the fitted responses; index i everywhere means ``units[i]``."""
        return self._fitted.responses.units

    @property
    def positions(self) -> Float64[np.ndarray, "units 2"]:
        """The place of each unit within -1..1, y upwards; NaN for `constant` units."""
        return self._fitted.positions

    @property
    def constant(self) -> tuple[Unit, ...]:
        """The units set apart because their responses never vary: they correlate with nothing."""
        return tuple(self.units[index] for index in np.flatnonzero(~self._fitted.placed))

    @property
    def missing(self) -> Int64[np.ndarray, " units"]:
        """How many responses of each unit were not finite; each counted as the unit's mean."""
        return self._fitted.missing

    @property
    def neighbours(self) -> Neighbours:
        """The most correlated units of each unit, as indices into `units`; -1 for `constant` units.

        Units that correlate equally stand in an order that does not depend on the order of `units`.
        """
        return self._fitted.neighbours

    @property
    def low(self) -> Float64[np.ndarray, " units"]:
        """The response of each unit that is drawn as 0."""
        return self._fitted.low

    @property
    def high(self) -> Float64[np.ndarray, " units"]:
        """The response of each unit that is drawn as 1."""
        return self._fitted.high

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader of the map should know, one sentence each; empty when there is nothing."""
        return self._fitted.notes

    @cached_property
    def quality(self) -> dict[str, float]:
        """``trustworthiness``, ``recall`` and ``moran`` of the map on ``k`` neighbours; empty below 8 placed units.

        Without ``moran`` where no stimulus tells the units apart.
        Trustworthiness looks at no more than 2,000 units, Moran's I is the mean over no more than 200 of the fitted
        stimuli, both evenly spread. See `quality` for what they mean, and for scoring held-out stimuli.
        """
        fitted = self._fitted
        units = np.flatnonzero(fitted.placed)
        if len(units) < _FEWEST_FOR_QUALITY:
            return {}
        units = units[canonical_order(np.zeros((len(units), 0)), [str(self.units[unit]) for unit in units])]
        rows = standardise(fitted.responses.values, self.correlation).rows[units]
        back = np.zeros(len(fitted.placed) + 1, dtype=np.int32)
        back[units], back[-1] = np.arange(len(units)), -1
        near = Neighbours(back[fitted.neighbours.indices[units]], fitted.neighbours.correlations[units])
        k = min(15, (len(units) - 1) // 2)
        places = fitted.positions[units]
        stimuli = np.unique(np.linspace(0, len(fitted.responses.stimuli) - 1, _QUALITY_STIMULI).astype(int))
        values = onto_range(fitted.responses.values[stimuli].astype(np.float64), self.low, self.high)[:, units]
        topography = mean_of_known(morans_i(places, values, k=min(8, k))[:, None])
        scores = {
            "trustworthiness": trustworthiness(rows, places, k=k, sample=_QUALITY_UNITS),
            "recall": neighbour_recall(near, places, k=k),
            "moran": float(topography[0]),
        }
        return {"k": float(k)} | {name: round(score, 6) for name, score in scores.items() if not np.isnan(score)}

    def normalise(self, values: Values) -> Float64[np.ndarray, " units"]:
        """Each unit's response from 0 (`low`) to 1 (`high`), clipped; over several stimuli their mean.

        ``values``: the name of a fitted stimulus; `Responses` of the same units in any order; or an array of shape
        (units,) or (stimuli, units) in the order of `units`. NaN for constant units and where nothing is finite.
        """
        levels = mean_of_known(onto_range(self._table(values), self.low, self.high))
        return np.where(self._fitted.placed, levels, np.nan)

    def raster(
        self, values: Values, method: str = "nearest", resolution: int = 1000
    ) -> Float64[np.ndarray, "resolution resolution"]:
        """The picture that `draw` shows, over -1..1 both ways; row 0 is the lowest y. NaN outside the convex hull.

        "nearest" gives each pixel its nearest unit, "linear" the plane through the three units around it.
        """
        fitted = self._fitted
        if resolution < 2:
            message = f"resolution {resolution} must be at least 2 pixels a side: 1000 is usual"
            raise WrongInput(message)
        if not fitted.placed.any():
            message = f"none of the {len(self.units)} units varies over the stimuli: fit the map to more, other stimuli"
            raise WrongInput(message)
        if resolution not in self._rasters:
            self._rasters.clear()  # the tables of one resolution are enough to keep
            self._rasters[resolution] = Raster(fitted.positions[fitted.placed], resolution)
        return self._rasters[resolution].draw(self.normalise(values)[fitted.placed], method)

    def draw(
        self,
        values: Values,
        *,
        method: str = "nearest",
        cmap: str | matplotlib.colors.Colormap = "viridis",
        ax: matplotlib.axes.Axes | None = None,
        size: tuple[float, float] = (5, 5),
        resolution: int = 1000,
        legend: bool = True,
    ) -> matplotlib.axes.Axes:
        """The map coloured by responses; ``values``, ``method`` and ``resolution`` as in `normalise` and `raster`.

        Without ``ax`` a figure of ``size`` inches is made that belongs to the Axes alone: nothing opens, and pyplot
        does not know it. Save it with ``.figure.savefig(...)``. The y axis points upwards, as in a scatter of
        `positions` (neural-response-map draws it downwards).
        """
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        if isinstance(cmap, str) and cmap not in mpl.colormaps:
            raise UnknownName("cmap", cmap, list(mpl.colormaps))
        picture = self.raster(values, method, resolution)
        if ax is None:
            figure = Figure(figsize=size, layout="constrained")
            FigureCanvasAgg(figure)
            ax = figure.add_subplot()
        edge = 1.0 + 1.0 / (resolution - 1)  # the outer pixels are centred on the edge of the grid
        extent = (-edge, edge, -edge, edge)
        image = ax.imshow(picture, cmap=cmap, vmin=0.0, vmax=1.0, origin="lower", extent=extent, aspect="equal")
        ax.set_axis_off()
        if legend:
            ends = "1st to 99th percentile" if self.scale == "percentile" else "least to most"
            bar = ax.figure.colorbar(image, ax=ax, shrink=0.8)
            bar.set_label(f"response of each unit, {ends} = 0 to 1")
        return ax

    @property
    def _fitted(self) -> _Fitted:
        if self._fit is None:
            message = "this response map is not fitted: use the map that .fit(responses) returns"
            raise WrongInput(message)
        return self._fit

    def _table(self, values: Any) -> Float64[np.ndarray, "stimuli units"]:
        """What `normalise` accepts as one row a stimulus, in the order of `units`."""
        if isinstance(values, str):
            values = self.responses.stimulus(values)
        if isinstance(values, Responses):
            column = {unit: index for index, unit in enumerate(values.units)}
            absent = [str(unit) for unit in self.units if unit not in column]
            if absent:
                message = (
                    f"values lack {len(absent)} of the {len(self.units)} units of the map, first {absent[0]!r}: "
                    "record the same layers that the map was fitted to"
                )
                raise WrongInput(message)
            values = values.values[:, [column[unit] for unit in self.units]]
        table = np.atleast_2d(np.asarray(values, dtype=np.float64))
        if table.ndim != 2 or table.shape[1] != len(self.units) or not len(table):
            message = (
                f"values of shape {np.shape(values)} must hold one number for each of the {len(self.units)} units of "
                "the map, or a row of them for each stimulus"
            )
            raise WrongInput(message)
        return table

    def _remarks(
        self, responses: Responses, constant: Bool[np.ndarray, " units"], missing: Int64[np.ndarray, " units"]
    ) -> tuple[str, ...]:
        """The sentences of `notes`."""
        remarks = []
        varying = int(np.sum(~constant))
        perplexity = usable_perplexity(varying, self.perplexity)
        if constant.any():
            first = responses.units[int(np.argmax(constant))]
            remarks.append(f"{constant.sum()} of {len(constant)} units never vary and have no place (first: {first})")
        if missing.any():
            remarks.append(
                f"{missing.sum()} responses of {np.count_nonzero(missing)} units are not finite: "
                "each counts as its unit's mean"
            )
        if self.layout == "tsne" and 0 < varying < FEWEST_FOR_TSNE:
            remarks.append(
                f"placed by principal components: t-SNE wants {FEWEST_FOR_TSNE} units, the map has {varying}"
            )
        elif self.layout != "pca" and varying > 0 and perplexity < self.perplexity:
            remarks.append(
                f"perplexity lowered from {self.perplexity:g} to {perplexity:g}: the map has {varying} units"
            )
        return tuple(remarks)


def _renumbered(near: Neighbours, order: Int64[np.ndarray, " placed"], units: int) -> Neighbours:
    """Neighbours among the units ``order``, as neighbours among all units."""
    k = near.indices.shape[1]
    indices = np.full((units, k), -1, dtype=np.int32)
    correlations = np.zeros((units, k))
    indices[order] = np.where(near.indices >= 0, np.append(order, -1)[near.indices], -1)
    correlations[order] = near.correlations
    return Neighbours(indices, correlations)
