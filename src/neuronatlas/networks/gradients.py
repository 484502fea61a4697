"""Where the gradient is lost on the way from a layer to the picture."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from neuronatlas.networks.modules import frozen


def no_gradient(module: nn.Module, picture: Tensor) -> str:
    """Which operation, or module, a gradient does not get through; "" where none can be named.

    ``picture`` (1, c, h, w) is as the module takes it. A part without children that takes what has a gradient, and gives
    what has none, is to blame.
    """
    lost: list[str] = []

    def hook(name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def watch(part: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            if not lost and _has_gradient(inputs) and not _has_gradient(output):
                operator = operator_of(picture, name) if callable(operator_of) else ""
                what = f"the operator {operator} in" if operator else "what"
                kind = "" if operator else f" ({type(part).__name__}) computes"
                lost.append(f"{what} its module {name!r}{kind} cannot be differentiated")

        return watch

    operator_of = getattr(module, "lost_at", None)  # a program knows its operators
    hooks = [part.register_forward_hook(hook(name)) for name, part in module.named_modules()]
    try:
        with torch.enable_grad(), frozen(module):
            module(picture.detach().requires_grad_(True))
    except RuntimeError as error:  # it stops where a gradient is wanted
        return str(error).strip().splitlines()[0]
    finally:
        for each in hooks:
            each.remove()
    return lost[0] if lost else ""


def _has_gradient(values: object) -> bool:
    return any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in pytree.tree_leaves(values))
