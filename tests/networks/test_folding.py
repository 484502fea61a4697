"""The accelerated network equals the given one up to its layer, or is the given one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.networks import models
from torch import Tensor, nn

from neuronatlas.networks.folding import Passed
from neuronatlas.networks.torch import TorchNetwork


def batch_norms(network: TorchNetwork) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for part in network.module.modules())


def twin_of(network: TorchNetwork, layer: str) -> TorchNetwork:
    (fast,) = network.accelerated([layer])
    assert isinstance(fast, TorchNetwork)
    return fast


def both(network: TorchNetwork, layer: str, size: int) -> tuple[TorchNetwork, Tensor, Tensor]:
    fast = twin_of(network, layer)
    images = torch.rand((3, 3, size, size), generator=torch.Generator().manual_seed(5))
    with torch.no_grad(), network.capture([layer]) as slow_run, fast.capture([layer]) as fast_run:
        return fast, slow_run(images)[layer], fast_run(images)[layer]


@pytest.mark.parametrize(
    ("layer", "left"),
    [("blocks.2", 0), ("blocks.4.depthwise_conv", 1), ("blocks.6.bn1", 0), ("blocks.9.swish#1", 0), ("fc", 0)],
)
def test_equal_within_rounding_at_every_kind_of_layer(layer: str, left: int) -> None:
    network = models.efficientnet()
    fast, slow, quick = both(network, layer, 96)
    assert fast is not network
    assert batch_norms(fast) == left  # only that after a convolution which is itself the target
    assert batch_norms(network) == 49
    torch.testing.assert_close(quick, slow, rtol=1e-4, atol=2e-5 * float(slow.abs().max()))


def test_gradients_are_equal_too() -> None:
    network = models.wrap(models.plain(), 32)
    fast = twin_of(network, "5")
    found = []
    for one in (network, fast):
        images = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(5)).requires_grad_(True)
        with one.capture(["5"]) as run:
            found.append(torch.autograd.grad(run(images)["5"].square().sum(), images)[0])
    assert fast is not network
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


class Twice(nn.Module):
    """Uses the convolution's output before and after its batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm, self.last = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(x)
        return self.last(x + self.norm(x))


