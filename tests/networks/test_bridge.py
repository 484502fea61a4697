"""What a foreign network becomes: torch itself behind the bridge has to be what it is without it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.contracts import networks as contract
from tests.contracts.oracles import NORMALISE, Oracle, plain, residual, transformer
from torch import Tensor

from neuronatlas.errors import NeuronAtlasError, WrongInput
from neuronatlas.networks.base import Network
from neuronatlas.networks.bridge import BridgedNetwork, ForeignFunction, Place, Pullback, unit_shape
from neuronatlas.networks.preprocessing import Given


class Turned(ForeignFunction):
    """A torch network as a foreign one, with the axes of maps in either order."""

    def __init__(self, network: Network, *, channels_last: bool, rectifies: dict[str, str]) -> None:
        self.network = network
        self.channels_last = channels_last
        self.rectifies = rectifies

    def places(self, pictures: Tensor) -> list[Place]:
        found = []
        for name, value in zip(self.network.layers, self.values(tuple(self.network.layers), pictures), strict=True):
            kind, shape = self.network.layers[name].kind, tuple(value.shape[1:])
            found.append(Place(name, kind, shape, self.channels_last, self.rectifies.get(name, "")))
        return [*found, Place("odd", "function", (2, 2, 2, 2), reason=unit_shape((None, 2, 2, 2, 2), floating=True))]

    def fingerprint(self) -> str:
        return contract.fingerprint(self.network)

    def values(self, names: tuple[str, ...], pictures: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return self.outputs(names, pictures)

    def linearise(self, names: tuple[str, ...], pictures: Tensor) -> tuple[list[Tensor], Pullback]:
        given = pictures.clone().requires_grad_(True)
        with torch.enable_grad():
            values = self.outputs(names, given)
        return [value.detach() for value in values], lambda ways: torch.autograd.grad(values, given, ways)[0]

    def outputs(self, names: tuple[str, ...], pictures: Tensor) -> list[Tensor]:
        assert pictures.is_contiguous()
        pictures = pictures.permute(0, 3, 1, 2) if self.channels_last else pictures
        mean, std = (torch.tensor(each).view(-1, 1, 1) for each in (self.network.input.mean, self.network.input.std))
        with self.network.capture(names) as run:
            found = list(run(pictures * std + mean).values())
        return [value.permute(0, 2, 3, 1) if self.channels_last and value.ndim == 4 else value for value in found]


RECTIFIES = {"bend": "norm", "last": "deep", "first.out": "first.add"}


def bridged(oracle: Oracle, *, channels_last: bool = True, change: Callable[[Turned], None] = id) -> BridgedNetwork:
    function = Turned(oracle.network, channels_last=channels_last, rectifies=RECTIFIES)
    change(function)
    return BridgedNetwork(function, input=Given(oracle.size, NORMALISE).spec())


@pytest.mark.parametrize(
    ("oracle", "channels_last"), [(plain, False), (plain, True), (residual, True), (transformer, False)]
)
def test_the_contract(oracle: Callable[[], Oracle], *, channels_last: bool) -> None:
    truth = oracle()
    pairs = {name: name for name in truth.network.layers}
    contract.check_contract(bridged(truth, channels_last=channels_last), truth, pairs)


@pytest.mark.parametrize("oracle", [plain, residual, transformer])
def test_torch_itself_keeps_the_contract(oracle: Callable[[], Oracle]) -> None:
    truth = oracle()
    contract.check_contract(truth.network, truth, {name: name for name in truth.network.layers})


def test_m11_without_a_gradient_pictures_are_refused_and_responses_are_not() -> None:
    def refuse(function: Turned) -> None:
        function.why_no_gradient = "its operator NonZero has none"

    network = bridged(plain(), change=refuse)
    contract.check_contract(network, plain(), {name: name for name in plain().network.layers}, gradients=False)
    shown = torch.rand((1, 3, 16, 16)).requires_grad_(True)
    with (
        network.capture(["deep"]) as run,
        pytest.raises(WrongInput, match="no pictures: its operator NonZero has none"),
    ):
        run(shown)


def test_m7_places_without_units_are_told() -> None:
    network = bridged(plain())
    assert "not (batch, units, ...)" in network.unusable["odd"]
    with pytest.raises(WrongInput, match="layer 'odd' cannot be used"), network.capture(["odd"]):
        pass


@pytest.mark.parametrize(
    ("shape", "floating", "fine"),
    [
        ((None, 3), True, True),
        ((1, 4, 4, 3), True, True),
        ((1, 4, 3), True, True),
        ((1, 3), False, False),
        ((1,), True, False),
        ((1, 2, 2, 2, 3), True, False),
        ((1, 0, 3), True, False),
        ((1, None, None, 3), True, False),
    ],
)
def test_which_shapes_have_units(shape: tuple[int | None, ...], *, floating: bool, fine: bool) -> None:
    assert (unit_shape(shape, floating=floating) == "") == fine


def test_a_layer_whose_units_depend_on_the_size_of_the_picture_is_refused() -> None:
    class Flat(Turned):
        def outputs(self, names: tuple[str, ...], pictures: Tensor) -> list[Tensor]:
            return [Turned.outputs(self, ("deep",), pictures)[0].flatten(1)] * len(names)

    truth = plain().network
    network = BridgedNetwork(Flat(truth, channels_last=True, rectifies={}), input=truth.input)
    name = next(iter(network.layers))
    with network.capture([name]) as run:
        assert run(torch.rand(2, 3, 16, 16))[name].shape == (2, 8 * 64)
        with pytest.raises(WrongInput, match="its units would not be the same"):
            run(torch.rand(2, 3, 20, 16))


def test_m3_after_an_exception_inside_the_block_it_works_again() -> None:
    network = bridged(plain())
    with pytest.raises(ZeroDivisionError), network.capture(["deep"]):
        _ = 1 // 0
    with network.capture(["deep"]) as run:
        assert run(torch.rand(1, 3, 16, 16))["deep"].shape == (1, 8, 8, 8)
        with pytest.raises(NeuronAtlasError, match="used inside a capture of itself"):
            network.respond(torch.rand(1, 16, 16, 3).numpy(), ["deep"])


def of_batch(function: Turned, names: tuple[str, ...], pictures: Tensor, mixing: tuple[str, ...]) -> list[Tensor]:
    found = Turned.outputs(function, names, pictures)
    return [
        value - value.mean(0, keepdim=True) if name in mixing else value
        for name, value in zip(names, found, strict=True)
    ]


def test_m2_a_layer_that_depends_on_the_other_pictures_cannot_be_used() -> None:
    class Mixing(Turned):
        mixing: tuple[str, ...] = ("norm", "head")

        def outputs(self, names: tuple[str, ...], pictures: Tensor) -> list[Tensor]:
            return of_batch(self, names, pictures, self.mixing)

    truth = plain().network
    function = Mixing(truth, channels_last=True, rectifies={})
    network = BridgedNetwork(function, input=truth.input)
    reason = "its values depend on which other pictures are shown with it"
    assert {name: network.unusable[name] for name in network.unusable if name != "odd"} == {
        "norm": reason,
        "head": reason,
    }
    assert list(network.layers) == [name for name in truth.layers if name not in ("norm", "head")]
    function.mixing = tuple(truth.layers)
    with pytest.raises(WrongInput, match=f"no layer that can be used; of 'stem': {reason}"):
        _ = BridgedNetwork(function, input=truth.input).layers


def test_tokens_of_one_head_are_no_map_of_one_column() -> None:
    class Headed(Turned):
        def places(self, pictures: Tensor) -> list[Place]:
            shapes = {"patches": (4, 4, 5), "query": (16, 1, 5), "after": (16, 5), "few": (12, 1, 5), "odd": (12, 5)}
            return [Place(name, "function", shape) for name, shape in shapes.items()]

        def values(self, names: tuple[str, ...], pictures: Tensor) -> list[Tensor]:
            return [torch.zeros(len(pictures), *place.shape) for place in self.places(pictures) if place.name in names]

    truth = plain().network
    network = BridgedNetwork(Headed(truth, channels_last=True, rectifies={}), input=truth.input)
    assert network.layers["after"].shape == (5, 4, 4)
    assert network.layers["odd"].shape == (12, 5)


def test_a_network_without_layers_is_refused() -> None:
    class Empty(Turned):
        def places(self, pictures: Tensor) -> list[Place]:
            return []

    truth = plain().network
    with pytest.raises(WrongInput, match="has no layer"):
        _ = BridgedNetwork(Empty(truth, channels_last=True, rectifies={}), input=truth.input).layers
