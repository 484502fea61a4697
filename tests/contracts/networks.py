"""The contract of a `Network`, with torch as the oracle.

An adapter's tests build the architectures of `tests.contracts.oracles` in their framework, give them ``oracle.weights``,
wrap them with ``normalise=NORMALISE`` and the oracle's size, and call `check_contract` with the layers that correspond.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np
import pytest
import torch

import neuronatlas
from neuronatlas.errors import NeuronAtlasError, UnknownName, WrongInput
from neuronatlas.networks import Network
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.units import Unit
from tests.contracts.measures import assert_close, means, near, one_thread, outputs, slopes
from tests.contracts.oracles import Oracle, pictures

VALUES = 1e-4
"""How far an activation may be from torch's, in the largest of its layer."""
SLOPES = 1e-3
"""How far a gradient may be from torch's, in the largest of its picture."""
KINDS = ("convolution", "dense", "normalisation")


def check_contract(
    network: Network,
    oracle: Oracle,
    pairs: Mapping[str, str],
    *,
    kinds: bool = True,
    gradients: bool = True,
    wakes: bool = True,
    sizes: bool = True,
) -> None:
    """Every clause of the contract; ``pairs`` are the layers of ``network`` and those of the oracle they equal.

    ``kinds``: convolutions, dense layers and normalisations are called so. Without ``gradients`` pictures have to be
    refused. ``wakes``: silent rectifiers can be woken. ``sizes``: it takes pictures of other sizes where the oracle does.
    """
    with one_thread():
        before = fingerprint(network)
        check_table(network, oracle, pairs, kinds=kinds)
        check_values(network, oracle, pairs, sizes=sizes)
        check_recording(network, oracle, pairs)
        check_units(network, pairs)
        check_refusals(network, oracle, pairs)
        check_threads(network, oracle, pairs)
        if gradients:
            check_gradients(network, oracle, pairs, sizes=sizes)
            check_gradient_of_two_layers(network, oracle, pairs)
            check_finite_differences(network, pairs)
            check_rendering(network, oracle, pairs)
            if wakes and oracle.silent is not None:
                check_waking(network, oracle, pairs)
        else:
            check_no_gradient(network, pairs)
        assert fingerprint(network) == before, "the weights have changed"


def fingerprint(network: Network) -> str:
    """The fingerprint of the weights as they are now."""
    vars(network).pop("fingerprint", None)
    return network.fingerprint


def check_table(network: Network, oracle: Oracle, pairs: Mapping[str, str], *, kinds: bool = True) -> None:
    """Names, units, shapes and order are those of the oracle, and so is the input."""
    assert network.input == oracle.network.input
    assert set(pairs) <= set(network.layers)
    assert not set(network.layers) & set(network.unusable)
    for name, other in pairs.items():
        found, expected = network.layers[name], oracle.network.layers[other]
        assert (found.name, found.units, found.shape) == (name, expected.units, expected.shape), name
        assert found.kind
        if kinds and expected.kind in KINDS:
            assert found.kind == expected.kind, name
    theirs = list(oracle.network.layers)
    order = [theirs.index(pairs[name]) for name in network.layers if name in pairs]
    assert order == sorted(order)


def check_values(network: Network, oracle: Oracle, pairs: Mapping[str, str], *, sizes: bool = True) -> None:
    """Activations are torch's, for one picture and three, of the input's size and another, alone and together."""
    shapes = [oracle.size] + ([oracle.other_size] if sizes and oracle.other_size is not None else [])
    for size in shapes:
        for count in (1, 3):
            shown = pictures(count, size)
            with torch.no_grad():
                expected = outputs(oracle.network, list(pairs.values()), shown)
                found = outputs(network, list(pairs), shown)
                again = outputs(network, list(reversed(pairs)), shown)
            assert list(found) == list(pairs)
            for name, other in pairs.items():
                assert_close(found[name], expected[other], VALUES, name)
                assert torch.equal(again[name], found[name]) or near(again[name], found[name], 1e-6), name
    for name in pairs:  # the forward pass may end at it
        with torch.no_grad():
            alone = outputs(network, [name], shown)[name]
        assert near(alone, found[name], 1e-5), name
        assert alone.dtype == torch.float32
    assert float((found[name][0] - found[name][1]).abs().max()) > 0, "all pictures give the same"
    assert outputs(network, [], shown) == {}


