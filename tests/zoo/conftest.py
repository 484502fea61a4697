"""Checkpoints that TensorFlow itself wrote, and a network that tells digits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from neuronatlas import stimuli

WRITING = Path(__file__).with_name("tensorflow_writing.py")


def write(*words: str | Path) -> None:
    """Let TensorFlow write, in a process of its own."""
    few = {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(WRITING), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | few)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small.* and the values in it."""
    folder = tmp_path_factory.mktemp("small")
    write("small", folder)
    return folder


@pytest.fixture(scope="session")
def ecoset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with AlexNet's checkpoint as trained on ecoset, and what TensorFlow answers to photographs."""
    yield from alexnet(tmp_path_factory, "565", "yes")


@pytest.fixture
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same of a thousand classes, without what the training kept beside the weights."""
    yield from alexnet(tmp_path_factory, "1000", "no")


def alexnet(tmp_path_factory: pytest.TempPathFactory, classes: str, slots: str) -> Iterator[Path]:
    """Written when it is asked for, and removed after: it has 388 MB."""
    folder = tmp_path_factory.mktemp("seeds") / "training_seed_01"
    folder.mkdir()
    centres = [item for item in stimuli.photographs() if "/1.00" in item.name][:4]
    np.save(folder / "pictures.npy", np.stack([item.draw(224) for item in centres]).astype(np.float32) / 255)
    write("alexnet", folder, classes, slots)
    yield folder
    shutil.rmtree(folder)
