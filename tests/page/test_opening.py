"""The page opens anywhere: by double click, from a server, without WebGL, in the dark, on a phone."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from tests.page import browsing

from neuronatlas.view.server import serve

pytestmark = pytest.mark.page


def colours(screenshot: bytes) -> int:
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    return len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0))


def spread(visit: browsing.Visit) -> int:
    """How many colours the map shows."""
    return colours(visit.page.locator("#stage").screenshot())


def test_opens_by_double_click_and_keeps_to_its_folder(open_page):
    with open_page(query="?renderer=webgl") as visit:
        assert visit.state("renderer") == "webgl"
        assert visit.state("units") == 300
        assert visit.state("dots") == 296, "the four constant units have no place"
        assert spread(visit) > 50, "an empty map has a handful of colours"
        assert visit.page.title() == "Synthetic <b>atlas</b> · Neuron Atlas"
        assert any(url.endswith("/data/scene.js") for url in visit.requests)


def test_opens_from_a_server(chromium, site):
    with serve(site) as server, browsing.visit(chromium, server.address) as visit:
        visit.go("#/map?stimulus=noise%202")
        visit.wait("atlas.coloured && atlas.stimulus === 'noise 2'")
        assert spread(visit) > 50


def test_without_webgl_the_map_is_drawn_on_a_canvas(open_page, chromium_without_webgl):
    with open_page(browser=chromium_without_webgl) as visit:
        assert visit.state("renderer") == "canvas"
        assert "No graphics card" in visit.page.locator(".notice").inner_text()
        assert spread(visit) > 50
        left, top = visit.where("features.0:14")
        visit.page.mouse.move(left, top)
        for _ in range(12):
            visit.page.mouse.wheel(0, -100)
        visit.wait("atlas.thumbnails.includes('features.0:14') && atlas.zoom > 1")
        around = visit.page.screenshot(clip={"x": left - 12, "y": top - 12, "width": 24, "height": 24})
        assert colours(around) > 100, "a picture, not a dot"
        visit.page.mouse.click(left, top)
        visit.wait("atlas.unit === 'features.0:14'")


def test_an_imitated_graphics_card_is_not_used_unless_asked_for(open_page):
    with open_page(query="") as plain, open_page(query="?renderer=webgl") as asked:
        assert plain.state("renderer") == "canvas", "a processor that imitates a card is slower than a plain canvas"
        assert asked.state("renderer") == "webgl"
        assert plain.state("colours") == asked.state("colours")
        for visit in (plain, asked):
            left, top = visit.where("head:3")
            visit.page.mouse.move(left, top)
            visit.page.wait_for_timeout(150)
        pictures = [visit.page.locator("#stage").screenshot() for visit in (plain, asked)]
        first, second = (np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), float) for picture in pictures)
        assert np.abs(first - second)[60:, 200:-100].mean() < 2, "both draw the same map"


def test_a_lost_graphics_card_is_survived(open_page):
    with open_page(query="?renderer=webgl") as visit:
        visit.page.evaluate(
            "document.querySelector('canvas.drawing').getContext('webgl2').getExtension('WEBGL_lose_context').loseContext()"
        )
        visit.wait("atlas.renderer === 'canvas'")
        assert spread(visit) > 50


def test_the_theme_follows_the_system_until_told_otherwise(open_page):
    ground = "getComputedStyle(document.body).backgroundColor"
    with open_page() as light, open_page(dark=True) as dark:
        assert light.page.evaluate(ground) != dark.page.evaluate(ground)
        before = light.state("colours")
        light.page.get_by_label("Light or dark").click()
        assert light.page.evaluate(ground) == dark.page.evaluate(ground)
        assert light.state("colours") != before, "the map takes the theme's colours"
        light.page.reload()
        light.wait("atlas.drawn > 0")
        assert light.page.evaluate(ground) == dark.page.evaluate(ground), "the choice is kept"


@pytest.mark.parametrize(
    "start", ["#/map", "#/unit/features.0%3A14", "#/layer/head", "#/map?view=list", "#/map?stimulus=noise%202"]
)
def test_nothing_sticks_out_of_a_phone(open_page, start):
    with open_page(start, width=360, height=740) as visit:
        assert visit.page.evaluate("document.documentElement.scrollWidth") == 360
        visit.page.locator(".panel-button").click()
        visit.page.get_by_label("grating 030 deg").click()
        visit.wait("atlas.coloured && atlas.stimulus === 'grating 030 deg'")
        assert visit.page.evaluate("document.documentElement.scrollWidth") == 360


def test_a_damaged_page_says_so(bundle, chromium, tmp_path):
    for name in ("index.html", "app.js", "app.css"):
        (tmp_path / name).write_bytes((bundle / name).read_bytes())
    page = chromium.new_page()
    page.goto(browsing.address(tmp_path) + "index.html")
    assert "data/scene.js" in page.locator(".fatal").inner_text()
    page.close()
