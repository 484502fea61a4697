"""Networks of other frameworks: whatever has a vector-Jacobian product looks like torch.

An adapter writes a `ForeignFunction`: what places there are, their values, and their linearisation. Here stands, once,
what all of them share: the layout of axes, types, the gradient, the choice of units, silent rectifiers.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from neuronatlas.errors import NeuronAtlasError, NoPictures, WrongInput
from neuronatlas.networks.axes import Axes, View
from neuronatlas.networks.base import Capture, InputSpec, Layer, Network, awake, memory_ran_out
from neuronatlas.networks.watching import Use

T = TypeVar("T")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
Pullback = Callable[[list[Tensor]], Tensor]
"""From one cotangent a place, of its shape, to the gradient with respect to the pictures."""


@dataclass(frozen=True)
class Place:
    """A tensor that a foreign network computes on its way.

    ``shape`` is for one picture, without the batch axis, in the framework's own order of axes; ``channels_last`` tells
    that order for a map. ``rectifies`` names the place whose values this one rectifies (ReLU), if it is a place.
    ``reason`` says why it cannot be used, and is empty for a place that can.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    channels_last: bool = True
    rectifies: str = ""
    reason: str = ""


class ForeignFunction(ABC):
    """A network of another framework: what an adapter has to say of it.

    Pictures are float32, contiguous, on the processor, already normalised: (n, h, w, c) where ``channels_last``, else
    (n, c, h, w). Values come back as torch tensors of the same kind, in the framework's own order of axes.
    """

    channels_last: bool = True
    shared: bool = False
    """May several threads call it at once?"""
    why_no_gradient: str = ""
    """Why pictures cannot be optimised on it; empty where they can."""

    @abstractmethod
    def places(self, pictures: Tensor) -> list[Place]:
        """Every place that a forward pass of these pictures (one, of the input's size) reaches, in that order."""

    @abstractmethod
    def fingerprint(self) -> str:
        """The sha256 of every weight with its name, type and shape."""

    def renew(self) -> None:  # noqa: B027 - most adapters hold weights that cannot change
        """Called before each capture: what was compiled for weights that have changed since then is dropped."""

    @abstractmethod
    def values(self, names: tuple[str, ...], pictures: Tensor) -> list[Tensor]:
        """The values of the places, in the order of ``names``, without a gradient; no weight is changed."""

    @abstractmethod
    def linearise(self, names: tuple[str, ...], pictures: Tensor) -> tuple[list[Tensor], Pullback]:
        """The same values, and the way back from them to the pictures."""


