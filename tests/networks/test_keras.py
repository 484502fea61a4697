"""The Keras adapter, on every backend of Keras: which one it is, is decided once a process."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.networks.keras_process import run


@pytest.mark.slow
@pytest.mark.timeout(900)  # on a busy machine
@pytest.mark.parametrize("backend", ["torch", "tensorflow", "jax"])
def test_every_check(backend: str) -> None:
    told = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/networks/keras_checks.py", KERAS_BACKEND=backend)
    assert " passed" in told


WITHOUT_TENSORFLOW = """
import os, sys
sys.modules["tensorflow"] = None  # as where it is not installed
import neuronatlas
network = neuronatlas.load(sys.argv[1], normalise="0..1")
(layer,) = network.layers.values()
import keras
print(keras.backend.backend(), str(layer.shape).replace(" ", ""), os.environ.get("KERAS_BACKEND"))
"""


def test_without_tensorflow_files_are_read_on_torch(tmp_path: Path) -> None:
    made = "import keras, sys; keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 1)]).save(sys.argv[1])"
    run("-c", made, str(tmp_path / "plain.keras"), KERAS_BACKEND="torch")
    assert run("-c", WITHOUT_TENSORFLOW, str(tmp_path / "plain.keras")).split() == ["torch", "(2,8,8)", "None"]
