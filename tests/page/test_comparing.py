"""Atlases side by side in a browser, from ``file://`` with the network off: what is done in one happens in the others."""

from __future__ import annotations

import time
from pathlib import Path
from types import ModuleType
from urllib.parse import quote

import pytest
from playwright.sync_api import Frame
from tests import twins
from tests.page import browsing
from tests.page.test_accessibility import faults

pytestmark = pytest.mark.page

TITLES = ("<b>one</b>", "<img src=x onerror=window.owned=1>")
UNIT = 5
MATCH = int((twins.ORDERS[0] == UNIT).argmax())
DEAD = int((twins.ORDERS[0] == twins.CONSTANT).argmax())


@pytest.fixture(scope="module")
def compared(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from neuronatlas import comparing

    folder = tmp_path_factory.mktemp("compared")
    return comparing.compare(twins.build(folder), folder / "side by side #1 100%", names=TITLES).parent


@pytest.fixture
def open_both(open_page, compared):
    def opened(start: str = "", **rest: object):
        return open_page(start, folder=compared, **rest)

    return opened


def pane(visit: browsing.Visit, number: int) -> Frame:
    return next(frame for frame in visit.page.frames if f"/atlas-{number}/" in frame.url)


def until(frame: Frame, expected: object, expression: str) -> None:
    """Wait until a pane's page shows something."""
    end = time.monotonic() + browsing.PATIENCE
    while (shown := frame.evaluate(f"() => {expression}")) != expected:
        assert time.monotonic() < end, f"{expression} is {shown}, and never {expected}"
        frame.page.wait_for_timeout(20)


def says(visit: browsing.Visit, number: int) -> str:
    return visit.page.locator(".says").nth(number).inner_text()


def follow(frame: Frame, hash_: str) -> None:
    frame.evaluate("hash => { location.hash = hash }", hash_)


def test_a_unit_opens_its_match_both_ways(open_both):
    with open_both() as visit:
        left, right = pane(visit, 0), pane(visit, 1)
        assert says(visit, 0) == says(visit, 1) == "Open a unit: the others show its match."
        follow(left, f"#/unit/first%3A{UNIT}")
        until(right, f"first:{MATCH}", "neuronatlas.unit")
        assert says(visit, 0) == f"Opened: first:{UNIT}"
        assert says(visit, 1) == f"r = 1.00 first:{MATCH} · best match both ways"
        follow(right, f"#/unit/first%3A{int((twins.ORDERS[0] == 8).argmax())}")
        until(left, "first:8", "neuronatlas.unit")
        assert says(visit, 0) == "r = 1.00 first:8 · best match both ways"
        assert visit.page.locator(".says").nth(0).get_attribute("data-match") == "mutual"
        left.locator("#card").get_by_role("button", name="Close").click()
        until(right, None, "neuronatlas.unit")
        assert visit.page.evaluate("location.hash") == ""
        follow(left, f"#/unit/first%3A{UNIT}")
        until(right, f"first:{MATCH}", "neuronatlas.unit")
        follow(right, f"#/unit/first%3A{DEAD}")
        until(left, None, "neuronatlas.unit")
        assert says(visit, 0) == "No match: its responses to the shared stimuli do not vary."


def test_a_stimulus_is_carried_over_both_ways(open_both):
    with open_both() as visit:
        left, right = pane(visit, 0), pane(visit, 1)
        name = visit.page.locator("#stimulus option").nth(3).inner_text()
        follow(left, f"#/map?stimulus={quote(name, safe='')}")
        until(right, name, "neuronatlas.stimulus")
        until(right, True, "neuronatlas.coloured")
        assert visit.page.locator("#stimulus").evaluate("e => e.selectedOptions[0].textContent") == name
        follow(right, f"#/stimulus/{quote(twins.HOSTILE_STIMULUS, safe='')}")
        until(left, twins.HOSTILE_STIMULUS, "neuronatlas.stimulus")
        visit.page.locator("#stimulus").select_option(index=2)
        for frame in (left, right):
            until(frame, visit.state("stimulus"), "neuronatlas.stimulus")
        visit.page.locator("#stimulus").select_option(index=0)
        for frame in (left, right):
            until(frame, [None, "#/map"], "[neuronatlas.stimulus, location.hash]")
        own = twins.pictures(0, 1).items[0].name
        assert own not in visit.page.locator("#stimulus option").all_inner_texts()
        follow(right, f"#/map?stimulus={quote(name, safe='')}")
        until(left, name, "neuronatlas.stimulus")
        follow(left, f"#/map?stimulus={quote(own, safe='')}")
        until(right, None, "neuronatlas.stimulus")
        assert left.evaluate("() => neuronatlas.stimulus") == own, "what they do not share stays where it is"


def test_a_stimulus_takes_the_place_of_a_class_and_a_difference_ends_with_it(open_both):
    with open_both() as visit:
        left, right = pane(visit, 0), pane(visit, 1)
        names = visit.page.locator("#stimulus option").all_inner_texts()
        one, other = quote(names[1], safe=""), quote(names[4], safe="")
        follow(right, f"#/map?stimulus={one}&minus={other}&film=1")
        until(left, names[1], "neuronatlas.stimulus")
        follow(left, "#/map")
        until(right, "#/map", "location.hash")
        follow(right, f"#/map?class={quote(twins.pictures(5, 6).items[0].label, safe='')}")
        until(right, True, "neuronatlas.coloured")
        visit.page.locator("#stimulus").select_option(index=1)
        until(right, f"#/map?stimulus={one}", "location.hash")


def test_the_maps_move_together_until_they_are_told_not_to(open_both):
    with open_both() as visit:
        left, right = pane(visit, 0), pane(visit, 1)
        box = visit.page.locator("iframe").nth(0).bounding_box()
        visit.page.mouse.move(box["x"] + box["width"] / 2 + 40, box["y"] + box["height"] / 2)
        visit.page.mouse.wheel(0, -300)
        until(left, True, "neuronatlas.zoom > 0.2")
        place = f"neuronatlas.where('first:{UNIT}').map(Math.round)"
        until(right, left.evaluate("() => neuronatlas.zoom"), "neuronatlas.zoom")
        turned = right.evaluate(f"() => neuronatlas.where('first:{MATCH}')")
        assert turned is not None
        visit.page.get_by_role("checkbox", name="Move together").uncheck()
        before = right.evaluate(f"() => {place}")
        visit.page.mouse.move(box["x"] + box["width"] / 2 + 40, box["y"] + box["height"] / 2)
        visit.page.mouse.wheel(0, -300)
        until(left, True, f"neuronatlas.zoom > {right.evaluate('() => neuronatlas.zoom')} + 0.2")
        visit.page.wait_for_timeout(150)
        assert right.evaluate(f"() => {place}") == before


def test_the_match_of_the_unit_under_the_pointer_has_a_ring(open_both):
    with open_both() as visit:
        left, right = pane(visit, 0), pane(visit, 1)
        box = visit.page.locator("iframe").nth(0).bounding_box()
        stage = left.evaluate("() => document.querySelector('#stage').getBoundingClientRect().toJSON()")
        x, y = left.evaluate(f"() => neuronatlas.where('first:{UNIT}')")
        before = right.locator("#surface").screenshot()
        visit.page.mouse.move(box["x"] + stage["x"] + x, box["y"] + stage["y"] + y)
        until(left, f"first:{UNIT}", "neuronatlas.hovered")
        until(right, f"first:{MATCH}", "neuronatlas.pointed")
        assert right.evaluate("() => neuronatlas.hovered") is None
        assert left.evaluate("() => neuronatlas.pointed") is None
        assert right.locator("#surface").screenshot() != before
        visit.page.mouse.move(5, 5)
        until(right, None, "neuronatlas.pointed")


def test_three_atlases_move_as_two_do(bundle, open_page, tmp_path):
    from neuronatlas import comparing

    one, other = twins.build(tmp_path)
    folder = comparing.compare([one, other, one], tmp_path / "three", names=("a", "b", "c")).parent
    with open_page(folder=folder) as visit:
        follow(pane(visit, 2), f"#/unit/first%3A{UNIT}")
        until(pane(visit, 0), f"first:{UNIT}", "neuronatlas.unit")
        until(pane(visit, 1), f"first:{MATCH}", "neuronatlas.unit")
        assert [says(visit, number)[:6] for number in range(3)] == ["r = 1.", "r = 1.", "Opened"]
        follow(pane(visit, 1), "#/map")
        until(pane(visit, 2), None, "neuronatlas.unit")


def test_a_link_leads_to_the_same_place_and_hostile_names_are_text(open_both):
    start = f"#unit=1:{quote(twins.HOSTILE_LAYER + ':2', safe='')}&stimulus={quote(twins.HOSTILE_STIMULUS, safe='')}"
    with open_both(start) as visit:
        match = f"{twins.HOSTILE_LAYER}:{twins.ORDERS[1][2]}"
        until(pane(visit, 0), [match, twins.HOSTILE_STIMULUS], "[neuronatlas.unit, neuronatlas.stimulus]")
        until(
            pane(visit, 1),
            [f"{twins.HOSTILE_LAYER}:2", twins.HOSTILE_STIMULUS],
            "[neuronatlas.unit, neuronatlas.stimulus]",
        )
        visit.page.get_by_role("button", name="Layers").click()
        for frame in visit.page.frames:
            assert frame.evaluate(
                "() => window.owned === undefined && !document.querySelector('img[onerror], svg[onload], h2 b')"
            )
        assert visit.page.locator("#panes h2").all_inner_texts() == list(TITLES)
        assert twins.HOSTILE_LAYER.strip() in visit.page.locator("#layers table").inner_text()
        assert twins.HOSTILE_LAYER.strip() in says(visit, 0)
        visit.go("#unit=9:nothing&stimulus=nothing&x")
        until(pane(visit, 0), [None, None], "[neuronatlas.unit, neuronatlas.stimulus]")
        visit.go(f"#unit=0:first%3A{UNIT}")
        until(pane(visit, 1), f"first:{MATCH}", "neuronatlas.unit")
        assert visit.page.evaluate("location.hash") == f"#unit=0:first%3A{UNIT}"


def test_only_parent_and_panes_are_heard_and_each_field_is_checked(open_both):
    with open_both() as visit:
        left = pane(visit, 0)
        word = f"{{ neuronatlas: 1, unit: 'first:{UNIT}', stimulus: null, camera: null }}"
        left.evaluate(f"() => window.postMessage({word}, '*')")  # the pane itself: not its parent
        visit.page.evaluate(f"() => window.postMessage({word}, '*')")  # the shell itself: no pane
        pane(visit, 1).evaluate(f"() => parent.frames[0].postMessage({word}, '*')")  # the other pane
        for wrong in (
            "null", "'text'", "{ unit: 'first:1' }", "{ neuronatlas: '1', unit: 'first:1' }",
            "{ neuronatlas: 1, unit: 5, stimulus: {}, camera: { x: 'a', y: 0, zoom: 1 } }",
            "{ neuronatlas: 1, unit: 'no such unit', stimulus: 'x'.repeat(20000), camera: { x: NaN, y: 0, zoom: 1 } }",
        ):  # fmt: skip
            visit.page.evaluate(f"() => frames[0].postMessage({wrong}, '*')")
            left.evaluate(f"() => parent.postMessage({wrong.replace('no such unit', 'first:nothing')}, '*')")
        visit.page.wait_for_timeout(250)
        for frame in (left, pane(visit, 1)):
            assert frame.evaluate(
                "() => [neuronatlas.unit, neuronatlas.stimulus, Math.round(1e6 * neuronatlas.zoom)]"
            ) == [None, None, 0]
        visit.page.evaluate(f"() => frames[0].postMessage({word}, '*')")
        until(left, f"first:{UNIT}", "neuronatlas.unit")


def test_a_page_by_itself_hears_nobody(open_page, compared):
    with open_page(folder=compared / "atlas-0", query="?embed=1") as visit:
        visit.page.evaluate("() => window.postMessage({ neuronatlas: 1, unit: 'first:1' }, '*')")
        visit.page.wait_for_timeout(150)
        assert visit.state("unit") is None


def test_the_table_has_the_numbers_of_the_heat_map(open_both):
    with open_both() as visit:
        button = visit.page.get_by_role("button", name="Layers")
        button.focus()
        visit.page.keyboard.press("Enter")
        assert button.get_attribute("aria-expanded") == "true"
        cells = visit.page.locator("#layers tbody td").all_inner_texts()
        assert len(cells) == 4
        assert cells[0] == cells[3] == "1.000"
        heat = visit.page.locator("canvas.heat")
        heat.focus()
        told = []
        for key in ("ArrowLeft", "ArrowRight", "ArrowDown", "ArrowLeft"):
            heat.press(key)
            told.append(visit.page.locator(".said b").inner_text())
        assert told == [cells[0], cells[1], cells[3], cells[2]]
        visit.page.get_by_role("combobox", name="Measure").select_option("best")
        assert visit.page.locator("#layers tbody td").all_inner_texts() != cells
        visit.page.keyboard.press("Escape")
        assert visit.page.locator("#layers").is_hidden()
        assert button.evaluate("e => e === document.activeElement")


@pytest.fixture(scope="module")
def axe(builder: ModuleType) -> str:
    builder.install(everything=True)
    return (builder.WEB / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize(("width", "dark"), [(1280, True), (390, False)])
def test_it_has_no_grave_fault_and_nothing_sticks_out(open_both, axe, width, dark):
    with open_both(f"#unit=0:first%3A{UNIT}", width=width, height=800, dark=dark) as visit:
        until(pane(visit, 1), f"first:{MATCH}", "neuronatlas.unit")
        visit.page.get_by_role("button", name="Layers").click()
        assert faults(visit.page, axe) == []
        boxes = [visit.page.locator(".pane").nth(number).bounding_box() for number in range(2)]
        stacked = boxes[1]["y"] >= boxes[0]["y"] + boxes[0]["height"] - 1
        assert stacked == (width < 700)
        assert visit.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
