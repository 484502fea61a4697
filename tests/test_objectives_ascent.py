"""What holds for every objective: finite gradients, ascent that raises it, and a name of its own."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neuronatlas import objectives
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.objectives import Joint, Objective, Outputs
from tests.networks.models import seeded, wrap

SIDE = 12
NUMBERS = np.random.default_rng(8)
VECTOR = NUMBERS.normal(size=6)
LAYERS = {"map": (6, 6, 6), "tokens": (35, 6), "dense": (6,)}
TARGETS = {name: torch.from_numpy(NUMBERS.random(shape)).float() for name, shape in LAYERS.items()}
NOT_OBJECTIVES = {"PICTURE", "Joint", "Objective", "Outputs", "gram", "outputs_of"}


class Tiny(nn.Module):
    """A map, tokens and a dense layer, all smooth, so that no step is lost in a silent rectifier."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.Softplus())
        self.tokens = nn.Linear(6, 6)
        self.dense = nn.Linear(6, 6)
        seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.tokens(self.map(x).flatten(2).mT[:, :35]).mean(1))  # too few to be a map again


@cache
def network() -> TorchNetwork:
    found = wrap(Tiny(), SIDE)
    found.labels = tuple("abcdef")
    return found


def energy(seen: Outputs) -> Tensor:
    return seen["map"][:2].square().mean() + seen["dense"][3] + seen["input"].mean()


def on(layer: str) -> list[Objective]:
    """Those that any layer has."""
    return [
        objectives.channel(layer, 2),
        objectives.direction(layer, VECTOR),
        objectives.cosine(layer, VECTOR),
        objectives.cosine(layer, VECTOR, 1),
        objectives.deepdream(layer),
        objectives.content(layer, TARGETS[layer]),
        objectives.style(layer, TARGETS[layer]),
        objectives.caricature(layer, TARGETS[layer]),
        objectives.caricature(layer, TARGETS[layer], 1.0),
        objectives.l1(0, layer=layer),
        objectives.l2(0, layer=layer),
    ]


SINGLE = [
    *(objective for layer in LAYERS for objective in on(layer)),
    objectives.neuron("map", 1),
    objectives.neuron("map", 1, position=(0, 5)),
    objectives.unit("map:4"),
    objectives.class_logit(network(), "b"),
    objectives.direction_neuron("map", VECTOR),
    objectives.direction_neuron("map", VECTOR, power=1.0),
    objectives.direction_neuron("map", VECTOR, (0, 5)),
    objectives.tensor_direction("map", NUMBERS.normal(size=(6, 2, 2))),
    objectives.tensor_direction("map", NUMBERS.normal(size=(6, 3, 3)), power=1.0),
    objectives.activation_difference(LAYERS, TARGETS),
    objectives.activation_difference(LAYERS, TARGETS, transform=objectives.gram),
    objectives.total_variation(),
    objectives.total_variation(layer="map"),
    objectives.l1(),
    objectives.l1(0.4),
    objectives.l2(),
    objectives.sharpness(),
    objectives.boundary(3),
    objectives.boundary(4),
    objectives.boundary(3, 0.4),
    objectives.input_difference(NUMBERS.random((4, SIDE, SIDE))),
    objectives.mean_alpha(),
    objectives.mean([objectives.channel("map", 0), objectives.channel("dense", 1)]),
    objectives.total([objectives.channel("map", 0), objectives.channel("dense", 1)]),
    *objectives.interpolation(objectives.channel("map", 0), objectives.channel("dense", 1), 3),
    objectives.of(energy, ["map", "dense"]),
    objectives.discover(network(), energy, name="discovered"),
    -objectives.channel("map", 0),
    objectives.channel("map", 0) - 0.01 * objectives.total_variation(),
]
JOINT = [
    *(objectives.diversity(layer) for layer in LAYERS),
    *(objectives.alignment(layer) for layer in LAYERS),
    objectives.alignment("map", 3),
    objectives.diversity("input"),
]


