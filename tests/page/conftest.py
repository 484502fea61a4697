"""What tests of the page may use: a scene, its page, and browsers to open it (or any other page) in.

Nothing here imports the package at the top: pytest must first install the hook that checks array shapes.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, Playwright
from tests.page import browsing

if TYPE_CHECKING:
    from neuronatlas.view.scene import Scene

ROOT = Path(__file__).parents[2]
Open = Callable[..., AbstractContextManager[browsing.Visit]]


@pytest.fixture(scope="session")
def builder() -> ModuleType:
    """``hatch_build.py``, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def scene() -> Scene:
    """The synthetic scene."""
    from tests.page.synthetic import make_scene

    return make_scene()


@pytest.fixture(scope="session")
def bundle(builder: ModuleType) -> Path:
    """The viewer's bundle, built from the sources of this checkout."""
    return builder.build_bundle()


@pytest.fixture(scope="session")
def site(scene: Scene, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the synthetic scene's page, under a name that an address must escape."""
    from neuronatlas.view.page import write_page

    return write_page(scene, tmp_path_factory.mktemp("page") / "a site #1 100%").parent


@pytest.fixture(scope="session")
def demonstration(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The atlas of the demonstration, a real network's; four units of each layer are rendered, not twenty-four."""
    from dataclasses import replace

    from neuronatlas import demo
    from neuronatlas.building import perform, prepare

    job = demo.job()
    small = prepare(job.network, job.stimuli, layers=demo.LAYERS, units=4, negative=True)
    assert replace(small.manifest, settings={}) == replace(job.manifest, settings={})
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(shared / "demo.lock"):  # one process builds it, another finds it there
        perform(small, shared / "demo.atlas")
    return shared / "demo.atlas"


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """A browser with WebGL in software."""
    browser = browsing.launch(playwright)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def chromium_without_webgl(playwright: Playwright) -> Iterator[Browser]:
    """A browser that has no WebGL at all."""
    browser = browsing.launch(playwright, webgl=False)
    yield browser
    browser.close()


@pytest.fixture
def open_page(chromium: Browser, site: Path) -> Open:
    """Open a page from ``file://`` with the network off: ``with open_page() as visit``.

    ``folder`` opens another page than the synthetic one; the rest goes to `browsing.visit`.
    """

    def opened(
        start: str = "", *, folder: Path = site, browser: Browser = chromium, **rest: object
    ) -> AbstractContextManager[browsing.Visit]:
        return browsing.visit(browser, browsing.address(folder), start=start, **rest)

    return opened
