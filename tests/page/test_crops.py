"""The card of a unit that has crops: where in its best and worst stimuli it looks, and what it sees there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.page.synthetic import CROPPED

from neuronatlas.view.parts import Parts

pytestmark = pytest.mark.page


def opened_card(visit, scene, unit: int):  # type: ignore[no-untyped-def]
    """Both sections of stimuli of a unit's card, when all of their crops are there."""
    address = str(scene.units[unit])
    visit.unit(address)
    visit.wait("atlas.unit === argument", address)
    sections = visit.page.locator("#card section.best")
    sections.nth(1).wait_for()
    for section in sections.all():
        section.scroll_into_view_if_needed()
    visit.wait("[...document.querySelectorAll('#card .best img')].every(image => image.naturalWidth > 0)")
    return sections.all()


@pytest.mark.parametrize("unit", CROPPED)
def test_each_of_the_first_stimuli_has_its_box_and_its_crop(unit, open_page, scene):
    with open_page() as visit:
        for section, side, where in zip(
            opened_card(visit, scene, unit), scene.crops[unit], ("most", "least"), strict=True
        ):
            tiles = section.locator("button.tile")
            assert tiles.count() == 8
            assert section.locator(".crop").count() == 4
            lines = section.locator("button.tile .seen")
            assert lines.count() == section.locator(".crop img").count() == len(side)
            shown = [int(tiles.nth(k).get_attribute("data-stimulus")) for k in range(4)]
            assert [number for number in shown if number in {crop.stimulus for crop in side}] == [
                crop.stimulus for crop in side
            ]
            for crop in side:
                place = shown.index(crop.stimulus)
                image = section.locator(".crop").nth(place).locator("img")
                name = scene.stimuli[crop.stimulus].name
                assert image.get_attribute("alt") == f"What {scene.units[unit]} sees of {name} where it answers {where}"
                picture = tiles.nth(place).locator(".sight").bounding_box()
                line = tiles.nth(place).locator(".seen").bounding_box()
                top, left, bottom, right = crop.box  # of a picture of 120 x 160, whose middle square is shown
                expected = [max(0, left - 20) / 120, top / 120, max(0, right - 20) / 120, bottom / 120]
                width, height = max(4, line["width"]), max(4, line["height"])
                found = [line["x"], line["y"], line["x"] + width, line["y"] + height]
                corner = [picture["x"], picture["y"]] * 2
                assert [(a - b) / picture["width"] for a, b in zip(found, corner, strict=True)] == pytest.approx(
                    expected, abs=0.02
                )
        empty = visit.page.locator("#card section.best").nth(1).locator(".crop").nth(0)
        assert "No place stands out" in empty.get_attribute("title")
        assert not visit.page.evaluate("'owned' in window")


def test_a_stimulus_of_a_tile_with_a_box_still_colours_the_map(open_page, scene):
    with open_page() as visit:
        best, _ = opened_card(visit, scene, CROPPED[0])
        tile = best.locator("button.tile").first
        tile.click()
        visit.wait("document.querySelector('.best button.tile').getAttribute('aria-pressed') === 'true'")


def test_a_card_without_crops_is_as_it_was(open_page, scene):
    with open_page() as visit:
        visit.unit("features.0:14")
        visit.wait("atlas.unit === 'features.0:14'")
        visit.page.locator("#card .near").wait_for()
        assert visit.page.locator("#card .crop, #card .sight, #card .seen").count() == 0
        assert visit.page.locator("#card .best .row").count() == 2


@pytest.mark.parametrize("dark", [False, True])
def test_they_fit_a_telephone_and_nothing_jumps_when_they_arrive(dark, open_page, scene):
    with open_page(width=360, height=740, dark=dark) as visit:
        visit.page.evaluate(
            "window.jumps = 0; new PerformanceObserver(list => { for (const shift of list.getEntries()) "
            "if (shift.sources.some(({ node }) => node?.closest?.('.best'))) window.jumps++ })"
            ".observe({ type: 'layout-shift', buffered: false })"
        )
        best, _ = opened_card(visit, scene, CROPPED[0])
        tiles, crops = best.locator("button.tile"), best.locator(".crop")
        for place in range(4):
            above, below = tiles.nth(place).bounding_box(), crops.nth(place).bounding_box()
            assert below["x"] == pytest.approx(above["x"], abs=1)
            assert below["width"] == pytest.approx(below["height"], abs=1)
            assert below["x"] + below["width"] <= 360
        card = visit.page.locator("#card")
        assert card.evaluate("card => card.scrollWidth <= card.clientWidth")
        assert visit.page.evaluate("window.jumps") == 0


def test_their_parts_are_few_however_many_units_have_them(scene):
    count = len(scene.units)
    many = replace(scene, crops=dict.fromkeys(range(count), scene.crops[CROPPED[0]]))
    parts = Parts(many)
    keys = [key for key in parts if key.startswith("crops-")]
    assert len(keys) == -(-count // 8)
    assert sum(len(parts.value(key)) for key in keys) == count
