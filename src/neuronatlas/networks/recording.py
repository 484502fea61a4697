"""Recording at the cost of the forward pass: outputs pooled where they are made, on copies whose batch norms are folded.

- Every output is pooled in the hook that sees it, so that none is copied or kept.
- Batch norms are folded into the convolutions before them, rectifiers overwrite what they rectify. Where such a
  convolution is a layer too, what it gave follows from what it gives now (`undoing`): its mean from the mean, its maximum
  from the maximum, or the minimum where the scale is negative.
- The maximum of a rectified map is the rectified maximum, the mean of what such a convolution of one pixel gives is that of the
  mean, and what is one tensor in two layers is pooled once.

A copy is used only where it gives the same responses as the network to random pictures.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.weak import WeakTensorKeyDictionary

from neuronatlas.networks.axes import View
from neuronatlas.networks.base import Network
from neuronatlas.networks.folding import (
    RECTIFIERS,
    Flow,
    Overwriting,
    Passed,
    fold_batch_norms,
    fold_padding,
    makes_weights,
    put,
    rectify_in_place,
)
from neuronatlas.networks.modules import frozen
from neuronatlas.networks.pooling import Reduction, pool
from neuronatlas.networks.probing import HALF
from neuronatlas.networks.threads import number_of_threads_kept
from neuronatlas.networks.undoing import Apart, Undoing
from neuronatlas.networks.watching import Seen

if TYPE_CHECKING:
    from neuronatlas.networks.torch import TorchNetwork

AT_ONCE = 32
"""Pictures that go through together while their responses are recorded."""
TOLERANCE = 1e-4
"""Of a response, and a tenth of it of the largest one of the layer: how far a copy may differ."""


class Pooling:
    """Pools outputs as they are seen, and knows what it has pooled as long as the tensor lives unchanged."""

    def __init__(self, reductions: Sequence[Reduction], *, following: bool) -> None:
        """``following``: what follows from the pooled input of a module is not pooled again."""
        self.reductions, self.following = tuple(reductions), following
        self._known = WeakTensorKeyDictionary()  # of a tensor: its version, the view, and its reductions

    def __call__(self, seen: Seen, view: View, undoing: Undoing | None) -> tuple[Tensor, ...]:
        """The reductions of a layer: of a part of what was seen, or of what ``undoing`` makes of that."""
        assert seen.output is not None
        done = self._done(seen.output, view)
        if done is None:
            done = self._followed(seen, view, folded=undoing is not None) if self.following else {}
            if not seen.output.is_inference():  # such a tensor does not count its changes
                self._known[seen.output] = (_changes(seen.output), view, done)
        output = view(seen.output)
        output = output.float() if output.dtype in HALF else output
        found = []
        for reduction in self.reductions:
            if undoing is not None and reduction not in ("mean", "max"):
                found.append(_pooled(undoing(output), reduction))
                continue
            if reduction not in done:
                done[reduction] = _pooled(output, reduction)
            found.append(done[reduction] if undoing is None else _undone(undoing, reduction, done[reduction], output))
        return tuple(found)

    def _done(self, tensor: Tensor, view: View, *, changes: int = 0) -> dict[Reduction, Tensor] | None:
        """What is known of a tensor that has been changed so many times since."""
        if tensor.is_inference() or tensor not in self._known:
            return None
        version, seen_as, done = self._known[tensor]
        return done if (version, seen_as) == (_changes(tensor) - changes, view) else None

    def _followed(self, seen: Seen, view: View, *, folded: bool) -> dict[Reduction, Tensor]:
        """What follows for a module's output from what is known of its input."""
        module, given = seen.module, seen.given
        if given is None:
            return {}
        changes = 0 if given is not seen.output else module.changes if isinstance(module, Apart) else 1
        known = self._done(given, view, changes=changes) or {}
        found: dict[Reduction, Tensor] = {}
        if isinstance(module, Apart):
            sound = ("mean", "max") if min(module.numbers) >= 0 else ("mean",)
            found = {each: module.pooled(known[each]) for each in sound if each in known}
        elif folded and "mean" in known and _of_one_pixel(module, known["mean"]):
            assert isinstance(module, nn.Conv2d)
            found["mean"] = functional.linear(known["mean"], module.weight.flatten(1), module.bias)
        elif "max" in known and (isinstance(module, Overwriting) or type(module) in RECTIFIERS):
            high = module.high if isinstance(module, Overwriting) else RECTIFIERS[type(module)]
            found["max"] = known["max"].clamp(0, high)
        return found


def _of_one_pixel(module: nn.Module, known: Tensor) -> bool:
    """Is it a convolution where each position of the output depends on the same one of the input, in one way?"""
    if (
        not isinstance(module, nn.Conv2d)
        or module.kernel_size != (1, 1)
        or tuple(module.stride) != (1, 1)
        or module.groups != 1
    ):
        return False
    return module.padding in ((0, 0), "same", "valid") and module.weight.dtype == known.dtype


