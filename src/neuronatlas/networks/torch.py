"""PyTorch modules as networks: forward hooks that live only inside a context manager.

A module is a layer when its output is a tensor with a batch and a unit axis. Modules with children count as well (the
convolutions of some networks hold a padding module). The k-th call of a module that runs several times is ``name#k``;
a tensor inside a tuple or dict output is ``name.PATH`` (``name#k.PATH`` where a submodule has that name). What only
passes its input on (identity, dropout at rest, padding, flattening) is no layer.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from neuronatlas.errors import WrongInput
from neuronatlas.networks import probing
from neuronatlas.networks.axes import Axes
from neuronatlas.networks.base import ROOM, Capture, InputSpec, Layer, Network, Pooled, awake
from neuronatlas.networks.copies import agree, checksum, copied
from neuronatlas.networks.gradients import refuse_lost, refuse_quantised
from neuronatlas.networks.listing import MIXED, UNSEEN, Table, Where, listed, mixed
from neuronatlas.networks.modules import first_channels, frozen, moved, only_copies, plain_tensors, rectifies, unwrapped
from neuronatlas.networks.passing import Pass, watched
from neuronatlas.networks.pooling import Reduction
from neuronatlas.networks.preprocessing import Given
from neuronatlas.networks.recording import AT_ONCE, Pooling, recording_copies
from neuronatlas.networks.slicing import sliced
from neuronatlas.networks.undoing import Undoing
from neuronatlas.networks.watching import Seen, Use, Watch

T = TypeVar("T")
_USES: weakref.WeakKeyDictionary[nn.Module, Use] = weakref.WeakKeyDictionary()  # one a module
_USES_LOCK = threading.Lock()


class TorchNetwork(Network):
    """A `torch.nn.Module` behind the `Network` interface. The module is used as it is, never changed.

    One thread at a time: another that wants the outputs of the same network waits until it is left.
    """

    singly = False  # may it be given one picture at a time only?
    batched = True  # two pictures at once are compared with one alone when layers are listed

    def __init__(
        self,
        module: nn.Module,
        *,
        input: InputSpec,  # noqa: A002 - the field's own word
        name: str = "network",
        labels: tuple[str, ...] = (),
        rename: Callable[[str], str] = str,
        aliases: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.module = unwrapped(module)
        self.input = input
        self.name = name
        self.labels = labels
        self.aliases = aliases
        self._rename = rename
        weight = next((each for each in self.module.parameters() if each.is_floating_point()), None)
        self.dtype = torch.float32 if weight is None else weight.dtype
        self._kept: tuple[object, list[Network]] = (None, [])
        with _USES_LOCK:
            self._use = _USES.setdefault(self.module, Use())
        self._recorders: tuple[object, list[Network]] = (None, [])
        self.folded = False  # is it a copy that was compared with its original?
        self.undoing: dict[str, Undoing] = {}  # its layers whose batch norm is part of them
        self._fields: tuple[object, dict[str, int]] = (None, {})  # what receptive fields are known of which module
        self.cones: dict[str, list[str]] = {}  # what to cut for some units of a layer alone; only a copy is ever cut

    def __reduce__(self) -> tuple[Callable[..., TorchNetwork], tuple[nn.Module], dict[str, object]]:
        """A copy in another process begins with nothing remembered."""
        given: dict[str, Any] = {"input": self.input, "name": self.name, "labels": self.labels, "rename": self._rename}
        return partial(TorchNetwork, **given, aliases=dict(self.aliases)), (self.module,), {"notes": self.notes}

    @cached_property
    def _table(self) -> Table:
        """What one dry forward pass reaches."""
        found: list[Seen] = []
        both: list[Seen] = []
        watches = {
            name: Watch(name, found.append)
            for name, module in self.module.named_modules()
            if name and not only_copies(module)
        }
        try:
            with torch.no_grad(), self._use.of(self.name), frozen(self.module), watched(self.module, watches):
                self._forward(self.blank())
                calls = {name: watch.calls for name, watch in watches.items()}
                if self.batched:
                    for watch in watches.values():
                        watch.calls, watch.report = 0, both.append
                    with suppress(*probing.REFUSALS):  # not every module takes two
                        self._forward(torch.cat([self.blank(), probing.other(self.blank())]))
                for name, watch in watches.items():
                    watch.calls = calls[name]
        except probing.REFUSALS as error:
            message = probing.size_refused(self.module, self.input, self.dtype, name=self.name, error=error)
            raise WrongInput(message) from error
        table = listed(found, watches, Axes(self.module, self.input.size), self._rename, mixed(found, both))
        for name, watch in watches.items():
            part = self.module.get_submodule(name)
            if not watch.calls and next(part.children(), None) is None and next(part.parameters(), None) is not None:
                table.unusable[self._rename(name)] = UNSEEN
        if not table.layers:
            message = f"network {self.name!r} has no layer: no submodule gave a tensor of shape (batch, units, ...)"
            if MIXED in table.unusable.values():
                message = f"network {self.name!r} has no layer that can be used: of each, {MIXED}"
            raise WrongInput(message)
        return table

    @property
    def layers(self) -> Mapping[str, Layer]:
        """Every layer by name, in the order of the forward pass."""
        return self._table.layers

    @property
    def unusable(self) -> Mapping[str, str]:
        """Modules whose output has no units, with the reason."""
        return self._table.unusable

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of every parameter and buffer with its name, type and shape."""
        total = hashlib.sha256()
        for name, value in sorted(self.module.state_dict().items()):
            for plain in plain_tensors(value):
                total.update(f"{name}|{plain.dtype}|{tuple(plain.shape)}|".encode())
                total.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
        return total.hexdigest()

    @contextmanager
    def capture(
        self, layers: Iterable[str], *, wake: bool = False, units: Sequence[int] | None = None
    ) -> Iterator[Capture]:
        """See `Network.capture`. One at a time: inside the block the same network is not to be used otherwise."""
        names = list(layers)
        cut = self.cones.get(self.place(names[0]).address, []) if units is not None and len(names) == 1 else []

        def read(name: str, seen: Seen, pictures: int) -> Tensor:
            output = self._read(name, seen, wake=wake)
            self._check_shape(name, output, pictures, cut=len(units or ()) if cut else None)
            if units is not None and not cut:
                index = torch.tensor(units, dtype=torch.long).to(output.device)
                output = output.index_select(self.layer(name).unit_axis + 1, index)
            return output

        with self._passing(names, read, keep_inputs=wake) as run, sliced(self.module, cut, units or ()):
            asked = False  # whether the layers can have a gradient at all

            def checked(images: Tensor) -> dict[str, Tensor]:
                nonlocal asked
                wanted = bool(names) and images.requires_grad and torch.is_grad_enabled()
                if wanted and not asked:
                    listed = {name: self.layer(name).name for name in names}
                    refuse_quantised(self.module, self._table, listed, self.name)
                    asked = True
                seen = run(images)
                if wanted:
                    refuse_lost(
                        self.module, seen, lambda: self.input.normalise(images[:1].detach()).to(self.dtype), self.name
                    )
                return seen

            yield checked

    @contextmanager
    def pooled(self, layers: Iterable[str], reductions: Sequence[Reduction]) -> Iterator[Pooled]:
        """See `Network.pooled`: each output is pooled as soon as it is there, and none is kept."""
        pooling = Pooling(reductions, following=self.folded)

        def read(name: str, seen: Seen, pictures: int) -> tuple[Tensor, ...]:
            assert seen.output is not None
            view = self.place(name).view
            self._check_shape(name, view(seen.output), pictures, cut=None)
            return pooling(seen, view, self.undoing.get(self.layer(name).name))

        with self._passing(list(layers), read) as run:
            yield run

    @contextmanager
    def _passing(
        self, layers: Sequence[str], read: Callable[[str, Seen, int], T], *, keep_inputs: bool = False
    ) -> Iterator[Callable[[Tensor], dict[str, T]]]:
        places = {name: self.place(name) for name in layers}
        passes = Pass(self.name, self._forward, {name: place.address for name, place in places.items()}, read)
        watches = {home: Watch(home, passes.keep) for home in {place.home for place in places.values()}}
        hooks = watched(self.module, watches, keep_inputs=keep_inputs)
        with self._use.of(self.name), frozen(self.module), hooks:
            yield lambda images: passes.run(images, watches.values())

    def _at_once(self, layers: Sequence[str], reductions: Sequence[Reduction]) -> int:
        """As many pictures as have room with the largest of ``layers`` where all are pooled, and few enough for caches."""
        if self.singly:
            return 1
        if not all(each in ("mean", "max") for each in reductions):
            return super()._at_once(layers, reductions)
        return min(AT_ONCE, ROOM // max((math.prod(self.layer(name).shape) for name in layers), default=1))

    def _read(self, name: str, seen: Seen, *, wake: bool) -> Tensor:
        """The layer's part of a tensor, as it is now whatever overwrites it later."""
        assert seen.output is not None
        view, undoing = self.place(name).view, self.undoing.get(self.layer(name).name)
        output = view(seen.output.clone())
        output = output if undoing is None else undoing(output)
        if wake and rectifies(seen.module) and seen.given is not None:
            output = awake(output, view(seen.given))
        return output.float() if output.dtype in probing.HALF else output

    def _check_shape(self, name: str, output: Tensor, pictures: int, *, cut: int | None) -> None:
        """Refuse an output that is not of the layer's units, or not one a picture."""
        layer = self.layer(name)
        axis, expected = layer.unit_axis + 1, layer.units if cut is None else cut
        if output.ndim != len(layer.shape) + 1 or output.shape[axis] != expected:
            message = (
                f"layer {name!r} gives {tuple(output.shape[1:])} for a picture of this size, and "
                f"{layer.shape} for one of input_size: its units would not be the same"
            )
            raise WrongInput(message)
        if len(output) != pictures:
            message = f"layer {name!r} gives {len(output)} rows for {pictures} pictures: it does not answer to each"
            raise WrongInput(message)

    def receptive_fields(self, layers: Iterable[str]) -> dict[str, int]:
        """See `Network.receptive_fields`; what is known is kept while the module prints the same."""
        state = (repr(self.module), self.input.size)
        if self._fields[0] != state:
            self._fields = (state, {})
        return self._known_fields(layers, self._fields[1])

    def accelerated(
        self, layers: Iterable[str], *, size: tuple[int, int] | None = None, precision: str = "float32", copies: int = 1
    ) -> list[Network]:
        """See `Network.accelerated`: compared with this one in values and gradient on random pictures, then kept.

        Kept copies are made anew when a weight has changed, or when they no longer agree.
        """
        names, sizes = tuple(layers), tuple(dict.fromkeys([size or self.input.size, self.input.size]))
        if not names:  # an objective of the picture alone
            return [self]
        with self._use.lock, torch.inference_mode(mode=False), torch.enable_grad():
            with self._use.of(self.name):
                pass
            key = (names, sizes, precision, self.input, checksum(self.module))
            kept = self._kept[1]
            if self._kept[0] != key or not all(
                agree(self, twin, names, sizes[0], rough=precision != "float32") for twin in kept
            ):
                kept = []
            while len(kept) < copies:
                twin = copied(self, names, sizes, precision)
                if twin is None:
                    return [self]
                kept.append(twin)
            self._kept = (key, kept[:copies])
            return list(self._kept[1])

    def recorders(self, layers: Iterable[str], *, copies: int = 1) -> list[Network]:
        """See `Network.recorders`: compared with this one on random pictures, then kept as `accelerated` ones are."""
        names = tuple(self.layer(name).name for name in layers)
        with self._use.lock, torch.inference_mode(mode=False), torch.no_grad():
            with self._use.of(self.name):
                pass
            key = (names, self.input, checksum(self.module))
            kept = self._recorders[1] if self._recorders[0] == key else []
            self._recorders = (key, recording_copies(self, names, copies, kept))
            return list(self._recorders[1]) or [self]

    def with_module(self, module: nn.Module) -> TorchNetwork:
        """This network with another module of the same layers in place of its own."""
        other = TorchNetwork(module, input=self.input, name=self.name, labels=self.labels, rename=self._rename)
        other.aliases = self.aliases
        other.__dict__["_table"] = self._table
        return other

    def place(self, layer: str) -> Where:
        """Where a layer's tensor is: the module that gives it, its address there, and the part that the layer is."""
        return self._table.places[self.layer(layer).name]

    def home(self, layer: str) -> str:
        """The name of the module that a layer's tensor comes from."""
        return self.place(layer).home

    @property
    def device(self) -> torch.device:
        """Where the module's weights are."""
        weight = next(itertools.chain(self.module.parameters(), self.module.buffers()), None)
        return torch.device("cpu") if weight is None else weight.device

    def _forward(self, images: Tensor) -> None:
        self.module(self.input.normalise(images).to(self.dtype))


def adapt(module: nn.Module, given: Given) -> TorchNetwork:
    """A torch module as a network; see `neuronatlas.networks.as_network`."""
    spec = given.spec(channels=first_channels(module) if given.one_for_all else None)
    name = given.name or type(module).__name__
    notes = []
    module = unwrapped(module)
    if given.device is not None:
        module = moved(module, given.device)
    probing.check_place(module, name)
    if unshaped := probing.lazy(module):
        try:
            probing.materialise(module, spec)
        except probing.REFUSALS as error:
            message = probing.size_refused(module, spec, torch.float32, name=name, error=error)
            raise WrongInput(message) from error
        notes.append(f"{len(unshaped)} of its weights had no shape, and have random numbers now: load them first")
    probing.check_numbers(module, name)
    if module.training:
        notes.append("it was in training mode, which is set aside while it is used")
    module, note = probing.in_full(module)
    network = TorchNetwork(module, input=spec, name=name, labels=given.labels)
    network.notes = tuple(filter(None, [*notes, note]))
    return network