class Scaled(nn.Conv2d):
    """A convolution that uses its weights in a way of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 3 + 1


def test_refused_exactly_when_a_convolution_is_used_twice() -> None:
    network = models.wrap(Twice())
    assert twin_of(network, "last") is network
    assert twin_of(network, "convolution") is not network  # the fold lies behind the target


def test_refused_when_a_convolution_has_its_own_ways() -> None:
    network = models.wrap(models.seeded(nn.Sequential(Scaled(3, 4, 3), nn.BatchNorm2d(4))))
    assert twin_of(network, "1") is network


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm"])
def test_reparametrised_weights_are_no_obstacle(norm: str) -> None:
    parametrise = getattr(nn.utils.parametrizations, norm)
    module = models.seeded(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)))
    parametrise(module[0])  # type: ignore[index]
    fast, slow, quick = both(models.wrap(module), "3", 32)
    torch.testing.assert_close(quick, slow, rtol=1e-4, atol=1e-5)
    assert batch_norms(fast) == 1  # the plain one is folded


def test_a_module_that_cannot_be_copied_is_used_as_it_is() -> None:
    module = models.plain()
    module.cache = torch.ones(1, requires_grad=True) * 2  # type: ignore[assignment]  # Python cannot copy its past
    network = models.wrap(module)
    assert twin_of(network, "5") is network


def test_batch_norms_without_statistics_or_weights() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4, affine=False),
        nn.Conv2d(4, 4, 3),
        nn.BatchNorm2d(4, track_running_stats=False),
    )
    with torch.no_grad():
        module[1].running_mean += 0.3  # type: ignore[operator]
    network = models.wrap(module)
    fast, slow, quick = both(network, "2", 32)
    torch.testing.assert_close(quick, slow, rtol=1e-4, atol=1e-4)
    assert batch_norms(fast) == 1  # the one without statistics
    assert list(network.unusable) == ["3"]  # it answers to the whole batch


def test_a_shared_convolution_is_left_alone() -> None:
    class Again(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.one, self.two = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
            models.seeded(self)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(self.convolution(self.one(self.convolution(x))))

    network = models.wrap(Again())
    fast, slow, quick = both(network, "two", 32)
    assert fast is not network  # left alone, not folded and then refused
    torch.testing.assert_close(quick, slow, rtol=1e-4, atol=1e-5)
    assert batch_norms(fast) == 2


def test_the_network_given_is_not_changed() -> None:
    module = models.plain()
    network = models.wrap(module)
    module.train()
    before = network.fingerprint
    formats = [weight.stride() for weight in module.parameters()]
    assert twin_of(network, "5") is not network
    assert models.wrap(module).fingerprint == before
    assert [weight.stride() for weight in module.parameters()] == formats


# The copies are those of the weights, parts and hooks that there are now.


def reverse(module: nn.Module) -> None:
    module[0].weight.data.neg_()  # type: ignore[index, operator]  # no version counter sees it


def shift(module: nn.Module) -> None:
    with torch.no_grad():
        module[4].running_mean += 1  # type: ignore[index, operator]


def change(module: nn.Module) -> None:
    module[2] = nn.Tanh()  # type: ignore[index, operator]


def stretch(module: nn.Module) -> None:
    module[3].dilation = (2, 2)  # type: ignore[index, assignment]
    module[3].padding = (2, 2)  # type: ignore[index, assignment]


def ablate(module: nn.Module) -> None:
    module[2].register_forward_hook(lambda _, __, output: output * (torch.arange(8) != 3).view(-1, 1, 1))  # type: ignore[index, operator]


@pytest.mark.parametrize("edit", [reverse, shift, change, stretch, ablate])
def test_copies_are_made_anew_when_the_network_changes(edit: Callable[[nn.Module], None]) -> None:
    module = models.plain()
    network = models.wrap(module)
    first = twin_of(network, "5")
    assert twin_of(network, "5") is first
    _, before, _ = both(network, "5", 32)
    edit(module)
    fast, slow, quick = both(network, "5", 32)
    assert fast is not first
    assert float((slow - before).abs().max()) > 0.1
    torch.testing.assert_close(quick, slow, rtol=1e-4, atol=1e-5)
    assert twin_of(network, "5") is fast


def test_buffers_that_are_not_saved_count() -> None:
    class Gained(nn.Module):
        gain: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("gain", torch.ones(1), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            return x * self.gain

    module = nn.Sequential(models.plain(), Gained())
    network = models.wrap(module)
    twin_of(network, "1")
    module[1].gain.fill_(2.0)  # type: ignore[union-attr, operator]
    _, slow, quick = both(network, "1", 32)
    torch.testing.assert_close(quick, slow, rtol=1e-4, atol=1e-5)


def test_several_copies_share_no_weight() -> None:
    network = models.wrap(models.plain())
    copies = network.accelerated(["5"], copies=3)
    assert len({id(one) for one in copies}) == 3
    weights = [weight.data_ptr() for one in (network, *copies) for weight in one.module.parameters()]  # type: ignore[attr-defined]
    assert len(set(weights)) == len(weights)
    assert network.accelerated(["5"], copies=2) == copies[:2]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_copies_made_where_gradients_are_off_have_gradients(mode: Callable[[], torch.no_grad]) -> None:
    network = models.wrap(models.plain(), 32)
    with mode():
        fast = twin_of(network, "5")
    images = torch.rand((1, 3, 32, 32)).requires_grad_(True)
    with fast.capture(["5"], units=[1]) as run:
        run(images)["5"].sum().backward()
    assert fast is not network
    assert images.grad is not None


@pytest.mark.parametrize("layer", ["5", "3"])
def test_rectifiers_overwrite_what_nobody_needs_and_padding_is_part_of_its_convolution(layer: str) -> None:
    module = nn.Sequential(
        nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU6(), nn.Conv2d(4, 4, 1), nn.ReLU()
    )
    network = models.wrap(models.seeded(module))
    fast, slow, quick = both(network, layer, 32)
    torch.testing.assert_close(quick, slow, rtol=1e-4, atol=1e-5)
    kinds = [type(part).__name__ for part in fast.module.children()]
    assert kinds[:3] == ["Passed", "Conv2d" if layer == "3" else "Joined", "Passed"]
    assert kinds[3] == ("ReLU6" if layer == "3" else "Passed")
    assert kinds[5] == ("ReLU" if layer == "5" else "Overwriting")


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("sides", [(0, 1, 0, 1), (1, 0, 0, 1), (2, 1, 1, 1), (1, 2, 3, 2)])
def test_uneven_padding_is_part_of_its_convolution(sides: tuple[int, int, int, int], stride: int) -> None:
    module = nn.Sequential(
        nn.ZeroPad2d(sides), nn.Conv2d(3, 6, (3, 2), stride, groups=3), nn.ReLU(), nn.Conv2d(6, 4, 1)
    )
    network = models.wrap(models.seeded(module))
    for side in (32, 31):
        fast, slow, quick = both(network, "3", side)
        torch.testing.assert_close(quick, slow, rtol=1e-4, atol=1e-5)
    assert isinstance(fast.module.get_submodule("0"), Passed)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.ZeroPad2d((0, 2, 0, 1)), nn.Conv2d(3, 4, 3)),
        nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 4, 3, dilation=2)),
        nn.Sequential(nn.Conv2d(3, 8, 1), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(8, 4, 3)),
        nn.Sequential(nn.ZeroPad2d(-1), nn.Conv2d(3, 4, 3)),
    ],
    ids=["two rows more", "dilated", "many inputs", "cropping"],
)
def test_padding_that_would_cost_more_weights_than_it_saves_stays(module: nn.Sequential) -> None:
    network = models.wrap(models.seeded(nn.Sequential(*module, nn.ReLU())))
    fast, slow, quick = both(network, str(len(module)), 32)
    torch.testing.assert_close(quick, slow, rtol=1e-4, atol=1e-5)
    assert any(isinstance(part, nn.ZeroPad2d) for part in fast.module.modules())