def _changes(tensor: Tensor) -> int:
    """How often it has been changed in place."""
    return int(tensor._version)  # noqa: SLF001 - torch shows it nowhere else


def _pooled(output: Tensor, reduction: Reduction) -> Tensor:
    """The reduction, as no part of the output, which may be overwritten."""
    pooled = pool(output, reduce=reduction)
    return pooled if reduction in ("mean", "max") and output.ndim > 2 else pooled.clone()


def _undone(undoing: Undoing, reduction: Reduction, pooled: Tensor, output: Tensor) -> Tensor:
    """The mean or maximum of what a convolution gave, from that of its ``output`` now."""
    if reduction == "max" and undoing.falling:
        pooled = pooled.clone()
        pooled[:, undoing.falling] = -pool(-output[:, undoing.falling], reduce="max")
    return undoing(pooled)


def recording_copies(
    network: TorchNetwork, layers: tuple[str, ...], copies: int, kept: Sequence[Network]
) -> list[Network]:
    """So many faster copies, those that were ``kept`` first; none where there is none that gives the same responses."""
    if any(vars(part)["_forward_hooks"] for part in network.module.modules()):  # they are not this package's
        return []
    with suppress(Exception):  # whatever a module does that cannot be copied or folded, it stays as it is
        with number_of_threads_kept(), ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as other:
            found = other.submit(_responses, network, kept[0], layers) if len(kept) >= copies > 0 else None
            expected = _responses(network, network, layers)
        if found is not None and _alike(expected, found.result()):
            return list(kept[:copies])  # the others were compared when they were made, and share its weights

        def alike(twin: Network) -> bool:
            return _alike(expected, _responses(network, twin, layers))

        for twin in _twins(network, layers, copies):
            with suppress(Exception):
                if alike(twin):
                    return [twin, *filter(alike, (_another(twin) for _ in range(copies - 1)))]
    return []


def _twins(network: TorchNetwork, layers: tuple[str, ...], copies: int) -> Iterator[TorchNetwork]:
    """Copies of the network, the fastest first."""
    for overwriting in (True, False):
        with suppress(Exception):
            yield _folded(network, layers, overwriting=overwriting)
    if copies > 1:
        yield network.with_module(_sharing(network.module))


def _another(twin: TorchNetwork) -> TorchNetwork:
    """A copy of a copy, which shares its weights."""
    other = twin.with_module(_sharing(twin.module))
    other.undoing, other.folded = twin.undoing, twin.folded
    return other


def _sharing(module: nn.Module) -> nn.Module:
    """A copy with the same weights in memory, which want no gradient there."""
    weights = {
        id(weight): nn.Parameter(weight.detach(), requires_grad=False)
        for weight in module.parameters()
        if type(weight) is nn.Parameter
    }
    return copy.deepcopy(module, weights)


def _folded(network: TorchNetwork, layers: tuple[str, ...], *, overwriting: bool) -> TorchNetwork:
    places = {name: network.place(name) for name in layers}
    homes = {place.home for place in places.values()}
    whole = homes - {place.home for place in places.values() if place.view != View()}
    undoing: dict[str, Undoing] = {}
    module = copy.deepcopy(network.module)
    with frozen(module):
        flow = Flow.of(module, network.input.normalise(network.blank()).to(network.dtype))
        if overwriting:
            fold_padding(module, flow)
        fold_batch_norms(module, flow, keep=homes)
        for name, norm in list(module.named_modules()):
            before = flow.before(name)
            convolution = module.get_submodule(before)
            if before not in whole or not isinstance(norm, nn.BatchNorm2d) or not isinstance(convolution, nn.Conv2d):
                continue
            folded = None if makes_weights(convolution) else Undoing.folding(convolution, norm)
            if folded is not None:
                undoing[before], apart = folded
                put(module, name, apart if apart.channels else Passed())
        if overwriting:
            rectify_in_place(module, flow, keep=())
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    twin = network.with_module(module.requires_grad_(False))
    twin.folded = True
    twin.undoing = {name: undoing[place.home] for name, place in places.items() if place.home in undoing}
    return twin


def _responses(network: TorchNetwork, asked: Network, layers: tuple[str, ...]) -> list[np.ndarray]:
    """The means and maxima of each layer for two random pictures of the network's input size."""
    shape = (2, *network.input.size, network.input.channels)
    pictures = np.random.default_rng(0).random(shape, np.float32)
    means, maxima = asked.reduced(pictures, layers, ("mean", "max"))
    return [np.stack([means[name], maxima[name]]) for name in layers]


def _alike(expected: list[np.ndarray], found: list[np.ndarray]) -> bool:
    for one, other in zip(expected, found, strict=True):
        slack = 0.1 * TOLERANCE * float(np.abs(one[np.isfinite(one)]).max(initial=0)) + 1e-12
        if not np.allclose(other, one, rtol=TOLERANCE, atol=slack, equal_nan=True):
            return False
    return True
