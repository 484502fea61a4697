"""Convolutions joined with their rectifiers give the same values and gradients, and only what may be is joined."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.networks import models
from tests.networks.test_folding import both, twin_of
from torch import Tensor, nn

from neuronatlas.networks.folding import Overwriting
from neuronatlas.networks.joining import Joined, join
from neuronatlas.networks.modules import frozen

SETTINGS = [
    {"in_channels": 3, "out_channels": 8, "kernel_size": 3, "stride": 2, "padding": 1},
    {"in_channels": 3, "out_channels": 8, "kernel_size": 4, "stride": 2, "padding": 1},
    {"in_channels": 3, "out_channels": 8, "kernel_size": 11, "stride": 4, "padding": 2},
    {"in_channels": 1, "out_channels": 5, "kernel_size": (5, 2), "stride": 3},
    {"in_channels": 4, "out_channels": 6, "kernel_size": 2, "stride": 5, "padding": (3, 0), "bias": False},
    {"in_channels": 3, "out_channels": 6, "kernel_size": 3, "stride": (2, 1)},
    {"in_channels": 3, "out_channels": 6, "kernel_size": 3, "stride": 2, "dilation": 2},
    {"in_channels": 3, "out_channels": 6, "kernel_size": 3, "stride": 2, "groups": 3},
    {"in_channels": 7, "out_channels": 9, "kernel_size": 1},
    {"in_channels": 7, "out_channels": 9, "kernel_size": 1, "padding": 1},
    {"in_channels": 7, "out_channels": 9, "kernel_size": 1, "stride": 2},
    {"in_channels": 8, "out_channels": 8, "kernel_size": 5, "padding": 2, "groups": 8},
    {"in_channels": 8, "out_channels": 4, "kernel_size": 1, "groups": 2},
]


def runs(module: nn.Module) -> list[int]:
    """How many convolutions each run has."""
    return [len(part.steps) for part in module.modules() if isinstance(part, Joined)]


def sent(module: nn.Module, images: Tensor) -> Callable[[], list[Tensor]]:
    """What sends the first of these pictures through a module."""
    return lambda: [module(images[:1].clone().requires_grad_(True))]


def gradient(module: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """The output, and the gradient of a sum with weights of its own for each number."""
    given = images.clone().requires_grad_(True)
    made = module(given)
    weights = torch.randn(made.shape, generator=torch.Generator().manual_seed(3))
    return made.detach(), torch.autograd.grad((made * weights).sum(), given)[0]


@pytest.mark.parametrize("high", [None, 6.0, torch.inf])
@pytest.mark.parametrize("side", [23, 32])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(map(str, settings.values())))
def test_a_run_equals_its_parts_in_double_precision(settings: dict[str, int], side: int, high: float | None) -> None:
    """torch's own convolution and clamp in float64 are the reference; a second convolution makes the gradient ours."""
    first, second = nn.Conv2d(**settings), nn.Conv2d(settings["out_channels"], 3, 2)  # type: ignore[arg-type]
    parts = [first, *([] if high is None else [Overwriting(high)]), second]
    module = models.seeded(nn.Sequential(*parts, nn.Identity()))
    images = 3 * torch.rand((3, settings["in_channels"], side, side), generator=torch.Generator().manual_seed(1))

    def reference(given: Tensor) -> Tensor:
        weight, bias = (None if each is None else each.double() for each in (first.weight, first.bias))
        made = torch.conv2d(given.double(), weight, bias, first.stride, first.padding, first.dilation, first.groups)
        made = made if high is None else made.clamp(0, high)
        return torch.conv2d(made, second.weight.double(), second.bias.double())  # type: ignore[union-attr]

    expected = gradient(reference, images)
    with frozen(module):
        joined = join(module, sent(module, images), targets={str(len(parts))})
        found = gradient(module, images)
    assert joined == 2
    assert runs(module) == [2]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=1e-4, atol=1e-5 * float(other.abs().max()))


@pytest.mark.parametrize("count", [1, 3, 12])
def test_every_run_of_a_real_network_at_any_number_of_pictures(count: int) -> None:
    network = models.efficientnet()
    fast = twin_of(network, "blocks.9")
    assert runs(fast.module)[0] == 6  # the first block has no expansion and no skip
    images = torch.rand((count, 3, 80, 80), generator=torch.Generator().manual_seed(1))
    found = []
    for one in (network, fast):
        with one.capture(["blocks.9"], units=[5]) as run:
            found.append(gradient(lambda given, run=run: run(given)["blocks.9"], images))  # type: ignore[misc]
    for plain, joined in zip(*found, strict=True):
        apart = (joined - plain).flatten(1).abs().amax(1) / plain.flatten(1).abs().amax(1)
        assert (apart < 1e-4).double().mean() >= 0.75  # rounding takes some across a rectifier's corner


