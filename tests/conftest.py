"""What every test may use.

Nothing here imports the package at the top: pytest must first install the hook that checks array shapes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Playwright, sync_playwright

os.environ.setdefault("MPLBACKEND", "Agg")  # no test opens a window


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest begin, so that of two processes none has one of them left at the end."""
    long = ("tests/building/", "tests/executors/", "tests/page/", "tests/zoo/", "tests/networks/")
    items.sort(key=lambda item: not item.nodeid.startswith(long))


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """One driver for all browsers of a process, which can have no second one."""
    with sync_playwright() as running:
        yield running


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(20)


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> Iterator[None]:
    """Let torch use two threads in all, so that a test takes as long on a big machine that is busy as on a small one."""
    import torch

    before = torch.get_num_threads()
    beside = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    torch.set_num_threads(max(1, min(2, before) // beside))
    yield
    torch.set_num_threads(before)
