"""Count, mean, variance, least and greatest response of each unit, from shards of a table that is never held whole.

The moments of two sets of stimuli give those of both together (Chan, Golub and LeVeque 1983, The American Statistician
37:242). Sums are taken one stimulus after the other in float64, and shards are merged in the order of their stimuli: the
same shards give the same bytes, whoever made them and in whatever order they came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from neuronatlas.errors import AtlasDamaged, WrongInput
from neuronatlas.maps.correlation import is_constant

_COLUMNS = 2**14
"""Units looked at together: their float64 numbers of one stimulus stay in the processor's cache."""


@runtime_checkable
class Stretch(Protocol):
    """What is known of the stimuli from ``start`` up to ``stop``."""

    @property
    def start(self) -> int:
        """The number of the first stimulus."""

    @property
    def stop(self) -> int:
        """One more than the number of the last stimulus."""


Part = TypeVar("Part", bound=Stretch)


def in_order(parts: Iterable[Part]) -> Iterator[Part]:
    """The parts by rising stimuli; raises `WrongInput` where stimuli between two of them are missing or there twice.

    A list may be in any order. What can be gone through only once, so that no more than one part is held, must be in
    order already.
    """
    if isinstance(parts, Sequence):
        parts = sorted(parts, key=lambda part: (part.start, part.stop))
    reached: int | None = None
    for part in parts:
        if reached is not None and part.start != reached:
            message = (
                f"parts hold stimuli up to {reached} and then from {part.start}: give every shard once, "
                "and those of an iterator in the order of their stimuli"
            )
            raise WrongInput(message)
        yield part
        reached = part.stop
    if reached is None:
        message = "parts is empty: give at least one shard"
        raise WrongInput(message)


