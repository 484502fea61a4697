"""What a map is asked to be."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps.correlation import CORRELATIONS
from neuronatlas.maps.layouts import LAYOUTS, usable_perplexity
from neuronatlas.maps.scale import DEVIATION, SCALES


@dataclass(frozen=True, eq=False)
class MapSettings:
    """Settings of a map.

    ``correlation``: "spearman" or "pearson". ``layout``: a name in `layouts.LAYOUTS`. ``perplexity``: about how many
    neighbours a unit is kept near; lowered where there are few units, and then `notes` says so. ``scale``: what a
    response is drawn as, from 0 to 1 over "percentile" (the 1st to the 99th of each unit's responses) or "minmax", or as
    "deviation", standard deviations from the unit's mean. With ``absolute`` units that respond oppositely lie together
    as well. With ``balanced`` every layer of a t-SNE counts alike, however many units it has. With ``merge`` units that
    are copies of each other (see `duplicates`) are laid out once and share a place.
    """

    correlation: str = "spearman"
    layout: str = "tsne"
    seed: int = 0
    perplexity: float = 30.0
    scale: str = field(default="percentile", kw_only=True)
    absolute: bool = field(default=False, kw_only=True)
    balanced: bool = field(default=False, kw_only=True)
    merge: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse settings that do not exist."""
        for what, name, options in (
            ("correlation", self.correlation, CORRELATIONS),
            ("layout", self.layout, LAYOUTS),
            ("scale", self.scale, [*SCALES, DEVIATION]),
        ):
            if name not in options:
                raise UnknownName(what, name, options)
        usable_perplexity(2, self.perplexity)
        if not isinstance(self.seed, int | np.integer) or not 0 <= self.seed < 2**32:
            message = f"seed {self.seed!r} must be a whole number from 0 to {2**32 - 1}"
            raise WrongInput(message)
        if self.balanced and self.layout != "tsne":
            message = f"balanced=True goes with layout 'tsne' alone, not with {self.layout!r}"
            raise WrongInput(message)


def plain(settings: MapSettings) -> MapSettings:
    """The settings alone, of what may be a whole map."""
    return MapSettings(**{each.name: getattr(settings, each.name) for each in fields(MapSettings)})


def same_settings(one: MapSettings, other: MapSettings) -> bool:
    """Whether both ask for the same map."""
    return all(getattr(one, each.name) == getattr(other, each.name) for each in fields(MapSettings))
