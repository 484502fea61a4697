"""The card of a unit that has more pictures: what lowers it most, and others that raise it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.page.synthetic import FACED

from neuronatlas.units import Unit
from neuronatlas.view.parts import Parts
from neuronatlas.view.scene import Scene, SceneLayer

pytestmark = pytest.mark.page


def sections(visit, scene, unit: int):  # type: ignore[no-untyped-def]
    """Both sections of a unit's card, when all of their pictures are there."""
    address = str(scene.units[unit])
    visit.unit(address)
    visit.wait("atlas.unit === argument", address)
    lowering, others = visit.page.locator("section.faces").all()
    for section in (lowering, others):
        section.scroll_into_view_if_needed()
    visit.wait("[...document.querySelectorAll('section.faces img')].every(image => image.naturalWidth > 0)")
    return lowering, others


@pytest.mark.parametrize("unit", FACED)
def test_a_card_has_both_sections(unit, open_page, scene):
    with open_page() as visit:
        lowering, others = sections(visit, scene, unit)
        assert lowering.locator("h3").inner_text() == "What lowers it most"
        lowest = scene.negatives[unit].score
        assert f"−{abs(lowest):.3g}" in lowering.inner_text()
        above = lowering.get_by_text("Response above")
        assert above.count() == (unit in scene.pictures)
        address = str(scene.units[unit])
        assert lowering.locator("img").get_attribute("alt") == f"What lowers {address} most"
        images = others.locator("img")
        assert images.count() == FACED[unit]
        alt = f"Another picture that raises {address}, 2 of {FACED[unit]}"
        assert images.nth(1).get_attribute("alt") == alt
        said = others.locator(".value").all_inner_texts()
        assert said == [f"{picture.score:.3g}" for picture in scene.diverse[unit]]
        assert not visit.page.evaluate("'owned' in window")


def test_a_card_without_them_has_none(open_page, scene):
    with open_page() as visit:
        visit.unit("features.0:14")
        visit.wait("atlas.unit === 'features.0:14'")
        visit.page.locator("#card .near").wait_for()
        assert visit.page.locator("section.faces").count() == 0


@pytest.mark.parametrize("dark", [False, True])
def test_they_fit_a_telephone_and_nothing_jumps_when_they_arrive(dark, open_page, scene):
    with open_page(width=360, height=740, dark=dark) as visit:
        visit.page.evaluate(
            "window.jumps = 0; new PerformanceObserver(list => { for (const shift of list.getEntries()) "
            "if (shift.sources.some(({ node }) => node?.closest?.('section.faces'))) window.jumps++ })"
            ".observe({ type: 'layout-shift', buffered: false })"
        )
        lowering, others = sections(visit, scene, 57)
        for section in (lowering, others):
            box = section.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 360
        card = visit.page.locator("#card")
        assert card.evaluate("card => card.scrollWidth <= card.clientWidth")
        assert visit.page.evaluate("window.jumps") == 0


def test_a_page_of_50_000_units_with_all_pictures_is_below_2_000_files(scene):
    count = 50_000
    picture, layer = next(iter(scene.pictures.values())), SceneLayer("wide", "Linear", count, (count,), None)
    many = replace(_empty(scene, layer), pictures=dict.fromkeys(range(count), picture))
    many = replace(many, negatives=many.pictures, diverse=dict.fromkeys(range(count), (picture,) * 9))
    many = replace(many, crops=dict.fromkeys(range(count), next(iter(scene.crops.values()))))
    keys = list(Parts(many))
    assert len(keys) < 2_000
    assert sum(key.startswith("negatives-") for key in keys) == 256
    assert sum(key.startswith("diverse-") for key in keys) == 256
    assert sum(key.startswith("crops-") for key in keys) == 256


def _empty(scene: Scene, layer: SceneLayer) -> Scene:
    import numpy as np

    count = layer.units
    return replace(
        scene,
        layers=(layer,),
        units=tuple(Unit(layer.name, index) for index in range(count)),
        positions=np.random.default_rng(0).uniform(-1, 1, (count, 2)).astype(np.float32),
        status=("",) * count,
        reasons={},
        responses=np.zeros((len(scene.stimuli), count), np.float32),
        neighbours=np.full((count, 1), -1, np.int32),
        correlations=np.zeros((count, 1), np.float32),
    )
