"""The old class's names with what it was made for, Keras models, on TensorFlow as it was and on torch."""

from __future__ import annotations

import pytest
from tests.networks.keras_process import run


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_every_check(backend: str) -> None:
    told = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/compat/keras_checks.py", KERAS_BACKEND=backend)
    assert " passed" in told
