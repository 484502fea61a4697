"""The one seam between this package and a deep-learning framework: a `Network` and its `Layer` table.

Everything above this floor (rendering, responses, atlases) sees a network only through these names.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from neuronatlas.errors import NeuronAtlasError, UnknownName, WrongInput
from neuronatlas.networks.fields import receptive_fields
from neuronatlas.networks.pooling import Reduction, check_reduction, pool
from neuronatlas.units import Unit

Capture = Callable[[Tensor], dict[str, Tensor]]
Pooled = Callable[[Tensor], dict[str, tuple[Tensor, ...]]]

ROOM = 1 << 26
"""Numbers that the layers asked for may hold at once while responses are taken: 256 MB, whatever the network."""


class NotReached(NeuronAtlasError):
    """Layers that a forward pass did not come to, though another did: the network's path varies with the picture."""

    def __init__(self, layers: Sequence[str]) -> None:
        self.layers = tuple(layers)
        super().__init__(f"layer {layers[0]!r} was not reached in this forward pass: the network's path varies")


@dataclass(frozen=True)
class InputSpec:
    """What the network takes: pictures of ``size`` (height, width) pixels, normalised as ``(x - mean) / std``.

    Pictures are float RGB in 0..1 everywhere above the network; ``mean`` and ``std`` are in the same range and order.
    With ``channel_order`` "bgr" the colours are turned round after that.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channel_order: str = "rgb"

    @property
    def channels(self) -> int:
        """The number of colour channels."""
        return len(self.mean)

    def normalise(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Pictures in 0..1 as the network wants them."""
        mean = images.new_tensor(self.mean).view(-1, 1, 1)
        std = images.new_tensor(self.std).view(-1, 1, 1)
        wanted = torch.addcmul(-mean / std, images, 1 / std)
        return wanted.flip(1) if self.channel_order == "bgr" else wanted


@dataclass(frozen=True)
class Layer:
    """A named place in the network whose output has units.

    ``shape`` is that of its output for one picture of the network's input size, without the batch axis: (units,
    height, width) of a map, (positions, units) of tokens, (units,) of a dense layer.
    """

    name: str
    kind: str
    units: int
    shape: tuple[int, ...]

    @property
    def unit_axis(self) -> int:
        """The axis of the units in ``shape``."""
        return 1 if len(self.shape) == 2 else 0


