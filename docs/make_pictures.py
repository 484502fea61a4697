"""Make the pictures of the README from the demonstration atlas.

.venv/bin/python docs/make_pictures.py demo.atlas
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from neuronatlas.atlas import Atlas
from neuronatlas.maps.drawing import save_figure
from neuronatlas.view.figures import contact_sheet
from neuronatlas.view.scene import scene_of

IMAGES = Path(__file__).parent / "images"
LAYERS = ("blocks.1", "blocks.7", "head_bn")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)


def main(folder: Path) -> None:
    """The contact sheet, and the page with its map and a unit's card."""
    sheet = contact_sheet(scene_of(Atlas.open(folder)), LAYERS)
    save_figure(sheet, IMAGES / "contact-sheet.png", width_mm=180, dpi=150)
    page_of = (folder / "site" / "index.html").resolve().as_uri()
    chromium = os.environ.get("NEURONATLAS_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        page = browser.new_page(viewport={"width": 1400, "height": 860})
        page.goto(f"{page_of}?renderer=webgl#/unit/blocks.7%3A17")
        page.wait_for_timeout(4000)
        page.screenshot(path=IMAGES / "page.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
