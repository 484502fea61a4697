"""A page with its network behind it, in a real browser: new stimuli, and renderings that are watched and stopped."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from tests.page import browsing

pytestmark = [pytest.mark.page, pytest.mark.slow, pytest.mark.timeout(600)]

DROP = """
([text, name, type]) => {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type }));
  for (const kind of ["dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: data }));
  }
}
"""


@pytest.fixture(scope="module")
def network():
    from neuronatlas import zoo
    from neuronatlas.demo import NETWORK

    return zoo.load(NETWORK)


@pytest.fixture(scope="module")
def server(demonstration, network) -> Iterator[object]:
    from neuronatlas.atlas import Atlas
    from neuronatlas.building import page_of
    from neuronatlas.live import serve

    atlas = Atlas.open(demonstration)
    with serve(atlas, page_of(atlas).parent, network) as running:
        yield running


@pytest.fixture
def opened(server, chromium):
    return lambda start="", **rest: browsing.visit(chromium, server.address, start=start, **rest)


def photograph() -> tuple[np.ndarray, bytes]:
    """One that the atlas does not hold: half of two of them."""
    from neuronatlas import stimuli

    pictures = stimuli.photographs().items
    left, right = pictures[3].draw(224), pictures[40].draw(224)
    joined = np.concatenate([left[:, :112], right[:, 112:]], axis=1)
    stream = io.BytesIO()
    Image.fromarray(joined).save(stream, "PNG")
    return joined, stream.getvalue()


def drop(visit, data: bytes, name: str = "mine.png", kind: str = "image/png") -> None:
    visit.page.evaluate(DROP, [base64.b64encode(data).decode("ascii"), name, kind])


def test_a_dropped_photograph_changes_the_map(opened, network, demonstration):
    from neuronatlas.atlas import Atlas
    from neuronatlas.view import scripts

    picture, data = photograph()
    atlas = Atlas.open(demonstration)
    layers = [layer.name for layer in atlas.manifest.layers]
    found = network.respond(picture[None], layers, reduce=atlas.manifest.settings["reduce"])
    values = np.concatenate([found[name][0] for name in layers])
    table = atlas.responses().values
    codes = scripts.quantise(values[None].astype(np.float32), *scripts.scale(table))[0].astype(float)
    with opened() as visit:
        before = visit.state("colours")
        start = time.monotonic()
        drop(visit, data, name="<b>mine</b>.png")
        visit.wait("atlas.stimulus !== null && atlas.coloured && atlas.colours !== argument", before)
        print(f"a dropped photograph on the map after {time.monotonic() - start:.2f} s")
        assert visit.state("stimulus") == "<b>mine</b>.png"
        assert "<b>mine</b>.png" in visit.page.locator(".legend").inner_text()
        units = range(0, len(values), 97)
        shown = [
            visit.page.evaluate("unit => window.neuronatlas.number(unit)", str(atlas.units[unit])) for unit in units
        ]
        np.testing.assert_allclose(np.array(shown) * 254, codes[list(units)], atol=1.01)  # a step, at a rounding edge
        visit.page.locator(".legend-head a").click()
        visit.wait("atlas.place === 'stimulus'")
        rows = visit.page.locator(".excited section")
        score = (values - table.mean(0)) / np.maximum(table.std(0), 1e-9)
        first = rows.first.locator(".tile").first.get_attribute("title")
        assert first == str(atlas.units[int(np.argmax(score[: atlas.manifest.layers[0].units]))])


def test_the_values_are_those_of_the_network(server, network, demonstration):
    import json
    import urllib.request

    from neuronatlas.atlas import Atlas

    picture, data = photograph()
    atlas = Atlas.open(demonstration)
    request = urllib.request.Request(
        f"{server.address}api/respond", data, {"X-Neuronatlas-Token": server.token}, method="POST"
    )
    with urllib.request.urlopen(request) as answer:
        values = np.frombuffer(base64.b64decode(json.load(answer)["values"]), "<f4")
    layers = [layer.name for layer in atlas.manifest.layers]
    found = network.respond(picture[None], layers, reduce=atlas.manifest.settings["reduce"])
    expected = np.concatenate([found[name][0] for name in layers])
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_what_is_no_picture_is_said(opened):
    with opened() as visit:
        drop(visit, b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.svg", "image/svg+xml")
        visit.page.locator("#live [role=status]", has_text="SVG").or_(
            visit.page.locator("#live [role=status]", has_text="picture")
        ).wait_for()
        visit.page.wait_for_timeout(300)
        assert visit.state("stimulus") is None
        assert visit.complaints, "the browser says that the server refused"
        assert all("400" in complaint or "415" in complaint for complaint in visit.complaints), visit.complaints
        visit.complaints.clear()


def test_drawing_changes_one_stimulus_again_and_again(opened):
    with opened() as visit:
        visit.page.locator("#live").get_by_text("Draw").click()
        box = visit.page.locator(".paper").bounding_box()
        for row in (60, 140, 220):
            before = visit.state("colours")
            visit.page.mouse.move(box["x"] + 20, box["y"] + row)
            visit.page.mouse.down()
            visit.page.mouse.move(box["x"] + 270, box["y"] + row, steps=8)
            visit.page.mouse.up()
            visit.wait("atlas.stimulus === 'drawing' && atlas.coloured && atlas.colours !== argument", before)
        assert visit.page.locator("#live .thumb").count() == 1


def test_a_camera_is_a_stimulus_that_moves(playwright, server):
    browser = playwright.chromium.launch(
        executable_path=browsing.executable(),
        args=[*browsing.ARGUMENTS, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
    )
    try:
        with browsing.visit(browser, server.address) as visit:
            visit.page.locator("#live").get_by_text("Film").click()
            visit.wait("atlas.stimulus === 'camera' && atlas.coloured")
            before = visit.state("colours")
            visit.wait("atlas.colours !== argument", before)
            visit.page.locator(".board .close").click()
            assert visit.page.locator(".board").count() == 0
    finally:
        browser.close()


def test_a_rendering_grows_on_the_card_and_stops_when_told(opened):
    with opened("#/unit/blocks.2%3A5") as visit:
        card = visit.page.locator("#card .workshop")
        card.get_by_role("button", name="Render").click()
        card.locator("p", has_text="Done, score").wait_for(timeout=60_000)
        frames = int(card.locator("img").get_attribute("data-frames"))
        assert frames >= 5
        first = card.locator("img").get_attribute("src")
        card.get_by_label("Seed").fill("3")
        card.get_by_label("Steps").fill("2000")
        card.get_by_role("button", name="Render").click()
        card.locator("p", has_text="Step").wait_for()
        card.get_by_role("button", name="Stop").click()
        card.locator("p", has_text="Stopped.").wait_for(timeout=5_000)
        assert card.locator("img").get_attribute("src") != first
        card.get_by_label("Seed").fill("0")
        card.get_by_label("Steps").fill("")
        card.get_by_role("button", name="Render").click()
        card.locator("p", has_text="Done, score").wait_for()
        assert card.locator("img").get_attribute("src") == first
        assert card.locator("img").get_attribute("data-frames") == "1", "from the cache, not made again"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_has_no_grave_fault(opened, builder, dark):
    from tests.page.test_accessibility import faults

    builder.install(everything=True)
    axe = (builder.WEB / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    with opened("#/unit/blocks.2%3A5", dark=dark) as visit:
        drop(visit, photograph()[1])
        visit.wait("atlas.stimulus !== null")
        visit.page.locator("#live").get_by_text("Draw").click()
        visit.page.locator(".board").wait_for()
        assert faults(visit.page, axe) == []


def test_elsewhere_nothing_of_it_is_seen(demonstration, chromium):
    with browsing.visit(chromium, browsing.address(demonstration / "site"), start="#/unit/blocks.2%3A5") as visit:
        assert visit.page.locator("#live").count() == 0
        assert visit.page.locator(".workshop").count() == 0
