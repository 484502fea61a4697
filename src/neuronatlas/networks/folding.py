"""Batch norms folded into the convolutions before them: the same function, a third fewer passes over memory.

With the batch norm ``y = g (x - m) / sqrt(v + e) + b`` after a convolution of weights ``w`` and bias ``c``, the
convolution of weights ``w g / sqrt(v + e)`` and bias ``(c - m) g / sqrt(v + e) + b`` gives ``y`` at once
(Jacob et al. 2018, arXiv 1712.05877, section 3.2).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.nn.utils.parametrize import is_parametrized


def fold_batch_norms(module: nn.Module, image: Tensor, *, keep: str) -> int:
    """Fold, in place, every batch norm whose input is the output of one convolution; return how many.

    ``image`` (1, c, h, w) is sent through once to see which follows which. The convolution named ``keep`` is left
    alone, since its output is wanted as it is. The caller compares the result: a network may use a convolution's
    output twice, which cannot be seen here.
    """
    producer: dict[int, tuple[str, nn.Conv2d, Tensor]] = {}
    pairs: list[tuple[str, nn.Conv2d, str, nn.BatchNorm2d]] = []
    calls: dict[str, int] = {}

    def watch(name: str) -> object:
        def hook(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            calls[name] = calls.get(name, 0) + 1
            if isinstance(part, nn.Conv2d):
                producer[id(output)] = (name, part, output)
            elif isinstance(part, nn.BatchNorm2d) and id(inputs[0]) in producer:
                before, convolution, _ = producer[id(inputs[0])]
                pairs.append((before, convolution, name, part))

        return hook

    named = [(name, part) for name, part in module.named_modules() if isinstance(part, (nn.Conv2d, nn.BatchNorm2d))]
    hooks = [part.register_forward_hook(watch(name)) for name, part in named]  # type: ignore[arg-type]
    try:
        module(image)
    finally:
        for handle in hooks:
            handle.remove()

    folded = 0
    for before, convolution, after, norm in pairs:
        once = calls[before] == calls[after] == 1
        if before == keep or not once or is_parametrized(convolution):
            continue
        if norm.running_mean is None or norm.running_var is None:
            continue
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        parent, _, child = after.rpartition(".")
        setattr(module.get_submodule(parent), child, _Folded())
        folded += 1
    return folded


class _Folded(nn.Module):
    """Stands where a batch norm was; gives a fresh tensor view so that hooks see an output of its own."""

    def forward(self, x: Tensor) -> Tensor:
        """The input."""
        return x.view_as(x)
