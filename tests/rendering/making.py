"""What the tests of rendering share: comparing pictures, scoring them by hand, a loop of its own, broken networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from tests.networks import models
from torch import nn

from neuronatlas import objectives, rendering
from neuronatlas.networks.base import Network
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.rendering import Recipe, Rendering
from neuronatlas.rendering.loop import Loop
from neuronatlas.rendering.task import Job, Task


def equal(one: Rendering, other: Rendering) -> bool:
    """Bit by bit, the NaN of a curve included."""
    same = one.image.tobytes() == other.image.tobytes() and one.curve.tobytes() == other.curve.tobytes()
    return same and one.settings == other.settings and one.reason == other.reason


def scores_of(network: Network, layer: str, images: list[np.ndarray]) -> np.ndarray:
    """The mean of every unit for exactly these pictures."""
    stack = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in images])
    with torch.no_grad(), network.capture([layer]) as run:
        output = run(stack)[layer]
    return output.flatten(2).mean(2).numpy() if output.ndim == 4 else output.numpy()


def loop_of(network: Network, unit: str, recipe: Recipe, *, tile: int = 1, seed: int = 0) -> Loop:
    """A loop that is about to make the picture of one unit, whose numbers and draws are in its first row."""
    objective = objectives.unit(unit)
    fitted = rendering.fit_canvas(network, objective.layers, recipe)
    loop = Loop(Task(network, fitted, seed, objective.layers, tile, means=True, placed=False))
    loop._place(0, Job(0, objective, objective.name))
    return loop


def made_by(loop: Loop) -> Rendering:
    """The picture that such a loop makes."""
    ((_, made),) = loop.run(lambda: None)
    return made


def broken(value: float, unit: int = 2) -> nn.Module:
    """The plain network with one unit's weights of the second convolution set to a value."""
    module = models.plain()
    with torch.no_grad():
        module[3].weight[unit] = value  # type: ignore[index, operator]
    return module


def spoilt(unit: int = 2) -> TorchNetwork:
    """The plain network, one unit of whose second convolution is no number since it was made a network."""
    network = models.wrap(models.plain(), 32)
    with torch.no_grad():
        network.module[3].weight[unit] = torch.nan  # type: ignore[index, operator]
    return network


def hooks_of(module: nn.Module) -> int:
    """How many forward hooks there are on a module and its parts."""
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())


def explicit(recipe: Recipe) -> dict[str, object]:
    """Every field of a recipe as the changes that make it again of its preset."""
    changes = {name: getattr(recipe, name) for name in Recipe.__dataclass_fields__ if name != "preset"}
    assert replace(recipe, **changes) == recipe
    return changes


def wrap(module: nn.Module, size: int | tuple[int, int] = 32, channels: int = 3) -> TorchNetwork:
    """A module as a network of this many colours that normalises nothing."""
    from neuronatlas.networks import as_network

    flat = ((0.0,) * channels, (1.0,) * channels)
    network = as_network(module.eval(), input_size=size, normalise=flat)
    assert isinstance(network, TorchNetwork)
    return network
