"""What every test may use.

Nothing here imports the package at the top: pytest must first install the hook that checks array shapes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")  # no test opens a window


@pytest.hookimpl(tryfirst=True)  # before the plugin that reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file run in one process, one after another, and so do all that open the page, which share an atlas.

    Those take longest together, so they begin.
    """

    def group(item: pytest.Item) -> str:
        name = item.nodeid.partition("::")[0]
        return "page" if name.startswith("tests/page/") else "examples" if name.startswith("src/") else name

    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: group(item) != "page")


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
