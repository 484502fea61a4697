"""Real photographs as the bytes of files, small enough for many tests."""

from __future__ import annotations

import io

import pytest
from PIL import Image


@pytest.fixture(scope="session")
def photographs() -> dict[str, bytes]:
    """Four photographs of scikit-image in two classes, three JPEGs and a PNG, about 120 pixels wide."""
    from skimage import data

    made = {}
    for name, picture in (
        ("animals/cat.jpg", data.chelsea()),
        ("animals/person.png", data.astronaut()),
        ("things/cup.jpg", data.coffee()),
        ("things/rocket.jpg", data.rocket()),
    ):
        image = Image.fromarray(picture)
        image.thumbnail((120, 120))
        file = io.BytesIO()
        image.save(file, "PNG" if name.endswith("png") else "JPEG", quality=92)
        made[name] = file.getvalue()
    return made
