"""Each objective against its formula written out with loops, on maps, tokens and dense layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from neuronatlas import objectives
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.objectives import Joint, Objective
from tests.reference import objectives as slow

NUMBERS = np.random.default_rng(3)
PICTURE = NUMBERS.random((3, 9, 12))
OUTPUTS = {
    "input": PICTURE,
    "map": NUMBERS.normal(size=(4, 5, 6)),
    "tokens": NUMBERS.normal(size=(7, 4)),
    "dense": NUMBERS.normal(size=4),
}
TARGETS = {name: NUMBERS.normal(size=values.shape) for name, values in OUTPUTS.items()}
SEEN = {name: torch.from_numpy(values) for name, values in OUTPUTS.items()}
VECTOR = NUMBERS.normal(size=4)
LAYERS = ["map", "tokens", "dense"]


def value(objective: Objective, **others: np.ndarray) -> float:
    found = objective.measure({**SEEN, **{name: torch.from_numpy(values) for name, values in others.items()}})
    assert found.dtype == torch.float64
    return float(found)


def exactly(wanted: float) -> object:
    return pytest.approx(wanted, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("layer", LAYERS)
def test_directions(layer: str) -> None:
    output = OUTPUTS[layer]
    assert value(objectives.direction(layer, VECTOR)) == exactly(slow.direction(output, VECTOR))
    assert value(objectives.cosine(layer, VECTOR)) == exactly(slow.direction(output, VECTOR, 2))
    assert value(objectives.cosine(layer, VECTOR, 0.5)) == exactly(slow.direction(output, VECTOR, 0.5))
    assert value(objectives.cosine(layer, VECTOR, 0)) == exactly(slow.direction(output, VECTOR))
    assert value(objectives.direction(layer, np.eye(4)[2])) == exactly(value(objectives.channel(layer, 2)))


def test_cosines_below_a_tenth_count_as_a_tenth() -> None:
    against = -SEEN["dense"]
    product = float(against @ SEEN["dense"])
    assert value(objectives.cosine("dense", against, 3)) == exactly(product * 0.1**3)


@pytest.mark.parametrize("power", [0.0, 2.0])
def test_directions_at_one_position(power: float) -> None:
    middle = objectives.direction_neuron("map", VECTOR, power=power)
    assert value(middle) == exactly(slow.direction_neuron(OUTPUTS["map"], VECTOR, (2, 3), power))
    corner = objectives.direction_neuron("map", VECTOR, (0, 5), power=power)
    assert value(corner) == exactly(slow.direction_neuron(OUTPUTS["map"], VECTOR, (0, 5), power))
    assert [str(unit) for unit in corner.units] == ["map:0@0,5"]


@pytest.mark.parametrize("shape", [(4, 2, 3), (4, 1, 6), (4, 5, 6)])
@pytest.mark.parametrize("power", [0.0, 1.0])
def test_directions_of_tensors(shape: tuple[int, ...], power: float) -> None:
    tensor = np.random.default_rng(4).normal(size=shape)
    objective = objectives.tensor_direction("map", tensor, power=power)
    assert value(objective) == exactly(slow.tensor_direction(OUTPUTS["map"], tensor, power))


@pytest.mark.parametrize("layer", LAYERS)
def test_whole_layers(layer: str) -> None:
    assert value(objectives.deepdream(layer)) == exactly(slow.deepdream(OUTPUTS[layer]))


@pytest.mark.parametrize("layer", LAYERS)
def test_distances_and_likenesses(layer: str) -> None:
    output, target = OUTPUTS[layer], TARGETS[layer]
    wanted = torch.from_numpy(target)
    apart = slow.mean_difference(slow.gram(output), slow.gram(target))
    assert value(objectives.content(layer, wanted)) == exactly(slow.mean_difference(output, target))
    assert value(objectives.style(layer, wanted)) == exactly(apart)
    assert value(objectives.content(layer, SEEN[layer])) == 0 == value(objectives.style(layer, SEEN[layer]))
    for power in (0.0, 1.5):
        objective = objectives.caricature(layer, wanted, power)
        assert value(objective) == exactly(slow.caricature(output, target, power))


def test_a_caricature_of_itself_is_its_square() -> None:
    assert value(objectives.caricature("map", SEEN["map"], 4)) == pytest.approx(float((SEEN["map"] ** 2).sum()))


def test_differences_of_several_layers_add_up() -> None:
    targets = {name: torch.from_numpy(values) for name, values in TARGETS.items()}
    whole = objectives.activation_difference(LAYERS, targets)
    parts = [slow.mean_difference(OUTPUTS[layer], TARGETS[layer]) for layer in LAYERS]
    assert value(whole) == exactly(sum(parts))
    grams = objectives.activation_difference(["map", "tokens"], targets, transform=objectives.gram)
    assert value(grams) == exactly(
        value(objectives.style("map", targets["map"])) + value(objectives.style("tokens", targets["tokens"]))
    )


def test_targets_of_another_size_are_resized() -> None:
    target = NUMBERS.normal(size=(4, 8, 3))
    wanted = slow.resized(target, 5, 6)
    given = torch.from_numpy(target)
    assert value(objectives.content("map", given)) == exactly(slow.mean_difference(OUTPUTS["map"], wanted))
    assert value(objectives.caricature("map", given, 1)) == exactly(slow.caricature(OUTPUTS["map"], wanted, 1))
    apart = slow.mean_difference(slow.gram(OUTPUTS["map"]), slow.gram(target))
    assert value(objectives.style("map", given)) == exactly(apart)


def test_penalties() -> None:
    assert value(objectives.total_variation()) == exactly(slow.total_variation(PICTURE))
    assert value(objectives.total_variation(layer="map")) == exactly(slow.total_variation(OUTPUTS["map"]))
    assert value(objectives.l1()) == exactly(sum(abs(x - 0.5) for x in PICTURE.flat))
    assert value(objectives.l1(0, layer="tokens")) == exactly(sum(abs(x) for x in OUTPUTS["tokens"].flat))
    assert value(objectives.l2()) == exactly((1e-6 + sum((x - 0.5) ** 2 for x in PICTURE.flat)) ** 0.5)
    assert value(objectives.l2(1, layer="dense")) == exactly((1e-6 + ((OUTPUTS["dense"] - 1) ** 2).sum()) ** 0.5)
    assert value(objectives.sharpness()) == exactly(((PICTURE - slow.blurred(PICTURE, 3)) ** 2).sum() / 2)
    for width, constant in [(1, 0.5), (3, 0.2), (20, 0.5)]:
        objective = objectives.boundary(width, constant)
        assert value(objective) == exactly(slow.boundary(PICTURE, width, constant))
    root = (1e-12 + ((PICTURE - TARGETS["input"]) ** 2).mean()) ** 0.5
    assert value(objectives.input_difference(TARGETS["input"])) == exactly(root)
    clear = NUMBERS.random((4, 5, 5))
    assert value(objectives.mean_alpha(), input=clear) == exactly(clear[3].mean())


def test_a_step_down_in_sharpness_blurs() -> None:
    picture = SEEN["input"].clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(objectives.sharpness().measure({"input": picture}), picture)
    mixed = 0.7 * PICTURE + 0.3 * slow.blurred(PICTURE, 3)
    np.testing.assert_allclose((picture - 0.3 * slope).detach().numpy(), mixed, rtol=1e-12)


def several(kind: str, count: int) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(count, *OUTPUTS[kind].shape))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("count", [1, 2, 6])
def test_pictures_made_together(layer: str, count: int) -> None:
    outputs = several(layer, count)
    seen = {layer: torch.from_numpy(outputs)}
    assert float(objectives.diversity(layer).measure(seen)) == exactly(-slow.diversity(outputs))
    assert float(objectives.alignment(layer).measure(seen)) == exactly(slow.alignment(outputs, 2))
    assert float(objectives.alignment(layer, 1.3).measure(seen)) == exactly(slow.alignment(outputs, 1.3))


def test_equal_pictures_are_least_diverse_and_best_aligned() -> None:
    seen = {"map": SEEN["map"].expand(3, -1, -1, -1)}
    assert float(objectives.diversity("map").measure(seen)) == pytest.approx(-2)
    assert float(objectives.alignment("map").measure(seen)) == 0


def test_joint_objectives_add_subtract_and_scale() -> None:
    seen = {"map": torch.from_numpy(several("map", 3)), "dense": torch.from_numpy(several("dense", 3))}
    one, two = objectives.diversity("map"), objectives.alignment("dense")
    a, b = float(one.measure(seen)), float(two.measure(seen))
    for joint, wanted in [(one + two, a + b), (one - two, a - b), (-one, -a), (0.5 * two, b / 2), (two * 3, 3 * b)]:
        assert isinstance(joint, Joint)
        assert float(joint.measure(seen)) == pytest.approx(wanted)
    assert (two + one).layers == ("dense", "map")
    assert (one - 0.5 * two).name == "diversity(map) + -1 * (0.5 * (alignment(dense, 2)))"
    with pytest.raises(TypeError):
        one + objectives.channel("map", 0)  # type: ignore[operator]
    with pytest.raises(TypeError):
        objectives.channel("map", 0) + one  # type: ignore[operator]


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (objectives.direction("dense", np.ones(5)), "5 numbers do not fit layer 'dense': its output has 4 units"),
        (objectives.cosine("map", np.ones(3)), "3 numbers do not fit layer 'map': its output has 4 units"),
        (objectives.direction_neuron("tokens", VECTOR), r"layer 'tokens' has no map .* shape \(7, 4\)"),
        (objectives.direction_neuron("map", VECTOR, (5, 0)), r"position \(=5, 0\) lies outside .* 'map', 5 x 6"),
        (objectives.tensor_direction("dense", np.ones((4, 1, 1))), r"not fit into layer 'dense': .* shape \(4,\)"),
        (objectives.tensor_direction("map", np.ones((4, 6, 1))), r"not fit into layer 'map': .* shape \(4, 5, 6\)"),
        (objectives.tensor_direction("map", np.ones((3, 1, 1))), "3 numbers do not fit layer 'map'"),
        (objectives.content("map", SEEN["tokens"]), r"'map' has shape \(7, 4\), but its output has shape \(4, 5, 6\)"),
        (objectives.caricature("tokens", torch.ones(6, 4)), r"'tokens' has shape \(6, 4\), but its output"),
        (objectives.style("dense", torch.ones(5)), r"'dense' has shape \(5, 5\), but its output has shape \(4, 4\)"),
        (objectives.total_variation(layer="dense"), r"layer 'dense' has no neighbours to vary: .* \(4,\)"),
        (objectives.mean_alpha(), r"mean_alpha needs an RGBA picture; this one has shape \(3, 9, 12\)"),
        (
            objectives.input_difference(np.ones((3, 2, 2))),
            r"shape \(3, 2, 2\), but what is made has shape \(3, 9, 12\)",
        ),
    ],
    ids=lambda case: case.name if isinstance(case, Objective) else "",
)
def test_what_does_not_fit_a_layer_is_refused(objective: Objective, message: str) -> None:
    with pytest.raises(WrongInput, match=message):
        objective.measure(SEEN)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(WrongInput, match=r"vector has shape \(2, 2\); \(units,\) is expected"):
        objectives.direction("map", np.ones((2, 2)))
    with pytest.raises(WrongInput, match="must hold numbers, all of them finite"):
        objectives.cosine("map", np.array([1, np.nan]))
    with pytest.raises(WrongInput, match="must hold numbers"):
        objectives.direction("map", np.ones(0))
    with pytest.raises(WrongInput, match=r"tensor has shape \(4,\)"):
        objectives.tensor_direction("map", VECTOR)
    with pytest.raises(WrongInput, match=r"power \(=-1.0\) must be 0 or more"):
        objectives.cosine("map", VECTOR, -1.0)
    with pytest.raises(WrongInput, match=r"power \(=-1.0\) must be 0 or more"):
        objectives.caricature("map", SEEN["map"], -1.0)
    with pytest.raises(WrongInput, match=r"width \(=0\) must be 1 or more"):
        objectives.boundary(0)
    with pytest.raises(WrongInput, match=r"decay_ratio \(=0\) must be above 0"):
        objectives.alignment("map", 0)
    with pytest.raises(WrongInput, match="layers is empty"):
        objectives.activation_difference([], {})
    with pytest.raises(UnknownName, match="no layer of the target 'mapp': did you mean 'map'"):
        objectives.activation_difference(["mapp"], SEEN)


def test_a_vector_is_copied() -> None:
    vector = torch.ones(4, dtype=torch.float64)
    objective = objectives.direction("dense", vector)
    before = value(objective)
    vector.zero_()
    assert value(objective) == before != 0


def test_units_of_float32_are_measured_in_float32() -> None:
    seen: dict[str, Tensor] = {name: values.float() for name, values in SEEN.items()}
    for objective in (
        objectives.cosine("map", VECTOR),
        objectives.content("map", SEEN["map"]),
        objectives.boundary(2),
        objectives.sharpness(),
    ):
        assert objective.measure(seen).dtype == torch.float32
