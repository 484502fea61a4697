"""The page with very many units: how long until it is drawn, until a card and a search are there, and how fast it pans.

python benchmarks/viewer.py ATLAS [--units N] [--webgl]

The pictures of ATLAS are repeated over N units (default: 50,000, a picture each; above 200,000 no pictures), which lie on a
map of many clusters. Chromium opens the page from file:// with the network off; the times are its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import Page, sync_playwright
from tests.page import browsing

import neuronatlas as na
from neuronatlas import insight
from neuronatlas.maps.clusters import clusters_of
from neuronatlas.units import Unit
from neuronatlas.view.page import write_page
from neuronatlas.view.scene import Scene, SceneLayer, ScenePicture, scene_of

LAYERS = 40
STIMULI = 64
STEPS = 60
MOST_PICTURED = 200_000

PAN = """
async steps => {
  const stage = document.getElementById("stage");
  const at = (type, x, y, buttons) => stage.dispatchEvent(new PointerEvent(type, {
    bubbles: true, pointerId: 1, button: type === "pointermove" ? -1 : 0, buttons, clientX: x, clientY: y, isPrimary: true }));
  stage.setPointerCapture = () => undefined;
  const box = stage.getBoundingClientRect();
  const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
  const frame = () => new Promise(requestAnimationFrame);
  at("pointerdown", x, y, 1);
  const times = [];
  for (let k = 0; k < steps; k++) {
    at("pointermove", x + 120 * Math.sin(k / 6), y + 80 * Math.cos(k / 6), 1);
    const before = window.neuronatlas.drawn;
    const start = performance.now();
    while (window.neuronatlas.drawn === before) await frame();
    times.push(performance.now() - start);
  }
  at("pointerup", x, y, 0);
  return times.sort((a, b) => a - b);
}
"""


HOVER = """
() => {
  window.hovering = [NaN, NaN];
  let start = 0;
  document.getElementById("stage").addEventListener("pointermove", () => (start ||= performance.now()), { capture: true });
  const card = document.getElementById("hover");
  const look = () => {
    const images = [...card.querySelectorAll("img")];
    if (start && !card.hidden && Number.isNaN(hovering[0])) hovering[0] = performance.now() - start;
    if (start && !card.hidden && images.length > 1 && images.every((image) => image.complete && image.naturalWidth)) {
      hovering[1] = performance.now() - start;
    } else requestAnimationFrame(look);
  };
  look();
}
"""


def made(source: Scene, count: int) -> Scene:
    """The scene with ``count`` units, each with a picture of ``source`` unless they are too many."""
    random = np.random.default_rng(0)
    each = count // LAYERS
    layers = tuple(SceneLayer(f"blocks.{k}", "Conv2d", each, (each, 14, 14), 11 + 8 * k) for k in range(LAYERS))
    units = tuple(Unit(layer.name, index) for layer in layers for index in range(each))
    centres = random.normal(0, 0.42, (300, 2))
    positions = np.clip(centres[random.integers(0, 300, len(units))] + random.normal(0, 0.05, (len(units), 2)), -1, 1)
    stimuli = source.stimuli[: STIMULI if count <= MOST_PICTURED else 8]
    places = random.uniform(-1, 1, (len(stimuli), 2))
    responses = np.stack([np.exp(-3 * ((place - positions) ** 2).sum(1)) for place in places]).astype(np.float32)
    responses += random.normal(0, 0.05, responses.shape).astype(np.float32)
    near = (np.arange(len(units))[:, None] + np.arange(1, 13)) % len(units)
    pictures = list(source.pictures.values())
    shown: dict[int, ScenePicture] = {}
    if count <= MOST_PICTURED:
        shown = {unit: pictures[unit % len(pictures)] for unit in range(len(units))}
    return Scene(
        title=f"{len(units):,} units",
        layers=layers,
        units=units,
        positions=positions.astype(np.float32),
        status=("",) * len(units),
        reasons={},
        stimuli=stimuli,
        responses=responses,
        neighbours=near.astype(np.int32),
        correlations=np.full(near.shape, 0.5, np.float32),
        pictures=shown,
        facts={"Made for": "measuring the page"},
        numbers=insight.numbers_of(responses),
        clusters=clusters_of(positions),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("atlas", type=Path)
    parser.add_argument("--units", type=int, default=50_000)
    parser.add_argument("--webgl", action="store_true", help="the software renderer of WebGL in place of the canvas")
    parser.add_argument("--keep", type=Path, help="write the page here, and leave it")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        site = chosen.keep or Path(folder) / "site"
        if not (site / "index.html").is_file():
            write_page(made(scene_of(na.open(chosen.atlas)), chosen.units), site)
        files = [path for path in site.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        print(
            f"{chosen.units:,} units: {len(files)} files, {size / 1e6:.0f} MB, written in {time.monotonic() - start:.0f} s"
        )
        with sync_playwright() as playwright:
            browser = browsing.launch(playwright)
            measure(browser, site, "?renderer=webgl" if chosen.webgl else "?renderer=canvas")
            browser.close()


def measure(browser: object, site: Path, query: str) -> None:
    browsing.PATIENCE = 120.0
    with browsing.visit(browser, browsing.address(site), query=query) as visit:
        page = visit.page
        paint = json.loads(
            page.evaluate(
                "() => JSON.stringify(performance.getEntriesByType('paint').map(entry => [entry.name, entry.startTime]))"
            )
        )
        print("  " + ", ".join(f"{name} {at / 1000:.2f} s" for name, at in paint)
              + f", all dots drawn {page.evaluate('() => window.neuronatlas.firstDrawn') / 1000:.2f} s")  # fmt: skip
        print(f"  renderer {visit.state('renderer')}, {visit.state('dots'):,} dots")
        pan(page, "whole map")
        address = f"blocks.{LAYERS // 2}:7"
        page.mouse.move(*visit.where(address))
        page.wait_for_timeout(300)
        other = f"blocks.{LAYERS // 3}:9"
        left, top = visit.where(other)
        page.evaluate(HOVER)
        page.mouse.move(left, top)
        page.wait_for_timeout(1500)
        card, whole = page.evaluate("() => window.hovering")
        print(f"  hover card of another unit: {card:.0f} ms, with its picture and best stimuli {whole:.0f} ms")
        for words in ("blocks.3 17", f"blocks.{LAYERS - 1}:99", "nothing like it"):
            took = page.evaluate(
                "words => { const box = document.querySelector('#search input'); box.focus(); box.value = words;"
                "const start = performance.now(); box.dispatchEvent(new Event('input', {bubbles: true})); return performance.now() - start }",
                words,
            )
            print(f"  search for {words!r}: {took:.1f} ms")
        page.evaluate("() => { const box = document.querySelector('#search input'); box.value = ''; box.blur() }")
        for times in (2.0, 5.0):
            while float(visit.state("zoom")) < times:  # type: ignore[arg-type]
                page.mouse.move(760, 430)
                page.mouse.wheel(0, -200)
                page.wait_for_timeout(50)
            page.wait_for_timeout(1500)
            pan(page, f"{2**times:.0f} times closer, {len(visit.state('thumbnails'))} pictures")  # type: ignore[arg-type]
        visit.go("#/layer/blocks.5")
        page.wait_for_timeout(1500)
        print(
            f"  layer of {page.evaluate('() => document.querySelectorAll(`#layer .cell`).length')} cells in the document"
        )
        if visit.page.evaluate("() => !!performance.memory"):
            print(f"  {page.evaluate('() => performance.memory.usedJSHeapSize') / 1e6:.0f} MB of JavaScript")


def pan(page: Page, words: str) -> None:
    times = page.evaluate(PAN, STEPS)
    middle, slow = times[len(times) // 2], times[int(0.95 * len(times))]
    print(f"  pan, {words}: {1000 / middle:.0f} frames a second (slowest twentieth {1000 / slow:.0f})")


if __name__ == "__main__":
    main()
