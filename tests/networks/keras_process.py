"""Tests of Keras in a process of their own: which backend it has is decided once a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiling is what takes the time
    "JAX_PLATFORMS": "cpu",
}


def run(*words: str, **more: str) -> str:
    """What a new process says; fails with all of it where that fails."""
    settings = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"} | QUIET | more
    made = subprocess.run([sys.executable, *words], cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout[-6000:] + made.stderr[-3000:]
    return made.stdout
