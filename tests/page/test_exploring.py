"""What a reader does on the page: zoom, filter, choose a stimulus, open a unit, follow links, search, use the keyboard."""

from __future__ import annotations

import re
from urllib.parse import quote

import numpy as np
import pytest
from tests.page.synthetic import HOSTILE_LAYER, HOSTILE_STIMULUS

pytestmark = pytest.mark.page
both = pytest.mark.parametrize("query", ["?renderer=webgl", "?renderer=canvas"], ids=["webgl", "canvas"])


@both
def test_zooming_turns_dots_into_pictures(open_page, query):
    with open_page(query=query) as visit:
        assert visit.state("thumbnails") == []
        visit.page.mouse.move(*visit.where("features.0:14"))
        for _ in range(12):
            visit.page.mouse.wheel(0, -100)
        visit.wait("atlas.zoom > 1.5 && atlas.thumbnails.length >= 1")
        assert "features.0:14" in visit.state("thumbnails")
        visit.page.get_by_label("See all (0)").click()
        visit.page.mouse.move(5, 5)
        visit.wait("Math.abs(atlas.zoom) < 0.01 && atlas.thumbnails.length === 0")


def test_every_picture_is_seen_at_some_zoom(open_page, scene):
    with open_page() as visit:
        for unit in sorted(scene.pictures)[::13]:
            address = str(scene.units[unit])
            visit.unit(address)
            visit.wait("atlas.unit === argument", address)
            visit.page.get_by_label("Close the card").click()
            visit.wait("atlas.place === 'map'")
            visit.page.mouse.move(*visit.where(address))
            for _ in range(30):
                visit.page.mouse.wheel(0, -200)
            visit.wait("atlas.zoom > 8")
            visit.page.get_by_label("Zoom out (−)").hover()
            visit.wait("atlas.hovered === null")
            assert address in visit.state("thumbnails")


def test_dragging_moves_the_map(open_page):
    with open_page() as visit:
        left, top = visit.where("head:3")
        visit.page.mouse.move(700, 400)
        visit.page.mouse.down()
        visit.page.mouse.move(760, 430, steps=6)
        visit.page.mouse.up()
        now = visit.where("head:3")
        assert now[0] == pytest.approx(left + 60, abs=6)
        assert now[1] == pytest.approx(top + 30, abs=6)
        assert visit.state("place") == "map", "a drag is not a click"


@both
def test_hovering_shows_a_card_and_clicking_opens_the_unit(open_page, query):
    with open_page(query=query) as visit:
        visit.page.mouse.move(*visit.where("features.0:14"))
        visit.wait("atlas.hovered === 'features.0:14'")
        card = visit.page.locator("#hover")
        assert "features.0:14" in card.inner_text()
        visit.wait("document.querySelectorAll('#hover .hover-best img').length === 4")
        visit.page.mouse.click(*visit.where("features.0:14"))
        visit.wait("atlas.unit === 'features.0:14'")
        assert visit.page.url.endswith("#/unit/features.0%3A14")


def test_layers_can_be_hidden_and_the_link_says_which(open_page):
    with open_page() as visit:
        visit.page.get_by_label("Show head on the map").uncheck()
        visit.wait("atlas.dots === 296 - 59")
        visit.page.locator("#layers li").first.hover()
        visit.page.get_by_label("Show features.0 alone").click()
        visit.wait("atlas.dots === 48 - 1")
        assert visit.page.url.endswith("#/map?layers=features.0")
        visit.page.go_back()
        visit.wait("atlas.dots === 296 - 59")
    with open_page("#/map?layers=features.0,head") as visit:
        assert visit.state("layers") == ["features.0", "head"]


@both
def test_a_stimulus_colours_the_map(open_page, query):
    with open_page(query=query) as visit:
        by_layer = visit.state("colours")
        visit.page.get_by_label("grating 030 deg").click()
        visit.wait("atlas.coloured && atlas.stimulus !== null")
        first = visit.state("colours")
        visit.page.get_by_label("noise 4").click()
        visit.wait("atlas.coloured && atlas.stimulus === 'noise 4'")
        assert len({by_layer, first, visit.state("colours")}) == 3
        legend = visit.page.locator(".legend")
        assert "noise 4" in legend.inner_text()
        assert legend.locator(".ticks").inner_text().split() == ["0", "0.25", "0.5", "0.75", "1"]
        visit.page.locator(".legend").get_by_label("Colour by layer").click()
        visit.wait("atlas.coloured && atlas.stimulus === null")
        assert visit.state("colours") == by_layer


