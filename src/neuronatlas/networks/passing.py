"""Forward passes of a torch module in which hooks read the layers that are wanted, and which end at the deepest of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar

from torch import Tensor, nn

from neuronatlas.networks.base import NotReached
from neuronatlas.networks.gradients import refuse_stopped
from neuronatlas.networks.watching import Reached, Seen, Watch

T = TypeVar("T")


class Pass(Generic[T]):
    """What ``read`` makes of each layer, what was seen at its address, and the number of pictures.

    One tensor may be several layers, or one layer with several names.
    """

    def __init__(
        self,
        network: str,
        forward: Callable[[Tensor], None],
        addresses: Mapping[str, str],
        read: Callable[[str, Seen, int], T],
    ) -> None:
        self._network, self._forward, self._read = network, forward, read
        self._names = tuple(addresses)
        self._wanted: dict[str, list[str]] = {}
        for name, address in addresses.items():
            self._wanted.setdefault(address, []).append(name)
        self._seen: dict[str, T] = {}
        self._given = 0  # pictures in the forward pass under way; none where the module is called by someone else

    def keep(self, seen: Seen) -> None:
        """Read what a hook has seen; raises `Reached` when nothing more is wanted."""
        for name in self._wanted.get(seen.address, ()) if self._given else ():
            self._seen[name] = self._read(name, seen, self._given)
            if len(self._seen) == len(self._names):
                raise Reached

    def run(self, images: Tensor, watches: Iterable[Watch]) -> dict[str, T]:
        """One pass; raises `NotReached` where it does not come to all layers."""
        self._seen.clear()
        if not self._names:
            return {}
        for watch in watches:
            watch.calls = 0
        self._given = len(images)
        try:
            with suppress(Reached):
                self._forward(images)
        except RuntimeError as error:
            self._given = 0
            refuse_stopped(error, images, self._forward, self._names[0], self._network)
            raise
        finally:
            self._given = 0
        missing = [name for name in self._names if name not in self._seen]
        if missing:
            raise NotReached(missing)
        found = {name: self._seen[name] for name in self._names}
        self._seen.clear()
        return found


@contextmanager
def watched(module: nn.Module, watches: Mapping[str, Watch], *, keep_inputs: bool = False) -> Iterator[None]:
    """Hooks on these parts of a module; with ``keep_inputs`` they leave their inputs unchanged inside the block."""
    parts = {name: module.get_submodule(name) for name in watches}
    in_place = [
        part for part in parts.values() if keep_inputs and isinstance(part, (nn.ReLU, nn.ReLU6)) and part.inplace
    ]
    hooks = [parts[name].register_forward_hook(watch) for name, watch in watches.items()]
    try:
        for part in in_place:
            setattr(part, "inplace", False)  # noqa: B010 - a Module's attributes are not typed
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for part in in_place:
            setattr(part, "inplace", True)  # noqa: B010
