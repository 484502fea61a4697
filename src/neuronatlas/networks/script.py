"""TorchScript modules as networks: traced, scripted, or read from a file.

Their parts are layers under their own names; a frozen module has no parts, and its operators are layers. A copy is used:
its graph holds marks (`neuronatlas.networks.script_marks`), and it stays in evaluation mode. Files that ``torch.save`` or
``torch.export.save`` wrote are refused: the first hold no network, the second are pickles.
"""

from __future__ import annotations

import copy
import io
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neuronatlas.errors import WrongInput
from neuronatlas.networks import torch as torch_adapter
from neuronatlas.networks.base import Network
from neuronatlas.networks.modules import COPIES, moved, pads
from neuronatlas.networks.preprocessing import Given
from neuronatlas.networks.script_marks import Listener, calls_parts, constants, heard, mark, rest, touches_files

_KINDS = {"Conv": "convolution", "Linear": "dense", "BatchNorm": "normalisation", "LayerNorm": "normalisation"}
_OPERATORS = {"conv": "convolution", "linear": "dense", "addmm": "dense", "batch_norm": "normalisation"}


class Part(nn.Module):
    """Stands for a part of a TorchScript module: it is called with the part's first input and its output.

    It holds the part's weights, and gives the output, so that hooks on it see what hooks on the part would.
    """

    inplace = True  # its output is an input, and counts as an output all the same

    def __init__(self, script: nn.Module | None, title: str) -> None:
        super().__init__()
        self.kind = next((kind for start, kind in (_KINDS | _OPERATORS).items() if start in title), "")
        self.kind = self.kind or ("activation" if "relu" in title.lower() else "")
        self.rectifies = title.rstrip("_0123456789").lower() in ("relu", "relu6")
        self.copies = title in COPIES or pads(title, script)
        self.source = [script]  # in a list, so that it is no part of this module
        if script is not None:
            self.take()
            for name, child in script.named_children():
                self.add_module(name, Part(child, getattr(child, "original_name", "")))

    def take(self) -> None:
        """The weights of the part are those of this module."""
        (script,) = self.source
        assert script is not None
        for name, value in script.named_parameters(recurse=False):
            self.register_parameter(name, value if isinstance(value, nn.Parameter) else nn.Parameter(value))
        for name, buffer in script.named_buffers(recurse=False):
            self.register_buffer(name, buffer)

    def forward(self, given: Tensor | None, output: Tensor) -> Tensor:  # noqa: ARG002 - hooks see it
        """The output."""
        return output

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Part:  # noqa: FBT001, FBT002 - torch's own
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        (script,) = self.source
        for name, value in (*self.named_parameters(recurse=False), *self.named_buffers(recurse=False)):
            if script is not None:
                setattr(script, name, value)
        return self


class Opened(Part, Listener):
    """A TorchScript module whose parts can be watched. It is to be this one's alone: its graph is changed."""

    def __init__(self, script: torch.jit.ScriptModule, names: list[str]) -> None:
        super().__init__(script, script.original_name)
        script.eval()
        self.eval()
        self.names = names
        for name in names:
            self.add_module(name, Part(None, name))
        held = Part(None, "constants")  # the weights of a frozen module
        for number, value in enumerate(constants(script)):
            held.register_buffer(str(number), value)
        self.add_module("constants", held)
        self.path: list[str] = []
        self.inputs: list[Tensor | None] = []
        self.raised: BaseException | None = None

    @classmethod
    def of(cls, script: torch.jit.ScriptModule) -> Opened:
        """The module with its parts marked, or its operators where it has no parts."""
        parts = calls_parts(script)
        return cls(script, mark(script, parts=parts, operators=not parts))

    def forward(self, x: Tensor, _: object = None) -> object:  # type: ignore[override]
        """What the TorchScript module makes of pictures; what a hook raises comes through."""
        self.path, self.inputs, self.raised = [], [], None
        before, heard.listener = heard.listener, self
        try:
            with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
                return self.source[0](x)  # type: ignore[misc]
        except (RuntimeError, torch.jit.Error) as error:
            if self.raised is not None:
                raise self.raised from error
            lines = str(error).strip().splitlines() or [""]
            raise RuntimeError(lines[-1]) from error
        finally:
            heard.listener = before
            self.inputs = []

    def enter(self, name: str) -> None:
        """See `Listener`."""
        self.path.append(name)
        self.inputs.append(None)

    def leave(self) -> None:
        """See `Listener`."""
        self.path.pop()
        self.inputs.pop()

    def given(self, value: Tensor) -> Tensor:
        """See `Listener`; kept as it is, whatever a rectifier writes over it."""
        part = self._part()
        self.inputs[-1] = value.clone() if part is not None and part.rectifies else value
        return value

    def seen(self, value: Tensor) -> Tensor:
        """See `Listener`."""
        part = self._part()
        if part is None:
            return value
        try:
            return part(self.inputs[-1], value)
        except BaseException as error:
            self.raised = error
            raise

    def lost_at(self, picture: Tensor, part: str) -> str:
        """The last operator of a part that takes what has a gradient and gives what has none; "" if there is none."""
        if part in self.names:
            return part.rpartition("_")[0]
        found: list[str] = []
        own = _own(self.source[0])  # type: ignore[arg-type]
        again = Opened(own, mark(own, parts=False, operators=True))

        def hook(name: str) -> Callable[..., None]:
            def watch(_: nn.Module, values: tuple[Tensor | None, Tensor], output: Tensor) -> None:
                given = values[0]
                if given is not None and given.requires_grad and not output.requires_grad:
                    inside = ".".join(step for step in again.path[:-1] if step)
                    if inside == part or inside.startswith(f"{part}.") or not part:
                        found.append(name.rpartition("_")[0])

            return watch

        for name in again.names:
            again.get_submodule(name).register_forward_hook(hook(name))
        again(picture)
        return found[-1] if found else ""

    def _part(self) -> Part | None:
        """The part that was entered last."""
        last = self.path[-1]
        try:
            found = self.get_submodule(last if last in self.names else ".".join(step for step in self.path if step))
        except AttributeError:
            return None
        return found if isinstance(found, Part) and found is not self else None

    def __deepcopy__(self, memo: Any) -> nn.Module:
        """A module of its own, of the same graph."""
        return Opened(copy.deepcopy(self.source[0], memo), list(self.names))  # type: ignore[arg-type]


