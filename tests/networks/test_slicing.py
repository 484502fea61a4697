"""Some units of a layer alone equal those units of the whole layer, and cost less."""

from __future__ import annotations

import pytest
import torch
from tests.networks import models
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from neuronatlas.networks.torch import TorchNetwork

KINDS = {
    "block": "blocks.1",  # the output of its batch norm
    "block with a shortcut": "blocks.2",
    "depthwise convolution": "blocks.4.depthwise_conv",
    "batch norm": "blocks.6.bn1",
    "rectifier": "blocks.9.swish#1",
    "convolution": "blocks.12.expand_conv",
    "last convolution": "conv_head",
    "dense": "fc",
}


def twin_of(network: TorchNetwork, layer: str) -> TorchNetwork:
    (twin,) = network.accelerated([layer])
    assert isinstance(twin, TorchNetwork)
    assert twin is not network
    return twin


def values_and_slope(network: TorchNetwork, layer: str, units: list[int], *, part: bool, size: int) -> list[Tensor]:
    """The outputs of these units, and the gradient of a weighed sum of them in the pictures."""
    images = torch.rand((2, 3, size, size), generator=torch.Generator().manual_seed(5)).requires_grad_(True)
    with network.capture([layer], units=units if part else None) as run:
        output = run(images)[layer]
        chosen = output if part else output[:, units]
        weights = torch.randn(chosen.shape, generator=torch.Generator().manual_seed(6))
        return [chosen.detach(), torch.autograd.grad((chosen * weights).sum(), images)[0]]


@pytest.mark.parametrize("layer", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("accelerated", [True, False])
def test_units_alone_equal_those_of_the_whole_layer(layer: str, accelerated: bool) -> None:
    network = models.efficientnet()
    last = network.layer(layer).units - 1
    units = [0, 7, last, 7, 3]
    one = twin_of(network, layer) if accelerated else network
    expected = values_and_slope(network, layer, units, part=False, size=96)
    for found, right in zip(values_and_slope(one, layer, units, part=True, size=96), expected, strict=True):
        assert found.shape == right.shape
        torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-4 * float(right.abs().max()))
    assert float(expected[0][:, 1].std()) > 0


@pytest.mark.parametrize("layer", KINDS.values(), ids=KINDS)
def test_weights_are_whole_again_afterwards(layer: str) -> None:
    twin = twin_of(models.efficientnet(), layer)
    state = {name: value.clone() for name, value in twin.module.state_dict().items()}
    counts = [
        (getattr(part, "groups", 0), getattr(part, "out_channels", 0), getattr(part, "in_channels", 0))
        for part in twin.module.modules()
    ]
    with pytest.raises(ArithmeticError), twin.capture([layer], units=[1, 2]):
        raise ArithmeticError
    after = twin.module.state_dict()
    assert list(after) == list(state)
    assert all(torch.equal(value, state[name]) for name, value in after.items())
    assert counts == [
        (getattr(part, "groups", 0), getattr(part, "out_channels", 0), getattr(part, "in_channels", 0))
        for part in twin.module.modules()
    ]


def additions(network: TorchNetwork, layer: str, units: list[int] | None, part: str) -> int:
    """The floating-point operations of one part in one forward and backward pass."""
    images = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(5)).requires_grad_(True)
    with FlopCounterMode(display=False) as counter, network.capture([layer], units=units) as run:
        run(images)[layer].sum().backward()
    counts = counter.get_flop_counts()
    (found,) = [sum(by.values()) for name, by in counts.items() if name.endswith("." + part)]
    return found


@pytest.mark.parametrize(
    ("layer", "part", "units", "times"),
    [
        ("conv_head", "_conv_head", [3, 900, 17, 4], 300),
        ("blocks.15.bn2", "_blocks.15._project_conv", [3, 90, 17, 4], 40),
        ("blocks.4.bn1", "_blocks.4._depthwise_conv", [3, 90, 17, 4], 10),
        ("blocks.4.bn1", "_blocks.4._expand_conv", [3, 90, 17, 4], 10),
        ("fc", "_fc", [3, 900, 17, 4], 200),
    ],
)
def test_some_units_cost_less_than_all(layer: str, part: str, units: list[int], times: int) -> None:
    twin = twin_of(models.efficientnet(), layer)
    whole, some = additions(twin, layer, None, part), additions(twin, layer, units, part)
    assert some > 0
    assert whole >= times * some


def test_gradients_pass_a_silent_rectifier_of_units_alone() -> None:
    """With ``wake`` as without it, cut or whole."""
    module = nn.Sequential(models.seeded(nn.Conv2d(3, 6, 3)), nn.ReLU())
    with torch.no_grad():
        module[0].bias.fill_(-50.0)  # type: ignore[union-attr, operator]
    network = models.wrap(module, 16)
    twin = twin_of(network, "1")
    assert twin.cones
    slopes = []
    for one, units in ((network, None), (network, [2, 4]), (twin, None), (twin, [2, 4])):
        images = torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(5)).requires_grad_(True)
        with one.capture(["1"], wake=True, units=units) as run:
            output = run(images)["1"]
        assert output.abs().max() == 0
        slopes.append(torch.autograd.grad((output if units else output[:, [2, 4]]).sum(), images)[0])
    assert slopes[0].abs().max() > 0.1
    for slope in slopes[1:]:
        torch.testing.assert_close(slope, slopes[0], rtol=1e-4, atol=1e-5)


class Shuffled(nn.Module):
    """Mixes its channels behind a convolution's back."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flip(1)


class Used(nn.Module):
    """Uses a convolution's output twice, the second time around the batch norm that is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(self.norm(x) + x)


@pytest.mark.parametrize(
    ("module", "layer"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), Shuffled(), nn.BatchNorm2d(4)), "2"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), Shuffled()), "1"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)), "1"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softmax(1)), "1"),
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=4)), "1"),
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 16, 3, groups=8)), "1"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.PReLU(4)), "1"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 14 * 14, 6), nn.Tanh()), "3"),
        (Used(), "norm"),
        (models.Shared(), "rectifier#1"),
        (nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), ""),
    ],
    ids=[
        "between",
        "mixing",
        "group norm",
        "softmax",
        "groups",
        "multiplier",
        "prelu",
        "tanh",
        "twice",
        "shared",
        "norm",
    ],
)
def test_what_cannot_be_cut_is_right_all_the_same(module: nn.Module, layer: str) -> None:
    if not layer:
        module, layer = nn.Sequential(module, nn.ReLU()), "0"
    network = models.wrap(models.seeded(module), 16)
    (twin,) = network.accelerated([layer])
    last = network.layer(layer).units - 1
    expected = values_and_slope(network, layer, [last, 0], part=False, size=16)
    for one in (network, twin):
        assert isinstance(one, TorchNetwork)
        for found, right in zip(values_and_slope(one, layer, [last, 0], part=True, size=16), expected, strict=True):
            torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-4 * float(right.abs().max()))


def test_tokens_have_their_units_in_the_last_axis() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = nn.Linear(3, 7)

        def forward(self, x: Tensor) -> Tensor:
            return self.part(x.flatten(2).mT)

    network = models.wrap(models.seeded(Tokens()), 8)
    (twin,) = network.accelerated(["part"])
    images = torch.rand((2, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), network.capture(["part"]) as run:
        whole = run(images)["part"]
    for one in (network, twin):
        with torch.no_grad(), one.capture(["part"], units=[6, 2]) as run:
            torch.testing.assert_close(run(images)["part"], whole[..., [6, 2]])
