"""What is looked at before a torch module is used: where its weights are and what they hold, and what it takes."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from neuronatlas.errors import WrongInput
from neuronatlas.networks.modules import frozen

if TYPE_CHECKING:
    from neuronatlas.networks.base import InputSpec

HALF = (torch.float16, torch.bfloat16)
SIDES = (28, 32, 64, 96, 128, 160, 192, 224, 240, 256, 288, 299, 320, 384)
"""Sides of square pictures that are tried where a network does not take the size that was given: usual ones."""
REFUSALS = (RuntimeError, ValueError, AssertionError, TypeError, IndexError)
"""How modules say that they do not take a picture."""


def check_place(module: nn.Module, name: str) -> None:
    """Refuse a module whose weights are spread over devices or processes, or are nowhere."""
    for part in module.modules():
        if any("FullyShardedDataParallel" in kind.__name__ for kind in type(part).__mro__):
            _refuse_sharded(name)
    devices: dict[str, str] = {}
    for key, value in itertools.chain(module.named_parameters(), module.named_buffers()):
        if "DTensor" in type(value).__name__ or "DTensor" in type(value.data).__name__:
            _refuse_sharded(name)
        devices.setdefault(str(value.device), key)
    if "meta" in devices:
        message = f"network {name!r} has no weights: {devices['meta']!r} is on the device 'meta'. Load them first"
        raise WrongInput(message)
    if len(devices) > 1:
        places = ", ".join(f"{key!r} on {device}" for device, key in devices.items())
        message = (
            f"network {name!r} is spread over {len(devices)} devices ({places}): move it to one, module.to('cpu'), or give "
            "device"
        )
        raise WrongInput(message)


def check_numbers(module: nn.Module, name: str) -> None:
    """Refuse weights that are not finite; the first module with any is named."""
    for key, value in itertools.chain(module.named_parameters(), module.named_buffers()):
        if is_lazy(value) or not value.is_floating_point():
            continue
        bad = ~value.isfinite() if isinstance(value, nn.Parameter) else value.isnan()  # a mask may hold -inf
        if bool(bad.any()):
            home, _, weight = key.rpartition(".")
            message = (
                f"network {name!r} has broken weights: {weight!r} of its module {home!r} holds {int(bad.sum())} of "
                f"{bad.numel()} numbers that are not finite. Training diverged, or the file is damaged: load others"
            )
            raise WrongInput(message)


def lazy(module: nn.Module) -> list[str]:
    """The weights that have no shape before a first forward pass."""
    return [key for key, value in itertools.chain(module.named_parameters(), module.named_buffers()) if is_lazy(value)]


def other(image: Tensor) -> Tensor:
    """A darker picture of the same shape, of noise that is the same in every run."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(image.shape, generator=generator, dtype=torch.float32).pow(3).to(image)


def materialise(module: nn.Module, spec: InputSpec) -> None:
    """Give such weights their shape, by one forward pass of a grey picture; their numbers are random."""
    image = torch.full((1, spec.channels, *spec.size), 0.5)
    training = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        with torch.no_grad():
            module(spec.normalise(image))
    finally:
        for part, mode in training:
            part.training = mode


def in_full(module: nn.Module) -> tuple[nn.Module, str]:
    """A copy in float32 of a module of half precision on a processor, and a sentence about it; else the module, and ""."""
    halves = {value.dtype for value in module.parameters() if value.dtype in HALF}
    on_processor = all(value.device.type == "cpu" for value in module.parameters())
    if not halves or not on_processor:
        return module, ""
    kinds = " and ".join(sorted(str(kind).removeprefix("torch.") for kind in halves))
    return copy.deepcopy(module).float(), f"its weights are {kinds}; on this processor a copy in float32 is used"


def sizes_taken(module: nn.Module, spec: InputSpec, dtype: torch.dtype) -> list[int]:
    """Of `SIDES`, those of square pictures that the module takes."""
    taken = []
    with torch.no_grad(), frozen(module):
        for side in SIDES:
            image = torch.full((1, spec.channels, side, side), 0.5)
            try:
                module(spec.normalise(image).to(next(_placed(module), image).device, dtype))
            except REFUSALS:
                continue
            taken.append(side)
    return taken


def size_refused(module: nn.Module, spec: InputSpec, dtype: torch.dtype, *, name: str, error: Exception) -> str:
    """What to say when a module does not take a picture of the size and channels given."""
    asked = f"{spec.channels} x {spec.size[0]} x {spec.size[1]}"
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    start = f"network {name!r} does not take pictures of {asked} (channels x height x width): {reason}. "
    first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    if first is not None and first.in_channels != spec.channels and "channels" in reason:
        return start + (
            f"Its first convolution takes {first.in_channels} channels: give normalise=(mean, std) with as many numbers each"
        )
    taken = sizes_taken(module, spec, dtype)
    tried = f"Of square pictures of {', '.join(map(str, SIDES))} pixels it takes "
    if not taken:
        return start + tried + "none: give the input_size, (height, width), that it was trained with"
    return start + tried + f"{', '.join(map(str, taken))}: give input_size={taken[-1]}, say"


def _placed(module: nn.Module) -> itertools.chain[Tensor]:
    return itertools.chain(module.parameters(), module.buffers())


def _refuse_sharded(name: str) -> None:
    message = (
        f"network {name!r} is sharded (FSDP): no process has all of its weights. Gather them in one process, save them, "
        "and load them into the plain module"
    )
    raise WrongInput(message)
