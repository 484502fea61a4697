"""What the reader of a map should know of it, one sentence each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64

from neuronatlas.maps.correlation import Neighbours
from neuronatlas.maps.layouts import FEWEST_FOR_TSNE, LANDMARKS_ABOVE, neighbours_needed, usable_perplexity
from neuronatlas.maps.layouts.others import FEWEST_FOR_OTHERS
from neuronatlas.maps.settings import MapSettings
from neuronatlas.units import Unit

FEWEST = {"tsne": FEWEST_FOR_TSNE, "umap": FEWEST_FOR_OTHERS, "pacmap": FEWEST_FOR_OTHERS}
_TITLES = {"tsne": "t-SNE", "umap": "UMAP", "pacmap": "PaCMAP"}


def remarks(
    settings: MapSettings,
    units: Sequence[Unit],
    missing: Int64[np.ndarray, " units"],
    *,
    varies: Bool[np.ndarray, " units"],
    leader: Int64[np.ndarray, " units"],
    near: Neighbours,
) -> tuple[str, ...]:
    """Which units have no place or share one, what is missing, and how the layout departs from what was asked for."""
    found = []
    copies = varies & (leader != np.arange(len(leader)))
    if not varies.all():
        first = units[int(np.argmin(varies))]
        found.append(f"{(~varies).sum()} of {len(varies)} units never vary and have no place (first: {first})")
    if copies.any():
        one = int(np.argmax(copies))
        found.append(
            f"{copies.sum()} of {len(varies)} units are copies of another and share its place "
            f"(first: {units[one]}, of {units[leader[one]]})"
        )
    if missing.any():
        found.append(
            f"{missing.sum()} responses of {np.count_nonzero(missing)} units are not finite: each counts as its unit's mean"
        )
    found += _of_layout(settings, int((varies & ~copies).sum()))
    if near.recall < 1:
        found.append(
            f"neighbours were searched for, not compared one with all others: {near.recall:.1%} of them were found"
        )
    return tuple(found)


def _of_layout(settings: MapSettings, placed: int) -> list[str]:
    """Where the layout could not be as it was asked for."""
    if not placed or settings.layout not in FEWEST:
        return []
    fewest, title = FEWEST[settings.layout], _TITLES[settings.layout]
    if placed < fewest:
        return [f"placed by principal components: {title} wants {fewest} units, the map has {placed}"]
    if settings.layout == "pacmap":
        return []
    perplexity = usable_perplexity(placed, settings.perplexity)
    if settings.layout == "tsne" and placed > LANDMARKS_ABOVE:
        perplexity = min(perplexity, neighbours_needed(placed, settings.perplexity) / 3)
        return [f"laid out through landmarks, then at a perplexity of {perplexity:g}, since the map has {placed} units"]
    if perplexity < settings.perplexity:
        return [f"perplexity lowered from {settings.perplexity:g} to {perplexity:g}: the map has {placed} units"]
    return []
