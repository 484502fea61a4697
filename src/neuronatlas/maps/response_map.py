"""The response map: units laid out so that those which respond alike lie together, coloured by their responses.

The method of neural-response-map (Cerretani), done again: the same choices are its arguments, and the points where it
differs are told in the docstrings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64

from neuronatlas.errors import WrongInput
from neuronatlas.maps import reliability
from neuronatlas.maps.circle import onto_disc
from neuronatlas.maps.correlation import Neighbours
from neuronatlas.maps.drawing.grid import Grid, equal_area_grid
from neuronatlas.maps.fitting import Fitted, add_units, ends, fit_units
from neuronatlas.maps.layouts import canonical_order, procrustes
from neuronatlas.maps.moments import Moments
from neuronatlas.maps.pictures import Pictures
from neuronatlas.maps.settings import plain, same_settings
from neuronatlas.maps.situations import Situations, by_label, situations
from neuronatlas.maps.sketch import Sketch
from neuronatlas.maps.sketched import Sketched
from neuronatlas.table import Responses
from neuronatlas.units import Unit

if TYPE_CHECKING:
    from neuronatlas.notebook import Still
    from neuronatlas.notebook.explorer import Explorer


@dataclass(frozen=True, eq=False)
class ResponseMap(Pictures):
    """Settings of a map (see `MapSettings`), and after `fit` the map: ``ResponseMap().fit(responses).draw("a stimulus")``."""

    _fit: Fitted | None = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        """Refuse settings that do not exist; a fitted map whose settings are replaced is another map."""
        super().__post_init__()
        if self._fit is None or same_settings(self, self._fit.settings):
            return
        if same_settings(self, replace(self._fit.settings, scale=self.scale)):  # the places are the same
            sketched = self._fit.sketched
            low, high = ends(self._fit.responses, self.scale) if sketched is None else sketched.ends(self.scale)
            found = replace(self._fit, settings=plain(self), low=low, high=high)
            object.__setattr__(self, "_fit", found)
        else:
            object.__setattr__(self, "_fit", None)

    def __repr__(self) -> str:
        """The settings, and what the map is of."""
        kind = f"correlation={self.correlation!r}, layout={self.layout!r}, seed={self.seed}, scale={self.scale!r}"
        return f"ResponseMap({kind}; {'not fitted' if self._fit is None else self._fit.responses})"

    def fit(self, responses: Responses, *, like: ResponseMap | None = None) -> ResponseMap:
        """A new map with these settings, of these units. The order of the units moves no point.

        ``like``: an earlier map, of another checkpoint or other stimuli, from which this one starts and onto which it is
        turned, so that units of the same address stay where they were as far as they respond as they did. Units that
        would then lie outside -1..1 stand at its edge.
        """
        given: object = responses
        if not isinstance(given, Responses):
            message = f"responses is a {type(responses).__name__}: give the Responses that neuronatlas.record returns"
            raise WrongInput(message)
        start = None if like is None else like.places_of(responses.units)
        return replace(self, _fit=fit_units(plain(self), responses, start))

    def fit_sketch(
        self,
        sketch: Sketch,
        moments: Moments,
        units: Sequence[Unit],
        *,
        shown: Responses | None = None,
        like: ResponseMap | None = None,
    ) -> ResponseMap:
        """A new map with these settings, of units whose responses were too many to keep.

        ``sketch`` and ``moments`` are of the same stimuli, ``units`` in their order. ``shown`` are the responses of the same
        units to a few stimuli, of these or others, which can then be drawn by name and which Moran's I is taken of.
        Neither has part in the places, nor in `low` and `high`. A sketch keeps Pearson's correlations, and not the usual
        ranges: raises `WrongInput` but for "pearson" on the scale "minmax" or "deviation". Nothing can be added to such a
        map, and its `reliability` is empty.
        """
        units = tuple(units)
        if self.correlation != "pearson":
            message = (
                f"correlation {self.correlation!r} cannot be had of a sketch, for ranks do not add up: use 'pearson'"
            )
            raise WrongInput(message)
        if len(units) != len(moments.count) or (shown is not None and shown.units != units):
            message = (
                f"units ({len(units)}) must be the {len(moments.count)} of moments, and those of shown in their order"
            )
            raise WrongInput(message)
        responses = Responses(np.zeros((0, len(units)), np.float32), units, (), ()) if shown is None else shown
        sketched = Sketched(sketch, moments)
        sketched.ends(self.scale)  # refuses a scale before anything is computed
        start = None if like is None else like.places_of(units)
        return replace(self, _fit=fit_units(plain(self), responses, start, sketched))

    def add(self, responses: Responses) -> ResponseMap:
        """A new map with the units of ``responses`` as well, each among the units that it correlates with most.

        What is on the map stays where it is, and copies of it share its place. Both are of the same stimuli, by name and
        in order. Raises `WrongInput` where they are not, or a unit is on the map already.
        """
        fitted = self._fitted
        if fitted.sketched is not None:
            message = f"a map of a sketch of {len(self.units)} units cannot be added to: sketch all units together"
            raise WrongInput(message)
        if responses.stimuli != self.responses.stimuli:
            message = (
                f"responses are of other stimuli than the {len(self.responses.stimuli)} of the map: record the same"
            )
            raise WrongInput(message)
        if both := set(responses.units) & set(self.units):
            message = f"responses hold {len(both)} units that are on the map already, first {min(map(str, both))}"
            raise WrongInput(message)
        return replace(self, _fit=add_units(plain(self), fitted, responses))

    def onto(self, other: ResponseMap) -> ResponseMap:
        """A new map: this one turned, mirrored, scaled and shifted to lie on ``other`` as far as their units are the same.

        Where it then reaches beyond -1..1, all of it is drawn in, and `notes` says by how much.
        """
        fitted = self._fitted
        target = other.places_of(self.units)
        if not (np.isfinite(target) & np.isfinite(fitted.positions)).any():
            message = f"other holds none of the {len(self.units)} units: give a map of the same units"
            raise WrongInput(message)
        positions = procrustes(fitted.positions, target)
        reach = float(np.nanmax(np.abs(positions), initial=1.0))
        notes = (
            fitted.notes if reach == 1 else (*fitted.notes, f"drawn at {1 / reach:.3f} of the scale of the other map")
        )
        return replace(self, _fit=replace(fitted, positions=positions / reach, notes=notes, grid=None))

    def circle(self) -> ResponseMap:
        """A new map, this one projected onto the unit disc; see `circle.onto_disc`."""
        fitted = self._fitted
        positions = fitted.positions.copy()
        positions[fitted.varies] = onto_disc(positions[fitted.varies])
        return replace(self, _fit=replace(fitted, positions=positions, grid=None))

    def equal_area(self, shape: str = "square") -> ResponseMap:
        """A new map on which every unit has a cell of its own and all cells are alike; "square" or "disc".

        Units that lie together stay together; copies of a unit share its cell. See `drawing.grid.equal_area_grid`.
        """
        fitted = self._fitted
        if not fitted.placed.any():
            return self
        grid = self._lattice(shape)
        positions = np.full_like(fitted.positions, np.nan)
        positions[fitted.placed] = grid.positions
        positions[fitted.varies] = positions[fitted.leader[fitted.varies]]
        return replace(self, _fit=replace(fitted, positions=positions, grid=grid))

    @property
    def responses(self) -> Responses:
        """The responses that the map was fitted to; after `fit_sketch` those that it was given to show."""
        return self._fitted.responses

    @property
    def units(self) -> tuple[Unit, ...]:
        """All units of the fitted responses; index i everywhere means ``units[i]``."""
        return self._fitted.responses.units

    @property
    def positions(self) -> Float64[np.ndarray, "units 2"]:
        """The place of each unit within -1..1, y upwards; NaN for `constant` units."""
        return self._fitted.positions

    def places_of(self, units: tuple[Unit, ...]) -> Float64[np.ndarray, "units 2"]:
        """The places of units by their addresses; NaN for those that the map does not have."""
        if not self.units:
            return np.full((len(units), 2), np.nan)
        row = {unit: index for index, unit in enumerate(self.units)}
        found = np.array([row.get(unit, -1) for unit in units], dtype=np.int64)
        return np.where(found[:, None] >= 0, self.positions[found], np.nan)

    @property
    def constant(self) -> tuple[Unit, ...]:
        """The units set apart because their responses never vary: they correlate with nothing."""
        return tuple(self.units[index] for index in np.flatnonzero(~self._fitted.varies))

    @property
    def copies(self) -> dict[Unit, Unit]:
        """Units that share the place of another one because they respond exactly as it does, and that one.

        Of a group of copies the first by name stands for all.
        """
        leader = self._fitted.leader
        shared = np.flatnonzero(self._fitted.varies & (leader != np.arange(len(leader))))
        return {self.units[unit]: self.units[leader[unit]] for unit in shared}

    @property
    def missing(self) -> Int64[np.ndarray, " units"]:
        """How many responses of each unit were not finite; each counted as the unit's mean."""
        return self._fitted.missing

    @property
    def neighbours(self) -> Neighbours:
        """The most correlated units of each unit, as indices into `units`; -1 for `constant` units.

        Units that correlate equally stand in an order that does not depend on the order of `units`. Of a group of copies
        one stands for all; it is no neighbour of the others.
        """
        return self._fitted.neighbours

    @property
    def low(self) -> Float64[np.ndarray, " units"]:
        """The response of each unit that is drawn as 0 (on the scale "deviation" as -1)."""
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
        """How well the map keeps neighbours; see `quality` for what each means. Empty below 8 placed units.

        On ``k`` neighbours: ``trustworthiness``, ``continuity``, ``recall``, ``correlation`` (of map neighbours, over the
        best possible), and ``moran`` of the fitted stimuli beside ``moran_null``, the same of units dealt out at random,
        with its ``moran_p``. Where no stimulus tells the units apart without the last three. No more than 2,000 units
        and 200 stimuli are looked at.
        """
        return reliability.quality(self, self._fitted)

    def reliability(self) -> dict[str, float]:
        """How far the map would come out the same again: four more maps are made of the same responses.

        ``seeds_disparity`` and ``seeds_overlap`` of two seeds, ``halves_disparity`` and ``halves_overlap`` of two halves
        of the stimuli (see `stability`), and ``held_out_moran`` (with its null and p): Moran's I on the map of one half
        of the responses to the other. Those are left out that the halves have too few units for; all, below 8 placed
        units, or 4 stimuli.
        """
        return reliability.reliability(self, self._fitted)

    def situations(self, labels: tuple[str, ...] | None = None) -> Situations:
        """What every unit is expected to do under each label (default: those of the stimuli); see `situations`."""
        given = self.responses.labels if labels is None else labels
        if not any(given):
            message = "labels are all empty: give each stimulus one, or record a folder whose sub-folders are classes"
            raise WrongInput(message)
        return situations(self.responses.values, by_label(given))

    def explore(self, *, height: int = 640, pictures: Sequence[np.ndarray] | None = None) -> Explorer | Still:
        """The map as a page, for the cell of a notebook; ``pictures`` are the stimuli. See `notebook.explore`."""
        from neuronatlas import notebook

        return notebook.explore(self, height=height, pictures=pictures)

    @property
    def _fitted(self) -> Fitted:
        if self._fit is None:
            message = "this response map is not fitted: use the map that .fit(responses) returns"
            raise WrongInput(message)
        return self._fit

    def _lattice(self, shape: str) -> Grid:
        """The cells of the units that were laid out, the same whatever their order."""
        placed = np.flatnonzero(self._some())
        order = canonical_order(np.zeros((len(placed), 0)), [str(self.units[unit]) for unit in placed])
        ranks = np.empty(len(placed), dtype=np.int64)
        ranks[order] = np.arange(len(placed))
        return equal_area_grid(self._fitted.positions[placed], ranks, shape=shape)
