"""What every unit is expected to do in each situation, and which units tell the situation best.

After the maps of Jaderberg et al., "Human-level performance in 3D multiplayer games with population-based reinforcement
learning" (Science 2019, arXiv 1807.01281, figure on the agent's representation): the mean response of each unit given a
situation, and single units that are selective for one. A situation is any yes-or-no question about a stimulus; several
may hold at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps.scale import onto_deviations, usual_level

_BLOCK = 4_000_000
"""Numbers sorted together."""


@dataclass(frozen=True, eq=False)
class Situations:
    """Each row belongs to one of ``names``, each column to a unit; NaN where there is nothing to count.

    ``counts``: the stimuli of each situation. ``expected``: the mean of the finite responses in it. ``deviations``: the
    same less the unit's mean over all stimuli, in the unit's standard deviations over all stimuli. ``accuracy``: the
    balanced accuracy, 0.5 being chance, with which one threshold on this unit alone tells the situation from all others,
    scored on stimuli that did not choose it (`held_out_accuracy`). ``notes``: what a reader should know.
    """

    names: tuple[str, ...]
    counts: Int64[np.ndarray, " situations"]
    expected: Float64[np.ndarray, "situations units"]
    deviations: Float64[np.ndarray, "situations units"]
    accuracy: Float64[np.ndarray, "situations units"]
    notes: tuple[str, ...]

    def most_selective(self, name: str, count: int = 5) -> Int64[np.ndarray, " best"]:
        """The units that tell a situation best, best first: by accuracy, then by how far they deviate, then by index.

        Fewer than ``count`` where fewer have an accuracy.
        """
        if name not in self.names:
            raise UnknownName("situation", name, self.names)
        row = self.names.index(name)
        far = np.abs(np.nan_to_num(self.deviations[row]))
        order = np.lexsort((np.arange(len(far)), -far, -self.accuracy[row]))  # NaN is sorted last
        return order[: min(count, int(np.isfinite(self.accuracy[row]).sum()))]


def by_label(labels: Sequence[str]) -> dict[str, Bool[np.ndarray, " stimuli"]]:
    """One situation for each label, in the order in which they first occur; "" is no label.

    >>> by_label(["cat", "", "cat"])
    {'cat': array([ True, False, True])}
    """
    found = np.asarray(labels, dtype=object)
    return {label: (found == label).astype(bool) for label in dict.fromkeys(labels) if label}


def halves(conditions: Mapping[str, Bool[np.ndarray, " stimuli"]], stimuli: int) -> Bool[np.ndarray, " stimuli"]:
    """Which stimuli choose the thresholds: every other one of those that are in the same situations, the rest score.

    The stimuli are put in the order of the situations that they are in, otherwise as they come, and those at even places
    choose. Stimuli that resemble their neighbours, as the frames of a film do, want a division by time instead.
    """
    table = np.zeros((stimuli, 0), dtype=bool) if not conditions else np.stack(list(conditions.values()), axis=1)
    order = np.lexsort((np.arange(stimuli), *table.T[::-1]))
    chosen = np.zeros(stimuli, dtype=bool)
    chosen[order[::2]] = True
    return chosen


def situations(
    values: Float[np.ndarray, "stimuli units"],
    conditions: Mapping[str, Bool[np.ndarray, " _"]],
    *,
    fitted: Bool[np.ndarray, " _"] | None = None,
) -> Situations:
    """Every unit in every situation. ``conditions`` says of each which stimuli are in it: see `by_label`.

    ``fitted``: the stimuli that choose the thresholds, the others score (default: `halves`). Responses that are not
    finite are left out, unit by unit. Raises `WrongInput` for a condition that does not fit the stimuli or holds none.
    """
    _check(len(values), conditions)
    if fitted is None:
        fitted = halves(conditions, len(values))
    elif len(fitted) != len(values):
        message = f"fitted holds {len(fitted)} marks for {len(values)} stimuli: give one for each"
        raise WrongInput(message)
    members = np.stack(list(conditions.values()))
    mean, deviation = usual_level(values)
    expected = np.full((len(members), values.shape[1]), np.nan)
    for row, inside in enumerate(members):
        expected[row] = usual_level(values[inside])[0]
    return Situations(
        names=tuple(conditions),
        counts=members.sum(axis=1),
        expected=expected,
        deviations=onto_deviations(expected, mean, deviation),
        accuracy=held_out_accuracy(values, members, fitted),
        notes=_remarks(values, conditions, fitted),
    )


def held_out_accuracy(
    values: Float[np.ndarray, "stimuli units"],
    members: Bool[np.ndarray, "situations stimuli"],
    fitted: Bool[np.ndarray, " stimuli"],
) -> Float64[np.ndarray, "situations units"]:
    """How well one threshold on one unit tells each situation, on the stimuli that are not ``fitted``.

    Of all thresholds midway between two neighbouring responses to fitted stimuli, with the situation above or below it,
    the one with the highest balanced accuracy there (the mean of the shares of members and of others that are rightly
    told); of equally good ones the lowest. NaN where either part has no member or no other with
    a finite response, or all fitted responses are equal.
    """
    found = np.full((len(members), values.shape[1]), np.nan)
    step = max(1, _BLOCK // max(len(values), 1))
    for start in range(0, values.shape[1], step):
        part = values[:, start : start + step].astype(np.float64)
        part[~np.isfinite(part)] = np.nan
        chosen, kept = part[fitted], part[~fitted]
        order = np.argsort(chosen, axis=0, kind="stable")  # NaN is sorted last
        rising = np.take_along_axis(chosen, order, axis=0)
        for row, inside in enumerate(members):
            threshold, sign = _threshold(rising, inside[fitted][order])
            found[row, start : start + step] = _score(kept, inside[~fitted], threshold, sign)
    return found


def _threshold(
    rising: Float64[np.ndarray, "fitted units"], inside: Bool[np.ndarray, "fitted units"]
) -> tuple[Float64[np.ndarray, " units"], Float64[np.ndarray, " units"]]:
    """The best threshold on each rising column, and 1 where members lie above it, -1 where below; NaN where none is."""
    if len(rising) < 2:
        return np.full(rising.shape[1], np.nan), np.ones(rising.shape[1])
    known = np.isfinite(rising)
    member, other = inside & known, ~inside & known
    members, others = member.sum(axis=0), other.sum(axis=0)
    below, above_others = np.cumsum(member, axis=0)[:-1], np.cumsum(other, axis=0)[:-1]
    # Whole numbers, so that equally good thresholds are equal: 2 * members * others * (balanced accuracy - 1/2).
    lead = (members - below) * others + above_others * members - members * others
    lead = np.where(rising[1:] > rising[:-1], lead, 0)  # false where the upper one is NaN
    best = np.argmax(np.abs(lead), axis=0)
    columns = np.arange(rising.shape[1])
    usable = (members > 0) & (others > 0) & (rising[1:] > rising[:-1]).any(axis=0)
    low, high = rising[best, columns], rising[best + 1, columns]
    return np.where(usable, low + (high - low) / 2, np.nan), np.where(lead[best, columns] < 0, -1.0, 1.0)


def _score(
    kept: Float64[np.ndarray, "kept units"],
    inside: Bool[np.ndarray, " kept"],
    threshold: Float64[np.ndarray, " units"],
    sign: Float64[np.ndarray, " units"],
) -> Float64[np.ndarray, " units"]:
    """The balanced accuracy of these thresholds."""
    known = np.isfinite(kept)
    told = (kept > threshold) == (sign > 0)  # a value equal to the threshold lies below it
    members, others = known & inside[:, None], known & ~inside[:, None]
    right = (told & members).sum(axis=0), (~told & others).sum(axis=0)
    all_of = members.sum(axis=0), others.sum(axis=0)
    shares = [np.where(n > 0, hits / np.maximum(n, 1), np.nan) for hits, n in zip(right, all_of, strict=True)]
    return np.where(np.isfinite(threshold), (shares[0] + shares[1]) / 2, np.nan)


def _check(stimuli: int, conditions: Mapping[str, Bool[np.ndarray, " _"]]) -> None:
    """Refuse conditions that say nothing about these stimuli."""
    if not conditions:
        message = "conditions is empty: give at least one situation, for instance by_label(responses.labels)"
        raise WrongInput(message)
    for name, inside in conditions.items():
        if len(inside) != stimuli:
            message = f"the condition {name!r} holds {len(inside)} marks for {stimuli} stimuli: give one for each"
            raise WrongInput(message)
        if not inside.any():
            message = f"no stimulus is in the situation {name!r}: leave it out"
            raise WrongInput(message)


def _remarks(
    values: Float[np.ndarray, "stimuli units"],
    conditions: Mapping[str, Bool[np.ndarray, " stimuli"]],
    fitted: Bool[np.ndarray, " stimuli"],
) -> tuple[str, ...]:
    """The sentences of ``notes``."""
    remarks = []
    missing = int((~np.isfinite(values)).sum())
    if missing:
        remarks.append(f"{missing} responses are not finite and are left out")
    for name, inside in conditions.items():
        if inside.sum() == 1:
            remarks.append(f"{name!r} holds one stimulus: its map is the response to it")
        if inside.all():
            remarks.append(f"every stimulus is in {name!r}: there is nothing to tell it from")
        elif any(not (part & side).any() for part in (inside, ~inside) for side in (fitted, ~fitted)):
            remarks.append(f"{name!r} has no held-out accuracy: one half of the stimuli lacks members, or others")
    return tuple(remarks)