class Branching(nn.Module):
    """The rectified output goes on in two ways: through another convolution, and as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.third = nn.Conv2d(4, 4, 3)
        self.rectifier = nn.ReLU()  # one for both
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        once = self.rectifier(self.first(x))
        both = self.rectifier(self.second(once)) + once
        return self.third(both)


class Residual(nn.Module):
    """A block as torchvision writes it, overwriting all that it can."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first, self.second = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 1, 1)
        self.after, self.target = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.rectifier = nn.ReLU(inplace=True)
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        made = self.second(self.rectifier(self.first(x)))
        made += x
        return self.target(self.after(self.rectifier(made)))


class Patches(nn.Conv2d):
    """Pads its picture to a multiple of its stride."""

    def forward(self, x: Tensor) -> Tensor:
        stride = self.stride[0]
        x = nn.functional.pad(x, (0, -x.shape[3] % stride, 0, -x.shape[2] % stride))
        return torch.conv2d(x, self.weight, self.bias, self.stride)


class Mixed(nn.Module):
    """One rectifier three times, the last after a convolution that is not joined."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, padding="same")
        self.target = nn.Conv2d(4, 4, 1)
        self.rectifier = nn.ReLU()
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        for convolution in (self.first, self.second, self.last):
            x = self.rectifier(convolution(x))
        return self.target(x)


class Standardised(nn.Conv2d):
    """A convolution that makes its weights anew each time."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return torch.conv2d(x, weight, self.bias)


class Late(nn.Module):
    """One rectifier for two convolutions, the second of which is the target."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.between, self.target = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)
        self.rectifier = nn.ReLU()
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.between(self.rectifier(self.first(x)))
        return self.rectifier(self.target(x))


class Shared(nn.Module):
    """One rectifier after a plain convolution and after one that is none."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(3, 4, 3), Standardised(4, 4, 3), nn.Conv2d(4, 4, 3)
        self.target = nn.Conv2d(4, 4, 1)
        self.rectifier = nn.ReLU()
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.target(self.last(self.rectifier(self.second(self.rectifier(self.first(x))))))


def plain(*parts: nn.Module) -> nn.Module:
    return models.seeded(nn.Sequential(*parts))


@pytest.mark.parametrize(
    ("module", "layer", "expected"),
    [
        (Branching(), "third", [1, 1]),  # what is read twice ends a run, and adding up a gradient overwrites none
        (plain(Standardised(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)), "3", [1]),
        (
            plain(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)),
            "2",
            [1],
        ),
        (plain(nn.Conv2d(3, 4, 3, padding="same"), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)), "2", [1]),
        (plain(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)), nn.Conv2d(4, 4, 3)), "0", [2]),
        (Late(), "target", [2]),  # after the target is as good as never
        (Shared(), "target", [1, 1]),  # the rectifier stays, and overwrites what the first run made
        (Mixed(), "target", [1, 1]),
        (Residual(), "target", [1, 1, 1, 1]),
        (
            plain(nn.Conv2d(3, 8, 3), nn.Hardtanh(-8, 8, inplace=True), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)),
            "3",
            [1, 1],
        ),
        (plain(Patches(3, 4, 4, 4), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)), "2", [1]),
        (nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), "0", []),
    ],
    ids=[
        "branch",
        "own forward",
        "mirrored",
        "same",
        "a target of several parts",
        "one rectifier",
        "shared",
        "thrice",
        "residual",
        "changed",
        "patches",
        "made weights",
    ],
)
def test_what_is_joined_and_what_is_not(module: nn.Module, layer: str, expected: list[int]) -> None:
    if isinstance(module, nn.Conv2d):
        module = nn.Sequential(module, nn.ReLU())
    network = models.wrap(module)
    fast, slow, quick = both(network, layer, 32)
    assert fast is not network
    assert runs(fast.module) == expected
    torch.testing.assert_close(quick, slow, rtol=1e-4, atol=1e-5)
    images = torch.rand((4, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    found = []
    for one in (network, fast):
        with one.capture([layer]) as run:
            found.append(gradient(lambda given, run=run: run(given)[layer], images)[1])  # type: ignore[misc]
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)


def test_the_gradient_that_others_read_is_left_as_it_is() -> None:
    """A run that ends in a rectifier is given the gradient that a sum gives to both of its parts."""
    module = Branching()
    images = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(1))

    def both_ways(part: nn.Module, given: Tensor) -> Tensor:
        return given.repeat(1, 2, 1, 1)[:, :4] + part(given)

    run = plain(module.first, Overwriting(torch.inf), nn.Identity())
    expected = gradient(lambda given: both_ways(nn.Sequential(module.first, nn.ReLU()), given), images)
    with frozen(run):
        assert join(run, sent(run, images), targets={"2"}) == 1
        found = gradient(lambda given: both_ways(run, given), images)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_numbers_without_such_convolutions_are_left_alone() -> None:
    module = models.plain().double()
    assert join(module, sent(module, torch.rand((1, 3, 32, 32), dtype=torch.float64)), targets={"5"}) == 0


def test_a_network_whose_weights_broke_since_is_not_joined() -> None:
    """A rectifier within a convolution may make nought of what is no number."""
    module = models.plain()
    network = models.wrap(module)
    module[3].weight.data[0] = torch.nan  # type: ignore[index, union-attr, operator]
    assert runs(twin_of(network, "5").module) == []
