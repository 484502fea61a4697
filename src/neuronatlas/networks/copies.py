"""Copies of a network that are faster to differentiate, and the proof that they compute the same."""

from __future__ import annotations

import copy
import itertools
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from neuronatlas.networks.base import Network
from neuronatlas.networks.folding import Flow, fold_batch_norms, fold_padding, rectify_in_place
from neuronatlas.networks.joining import join
from neuronatlas.networks.modules import frozen
from neuronatlas.networks.slicing import cone
from neuronatlas.networks.threads import processors

if TYPE_CHECKING:
    from neuronatlas.networks.torch import TorchNetwork

Size = tuple[int, int]

PART = 2**24
"""Bytes of a weight that one thread sums at a time."""


def copied(
    network: TorchNetwork, layers: tuple[str, ...], sizes: tuple[Size, ...], precision: str
) -> TorchNetwork | None:
    """A faster copy up to these layers; None where there is none that computes the same for pictures of these sizes."""
    finite = all(bool(weight.isfinite().all()) for weight in network.module.parameters())
    for overwriting, joining in ((True, finite and precision == "float32"), (True, False), (False, False)):
        with suppress(Exception):  # whatever a module does that cannot be copied, folded or cut, it stays as it is
            twin = _folded(network, layers, overwriting=overwriting)
            if finite and len(layers) == 1:
                address = network.place(layers[0]).address
                with frozen(twin.module), torch.no_grad():
                    flow = Flow.of(twin.module, _blank(network))
                    twin.cones = {address: cone(twin.module, flow, network.home(layers[0]))}
            if joining:
                _join(twin, layers, keep=set().union(*twin.cones.values()))
            if not all(agree(network, twin, layers, size) for size in sizes):
                continue
            if twin.cones:
                units = [0, network.layer(layers[0]).units - 1, 0]
                if not all(agree(network, twin, layers, size, units=units) for size in sizes):
                    twin.cones = {}
                    if not agree(network, twin, layers, sizes[0]):
                        continue
            if precision == "bfloat16":
                twin.dtype = torch.bfloat16
                twin.module.to(torch.bfloat16)
            return twin
    return None


def _folded(network: TorchNetwork, layers: tuple[str, ...], *, overwriting: bool) -> TorchNetwork:
    targets = {network.home(name) for name in layers}
    module = copy.deepcopy(network.module)
    with frozen(module), torch.no_grad():
        flow = Flow.of(module, _blank(network))
        fold_batch_norms(module, flow, keep=targets)
        if overwriting:
            fold_padding(module, flow)
            rectify_in_place(module, flow, keep=targets)
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.with_module(module)


def _join(twin: TorchNetwork, layers: tuple[str, ...], *, keep: set[str]) -> None:
    """Join the convolutions of a copy on the way to these layers."""
    picture = torch.rand((1, twin.input.channels, *twin.input.size), generator=torch.Generator().manual_seed(0))
    picture = picture.to(twin.device).requires_grad_(True)
    with twin.capture(layers) as run:
        join(twin.module, lambda: run(picture).values(), targets={twin.home(name) for name in layers}, keep=keep)


def _blank(network: TorchNetwork) -> Tensor:
    return network.input.normalise(network.blank()).to(network.dtype)


def agree(
    network: Network,
    other: Network,
    layers: tuple[str, ...],
    size: Size,
    *,
    units: list[int] | None = None,
    rough: bool = False,
) -> bool:
    """Do both give the same values and gradient for a random picture of a size, as far as rounding allows?

    Where the first takes no such picture, they do. ``rough``: only values, and only as far as half precision allows.
    """
    found = []
    for each in (network, other):
        generator = torch.Generator().manual_seed(0)
        probe = torch.rand((1, network.input.channels, *size), generator=generator, dtype=torch.float32)
        probe = probe.to(network.device).requires_grad_(True)
        try:
            with each.capture(layers, units=units) as run:
                outputs = list(run(probe).values())
            weights = [torch.randn(output.shape, generator=generator).to(output) for output in outputs]
            total = sum((o.nan_to_num(0, 0, 0) * w).sum() for o, w in zip(outputs, weights, strict=True))
            slope = torch.autograd.grad(total, probe)[0]  # type: ignore[arg-type]
        except (RuntimeError, ValueError, AssertionError):  # it takes no such picture, or gives no gradient
            return each is network and size != network.input.size
        found.append([*(output.detach() for output in outputs), slope])
    pairs = zip(*found, strict=True)
    if rough:
        return all(_close(one, another, 0.1) for one, another in list(pairs)[:-1])
    return all(_close(one, another, 1e-3) for one, another in pairs)


def checksum(module: nn.Module) -> int:
    """A quick number that changes with every weight and buffer, every part and its printed settings, and every hook.

    A function's own state is not seen: that copies still agree is looked at each time.
    """
    total = zlib.crc32(repr(module).encode())
    for part in module.modules():
        hooks = [*vars(part)["_forward_hooks"].values(), *vars(part)["_forward_pre_hooks"].values()]
        total = zlib.crc32(repr([id(hook) for hook in hooks]).encode(), total)
    with ThreadPoolExecutor(processors()) as threads:
        for value in itertools.chain(module.parameters(), module.buffers()):
            plain = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
            parts = [plain[start : start + PART] for start in range(0, len(plain), PART)]
            for number in (threads.map if len(parts) > 1 else map)(zlib.crc32, parts):
                total = zlib.crc32(number.to_bytes(4), total)
    return total


def _close(one: Tensor, other: Tensor, tolerance: float) -> bool:
    scale = float(one.nan_to_num(0, 0, 0).abs().max())
    return torch.allclose(one, other, rtol=tolerance, atol=0.1 * tolerance * scale + 1e-12, equal_nan=True)