def test_the_strongest_units_of_a_stimulus_are_named(open_page, scene):
    with open_page("#/map?stimulus=noise%204") as visit:
        row = next(k for k, stimulus in enumerate(scene.stimuli) if stimulus.name == "noise 4")
        values = scene.responses.astype(np.float64)
        pictured = sorted(scene.pictures)
        z = ((values[row] - values.mean(0)) / np.maximum(values.std(0), 1e-9))[pictured]
        best = str(scene.units[pictured[int(np.argmax(z))]])
        assert visit.page.locator(".legend .strip a").first.get_attribute("title").startswith(best)


def test_a_unit_card_holds_what_the_scene_says(open_page, scene):
    with open_page("#/unit/blocks.2.dw%3A8") as visit:
        unit = 56
        assert str(scene.units[unit]) == "blocks.2.dw:8"
        card = visit.page.locator("#card")
        card.locator(".near").wait_for()
        text = card.inner_text()
        assert f"{scene.pictures[unit].score:.3g}" in text
        assert "43 px" in text
        assert card.locator(".curve .line").count() == 1
        best = np.argsort(-scene.responses[:, unit], kind="stable")[:8]
        worst = np.argsort(scene.responses[:, unit], kind="stable")[:8]
        shown = [tile.get_attribute("aria-label") for tile in card.locator(".best .tile").all()]
        assert [words.rsplit(", response", 1)[0] for words in shown] == [scene.stimuli[k].name for k in [*best, *worst]]
        nearest = scene.units[scene.neighbours[unit, 0]]
        first = card.locator(".near .tile").first
        assert first.get_attribute("title") == str(nearest)
        assert f"{scene.correlations[unit, 0]:.2f}" in first.inner_text()
        first.click()
        visit.wait("atlas.unit === argument", str(nearest))
        visit.page.go_back()
        visit.wait("atlas.unit === 'blocks.2.dw:8'")


def test_units_without_a_picture_say_why(open_page):
    with open_page("#/unit/features.0%3A5") as visit:
        assert "Constant" in visit.page.locator("#card .status").inner_text()
        assert visit.page.locator("#card figure img").count() == 0
        visit.page.locator("#tray summary").click()
        visit.wait("document.querySelectorAll('#tray .chip').length === 4")
        visit.page.locator("#tray .chip").last.click()
        visit.wait("atlas.unit.startsWith('head:')")


def test_failed_units_give_their_reason(open_page, scene):
    with open_page("#/unit/" + quote(str(scene.units[100]), safe="")) as visit:
        assert "<i>not a number</i> at step 12" in visit.page.locator("#card .status").inner_text()


def test_the_layer_view_holds_every_rendered_unit(open_page, scene):
    with open_page("#/layer/blocks.2.dw") as visit:
        rendered = [unit for unit in scene.pictures if scene.units[unit].layer == "blocks.2.dw"]
        cells = visit.page.locator("#layer .cell")
        assert cells.count() == len(rendered)
        visit.page.locator("#order").select_option("score")
        visit.wait("document.querySelector('#order').value === 'score'")
        by_score = sorted(rendered, key=lambda unit: -scene.pictures[unit].score)
        assert [int(cell.get_attribute("data-unit")) for cell in cells.all()] == by_score
        visit.page.get_by_text("without a picture").click()
        visit.wait("document.querySelectorAll('#layer .cell').length > 40")
        numbers: list[int] = []
        for _ in range(12):  # those out of view are not in the document: look down the grid
            numbers += [int(cell.get_attribute("data-unit")) for cell in cells.all()]
            visit.page.locator("#layer").evaluate("view => view.scrollTop += view.clientHeight / 2")
            visit.page.wait_for_timeout(60)
        assert len(set(numbers)) == 96
        visit.page.locator("#layer").evaluate("view => view.scrollTop = 0")
        visit.page.wait_for_timeout(60)
        cells.nth(1).click()
        visit.wait("atlas.place === 'unit'")
        assert visit.page.locator("#layer").is_visible(), "the card lies beside the grid that it was opened from"
        visit.page.keyboard.press("Escape")
        visit.wait("atlas.place === 'layer'")


def test_unknown_names_are_said_and_the_rest_is_followed(open_page):
    with open_page("#/unit/nowhere%3A1?stimulus=noise%204&layers=head,gone") as visit:
        words = visit.page.locator("#problem").inner_text()
        assert "nowhere:1" in words
        assert "gone" in words
        assert visit.state("stimulus") == "noise 4"
        assert visit.state("layers") == ["head"]
        for link in (
            "#/unit/%E0%A4%A",
            "#/layer/<b>",
            "#/nonsense",
            "#/map?layers=",
            "#?&=&stimulus",
            "#/unit/features.0:14",
        ):
            visit.go(link)
        visit.wait("atlas.unit === 'features.0:14'")
        assert visit.page.locator("#problem").inner_text() == ""


