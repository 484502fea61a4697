"""What a word stands for: a network of the zoo, a factory with or without weights, a file.

Each source is one row of a table: how the word begins or ends, and the module whose ``load`` makes a network of the
rest of the word and of what is `Given`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.networks.base import Network
from neuronatlas.networks.preprocessing import Given

Loader = Callable[[Given], Network]

NAMES = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
PREFIXES = {
    "alexnet-ecoset:": "neuronatlas.zoo.alexnet_ecoset",
    "mobilenet-v2:": "neuronatlas.zoo.mobilenet_v2",
}
ENDINGS = {
    ".keras": "neuronatlas.networks.keras",
    ".h5": "neuronatlas.networks.keras",
    ".onnx": "neuronatlas.networks.onnx",
    ".pb": "neuronatlas.networks.tensorflow",
    ".meta": "neuronatlas.networks.tensorflow",
    ".pt": "neuronatlas.networks.script",
    ".pt2": "neuronatlas.networks.script",
}
WEIGHTS = (".safetensors", ".pth", ".bin", ".ckpt")
"""Files that hold numbers and no network."""
SAVED_MODEL = "neuronatlas.networks.tensorflow"


def find(word: str) -> Loader:
    """The loader for a word; raises `UnknownName` or `WrongInput` where it stands for nothing."""
    if word in NAMES:
        module = importlib.import_module("neuronatlas.zoo.efficientnet_lite")
        return partial(module.load, int(word[-1]))
    for prefix, home in PREFIXES.items():
        if word.startswith(prefix):
            return partial(importlib.import_module(home).load, Path(word.removeprefix(prefix)))
    from neuronatlas.zoo import factories

    if factories.is_factory(word):
        return partial(factories.load, word)
    path = Path(word)
    if path.suffix.lower() in WEIGHTS or word.lower().endswith(factories.KERAS):
        message = (
            f"network {word!r} is a file of weights, which says nothing of the network that they belong to: give "
            f"{path.name}@FACTORY, such as {path.name}@timm:NAME or {path.name}@file.py:function"
        )
        raise WrongInput(message)
    home = SAVED_MODEL if path.is_dir() else ENDINGS.get(path.suffix.lower(), "")
    if home and path.exists():
        return partial(importlib.import_module(home).load, path)
    if home:
        message = f"network {word!r}: there is no such file"
        raise WrongInput(message)
    raise UnknownName("network", word, [*NAMES, *(f"{prefix}..." for prefix in (*PREFIXES, "timm:", "torchvision:"))])
