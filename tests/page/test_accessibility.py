"""Every page, light and dark, wide and narrow, has no serious fault by axe-core; pictures of them are kept for the docs."""

from __future__ import annotations

from types import ModuleType

import pytest
from playwright.sync_api import Page
from tests.page import browsing
from tests.page.synthetic import HOSTILE_LAYER

pytestmark = pytest.mark.page

PLACES = {
    "map": "#/map",
    "class": "#/map?class=photographs&fill=nearest",
    "difference": "#/map?class=photographs&minusclass=gratings&film=1",
    "unit": "#/unit/blocks.2.dw%3A8",
    "layer": "#/layer/blocks.2.dw",
    "stimulus": "#/stimulus/photo-3.png",
    "table": "#/map?view=list&colour=Score",
    "lost": "#/unit/nothing%3A3",
}
GRAVE = {"serious", "critical"}


@pytest.fixture(scope="module")
def axe(builder: ModuleType) -> str:
    """The checker's own script."""
    builder.install(everything=True)
    return (builder.WEB / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def faults(page: Page, axe: str) -> list[str]:
    """What is gravely wrong, in the checker's words."""
    page.evaluate(axe)
    found = page.evaluate(
        "async () => (await axe.run(document, { resultTypes: ['violations'], preload: false })).violations"
    )
    return [
        f"{each['id']} ({each['impact']}): {node['target']} {node['failureSummary']}"
        for each in found
        if each["impact"] in GRAVE
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("place", PLACES)
def test_a_page_has_no_grave_fault(open_page, axe, place, dark):
    with open_page(PLACES[place], dark=dark) as visit:
        visit.page.wait_for_timeout(400)
        assert faults(visit.page, axe) == []


def test_what_opens_over_a_page_has_none_either(open_page, axe):
    with open_page("#/map") as visit:
        for key in ("?", "v"):
            visit.page.keyboard.press(key)
            visit.page.wait_for_timeout(200)
            assert faults(visit.page, axe) == []
            visit.page.keyboard.press("Escape")
        visit.page.locator("#colouring summary").click()
        visit.page.get_by_role("button", name="About this atlas").click()
        assert faults(visit.page, axe) == []
        visit.page.keyboard.press("Escape")
        visit.page.keyboard.press("/")
        visit.page.keyboard.type("blocks")
        visit.page.locator("#hits [role=option]").first.wait_for()
        assert faults(visit.page, axe) == []


@pytest.mark.parametrize("place", ["map", "unit", "layer", "stimulus", "difference"])
def test_a_narrow_page_has_none_and_nothing_sticks_out(open_page, axe, place):
    with open_page(PLACES[place], width=360, height=740) as visit:
        visit.page.wait_for_timeout(400)
        assert faults(visit.page, axe) == []
        assert visit.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        wide = visit.page.evaluate(
            "() => [...document.querySelectorAll('header *, main *, aside *')].filter((e) => e.offsetParent && !e.closest('.frames, .scroll, #surface, table')"
            " && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.className || e.tagName)"
        )
        assert wide == []


def test_hostile_names_are_text_on_every_page(open_page):
    for start in ("#/map", "#/map?colour=Score&view=list", "#/layer/" + browsing.quote(HOSTILE_LAYER, safe="")):
        with open_page(start) as visit:
            visit.page.wait_for_timeout(200)
            assert visit.page.evaluate(
                "() => window.owned === undefined && !document.querySelector('img[onerror], svg[onload], b i')"
            )
