"""Convolutions and their rectifiers, one after another, as one step of differentiation on a processor.

- The rectifier is part of the convolution's own pass over memory.
- The gradient inside a run belongs to nobody else, so the rectifiers overwrite it.
- The gradient of a convolution of 1 x 1 is one of 1 x 1 with the weights transposed. That of one with few inputs and a
  stride is a convolution of stride 1 whose outputs are the pixels of one stride, which then take their places: three
  channels fill a processor's vectors badly, and three times the square of the stride do not.

As in `neuronatlas.networks.folding`, the caller compares the result with the original: what reads an output without being
part of its gradient is seen by that alone. oneDNN's rectifiers make a finite number of what is none; its gradient is none still.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from neuronatlas.networks.folding import FEW_INPUTS, Overwriting, Passed, makes_weights, put

Settings = tuple[list[int], list[int], list[int], int]
"""Stride, padding, dilation, groups."""
ROWS = 128
"""Pixels of all pictures up to which a convolution of 1 x 1 is a product of few rows."""


def join(
    module: nn.Module, send: Callable[[], Iterable[Tensor]], *, targets: Collection[str], keep: Collection[str] = ()
) -> int:
    """Join every run of plain convolutions and their rectifiers, in place; return how many convolutions are joined.

    ``send`` sends pictures as far as the last of ``targets``, and gives the outputs of these. Neither they nor what is
    named in ``keep`` are joined, no run goes into a target or out of it, and none goes on after an output that is read
    twice or changed. What is not on a processor or not of float32 stays as it is.
    """
    calls = _calls(module, send) if _fuses() else []
    times = Counter(call.name for call in calls if call.convolution is not None)
    barred = {*targets, *keep, *(name for name, count in times.items() if count > 1)}
    rectifiers = [call for call in calls if call.convolution is None]
    while True:
        runs = _runs(calls, barred, targets)
        joined = {call for run in runs for call in run}
        alone = {call.name for call in rectifiers if call not in joined} - barred
        if not alone:
            break
        barred |= alone  # a rectifier is left out only where it is part of a run each time
    for run in runs:
        for call in run[1:]:
            put(module, call.name, Passed())
        put(module, run[0].name, Joined(run))
    return sum(call.convolution is not None for call in joined)


@dataclass(eq=False)
class Call:
    """A convolution, or the rectifier from nought to ``high`` that overwrites one, as it was called."""

    name: str
    node: Any  # of the graph of differentiation
    convolution: nn.Conv2d | None = None
    high: float | None = None
    readers: int = 0


def _calls(module: nn.Module, send: Callable[[], Iterable[Tensor]]) -> list[Call]:
    """Each call of a plain convolution or an overwriting rectifier, in turn, with how many read what it made."""
    calls: list[Call] = []

    def watch(name: str) -> Any:
        def hook(part: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            given = inputs[0] if inputs else None
            if isinstance(given, Tensor) and isinstance(output, Tensor) and output.grad_fn is not None:
                call = Call(name, output.grad_fn)
                if isinstance(part, Overwriting):
                    call.high = part.high
                    calls.append(call)
                elif isinstance(part, nn.Conv2d) and _is_plain(part, given, output):
                    call.convolution = part
                    calls.append(call)

        return hook

    hooks = [part.register_forward_hook(watch(name)) for name, part in module.named_modules() if name]
    try:
        with torch.enable_grad():
            heads = [output.grad_fn for output in send()]
    finally:
        for handle in hooks:
            handle.remove()
    readers: Counter[Any] = Counter(heads)
    waiting = [node for node in readers if node is not None]
    while waiting:
        for node, _ in waiting.pop().next_functions:
            if node is not None and node not in readers:
                waiting.append(node)
            readers[node] += 1
    for call in calls:
        call.readers = readers[call.node]
    return calls


def _runs(calls: Sequence[Call], barred: Collection[str], targets: Collection[str]) -> list[list[Call]]:
    """Calls each of which alone reads what the one before made, the first a convolution."""

    def within(call: Call) -> list[str]:
        return [target for target in targets if call.name.startswith(f"{target}.")]

    runs: list[list[Call]] = []
    taken: set[Call] = set()
    for number, call in enumerate(calls):
        if call in taken or call.name in barred or call.convolution is None:
            continue
        run = [call]
        for other in calls[number + 1 :]:
            last = run[-1]
            if other.node.next_functions[0][0] is not last.node or last.readers != 1:
                continue  # it reads something else, or what an operation between them made of it
            if other.name in barred or within(other) != within(call):
                break
            if other.convolution is None and last.convolution is None:
                break
            run.append(other)
        taken.update(run)
        runs.append(run)
    return runs


@cache
def _fuses() -> bool:
    """Has this torch the convolution that rectifies, and is it right?"""
    try:
        image, weight = torch.linspace(-4, 4, 16).view(1, 1, 4, 4), torch.full((1, 1, 2, 2), 2.0)
        found = _convolved(image, weight, None, ([1, 1], [0, 0], [1, 1], 1), high=6.0)
        return torch.allclose(found, torch.conv2d(image, weight).clamp(0, 6))
    except (AttributeError, RuntimeError):
        return False


def _is_plain(part: nn.Conv2d, given: Tensor, output: Tensor) -> bool:
    """Does it nothing but convolve? One that has its weights made, or pads otherwise than with nought, does more."""
    hooked = len(vars(part)["_forward_hooks"]) > 1  # by others than the one that asks
    if part.weight.device.type != "cpu" or part.weight.dtype != torch.float32 or given.dtype != torch.float32:
        return False
    if hooked or makes_weights(part) or isinstance(part.padding, str) or part.padding_mode != "zeros":
        return False
    with torch.no_grad():
        pairs = [(given, output)]
        if type(part).forward is not nn.Conv2d.forward:  # it may pad as its picture's size demands
            smaller = [given[:, :, :-less, :-less] for less in range(1, max(part.stride))]
            pairs += [(each, part.forward(each)) for each in smaller if min(each.shape) > 0]
        return all(_alike(torch.conv2d(each, part.weight, part.bias, *_settings(part)), made) for each, made in pairs)


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def _settings(part: nn.Conv2d) -> Settings:
    return list(part.stride), list(part.padding), list(part.dilation), part.groups  # type: ignore[arg-type]


def _convolved(
    given: Tensor, weight: Tensor, bias: Tensor | None, settings: Settings, *, high: float | None = None
) -> Tensor:
    stride, padding, dilation, groups = settings
    where = (padding, stride, dilation, groups)
    if high is None:
        plain: Tensor = torch.ops.aten.mkldnn_convolution(given, weight, bias, *where)
        return plain
    how = ("relu", [], "") if high == torch.inf else ("hardtanh", [0.0, high], "")
    rectified: Tensor = torch.ops.mkldnn._convolution_pointwise(given, weight, bias, *where, *how)  # noqa: SLF001
    return rectified


class Step(nn.Module):
    """A convolution, and the rectifier after it if there is one: from nought to ``high``."""

    def __init__(self, convolution: nn.Conv2d, high: float | None) -> None:
        super().__init__()
        self.convolution, self.high = convolution, high
        self.settings = _settings(convolution)
        self._turned: Tensor | None = None
        stride, padding, dilation, groups = self.settings
        weight = convolution.weight.detach()
        self.pointwise = groups == 1 and weight.shape[2:] == (1, 1) and stride == [1, 1] and padding == [0, 0]
        few = groups == 1 and weight.shape[1] <= FEW_INPUTS and dilation == [1, 1]
        self.strided = few and stride[0] == stride[1] > 1
        if self.pointwise:
            self._turned = weight.transpose(0, 1)
        elif self.strided:
            self._turned = _by_stride(weight, stride[0])
        if self._turned is not None:
            self._turned = self._turned.contiguous(memory_format=torch.channels_last)

    def forward(self, given: Tensor) -> Tensor:
        """The convolution, rectified."""
        if self._few_rows(given):
            made = torch.conv2d(given, self.convolution.weight, self.convolution.bias)
            return made if self.high is None else made.clamp_(0, self.high)
        return _convolved(given, self.convolution.weight, self.convolution.bias, self.settings, high=self.high)

    def gradient(self, slope: Tensor, given: Tensor) -> Tensor:
        """The gradient of what the convolution was given, from that of what it gave."""
        stride, padding, dilation, groups = self.settings
        if self._turned is None or self._few_rows(given):
            where = (stride, padding, dilation, False, [0, 0], groups, [True, False, False])
            found: Tensor = torch.ops.aten.convolution_backward(slope, given, self.convolution.weight, [0], *where)[0]
            return found
        reach = self._turned.shape[2] - 1, self._turned.shape[3] - 1
        found = _convolved(slope, self._turned, None, ([1, 1], list(reach), [1, 1], 1))
        if self.pointwise:
            return found
        return _placed(found, stride[0], padding, (given.shape[2], given.shape[3]))

    def _few_rows(self, given: Tensor) -> bool:
        """Is it a product with few rows, which torch's own choice does better?"""
        return self.pointwise and given.shape[0] * given.shape[2] * given.shape[3] <= ROWS


