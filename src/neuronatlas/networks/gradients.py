"""Layers that no picture can be made for: where the gradient is lost on the way from them to the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from neuronatlas.errors import NoPictures
from neuronatlas.networks.listing import Table
from neuronatlas.networks.modules import frozen

NO_PICTURES = "layer {layer!r} of network {network!r} gives responses and maps, but no pictures: {reason}"


def refuse_quantised(module: nn.Module, table: Table, layers: Mapping[str, str], network: str) -> None:
    """Refuse layers at or after a quantised module, since some of these let a wrong gradient through.

    ``layers`` are names as they were given, with those of the table.
    """
    order = list(table.places)
    homes = [place.home for place in table.places.values()]
    kinds = [type(module.get_submodule(home)).__module__ for home in homes]
    first = next((number for number, kind in enumerate(kinds) if "quantized" in kind), len(order))
    for layer, name in layers.items():
        if order.index(name) >= first:
            reason = f"its module {homes[first]!r} is quantised, and whole numbers have no gradient"
            raise NoPictures(NO_PICTURES.format(layer=layer, network=network, reason=reason))


def refuse_lost(module: nn.Module, seen: Mapping[str, Tensor], picture: Callable[[], Tensor], network: str) -> None:
    """Refuse outputs none of which has a gradient, where what stops it can be named."""
    if any(output.requires_grad for output in seen.values()):
        return
    reason = no_gradient(module, picture())
    if reason:
        raise NoPictures(NO_PICTURES.format(layer=next(iter(seen)), network=network, reason=reason))


def refuse_stopped(  # noqa: PLR0917
    error: RuntimeError, images: Tensor, forward: Callable[[Tensor], None], layer: str, network: str
) -> None:
    """Refuse a layer on whose way the module stops with an ``error`` only where a gradient is wanted."""
    if not images.requires_grad or not any(word in str(error) for word in ("grad", "derivative")):
        return
    try:
        with torch.no_grad():
            forward(images.detach())
    except RuntimeError:  # it stops in any case
        return
    reason = str(error).strip().splitlines()[0]
    raise NoPictures(NO_PICTURES.format(layer=layer, network=network, reason=reason)) from error


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
