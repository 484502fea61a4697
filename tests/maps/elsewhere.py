"""The same computation in a process of its own, where threads and kernels of linear algebra may be others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

THREADS = (
    pytest.param({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}, id="one thread"),
    pytest.param({"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}, id="two threads"),
)
ENVIRONMENTS = (
    *THREADS,
    pytest.param({"OPENBLAS_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Prescott"}, id="products without fused sums"),
)


def fingerprint_of(module: str, environment: dict[str, str]) -> str:
    """What ``fingerprint()`` of a module of tests says in a new process with this environment."""
    done = subprocess.run(
        [sys.executable, "-c", f"from tests.maps import {module} as module\nprint(module.fingerprint())"],
        env=os.environ | environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
