"""Objectives: what they measure, how they add, and what they are called."""

from __future__ import annotations

import pytest
import torch

from neuronatlas import objectives
from neuronatlas.errors import WrongInput
from neuronatlas.objectives import channel, neuron
from neuronatlas.units import Unit

SEEN = {
    "map": torch.arange(2 * 4 * 7, dtype=torch.float32).view(2, 4, 7),
    "tokens": torch.arange(12, dtype=torch.float32).view(6, 2),
    "dense": torch.tensor([3.0, 5.0, 8.0]),
}


def test_a_channel_is_its_mean_over_positions() -> None:
    assert channel("map", 1).measure(SEEN) == SEEN["map"][1].mean() == 41.5
    assert channel("tokens", 1).measure(SEEN) == (1 + 3 + 5 + 7 + 9 + 11) / 6
    assert channel("dense", 2).measure(SEEN) == 8


def test_a_neuron_stands_in_the_middle_unless_told() -> None:
    assert neuron("map", 1).measure(SEEN) == SEEN["map"][1, 2, 3]  # 4 // 2, 7 // 2
    assert neuron("map", 1, position=(0, 0)).measure(SEEN) == SEEN["map"][1, 0, 0]
    assert neuron("map", 0, position=(3, 4)).measure(SEEN) == SEEN["map"][0, 3, 4]


@pytest.mark.parametrize("layer", ["dense", "tokens"])
def test_a_neuron_needs_a_map(layer: str) -> None:
    with pytest.raises(WrongInput, match=f"layer '{layer}' has no map to take a position of"):
        neuron(layer, 0).measure(SEEN)


def test_addresses_become_objectives() -> None:
    assert objectives.unit("map:1").measure(SEEN) == channel("map", 1).measure(SEEN)
    assert objectives.unit("map:1@3,0").measure(SEEN) == SEEN["map"][1, 3, 0]
    assert objectives.unit(Unit("dense", 0)).measure(SEEN) == 3
    with pytest.raises(WrongInput, match="'map' is not an address"):
        objectives.unit("map")


def test_they_add_subtract_and_scale() -> None:
    one, two = channel("dense", 0), channel("map", 1)
    a, b = 3.0, 41.5
    for objective, value in [
        (one + two, a + b),
        (one - two, a - b),
        (-one, -a),
        (2 * one, 2 * a),
        (one * 0.5, 0.5 * a),
        (one - 0.5 * (two + one) * 2, a - (b + a)),
    ]:
        assert float(objective.measure(SEEN)) == pytest.approx(value)


def test_names_tell_objectives_apart() -> None:
    one, two = channel("a", 0), channel("b", 1)
    names = [
        objective.name
        for objective in (
            one,
            two,
            one + two,
            two + one,
            one - two,
            -one,
            2 * one,
            2 * (one + two),
            2 * one + two,
            one * 0.1,
            one * 0.1000001,
            neuron("a", 0),
            neuron("a", 0, position=(1, 2)),
        )
    ]
    assert len(set(names)) == len(names)
    assert one.name == "a:0"
    assert (one - 0.5 * two).name == "a:0 + -1 * (0.5 * (b:1))"
    assert neuron("a", 0, position=(1, 2)).name == "a:0@1,2"
    assert neuron("a", 0).name == "a:0@middle"


def test_layers_are_each_named_once_in_order() -> None:
    assert (channel("b", 0) + channel("a", 0) - neuron("b", 3)).layers == ("b", "a")


def test_gradients_are_finite_and_reach_only_what_is_asked() -> None:
    seen = {name: values.clone().requires_grad_(True) for name, values in SEEN.items()}
    (channel("map", 1) - 2 * neuron("map", 0) + channel("dense", 2)).measure(seen).backward()
    grad = seen["map"].grad
    assert grad is not None
    torch.testing.assert_close(grad[1], torch.full((4, 7), 1 / 28))
    assert grad[0].sum() == grad[0, 2, 3] == -2
    assert seen["dense"].grad is not None
    assert seen["dense"].grad.tolist() == [0, 0, 1]
    assert seen["tokens"].grad is None
