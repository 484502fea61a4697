"""Objectives: what they measure, how they add, and what they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import jaxtyping
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from neuronatlas import objectives
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.networks import Network
from neuronatlas.networks.base import Capture, InputSpec, Layer
from neuronatlas.objectives import Objective, channel, neuron
from neuronatlas.units import Unit
from tests.networks.models import efficientnet, wrap

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


def test_what_a_sum_reads() -> None:
    both = channel("a", 3) - 2 * neuron("a", 1)
    assert (both.layers, both.mean_of) == (("a",), None)
    assert both.units == (Unit("a", 3), Unit("a", 1))
    penalised = channel("a", 3) - 0.1 * objectives.total_variation()
    assert (penalised.layers, penalised.mean_of) == (("a",), None)
    assert (objectives.l1() + penalised).layers == ("a",)
    assert (objectives.l1() + objectives.l2()).layers == ()
    assert channel("a", 3).mean_of == 3
    assert (2 * channel("a", 3)).mean_of is None
    assert neuron("a", 3).mean_of is None


def test_means_and_totals() -> None:
    parts = [channel("dense", 0), channel("map", 1), channel("dense", 2)]
    assert float(objectives.total(parts).measure(SEEN)) == 3 + 41.5 + 8
    assert float(objectives.mean(parts).measure(SEEN)) == pytest.approx((3 + 41.5 + 8) / 3)
    assert objectives.total(parts).name == "dense:0 + map:1 + dense:2"
    assert objectives.mean(iter(parts)).name == "mean(dense:0, map:1, dense:2)"
    assert objectives.mean(parts).layers == ("dense", "map")
    assert objectives.mean(parts[:1]).mean_of is None
    many = objectives.mean([channel("dense", 1)] * 3000)
    assert float(many.measure(SEEN)) == pytest.approx(5)
    for combine in (objectives.mean, objectives.total):
        with pytest.raises(WrongInput, match="objectives is empty"):
            combine([])


def test_interpolations_end_at_both() -> None:
    steps = objectives.interpolation(channel("dense", 0), channel("map", 1), 5)
    assert [float(step.measure(SEEN)) for step in steps] == pytest.approx([3, 12.625, 22.25, 31.875, 41.5])
    assert [step.name for step in steps[:2]] == ["1 * (dense:0) + 0 * (map:1)", "0.75 * (dense:0) + 0.25 * (map:1)"]
    assert {step.layers for step in steps} == {("dense", "map")}
    with pytest.raises(WrongInput, match=r"count \(=1\) must be 2 or more"):
        objectives.interpolation(channel("dense", 0), channel("map", 1), 1)


def classifier(*after: nn.Module, labels: tuple[str, ...] = ("cat", "crane", "dog", "crane")) -> Network:
    parts = [nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4), *after]
    network = wrap(nn.Sequential(*parts), 8)
    network.labels = labels
    return network


def test_classes_are_found_by_label_or_number() -> None:
    network = classifier()
    assert objectives.class_logit(network, "dog").name == "3:2" == objectives.class_logit(network, 2).name
    assert objectives.class_logit(classifier(nn.Softmax(1)), "cat").name == "3:0"
    with pytest.raises(UnknownName, match="no label 'dgo': did you mean 'dog'"):
        objectives.class_logit(network, "dgo")
    with pytest.raises(WrongInput, match="label 'crane' is the name of outputs 1 and 3: give its number"):
        objectives.class_logit(network, "crane")
    with pytest.raises(WrongInput, match=r"label \(=4\) is out of range: there are labels 0 to 3"):
        objectives.class_logit(network, 4)
    with pytest.raises(WrongInput, match="has 0 labels"):
        objectives.class_logit(classifier(labels=()), "cat")
    with pytest.raises(WrongInput, match="has 2 labels and 0 layers with a unit for each"):
        objectives.class_logit(classifier(labels=("a", "b")), "a")


def test_the_classes_of_a_real_network() -> None:
    assert objectives.class_logit(efficientnet(), "goldfish").name == "fc:1"


def test_targets_are_what_the_network_makes_of_a_picture() -> None:
    network = classifier()
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    found = objectives.outputs_of(network, picture, ["0", "3"])
    assert {name: tuple(output.shape) for name, output in found.items()} == {"0": (4, 6, 6), "3": (4,)}
    means = network.respond(picture[None], ["0"])["0"][0]
    np.testing.assert_allclose(found["0"].mean((1, 2)).numpy(), means, rtol=1e-6)
    again = objectives.outputs_of(network, picture.astype(np.float64) / 255, ["0"])["0"]
    torch.testing.assert_close(again, found["0"])
    with pytest.raises(WrongInput, match=r"picture has shape \(8, 8\); \(height, width, 3\) is expected"):
        objectives.outputs_of(network, picture[..., 0], ["0"])
    with pytest.raises(WrongInput, match=r"picture has shape \(0, 8, 3\)"):
        objectives.outputs_of(network, picture[:0], ["0"])
    with pytest.raises(WrongInput, match="picture holds values from 0 to 255; uint8, or floats"):
        objectives.outputs_of(network, np.full((8, 8, 3), [0.0, 1.0, 255.0]), ["0"])


def test_a_list_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # the tests' own check of types would speak first
    with pytest.raises(WrongInput, match=r"picture is a list; an array \(height, width, 3\) is expected"):
        objectives.outputs_of(classifier(), np.zeros((8, 8, 3)).tolist(), ["0"])


class Elsewhere(Network):
    """Takes pictures on a device where there are no values, and says what it was given."""

    name, labels, unusable, fingerprint = "elsewhere", (), {}, ""
    input = InputSpec((8, 8), (0.0,) * 3, (1.0,) * 3)
    layers = {"a": Layer("a", "convolution", 3, (3, 8, 8))}  # noqa: RUF012
    device = torch.device("meta")

    @contextmanager
    def capture(self, layers: Iterable[str], **options: object) -> Iterator[Capture]:
        assert not options
        weight = torch.ones((3, 3, 1, 1), device=self.device)
        yield lambda images: {name: F.conv2d(images, weight) for name in layers}

    def receptive_fields(self, layers: Iterable[str]) -> dict[str, int]:
        return dict.fromkeys(layers, 1)


def test_pictures_go_where_the_network_wants_them() -> None:
    network = Elsewhere()
    assert objectives.outputs_of(network, np.zeros((8, 8, 3), np.uint8), ["a"])["a"].device == network.device
    found = objectives.discover(network, lambda seen: seen["a"].mean() - seen["input"].mean(), name="both")
    assert found.layers == ("a",)


TARGETED: dict[str, Callable[[Tensor], Objective]] = {
    "direction": lambda values: objectives.direction("map", values[:, 0, 0]),
    "cosine": lambda values: objectives.cosine("map", values[:, 0, 0].double().numpy()),
    "tensor_direction": lambda values: objectives.tensor_direction("map", values.int()),
    "caricature": lambda values: objectives.caricature("map", values, 1),
    "content": lambda values: objectives.content("map", values),
    "style": lambda values: objectives.style("map", values),
    "input_difference": objectives.input_difference,
}


@pytest.mark.parametrize("name", TARGETED)
def test_a_target_that_was_made_for_inference_has_gradients(name: str) -> None:
    values = SEEN["map"].flip(1)
    with torch.inference_mode():
        given = values * 1
        within = TARGETED[name](given)
    gradients = []
    for objective in (TARGETED[name](values), TARGETED[name](given), within):
        seen = {name: SEEN["map"].clone().requires_grad_(True) for name in ("map", "input")}
        objective.measure(seen).backward()
        gradients.append([each.grad for each in seen.values() if each.grad is not None])
    assert len(gradients[0]) == 1
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0)
    torch.testing.assert_close(gradients[2], gradients[0], rtol=0, atol=0)
