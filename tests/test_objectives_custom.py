"""Objectives of one's own: what they read, what they are called, and what is said when they go wrong."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from neuronatlas import objectives
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.objectives import Outputs
from tests.networks.models import plain, wrap

SEEN = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([5.0]), "input": torch.full((3, 2, 2), 0.25)}


@pytest.fixture(scope="module")
def network() -> TorchNetwork:
    return wrap(plain(), 16)


def both(seen: Outputs) -> Tensor:
    return seen["b"].sum() - seen["a"].mean() + seen["input"].mean()


def test_a_function_is_an_objective() -> None:
    objective = objectives.of(both, ["b", "input", "a", "b"])
    assert float(objective.measure(SEEN)) == 5 - 1.5 + 0.25
    assert objective.layers == ("b", "a")
    assert objective.name == "both(b, a)"
    assert (objective.units, objective.mean_of) == ((), None)
    assert objectives.of(both, ["a", "b"], name="mine").name == "mine"
    assert objectives.of(lambda seen: seen["a"][1], "a").layers == ("a",)
    weighed = 2 * objectives.channel("a", 1) - objectives.of(functools.partial(both), ["a", "b"])
    assert float(weighed.measure(SEEN)) == 4 - 3.75
    assert weighed.name == "2 * (a:1) + -1 * (partial(a, b))"


def test_layers_are_found_by_calling_it(network: TorchNetwork) -> None:
    asked: list[str] = []

    def function(seen: Outputs) -> Tensor:
        asked.extend(name for name in ("5", "0", "5") if name in seen)
        assert seen["0"].shape == (8, 8, 8)
        assert (seen["input"] == 0.5).all()
        return seen["5"][2].mean() + seen["0"].std() + 0 * seen["5"].sum()

    objective = objectives.discover(network, function)
    assert asked == ["5", "0", "5"]
    assert objective.layers == ("0", "5")
    assert objective.name == "function(0, 5)"
    assert objectives.discover(network, function, name="mine").name == "mine"
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    with network.capture(objective.layers) as run:
        seen = {name: output[0] for name, output in run(picture).items()}
    value = objective.measure({"input": torch.full((3, 1, 1), 0.5), **seen})
    assert float(value.detach()) == pytest.approx(float((seen["5"][2].mean() + seen["0"].std()).detach()))
    (slope,) = torch.autograd.grad(value, picture)
    assert slope.any()


def test_each_output_is_made_once_and_only_when_asked_for(
    network: TorchNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[str]] = []
    capture = network.capture

    def counting(layers: list[str], *, wake: bool = False) -> object:
        made.append(list(layers))
        return capture(layers, wake=wake)

    monkeypatch.setattr(network, "capture", counting)

    def function(seen: Outputs) -> Tensor:
        return seen["3"].mean() + seen["3"].std() + seen["0"].mean()

    assert objectives.discover(network, function).layers == ("3", "0")
    assert made == [["3"], ["0"]]


def test_a_function_may_read_every_layer(network: TorchNetwork) -> None:
    def function(seen: Outputs) -> Tensor:
        assert len(seen) == len(list(seen)) == 7
        return torch.stack([output.mean() for output in seen.values()]).sum()

    assert objectives.discover(network, function).layers == tuple(network.layers) == tuple("012345")


def test_unknown_layers_are_named_with_the_nearest() -> None:
    named = wrap(Named(), 16)
    with pytest.raises(UnknownName, match="no layer 'erly': did you mean 'early'"):
        objectives.discover(named, lambda seen: seen["erly"].mean())
    with pytest.raises(UnknownName, match="no layer 'inptu': did you mean 'input'"):
        objectives.discover(named, lambda seen: seen["inptu"].mean())
    with pytest.raises(WrongInput, match="layer 'counts' cannot be used"):
        objectives.discover(named, lambda seen: seen["counts"].mean())


class Counts(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.long()


class Named(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.early, self.counts = torch.nn.Conv2d(3, 2, 3), Counts()

    def forward(self, x: Tensor) -> Tensor:
        return self.counts(self.early(x))


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (
            lambda seen: seen["a"],
            r"gave a tensor of shape \(2,\) and type torch.float32; a floating-point tensor of shape \(\)",
        ),
        (lambda seen: seen["a"].argmax(), r"gave a tensor of shape \(\) and type torch.int64"),
        (lambda seen: float(seen["a"].mean()), "gave a float; a floating-point tensor"),
        (lambda seen: None, "gave a NoneType"),
        (lambda seen: seen["b"].mean(), r"objective 'mine' read layer 'b', which is not among its layers \('a',\)"),
    ],
)
def test_what_is_not_one_number_is_refused(function: Callable[[Outputs], Tensor], what: str) -> None:
    with pytest.raises(WrongInput, match=what):
        objectives.of(function, "a", name="mine").measure(SEEN)


def test_discovery_refuses_what_is_not_one_number(network: TorchNetwork) -> None:
    with pytest.raises(WrongInput, match=r"objective 'mine' gave a tensor of shape \(8,\)"):
        objectives.discover(network, lambda seen: seen["5"].mean((1, 2)), name="mine")
