"""From responses to a map: copies found, units correlated, laid out and named where they could not be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from neuronatlas.maps.correlation import Neighbours, nearest_neighbours, standardise
from neuronatlas.maps.duplicates import Copies, find_copies
from neuronatlas.maps.layouts import (
    FEWEST_FOR_TSNE,
    LANDMARKS_ABOVE,
    LAYOUTS,
    canonical_order,
    into_square,
    neighbours_needed,
    procrustes,
    tsne,
    usable_perplexity,
)
from neuronatlas.maps.scale import SCALES, usual_level, usual_range
from neuronatlas.maps.settings import MapSettings
from neuronatlas.table import Responses

_FEWEST_NEIGHBOURS = 30


@dataclass(frozen=True, eq=False)
class Fitted:
    """What was found out about the units of ``responses``, each array in their order.

    ``placed``: the units that were laid out, one of each group of copies. ``varies``: those and their copies. ``low`` and
    ``high``: the responses drawn as 0 and 1; on the scale of deviations, a standard deviation below and above the mean.
    """

    responses: Responses
    positions: Float64[np.ndarray, "units 2"]
    placed: Bool[np.ndarray, " units"]
    varies: Bool[np.ndarray, " units"]
    original: Int64[np.ndarray, " units"]
    missing: Int64[np.ndarray, " units"]
    neighbours: Neighbours
    low: Float64[np.ndarray, " units"]
    high: Float64[np.ndarray, " units"]
    notes: tuple[str, ...]


def fit_units(settings: MapSettings, responses: Responses, start: Float64[np.ndarray, "units 2"] | None) -> Fitted:
    """Lay the units out; from ``start``, the places of an earlier map or NaN, where that is given."""
    rows, constant, missing = _standardised(responses, settings.correlation)
    varies = ~constant
    copies = find_copies(responses.values) if settings.merge else Copies(np.arange(len(responses.units)))
    leader = _leaders(copies, responses)
    placed = varies & (leader == np.arange(len(leader)))
    order = np.flatnonzero(placed)
    rows = rows if placed.all() else rows[order]  # copied no more often than need be: it may be gigabytes
    inner = canonical_order(rows, [str(responses.units[unit]) for unit in order])
    rows, order = rows[inner], order[inner]
    near = nearest_neighbours(rows, _neighbours(len(rows), settings.perplexity), absolute=settings.absolute)
    weights = _weights(responses, order) if settings.balanced else None
    places = _lay_out(settings, rows, near, weights=weights, start=None if start is None else start[order])
    positions = np.full((len(responses.units), 2), np.nan)
    positions[order] = into_square(places) if start is None else _within_square(places)
    positions[varies] = positions[leader[varies]]
    low, high = _ends(responses, settings.scale)
    found = _renumbered(near, order, len(responses.units))
    shared = np.where(varies, leader, np.arange(len(leader)))
    return Fitted(
        responses=responses,
        positions=positions,
        placed=placed,
        varies=varies,
        original=np.where(varies, copies.original, np.arange(len(leader))),
        missing=missing,
        neighbours=Neighbours(found.indices[shared], found.correlations[shared], found.recall, found.absolute),
        low=low,
        high=high,
        notes=_remarks(
            settings,
            responses,
            missing=missing,
            varies=varies,
            placed=placed,
            recall=near.recall,
        ),
    )


def _standardised(
    responses: Responses, method: str
) -> tuple[Float[np.ndarray, "units stimuli"], Bool[np.ndarray, " units"], Int64[np.ndarray, " units"]]:
    found = standardise(responses.values, method)
    return found.rows, found.constant, found.missing


def _neighbours(units: int, perplexity: float) -> int:
    return max(_FEWEST_NEIGHBOURS, neighbours_needed(units, perplexity))


def _leaders(copies: Copies, responses: Responses) -> Int64[np.ndarray, " units"]:
    """The unit that is laid out for each: of a group of copies the first by name, whatever the order of the table."""
    leader = copies.original.copy()
    for group in copies.groups:
        leader[list(group)] = min(group, key=lambda unit: str(responses.units[unit]))
    return leader


def _weights(responses: Responses, order: Int64[np.ndarray, " placed"]) -> Float64[np.ndarray, " placed"]:
    """One over the number of laid out units of the layer of each."""
    layers = [responses.units[unit].layer for unit in order]
    counts = Counter(layers)
    return np.array([1.0 / counts[layer] for layer in layers])


def _lay_out(
    settings: MapSettings,
    rows: np.ndarray,
    near: Neighbours,
    *,
    weights: Float64[np.ndarray, " placed"] | None,
    start: Float64[np.ndarray, "placed 2"] | None,
) -> Float64[np.ndarray, "placed 2"]:
    """The places by the chosen layout, turned onto ``start``."""
    if settings.layout == "tsne":
        return tsne(rows, near, seed=settings.seed, perplexity=settings.perplexity, weights=weights, start=start)
    places = LAYOUTS[settings.layout](rows, near, seed=settings.seed, perplexity=settings.perplexity)
    return places if start is None else procrustes(places, start)


def _within_square(places: Float64[np.ndarray, "placed 2"]) -> Float64[np.ndarray, "placed 2"]:
    """The places as they are, or, where some lie outside -1..1, all nearer to the middle by one factor."""
    reach = np.abs(places).max(initial=1.0)
    return np.clip(places / reach, -1.0, 1.0)


def _ends(responses: Responses, scale: str) -> tuple[Float64[np.ndarray, " units"], Float64[np.ndarray, " units"]]:
    if scale in SCALES:
        return usual_range(responses.values, scale)
    mean, deviation = usual_level(responses.values)
    return mean - deviation, mean + deviation


def _renumbered(near: Neighbours, order: Int64[np.ndarray, " placed"], units: int) -> Neighbours:
    """Neighbours among the units ``order``, as neighbours among all units."""
    k = near.indices.shape[1]
    indices = np.full((units, k), -1, dtype=np.int32)
    correlations = np.zeros((units, k))
    indices[order] = np.where(near.indices >= 0, np.append(order, -1)[near.indices], -1)
    correlations[order] = near.correlations
    return Neighbours(indices, correlations, near.recall, near.absolute)


def _remarks(
    settings: MapSettings,
    responses: Responses,
    *,
    missing: Int64[np.ndarray, " units"],
    varies: Bool[np.ndarray, " units"],
    placed: Bool[np.ndarray, " units"],
    recall: float,
) -> tuple[str, ...]:
    """What the reader of the map should know, one sentence each."""
    remarks = []
    units = int(placed.sum())
    if not varies.all():
        first = responses.units[int(np.argmin(varies))]
        remarks.append(f"{(~varies).sum()} of {len(varies)} units never vary and have no place (first: {first})")
    if (copies := varies & ~placed).any():
        first = responses.units[int(np.argmax(copies))]
        remarks.append(
            f"{copies.sum()} of {len(varies)} units are copies of another and share its place (first: {first})"
        )
    if missing.any():
        remarks.append(
            f"{missing.sum()} responses of {np.count_nonzero(missing)} units are not finite: each counts as its unit's mean"
        )
    perplexity = usable_perplexity(units, settings.perplexity)
    if settings.layout == "tsne" and 0 < units < FEWEST_FOR_TSNE:
        remarks.append(f"placed by principal components: t-SNE wants {FEWEST_FOR_TSNE} units, the map has {units}")
    elif settings.layout in ("tsne", "umap", "pacmap") and units > 0 and perplexity < settings.perplexity:
        remarks.append(f"perplexity lowered from {settings.perplexity:g} to {perplexity:g}: the map has {units} units")
    if settings.layout == "tsne" and units > LANDMARKS_ABOVE:
        remarks.append(f"laid out through landmarks, since there are {units} units")
    if recall < 1:
        remarks.append(
            f"neighbours were searched for, not compared one with all others: {recall:.1%} of them were found"
        )
    return tuple(remarks)
