"""Receptive fields by NaN against two slow ways: arithmetic, and the gradient of every column."""

from __future__ import annotations

import copy
from functools import partial
from itertools import pairwise

import pytest
import torch
from tests.networks import models
from tests.reference import receptive_field
from torch import Tensor, nn

from neuronatlas.networks.base import Capture, InputSpec
from neuronatlas.networks.torch import TorchNetwork


def test_a_plain_stack_agrees_with_arithmetic() -> None:
    steps = [(7, 2), (3, 2), (3, 1), (5, 2), (3, 1)]
    channels = [3, 4, 4, 5, 6, 3]
    parts = [
        nn.Conv2d(before, after, kernel, stride, kernel // 2)
        for (before, after), (kernel, stride) in zip(pairwise(channels), steps, strict=True)
    ]
    parts[1] = nn.MaxPool2d(3, 2, 1)  # type: ignore[call-overload]
    network = models.wrap(models.seeded(nn.Sequential(*parts)), (40, 160))
    expected = {str(index): receptive_field.of_stack(steps[: index + 1]) for index in range(len(steps))}
    assert network.receptive_fields(expected) == expected


def output_of(run: Capture, layer: str, images: Tensor) -> Tensor:
    return run(images)[layer]


def test_the_real_network_agrees_with_the_gradient_of_every_column() -> None:
    real = models.efficientnet()
    spec = InputSpec((48, 95), real.input.mean, real.input.std)
    network = TorchNetwork(real.module, input=spec, rename=real._rename)
    layers = ["stem", "blocks.1", "blocks.2.depthwise_conv", "blocks.4", "blocks.6.project_conv"]
    double = TorchNetwork(copy.deepcopy(real.module).double(), input=spec, rename=real._rename)
    double.__dict__["_table"] = network._table
    expected = {}
    for layer in layers:
        with double.capture([layer]) as run:
            expected[layer] = receptive_field.by_gradient(partial(output_of, run, layer), spec.size)
    assert network.receptive_fields(iter(layers)) == expected
    assert len(set(expected.values())) >= 4


def test_what_sees_everything_has_the_width_of_the_input() -> None:
    class Global(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * x.mean((2, 3), keepdim=True)

    stack = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Global(), nn.Flatten(), nn.Linear(4 * 16 * 40, 2))
    network = models.wrap(stack, (16, 40))
    assert network.receptive_fields(["0", "1", "3"]) == {"0": 3, "1": 40, "3": 40}


@pytest.mark.parametrize("function", [torch.nan_to_num, lambda x: (x > 0).float(), torch.zeros_like])
def test_a_field_that_cannot_be_found_is_the_width_of_the_input(function: object) -> None:
    class Opaque(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return function(x)  # type: ignore[operator]

    network = models.wrap(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Opaque()), (16, 40))
    assert network.receptive_fields(["1"]) == {"1": 40}
