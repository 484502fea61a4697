"""Every kind of file and factory on the command line: its layers, pictures of four units, and a map, by the same words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from neuronatlas import stimuli

FACTORY = """
from torch import nn


def small():
    return nn.Sequential(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.Conv2d(6, 8, 3))
"""
THREE_COMMANDS = """
import sys
from neuronatlas.cli import main
network, layer, pictures, out, *said = sys.argv[1:]
units = [f"{layer}:{number}" for number in range(4)]
for words in (
    ["layers", network, "--json"],
    ["render", network, *units, "-o", f"{out}/pictures", "--steps", "3"],
    ["map", network, "--images", pictures, "--layers", layer, "-o", f"{out}/map.png"],
):
    sys.argv = ["neuronatlas", *words, *said]
    try:
        main()
    except SystemExit as stop:
        if stop.code:
            raise
"""
TORCHVISION = """
import torch
library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
KERAS = """
import sys
import keras
keras.utils.set_random_seed(0)
layers = [keras.Input((32, 32, 3)), keras.layers.Conv2D(6, 5, activation="relu", name="edges")]
layers += [keras.layers.Conv2D(8, 3, name="parts"), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)]
keras.Sequential(layers).save(sys.argv[1])
"""
TENSORFLOW = """
import sys
import tensorflow as tf


class Small(tf.Module):
    def __init__(self):
        self.first = tf.Variable(tf.random.stateless_normal((5, 5, 3, 6), seed=(0, 1)) / 5)
        self.second = tf.Variable(tf.random.stateless_normal((3, 3, 6, 8), seed=(0, 2)) / 5)

    @tf.function(input_signature=[tf.TensorSpec((None, 32, 32, 3), name="pictures")])
    def __call__(self, pictures):
        edges = tf.nn.relu(tf.nn.conv2d(pictures, self.first, 1, "VALID", name="edges"))
        return tf.nn.conv2d(edges, self.second, 1, "VALID", name="parts")


model, path = Small(), sys.argv[1]
if path.endswith(".pb"):
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2 as freeze
    graph = freeze(model.__call__.get_concrete_function()).graph.as_graph_def()
    tf.io.write_graph(graph, "", path, as_text=False)
else:
    tf.saved_model.save(model, path)
"""


def python(code: str, *words: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own; ``folder`` is where it looks for modules first."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": "tensorflow"}
    path = {"PYTHONPATH": str(folder)} if folder else {}
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | quiet | path)


def small() -> nn.Sequential:
    """A network for a picture of 32 x 32."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.Conv2d(6, 8, 3))


def made_by(code: str, name: str) -> Callable[[Path], str]:
    """A file or folder of that name, written by a program."""

    def make(folder: Path) -> str:
        done = python(code, folder / name)
        assert done.returncode == 0, done.stderr
        return str(folder / name)

    return make


def onnx_file(folder: Path) -> str:
    torch.onnx.export(
        small(), (torch.zeros(1, 3, 32, 32),), str(folder / "small.onnx"), dynamo=False, input_names=["pictures"]
    )
    return str(folder / "small.onnx")


def factory(folder: Path) -> str:
    (folder / "my_file.py").write_text(FACTORY)
    return f"{folder / 'my_file.py'}:small"


def weights(folder: Path) -> str:
    save_file(small().state_dict(), folder / "small.safetensors")
    return f"{folder / 'small.safetensors'}@{factory(folder)}"


RANGE = ("--normalise", "0..1", "--input-size", "32")
KINDS = {
    "onnx": (onnx_file, "/2/Conv", RANGE[:2]),
    "keras": (made_by(KERAS, "small.keras"), "parts", RANGE[:2]),
    "h5": (made_by(KERAS, "small.h5"), "parts", RANGE[:2]),
    "SavedModel": (made_by(TENSORFLOW, "saved"), "parts", RANGE[:2]),
    "pb": (made_by(TENSORFLOW, "small.pb"), "parts", RANGE[:2]),
    "safetensors": (weights, "2", RANGE),
    "factory": (factory, "2", RANGE),
    "timm": (lambda folder: "timm:vit_tiny_patch16_224", "blocks.2", ()),
    "torchvision": (lambda folder: "torchvision:alexnet", "features.3", ()),
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number, item in enumerate(stimuli.photographs().items[:12]):
        Image.fromarray(item.draw(64)).save(folder / f"{number:02d}.png")
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's exporter
@pytest.mark.parametrize("kind", KINDS)
def test_one_network_of_each_kind_from_the_command_line(kind: str, pictures: Path, tmp_path: Path) -> None:
    make, layer, said = KINDS[kind]
    (tmp_path / "sitecustomize.py").write_text(TORCHVISION if kind in ("timm", "torchvision") else "")
    done = python(THREE_COMMANDS, make(tmp_path), layer, pictures, tmp_path / "out", *said, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    listed, _ = json.JSONDecoder().raw_decode(done.stdout)
    assert layer in [row["layer"] for row in listed["layers"]]
    made = sorted((tmp_path / "out" / "pictures").glob("*.png"))
    assert len(made) == 4
    for path in [*made, tmp_path / "out" / "map.png"]:
        assert np.asarray(Image.open(path).convert("RGB"), dtype=np.float64).std() > 1
    assert ("its weights are random" in done.stderr) == (kind in ("timm", "torchvision"))