class BridgedNetwork(Network):
    """A `ForeignFunction` behind the `Network` interface. One thread at a time: others wait."""

    pixels_at_once = 1 << 18  # every call of the other framework costs something, whatever the number of pictures

    def __init__(
        self,
        function: ForeignFunction,
        *,
        input: InputSpec,  # noqa: A002 - the field's own word
        name: str = "network",
        labels: tuple[str, ...] = (),
    ) -> None:
        self.function = function
        self.input = input
        self.name = name
        self.labels = labels
        self._use = Use()
        self._fields: dict[str, int] = {}

    @cached_property
    def _places(self) -> dict[str, Place]:
        with self._use.lock:
            found = self._asked(lambda: self.function.places(self._given(self.blank())), self.blank())
            if all(place.reason for place in found):
                message = (
                    f"network {self.name!r} has no layer: nothing in it gives a tensor of shape (batch, units, ...)"
                )
                raise WrongInput(message)
            mixing = self._mixing([place.name for place in found if not place.reason])
        places = {place.name: replace(place, reason=place.reason or mixing.get(place.name, "")) for place in found}
        if all(place.reason for place in places.values()):
            name, reason = next(iter(mixing.items()))
            message = f"network {self.name!r} has no layer that can be used; of {name!r}: {reason}"
            raise WrongInput(message)
        return places

    def _mixing(self, names: Sequence[str]) -> dict[str, str]:
        """Those of the places that give a picture other values beside another picture, with the reason.

        One picture is shown twice, beside a dark one and beside a light one, so that the number of pictures, for which
        frameworks compile, is the same.
        """
        noise = torch.rand((3, self.input.channels, *self.input.size), generator=torch.Generator().manual_seed(0))
        same, dark, light = noise[:1], noise[1:2] / 4, 1 - noise[2:] / 4
        try:
            before = [
                each[0].clone() for each in self.function.values(tuple(names), self._given(torch.cat([same, dark])))
            ]
            after = [each[1] for each in self.function.values(tuple(names), self._given(torch.cat([light, same])))]
        except Exception:  # noqa: BLE001 - a network of one picture at a time says so itself when it is given more
            return {}
        return {
            name: "its values depend on which other pictures are shown with it"
            for name, one, other in zip(names, before, after, strict=True)
            if _differ(one, other)
        }

    @cached_property
    def _views(self) -> dict[str, tuple[Layer, Place, View]]:
        """Every layer, its place, and which part of that it is."""
        axes = Axes(nn.Identity(), self.input.size)
        found: dict[str, tuple[Layer, Place, View]] = {}
        for place in self._places.values():
            if place.reason:
                continue
            whole = _layer(place)
            if len(whole.shape) == 3:
                axes.remember((whole.shape[1], whole.shape[2]))
            for view in axes.of_tokens(whole.shape[0]) if len(whole.shape) == 2 else [View()]:
                name = f"{place.name}{view.ending}"
                shape = tuple(view(torch.empty((1, *whole.shape), device="meta")).shape[1:])
                found.setdefault(name, (replace(whole, name=name, shape=shape), place, view))
        return found

    @cached_property
    def layers(self) -> Mapping[str, Layer]:
        """Every layer by name, in the order of the forward pass."""
        return {name: layer for name, (layer, _, _) in self._views.items()}

    @property
    def unusable(self) -> Mapping[str, str]:
        """Places that have no units, with the reason."""
        return {place.name: place.reason for place in self._places.values() if place.reason}

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of every weight with its name, type and shape."""
        return self.function.fingerprint()

    def receptive_fields(self, layers: Iterable[str]) -> dict[str, int]:
        """See `Network.receptive_fields`."""
        return self._known_fields(layers, self._fields)

    def accelerated(
        self, layers: Iterable[str], *, size: tuple[int, int] | None = None, precision: str = "float32", copies: int = 1
    ) -> list[Network]:
        """See `Network.accelerated`: the same function for several threads, where the framework lets them share it."""
        del size, precision
        for name in layers:
            self.layer(name)
        if not self.function.shared:
            return [self]
        twins = [copy(self) for _ in range(copies)]
        for twin in twins:
            vars(twin)["_use"] = Use()
        return list(twins)

    @contextmanager
    def capture(
        self, layers: Iterable[str], *, wake: bool = False, units: Sequence[int] | None = None
    ) -> Iterator[Capture]:
        """See `Network.capture`. One at a time: inside the block the same network is not to be used otherwise."""
        views = {name: self._views[self.layer(name).name] for name in layers}
        woken = {
            name: place.rectifies for name, (_, place, _) in views.items() if wake and place.rectifies in self._places
        }
        asked = tuple(dict.fromkeys([*(place.name for _, place, _ in views.values()), *woken.values()]))

        def run(images: Tensor) -> dict[str, Tensor]:
            if not asked:
                return {}
            outputs = dict(zip(asked, self._outputs(asked, images), strict=True))
            chosen = {name: view(outputs[place.name]) for name, (_, place, view) in views.items()}
            for name, source in woken.items():
                chosen[name] = awake(chosen[name], views[name][2](outputs[source]))
            if units is None:
                return chosen
            index = torch.tensor(units, dtype=torch.long)
            return {name: value.index_select(views[name][0].unit_axis + 1, index) for name, value in chosen.items()}

        with self._use.of(self.name):
            self.function.renew()
            yield run

    def _outputs(self, names: tuple[str, ...], images: Tensor) -> list[Tensor]:
        """The outputs in this package's order of axes, checked; with a gradient where one is wanted."""
        given = self._given(images)
        if torch.is_grad_enabled() and given.requires_grad:
            if self.function.why_no_gradient:
                message = (
                    f"network {self.name!r} gives responses and maps, but no pictures: {self.function.why_no_gradient}"
                )
                raise NoPictures(message)
            values = self._asked(lambda: _Foreign.apply(given, self.function, names), images)  # type: ignore[no-untyped-call]
        else:
            values = self._asked(lambda: self.function.values(names, given.detach()), images)
        return [self._ours(name, value, len(images)) for name, value in zip(names, values, strict=True)]

    def _asked(self, function: Callable[[], T], images: Tensor) -> T:
        """What the framework gives; its own exceptions become those by which a size that does not fit is known."""
        try:
            return function()
        except Exception as error:
            known = isinstance(error, (NeuronAtlasError, RuntimeError, AssertionError))
            if known and (memory_ran_out(error) or not _COLOUR.search(str(error))):
                raise
            message = f"network {self.name!r} fails on pictures of shape {tuple(images.shape)}: {first_line(error)}"
            raise WrongInput(message) from error

    def _given(self, images: Tensor) -> Tensor:
        """Pictures as the function wants them."""
        wanted = self.input.normalise(images).float()
        return (wanted.permute(0, 2, 3, 1) if self.function.channels_last else wanted).contiguous()

    def _ours(self, name: str, value: Tensor, pictures: int) -> Tensor:
        layer = _layer(self._places[name])
        ours = value.float()
        if ours.ndim == 4 and self._places[name].channels_last:
            ours = ours.permute(0, 3, 1, 2)
        axis = layer.unit_axis + 1
        if ours.ndim != len(layer.shape) + 1 or ours.shape[axis] != layer.units or len(ours) != pictures:
            message = (
                f"layer {name!r} gives {tuple(value.shape)} for {pictures} pictures of this size, and "
                f"{self._places[name].shape} for one of input_size: its units would not be the same"
            )
            raise WrongInput(message)
        return ours