class Network(ABC):
    """A trained model with its layers and its input. ``name`` is for people, ``fingerprint`` for machines.

    ``notes`` are sentences that whoever looks at its pictures should know, such as that its weights are random.
    ``aliases`` are further names of layers: those that they have elsewhere. ``pixels_at_once``: optimising as many
    pixels at once as that, several pictures together, is fastest.
    """

    name: str
    input: InputSpec
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()
    aliases: Mapping[str, str] = MappingProxyType({})
    pixels_at_once: int = 1 << 17
    folded: bool = False
    """Is it a copy made for speed, which takes pictures whose channels lie side by side in memory?"""

    @property
    @abstractmethod
    def layers(self) -> Mapping[str, Layer]:
        """Every layer by name, in the order in which a forward pass reaches them."""

    @property
    @abstractmethod
    def unusable(self) -> Mapping[str, str]:
        """Places that look like layers but have no units that can be used, with the reason."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """The sha256 of every weight with its name, type and shape."""

    @abstractmethod
    def capture(
        self, layers: Iterable[str], *, wake: bool = False, units: Sequence[int] | None = None
    ) -> AbstractContextManager[Capture]:
        """Inside the block, a function from pictures (n, c, h, w) in 0..1 to the outputs of ``layers``.

        The model is in evaluation mode and its weights need no gradient inside the block; both are as before after
        it. The forward pass ends at the deepest layer asked for. Gradients flow from the outputs to the pictures;
        with ``wake`` also through a rectifier asked for whose unit is silent everywhere, as though it were linear.
        With ``units``, each output holds these units alone, in this order.
        """

    def receptive_fields(self, layers: Iterable[str]) -> dict[str, int]:
        """For each layer, how many columns of the input its middle unit sees; at most the input's width."""
        return self._known_fields(layers, {})

    def _known_fields(self, layers: Iterable[str], known: dict[str, int]) -> dict[str, int]:
        """The same, where some are known; what is found is added to them."""
        names, width = list(layers), self.input.size[1]
        known |= receptive_fields(
            self, [name for name in names if name not in known and len(self.layer(name).shape) == 3]
        )
        return {name: known[name] if known.get(name, 0) > 0 else width for name in names}

    def blank(self) -> Tensor:
        """A grey picture of the network's input size."""
        return torch.full((1, self.input.channels, *self.input.size), 0.5, dtype=torch.float32, device=self.device)

    @property
    def device(self) -> torch.device:
        """Where pictures are wanted."""
        return torch.device("cpu")

    def accelerated(
        self, layers: Iterable[str], *, size: tuple[int, int] | None = None, precision: str = "float32", copies: int = 1
    ) -> list[Network]:
        """Up to ``copies`` networks equal to this one up to ``layers`` (within rounding), but faster to differentiate.

        Each may be used by a thread of its own, for pictures of ``size``, by default the network's input. With
        ``precision`` "bfloat16" they compute in that type where that can be: faster on dense networks and processors
        that have it, slower on depthwise convolutions. Where there is no faster way, the answer is this network alone.
        """
        del size, precision, copies
        for name in layers:
            self.layer(name)
        return [self]

    def layer(self, name: str) -> Layer:
        """The layer of that name or alias; raises `UnknownName` with the nearest names."""
        name = self.aliases.get(name, name)
        if name in self.unusable:
            message = f"layer {name!r} cannot be used: {self.unusable[name]}"
            raise WrongInput(message)
        if name not in self.layers:
            raise UnknownName("layer", name, self.layers)
        return self.layers[name]

    def check(self, unit: Unit) -> Unit:
        """The unit, when the network has it; raises `UnknownName` or `WrongInput`."""
        layer = self.layer(unit.layer)
        if not 0 <= unit.index < layer.units:
            message = f"unit {unit} is out of range: layer {layer.name!r} has units 0 to {layer.units - 1}"
            raise WrongInput(message)
        if unit.position is not None:
            if len(layer.shape) != 3:
                message = (
                    f"unit {unit} has a position, but layer {layer.name!r} has no map (its shape is {layer.shape})"
                )
                raise WrongInput(message)
            height, width = layer.shape[1:]
            if not (0 <= unit.position[0] < height and 0 <= unit.position[1] < width):
                message = f"unit {unit} lies outside the map of layer {layer.name!r}, {height} x {width} positions"
                raise WrongInput(message)
        return unit

    def recorders(self, layers: Iterable[str], *, copies: int = 1) -> list[Network]:
        """Up to ``copies`` networks that `respond` as this one does up to ``layers`` (within rounding), but faster.

        Each may be used by a thread of its own. Where there is no faster way, the answer is this network alone.
        """
        del copies
        for name in layers:
            self.layer(name)
        return [self]

    def respond(
        self,
        pictures: UInt8[np.ndarray, "n h w c"] | Float[np.ndarray, "n h w c"],
        layers: Iterable[str],
        *,
        reduce: Reduction = "mean",
    ) -> dict[str, Float[np.ndarray, "n units"]]:
        """The responses of every unit of ``layers`` to pictures, uint8 or in 0..1; see `pool` for ``reduce``.

        As many pictures go through at once as `ROOM` allows, and half as many each time that memory runs out. Raises
        `WrongInput` where the pictures are no such array or have not the network's channels.
        """
        names = layer_names(layers)
        check_reduction(reduce)
        _check_pictures(pictures, self.input.channels)
        return self.reduced(pictures, names, (reduce,))[0]

    def reduced(
        self,
        pictures: UInt8[np.ndarray, "n h w c"] | Float[np.ndarray, "n h w c"],
        layers: Iterable[str],
        reductions: Sequence[Reduction],
    ) -> tuple[dict[str, Float[np.ndarray, "n units"]], ...]:
        """What `respond` gives with each of ``reductions``, from one forward pass: ("mean", "max"), for instance."""
        names = layer_names(layers)
        for reduction in reductions:
            check_reduction(reduction)
        _check_pictures(pictures, self.input.channels)
        most = max(1, self._at_once(names, reductions))
        found: list[dict[str, list[np.ndarray]]] = [{name: [] for name in names} for _ in reductions]
        with torch.no_grad(), self.pooled(names, reductions) as run:
            start = 0
            while start < len(pictures):
                part = pictures[start : start + most]
                try:
                    outputs = run(self._shown(part))
                    values = {name: [each.cpu().numpy() for each in pooled] for name, pooled in outputs.items()}
                except RuntimeError as error:
                    if most == 1 or not memory_ran_out(error):
                        raise
                    most = max(1, min(most, len(part)) // 2)
                    continue
                for name, several in values.items():
                    for lists, one in zip(found, several, strict=True):
                        lists[name].append(one)
                start += len(part)
        return tuple({name: np.concatenate(parts) for name, parts in lists.items()} for lists in found)

    def _shown(self, pictures: np.ndarray) -> Tensor:
        """Pictures of an array, in 0..1, as (n, c, h, w) where they are wanted."""
        values = torch.from_numpy(pictures.astype(np.float32))
        if pictures.dtype == np.uint8:
            values /= 255
        images = values.permute(0, 3, 1, 2).to(self.device)
        return images if self.folded else images.contiguous()

    def _at_once(self, layers: Sequence[str], reductions: Sequence[Reduction]) -> int:
        """As many pictures as have room in memory with the outputs of all ``layers``, whatever ``reductions``."""
        del reductions
        return ROOM // max(1, sum(math.prod(self.layer(name).shape) for name in layers))

    @contextmanager
    def pooled(self, layers: Iterable[str], reductions: Sequence[Reduction]) -> Iterator[Pooled]:
        """As `capture`, but the function gives each layer's output pooled, once for each of ``reductions``."""
        with self.capture(layers) as run:
            yield lambda images: {
                name: tuple(pool(output, reduce=each) for each in reductions) for name, output in run(images).items()
            }


def memory_ran_out(error: Exception) -> bool:
    """Is this torch's word for too little memory, on an accelerator or on the processor?"""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def awake(output: Tensor, given: Tensor) -> Tensor:
    """The same values; for a unit that is silent at every position the gradient passes as though there were no rectifier.

    Without it a unit that the first noise does not excite would never be reached (Lucid's redirected ReLU has the
    same end: lucid/misc/redirected_relu_grad.py).
    """
    axes = (1,) if output.ndim == 3 else tuple(range(2, output.ndim))
    silent = (output <= 0).all(axes, keepdim=True) if axes else output <= 0
    return output + (given - given.detach()) * silent


def layer_names(layers: object) -> list[str]:
    """The names in ``layers``, a word or several; raises `WrongInput` where one is no word or comes twice."""
    names: list[object] = [layers] if isinstance(layers, str) or not isinstance(layers, Iterable) else list(layers)
    for name in names:
        if not isinstance(name, str):
            message = f"layers hold {name!r}: give the names of layers"
            raise WrongInput(message)
    for name, count in Counter(names).most_common(1):
        if count > 1:
            message = f"layers hold {name!r} {count} times: leave out all but one"
            raise WrongInput(message)
    return [str(name) for name in names]


def _check_pictures(pictures: object, channels: int) -> None:
    """Refuse what is no array of pictures."""
    rule = f"give uint8, or float in 0..1, of shape (n, height, width, {channels})"
    if not isinstance(pictures, np.ndarray):
        message = f"pictures is a {type(pictures).__module__}.{type(pictures).__name__}, no array of numpy: {rule}"
        raise WrongInput(message)
    typed = pictures.dtype == np.uint8 or np.issubdtype(pictures.dtype, np.floating)
    if not typed or pictures.ndim != 4 or pictures.shape[3] != channels or not len(pictures):
        message = f"pictures of shape {pictures.shape} and type {pictures.dtype} do not fit the network: {rule}"
        raise WrongInput(message)
