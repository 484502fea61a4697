"""The layers of a torch module, from one dry forward pass."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from neuronatlas.networks.axes import Axes, View
from neuronatlas.networks.base import Layer
from neuronatlas.networks.modules import kind_of
from neuronatlas.networks.watching import Seen, Watch, odd

MIXED = "its values depend on which other pictures are shown with it"
ROUNDING = 1e-3
"""How far rounding in kernels of another batch size may move values in the mean, in ranges of the layer; 1e-2 of half
precision and on accelerators."""
UNSEEN = (
    "it is not called in a forward pass, so it has no output to look at: what is around it takes its weights, as fused "
    "attention does, or nothing does"
)


@dataclass(frozen=True)
class Where:
    """A layer's place: the ``home`` module's name, the ``address`` of the tensor, and which part of it."""

    home: str
    address: str
    view: View


@dataclass
class Table:
    """Layers, where each is, and places that cannot be used, with the reason."""

    layers: dict[str, Layer] = field(default_factory=dict)
    places: dict[str, Where] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, other: str, layer: Callable[[str], Layer], where: Where) -> None:
        """Put a layer in, under its other name where the first is taken."""
        name = other if name in self.layers or name in self.unusable else name
        self.layers[name], self.places[name] = layer(name), where


def mixed(alone: list[Seen], both: list[Seen]) -> set[str]:
    """Addresses whose tensor for a picture alone is not the first row of that for two pictures."""
    first = {seen.address: seen.output for seen in alone}
    return {seen.address for seen in both if _differ(first.get(seen.address), seen.output)}


def _differ(one: Tensor | None, two: Tensor | None) -> bool:
    if one is None or two is None or len(one) != 1 or len(two) != 2 or one.shape[1:] != two.shape[1:]:
        return False
    exact = one.device.type == "cpu" and one.dtype in (torch.float32, torch.float64)
    one, two = one.float().nan_to_num(0, 0, 0), two.float().nan_to_num(0, 0, 0)
    most = (ROUNDING if exact else 10 * ROUNDING) * (two.max() - two.min())
    return bool((one - two[:1]).abs().mean() > most)


def listed(  # noqa: PLR0917
    found: list[Seen],
    watches: Mapping[str, Watch],
    axes: Axes,
    rename: Callable[[str], str],
    mixing: Container[str] = (),
) -> Table:
    """What the hooks saw, as layers and what cannot be one, such as tensors at addresses that are ``mixing``."""
    table = Table()
    for seen in found:
        name = seen.address
        if watches[seen.name].calls == 1:
            name = seen.name + seen.address.removeprefix(f"{seen.name}#0")
        name = rename(name)
        if seen.output is None or len(seen.output) != 1:
            reason = seen.reason or odd(seen.output, "whose first axis is not the pictures")
        elif seen.address in mixing:
            reason = MIXED
        else:
            reason = ""
        if reason or seen.output is None:
            table.unusable[seen.address if name in table.layers or name in table.unusable else name] = reason
            continue
        for view in axes.views(seen):
            shape, kind = tuple(view(seen.output).shape[1:]), kind_of(seen.module)
            units = shape[1 if len(shape) == 2 else 0]
            table.add(
                name + view.ending,
                seen.address + view.ending,
                lambda word, kind=kind, units=units, shape=shape: Layer(word, kind, units, shape),  # type: ignore[misc]
                Where(seen.name, seen.address, view),
            )
    return table
