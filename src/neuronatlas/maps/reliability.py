"""How good a fitted map is, and how far the same map comes out again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float64, Int64

from neuronatlas.maps.correlation import Neighbours, standardise
from neuronatlas.maps.fitting import Fitted, fit_units
from neuronatlas.maps.layouts import canonical_order
from neuronatlas.maps.quality import (
    continuity,
    neighbour_correlation,
    neighbour_recall,
    topography,
    trustworthiness,
)
from neuronatlas.maps.scale import onto_range
from neuronatlas.maps.settings import MapSettings, plain
from neuronatlas.maps.stability import halves, stability
from neuronatlas.table import Responses

FEWEST_UNITS = 8

_UNITS, _UNITS_OF_MANY, _MANY = 2000, 500, 20_000
_STIMULI, _SHOWN_CELLS = 200, 20_000_000
_PERMUTATIONS = 19


def quality(settings: MapSettings, fitted: Fitted) -> dict[str, float]:
    """The scores that `ResponseMap.quality` lists; empty below 8 placed units."""
    units = np.flatnonzero(fitted.placed)
    if len(units) < FEWEST_UNITS:
        return {}
    names = [str(fitted.responses.units[unit]) for unit in units]
    units = units[
        canonical_order(np.zeros((len(units), 0)), names)
    ]  # so that the same units are looked at in any order
    if fitted.sketched is None:
        rows = standardise(fitted.responses.values[:, units], settings.correlation).rows
    else:
        rows = fitted.sketched.standardised(units).rows
    back = np.zeros(len(fitted.placed) + 1, dtype=np.int32)
    back[units], back[-1] = np.arange(len(units)), -1
    known = fitted.neighbours
    near = Neighbours(back[known.indices[units]], known.correlations[units], known.recall, known.absolute)
    k = min(15, (len(units) - 1) // 2)
    places = fitted.positions[units]
    sample = _UNITS if len(units) <= _MANY else _UNITS_OF_MANY
    scores = {
        "trustworthiness": trustworthiness(rows, places, k=k, sample=sample, absolute=settings.absolute),
        "continuity": continuity(rows, places, k=k, sample=sample, absolute=settings.absolute),
        "recall": neighbour_recall(near, places, k=k),
        "correlation": neighbour_correlation(rows, near, places, k=k, sample=sample),
    }
    scores |= _topography(places, _shown(fitted, fitted.responses)[:, units], k)
    return {"k": float(k)} | {name: round(score, 6) for name, score in scores.items() if not np.isnan(score)}


def reliability(settings: MapSettings, fitted: Fitted) -> dict[str, float]:
    """The scores that `ResponseMap.reliability` lists; without those that so few units or stimuli do not allow."""
    responses = fitted.responses
    if fitted.sketched is not None or len(responses.stimuli) < 4 or int(fitted.placed.sum()) < FEWEST_UNITS:
        return {}
    made: dict[tuple[tuple[str, ...], int], Fitted] = {}

    def place(part: Responses, seed: int) -> Float64[np.ndarray, "units 2"]:
        key = part.stimuli, seed
        if key not in made:
            made[key] = fit_units(replace(plain(settings), seed=seed), part, None)
        one = made[key]
        return np.where(one.placed[:, None], one.positions, np.nan)  # copies lie together in any map

    seeds = (settings.seed, settings.seed ^ 1)
    for seed in seeds:
        place(responses, seed)
    parts = [responses.select(stimuli=half.tolist()) for half in halves(len(responses.stimuli))]
    both = np.logical_and.reduce([np.isfinite(place(part, seeds[0])[:, 0]) for part in parts])
    scores: dict[str, float] = {}
    if int(both.sum()) >= FEWEST_UNITS:
        k = min(15, (int(both.sum()) - 1) // 2)
        scores |= {name: float(value) for name, value in vars(stability(place, responses, seeds=seeds, k=k)).items()}
    first = made[parts[0].stimuli, seeds[0]]
    units = _in_order(first)
    if len(units) >= FEWEST_UNITS:
        k = min(15, (len(units) - 1) // 2)
        held_out = _topography(first.positions[units], _shown(first, parts[1])[:, units], k)
        scores |= {f"held_out_{name}": value for name, value in held_out.items()}
    return {name: round(score, 6) for name, score in scores.items() if not np.isnan(score)}


def _in_order(fitted: Fitted) -> Int64[np.ndarray, " placed"]:
    """The units that were laid out, by name: so the same ones are looked at whatever the order of the table."""
    units = np.flatnonzero(fitted.placed)
    names = [str(fitted.responses.units[unit]) for unit in units]
    return units[canonical_order(np.zeros((len(units), 0)), names)]


def _shown(fitted: Fitted, responses: Responses) -> Float64[np.ndarray, "stimuli units"]:
    """Some of the stimuli, evenly spread, from 0 to 1 a unit: 200, fewer of very many units."""
    count = int(np.clip(_SHOWN_CELLS // max(len(responses.units), 1), 8, _STIMULI))
    chosen = np.unique(np.linspace(0, len(responses.stimuli) - 1, min(count, len(responses.stimuli))).astype(int))
    return onto_range(responses.values[chosen].astype(np.float64), fitted.low, fitted.high)


def _topography(
    places: Float64[np.ndarray, "units 2"], values: Float64[np.ndarray, "stimuli units"], k: int
) -> dict[str, float]:
    """Moran's I with that of units dealt out at random; nothing where no stimulus tells the units apart."""
    known = np.where(np.isfinite(values), values, np.nan)
    if not any(len(np.unique(row[~np.isnan(row)])) > 1 for row in known):
        return {}
    found = topography(places, values, k=min(8, k), permutations=_PERMUTATIONS, sample=_UNITS)
    return {"moran": found.moran, "moran_null": found.null_mean, "moran_p": found.p}