def taken(arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[str, str]]) -> dict[str, np.ndarray]:
    """The arrays of these names, each of this dtype and this shape, "2" or "units k"; raises `AtlasDamaged`.

    Axes of one name are of one length.
    """
    found: dict[str, np.ndarray] = {}
    lengths: dict[str, int] = {}
    for name, (kind, axes) in shapes.items():
        array = arrays.get(name)
        if array is None or array.dtype != np.dtype(kind) or array.ndim != len(axes.split()):
            there = "is absent" if array is None else f"is {array.dtype} of shape {array.shape}"
            message = f"arrays: {name!r} {there}, and must be {kind} of the axes {axes}: the shard holds something else"
            raise AtlasDamaged(message)
        for axis, length in zip(axes.split(), array.shape, strict=True):
            expected = int(axis) if axis.isdigit() else lengths.setdefault(axis, length)
            if length != expected:
                message = (
                    f"arrays: {name!r} has {length} of {axis}, where {expected} are expected: the shard is not sound"
                )
                raise AtlasDamaged(message)
        found[name] = array
    return found


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of the finite responses of each unit to the stimuli from ``start`` up to ``stop``.

    ``squares`` is the sum of the squared distances from the ``mean``. Where ``count`` is 0, mean, ``low`` and ``high``
    are NaN.
    """

    start: int
    stop: int
    count: Int64[np.ndarray, " units"]
    mean: Float64[np.ndarray, " units"]
    squares: Float64[np.ndarray, " units"]
    low: Float64[np.ndarray, " units"]
    high: Float64[np.ndarray, " units"]

    @classmethod
    def of(cls, values: Float32[np.ndarray, "stimuli units"], start: int = 0) -> Moments:
        """The moments of a table; ``start`` is the number of its first stimulus.

        >>> Moments.of(np.float32([[1, 5], [3, np.nan]])).mean
        array([2., 5.])
        """
        stimuli, units = values.shape
        count = np.full(units, stimuli, dtype=np.int64)
        mean, squares, low, high = np.zeros((4, units))
        for begin in range(0, units, _COLUMNS):
            some = slice(begin, begin + _COLUMNS)
            part = values[:, some]
            with np.errstate(invalid="ignore"):
                total = _total(part)
            broken = np.flatnonzero(~np.isfinite(total))  # of float32 numbers the sum is finite if they are
            total[broken] = 0.0
            mean[some] = total / max(stimuli, 1)
            squares[some] = _squares(part, mean[some])
            if stimuli:
                low[some], high[some] = part.min(axis=0), part.max(axis=0)
            if len(broken):
                places = begin + broken
                count[places], mean[places], squares[places], low[places], high[places] = _masked(part[:, broken])
        mean[count == 0] = low[count == 0] = high[count == 0] = np.nan
        return cls(start, start + stimuli, count, mean, squares, low, high)

    @classmethod
    def merge(cls, parts: Iterable[Moments]) -> Moments:
        """The moments of all stimuli of shards that follow on each other; see `in_order` for their order."""
        result: Moments | None = None
        for part in in_order(parts):
            result = part if result is None else result._with(part)  # noqa: SLF001
        assert result is not None
        return result

    @property
    def missing(self) -> Int64[np.ndarray, " units"]:
        """How many responses of each unit were not finite."""
        return self.stop - self.start - self.count

    @property
    def variance(self) -> Float64[np.ndarray, " units"]:
        """The variance over count - 1; NaN with fewer than two responses."""
        return np.where(self.count > 1, self.squares / np.maximum(self.count - 1, 1), np.nan)

    @property
    def std(self) -> Float64[np.ndarray, " units"]:
        """The standard deviation, the root of `variance`."""
        return np.sqrt(self.variance)

    @property
    def constant(self) -> Bool[np.ndarray, " units"]:
        """Which units do not vary, by the rule of `correlation.is_constant`."""
        return is_constant(self.count, self.low, self.high)

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as arrays by name, for a file."""
        stretch = np.array([self.start, self.stop], dtype=np.int64)
        return {
            "moments_stimuli": stretch,
            "moments_count": self.count,
            "moments_mean": self.mean,
            "moments_squares": self.squares,
            "moments_low": self.low,
            "moments_high": self.high,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Moments:
        """What `arrays` gave, which may stand among others; raises `AtlasDamaged`."""
        kinds = {"moments_stimuli": ("int64", "2"), "moments_count": ("int64", "units")}
        kinds |= {f"moments_{name}": ("float64", "units") for name in ("mean", "squares", "low", "high")}
        found = taken(arrays, kinds)
        start, stop = found.pop("moments_stimuli").tolist()
        return cls(start, stop, *found.values())

    def _with(self, other: Moments) -> Moments:
        """The moments of both."""
        if len(self.count) != len(other.count):
            message = f"parts are of {len(self.count)} and of {len(other.count)} units: merge shards of the same units"
            raise WrongInput(message)
        count = self.count + other.count
        share = other.count / np.maximum(count, 1)
        apart = np.where((self.count > 0) & (other.count > 0), other.mean - self.mean, 0.0)
        mean = np.where(self.count > 0, self.mean, other.mean) + np.where(self.count > 0, apart * share, 0.0)
        squares = self.squares + other.squares + apart * apart * (self.count * share)
        low, high = np.fmin(self.low, other.low), np.fmax(self.high, other.high)
        return Moments(self.start, other.stop, count, mean, squares, low, high)


def _total(values: Float32[np.ndarray, "stimuli units"]) -> Float64[np.ndarray, " units"]:
    """The sum of each column, one stimulus after the other: numpy's own order goes by the layout in memory."""
    total = np.zeros(values.shape[1])
    for row in values:
        total += row
    return total


def _squares(
    values: Float32[np.ndarray, "stimuli units"], mean: Float64[np.ndarray, " units"]
) -> Float64[np.ndarray, " units"]:
    """The sum of the squared distances of each column from ``mean``."""
    total, apart = np.zeros(values.shape[1]), np.empty(values.shape[1])
    for row in values:
        np.subtract(row, mean, out=apart)
        np.multiply(apart, apart, out=apart)
        total += apart
    return total


def _masked(
    values: Float32[np.ndarray, "stimuli units"],
) -> tuple[
    Int64[np.ndarray, " units"],
    Float64[np.ndarray, " units"],
    Float64[np.ndarray, " units"],
    Float64[np.ndarray, " units"],
    Float64[np.ndarray, " units"],
]:
    """Count, mean, squares, least and greatest of what is finite."""
    finite = np.isfinite(values)
    count = finite.sum(axis=0, dtype=np.int64)
    mean = _total(np.where(finite, values, np.float32(0))) / np.maximum(count, 1)
    squares = np.zeros(values.shape[1])
    for row, known in zip(values, finite, strict=True):
        apart = np.where(known, row, mean) - mean
        squares += apart * apart
    low = np.where(finite, values, np.float32(np.inf)).min(axis=0).astype(np.float64)
    high = np.where(finite, values, np.float32(-np.inf)).max(axis=0).astype(np.float64)
    return count, mean, squares, low, high
