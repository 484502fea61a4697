"""Objectives of one's own: any function from the outputs of layers to one number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.networks.base import Network
from neuronatlas.objectives.base import PICTURE, Objective, Outputs, reading

Function = Callable[[Outputs], Tensor]


def of(function: Function, layers: str | Iterable[str], *, name: str | None = None) -> Objective:
    """An objective from a function that reads ``layers`` and gives a scalar tensor, to be raised.

    What the function sees is that of one picture, without a batch axis: see `Outputs`. ``name``, by default the
    function's with its layers, seeds the random stream of the picture and stands in the file: two functions of the same
    name begin with the same noise. Raises `WrongInput` when it reads another layer or gives anything else.
    """
    names = (layers,) if isinstance(layers, str) else tuple(layers)
    read = reading(*names)
    called = name or _name(function, read)

    def measure(seen: Outputs) -> Tensor:
        return _scalar(function(_Declared(seen, read, called)), called)

    return Objective(called, read, measure)


def discover(network: Network, function: Function, *, name: str | None = None) -> Objective:
    """As `of`, with the layers found by calling the function once, on what ``network`` makes of a grey picture.

    It must read the same layers whatever they hold. Raises `UnknownName` with the nearest names for an unknown layer.
    """
    seen = _Grey(network)
    value = function(seen)
    read = reading(*seen.kept)
    called = name or _name(function, read)
    _scalar(value, called)
    return of(function, read, name=called)


class _Grey(Mapping[str, Tensor]):
    """The outputs of a network for a grey picture, each made when it is asked for and then kept."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.picture = torch.full((1, network.input.channels, *network.input.size), 0.5, device=network.device)
        self.kept: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.kept:
            self.kept[name] = self._output(name)
        return self.kept[name]

    def _output(self, name: str) -> Tensor:
        if name == PICTURE:
            return self.picture[0]
        if name not in self and name not in self.network.unusable:
            raise UnknownName("layer", name, self)
        with torch.no_grad(), self.network.capture([name]) as run:
            return run(self.picture)[name][0]

    def __contains__(self, name: object) -> bool:
        return name == PICTURE or name in self.network.layers

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([PICTURE, *self.network.layers]))

    def __len__(self) -> int:
        return len(dict.fromkeys([PICTURE, *self.network.layers]))


class _Declared(Mapping[str, Tensor]):
    """The outputs of the declared layers and the picture, whatever else the loop holds."""

    def __init__(self, seen: Outputs, layers: tuple[str, ...], objective: str) -> None:
        self.seen, self.names, self.objective = seen, (PICTURE, *layers), objective

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.names:
            message = (
                f"objective {self.objective!r} read layer {name!r}, which is not among its layers {self.names[1:]}"
            )
            raise WrongInput(message)
        return self.seen[name]

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _name(function: Function, layers: tuple[str, ...]) -> str:
    return f"{getattr(function, '__name__', type(function).__name__)}({', '.join(layers)})"


def _scalar(value: object, name: str) -> Tensor:
    if not isinstance(value, Tensor):
        what = f"a {type(value).__name__}"
    elif value.ndim != 0 or not value.is_floating_point():
        what = f"a tensor of shape {tuple(value.shape)} and type {value.dtype}"
    else:
        return value
    message = f"objective {name!r} gave {what}; a floating-point tensor of shape () is expected, such as a mean"
    raise WrongInput(message)
