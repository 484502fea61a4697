"""A page in a real browser, with the network off and every request and complaint written down."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Browser, Page, Playwright

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SOFTWARE_WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
PATIENCE = 15.0
NO_WEBGL = ("--disable-3d-apis",)


def launch(playwright: Playwright, *, webgl: bool = True) -> Browser:
    """Chromium from NEURONATLAS_CHROMIUM, else from the path, else Playwright's own."""
    return playwright.chromium.launch(
        executable_path=executable(), args=[*ARGUMENTS, *(SOFTWARE_WEBGL if webgl else NO_WEBGL)]
    )


def executable() -> str | None:
    """The browser's program, None for Playwright's own."""
    return os.environ.get("NEURONATLAS_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass
class Visit:
    """One open page. ``base`` is the address of its folder, with a slash at the end."""

    page: Page
    base: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def state(self, name: str) -> object:
        """A value of ``window.neuronatlas``, what the page says that it shows."""
        return self.page.evaluate(f"window.neuronatlas.{name}")

    def where(self, address: str) -> tuple[float, float]:
        """The place of a unit in the window."""
        left, top = self.page.evaluate("address => window.neuronatlas.where(address)", address)
        return left, top

    def wait(self, condition: str, argument: object = None) -> None:
        """Wait until a JavaScript expression over ``atlas``, the page's state, and ``argument`` is true.

        Asked again and again from outside: the page's content policy allows no script that waits inside.
        """
        asked = f"argument => {{ const atlas = window.neuronatlas; return Boolean({condition}); }}"
        end = time.monotonic() + PATIENCE
        while not self.page.evaluate(asked, argument):
            assert time.monotonic() < end, f"waited {PATIENCE} s for {condition}"
            self.page.wait_for_timeout(20)

    def go(self, hash_: str) -> None:
        """Follow a link within the page."""
        self.page.evaluate("hash => { location.hash = hash }", hash_)

    def unit(self, address: str) -> None:
        """Follow the link to a unit."""
        self.go("#/unit/" + quote(address, safe=""))

    def check(self) -> None:
        """Nothing was asked of anything but the page's own folder, and nothing went wrong on the way."""
        strangers = [url for url in self.requests if not url.startswith((self.base, "data:", "blob:"))]
        assert not strangers, strangers
        assert not self.complaints, self.complaints


@contextmanager
def visit(
    browser: Browser,
    base: str,
    *,
    start: str = "",
    query: str = "",
    width: int = 1280,
    height: int = 800,
    dark: bool = False,
) -> Iterator[Visit]:
    """Open a page and wait until it has drawn; at the end check that it kept to its folder and made no complaint."""
    context = browser.new_context(
        offline=base.startswith("file:"),
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        has_touch=width < 600,
    )
    context.set_default_timeout(1000 * PATIENCE)
    page = context.new_page()
    opened = Visit(page, base)
    page.on("request", lambda request: opened.requests.append(request.url))
    page.on("requestfailed", lambda request: opened.complaints.append(f"failed: {request.url}"))
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    page.on(
        "console",
        lambda message: opened.complaints.append(message.text) if message.type == "error" else None,
    )
    try:
        page.goto(base + "index.html" + query + start)
        opened.wait("atlas && (atlas.drawn > 0 || atlas.place === 'layer' || location.hash.includes('view=list'))")
        yield opened
        opened.check()
    finally:
        context.close()


def address(folder: Path) -> str:
    """The ``file:`` address of a page's folder."""
    return folder.resolve().as_uri() + "/"
