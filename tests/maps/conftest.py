"""Responses to test maps on: of a real network to photographs, and random ones with ties.

Nothing here imports the package at the top: pytest must first install the hook that checks array shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from neuronatlas.maps import ResponseMap
    from neuronatlas.table import Responses

Make = Callable[..., "Responses"]


def table(values: object, layer: str = "layer") -> Responses:
    """A table of one layer with stimuli named s0, s1, ..."""
    from neuronatlas.table import Responses
    from neuronatlas.units import Unit

    array = np.asarray(values, dtype=np.float32)
    stimuli = tuple(f"s{index}" for index in range(len(array)))
    units = tuple(Unit(layer, index) for index in range(array.shape[1]))
    return Responses(array, units, stimuli, ("",) * len(array))


@pytest.fixture(scope="session")
def make() -> Make:
    """Make responses of numbers: ``make(values)``."""
    return table


@pytest.fixture(scope="session")
def real() -> Responses:
    """EfficientNet-Lite0's ``stem`` and ``blocks.1`` looking at 60 crops of five photographs; one unit is silent."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    from neuronatlas import zoo
    from neuronatlas.table import Responses
    from neuronatlas.units import Unit

    side, layers = 96, ("stem", "blocks.1")
    pictures = {"astronaut": data.astronaut(), "cat": data.chelsea(), "coffee": data.coffee()}
    pictures |= dict(zip(("palace", "flower"), load_sample_images().images, strict=True))
    crops, names = [], []
    for name, picture in pictures.items():
        half = picture[::2, ::2]
        for row in np.linspace(0, half.shape[0] - side, 3).astype(int):
            for column in np.linspace(0, half.shape[1] - side, 4).astype(int):
                crops.append(half[row : row + side, column : column + side])
                names.append(f"{name}/{row},{column}")
    found = zoo.load("efficientnet-lite0").respond(np.stack(crops), layers)
    units = tuple(Unit(layer, index) for layer in layers for index in range(found[layer].shape[1]))
    labels = tuple(name.partition("/")[0] for name in names)
    return Responses(np.concatenate([found[layer] for layer in layers], axis=1), units, tuple(names), labels)


@pytest.fixture(scope="session")
def varying(real: Responses) -> Responses:
    """The units of ``real`` that are not silent."""
    silent = np.ptp(real.values, axis=0) == 0
    return real.select(units=[int(unit) for unit in np.flatnonzero(~silent)])


@pytest.fixture(scope="session")
def tied() -> Responses:
    """90 units over 12 stimuli in whole numbers from 0 to 4: few distinct correlations, and many units alike."""
    return table(np.random.default_rng(3).integers(0, 5, (12, 90)))


@pytest.fixture(scope="session")
def real_map(real: Responses) -> ResponseMap:
    """The default map of ``real``."""
    from neuronatlas.maps import ResponseMap

    return ResponseMap().fit(real)
