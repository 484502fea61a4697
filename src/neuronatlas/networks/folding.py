"""A network made faster to differentiate, in place: the same function in fewer passes over memory.

- A batch norm goes into the convolution before it: with ``y = g (x - m) / sqrt(v + e) + b`` after a convolution of
  weights ``w`` and bias ``c``, the convolution of weights ``w g / sqrt(v + e)`` and bias ``(c - m) g / sqrt(v + e) + b``
  gives ``y`` at once (Jacob et al. 2018, arXiv 1712.05877, section 3.2).
- Padding with nought goes into the convolution after it. Where one side has a row or column more, that side's counts for both,
  and weights of nought before or after the others take up the difference: only where an output has few inputs.
- A rectifier after a convolution overwrites its output.

What a module does between its parts cannot be seen from here, so the caller compares the result with the original.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.nn.utils.parametrize import is_parametrized

Part = TypeVar("Part", bound=nn.Module)

RECTIFIERS = {nn.ReLU: torch.inf, nn.ReLU6: 6.0}
FEW_INPUTS = 4
"""Channels that each output of a convolution depends on: with so few its time goes into memory, not into arithmetic."""


@dataclass(frozen=True)
class Flow:
    """Which module's output was which module's input in one forward pass: the makers of each call's first input."""

    makers: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, module: nn.Module, image: Tensor) -> Flow:
        """Send ``image`` (1, c, h, w) through once and watch every convolution and every module without children."""
        flow = cls()
        made: dict[int, tuple[str, Tensor]] = {}  # the tensor is kept, so that its id stays its own

        def watch(name: str) -> Any:
            def hook(_: nn.Module, inputs: tuple[object, ...], output: object) -> None:
                given = inputs[0] if inputs else None
                flow.makers.setdefault(name, []).append(made[id(given)][0] if id(given) in made else "")
                if isinstance(output, Tensor) and output is not given:
                    made[id(output)] = (name, output)

            return hook

        hooks = [
            part.register_forward_hook(watch(name))
            for name, part in module.named_modules()
            if name and (isinstance(part, nn.Conv2d) or next(part.children(), None) is None)
        ]
        try:
            module(image)
        finally:
            for handle in hooks:
                handle.remove()
        return flow

    def before(self, name: str) -> str:
        """The module whose output is the input of ``name``; "" where that is none, or changes, or either ran twice."""
        makers = self.makers.get(name, [])
        if len(makers) != 1 or len(self.makers.get(makers[0], [])) != 1:
            return ""
        return makers[0]


def fold_batch_norms(module: nn.Module, flow: Flow, *, keep: Collection[str]) -> list[str]:
    """Fold every batch norm whose input is the output of one convolution; return their names.

    The convolutions named in ``keep`` are left alone, since their outputs are wanted as they are.
    """
    folded = []
    for name, norm in _parts(module, nn.BatchNorm2d):
        before = flow.before(name)
        convolution = module.get_submodule(before) if before else None
        if not isinstance(convolution, nn.Conv2d) or before in keep or makes_weights(convolution):
            continue
        if norm.running_mean is None or norm.running_var is None:
            continue
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        put(module, name, Passed())
        folded.append(name)
    return folded


def fold_padding(module: nn.Module, flow: Flow) -> int:
    """Fold modules that pad with nought into the convolution that they are part of, or that follows; return how many."""
    folded = 0
    for name, padding in _parts(module, nn.ZeroPad2d):
        left, right, top, bottom = padding.padding
        after = [other for other in flow.makers if flow.before(other) == name]
        place = after[0] if after else name.rpartition(".")[0]
        convolution = module.get_submodule(place)
        if not isinstance(convolution, nn.Conv2d) or len(after) > 1 or min(padding.padding) < 0:
            continue
        if convolution.padding != (0, 0) or convolution.padding_mode != "zeros":
            continue
        if (left, top) != (right, bottom) and not _grow(convolution, right - left, bottom - top):
            continue
        convolution.padding = (max(top, bottom), max(left, right))
        put(module, name, Passed())
        folded += 1
    return folded


def _grow(convolution: nn.Conv2d, across: int, down: int) -> bool:
    """Add columns and rows of nought to the weights: before them, or after them where the number is below nought.

    Not where they would cost more than the padding: few weights a position, and few more of them, cost next to nothing.
    """
    if makes_weights(convolution) or convolution.dilation != (1, 1) or max(abs(across), abs(down)) > 1:
        return False
    if convolution.weight.shape[1] > FEW_INPUTS:
        return False
    around = (max(across, 0), max(-across, 0), max(down, 0), max(-down, 0))
    weight = functional.pad(convolution.weight.detach(), around)
    convolution.weight = nn.Parameter(weight, requires_grad=convolution.weight.requires_grad)
    height, width = weight.shape[2:]
    convolution.kernel_size = (height, width)
    return True


def rectify_in_place(module: nn.Module, flow: Flow, *, keep: Collection[str]) -> int:
    """Let every rectifier but those in ``keep`` that follows nothing but convolutions overwrite their output."""
    changed = 0
    for name, part in list(module.named_modules()):
        if type(part) not in RECTIFIERS or name in keep or name not in flow.makers:
            continue
        makers = [module.get_submodule(maker) if maker else None for maker in flow.makers[name]]
        if all(isinstance(maker, (nn.Conv2d, nn.BatchNorm2d, Passed)) for maker in makers):
            put(module, name, Overwriting(RECTIFIERS[type(part)]))
            changed += 1
    return changed


def makes_weights(module: nn.Module) -> bool:
    """Does it compute its weights from others, by parametrisation or in a hook before each call?"""
    return is_parametrized(module) or bool(vars(module)["_forward_pre_hooks"])


class Passed(nn.Module):
    """Stands where a module was that is now part of another."""

    inplace = True  # its output is its input, and counts as an output all the same

    def forward(self, x: Tensor) -> Tensor:
        """The input."""
        return x


class Overwriting(nn.Module):
    """A rectifier with an upper end that overwrites its input.

    torch's own keeps a copy of what it overwrites; its gradient needs only the result.
    """

    inplace = True  # its output is its input, and counts as an output all the same

    def __init__(self, high: float) -> None:
        super().__init__()
        self.high = high

    def forward(self, x: Tensor) -> Tensor:
        """The input within nought and ``high``."""
        if not torch.is_grad_enabled() or not x.requires_grad:
            return x.clamp_(0, self.high)
        rectified: Tensor = _Rectify.apply(x, self.high)  # type: ignore[no-untyped-call]
        return rectified


class _Rectify(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, high: float) -> Tensor:
        ctx.mark_dirty(x)
        ctx.save_for_backward(x.clamp_(0, high))
        ctx.high = high
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (result,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, result, 0.0, ctx.high), None


def _parts(module: nn.Module, kind: type[Part]) -> Iterator[tuple[str, Part]]:
    for name, part in list(module.named_modules()):
        if isinstance(part, kind):
            yield name, part


def put(module: nn.Module, name: str, part: nn.Module) -> None:
    """Put a part where the module of that name is."""
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, part)
