"""From responses to a map: copies found, units correlated, laid out, and told of where they could not be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from neuronatlas.errors import WrongInput
from neuronatlas.maps.correlation import Neighbours, nearest_neighbours, standardise
from neuronatlas.maps.drawing.grid import Grid
from neuronatlas.maps.duplicates import Copies, find_copies
from neuronatlas.maps.layouts import (
    LAYOUTS,
    canonical_order,
    into_square,
    neighbours_needed,
    place,
    procrustes,
    tsne,
)
from neuronatlas.maps.notes import remarks
from neuronatlas.maps.scale import SCALES, usual_level, usual_range
from neuronatlas.maps.settings import MapSettings
from neuronatlas.maps.sketched import Sketched
from neuronatlas.table import Responses
from neuronatlas.units import Unit

_FEWEST_NEIGHBOURS = 30


@dataclass(frozen=True, eq=False)
class Fitted:
    """What was found out about the units of ``responses``, each array in their order.

    ``leader``: the unit of its copies that was laid out for it, the first by name; itself where there are no copies.
    ``varies``: the units that have a place. ``low`` and ``high``: the responses drawn as 0 and 1; on the scale of
    deviations, a standard deviation below and above the mean. ``grid``: the cells, where places are those of a grid.
    ``sketched``: what the map is of, where that is not all in ``responses``.
    """

    settings: MapSettings
    responses: Responses
    positions: Float64[np.ndarray, "units 2"]
    varies: Bool[np.ndarray, " units"]
    leader: Int64[np.ndarray, " units"]
    missing: Int64[np.ndarray, " units"]
    neighbours: Neighbours
    low: Float64[np.ndarray, " units"]
    high: Float64[np.ndarray, " units"]
    notes: tuple[str, ...]
    grid: Grid | None = None
    sketched: Sketched | None = None

    @property
    def placed(self) -> Bool[np.ndarray, " units"]:
        """The units that were laid out: one of each group of copies."""
        return self.varies & (self.leader == np.arange(len(self.leader)))


def fit_units(
    settings: MapSettings,
    responses: Responses,
    start: Float64[np.ndarray, "units 2"] | None,
    sketched: Sketched | None = None,
) -> Fitted:
    """Lay the units out; from ``start``, the places of an earlier map or NaN, where that is given.

    With ``sketched`` by their sketch; ``responses`` are then those of the same units to any stimuli, or to none.
    """
    _refuse_twice(responses.units)
    copies = find_copies(responses.values if sketched is None else sketched.table()) if settings.merge else None
    found = standardise(responses.values, settings.correlation) if sketched is None else sketched.standardised()
    rows, varies, missing = found.rows, ~found.constant, found.missing
    del found  # the rows may be gigabytes: they are copied no more often than need be, and not kept
    leader = _leaders(copies, responses.units, varies)
    placed = np.flatnonzero(varies & (leader == np.arange(len(leader))))
    rows = rows if len(placed) == len(rows) else rows[placed]
    order = canonical_order(rows, _names(responses.units, placed))
    rows, order = rows[order], placed[order]
    near = nearest_neighbours(rows, _how_many(len(rows), settings), absolute=settings.absolute)
    positions = np.full((len(leader), 2), np.nan)
    if start is None:
        positions[order] = into_square(_lay_out(settings, responses, order, rows=rows, near=near))
    else:
        before = _of_groups(start, leader, varies)[order]
        if len(order) and not np.isfinite(before).any():
            message = f"like holds none of the {len(order)} units that are laid out: give a map of the same units"
            raise WrongInput(message)
        places = _lay_out(settings, responses, order, rows=rows, near=near, start=before)
        positions[order] = np.clip(places, -1.0, 1.0)
    positions[varies] = positions[leader[varies]]
    low, high = ends(responses, settings.scale) if sketched is None else sketched.ends(settings.scale)
    told = remarks(settings, responses.units, missing, varies=varies, leader=leader, near=near)
    if sketched is not None:
        told += sketched.notes
    return Fitted(
        settings=settings,
        responses=responses,
        positions=positions,
        varies=varies,
        leader=leader,
        missing=missing,
        neighbours=_of_all(near, order, leader, varies=varies),
        low=low,
        high=high,
        notes=told,
        sketched=sketched,
    )


def add_units(settings: MapSettings, old: Fitted, responses: Responses) -> Fitted:
    """The map ``old`` with the units of ``responses`` among those that they correlate with most; it stays as it is."""
    joint = Responses.merge([old.responses, responses])
    _refuse_twice(joint.units)
    found = standardise(joint.values, settings.correlation)
    rows, varies = found.rows, ~found.constant
    count = len(old.leader)
    copies = find_copies(joint.values) if settings.merge else None
    leader = _leaders(copies, joint.units, varies, first=np.flatnonzero(old.placed))
    leader[:count] = old.leader
    leads = varies & (leader == np.arange(len(leader)))
    known = np.flatnonzero(old.placed)
    known = known[canonical_order(rows[known], _names(joint.units, known))]  # ties go by this order, not by the table's
    new = count + np.flatnonzero(leads[count:])
    positions = np.concatenate([old.positions, np.full((len(responses.units), 2), np.nan)])
    places = place(rows[new], rows[known], positions[known], absolute=settings.absolute)
    positions[new] = _apart(places, positions[known], _names(joint.units, new))
    positions[varies] = positions[leader[varies]]
    order = np.flatnonzero(leads)
    order = order[canonical_order(rows[order], _names(joint.units, order))]
    near = nearest_neighbours(rows[order], _how_many(len(order), settings), absolute=settings.absolute)
    low, high = ends(joint, settings.scale)
    told = remarks(settings, joint.units, found.missing, varies=varies, leader=leader, near=near)
    added = f"{len(new)} units were added to a map of {len(known)}, each among those it correlates with most"
    return Fitted(
        settings=settings,
        responses=joint,
        positions=positions,
        varies=varies,
        leader=leader,
        missing=found.missing,
        neighbours=_of_all(near, order, leader, varies=varies),
        low=low,
        high=high,
        notes=(*told, added),
    )


def ends(responses: Responses, scale: str) -> tuple[Float64[np.ndarray, " units"], Float64[np.ndarray, " units"]]:
    """The responses that are drawn as 0 and 1, or a deviation below and above the mean."""
    if scale in SCALES:
        return usual_range(responses.values, scale)
    mean, deviation = usual_level(responses.values)
    return mean - deviation, mean + deviation


def _refuse_twice(units: Sequence[Unit]) -> None:
    if len(set(units)) < len(units):
        twice = next(unit for unit, count in Counter(units).items() if count > 1)
        message = f"responses hold {len(units) - len(set(units))} units twice, first {str(twice)!r}: select each once"
        raise WrongInput(message)


def _names(units: Sequence[Unit], chosen: Int64[np.ndarray, " chosen"]) -> list[str]:
    return [str(units[unit]) for unit in chosen]


def _how_many(units: int, settings: MapSettings) -> int:
    return max(_FEWEST_NEIGHBOURS, neighbours_needed(units, settings.perplexity))


def _leaders(
    copies: Copies | None,
    units: Sequence[Unit],
    varies: Bool[np.ndarray, " units"],
    first: Int64[np.ndarray, " first"] | None = None,
) -> Int64[np.ndarray, " units"]:
    """The unit that is laid out for each: of a group of copies one of ``first``, else the first by name."""
    leader = np.arange(len(units))
    there = set() if first is None else set(first.tolist())
    for group in () if copies is None else copies.groups:
        some = [unit for unit in group if varies[unit]]
        if some:
            leader[some] = min(some, key=lambda unit: (unit not in there, str(units[unit])))
    return leader


def _of_groups(
    start: Float64[np.ndarray, "units 2"], leader: Int64[np.ndarray, " units"], varies: Bool[np.ndarray, " units"]
) -> Float64[np.ndarray, "units 2"]:
    """The start with a place for each leader that any of its copies had."""
    found = start.copy()
    for unit in np.flatnonzero(varies & np.isfinite(start).all(axis=1) & (leader != np.arange(len(leader)))):
        if not np.isfinite(found[leader[unit]]).all():
            found[leader[unit]] = start[unit]
    return found


def _lay_out(
    settings: MapSettings,
    responses: Responses,
    order: Int64[np.ndarray, " placed"],
    *,
    rows: Float[np.ndarray, "placed stimuli"],
    near: Neighbours,
    start: Float64[np.ndarray, "placed 2"] | None = None,
) -> Float64[np.ndarray, "placed 2"]:
    """The places by the chosen layout, turned onto ``start``."""
    if settings.layout != "tsne":
        places = LAYOUTS[settings.layout](rows, near, seed=settings.seed, perplexity=settings.perplexity)
        return places if start is None else procrustes(places, start)
    weights = None
    if settings.balanced:
        layers = [responses.units[unit].layer for unit in order]
        counts = Counter(layers)
        weights = np.array([1.0 / counts[layer] for layer in layers])
    return tsne(rows, near, seed=settings.seed, perplexity=settings.perplexity, weights=weights, start=start)


def _apart(
    places: Float64[np.ndarray, "new 2"], taken: Float64[np.ndarray, "old 2"], names: Sequence[str]
) -> Float64[np.ndarray, "new 2"]:
    """Places none of which is taken: what would hide or be hidden stands a third of the way to the next one aside."""
    from scipy.spatial import cKDTree

    if not len(places):
        return places
    every = np.unique(np.concatenate([taken, places]), axis=0)
    room = cKDTree(every).query(places, k=2)[0][:, 1] if len(every) > 1 else np.ones(len(places))
    moved = places.copy()
    used = {tuple(place) for place in taken.tolist()}
    for unit in sorted(range(len(places)), key=names.__getitem__):
        turn = 0
        while tuple(moved[unit].tolist()) in used:
            turn += 1
            angle = 2.399963 * turn  # the golden angle: turn after turn another direction
            moved[unit] = places[unit] + room[unit] / 3 * np.array([np.cos(angle), np.sin(angle)]) * 0.95**turn
        used.add(tuple(moved[unit].tolist()))
    return np.clip(moved, -1.0, 1.0)


def _of_all(
    near: Neighbours,
    order: Int64[np.ndarray, " placed"],
    leader: Int64[np.ndarray, " units"],
    *,
    varies: Bool[np.ndarray, " units"],
) -> Neighbours:
    """Neighbours among the units ``order``, as neighbours among all units; a copy has those of its leader."""
    units, k = len(leader), near.indices.shape[1]
    indices = np.full((units, k), -1, dtype=np.int32)
    correlations = np.zeros((units, k))
    indices[order] = np.where(near.indices >= 0, np.append(order, -1)[near.indices], -1)
    correlations[order] = near.correlations
    copies = np.flatnonzero(varies & (leader != np.arange(units)))
    indices[copies], correlations[copies] = indices[leader[copies]], correlations[leader[copies]]
    return Neighbours(indices, correlations, near.recall, near.absolute)
