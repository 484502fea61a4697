"""The responses of a `torch.nn.Module` to inputs of any shape, such as sequences, which no `Network` takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from neuronatlas.compat.scouting import Call, Place, Scout, shapes
from neuronatlas.errors import WrongInput
from neuronatlas.networks.modules import frozen
from neuronatlas.table import Responses
from neuronatlas.units import Unit

BATCH = 32
PROBES = (2, 3)
"""Samples that are shown to find which axis is theirs: that which is as long as these are many, both times."""


def record_module(module: nn.Module, inputs: Tensor, layers: list[str] | None) -> tuple[Responses, tuple[str, ...]]:
    """The mean over positions of what each of ``layers`` gives for each sample, the first axis of ``inputs``; and notes.

    ``layers`` are names of modules, or of one of their calls (``name#1``); None: every module but the last to give
    something, less those that pass their input on. The samples may lie along any axis of what a module gives, and what
    has no such axis is left out, of which a note tells. The units lie where `Scout` says. Floats, bytes and truth values
    become the type of the weights; other whole numbers stay, as they are indices.
    """
    weight = next((each for each in module.parameters() if each.is_floating_point()), torch.zeros(()))
    if inputs.is_floating_point() or inputs.dtype in (torch.uint8, torch.bool):  # other whole numbers are indices
        inputs = inputs.to(weight.dtype)
    with torch.no_grad(), frozen(module):
        scout = _scouted(module, [inputs[torch.arange(count) % len(inputs)].to(weight.device) for count in PROBES])
        plan = {
            call: place
            for call, place in scout.places.items()
            if (not place.passed_on if layers is None else call[0] in layers or scout.title(call) in layers)
        }
        names = [scout.title(call) for call in plan]
        absent = [name for name in layers or [] if not any(name in (call[0], scout.title(call)) for call in plan)]
        if absent:
            message = f"layer {absent[0]!r} gave no tensor with a row a sample: leave it out of layers"
            raise WrongInput(message)
        if layers is None:
            names = but_the_last(names)
            plan = dict(list(plan.items())[: len(names)])
        calls = {name: scout.calls[name] for name, _ in plan}
        parts = []
        for part in np.array_split(np.arange(len(inputs)), -(-len(inputs) // BATCH)):
            shown = part if len(part) > 1 else part.repeat(2)  # some modules drop an axis of one
            found = _read(module, inputs[torch.from_numpy(shown)].to(weight.device), plan, calls)
            parts.append([rows[: len(part)] for rows in found])
    columns = [np.concatenate(rows) for rows in zip(*parts, strict=True)]
    units = tuple(Unit(name, unit) for name, rows in zip(names, columns, strict=True) for unit in range(rows.shape[1]))
    samples = tuple(str(number) for number in range(len(inputs)))
    values = np.concatenate(columns, axis=1).astype(np.float32)
    return Responses(values, units, samples, ("",) * len(samples)), scout.notes(plan, every=layers is None)


def but_the_last(names: list[str]) -> list[str]:
    """The names of hidden layers; raises `WrongInput` where there are none."""
    if len(names) < 2:
        message = f"model has {len(names)} layer, and the last is the output: name the layers of the map in layers"
        raise WrongInput(message)
    return names[:-1]


def _scouted(module: nn.Module, probes: list[Tensor]) -> Scout:
    """What is to be read of each call, from two runs of different numbers of samples."""
    calls: Counter[str] = Counter()
    earlier: dict[Call, list[tuple[int, ...]]] = {}

    def note(name: str, output: object) -> None:
        earlier[name, calls[name]] = shapes(output)
        calls[name] += 1

    with ExitStack() as hooks:
        for name, part in _named(module):
            hooks.enter_context(part.register_forward_hook(lambda *call, name=name: note(name, call[2])))
        module(probes[0])
    scout = Scout(earlier, len(probes[0]), len(probes[1]))
    with ExitStack() as hooks:
        for name, part in _named(module):
            hooks.enter_context(part.register_forward_pre_hook(lambda *call: scout.enter(call[1])))
            hooks.enter_context(
                part.register_forward_hook(lambda *call, name=name: scout.leave(name, call[0], call[2]))
            )
        module(probes[1])
    return scout


def _read(module: nn.Module, batch: Tensor, plan: Mapping[Call, Place], calls: Mapping[str, int]) -> list[np.ndarray]:
    """One table of means (samples, units) a call of ``plan``, in its order; ``calls`` is how often each module runs."""
    found: dict[Call, np.ndarray] = {}
    count: Counter[str] = Counter()

    def keep(name: str, output: object) -> None:
        call = name, count[name]
        count[name] += 1
        if call in plan:
            place, leaves = plan[call], pytree.tree_leaves(output)
            means = place.means(leaves[place.leaf]) if place.leaf < len(leaves) else None
            if means is not None and len(means) == len(batch):
                found[call] = means

    with ExitStack() as hooks:
        for name, part in _named(module):
            if name in calls:
                hooks.enter_context(part.register_forward_hook(lambda *call, name=name: keep(name, call[2])))
        module(batch)
    if dict(count) != dict(calls) or len(found) != len(plan):
        message = "model takes another path for other inputs: its layers are not the same for all of them"
        raise WrongInput(message)
    return [found[call] for call in plan]


def _named(module: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, part) for name, part in module.named_modules() if name]