def adapt(module: torch.jit.ScriptModule, given: Given) -> Network:
    """A TorchScript module as a network; see `neuronatlas.networks.as_network`."""
    if not isinstance(module, torch.jit.ScriptModule):
        message = f"model is a {type(module).__name__}: give a TorchScript module, not a function alone"  # type: ignore[unreachable]
        raise WrongInput(message)
    return _adapted(_own(module), given)


def load(path: Path, given: Given) -> Network:
    """The network of a TorchScript file; raises `WrongInput` for what is none."""
    _check(path)
    try:
        module = _read(str(path), given.device or "cpu")
    except WrongInput:
        raise
    except Exception as error:
        message = (
            f"network {str(path)!r} cannot be read as TorchScript: {(str(error).strip() or 'damaged').splitlines()[0]}"
        )
        raise WrongInput(message) from error
    return _adapted(module, given)


def _adapted(module: torch.jit.ScriptModule, given: Given) -> Network:
    if given.device is not None:
        moved(module, given.device)
    trained = rest(module)
    network = torch_adapter.adapt(Opened.of(module), given)
    if trained:
        network.notes += ("it was traced in training mode, which is set aside",)
    network.name = given.name or module.original_name
    return network


def _own(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """The same module with graphs of its own."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is deprecated", DeprecationWarning)
        torch.jit.save(module, stream)
    stream.seek(0)
    return _read(stream, None)


def _read(source: str | io.BytesIO, device: str | None) -> torch.jit.ScriptModule:
    """The module; raises `WrongInput` before anything of it has run where it could touch files.

    Reading alone runs the program's ``__setstate__``, so that its text is searched first, as torch itself will read it.
    """
    records = torch._C.PyTorchFileReader(source)  # noqa: SLF001 - no other reader is sure to see the same files
    for record in records.get_all_records():
        if record.lower().endswith((".py", "model.json")):
            word = touches_files(records.get_record(record).decode(errors="replace"))
            if word or record.lower().endswith("model.json"):
                message = f"the TorchScript program is refused: {record} holds {word or 'an outdated form'!r}, which may touch files"
                raise WrongInput(message)
    if isinstance(source, io.BytesIO):
        source.seek(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is deprecated", DeprecationWarning)
        module: torch.jit.ScriptModule = torch.jit.load(source, map_location=device)  # type: ignore[no-untyped-call]
    return module


def _check(path: Path) -> None:
    """Refuse files that hold something else, and say what."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name.partition("/")[2] for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError):
        members = []
    if "constants.pkl" in members:
        return
    if any(name == "archive_format" or name.startswith("models/") for name in members):
        message = (
            f"network {path.name!r} was written by torch.export.save, and reading it would run what is pickled in it. Where it "
            "is trusted: as_network(torch.export.unflatten(torch.export.load(path)), ...)"
        )
    else:
        message = (
            f"network {path.name!r} is no TorchScript program: a state dictionary needs the network that it belongs to, "
            f"{path.name}@FACTORY, such as {path.name}@timm:NAME or {path.name}@file.py:function"
        )
    raise WrongInput(message)
