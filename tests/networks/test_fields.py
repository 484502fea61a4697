"""What every position of a map sees, by NaN, against the slow way: the gradient of that position alone."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from tests.networks import models
from torch import Tensor, nn

from neuronatlas.networks.base import InputSpec, Network
from neuronatlas.networks.fields import fields_of
from neuronatlas.networks.torch import TorchNetwork

STACKS = {
    "padded": nn.Sequential(nn.Conv2d(3, 4, 5, 2, 2), nn.Conv2d(4, 6, 3, 2, 1)),
    "unpadded": nn.Sequential(nn.Conv2d(3, 4, 4, 3), nn.Conv2d(4, 6, 3, 2)),  # the last columns are seen by nothing
    "oblong and dilated": nn.Sequential(nn.Conv2d(3, 4, (1, 5), (1, 2), (0, 2)), nn.Conv2d(4, 6, 3, 1, 2, dilation=2)),
    "with gaps": nn.Sequential(nn.Conv2d(3, 4, 1, 2), nn.Conv2d(4, 6, 3, 1, 1)),
    "up again": nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Upsample(scale_factor=2), nn.Conv2d(4, 6, 3)),
}


Box = tuple[int, int, int, int]


def by_gradient(network: Network, layer: str, places: Iterable[tuple[int, ...]], *, pictures: int = 1) -> list[Box]:
    """For each position the box of all pixels with any gradient; several random pictures open what rectifiers shut."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((pictures, 3, *network.input.size), generator=generator).double().requires_grad_(True)
    with network.capture([layer]) as run:
        output = run(images)[layer]
    boxes = []
    for row, column in places:
        weights = torch.rand(output.shape[:2], generator=generator, dtype=torch.float64)
        (gradient,) = torch.autograd.grad((output[..., row, column] * weights).sum(), images, retain_graph=True)
        rows, columns = (gradient.abs().amax((0, 1)).amax(axis).nonzero().flatten().tolist() for axis in (1, 0))
        boxes.append((rows[0], columns[0], rows[-1] + 1, columns[-1] + 1))
    return boxes


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_every_position_of_a_stack(stack: nn.Module) -> None:
    module = models.seeded(stack)
    network = models.wrap(module, (15, 22))
    double = models.wrap(copy.deepcopy(module).double(), (15, 22))
    fields = fields_of(network, network.layers)
    for layer in network.layers.values():
        found = fields[layer.name]
        assert found is not None
        places = list(np.ndindex(*layer.shape[1:]))
        assert [found.box(*place) for place in places] == by_gradient(double, layer.name, places)


def test_a_real_network() -> None:
    real = models.efficientnet()
    spec = InputSpec((64, 95), real.input.mean, real.input.std)
    network = TorchNetwork(real.module, input=spec, rename=real._rename)
    double = TorchNetwork(copy.deepcopy(real.module).double(), input=spec, rename=real._rename)
    double.__dict__["_table"] = network._table
    fields = fields_of(network, ["stem", "blocks.2"])
    for layer in ("stem", "blocks.2"):
        height, width = network.layer(layer).shape[1:]
        found = fields[layer]
        assert found is not None
        places = [(0, 0), (height // 2, width // 2), (height - 1, 1), (2, width - 1)]
        assert [found.box(*place) for place in places] == by_gradient(double, layer, places, pictures=8)
        middle = found.columns[width // 2]
        assert middle[1] - middle[0] == network.receptive_fields([layer])[layer]


def test_there_is_none_without_a_map_and_where_all_is_seen_or_nan_is_hidden() -> None:
    class Global(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * x.mean((2, 3), keepdim=True)

    class Opaque(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.nan_to_num(x)

    stack = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Global(), Opaque(), nn.Flatten(), nn.Linear(4 * 16 * 20, 2))
    network = models.wrap(models.seeded(stack), (16, 20))
    found = fields_of(network, network.layers)
    assert [name for name, fields in found.items() if fields is not None] == ["0"]
    assert {"0", "1", "2", "4"} <= set(found)
    assert fields_of(network, ["4"]) == {"4": None}
