"""Forward hooks that report what a module gives, tensor by tensor, each with an address."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from neuronatlas.errors import NeuronAtlasError


class Reached(BaseException):
    """The deepest layer asked for was reached: the rest of the forward pass is not needed."""


class Use:
    """Who uses a module: one thread at a time, and there one capture, whatever networks are made of the module."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._open = False

    def __reduce__(self) -> tuple[type[Use], tuple[()]]:
        """A copy in another process is nobody's yet."""
        return Use, ()

    @contextmanager
    def of(self, network: str) -> Iterator[None]:
        """Inside the block nobody else uses it; raises `NeuronAtlasError` where this thread does already."""
        with self.lock:
            if self._open:
                message = f"network {network!r} is used inside a capture of itself: leave that block first"
                raise NeuronAtlasError(message)
            self._open = True
            try:
                yield
            finally:
                self._open = False


@dataclass(frozen=True)
class Seen:
    """What a hook saw: one tensor of a module's output (or None with a reason), and the module's first input."""

    name: str
    module: nn.Module
    address: str
    output: Tensor | None
    given: Tensor | None
    reason: str = ""


class Watch:
    """A forward hook that reports each tensor of a module's output with its address."""

    def __init__(self, name: str, report: Callable[[Seen], None]) -> None:
        self.name = name
        self.report = report
        self.calls = 0

    def __call__(self, module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        """Report one call of the module."""
        address = f"{self.name}#{self.calls}"
        self.calls += 1
        given = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
        leaves = [((), output)] if isinstance(output, Tensor) else pytree.tree_flatten_with_path(output)[0]
        for path, value in leaves:
            leaf = value.dequantize() if isinstance(value, Tensor) and value.is_quantized else value
            place = address + "".join(f".{_step(key)}" for key in path)
            if not isinstance(leaf, Tensor):
                reason = f"its output is a {type(leaf).__name__}, not a tensor"
                self.report(Seen(self.name, module, place, None, given, reason))
            elif leaf.ndim not in (2, 3, 4) or not leaf.is_floating_point():
                self.report(Seen(self.name, module, place, None, given, odd(leaf, "not (batch, units, ...)")))
            elif getattr(module, "inplace", False) or not any(leaf is each for each in inputs):
                self.report(Seen(self.name, module, place, leaf, given))


def _step(key: object) -> object:
    """What one step of a path through nested outputs is called: a key, an index or a field."""
    return next((getattr(key, kind) for kind in ("key", "idx", "name") if hasattr(key, kind)), key)


def odd(output: Tensor | None, fault: str) -> str:
    """Why an output has no units: what is wrong with its shape or type."""
    return "" if output is None else f"its output has shape {tuple(output.shape)} and type {output.dtype}, {fault}"
