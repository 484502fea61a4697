"""A random sketch of a table of responses, from which the correlation of any two units comes within about 0.03.

Each stimulus has a random row of ``size`` numbers, and the sketch of a unit is the sum over the stimuli of the row times
the response: so sketches of shards add up, and a table of any number of stimuli comes down to ``size`` numbers a unit.

The stimuli are taken 32 at a time. Their responses get random signs, are mixed by a Hadamard matrix and added, with random
signs again, into 32 of the ``size`` sums: a sparse embedding (Kane and Nelson 2014, Journal of the ACM 61:4) whose
columns are orthogonal within every ``size`` stimuli, since the groups of 32 among them are dealt out among the sums by one
permutation. Up to so many stimuli nothing is lost. Above, the error of a correlation that is 0 has the root mean square
sqrt((1 - sum of (n_b / n)**2) / size), where n_b of the n stimuli lie in block b of ``size``; plain random signs have
1 / sqrt(size). The greater a correlation r, the smaller its error: as that of any estimate from ``size`` samples, by about
1 - r**2, since rows are brought to length 1 by their own lengths. A unit that answers to one stimulus alone is spread
over 32 sums, so no two such units ever seem alike by falling into the same one.

Ranks are not sums over stimuli, so there is no such sketch of Spearman's correlation.

Only sums and differences are taken, each in a fixed order: the same shards give the same bytes, with any number of threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from neuronatlas.errors import AtlasDamaged, WrongInput
from neuronatlas.maps.correlation import Standardised, in_steps, kind_of
from neuronatlas.maps.mixing import add_mixed, groups_of
from neuronatlas.maps.moments import Moments, in_order, taken

SIZE = 1120
"""The least whole number of groups whose error never exceeds 0.03: 1 / 0.03**2 is 1,111."""

_COLUMNS = 2**13
_SCALE = 2.0**-20
"""Sums are held as this share of themselves, which leaves room for sums of the greatest numbers that float32 holds."""


@dataclass(eq=False)
class Sketch:
    """The sketch of the responses to the stimuli from ``start`` up to ``stop``, each less its unit's ``centre``.

    Row i of ``values`` is sum ``sums[i]`` of the ``size``; those that are left out are 0. ``ones`` is the same sketch of a
    table of ones, by which the centre can be moved. Responses that are not finite stand at the centre: ``gap_ones``, of the
    ``gap_units`` alone, is the sketch of a table with ones in their places, which do not move. So at the end each stands
    at its unit's mean over all stimuli.
    """

    start: int
    stop: int
    seed: int
    size: int
    centre: Float64[np.ndarray, " units"]
    sums: Int64[np.ndarray, " sums"]
    values: Float32[np.ndarray, "sums units"]
    ones: Float64[np.ndarray, " sums"]
    gap_units: Int64[np.ndarray, " gaps"]
    gap_ones: Float32[np.ndarray, "sums gaps"]

    @classmethod
    def of(
        cls, values: Float32[np.ndarray, "stimuli units"], moments: Moments, *, seed: int = 0, size: int = SIZE
    ) -> Sketch:
        """The sketch of a table whose `Moments` are known, which also say where its stimuli start.

        Sketches that are to be merged have the same ``seed`` and ``size``; the latter is a multiple of 32.
        """
        stimuli, units = values.shape
        if (moments.stop - moments.start, len(moments.count)) != values.shape:
            message = (
                f"moments are of {moments.stop - moments.start} stimuli and {len(moments.count)} units, values of {stimuli} "
                f"and {units}: give Moments.of(values, start)"
            )
            raise WrongInput(message)
        groups = groups_of(moments.start, stimuli, seed, size)
        sums = np.unique(np.array([group.sums for group in groups], dtype=np.int64))
        # A stimulus to which no response is finite tells nothing of any unit, and is left out of all sums.
        seen = np.isfinite(values).any(axis=1) if moments.missing.all() else np.ones(stimuli, dtype=bool)
        gaps = np.flatnonzero(moments.missing > np.count_nonzero(~seen))
        found = np.zeros((len(sums), units), dtype=np.float32)
        ones = np.zeros((len(sums), 1), dtype=np.float32)
        gap_ones = np.zeros((len(sums), len(gaps)), dtype=np.float32)
        for begin in range(0, units, _COLUMNS):
            some = slice(begin, begin + _COLUMNS)
            whole = not moments.missing[some].any()
            for group in groups:
                apart = _apart(values[group.first : group.last, some], moments.mean[some], whole=whole)
                add_mixed(found[:, some], sums, group, apart * _SCALE)
        for group in groups:
            part = slice(group.first, group.last)
            add_mixed(ones, sums, group, seen[part, None].astype(np.float64))
            for begin in range(0, len(gaps), _COLUMNS):
                some = slice(begin, begin + _COLUMNS)
                lost = ~np.isfinite(values[part, gaps[some]]) & seen[part, None]
                add_mixed(gap_ones[:, some], sums, group, lost.astype(np.float64))
        return cls(
            moments.start,
            moments.stop,
            seed,
            size,
            moments.mean,
            sums,
            found,
            ones[:, 0].astype(np.float64),
            gaps,
            gap_ones,
        )

    @classmethod
    def merge(cls, parts: Iterable[Sketch]) -> Sketch:
        """The sketch of all stimuli of shards that follow on each other; see `in_order` for their order."""
        result: Sketch | None = None
        for part in in_order(parts):
            if result is None:
                result = part._whole()  # noqa: SLF001
            else:
                result.add(part)
        assert result is not None
        return result

    def add(self, other: Sketch) -> None:
        """Take in, in place, the stimuli that follow; raises `WrongInput` where ``other`` is not of these.

        The centre stays where the first shard had it that knew the unit. That costs no precision to speak of: if n of N
        stimuli have their mean far from that of all, the standard deviation of all is at least sqrt(n / N) of the distance.
        """
        ours = (self.stop, self.seed, self.size, len(self.centre))
        theirs = (other.start, other.seed, other.size, len(other.centre))
        if ours != theirs:
            message = f"other starts at stimulus, has seed, size and units {theirs}, where {ours} go on: add the shard that follows"
            raise WrongInput(message)
        if len(self.sums) < self.size:
            whole = self._whole()
            self.sums, self.values, self.ones, self.gap_ones = whole.sums, whole.values, whole.ones, whole.gap_ones
        centre = np.where(np.isnan(self.centre), other.centre, self.centre)
        moved = np.where(np.isnan(other.centre), 0.0, other.centre - centre) * _SCALE
        for begin in range(0, len(centre), _COLUMNS):
            some = slice(begin, begin + _COLUMNS)
            shift = np.empty(len(centre[some]))
            for place, row in enumerate(other.sums):
                np.multiply(moved[some], other.ones[place], out=shift)
                shift += other.values[place, some]
                self.values[row, some] += shift
        for place, row in enumerate(other.sums):
            self.values[row, other.gap_units] -= other.gap_ones[place] * moved[other.gap_units]
        self.ones[other.sums] += other.ones
        gaps = np.union1d(self.gap_units, other.gap_units)
        if len(gaps) > len(self.gap_units):
            more = np.zeros((self.size, len(gaps)), dtype=np.float32)
            more[:, np.searchsorted(gaps, self.gap_units)] = self.gap_ones
            self.gap_units, self.gap_ones = gaps, more
        self.gap_ones[np.ix_(other.sums, np.searchsorted(gaps, other.gap_units))] += other.gap_ones
        self.centre, self.stop = centre, other.stop

    @property
    def error(self) -> float:
        """The root mean square error of a correlation that is 0; see above."""
        stimuli = self.stop - self.start
        blocks = np.arange(self.start // self.size, -(-self.stop // self.size) + 1)
        bounds = np.clip(blocks * self.size, self.start, self.stop)
        shares = (bounds[1:] - bounds[:-1]) / max(stimuli, 1)
        return float(np.sqrt(max(0.0, 1.0 - float(np.sum(shares * shares))) / self.size)) if stimuli else 0.0

    def standardised(self, moments: Moments, units: Int64[np.ndarray, " chosen"] | None = None) -> Standardised:
        """What `correlation.standardise` makes of the whole table for "pearson", but for `error`: of all units, or these.

        In place of the stimuli the rows have the sums that any stimulus was added to. ``moments`` are those of the same
        stimuli.
        """
        self._check(moments)
        used = self._used()
        chosen = np.arange(len(self.centre)) if units is None else units
        constant = moments.constant[chosen]
        rows = np.empty((len(chosen), len(used)), dtype=kind_of(len(chosen)))
        for begin in range(0, len(chosen), _COLUMNS // 4):
            some = slice(begin, begin + _COLUMNS // 4)
            table = np.ascontiguousarray(self._about(moments.mean, used, chosen[some]).T)
            table[constant[some]] = 0.0
            length = np.sqrt(np.sum(table * table, axis=1))
            constant[some] |= length == 0
            table /= np.where(length > 0, length, 1.0)[:, None]
            rows[some] = in_steps(table) if rows.dtype == np.float32 else table
        return Standardised(rows, constant, moments.missing[chosen])

    def table(self, moments: Moments) -> Float32[np.ndarray, "sums units"]:
        """The sketch about the mean of each unit, and the mean: what copies of a unit share, as they do its responses."""
        self._check(moments)
        used = self._used()
        found = np.empty((len(used) + 1, len(self.centre)), dtype=np.float32)
        for begin in range(0, len(self.centre), _COLUMNS):
            some = np.arange(begin, min(begin + _COLUMNS, len(self.centre)))
            found[:-1, some] = self._about(moments.mean, used, some)
            found[-1, some] = np.nan_to_num(moments.mean[some] * _SCALE)
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as arrays by name, for a file."""
        return {
            "sketch_stimuli": np.array([self.start, self.stop], dtype=np.int64),
            "sketch_rows": np.array([self.seed, self.size], dtype=np.int64),
            "sketch_centre": self.centre,
            "sketch_sums": self.sums,
            "sketch_values": self.values,
            "sketch_ones": self.ones,
            "sketch_gap_units": self.gap_units,
            "sketch_gap_ones": self.gap_ones,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Sketch:
        """What `arrays` gave, which may stand among others; raises `AtlasDamaged`."""
        kinds = {"stimuli": ("int64", "2"), "rows": ("int64", "2"), "centre": ("float64", "units")}
        kinds |= {"sums": ("int64", "sums"), "values": ("float32", "sums units"), "ones": ("float64", "sums")}
        kinds |= {"gap_units": ("int64", "gaps"), "gap_ones": ("float32", "sums gaps")}
        found = taken(arrays, {f"sketch_{name}": kind for name, kind in kinds.items()})
        (start, stop), (seed, size) = (found.pop(f"sketch_{name}").tolist() for name in ("stimuli", "rows"))
        centre, sums, values, ones, gap_units, gap_ones = found.values()
        for numbers, bound in ((sums, size), (gap_units, len(centre))):
            if np.any((numbers < 0) | (numbers >= bound)) or np.any(np.diff(numbers) <= 0):
                message = f"arrays: the numbers of sums or units of a sketch do not rise from 0 to below {bound}"
                raise AtlasDamaged(message)
        return cls(start, stop, seed, size, centre, sums, values, ones, gap_units, gap_ones)

    def _whole(self) -> Sketch:
        """The same with all its sums, and with arrays of its own."""
        values = np.zeros((self.size, len(self.centre)), dtype=np.float32)  # rows that stay empty take no memory
        ones, gap_ones = np.zeros(self.size), np.zeros((self.size, len(self.gap_units)), dtype=np.float32)
        ones[self.sums] = self.ones
        for place, row in enumerate(self.sums):
            values[row], gap_ones[row] = self.values[place], self.gap_ones[place]
        every = np.arange(self.size)
        return Sketch(
            self.start, self.stop, self.seed, self.size, self.centre, every, values, ones, self.gap_units, gap_ones
        )

    def _used(self) -> Int64[np.ndarray, " used"]:
        """The rows of the sums that any stimulus was added to: not all, where the stimuli are fewer than the sums."""
        if len(self.sums) < self.size:
            return np.arange(len(self.sums))
        groups = groups_of(self.start, min(self.stop - self.start, 2 * self.size), self.seed, self.size)
        return np.unique(np.array([group.sums for group in groups], dtype=np.int64))

    def _about(
        self,
        mean: Float64[np.ndarray, " units"],
        used: Int64[np.ndarray, " used"],
        units: Int64[np.ndarray, " some"],
    ) -> Float64[np.ndarray, "used some"]:
        """The sketch of some units about this mean, in these of its rows."""
        moved = np.nan_to_num((self.centre - mean)[units]) * _SCALE
        table = self.values[np.ix_(used, units)].astype(np.float64)
        table += self.ones[used, None] * moved
        shared, here, there = np.intersect1d(units, self.gap_units, return_indices=True)
        if len(shared):
            table[:, here] -= self.gap_ones[np.ix_(used, there)] * moved[here]
        return table

    def _check(self, moments: Moments) -> None:
        ours = (self.start, self.stop, len(self.centre))
        theirs = (moments.start, moments.stop, len(moments.count))
        if ours != theirs:
            message = f"moments start, stop and have units {theirs}, the sketch {ours}: give those of the same stimuli"
            raise WrongInput(message)


def _apart(
    values: Float32[np.ndarray, "stimuli units"], mean: Float64[np.ndarray, " units"], *, whole: bool
) -> Float64[np.ndarray, "stimuli units"]:
    """The responses less the mean, 0 where they are not finite."""
    with np.errstate(invalid="ignore"):
        apart = values - mean
    if not whole:
        apart[~np.isfinite(apart)] = 0.0
    return apart
