"""What every test may use.

Nothing here imports the package at the top: pytest must first install the hook that checks array shapes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")  # no test opens a window


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(20)


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> Iterator[None]:
    """Let torch use two threads, so that a test takes as long on a big machine that is busy as on a small one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(2, before))
    yield
    torch.set_num_threads(before)
