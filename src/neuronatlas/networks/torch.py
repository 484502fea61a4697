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

from neuronatlas.errors import NeuronAtlasError, WrongInput
from neuronatlas.networks.base import Capture, InputSpec, Layer, Network, awake
from neuronatlas.networks.copies import agree, checksum, copied
from neuronatlas.networks.modules import frozen, kind_of, moved, only_copies, unwrapped
from neuronatlas.networks.preprocessing import Given
from neuronatlas.networks.slicing import sliced
from neuronatlas.networks.watching import Reached, Seen, Watch, odd

_RECTIFIERS = (nn.ReLU, nn.ReLU6)
_HALF = (torch.float16, torch.bfloat16)
_LOCKS: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()  # one a module
_LOCKS_LOCK = threading.Lock()


class TorchNetwork(Network):
    """A `torch.nn.Module` behind the `Network` interface. The module is used as it is, never changed.

    One thread at a time: another that wants the outputs of the same network waits until it is left.
    """

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
        with _LOCKS_LOCK:
            self._lock = _LOCKS.setdefault(self.module, threading.RLock())
        self._open = False
        self._fields: tuple[object, dict[str, int]] = (None, {})  # what receptive fields are known of which module
        self.cones: dict[str, list[str]] = {}  # what to cut for some units of a layer alone; only a copy is ever cut

    @cached_property
    def _table(self) -> tuple[dict[str, Layer], dict[str, str], dict[str, str]]:
        """Layers, unusable places with their reasons, and the address of each layer's tensor: one dry forward pass."""
        found: list[Seen] = []
        watches = {
            name: Watch(name, found.append)
            for name, module in self.module.named_modules()
            if name and not only_copies(module)
        }
        with torch.no_grad(), self._lock, frozen(self.module), self._watched(watches):
            self._forward(self.blank())
        layers: dict[str, Layer] = {}
        unusable: dict[str, str] = {}
        origin: dict[str, str] = {}
        for seen in found:
            once = watches[seen.name].calls == 1
            name = self._rename(seen.address.replace("#0", "", 1) if once else seen.address)
            if name in layers or name in unusable:
                name = seen.address
            if seen.output is None or len(seen.output) != 1:
                unusable[name] = seen.reason or odd(seen.output, "whose first axis is not the pictures")
                continue
            shape = tuple(seen.output.shape[1:])
            layers[name] = Layer(name, kind_of(seen.module), shape[1 if len(shape) == 2 else 0], shape)
            origin[name] = seen.address
        if not layers:
            message = f"network {self.name!r} has no layer: no submodule gave a tensor of shape (batch, units, ...)"
            raise WrongInput(message)
        return layers, unusable, origin

    @property
    def layers(self) -> Mapping[str, Layer]:
        """Every layer by name, in the order of the forward pass."""
        return self._table[0]

    @property
    def unusable(self) -> Mapping[str, str]:
        """Modules whose output has no units, with the reason."""
        return self._table[1]

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of every parameter and buffer with its name, type and shape."""
        total = hashlib.sha256()
        for name, value in sorted(self.module.state_dict().items()):
            plain = value.detach().cpu().contiguous()
            total.update(f"{name}|{plain.dtype}|{tuple(plain.shape)}|".encode())
            total.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
        return total.hexdigest()

    @contextmanager
    def capture(
        self, layers: Iterable[str], *, wake: bool = False, units: Sequence[int] | None = None
    ) -> Iterator[Capture]:
        """See `Network.capture`. One at a time: inside the block the same network is not to be used otherwise."""
        places = {name: self._table[2][self.layer(name).name] for name in layers}
        wanted = {place: name for name, place in places.items()}
        cut = self.cones.get(next(iter(wanted)), []) if units is not None and len(wanted) == 1 else []
        seen: dict[str, Tensor] = {}
        given = 1

        def keep(seen_now: Seen) -> None:
            if seen_now.address in wanted and seen_now.output is not None:
                output = seen_now.output.clone()
                if wake and isinstance(seen_now.module, _RECTIFIERS) and seen_now.given is not None:
                    output = awake(output, seen_now.given)
                name = wanted[seen_now.address]
                axis, expected = self.layer(name).unit_axis + 1, len(units or ()) if cut else self.layer(name).units
                if output.ndim != len(self.layer(name).shape) + 1 or output.shape[axis] != expected:
                    message = (
                        f"layer {name!r} gives {tuple(output.shape[1:])} for a picture of this size, and "
                        f"{self.layer(name).shape} for one of input_size: its units would not be the same"
                    )
                    raise WrongInput(message)
                if len(output) != given:
                    message = (
                        f"layer {name!r} gives {len(output)} rows for {given} pictures: it does not answer to each"
                    )
                    raise WrongInput(message)
                if units is not None and not cut:
                    output = output.index_select(axis, torch.tensor(units).to(output.device))
                seen[name] = output.float() if self.dtype in _HALF else output
                if len(seen) == len(wanted):
                    raise Reached

        watches = {name: Watch(name, keep) for name in {address.split("#")[0] for address in wanted}}

        def run(images: Tensor) -> dict[str, Tensor]:
            nonlocal given
            seen.clear()
            given = len(images)
            if not wanted:
                return {}
            for watch in watches.values():
                watch.calls = 0
            with suppress(Reached):
                self._forward(images)
            missing = [name for name in wanted.values() if name not in seen]
            if missing:
                message = f"layer {missing[0]!r} was not reached in this forward pass: the network's path varies"
                raise NeuronAtlasError(message)
            return {name: seen[wanted[place]] for name, place in places.items()}

        with (
            self._lock,
            self._opened(),
            frozen(self.module),
            self._watched(watches, keep_inputs=wake),
            sliced(self.module, cut, units or ()),
        ):
            yield run

    @contextmanager
    def _opened(self) -> Iterator[None]:
        """Note that a capture is open; raises `NeuronAtlasError` where one is."""
        if self._open:
            message = f"network {self.name!r} is used inside a capture of itself: leave that block first"
            raise NeuronAtlasError(message)
        self._open = True
        try:
            yield
        finally:
            self._open = False

    @contextmanager
    def _watched(self, watches: Mapping[str, Watch], *, keep_inputs: bool = False) -> Iterator[None]:
        """Hooks on these modules; with ``keep_inputs`` they leave their inputs unchanged inside the block."""
        modules = {name: self.module.get_submodule(name) for name in watches}
        in_place = [part for part in modules.values() if keep_inputs and isinstance(part, _RECTIFIERS) and part.inplace]
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
        with self._lock, torch.inference_mode(mode=False), torch.enable_grad():
            with self._opened():
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
        return self._table[2][self.layer(layer).name]

    @property
    def device(self) -> torch.device:
        """Where the module's weights are."""
        weight = next(itertools.chain(self.module.parameters(), self.module.buffers()), None)
        return torch.device("cpu") if weight is None else weight.device

    def _forward(self, images: Tensor) -> None:
        self.module(self.input.normalise(images).to(self.dtype))


def adapt(module: nn.Module, given: Given) -> TorchNetwork:
    """A torch module as a network; see `neuronatlas.networks.as_network`."""
    spec = given.spec()
    if given.device is not None:
        module = moved(module, given.device)
    return TorchNetwork(module, input=spec, name=given.name or type(module).__name__, labels=given.labels)
