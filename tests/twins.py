"""A network and its twin, which has the same units in another order, and atlases of both over stimuli that they half share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from neuronatlas import stimuli
from neuronatlas.atlas import Atlas
from neuronatlas.building import perform, prepare
from neuronatlas.networks import Network, as_network
from neuronatlas.stimuli import StimulusSet

HOSTILE_LAYER = "<img src=x onerror=owned=1>\u2028"
LAYERS = ("first", HOSTILE_LAYER)
HOSTILE_STIMULUS = "</script><svg onload=window.owned=1> \u2028\"'& 100%"
CONSTANT = 3
"""The first layer's unit that answers to nothing."""
ORDERS = (np.random.default_rng(2).permutation(12), np.random.default_rng(3).permutation(16))
"""Of each unit of a layer of the twin, which unit of the network it is."""
ORDER = np.concatenate([ORDERS[0], 12 + ORDERS[1]])
SHARED = 36


def network(*, twin: bool = False) -> Network:
    """Two convolutions, of 12 and 16 units."""
    random = torch.Generator().manual_seed(11)
    first, second = torch.nn.Conv2d(3, 12, 5, stride=2), torch.nn.Conv2d(12, 16, 3)
    with torch.no_grad():
        for weight in (*first.parameters(), *second.parameters()):
            weight.copy_(torch.randn(weight.shape, generator=random) / max(1, weight[0].numel()) ** 0.5)
        first.weight[CONSTANT] = 0
        if twin:
            one, two = (torch.from_numpy(order) for order in ORDERS)
            for weight, value in (
                (first.weight, first.weight[one]),
                (first.bias, first.bias[one]),
                (second.weight, second.weight[two][:, one]),
                (second.bias, second.bias[two]),
            ):
                weight.copy_(value.clone())
    module = torch.nn.Sequential()
    module.add_module("first", first)
    module.add_module("between", torch.nn.ReLU())
    module.add_module(HOSTILE_LAYER, second)
    return as_network(module.eval(), input_size=32, normalise="0..1", name="twin")


def pictures(start: int, stop: int) -> StimulusSet:
    """Crops of photographs, one of them under a name that means harm."""
    items = stimuli.photographs().items
    named = [replace(item, name=HOSTILE_STIMULUS) if number == 10 else item for number, item in enumerate(items)]
    return StimulusSet(tuple(named[start:stop]))


def build(folder: Path) -> tuple[Atlas, Atlas]:
    """The atlases of the network and of its twin, of 40 stimuli each; the last 36 of the one are the first of the other."""
    made = []
    for number, name in enumerate(("one", "other")):
        job = prepare(network(twin=bool(number)), pictures(4 * number, 4 * number + 40), layers=LAYERS, units=0)
        made.append(perform(job, folder / f"{name}.atlas"))
    return made[0], made[1]
