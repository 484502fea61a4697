"""The layers of a torch module, from one dry forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from neuronatlas.networks.axes import Axes, View
from neuronatlas.networks.base import Layer
from neuronatlas.networks.modules import kind_of
from neuronatlas.networks.watching import Seen, Watch, odd

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


def listed(found: list[Seen], watches: Mapping[str, Watch], axes: Axes, rename: Callable[[str], str]) -> Table:
    """What the hooks saw, as layers and what cannot be one."""
    table = Table()
    for seen in found:
        name = seen.address
        if watches[seen.name].calls == 1:
            name = seen.name + seen.address.removeprefix(f"{seen.name}#0")
        name = rename(name)
        if seen.output is None or len(seen.output) != 1:
            reason = seen.reason or odd(seen.output, "whose first axis is not the pictures")
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