def check_recording(network: Network, oracle: Oracle, pairs: Mapping[str, str]) -> None:
    """`respond` and `record` give torch's numbers, twice the same."""
    shown = (pictures(3, oracle.size).permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)
    for reduce in ("mean", "max"):
        expected = oracle.network.respond(shown, list(pairs.values()), reduce=reduce)
        found = network.respond(shown, list(pairs), reduce=reduce)
        again = network.respond(shown, list(pairs), reduce=reduce)
        for name, other in pairs.items():
            assert_close(torch.from_numpy(found[name]), torch.from_numpy(expected[other]), VALUES, name)
            np.testing.assert_array_equal(found[name], again[name])
    table = neuronatlas.record(network, shown, layers=list(pairs))
    assert table.units == tuple(Unit(name, unit) for name in pairs for unit in range(network.layers[name].units))
    theirs = neuronatlas.record(oracle.network, shown, layers=list(pairs.values()))
    assert_close(torch.from_numpy(table.values), torch.from_numpy(theirs.values), VALUES, "record")


def check_units(network: Network, pairs: Mapping[str, str]) -> None:
    """``units`` picks units, in the order asked for."""
    shown = pictures(2, network.input.size)
    for name in pairs:
        layer = network.layers[name]
        units = [layer.units - 1, 0, 1]
        with torch.no_grad(), network.capture([name], units=units) as run:
            found = run(shown)[name]
        with torch.no_grad():
            whole = outputs(network, [name], shown)[name]
        assert_close(found, whole.index_select(layer.unit_axis + 1, torch.tensor(units)), 1e-5, name)


def check_refusals(network: Network, oracle: Oracle, pairs: Mapping[str, str]) -> None:
    """What cannot be done is refused in this package's words, and leaves the network as it was."""
    name = next(iter(pairs))
    with pytest.raises(UnknownName, match="no layer 'no/such layer'"), network.capture(["no/such layer"]):
        pass
    with pytest.raises(WrongInput, match="do not fit the network"):
        network.respond(np.zeros((1, *oracle.size, 1), np.uint8), [name])
    with (
        network.capture([name]),
        pytest.raises(NeuronAtlasError, match="inside a capture of itself"),
        network.capture([name]),
    ):
        pass
    if oracle.other_size is None:  # the exceptions by which the loop learns that a size does not fit
        with pytest.raises((RuntimeError, ValueError, AssertionError)):
            outputs(network, list(pairs)[-1:], pictures(1, (oracle.size[0] + 5, oracle.size[1] + 3)))
    with torch.no_grad():
        assert outputs(network, [name], pictures(1, oracle.size))


