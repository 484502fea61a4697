"""PyTorch modules as networks: forward hooks that live only inside a context manager.

A module is a layer when its output is a tensor with a batch and a unit axis. Modules with children count as well (the
convolutions of some networks hold a padding module). The k-th call of a module that runs several times is ``name#k``;
a tensor inside a tuple or dict output is ``name.PATH`` (``name#k.PATH`` where a submodule has that name). What only
passes its input on (identity, dropout at rest, padding, flattening) is no layer.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from types import MappingProxyType

import torch
from torch import Tensor, nn

from neuronatlas.errors import WrongInput
from neuronatlas.networks import probing
from neuronatlas.networks.axes import Axes
from neuronatlas.networks.base import Capture, InputSpec, Layer, Network, NotReached, awake
from neuronatlas.networks.copies import agree, checksum, copied
from neuronatlas.networks.gradients import refuse_lost, refuse_quantised, refuse_stopped
from neuronatlas.networks.listing import MIXED, UNSEEN, Table, listed, mixed
from neuronatlas.networks.modules import first_channels, frozen, moved, only_copies, plain_tensors, rectifies, unwrapped
from neuronatlas.networks.preprocessing import Given
from neuronatlas.networks.slicing import sliced
from neuronatlas.networks.watching import Reached, Seen, Use, Watch

_USES: weakref.WeakKeyDictionary[nn.Module, Use] = weakref.WeakKeyDictionary()  # one a module
_USES_LOCK = threading.Lock()


class TorchNetwork(Network):
    """A `torch.nn.Module` behind the `Network` interface. The module is used as it is, never changed.

    One thread at a time: another that wants the outputs of the same network waits until it is left.
    """

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
        self._fields: tuple[object, dict[str, int]] = (None, {})  # what receptive fields are known of which module
        self.cones: dict[str, list[str]] = {}  # what to cut for some units of a layer alone; only a copy is ever cut

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
            with torch.no_grad(), self._use.of(self.name), frozen(self.module), self._watched(watches):
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
    def capture(  # noqa: C901 - one pass, as it is
        self, layers: Iterable[str], *, wake: bool = False, units: Sequence[int] | None = None
    ) -> Iterator[Capture]:
        """See `Network.capture`. One at a time: inside the block the same network is not to be used otherwise."""
        places = {name: self._table.places[self.layer(name).name] for name in layers}
        wanted: dict[str, list[str]] = {}  # one tensor may be several layers, or one layer with several names
        for name, place in places.items():
            wanted.setdefault(place.address, []).append(name)
        cut = self.cones.get(next(iter(wanted)), []) if units is not None and len(places) == 1 else []
        seen: dict[str, Tensor] = {}
        given = 0  # pictures in the forward pass under way; none where the module is called by someone else

        def keep(seen_now: Seen) -> None:
            for name in wanted.get(seen_now.address, ()) if given else ():
                output = self._read(name, seen_now, wake=wake)
                self._check_shape(name, output, given, cut=len(units or ()) if cut else None)
                if units is not None and not cut:
                    index = torch.tensor(units, dtype=torch.long).to(output.device)
                    output = output.index_select(self.layer(name).unit_axis + 1, index)
                seen[name] = output
                if len(seen) == len(places):
                    raise Reached

        watches = {name: Watch(name, keep) for name in {place.home for place in places.values()}}

        def run(images: Tensor) -> dict[str, Tensor]:
            nonlocal given
            seen.clear()
            if not places:
                return {}
            if images.requires_grad and torch.is_grad_enabled():
                refuse_quantised(self.module, self._table, {name: self.layer(name).name for name in places}, self.name)
            for watch in watches.values():
                watch.calls = 0
            given = len(images)
            try:
                with suppress(Reached):
                    self._forward(images)
            except RuntimeError as error:
                given = 0
                refuse_stopped(error, images, self._forward, next(iter(places)), self.name)
                raise
            finally:
                given = 0
            missing = [name for name in places if name not in seen]
            if missing:
                raise NotReached(missing)
            if images.requires_grad and torch.is_grad_enabled():
                refuse_lost(
                    self.module, seen, lambda: self.input.normalise(images[:1].detach()).to(self.dtype), self.name
                )
            return {name: seen[name] for name in places}

        with (
            self._use.of(self.name),
            frozen(self.module),
            self._watched(watches, keep_inputs=wake),
            sliced(self.module, cut, units or ()),
        ):
            yield run

    def _read(self, name: str, seen: Seen, *, wake: bool) -> Tensor:
        """The layer's part of a tensor, as it is now whatever overwrites it later."""
        assert seen.output is not None
        view = self._table.places[self.layer(name).name].view
        output = view(seen.output.clone())
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

    @contextmanager
    def _watched(self, watches: Mapping[str, Watch], *, keep_inputs: bool = False) -> Iterator[None]:
        """Hooks on these modules; with ``keep_inputs`` they leave their inputs unchanged inside the block."""
        modules = {name: self.module.get_submodule(name) for name in watches}
        in_place = [
            part for part in modules.values() if keep_inputs and isinstance(part, (nn.ReLU, nn.ReLU6)) and part.inplace
        ]
        hooks = [modules[name].register_forward_hook(watch) for name, watch in watches.items()]
        try:
            for module in in_place:
                setattr(module, "inplace", False)  # noqa: B010 - a Module's attributes are not typed
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for module in in_place:
                setattr(module, "inplace", True)  # noqa: B010

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

    def with_module(self, module: nn.Module) -> TorchNetwork:
        """This network with another module of the same layers in place of its own."""
        other = TorchNetwork(module, input=self.input, name=self.name, labels=self.labels, rename=self._rename)
        other.aliases = self.aliases
        other.__dict__["_table"] = self._table
        return other

    def address(self, layer: str) -> str:
        """Where a layer's tensor is: the name of its module, #, and the number of the call."""
        return self._table.places[self.layer(layer).name].address

    def home(self, layer: str) -> str:
        """The name of the module that a layer's tensor comes from."""
        return self._table.places[self.layer(layer).name].home

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
