"""What can be asked of a `torch.nn.Module` and done with it, whatever it computes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from neuronatlas.errors import WrongInput

_COPIES = (nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
COPIES = tuple(kind.__name__ for kind in _COPIES)
_PADDING = re.compile(
    "(?:Zero|Reflect(?:ion)?|Replicat(?:e|ion)|Constant|Circular|Symmetric|Same|Static)*Pad(?:ding)?(?:[123][dD])?"
)
_KINDS: tuple[tuple[tuple[type[nn.Module], ...], str], ...] = (
    ((nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d), "convolution"),
    ((nn.Linear,), "dense"),
    ((nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm2d), "normalisation"),
    ((nn.MultiheadAttention,), "attention"),
)


def kind_of(module: nn.Module) -> str:
    """The kind of a layer in one word, for people."""
    said = getattr(module, "kind", "")  # of one that stands for a part elsewhere
    if said and isinstance(said, str):
        return said
    for classes, kind in _KINDS:
        if isinstance(module, classes):
            return kind
    place = type(module).__module__
    if place in ("torch.nn.modules.activation", "torch.nn.modules.pooling"):
        return place.rsplit(".", 1)[1]
    return "block" if next(module.children(), None) is not None else "function"


def only_copies(module: nn.Module) -> bool:
    """Does it only pass its input on, at rest?"""
    if getattr(module, "copies", False) is True:  # one that stands for a part elsewhere
        return True
    return isinstance(module, _COPIES) or pads(type(module).__name__, module)


def pads(title: str, module: nn.Module | None) -> bool:
    """Does a module of a class of this name only pad? One with weights, such as a padded convolution, does more."""
    return _PADDING.fullmatch(title) is not None and next(iter(module.parameters() if module else ()), None) is None


def rectifies(module: nn.Module) -> bool:
    """Is it a rectifier, whose unit may be silent everywhere? One that stands for a part elsewhere says so."""
    return isinstance(module, nn.ReLU | nn.ReLU6) or getattr(module, "rectifies", False) is True


def first_channels(module: nn.Module) -> int | None:
    """The colour channels of the first convolution, which are those of the pictures as a rule."""
    known = next((part.in_channels for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    return known or next((weight.shape[1] for weight in module.parameters() if weight.ndim == 4), None)


def plain_tensors(value: object) -> Iterator[Tensor]:
    """The numbers of an entry of a state dictionary, on the processor; quantised weights hold several."""
    for leaf in pytree.tree_leaves(value):
        if isinstance(leaf, Tensor) and leaf.is_quantized:
            yield leaf.detach().cpu().dequantize().contiguous()
        elif isinstance(leaf, Tensor):
            yield leaf.detach().cpu().contiguous()


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside `torch.compile` and data-parallel wrappers, which hide their layers."""
    while True:
        inner = getattr(module, "_orig_mod", None)
        if inner is None and isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            inner = module.module
        if inner is None:
            return module
        module = inner


def moved(module: nn.Module, device: str) -> nn.Module:
    """The module on a device; raises `WrongInput` where there is no such device."""
    try:
        return module.to(device)
    except (RuntimeError, AssertionError) as error:  # torch's two ways to say so
        reason = str(error).strip().splitlines()[0]
        message = f"device (={device!r}) cannot be used here: {reason}"
        raise WrongInput(message) from error


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients for the weights inside the block; as before after it."""
    training = [(part, part.training) for part in module.modules()]
    learning = [(weight, weight.requires_grad) for weight in module.parameters()]
    try:
        module.eval()
        for weight, _ in learning:
            weight.requires_grad_(False)
        yield
    finally:
        for part, mode in training:
            part.training = mode
        for weight, wanted in learning:
            weight.requires_grad_(wanted)