def climb(objective: Objective | Joint, *, start: Tensor) -> tuple[float, float]:
    """The objective's value at ``start`` and after four short steps of plain ascent; gradients are finite on the way."""
    pictures = start.clone()
    values = []
    with network().capture(list(LAYERS)) as run:
        for _ in range(5):
            pictures = pictures.detach().requires_grad_(True)
            seen = {**run(pictures[:, :3]), "input": pictures}
            if isinstance(objective, Objective):
                seen = {name: output[0] for name, output in seen.items()}
            else:
                assert set(objective.layers) <= set(LAYERS)
            value = objective.measure(seen)
            assert value.shape == ()
            (slope,) = torch.autograd.grad(value, pictures)
            assert slope.isfinite().all()
            assert slope.any()
            values.append(float(value.detach()))
            pictures = pictures + 0.01 * slope / slope.norm()
    return values[0], values[-1]


def pictures(count: int) -> Tensor:
    return torch.rand(count, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("objective", SINGLE, ids=lambda objective: objective.name)
def test_ascent_raises_an_objective(objective: Objective) -> None:
    before, after = climb(objective, start=pictures(1))
    assert after > before


@pytest.mark.parametrize("joint", JOINT, ids=lambda joint: joint.name)
def test_ascent_raises_a_joint_objective(joint: Joint) -> None:
    before, after = climb(joint, start=pictures(4))
    assert after > before


@pytest.mark.parametrize("objective", SINGLE, ids=lambda objective: objective.name)
def test_gradients_are_finite_on_grey_and_on_nothing(objective: Objective) -> None:
    for level in (0.0, 0.5, 1.0):
        picture = torch.full((4, SIDE, SIDE), level, requires_grad=True)
        seen = {name: torch.zeros(shape, requires_grad=True) for name, shape in LAYERS.items()} | {"input": picture}
        value = objective.measure(seen)
        slopes = torch.autograd.grad(value, list(seen.values()), allow_unused=True)
        assert value.isfinite()
        assert all(slope is None or slope.isfinite().all() for slope in slopes)


@pytest.mark.parametrize("joint", JOINT, ids=lambda joint: joint.name)
def test_gradients_of_joint_objectives_are_finite_where_nothing_fires(joint: Joint) -> None:
    seen = {name: torch.zeros(3, *shape, requires_grad=True) for name, shape in LAYERS.items()}
    seen["input"] = torch.zeros(3, 3, SIDE, SIDE, requires_grad=True)
    slopes = torch.autograd.grad(joint.measure(seen), list(seen.values()), allow_unused=True)
    assert all(slope is None or slope.isfinite().all() for slope in slopes)


@pytest.mark.parametrize("objective", SINGLE + JOINT, ids=lambda objective: objective.name)
def test_the_layers_named_are_those_that_are_read(objective: Objective | Joint) -> None:
    batch = () if isinstance(objective, Objective) else (2,)
    seen = {name: torch.rand(*batch, *LAYERS[name]) for name in objective.layers}
    seen["input"] = torch.rand(*batch, 4, SIDE, SIDE)
    assert objective.measure(seen).isfinite()
    for name in objective.layers:
        with pytest.raises(KeyError, match=name):
            objective.measure({other: output for other, output in seen.items() if other != name})


@pytest.mark.parametrize(
    "objective",
    [objective for objective in SINGLE if objective.mean_of is not None],
    ids=lambda objective: objective.name,
)
def test_a_mean_of_one_unit_is_that_mean_and_no_other_unit_counts(objective: Objective) -> None:
    assert objective.mean_of is not None
    (layer,) = objective.layers
    axis = 1 if layer == "tokens" else 0
    unit = torch.rand(LAYERS[layer]).select(axis, objective.mean_of)
    some = torch.full(LAYERS[layer], torch.nan)
    some.select(axis, objective.mean_of).copy_(unit)
    assert objective.measure({layer: some, "input": torch.rand(4, SIDE, SIDE)}) == unit.mean()


def test_names_tell_them_apart() -> None:
    names = [objective.name for objective in SINGLE + JOINT]
    assert len(set(names)) == len(names)
    assert all("\n" not in name and len(name) < 200 for name in names)
    assert objectives.class_logit(network(), "b").name == "dense:1"
    assert objectives.cosine("map", VECTOR, 1).name == objectives.cosine("map", VECTOR, 1.0).name
    assert objectives.direction("map", VECTOR).name == objectives.direction("map", torch.from_numpy(VECTOR)).name
    assert objectives.direction("map", VECTOR).name != objectives.direction("map", VECTOR + 1e-3).name


def test_every_public_objective_is_among_them() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    for name in set(objectives.__all__) - NOT_OBJECTIVES:
        assert f"objectives.{name}(" in source, name
