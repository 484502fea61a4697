"""Only the wanted units of a layer: its weights are cut to them, back to the convolution that makes them.

A late convolution of a thousand channels costs as much as several blocks before it, and a picture asks for one of them.
From the layer back, every module that treats its channels apart (batch norm, rectifier, depthwise convolution) is cut
to the wanted channels, up to and including the first one that mixes its inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from neuronatlas.networks.folding import Flow, Overwriting, Passed, makes_weights

_APART = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.ELU, nn.Sigmoid, nn.Tanh)
_TENSORS = ("weight", "bias", "running_mean", "running_var")
_COUNTS = ("out_channels", "out_features", "num_features")


def cone(module: nn.Module, flow: Flow, layer: str) -> list[str]:
    """The modules to cut for ``layer``, deepest first; none when it cannot be told."""
    parts: list[str] = []
    name = layer
    while name and len(flow.makers.get(name, [])) == 1:
        part = module.get_submodule(name)
        if makes_weights(part):
            return []
        if type(part).__module__.startswith("torch.") and not isinstance(part, (nn.Conv2d, nn.Linear)):
            if isinstance(part, nn.BatchNorm2d):
                parts.append(name)
            elif not isinstance(part, (*_APART, nn.Identity)):
                return []
        elif isinstance(part, nn.Linear) or (isinstance(part, nn.Conv2d) and part.groups == 1):
            return [*parts, name]
        elif isinstance(part, nn.Conv2d) and part.groups == part.in_channels == part.out_channels:
            parts.append(name)
        elif not isinstance(part, (Passed, Overwriting)):
            return []
        name = flow.before(name)
    return []


@contextmanager
def sliced(module: nn.Module, parts: Sequence[str], units: Sequence[int]) -> Iterator[None]:
    """Inside the block, these modules hold only the channels ``units``, in that order; as before after it."""
    index = torch.tensor(list(units))
    kept: list[tuple[nn.Module, str, object]] = []
    try:
        for name in parts:
            part = module.get_submodule(name)
            for tensor in _TENSORS:
                value = getattr(part, tensor, None)
                if isinstance(value, Tensor):
                    kept.append((part, tensor, value))
                    cut = value.detach()[index.to(value.device)]
                    form = torch.channels_last if cut.ndim == 4 else torch.contiguous_format
                    cut = cut.contiguous(memory_format=form)
                    is_weight = isinstance(value, nn.Parameter)
                    setattr(part, tensor, nn.Parameter(cut, requires_grad=False) if is_weight else cut)
            if isinstance(part, nn.Conv2d) and part.groups > 1:
                kept += [(part, "groups", part.groups), (part, "in_channels", part.in_channels)]
                part.groups = part.in_channels = len(units)
            for count in _COUNTS:
                if hasattr(part, count):
                    kept.append((part, count, getattr(part, count)))
                    setattr(part, count, len(units))
        yield
    finally:
        for part, attribute, value in reversed(kept):
            setattr(part, attribute, value)
