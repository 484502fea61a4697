"""Both widgets in a real JupyterLab in a real browser: pictures change and stop, and what is selected comes to Python."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Frame, Locator, Page, Playwright

from tests.notebook.lab import lab, notebook
from tests.page import browsing

pytestmark = pytest.mark.page

SETUP = """
import neuronatlas as na
from neuronatlas import notebook
from tests.building import tiny
network = tiny.network()
live = notebook.live(network, "2:0", steps=16)
live
"""
EXPLORE = """
explorer = na.open({folder!r}).explore(height=520)
explorer
"""
SELECTED = "print('selected', explorer.selection, explorer.unit, network.name)"


@pytest.fixture(scope="module")
def page(folder: Path, tmp_path_factory: pytest.TempPathFactory, playwright: Playwright) -> Iterator[Page]:
    """The notebook, its first two cells run."""
    place = tmp_path_factory.mktemp("lab")
    (place / "work").mkdir()
    nbformat.write(notebook(SETUP, EXPLORE.format(folder=str(folder)), SELECTED), place / "work" / "a.ipynb")
    with lab(place) as (base, token):
        browser = browsing.launch(playwright)
        opened = browser.new_page(viewport={"width": 1400, "height": 1000}, reduced_motion="reduce")
        opened.set_default_timeout(20_000)
        asked: list[str] = []
        opened.on("request", lambda request: asked.append(request.url))
        opened.goto(f"{base}doc/tree/a.ipynb?token={token}")
        opened.locator(".jp-Notebook .jp-CodeCell").nth(2).wait_for()
        opened.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        opened.get_by_role("menuitem", name="Run", exact=True).click()
        opened.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        opened.locator(".neuronatlas-live").wait_for()
        yield opened
        strangers = [url for url in asked if not url.startswith((base, "data:", "blob:", "about:"))]
        browser.close()
    assert not strangers, strangers


def until(condition: object, seconds: float = 15.0) -> float:
    """Wait for something to be true; how long it took."""
    assert callable(condition)
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "waited in vain"
        time.sleep(0.02)
    return time.monotonic() - start


def state(widget: Locator) -> str | None:
    return widget.get_attribute("data-state")


def test_a_picture_follows_layer_and_channel_and_stops_when_told_to(page: Page) -> None:
    widget = page.locator(".neuronatlas-live")
    image = widget.locator("img")
    until(lambda: state(widget) == "done")
    first = image.get_attribute("src")
    widget.get_by_label("Layer").select_option("3")
    until(lambda: "3:0" in widget.locator("figcaption").inner_text() and state(widget) == "done")
    second = image.get_attribute("src")
    assert second != first
    slider = widget.get_by_role("slider")
    slider.focus()
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    until(lambda: "3:2" in widget.locator("figcaption").inner_text() and state(widget) == "done")
    assert widget.get_by_label("Channel, as a number").input_value() == "2"
    assert image.get_attribute("src") not in (first, second)

    slider.press("Home")
    until(lambda: "3:0" in widget.locator("figcaption").inner_text() and state(widget) == "done")
    assert image.get_attribute("src") == second  # made before

    widget.get_by_label("Steps").select_option("1024")
    until(lambda: state(widget) == "rendering" and float(widget.locator("progress").get_attribute("value") or 0) > 0)
    widget.get_by_role("button", name="Stop").click()
    assert until(lambda: state(widget) == "stopped") < 10
    assert "stopped at step" in widget.locator(".said").inner_text()
    kept = image.get_attribute("src")
    page.wait_for_timeout(500)
    assert image.get_attribute("src") == kept
    assert kept != second
    assert state(widget) == "stopped"


def frame_of(page: Page) -> Frame:
    page.locator(".neuronatlas iframe").scroll_into_view_if_needed()
    found = page.locator(".neuronatlas iframe").element_handle().content_frame()
    assert found is not None
    until(lambda: found.evaluate("Boolean(window.neuronatlas && window.neuronatlas.drawn > 0)"))
    return found


def test_what_is_drawn_round_in_the_frame_is_known_to_the_next_cell(page: Page) -> None:
    page.locator(".neuronatlas iframe").wait_for()
    frame = frame_of(page)
    address = page.url
    box = frame.locator("#surface").bounding_box()
    assert box is not None
    page.keyboard.down("Shift")
    left, top, right, bottom = box["x"] + 4, box["y"] + 4, box["x"] + box["width"] - 4, box["y"] + box["height"] - 4
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top + 20)):
        page.mouse.move(x, y, steps=6)
    page.mouse.up()
    page.keyboard.up("Shift")
    frame.locator("#selection").wait_for()
    run_last(page)
    said = page.locator(".jp-CodeCell").nth(2).locator(".jp-OutputArea-output")
    until(lambda: "'3:19'" in said.inner_text())
    assert said.inner_text().count(":") > 20
    assert "None tiny" in said.inner_text()

    frame.evaluate("neuronatlasGo({unit: '3:1'})")
    frame.locator("#card").wait_for()
    run_last(page)
    until(lambda: "3:1 tiny" in said.inner_text())
    assert page.url == address


def run_last(page: Page) -> None:
    editor = page.locator(".jp-CodeCell").nth(2).locator(".jp-InputArea-editor")
    editor.click()
    page.keyboard.press("Control+Enter")


def test_python_moves_the_page(page: Page) -> None:
    frame = frame_of(page)
    editor = page.locator(".jp-CodeCell").nth(2).locator(".jp-InputArea-editor")
    editor.click()
    page.keyboard.press("Control+a")
    page.keyboard.type("explorer.unit = '2:7'; explorer.stimulus = next(iter(explorer._stimuli))")
    page.keyboard.press("Control+Enter")
    until(lambda: frame.evaluate("window.neuronatlas.unit") == "2:7")
    assert "2:7" in frame.locator("#card").inner_text()
