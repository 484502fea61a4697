"""MobileNet-V2 with its published weights sees what is in photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.zoo import downloads

from neuronatlas import stimuli, zoo
from neuronatlas.errors import WrongInput
from neuronatlas.zoo.mobilenet_v2 import MobileNetV2

SHOWN = {
    "chelsea": "Egyptian cat",
    "coffee": "espresso",
    "motorcycle_left": "motor scooter",
    "rocket": "space shuttle",
    "china": "palace",
    "flower": "bee",
}


def test_it_sees_what_is_shown() -> None:
    network = zoo.load(f"mobilenet-v2:{downloads.mobilenet_weights()}")
    items = {item.label: item for item in stimuli.photographs() if "/1.00" in item.name}
    pictures = np.stack([items[name].draw(224) for name in SHOWN])
    answers = network.respond(pictures, ["classifier.1"])["classifier.1"]
    for answer, label in zip(answers, SHOWN.values(), strict=True):
        assert label in [network.labels[number] for number in np.argsort(-answer)[:5]]


def test_layers_have_torchvisions_names() -> None:
    network = zoo.load(f"mobilenet-v2:{downloads.mobilenet_weights()}")
    assert sum(weight.numel() for weight in network.module.parameters()) == 3_504_872  # pytorch.org/vision
    assert network.layer("features.0.0").shape == (32, 112, 112)
    assert network.layer("features.18").shape == (1280, 7, 7)
    assert network.layer("features.2.conv.1.0").units == 96
    assert network.layer("classifier.1").shape == (1000,)
    assert network.input.mean == (0.485, 0.456, 0.406)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"features.0.0.weight": torch.zeros(3)}, tmp_path / "bad.pth")
    with pytest.raises(WrongInput, match="do not fit MobileNetV2"):
        zoo.load(f"mobilenet-v2:{tmp_path / 'bad.pth'}")
    torch.save(MobileNetV2(7).state_dict(), tmp_path / "seven.pth")
    seven = zoo.load(f"mobilenet-v2:{tmp_path / 'seven.pth'}")
    assert seven.layer("classifier.1").units == 7
    assert seven.labels == ()
    torch.save(MobileNetV2(7), tmp_path / "module.pth")
    with pytest.raises(WrongInput, match=r"module\.pth'"):
        zoo.load(f"mobilenet-v2:{tmp_path / 'module.pth'}")
