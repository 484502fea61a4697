"""Real photographs that come inside packages: several crops of each, labelled by photograph.

They lie in the wheels of scikit-image and scikit-learn, whose own files name their authors and licences. No package is
imported and nothing is downloaded.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from neuronatlas.errors import WrongInput
from neuronatlas.images.files import centre_crop_resize, read_picture
from neuronatlas.stimuli.base import Stimulus, StimulusSet

PLACES = {
    "skimage/data": (
        "astronaut.png brick.png camera.png chelsea.png clock_motion.png coffee.png coins.png grass.png gravel.png "
        "hubble_deep_field.jpg ihc.png moon.png motorcycle_left.png page.png retina.jpg rocket.jpg"
    ).split(),
    "sklearn/datasets/images": "china.jpg flower.jpg".split(),
}
CROPS = ((1.0, 1), (0.7, 2), (0.45, 3))
"""The side of a crop as a share of the shorter side of the photograph, and how many crops stand in each direction."""


def photographs() -> StimulusSet:
    """Fourteen square crops of each of eighteen photographs: the centre, and smaller ones spread over the whole.

    Names are like ``chelsea/0.45-row2-column0``; raises `WrongInput` when the packages are not installed.
    """
    items = []
    for place, files in PLACES.items():
        package, _, inside = place.partition("/")
        found = find_spec(package)
        if found is None or not found.submodule_search_locations:
            message = f"the photographs come with the package {package!r}: pip install 'neuronatlas[demo]'"
            raise WrongInput(message)
        for name in files:
            path = Path(found.submodule_search_locations[0]) / inside / name
            if not path.is_file():
                message = f"the photograph {name} is not in this version of {package}: pip install 'neuronatlas[demo]'"
                raise WrongInput(message)
            items += _crops(path)
    return StimulusSet(tuple(items))


def _crops(path: Path) -> list[Stimulus]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    crops = []
    for share, count in CROPS:
        for row in range(count):
            for column in range(count):
                name = f"{path.stem}/{share:.2f}-row{row}-column{column}"
                middle = ((row + 0.5) / count, (column + 0.5) / count)
                draw = partial(_draw, path, share, middle)
                crops.append(Stimulus(name, path.stem, f"{digest} {share} {row} {column} of {count}", draw))
    return crops


def _draw(path: Path, share: float, middle: tuple[float, float], size: int) -> UInt8[np.ndarray, "size size 3"]:
    """The square whose middle is at these shares of height and width, moved so that it lies inside."""
    whole = _whole(path)
    side = round(share * min(whole.shape[:2]))
    corner = [
        min(max(round(place * length - side / 2), 0), length - side)
        for place, length in zip(middle, whole.shape[:2], strict=True)
    ]
    return centre_crop_resize(whole[corner[0] : corner[0] + side, corner[1] : corner[1] + side], size)


@lru_cache(maxsize=2)
def _whole(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    return read_picture(path)
