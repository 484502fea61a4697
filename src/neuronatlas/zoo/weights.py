"""Files of weights: read without running anything that they hold, and put into a module that must fit.

``.safetensors`` holds numbers alone. The others (``.pth``, ``.pt``, ``.bin``, ``.ckpt``) are pickles, read by torch's
restricted reader, which knows tensors and plain values; what needs more is refused, never read in another way.
"""

from __future__ import annotations

import pickle
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from neuronatlas.errors import WrongInput

SAFE = ".safetensors"
PICKLED = (".pth", ".pt", ".bin", ".ckpt")
OUTER = ("state_dict", "model_state_dict", "model")
"""Where training programs keep the weights, next to the optimiser and the number of the epoch."""
WRAPPERS = ("module.", "_orig_mod.")
"""What `torch.nn.DataParallel` and `torch.compile` put before every name."""
NAMED = 3
"""Names that a message gives of many."""


def read(path: Path) -> dict[str, Tensor]:
    """The weights by name, on the processor; raises `WrongInput` for a file that is missing, damaged or no such file."""
    if not path.is_file():
        message = f"weights {str(path)!r}: there is no such file"
        raise WrongInput(message)
    found = _safetensors(path) if path.suffix.lower() == SAFE else _pickled(path)
    for key in OUTER:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    values = found if isinstance(found, Mapping) else {}
    state = {str(name): value for name, value in values.items() if isinstance(value, Tensor)}
    if not state:
        message = f"weights {str(path)!r} hold no tensors by name: save module.state_dict()"
        raise WrongInput(message)
    return state


def put(state: Mapping[str, Tensor], module: nn.Module, source: str) -> None:
    """Copy the weights into the module; raises `WrongInput` unless names and shapes are all those of the module."""
    own = module.state_dict(keep_vars=True)
    state = _unwrapped(state, own)
    odd = [
        f"{name} {tuple(value.shape)} in place of {tuple(own[name].shape)}"
        for name, value in state.items()
        if isinstance(own.get(name), Tensor) and not is_lazy(own[name]) and own[name].shape != value.shape
    ]
    faults = [_counted("of another shape", odd)]
    if not odd:
        missing, unexpected = module.load_state_dict(dict(state), strict=False)
        present = {value.data_ptr() for name, value in own.items() if isinstance(value, Tensor) and name in state}
        missing = [name for name in missing if _place(own.get(name)) not in present]  # tied weights are saved once
        faults = [_counted("missing", missing), _counted("unexpected", unexpected)]
    if any(faults):
        message = (
            f"the weights in {source!r} do not fit {type(module).__name__}: {'; '.join(filter(None, faults))}. "
            "Give the factory of the network that they were saved from"
        )
        raise WrongInput(message)


def _unwrapped(state: Mapping[str, Tensor], own: Container[str]) -> Mapping[str, Tensor]:
    """The weights without the prefixes of wrappers, unless the module's ``own`` names have them too."""
    wrapper = next((each for each in WRAPPERS if all(name.startswith(each) for name in state)), None)
    if not state or wrapper is None or any(name in own for name in state):
        return state
    return _unwrapped({name.removeprefix(wrapper): value for name, value in state.items()}, own)


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        message = f"weights {str(path)!r} are no whole safetensors file: {_first_line(error)}"
        raise WrongInput(message) from error


def _pickled(path: Path) -> object:
    try:
        found: object = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WrongInput(_refused(path)) from error
    except Exception as error:
        raise WrongInput(_unreadable(path, error)) from error
    return found


def _refused(path: Path) -> str:
    """Why the restricted reader does not take a pickle, and what to do."""
    try:
        called = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # noqa: BLE001 - a file that breaks this reader too is refused all the same
        called = []
    if any(name.startswith("torch.nn.modules.") for name in called):
        return (
            f"weights {str(path)!r} are a whole module, and reading it would run code. Where the file is trusted, and "
            "the module's own code can be imported, save its weights alone:\n"
            f"    module = torch.load({path.name!r}, weights_only=False)\n"
            f'    torch.save(module.state_dict(), "weights.pth")'
        )
    what = f"reading it would call {', '.join(called[:NAMED])}" if called else "it is no plain dictionary of tensors"
    return (
        f"weights {str(path)!r} are refused: {what}. Ask whoever made the file for its state_dict, or for safetensors"
    )


def _unreadable(path: Path, error: Exception) -> str:
    if "TorchScript" in str(error):
        return f"weights {str(path)!r} are a TorchScript program, which needs no factory: give {path.name!r} alone"
    return f"weights {str(path)!r} cannot be read: {_first_line(error)}"


def _place(value: object) -> int:
    return value.data_ptr() if isinstance(value, Tensor) and not is_lazy(value) else -1


def _counted(what: str, names: Iterable[str]) -> str:
    found = list(names)
    more = ", ..." if len(found) > NAMED else ""
    return f"{len(found)} {what} ({', '.join(found[:NAMED])}{more})" if found else ""


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
