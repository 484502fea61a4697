"""The stimuli that each unit responds to most and least, from shards of a table that is never held whole.

A response and the number of its stimulus stand in one whole number, which sorts by response and then by falling number.
So no two are equal, and what is kept of any shards, in any order, is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, UInt64

from neuronatlas.errors import AtlasDamaged, WrongInput
from neuronatlas.maps.moments import taken

_COLUMNS = 2**16
_SORTED, _SORTED_COLUMNS = 64, 2**12
"""Stimuli whose responses are sorted at once; of those after them only what is better than what is kept is looked at."""
_LAST = 2**32 - 1
_LOW_BITS = np.uint64(_LAST)
_HALF = np.uint64(32)
_SIGN = np.uint32(2**31)

Keys = UInt64[np.ndarray, "k units"]


def first_alike(identities: Iterable[str]) -> Int64[np.ndarray, " stimuli"]:
    """For each stimulus the number of the first one that has its identity: that of the same picture.

    >>> first_alike(["cat", "dog", "cat"])
    array([0, 1, 0])
    """
    seen: dict[str, int] = {}
    return np.array([seen.setdefault(one, number) for number, one in enumerate(identities)], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Extremes:
    """The ``k`` stimuli of the greatest and of the least finite response of each unit.

    Equal responses stand in the order of their stimuli. A picture that occurs more than once is kept once, under its
    first number. Rows are filled up with the stimulus -1 and the response NaN where there are too few.

    ``best`` and ``worst`` hold both as whole numbers, the best first; 0 where there is none. No number of a stimulus is
    above ``newest``.
    """

    best: Keys
    worst: Keys
    newest: int

    @classmethod
    def of(
        cls,
        values: Float32[np.ndarray, "stimuli units"],
        first: int = 0,
        k: int = 9,
        identities: Int64[np.ndarray, " numbers"] | None = None,
    ) -> Extremes:
        """The extremes of a table; ``first`` is the number of its first stimulus.

        ``identities`` gives each of its stimuli the number of the first stimulus of all shards that is the same picture,
        see `first_alike`; without, all differ.
        """
        if k < 1:
            message = f"k (={k}) must be at least 1: 9 is usual"
            raise WrongInput(message)
        none = np.zeros((k, values.shape[1]), dtype=np.uint64)
        return cls(none, none, -1).extended(values, first, identities)

    def extended(
        self,
        values: Float32[np.ndarray, "stimuli units"],
        first: int,
        identities: Int64[np.ndarray, " numbers"] | None = None,
    ) -> Extremes:
        """These and the stimuli of another table, which is what `merge` with those `of` the table gives, sooner."""
        stimuli, units = values.shape
        if units != self.best.shape[1]:
            message = f"values are of {units} units, the extremes of {self.best.shape[1]}: give the same units"
            raise WrongInput(message)
        numbers = _numbers(first, stimuli, identities)
        own = np.arange(first, first + stimuli)
        fresh = (numbers == own) & (own > self.newest)
        best, worst = self.best.copy(), self.worst.copy()
        for begin in range(0, units, _COLUMNS):
            some = slice(begin, begin + _COLUMNS)
            part = values[:, some]
            for ends, sign in ((best[:, some], 1), (worst[:, some], -1)):
                _extend(ends, part if fresh.all() else part[fresh], own[fresh], sign=sign)
                if not fresh.all():
                    found, those = _once(part[~fresh], numbers[~fresh], sign=sign)
                    again = np.zeros_like(ends)
                    _extend(again, found, those, sign=sign)
                    ends[...] = _best_of(ends, again)
        return Extremes(best, worst, max(self.newest, first + stimuli - 1))

    @classmethod
    def merge(cls, parts: Iterable[Extremes]) -> Extremes:
        """The extremes of all stimuli of some shards, whose order does not matter."""
        result: Extremes | None = None
        for part in parts:
            if result is None:
                result = part
                continue
            if part.best.shape != result.best.shape:
                message = (
                    f"parts hold {result.best.shape} and {part.best.shape} stimuli and units: merge those of the same "
                    "k and units"
                )
                raise WrongInput(message)
            best, worst = _best_of(result.best, part.best), _best_of(result.worst, part.worst)
            result = cls(best, worst, max(result.newest, part.newest))
        if result is None:
            message = "parts is empty: give at least one shard"
            raise WrongInput(message)
        return result

    @property
    def best_values(self) -> Float32[np.ndarray, "units k"]:
        """The greatest responses of each unit, falling; NaN where there is none."""
        return _values(self.best, sign=1)

    @property
    def best_stimuli(self) -> Int64[np.ndarray, "units k"]:
        """The numbers of their stimuli; -1 where there is none."""
        return _stimuli(self.best)

    @property
    def worst_values(self) -> Float32[np.ndarray, "units k"]:
        """The least responses of each unit, rising; NaN where there is none."""
        return _values(self.worst, sign=-1)

    @property
    def worst_stimuli(self) -> Int64[np.ndarray, "units k"]:
        """The numbers of their stimuli; -1 where there is none."""
        return _stimuli(self.worst)

    def arrays(self) -> dict[str, np.ndarray]:
        """The responses and stimuli as arrays by name, for a file."""
        return {
            "extremes_best_values": self.best_values,
            "extremes_best_stimuli": self.best_stimuli,
            "extremes_worst_values": self.worst_values,
            "extremes_worst_stimuli": self.worst_stimuli,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Extremes:
        """What `arrays` gave, which may stand among others; raises `AtlasDamaged`."""
        kinds = {"values": ("float32", "units k"), "stimuli": ("int64", "units k")}
        found = taken(
            arrays, {f"extremes_{end}_{what}": kind for end in ("best", "worst") for what, kind in kinds.items()}
        )
        numbers = [array for name, array in found.items() if name.endswith("stimuli")]
        if any(np.any((array < -1) | (array >= _LAST)) for array in numbers):
            message = f"arrays: the extremes hold stimuli below -1 or above {_LAST - 1}: the shard is not sound"
            raise AtlasDamaged(message)
        ends = []
        for end, sign in (("best", 1), ("worst", -1)):
            values, stimuli = found[f"extremes_{end}_values"], found[f"extremes_{end}_stimuli"]
            keys = _keys(values, np.maximum(stimuli, 0), sign=sign)
            ends.append(np.ascontiguousarray(np.where(stimuli < 0, np.uint64(0), keys).T))
        return cls(ends[0], ends[1], max(int(array.max(initial=-1)) for array in numbers))


def _numbers(
    first: int, stimuli: int, identities: Int64[np.ndarray, " numbers"] | None
) -> Int64[np.ndarray, " stimuli"]:
    """The number that each stimulus of a table is kept under; raises `WrongInput`."""
    own = np.arange(first, first + stimuli, dtype=np.int64)
    if first < 0 or first + stimuli > _LAST:
        message = f"first (={first}) must be 0 or more, and the stimuli fewer than {_LAST}"
        raise WrongInput(message)
    if identities is None:
        return own
    if identities.shape != own.shape or np.any((identities < 0) | (identities > own)):
        message = (
            f"identities ({len(identities)} for {stimuli} stimuli) must give each the number of the first stimulus that is "
            "the same picture, at most its own: see first_alike"
        )
        raise WrongInput(message)
    return identities


def _keys(
    values: Float32[np.ndarray, "*shape"], numbers: np.ndarray | np.int64, *, sign: int
) -> UInt64[np.ndarray, "*shape"]:
    """Responses and the numbers of their stimuli in one; the greatest (least, for ``sign`` -1) and earliest is most.

    The bits of a float sort as whole numbers do once those of negative ones are turned round. 0 where not finite.
    """
    known = values * np.float32(sign) + np.float32(0)  # one zero, not two
    bits = known.view(np.uint32)
    rising = np.where(bits >= _SIGN, ~bits, bits | _SIGN)
    rising[~np.isfinite(known)] = 0
    keys = rising.astype(np.uint64) << _HALF
    keys |= (_LAST - np.asarray(numbers)).astype(np.uint64)
    keys[rising == 0] = 0
    return keys


def _values(keys: Keys, *, sign: int) -> Float32[np.ndarray, "units k"]:
    rising = np.ascontiguousarray((keys >> _HALF).astype(np.uint32).T)
    values = np.where(rising >= _SIGN, rising ^ _SIGN, ~rising).view(np.float32) * np.float32(sign) + np.float32(0)
    return np.where(keys.T > 0, values, np.float32(np.nan))


def _stimuli(keys: Keys) -> Int64[np.ndarray, "units k"]:
    return np.where(keys > 0, _LAST - (keys & _LOW_BITS).astype(np.int64), -1).T.copy()


def _extend(
    keys: Keys, values: Float32[np.ndarray, "stimuli units"], numbers: Int64[np.ndarray, " stimuli"], *, sign: int
) -> None:
    """Put those responses among the ``keys``, in place, that are better.

    The numbers rise, from above all that are there: so of equal responses the one that is there stays.
    """
    k, units = keys.shape
    begin = 0
    if not keys[-1].any():
        begin = max(_SORTED, k)
        for start in range(0, units, _SORTED_COLUMNS):
            some = slice(start, start + _SORTED_COLUMNS)
            fresh = _keys(np.ascontiguousarray(values[:begin, some].T), numbers[:begin], sign=sign)
            found = np.concatenate([keys[:, some].T, fresh], axis=1)
            found.partition(found.shape[1] - k, axis=1)
            keys[:, some] = np.sort(found[:, -k:], axis=1)[:, ::-1].T
    least = _least(keys, sign)
    for row, number in zip(values[begin:], numbers[begin:], strict=True):
        better = np.flatnonzero(row > least if sign > 0 else row < least)
        if not len(better):
            continue
        moving = _keys(row[better], number, sign=sign)
        kept = keys[:, better]
        for place in kept:  # down the list: the greater stays, the lesser goes on
            lesser = np.minimum(place, moving)
            np.maximum(place, moving, out=place)
            moving = lesser
        keys[:, better] = kept
        least[better] = _least(kept, sign)


def _once(
    values: Float32[np.ndarray, "stimuli units"], numbers: Int64[np.ndarray, " stimuli"], *, sign: int
) -> tuple[Float32[np.ndarray, "pictures units"], Int64[np.ndarray, " pictures"]]:
    """The best response of each unit to each picture, and the rising numbers of the pictures."""
    pictures, which = np.unique(numbers, return_inverse=True)
    found = np.full((len(pictures), values.shape[1]), np.nan, dtype=np.float32)
    for row, picture in zip(values, which.tolist(), strict=True):
        better = np.fmax if sign > 0 else np.fmin
        found[picture] = better(found[picture], np.where(np.isfinite(row), row, np.float32(np.nan)))
    return found, pictures


def _least(keys: Keys, sign: int) -> Float32[np.ndarray, " units"]:
    """The response that the next must be better than."""
    found = _values(keys[-1:], sign=sign)[:, 0]
    return np.where(np.isnan(found), np.float32(-np.inf * sign), found)


def _best_of(one: Keys, other: Keys) -> Keys:
    """The best of both, each stimulus once."""
    k, units = one.shape
    result = np.empty_like(one)
    for begin in range(0, units, _SORTED_COLUMNS):
        some = slice(begin, begin + _SORTED_COLUMNS)
        both = np.ascontiguousarray(np.concatenate([one[:, some], other[:, some]]).T)
        # By stimulus, then by response: of two of the same stimulus the first is worse.
        both = (both << _HALF) | (both >> _HALF)
        both.sort(axis=1)
        twice = (both[:, :-1] >> _HALF) == (both[:, 1:] >> _HALF)
        both[:, :-1][twice] = 0
        both = (both << _HALF) | (both >> _HALF)
        both.sort(axis=1)
        result[:, some] = both[:, ::-1][:, :k].T
    return result