def check_threads(network: Network, oracle: Oracle, pairs: Mapping[str, str]) -> None:
    """Two threads that use it at the same time get what one does."""
    shown = (pictures(3, oracle.size).permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)
    expected = network.respond(shown, list(pairs))
    found: list[dict[str, np.ndarray]] = []
    threads = [threading.Thread(target=lambda: found.append(network.respond(shown, list(pairs)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    for each in found:
        for name in pairs:
            np.testing.assert_allclose(each[name], expected[name], rtol=1e-6, atol=1e-6)


def check_gradients(network: Network, oracle: Oracle, pairs: Mapping[str, str], *, sizes: bool = True) -> None:
    """The gradient of a unit's mean is torch's, for one picture and three, of the input's size and another."""
    shapes = [oracle.size] + ([oracle.other_size] if sizes and oracle.other_size is not None else [])
    for size in shapes:
        for count in (1, 3):
            shown = pictures(count, size)
            for name, other in pairs.items():
                found, expected = slopes(network, {name: 1}, shown), slopes(oracle.network, {other: 1}, shown)
                if size == oracle.size:
                    assert float(expected.abs().max()) > 0, other
                assert_close(found, expected, SLOPES, name)


def check_gradient_of_two_layers(network: Network, oracle: Oracle, pairs: Mapping[str, str]) -> None:
    """The gradients of two layers add up, and a layer that is asked for but not used adds nothing."""
    names = list(pairs)
    first, last = names[0], names[-1]
    shown = pictures(2, oracle.size)
    found = slopes(network, {first: 0, last: 1}, shown)
    assert_close(found, slopes(oracle.network, {pairs[first]: 0, pairs[last]: 1}, shown), SLOPES, "two layers")
    given = shown.clone().requires_grad_(True)
    with network.capture([first, last]) as run:
        unused = run(given)[first].square().sum()
        slope = torch.autograd.grad(unused, given)[0]
    theirs = shown.clone().requires_grad_(True)
    with oracle.network.capture([pairs[first]]) as run:
        expected = torch.autograd.grad(run(theirs)[pairs[first]].square().sum(), theirs)[0]
    assert_close(slope, expected, SLOPES, "one of two layers")


def check_finite_differences(network: Network, pairs: Mapping[str, str]) -> None:
    """The gradient is the slope of the values: central differences along random directions."""
    shown = pictures(1, network.input.size)
    generator = torch.Generator().manual_seed(6)
    name = list(pairs)[-1]
    slope = slopes(network, {name: 1}, shown).double()
    errors, sizes = [], []
    for _ in range(4):
        direction = torch.randn(shown.shape, generator=generator)
        ends = []
        for step in (3e-4, -3e-4):
            with torch.no_grad():
                output = outputs(network, [name], shown + step * direction)[name].double()
            ends.append(float(means(network, name, output)[0, 1]))
        expected = (ends[0] - ends[1]) / 6e-4
        errors.append(abs(float((slope * direction).sum()) - expected))
        sizes.append(abs(expected))
    assert sum(errors) < 0.05 * sum(sizes), (errors, sizes)


def check_waking(network: Network, oracle: Oracle, pairs: Mapping[str, str]) -> None:
    """A silent unit has no slope, and torch's own beyond the rectifier where it is woken; its values stay."""
    assert oracle.silent is not None
    layer, unit = oracle.silent.layer, oracle.silent.index
    name = next(name for name, other in pairs.items() if other == layer)
    shown = pictures(2, oracle.size)
    assert float(slopes(network, {name: unit}, shown).abs().max()) == 0
    expected = slopes(oracle.network, {layer: unit}, shown, wake=True)
    assert float(expected.abs().max()) > 0
    assert_close(slopes(network, {name: unit}, shown, wake=True), expected, SLOPES, f"{name}, woken")
    with torch.no_grad():
        asleep, woken = (outputs(network, [name], shown, wake=wake)[name] for wake in (False, True))
    assert_close(woken, asleep, 1e-6, name)
    assert_close(
        slopes(network, {name: unit - 1}, shown, wake=True),
        slopes(oracle.network, {layer: unit - 1}, shown, wake=True),
        SLOPES,
        f"{name}, awake anyway",
    )


def check_rendering(network: Network, oracle: Oracle, pairs: Mapping[str, str]) -> None:
    """Pictures of the same unit and seed look the same after a few steps, and are the same every time."""
    name = list(pairs)[-1]
    first, again = (
        neuronatlas.render(network, f"{name}:1", preset="fast", steps=5, canvas=oracle.size, seed=3, workers=1)
        for _ in range(2)
    )
    alike = TorchNetwork(  # what a picture starts from depends on its unit's name
        oracle.module,
        input=oracle.network.input,
        rename=lambda found: name if found == pairs[name] else f"another {found}" if found == name else found,
    )
    theirs = neuronatlas.render(alike, f"{name}:1", preset="fast", steps=5, canvas=oracle.size, seed=3, workers=1)
    start = neuronatlas.render(network, f"{name}:1", preset="fast", steps=1, canvas=oracle.size, seed=3, workers=1)
    np.testing.assert_array_equal(first.image, again.image)
    apart = float(np.abs(first.image - theirs.image).mean())
    moved = float(np.abs(first.image - start.image).mean())
    assert moved > 0.005, "nothing moves"
    assert apart < 0.02 * moved, (apart, moved)


def check_no_gradient(network: Network, pairs: Mapping[str, str]) -> None:
    """Where pictures cannot be optimised, that is said."""
    shown = pictures(1, network.input.size).requires_grad_(True)
    with pytest.raises(WrongInput, match="gives responses and maps, but no pictures"):
        outputs(network, list(pairs)[:1], shown)
