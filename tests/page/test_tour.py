"""Pictures of every page, light and dark, of the demonstration: those of docs/tour.md.

They are made in every run and looked at roughly; with NEURONATLAS_KEEP_PICTURES=1 they replace the ones in docs/images/pages.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.page import browsing

pytestmark = [pytest.mark.page, pytest.mark.slow, pytest.mark.timeout(600)]

DOCS = Path(__file__).parents[2] / "docs"
PLACES = {
    "map": "#/map",
    "stimulus-on-the-map": "#/map?stimulus=astronaut%2F1.00-row0-column0",
    "filled": "#/map?class=grating&fill=nearest&shape=disc",
    "difference": "#/map?class=grass&minusclass=brick&film=1",
    "patches": "#/map?colour=patches",
    "unit": "#/unit/blocks.4%3A13",
    "layer": "#/layer/blocks.2",
    "stimulus": "#/stimulus/astronaut%2F1.00-row0-column0",
    "table": "#/map?stimulus=astronaut%2F1.00-row0-column0&view=list",
}
KEEP = os.environ.get("NEURONATLAS_KEEP_PICTURES") == "1"


def keep(picture: bytes, name: str) -> None:
    """Look at a picture, and put it into the docs when that is asked for."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    values = np.asarray(image, float)
    assert values.std() > 12, f"{name} is nearly blank"
    assert np.ptp(values, axis=2).max() > 60, f"{name} is grey"
    if KEEP:
        (DOCS / "images" / "pages").mkdir(exist_ok=True)
        image.save(DOCS / "images" / "pages" / f"{name}.webp", quality=80, method=6)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_pages_of_the_tour(demonstration, chromium, theme):
    for name, start in PLACES.items():
        with browsing.visit(
            chromium, browsing.address(demonstration / "site"), start=start, dark=theme == "dark"
        ) as visit:
            visit.wait("atlas.coloured")
            visit.page.wait_for_timeout(700)
            keep(visit.page.screenshot(), f"{name}-{theme}")
    site = browsing.address(demonstration / "site")
    with browsing.visit(chromium, site, start="#/unit/blocks.4%3A3", dark=theme == "dark") as visit:
        visit.wait("atlas.unit === 'blocks.4:3' && atlas.thumbnails.length > 2")
        visit.page.keyboard.press("Escape")
        visit.page.keyboard.press("v")
        visit.wait("atlas.selection.length > 10")
        visit.page.wait_for_timeout(900)
        keep(visit.page.screenshot(), f"selection-{theme}")


def test_the_tour_shows_what_there_is():
    text = (DOCS / "tour.md").read_text(encoding="utf-8")
    shown = re.findall(r"images/pages/([a-z-]+)\.webp", text)
    assert len(shown) == len(set(shown))
    assert set(shown) == {f"{name}-{theme}" for name in (*PLACES, "selection") for theme in ("light", "dark")}
    for name in shown:
        with Image.open(DOCS / "images" / "pages" / f"{name}.webp") as image:
            assert image.size == (1280, 800)