class Joined(nn.Module):
    """A run of convolutions and rectifiers, the output of each the next one's input."""

    def __init__(self, run: Sequence[Call]) -> None:
        super().__init__()
        after = [*(call.high for call in run[1:]), None]
        steps = [Step(call.convolution, high) for call, high in zip(run, after, strict=True) if call.convolution]
        self.steps = nn.ModuleList(steps)

    def forward(self, x: Tensor) -> Tensor:
        """The output of the last step."""
        output: Tensor = _Steps.apply(x, list(self.steps))  # type: ignore[no-untyped-call]
        return output


class _Steps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: list[Step]) -> Tensor:
        outputs = [x]
        for step in steps:
            outputs.append(step(outputs[-1]))
        ctx.steps = steps
        needed = len(steps) + (steps[-1].high is not None)  # the last one is others', who may overwrite it
        ctx.save_for_backward(*outputs[:needed])
        return outputs[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        outputs, slope = ctx.saved_tensors, gradient
        for number in reversed(range(len(ctx.steps))):
            step = ctx.steps[number]
            if step.high is not None and slope is gradient:  # this one is others' too
                slope = torch.ops.aten.hardtanh_backward(slope, outputs[number + 1], 0.0, step.high)
            elif step.high is not None:
                made = outputs[number + 1]
                torch.ops.aten.hardtanh_backward.grad_input(slope, made, 0.0, step.high, grad_input=slope)
            slope = step.gradient(slope, outputs[number])
        return slope, None


def _by_stride(weight: Tensor, stride: int) -> Tensor:
    """Weights (c * stride^2, o, k, l) of the convolution that gives the gradients of the pixels of each stride."""
    outputs, channels, height, width = weight.shape
    weight = functional.pad(weight, (0, -width % stride, 0, -height % stride))
    down, across = weight.shape[2] // stride, weight.shape[3] // stride
    parts = weight.view(outputs, channels, down, stride, across, stride).permute(1, 3, 5, 0, 2, 4)
    return parts.reshape(channels * stride**2, outputs, down, across).flip(2, 3)


def _placed(phases: Tensor, stride: int, padding: Sequence[int], size: tuple[int, int]) -> Tensor:
    """Gradients (n, c, h, w) of the pixels inside the padding, from (n, c * stride^2, k, l): those of each stride."""
    number, channels, down, across = phases.shape
    parts = phases.view(number, channels // stride**2, stride, stride, down, across).permute(0, 1, 4, 2, 5, 3)
    whole = parts.reshape(number, -1, down * stride, across * stride)[:, :, padding[0] :, padding[1] :]
    missing = (size[0] - whole.shape[2], size[1] - whole.shape[3])  # pixels that the last stride did not come to
    if max(missing) > 0:
        whole = functional.pad(whole, (0, max(missing[1], 0), 0, max(missing[0], 0)))
    return whole[:, :, : size[0], : size[1]]
