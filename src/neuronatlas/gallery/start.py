"""Renderings that begin at a picture instead of noise: the picture brought to the canvas, and its recipe settled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional as F  # noqa: N812 - the field's own name

from neuronatlas.errors import WrongInput
from neuronatlas.images.fourier import Fourier
from neuronatlas.images.pixels import Pixels
from neuronatlas.images.seeded import Seeded
from neuronatlas.networks.base import Network
from neuronatlas.objectives import targets
from neuronatlas.objectives.base import reading
from neuronatlas.rendering import PRESETS, Recipe, fit_canvas, recipe_of

Size = tuple[int, int]

CALL = ("preset", "seed", "progress", "watch", "workers")
"""The arguments of `render` that are no field of a recipe."""
MARGIN = 8
"""Pixels of the default preset's margin here: its waves go round from edge to edge, which a picture does not."""


@dataclass(frozen=True, eq=False)
class Start:
    """A picture as the canvas shows it, and as it is optimised: with its margin, which mirrors it."""

    canvas: Float[np.ndarray, "h w c"]
    whole: Float[np.ndarray, "H W c"]
    changes: dict[str, Any]

    @classmethod
    def at(
        cls,
        network: Network,
        picture: np.ndarray,
        layers: Iterable[str],
        changes: Mapping[str, Any],
        *,
        whole: bool = False,
    ) -> Start:
        """The start at ``picture``; ``changes`` are those for `render`, and come back with what is settled here.

        With ``whole`` the canvas is the network's input, where positions of a map are counted.
        """
        values = as_floats(network, picture)
        if changes.get("preset", "fast") == "fast":
            changes = {"margin": MARGIN, **changes}
        recipe = settled(network, values, layers, changes, whole=whole)
        canvas = resized(values, size_of(recipe))
        padded = np.pad(canvas, ((recipe.margin,) * 2, (recipe.margin,) * 2, (0, 0)), mode="symmetric")
        seeded = Seeded(padded, base_of(recipe, network.input.channels))
        return cls(canvas, padded, {**changes, "canvas": recipe.canvas, "parametrisation": seeded})


def settled(
    network: Network, values: np.ndarray, layers: Iterable[str], changes: Mapping[str, Any], *, whole: bool = False
) -> Recipe:
    """The recipe with its canvas: by default as the picture, its longer side that of the network's input."""
    recipe = recipe_of(
        changes.get("preset", "fast"), **{name: value for name, value in changes.items() if name not in CALL}
    )
    if changes.get("canvas") is None:
        share = max(network.input.size) / max(values.shape[:2])
        height, width = (max(1, round(side * share)) for side in values.shape[:2])
        recipe = replace(recipe, canvas=(height, width))
    read = reading(*layers)
    for name in read:
        network.layer(name)
    return fit_canvas(network, read, recipe, whole=whole)


def size_of(recipe: Recipe) -> Size:
    """Height and width of the settled canvas."""
    assert recipe.canvas is not None
    return recipe.canvas if isinstance(recipe.canvas, tuple) else (recipe.canvas, recipe.canvas)


def base_of(recipe: Recipe, channels: int) -> Fourier | Pixels:
    """What writes the picture as numbers; the preset's own without its bound of contrast, which a picture may exceed."""
    way = recipe.parametrisation
    if isinstance(way, Fourier) and replace(way, channels=3) == PRESETS[recipe.preset].parametrisation:
        return replace(way, contrast_cap=None, channels=channels)
    if isinstance(way, (Fourier, Pixels)):
        return way
    message = f"parametrisation (={way.settings['name']!r}) must be 'fourier' or 'pixels' to begin at a picture"
    raise WrongInput(message)


def as_floats(network: Network, picture: object) -> Float[np.ndarray, "h w c"]:
    """A picture (h, w, channels) of uint8, or of floats in 0..1, as float32; raises `WrongInput` for any other."""
    return targets.as_floats(picture, network.input.channels)


def resized(values: Float[np.ndarray, "h w c"], size: Size) -> Float[np.ndarray, "H W c"]:
    """The picture at another size, bilinear and without aliasing."""
    if values.shape[:2] == size:
        return values
    planes = torch.from_numpy(np.ascontiguousarray(values)).permute(2, 0, 1)[None]
    planes = F.interpolate(planes, size=size, mode="bilinear", align_corners=False, antialias=True)
    return planes[0].permute(1, 2, 0).contiguous().numpy().clip(0, 1)
