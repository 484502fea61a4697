"""AlexNet as trained on ecoset (565 classes) or ImageNet (1000) by the Kietzmann lab, from its TensorFlow checkpoints.

Mehrer, Spoerer, Jones, Kriegeskorte, Kietzmann (2021), "An ecologically motivated image dataset for deep learning yields
better models of human vision", PNAS 118(8), e2011417118. A checkpoint is ``model.ckpt_epoch89.index`` with its data
file; ten training seeds lie in folders ``training_seed_01`` to ``training_seed_10``. The network is the AlexNet v2 of
TF-Slim (Krizhevsky 2014, arXiv:1404.5997) without normalisation layers; its number of classes is read from ``fc8``.

Layers: ``conv1`` to ``conv5`` and ``fc6`` to ``fc8`` are the convolutions themselves, *before* bias and ReLU, which is
what lucid-kietzmannlab shows under the names ``alexnet_v2/conv1/Conv2D``. ``conv1/BiasAdd`` and ``conv1/Relu`` follow
each (``fc8`` has no ReLU), ``pool1``, ``pool2`` and ``pool5`` the layers of their number. Each answers to its name in
TensorFlow's graph as well: ``alexnet_v2/conv1/Relu``, ``alexnet_v2/pool1/MaxPool``.

Preprocessing: RGB, 224 pixels, ``(x - 0.5) * 2`` for pictures in 0..1. Dropout is off.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from neuronatlas.errors import WrongInput
from neuronatlas.networks.base import Network
from neuronatlas.networks.modules import moved
from neuronatlas.networks.preprocessing import Given
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.zoo.tf1_checkpoint import Checkpoint, read

SCOPE = "alexnet_v2"
SIZE = 224
CONVOLUTIONS = {
    "conv1": (3, 64, 11, 4, 0),
    "conv2": (64, 192, 5, 1, 2),
    "conv3": (192, 384, 3, 1, 1),
    "conv4": (384, 384, 3, 1, 1),
    "conv5": (384, 256, 3, 1, 1),
    "fc6": (256, 4096, 5, 1, 0),
    "fc7": (4096, 4096, 1, 1, 0),
    "fc8": (4096, 0, 1, 1, 0),
}
"""Channels in and out (0: the number of classes), side of the kernel, stride and padding, of each."""

_POOLED = ("conv1", "conv2", "conv5")
_FORMAT = "neuronatlas alexnet-ecoset 1"


class Bias(nn.Module):
    """A number added to each channel, as a module of its own: what is before it is a layer, and what is after it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The maps with their bias."""
        return maps + self.bias[:, None, None]


class AlexNet(nn.Module):
    """The network: pictures (n, 3, 224, 224) in -1..1 to logits (n, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        for name, (given, made, side, stride, padding) in CONVOLUTIONS.items():
            made = made or classes
            self.add_module(name, nn.Conv2d(given, made, side, stride=stride, padding=padding, bias=False))
            self.add_module(f"{name}/BiasAdd", Bias(made))
            if name != "fc8":
                self.add_module(f"{name}/Relu", nn.ReLU())
            if name in _POOLED:
                self.add_module(f"pool{name[-1]}", nn.MaxPool2d(3, 2))

    def forward(self, pictures: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n classes"]:
        """The logits; of pictures that are larger than 224 pixels their mean over positions."""
        for part in self.children():
            pictures = part(pictures)
        return pictures.mean((2, 3))


def aliases() -> dict[str, str]:
    """The layer's name here by that in TensorFlow's graph."""
    names: dict[str, str] = {}
    for name in CONVOLUTIONS:
        names |= {f"{SCOPE}/{name}/Conv2D": name, f"{name}/Conv2D": name}
        names |= {
            f"{SCOPE}/{name}/{part}": f"{name}/{part}"
            for part in ("BiasAdd", "Relu")
            if (name, part) != ("fc8", "Relu")
        }
    for name in _POOLED:
        names[f"{SCOPE}/pool{name[-1]}/MaxPool"] = f"pool{name[-1]}"
    return names


def load(path: Path, given: Given) -> Network:
    """The network of a folder with one checkpoint, of a checkpoint's prefix, or of a file that `convert` wrote."""
    if path.suffix == ".safetensors":
        state, labels = _read_converted(path)
        _check_converted(path, state)
    else:
        prefix = find_prefix(path)
        state, labels = _state(read(prefix)), _labels(prefix.parent)
    classes = state["fc8/BiasAdd.bias"].numel()
    if labels and len(labels) != classes:
        message = f"{str(path)!r}: labels.txt has {len(labels)} lines, and the network {classes} classes: one a line"
        raise WrongInput(message)
    with torch.device("meta"):  # no random numbers for weights that are replaced
        module = AlexNet(classes).eval()
    module.load_state_dict(state, strict=True, assign=True)
    return TorchNetwork(
        moved(module, given.device or "cpu"),
        input=given.or_else("-1..1").spec(size=(SIZE, SIZE), channels=3),
        name="alexnet-ecoset",
        labels=given.labels or labels or tuple(str(number) for number in range(classes)),
        aliases=aliases(),
    )


def convert(path: Path, out: Path) -> int:
    """Write the weights of a checkpoint as safetensors, with their labels and a sha256; the number of classes."""
    if out.suffix != ".safetensors":
        message = f"out (={str(out)!r}) must end in .safetensors"
        raise WrongInput(message)
    prefix = find_prefix(path)
    state = _state(read(prefix))
    labels = _labels(prefix.parent)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f"{out.name}.part")
    save_file(state, partial, {"format": _FORMAT, "labels": json.dumps(labels), "sha256": _digest(state)})
    partial.replace(out)
    return len(state["fc8/BiasAdd.bias"])


def find_prefix(path: Path) -> Path:
    """The prefix of the one checkpoint that a folder holds, or that the path names; raises `WrongInput`."""
    if not path.is_dir():
        prefix = path.with_suffix("") if path.suffix == ".index" else path
        if prefix.with_name(f"{prefix.name}.index").is_file() or prefix.is_file():
            return prefix
        message = f"checkpoint {str(path)!r} is not there: give the folder with its .index and .data files"
        raise WrongInput(message)
    found = sorted(index.with_suffix("") for index in path.glob("*.index"))
    if len(found) == 1:
        return found[0]
    if found:
        message = (
            f"folder {str(path)!r} holds {len(found)} checkpoints: give one, {_listed(each.name for each in found)}"
        )
        raise WrongInput(message)
    inside = sorted({index.parent.name for index in path.glob("*/*.index")})
    why = (
        f"its folders do: give one, {_listed(inside)}" if inside else "give the folder with its .index and .data files"
    )
    message = f"folder {str(path)!r} holds no checkpoint; {why}"
    raise WrongInput(message)


def _listed(names: Iterator[str] | list[str]) -> str:
    names = list(names)
    return ", ".join(names[:12]) + (" and more" if len(names) > 12 else "")


def _state(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The weights by the names of `AlexNet`; TensorFlow's kernels are (height, width, in, out)."""
    shapes = checkpoint.shapes
    classes = shapes.get(f"{SCOPE}/fc8/biases", (0,))[0]
    state: dict[str, Tensor] = {}
    for name, (given, made, side, _, _) in CONVOLUTIONS.items():
        made = made or classes
        wanted = {f"{SCOPE}/{name}/weights": (side, side, given, made), f"{SCOPE}/{name}/biases": (made,)}
        for variable, shape in wanted.items():
            _check(checkpoint, variable, shape)
        kernel, bias = (torch.from_numpy(checkpoint[variable].copy()) for variable in wanted)
        state[f"{name}.weight"] = kernel.permute(3, 2, 0, 1).contiguous()
        state[f"{name}/BiasAdd.bias"] = bias
    return state


def _check(checkpoint: Checkpoint, variable: str, shape: tuple[int, ...]) -> None:
    """Refuse a checkpoint in which this is not what AlexNet has."""
    shapes: Mapping[str, tuple[int, ...]] = checkpoint.shapes
    if variable not in shapes:
        weights = [name for name in shapes if not name.endswith("/Momentum")]
        message = (
            f"checkpoint {str(checkpoint.prefix)!r} has no {variable!r}: it is no AlexNet, but has {_listed(weights)}"
        )
        raise WrongInput(message)
    found = shapes[variable]
    if found != shape or 0 in found or checkpoint.dtypes[variable] != "<f4":
        message = (
            f"checkpoint {str(checkpoint.prefix)!r}: {variable!r} is {checkpoint.dtypes[variable]} of shape {found}, "
            f"and AlexNet's is float32 of shape {shape}"
        )
        raise WrongInput(message)


def _labels(folder: Path) -> tuple[str, ...]:
    """The lines of ``labels.txt`` beside a checkpoint, if it is there."""
    path = folder / "labels.txt"
    if not path.is_file():
        return ()
    try:
        return tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except UnicodeDecodeError as error:
        message = f"{str(path)!r} is no text in UTF-8: {error.reason}"
        raise WrongInput(message) from error


def _read_converted(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Weights and labels of a file that `convert` wrote; raises `WrongInput` where a bit of it has changed."""
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        message = f"weights {str(path)!r} cannot be read: {error}"
        raise WrongInput(message) from error
    if about.get("format") != _FORMAT:
        message = (
            f"weights {str(path)!r} were not written by neuronatlas convert: their format is {about.get('format')!r}"
        )
        raise WrongInput(message)
    if about.get("sha256") != _digest(state):
        message = f"weights {str(path)!r} are damaged: their sha256 is not the one that was written; convert again"
        raise WrongInput(message)
    try:
        labels = json.loads(about.get("labels", ""))
    except (json.JSONDecodeError, RecursionError):
        labels = None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        message = f"weights {str(path)!r} have no list of labels: they are not as neuronatlas convert wrote them"
        raise WrongInput(message)
    return state, tuple(labels)


def _check_converted(path: Path, state: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are not those of AlexNet."""
    bias = state.get("fc8/BiasAdd.bias")
    classes = 0 if bias is None else bias.numel()
    with torch.device("meta"):
        wanted = {name: tuple(each.shape) for name, each in AlexNet(classes or 1).state_dict().items()}
    found = {name: tuple(each.shape) for name, each in state.items() if each.dtype == torch.float32}
    wrong = sorted(
        name for name in wanted.keys() | state.keys() if name not in wanted or found.get(name) != wanted[name]
    )
    if wrong or not classes:
        message = (
            f"weights {str(path)!r} are no AlexNet of neuronatlas convert: absent, of another shape or too many are "
            f"{_listed(wrong)}; convert the checkpoint again"
        )
        raise WrongInput(message)


def _digest(state: Mapping[str, Tensor]) -> str:
    """The sha256 of every tensor with its name and shape."""
    total = hashlib.sha256()
    for name, value in sorted(state.items()):
        total.update(f"{name}|{tuple(value.shape)}|".encode())
        total.update(value.contiguous().view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
