"""The torch adapter against the faults and habits of real modules; each test is named after its case of the plan."""

from __future__ import annotations

import hashlib
from collections import namedtuple
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from tests.networks import models
from torch import Tensor, nn

from neuronatlas.errors import NeuronAtlasError, WrongInput
from neuronatlas.networks.torch import TorchNetwork


def hooks_left(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())


def state(module: nn.Module) -> str:
    total = hashlib.sha256()
    for name, value in module.state_dict().items():
        total.update(name.encode() + value.numpy().tobytes())
    return total.hexdigest()


@pytest.fixture
def pictures(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def test_m1_train_mode_is_set_aside_and_restored(pictures: np.ndarray) -> None:
    module = nn.Sequential(models.plain(), nn.Dropout(0.5), nn.Conv2d(8, 4, 1))
    network = models.wrap(module)
    module.train()
    module[0][1].eval()  # a part that its owner keeps at rest
    modes = [part.training for part in module.modules()]
    first, second = (network.respond(pictures, ["2"])["2"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert [part.training for part in module.modules()] == modes


def test_m2_statistics_of_batch_norms_stay() -> None:
    module = models.plain().train()
    before = state(module)
    network = models.wrap(module)
    module.train()
    network.receptive_fields(["3"])
    with network.capture(["5"]) as run:
        run(torch.rand(2, 3, 32, 32))
    network.accelerated("5")
    assert state(module) == before


def test_m3_nothing_is_left_behind_after_an_exception() -> None:
    module = nn.Sequential(models.plain(), nn.ReLU(inplace=True), models.fixed())
    module[2][0] = nn.Conv2d(8, 6, 3, padding=1)
    network = models.wrap(module, 32)
    module.train()
    module[0][0].weight.requires_grad_(False)
    learning = [weight.requires_grad for weight in module.parameters()]

    def fail() -> None:
        with network.capture(["2.3", "1"], wake=True) as run:
            assert not any(weight.requires_grad for weight in module.parameters())
            assert not any(part.training for part in module.modules())
            assert not module[1].inplace
            assert hooks_left(module) == 2
            run(torch.rand(1, 3, 40, 40))

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        fail()
    assert hooks_left(module) == 0
    assert all(part.training for part in module.modules())
    assert [weight.requires_grad for weight in module.parameters()] == learning
    assert module[1].inplace


def test_m4_values_are_those_before_an_operation_in_place() -> None:
    module = models.Hooked(nn.ReLU(inplace=True))
    network = models.wrap(module)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad(), network.capture(["convolution", "after"]) as run:
        seen = run(images)
        expected = module.convolution(images)
    assert seen["convolution"].min() < 0
    torch.testing.assert_close(seen["convolution"], expected, rtol=0, atol=0)
    torch.testing.assert_close(seen["after"], expected.relu(), rtol=0, atol=0)


def test_m5_calls_of_a_shared_module_are_numbered() -> None:
    module = models.Shared()
    network = models.wrap(module)
    assert list(network.layers) == ["first", "rectifier#0", "second", "rectifier#1"]
    assert [network.layers[f"rectifier#{call}"].units for call in (0, 1)] == [4, 5]
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad(), network.capture(["rectifier#1", "rectifier#0"]) as run:
        seen = run(images)
        again = run(images)  # the count starts anew
    first = module.first(images).relu()
    torch.testing.assert_close(seen["rectifier#0"], first)
    torch.testing.assert_close(seen["rectifier#1"], module.second(first).relu())
    torch.testing.assert_close(again["rectifier#1"], seen["rectifier#1"])
    assert list(seen) == ["rectifier#1", "rectifier#0"]


Pair = namedtuple("Pair", "low high")


class Giving(nn.Module):
    """Gives what a function makes of its input."""

    def __init__(self, make: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: Tensor) -> object:
        return self.make(x)


def test_m6_nested_outputs_are_addressed_by_their_path() -> None:
    def make(x: Tensor) -> object:
        return {"features": [x + 1, x[:, :2]], "pooled": x.mean((2, 3)), "pair": Pair(x * 2, x * 3)}

    network = models.wrap(models.Returning(Giving(make)))
    places = ["part.features.0", "part.features.1", "part.pooled", "part.pair.low", "part.pair.high"]
    assert set(network.layers) == {"stem", *places}
    assert network.layers["part.features.1"].units == 2
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad(), network.capture([*places, "stem"]) as run:
        seen = run(images)
    torch.testing.assert_close(seen["part.features.0"], seen["stem"] + 1)
    torch.testing.assert_close(seen["part.pooled"], seen["stem"].mean((2, 3)))
    torch.testing.assert_close(seen["part.pair.high"], seen["stem"] * 3)


class Several(nn.Sequential):
    """Gives the outputs of all its children, under the children's own numbers."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [child(x) * 10 for child in self]


def test_m6_a_path_never_takes_the_name_of_a_submodule() -> None:
    module = models.Returning(Several(nn.Conv2d(4, 2, 1), nn.Conv2d(4, 3, 1)))
    network = models.wrap(module)
    assert len(network.layers) == 5
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad(), network.capture(["part.0", "part#0.0"]) as run:
        seen = run(images)
    torch.testing.assert_close(seen["part.0"] * 10, seen["part#0.0"])


@pytest.mark.parametrize(
    ("make", "place", "reason"),
    [
        (lambda x: "text", "part", "its output is a str, not a tensor"),
        (lambda x: (x + 1, None), "part.1", "its output is a NoneType, not a tensor"),
        (lambda x: x.argmax(1), "part", r"shape \(1, 32, 32\) and type torch.int64"),
        (lambda x: x.mean(), "part", r"shape \(\)"),
        (lambda x: x[:, :, None, None] + 1, "part", r"shape \(1, 4, 1, 1, 32, 32\)"),
        (lambda x: x.flatten(2).permute(2, 0, 1) + 1, "part", r"shape \(1024, 1, 4\).*first axis is not the pictures"),
    ],
)
def test_m7_outputs_without_units_are_listed_with_the_reason(
    make: Callable[[Tensor], object], place: str, reason: str
) -> None:
    network = models.wrap(models.Returning(Giving(make)))
    assert place not in network.layers
    with pytest.raises(WrongInput, match=f"layer '{place}' cannot be used: .*{reason}"):
        network.layer(place)


def test_m10_a_compiled_module_is_unwrapped() -> None:
    module = models.plain()
    network = models.wrap(torch.compile(module, backend="eager"))  # type: ignore[arg-type]
    assert network.module is module
    assert list(network.layers) == ["0", "1", "2", "3", "4", "5"]


def test_m14_a_call_that_does_not_happen_is_an_error_that_says_so() -> None:
    class Fickle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.always, self.sometimes = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            dark = x.mean() <= 0.5
            x = self.always(x)
            return self.sometimes(x) if dark else x

    network = models.wrap(Fickle())
    with network.capture(["always", "sometimes"]) as run:
        assert set(run(torch.full((1, 3, 32, 32), 0.2))) == {"always", "sometimes"}
        with pytest.raises(NeuronAtlasError, match="layer 'sometimes' was not reached in this forward pass"):
            run(torch.full((1, 3, 32, 32), 0.9))


def test_m20_data_parallel_is_unwrapped() -> None:
    module = models.plain()
    assert models.wrap(nn.DataParallel(module)).module is module


def test_a_convolution_with_children_is_a_layer() -> None:
    network = models.efficientnet()
    stem = network.module.get_submodule("_conv_stem")
    assert list(stem.children())
    assert network.layer("conv_stem").kind == "convolution"
    kinds = [layer.kind for layer in network.layers.values()]
    convolutions = [part for part in network.module.modules() if isinstance(part, nn.Conv2d)]
    assert kinds.count("convolution") == len(convolutions)


def test_what_only_copies_is_no_layer() -> None:
    network = models.wrap(nn.Sequential(models.plain(), nn.Identity(), nn.Dropout(), nn.ZeroPad2d(1), nn.Flatten()))
    assert list(network.layers) == ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0"]


class PaddedConv2d(nn.Conv2d):
    """A convolution that pads by itself."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's word
        return super().forward(nn.functional.pad(input, [0, 1, 0, 1]))


class MaxPoolPad(nn.MaxPool2d):
    """A pooling that pads by itself."""


def test_what_pads_and_computes_is_a_layer() -> None:
    network = models.wrap(nn.Sequential(PaddedConv2d(3, 4, 3), nn.ReflectionPad2d(1), MaxPoolPad(2)))
    assert list(network.layers) == ["0", "2"]
    assert network.layers["0"].kind == "convolution"


def test_a_network_without_layers_says_so() -> None:
    with pytest.raises(WrongInput, match="network 'Identity' has no layer"):
        models.wrap(nn.Identity()).layers  # noqa: B018


def test_the_forward_pass_stops_at_the_deepest_layer() -> None:
    class Trap(nn.Module):
        armed = False

        def forward(self, x: Tensor) -> Tensor:
            assert not Trap.armed, "a layer after the deepest one was run"
            return x + 1

    network = models.wrap(nn.Sequential(models.plain(), Trap()))
    assert network.layers
    Trap.armed = True
    with torch.no_grad(), network.capture(["0.3", "0.0"]) as run:
        assert run(torch.rand(1, 3, 32, 32))["0.3"].shape == (1, 8, 16, 16)


def test_gradients_reach_the_pictures_and_not_the_weights() -> None:
    module = models.plain()
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    with models.wrap(module).capture(["5"]) as run:
        run(images)["5"].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().max() > 0
    assert all(weight.grad is None for weight in module.parameters())


def test_the_fingerprint_is_of_every_weight_and_buffer() -> None:
    module = models.plain()
    first = models.wrap(module).fingerprint
    assert models.wrap(models.plain()).fingerprint == first
    module[4].running_var[3] += 1e-6  # type: ignore[index, operator]
    assert models.wrap(module).fingerprint != first


def rectified() -> tuple[nn.Sequential, Tensor]:
    """A convolution whose unit 1 is silent everywhere and unit 0 only in places, and a picture."""
    module = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True))
    models.seeded(module)
    with torch.no_grad():
        module[0].bias.copy_(torch.tensor([0.0, -50.0, 0.5]))
    return module, torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def gradient(network: TorchNetwork, layer: str, images: Tensor, unit: int, *, wake: bool) -> tuple[Tensor, Tensor]:
    images = images.clone().requires_grad_(True)
    with network.capture([layer], wake=wake) as run:
        output = run(images)[layer]
        (found,) = torch.autograd.grad(output.select(-1 if output.ndim == 3 else 1, unit).sum(), images)
    return output.detach(), found


def test_waking_leaves_values_and_reaches_only_silent_units() -> None:
    module, images = rectified()
    network = models.wrap(module)
    asleep, nothing = gradient(network, "1", images, 1, wake=False)
    awake, woken = gradient(network, "1", images, 1, wake=True)
    torch.testing.assert_close(asleep, awake, rtol=0, atol=0)
    assert asleep[:, 1].max() == 0
    assert not nothing.any()
    assert woken.abs().amax((1, 2, 3)).min() > 0
    _, before = gradient(network, "1", images, 0, wake=False)
    _, after = gradient(network, "1", images, 0, wake=True)
    torch.testing.assert_close(before, after, rtol=0, atol=0)
    assert module[1].inplace


def test_waking_looks_over_the_positions_of_tokens() -> None:
    """A feature that one token excites is not silent, whatever the other features of the other tokens do."""

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rectifier = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            x = x[:, :, :, 0].transpose(1, 2)  # (n, rows, channels): a token a row
            shift = torch.tensor([0.0, -9.0, 9.0])
            rows = torch.linspace(-0.4, 0.4, x.shape[1])[:, None]
            return self.rectifier(x - 0.5 + shift + rows)

    network = models.wrap(Tokens(), 8)
    images = torch.full((1, 3, 8, 8), 0.5)
    _, excited = gradient(network, "rectifier", images, 0, wake=True)
    assert excited[0, 0, :, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    _, silent = gradient(network, "rectifier", images, 1, wake=True)
    assert silent[0, 1, :, 0].tolist() == [1] * 8


@pytest.fixture(autouse=True)
def _no_hook_survives() -> Iterator[None]:
    yield
    assert hooks_left(models.efficientnet().module) == 0


class _Template(nn.Module):
    """A part that gives the same one row whatever it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 8, 1, 1))

    def forward(self, _: Tensor) -> Tensor:
        return self.weight * 1.0


class _WithTemplate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.template = models.plain(), _Template()

    def forward(self, images: Tensor) -> Tensor:
        found = self.first(images)
        return found * self.template(found)


def test_a_layer_that_does_not_look_at_the_pictures_is_refused_when_there_are_several(pictures: np.ndarray) -> None:
    network = models.wrap(_WithTemplate())
    assert network.respond(pictures, ["first"])["first"].shape == (3, 8)
    with pytest.raises(WrongInput, match=r"layer 'template' gives 1 rows for 3 pictures"):
        network.respond(pictures, ["template"])