def first_line(error: BaseException) -> str:
    """The first line that says what went wrong, without the colours that Keras writes."""
    lines = [_COLOUR.sub("", line).strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith("Exception encountered when calling")]
    return told[0][:300] if told else type(error).__name__


def no_way_back(names: Sequence[str]) -> NoPictures:
    """What a pullback raises where nothing between these places and the pictures has a gradient."""
    many = f"layer {names[0]!r} gives" if len(names) == 1 else f"the layers {', '.join(map(repr, names))} give"
    return NoPictures(f"{many} responses and maps, but no pictures: no gradient comes from there back to the pictures")


class _Foreign(torch.autograd.Function):
    """The outputs of a foreign function, whose gradient is its own pullback."""

    @staticmethod
    def forward(ctx: Any, pictures: Tensor, function: ForeignFunction, names: tuple[str, ...]) -> tuple[Tensor, ...]:
        """The values; the pullback is kept until the gradient is asked for."""
        values, ctx.pullback = function.linearise(names, pictures.detach())
        return tuple(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor, None, None]:
        """The gradient with respect to the pictures; nothing for the other arguments."""
        return ctx.pullback([each.contiguous() for each in cotangents]), None, None


def _differ(one: Tensor, other: Tensor) -> bool:
    """Do they differ by more than rounding?"""
    both = torch.stack([one, other]).float().nan_to_num(posinf=0, neginf=0)
    allowed = 1e-2 * (both.max() - both.min()) + 1e-5 * both.abs().max()
    return bool((both[0] - both[1]).abs().max() > allowed)


def unit_shape(shape: Sequence[int | None], *, floating: bool) -> str:
    """Why a tensor of this shape, batch axis included, has no units; empty where it has."""
    if len(shape) in (2, 3, 4) and floating and all(side for side in shape[1:]):
        return ""
    return f"its output has shape {tuple(shape)}{'' if floating else ', no floating point'}, not (batch, units, ...)"


def _layer(place: Place) -> Layer:
    """The place with its axes in this package's order."""
    shape = place.shape
    if len(shape) == 3 and place.channels_last:
        shape = (shape[2], shape[0], shape[1])
    return Layer(place.name, place.kind, shape[1 if len(shape) == 2 else 0], shape)
