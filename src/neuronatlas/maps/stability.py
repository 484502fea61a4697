"""How far a map would come out the same again: with another seed, and from other stimuli."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float64, Int64

from neuronatlas.errors import WrongInput
from neuronatlas.maps.quality import evenly_spread, map_neighbours
from neuronatlas.table import Responses

Places = Float64[np.ndarray, "units 2"]


@dataclass(frozen=True)
class Stability:
    """Means over pairs of maps: of all stimuli with two seeds, and of two halves of the stimuli with the first seed."""

    seeds_disparity: float
    seeds_overlap: float
    halves_disparity: float
    halves_overlap: float


def disparity(first: Float64[np.ndarray, "first 2"], second: Float64[np.ndarray, "second 2"]) -> float:
    """By how much two maps of the same units differ as a whole: 0 when they are the same figure, 1 when they share nothing.

    Both are centred and scaled to the same size, and the second is turned, mirrored and scaled onto the first; what is
    left is the sum of squares (`scipy.spatial.procrustes`; Gower 1975, Psychometrika 40:33). Units without a place, of
    NaN, in either are left out.
    """
    from scipy.spatial import procrustes

    one, two = _common(first, second)
    if any(len(places) < 2 or not np.ptp(places, axis=0).any() for places in (one, two)):
        message = f"positions of the {len(one)} units that both maps place are one point: there is nothing to compare"
        raise WrongInput(message)
    return min(max(float(procrustes(one, two)[2]), 0.0), 1.0)


def overlap(
    first: Float64[np.ndarray, "first 2"],
    second: Float64[np.ndarray, "second 2"],
    *,
    k: int = 15,
    sample: int | None = None,
) -> float:
    """The share of each unit's ``k`` nearest on one map that are among its ``k`` nearest on the other: 0 to 1.

    Only units that both maps place count, also as neighbours. ``sample`` limits the work to that many of them, evenly
    spread.
    """
    one, two = _common(first, second)
    chosen = evenly_spread(len(one), sample)
    before, after = (map_neighbours(places, k, of=chosen) for places in (one, two))
    hits = sum(np.count_nonzero(before == column[:, None]) for column in after.T)
    return float(hits / before.size)


def stability(
    place: Callable[[Responses, int], Places],
    responses: Responses,
    *,
    seeds: Sequence[int] = (0, 1),
    splits: int = 1,
    k: int = 15,
    sample: int | None = None,
) -> Stability:
    """`disparity` and `overlap` of maps that ``place`` makes of responses and a seed: the place of each unit, or NaN.

    Of a `ResponseMap`: ``lambda table, seed: replace(settings, seed=seed).fit(table).positions``. Each of the ``splits``
    deals the stimuli at random, but alike in every run, into two halves.
    """
    count = len(responses.stimuli)
    if len(set(seeds)) < 2 or splits < 1 or count < 4:
        message = (
            f"seeds {tuple(seeds)}, splits {splits} and {count} stimuli: at least 2 different seeds, 1 split and 4 stimuli "
            "are needed to compare maps"
        )
        raise WrongInput(message)
    maps = [place(responses, seed) for seed in seeds]
    of_halves = [
        tuple(place(responses.select(stimuli=part.tolist()), seeds[0]) for part in halves(count, split))
        for split in range(splits)
    ]
    pairs = list(combinations(maps, 2))
    return Stability(
        _mean(disparity(one, two) for one, two in pairs),
        _mean(overlap(one, two, k=k, sample=sample) for one, two in pairs),
        _mean(disparity(one, two) for one, two in of_halves),
        _mean(overlap(one, two, k=k, sample=sample) for one, two in of_halves),
    )


def halves(stimuli: int, split: int = 0) -> tuple[Int64[np.ndarray, " first"], Int64[np.ndarray, " second"]]:
    """Two halves of so many stimuli, dealt at random but alike in every run."""
    dealt = np.random.default_rng(split).permutation(stimuli)
    return np.sort(dealt[: stimuli // 2]), np.sort(dealt[stimuli // 2 :])


def _mean(numbers: Iterable[float]) -> float:
    return float(np.mean(list(numbers)))


def _common(
    first: Float64[np.ndarray, "first 2"], second: Float64[np.ndarray, "second 2"]
) -> tuple[Float64[np.ndarray, "both 2"], Float64[np.ndarray, "both 2"]]:
    """The places of the units that both maps place."""
    if len(first) != len(second):
        message = (
            f"positions of {len(first)} and of {len(second)} units: give maps of the same units, in the same order"
        )
        raise WrongInput(message)
    both = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
    return first[both], second[both]