def test_hostile_names_are_text(open_page):
    with open_page(
        f"#/unit/{quote(HOSTILE_LAYER + ':3', safe='')}?stimulus={quote(HOSTILE_STIMULUS, safe='')}"
    ) as visit:
        assert visit.state("unit") == HOSTILE_LAYER + ":3"
        assert visit.state("stimulus") == HOSTILE_STIMULUS
        assert "<img src=x onerror=window.owned=1></script>" in visit.page.locator("#card h2").inner_text()
        visit.page.get_by_role("button", name="About this atlas").click()
        assert "<script>alert(1)</script>" in visit.page.locator("#facts").inner_text()
        visit.page.keyboard.press("Escape")
        visit.go("#/layer/" + quote(HOSTILE_LAYER, safe=""))
        visit.wait("atlas.place === 'layer'")
        visit.go("#/map?view=list&layers=" + quote(HOSTILE_LAYER, safe=""))
        visit.page.locator("#table tbody tr").first.wait_for()
        assert visit.state("layers") == [HOSTILE_LAYER]
        visit.page.get_by_label("Search units").fill("<img")
        visit.page.locator("#hits [role=option]").first.wait_for()
        assert visit.page.evaluate("window.owned") is None
        assert visit.page.locator("[onerror], [onload], img[src='x']").count() == 0


def test_search_finds_units_layers_stimuli_and_labels(open_page):
    with open_page() as visit:
        visit.page.keyboard.press("/")
        box = visit.page.get_by_role("combobox", name="Search units, layers and stimuli")
        for query, kind, name in (
            ("blocks.2 8", "Unit", "blocks.2.dw:8"),
            ("head", "Layer", "head"),
            ("noise 3", "Stimulus", "noise 3"),
            ("photographs", "Stimulus", "photo-0.png"),
            ("constant", "Unit", "features.0:5"),
        ):
            box.fill(query)
            hits = visit.page.locator("#hits [role=option]").filter(has_text=re.compile(kind))
            assert name in hits.first.inner_text()
        box.fill("no such thing")
        assert "Nothing here" in visit.page.locator("#hits").inner_text()
        box.fill("features.0:14")
        box.press("Enter")
        visit.wait("atlas.unit === 'features.0:14'")


def test_the_keyboard_reaches_everything(open_page):
    with open_page("#/unit/features.0%3A46") as visit:
        press = visit.page.keyboard.press
        press("ArrowRight")
        visit.wait("atlas.unit === 'features.0:47'")
        press("ArrowRight")
        visit.wait("atlas.unit === 'blocks.2.dw:0'")
        press("ArrowLeft")
        visit.wait("atlas.unit === 'features.0:47'")
        press("]")
        press("]")
        press("]")
        visit.wait("atlas.unit === 'head:0'")
        press("[")
        press("[")
        visit.wait("atlas.unit === 'blocks.2.dw:0'")
        press("?")
        assert "search" in visit.page.locator("dialog[open]").inner_text()
        press("Escape")
        assert visit.page.locator("dialog[open]").count() == 0
        assert visit.state("unit") == "blocks.2.dw:0", "one Esc closes one thing"
        press("Escape")
        visit.wait("atlas.place === 'map'")
        visit.go("#/layer/head")
        visit.wait("!document.querySelector('#layer').hidden")
        press("[")
        visit.wait("location.hash.startsWith('#/layer/blocks.5')")
        press("Escape")
        visit.wait("atlas.place === 'map'")
        visit.page.get_by_label("Filter stimuli").fill("noise")
        assert visit.page.locator(".thumb:visible").count() == 6
        visit.page.get_by_label("Filter stimuli").press("ArrowRight")
        assert visit.state("unit") is None, "arrows belong to the field that is typed in"


def test_the_table_equals_the_map(open_page):
    with open_page("#/map?layers=head") as visit:
        visit.page.get_by_label("Table in place of the map").click()
        rows = visit.page.locator("#table tbody tr")
        rows.first.wait_for()
        assert rows.count() == 60, "the constant unit too"
        assert "constant" in rows.nth(250 - 240).inner_text()
        visit.page.get_by_label("noise 2").click()
        visit.wait("document.querySelector('#table .note').textContent.includes('noise 2')")
        shares = [float(row.locator("td").nth(4).inner_text()) for row in rows.all()]
        assert shares == sorted(shares, reverse=True)
        rows.nth(4).get_by_role("link").click()
        visit.wait("atlas.place === 'unit'")
