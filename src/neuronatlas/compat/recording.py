"""The responses of a `torch.nn.Module` to inputs of any shape, such as sequences, which no `Network` takes."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from neuronatlas.errors import WrongInput
from neuronatlas.networks.modules import frozen, only_copies
from neuronatlas.table import Responses
from neuronatlas.units import Unit

BATCH = 32

_CHANNELS_FIRST = (
    nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d, nn.InstanceNorm1d,
    nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d,
)  # fmt: skip
_RECURRENT = (nn.RNNBase, nn.MultiheadAttention)
_CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding, *_RECURRENT)


class _Reader:
    """Forward hooks that keep one row a sample of what each module gives, in the order of the calls."""

    def __init__(self, samples: int, wanted: Sequence[str] | None) -> None:
        self.samples, self.wanted = samples, None if wanted is None else {name.split("#")[0] for name in wanted}
        self.calls: Counter[str] = Counter()
        self.rows: list[tuple[str, int, Float[np.ndarray, "samples units"]]] = []
        self.seen: list[weakref.ref[Tensor]] = []
        self.first = False

    def hook(self, name: str, module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        """Keep the first tensor of ``output`` that has a row a sample, unless it was only passed on."""
        call, self.calls[name] = self.calls[name], self.calls[name] + 1
        if isinstance(module, _CHANNELS_FIRST + _CHANNELS_LAST):
            self.first = isinstance(module, _CHANNELS_FIRST)
        for leaf in pytree.tree_leaves(output):
            if isinstance(leaf, Tensor) and leaf.ndim > 1 and leaf.is_floating_point():
                values = leaf
                if isinstance(module, _RECURRENT) and not module.batch_first and leaf.ndim == 3:
                    values = leaf.transpose(0, 1)
                if len(values) == self.samples:
                    break
        else:
            return
        known = any(leaf is value for value in inputs) or any(ref() is leaf for ref in self.seen)
        passed_on = only_copies(module) or (known and not getattr(module, "inplace", False))
        self.seen.append(weakref.ref(leaf))
        if name in self.wanted if self.wanted is not None else not passed_on:
            unit_axis = 1 if values.ndim != 3 or self.first else 2
            axes = [axis for axis in range(1, values.ndim) if axis != unit_axis]
            means = values.float().mean(axes) if axes else values.float()
            self.rows.append((name, call, means.cpu().numpy().copy()))


def record_module(module: nn.Module, inputs: Tensor, layers: list[str] | None) -> Responses:
    """The mean over positions of what each of ``layers`` gives for each sample, the first axis of ``inputs``.

    ``layers`` are names of modules, or of one of their calls (``name#1``); None: every module but the last to give
    something, less those that pass their input on. Of three axes the last holds the units, but after a module that
    works along one dimension (`torch.nn.Conv1d` and the like), where it is the second. Floats, bytes and truth values become the
    type of the weights; other whole numbers stay, as they are indices.
    """
    weight = next((each for each in module.parameters() if each.is_floating_point()), torch.zeros(()))
    if inputs.is_floating_point() or inputs.dtype in (torch.uint8, torch.bool):  # other whole numbers are indices
        inputs = inputs.to(weight.dtype)
    parts: list[list[np.ndarray]] = []
    names: list[str] = []
    with torch.no_grad(), frozen(module):
        for start in range(0, len(inputs), BATCH):
            batch = inputs[start : start + BATCH].to(weight.device)
            reader = _Reader(len(batch), layers)
            hooks = [
                part.register_forward_hook(lambda *call, name=name, keep=reader.hook: keep(name, *call))
                for name, part in module.named_modules()
                if name
            ]
            try:
                module(batch)
            finally:
                for each in hooks:
                    each.remove()
            found = [name if reader.calls[name] == 1 else f"{name}#{call}" for name, call, _ in reader.rows]
            wanted = [name for name in found if layers is None or name in layers or name.split("#")[0] in layers]
            if parts and wanted != names:
                message = "model takes another path for other inputs: its layers are not the same for all of them"
                raise WrongInput(message)
            names = wanted
            parts.append([row for name, (*_, row) in zip(found, reader.rows, strict=True) if name in wanted])
    absent = [name for name in layers or [] if name not in names and name not in {each.split("#")[0] for each in names}]
    if absent:
        message = f"layer {absent[0]!r} gave no tensor with a row a sample: leave it out of layers"
        raise WrongInput(message)
    kept = names if layers is not None else but_the_last(names)
    columns = [np.concatenate([part[number] for part in parts]) for number in range(len(kept))]
    units = tuple(Unit(name, unit) for name, rows in zip(kept, columns, strict=True) for unit in range(rows.shape[1]))
    samples = tuple(str(number) for number in range(len(inputs)))
    return Responses(np.concatenate(columns, axis=1).astype(np.float32), units, samples, ("",) * len(samples))


def but_the_last(names: list[str]) -> list[str]:
    """The names of hidden layers; raises `WrongInput` where there are none."""
    if len(names) < 2:
        message = f"model has {len(names)} layer, and the last is the output: name the layers of the map in layers"
        raise WrongInput(message)
    return names[:-1]
