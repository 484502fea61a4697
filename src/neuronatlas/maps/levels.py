"""Responses as numbers of a map's scale."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Real

from neuronatlas.errors import WrongInput
from neuronatlas.maps.fitting import Fitted
from neuronatlas.maps.scale import DEVIATION, effect_sizes, mean_of_known, onto_deviations, onto_range
from neuronatlas.maps.settings import MapSettings
from neuronatlas.table import Responses

Values = str | Sequence[str] | Responses | Real[np.ndarray, "..."]

_COLUMNS = 4096


@dataclass(frozen=True, eq=False)
class Levels(MapSettings, ABC):
    """A fitted map that knows what a response is on its scale.

    ``values`` is everywhere the name of a fitted stimulus or of a class of them, or a list of such names; `Responses` of
    the same units in any order; or an array of shape (units,) or (stimuli, units) in the order of `units`. Of several
    stimuli the mean is taken.
    """

    @property
    @abstractmethod
    def _fitted(self) -> Fitted:
        """What was found out about the units."""

    def normalise(self, values: Values) -> Float64[np.ndarray, " units"]:
        """Each unit's response on the map's scale: from 0 (`low`) to 1 (`high`), clipped, or in standard deviations.

        Over several stimuli their mean. NaN for constant units and where nothing is finite.
        """
        fitted, table = self._fitted, self._table(values)
        found = np.empty(table.shape[1])
        for start in range(0, table.shape[1], _COLUMNS):  # a large table is not copied
            some = slice(start, start + _COLUMNS)
            part, low, high = table[:, some].astype(np.float64), fitted.low[some], fitted.high[some]
            if self.scale == DEVIATION:
                half = (high - low) / 2
                found[some] = mean_of_known(onto_deviations(part, low + half, half))
            else:
                found[some] = mean_of_known(onto_range(part, low, high))
        return np.where(fitted.varies, found, np.nan)

    def effects(self, first: Values, second: Values) -> Float64[np.ndarray, " units"]:
        """Cohen's d of each unit between two sets of stimuli: above 0 where it responds more to the ``first``.

        Infinite where neither set varies but the means differ; NaN for constant units, and for all where both sets
        together are fewer than three stimuli. See `scale.effect_sizes`.
        """
        return np.where(self._fitted.varies, effect_sizes(self._table(first), self._table(second)), np.nan)

    def _table(self, values: Any) -> Real[np.ndarray, "stimuli units"]:
        """Values as one row a stimulus, in the order of the units."""
        units = self._fitted.responses.units
        if isinstance(values, str) or (
            isinstance(values, Sequence) and len(values) and all(isinstance(name, str) for name in values)
        ):
            values = self._named([values] if isinstance(values, str) else values)
        if isinstance(values, Responses):
            if values.units == units:
                values = values.values
            else:
                column = {unit: index for index, unit in enumerate(values.units)}
                absent = [str(unit) for unit in units if unit not in column]
                if absent:
                    message = (
                        f"values lack {len(absent)} of the {len(units)} units of the map, first {absent[0]!r}: "
                        "record the same layers that the map was fitted to"
                    )
                    raise WrongInput(message)
                values = values.values[:, [column[unit] for unit in units]]
        try:
            table = np.atleast_2d(np.asarray(values))
            sound = table.ndim == 2 and table.shape[1] == len(units) and len(table) > 0 and table.dtype.kind in "fiub"
        except ValueError:
            sound = False
        if not sound:
            message = (
                f"values ({type(values).__name__} of shape {np.shape(values) if isinstance(values, np.ndarray) else '?'}) "
                f"must hold one number for each of the {len(units)} units of the map, or a row of them for each stimulus"
            )
            raise WrongInput(message)
        return table

    def _named(self, names: Sequence[str]) -> Real[np.ndarray, "stimuli units"]:
        """The fitted responses to stimuli, or to all of a class, by their names; each once."""
        responses = self._fitted.responses
        rows: dict[int, None] = {}
        for name in names:
            if name in responses.stimuli:
                rows[responses.stimuli.index(name)] = None
                continue
            of_class = [row for row, label in enumerate(responses.labels) if label == name != ""]
            if not of_class:
                responses.stimulus(name)  # raises
            rows |= dict.fromkeys(of_class)
        return responses.values[list(rows)]
