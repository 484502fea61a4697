"""AlexNet from a checkpoint that TensorFlow wrote answers as TensorFlow does, under the published names."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import neuronatlas as na
from neuronatlas import zoo
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.zoo import alexnet_ecoset
from neuronatlas.zoo.tf1_checkpoint import read

PUBLISHED = [f"alexnet_v2/{name}/Conv2D" for name in alexnet_ecoset.CONVOLUTIONS]
UNITS = (64, 192, 384, 384, 256, 4096, 4096)


@pytest.mark.parametrize("which", ["ecoset", "imagenet"])
def test_weights_and_answers_are_tensorflows(which: str, request: pytest.FixtureRequest) -> None:
    trained: Path = request.getfixturevalue(which)
    checkpoint = read(trained / "model.ckpt_epoch89")
    wanted, answers = json.loads((trained / "weights.json").read_text()), np.load(trained / "answers.npz")
    classes = answers["logits"].shape[1]
    assert len(checkpoint) == (33 if classes == 565 else 16)
    if classes == 565:
        assert (trained / "model.ckpt_epoch89.index").stat().st_size == 1492
        assert (trained / "model.ckpt_epoch89.data-00000-of-00001").stat().st_size == 388_173_740
    assert {name: hashlib.sha256(values.tobytes()).hexdigest() for name, values in checkpoint.items()} == wanted

    network = zoo.load(f"alexnet-ecoset:{trained}")
    assert sum(weight.numel() for weight in network.module.parameters()) == {565: 48_521_717, 1000: 50_303_912}[classes]
    assert network.labels == tuple(map(str, range(classes)))
    names = [name for name in answers if name != "logits"]
    assert len(names) == 15
    pictures = np.load(trained / "pictures.npy")
    found = network.respond(pictures, [*names, "fc8/BiasAdd"])
    for name in names:
        assert np.abs(found[name] - answers[name]).max() < 1e-4 * max(1, np.abs(answers[name]).max())
    assert np.abs(answers["logits"]).max() > 0.3
    assert np.abs(found["fc8/BiasAdd"] - answers["logits"]).max() < 1e-4


def test_every_published_layer_renders_under_its_names(ecoset: Path) -> None:
    network = zoo.load(f"alexnet-ecoset:{ecoset}")
    shapes = [network.layer(name).shape for name in PUBLISHED]
    classes = len(network.labels)
    assert shapes == [
        (64, 54, 54),
        (192, 26, 26),
        (384, 12, 12),
        (384, 12, 12),
        (256, 12, 12),
        *[(4096, 1, 1)] * 2,
        (classes, 1, 1),
    ]
    for name in alexnet_ecoset.CONVOLUTIONS:
        assert network.layer(name) == network.layer(f"{name}/Conv2D") == network.layer(f"alexnet_v2/{name}/Conv2D")
    both = network.respond(np.load(ecoset / "pictures.npy")[:1], ["conv1", "alexnet_v2/conv1/Conv2D", "conv1/Relu"])
    assert list(both) == ["conv1", "alexnet_v2/conv1/Conv2D", "conv1/Relu"]
    assert np.array_equal(both["conv1"], both["alexnet_v2/conv1/Conv2D"])
    assert both["conv1"].min() < 0 <= both["conv1/Relu"].min()
    for name, unit in zip(PUBLISHED, (0, 191, 3, 3, 255, 5, 4095, classes - 1), strict=True):
        (rendering,) = na.render(network, [f"{name}:{unit}"], preset="fast", steps=2)
        assert rendering.status == ""
        assert np.isfinite(rendering.score)
        assert rendering.image.std() > 0
    with pytest.raises(UnknownName, match="no layer 'conv6'"):
        network.layer("conv6")


def test_its_preprocessing_is_that_of_its_training(ecoset: Path) -> None:
    network = zoo.load(f"alexnet-ecoset:{ecoset}")
    picture = torch.rand(1, 3, 224, 224)
    assert torch.allclose(network.input.normalise(picture), (picture - 0.5) * 2, atol=1e-6)
    assert network.input.size == (224, 224)
    assert not network.module.training


def test_converted_weights_are_the_same_network(ecoset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "named"
    folder.mkdir()
    for file in ecoset.glob("model.*"):
        os.link(file, folder / file.name)
    classes = len(zoo.load(f"alexnet-ecoset:{ecoset}").labels)
    (folder / "labels.txt").write_text("".join(f"{number:04}_thing\n" for number in range(classes)))
    out = tmp_path / "alexnet.safetensors"
    command = [sys.executable, "-m", "neuronatlas.cli", "convert", str(folder), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}  {classes} classes; the network is alexnet-ecoset:{out}\n"
    network = zoo.load(f"alexnet-ecoset:{out}")
    assert network.fingerprint == zoo.load(f"alexnet-ecoset:{folder}").fingerprint
    assert network.labels[-1] == f"{classes - 1:04}_thing"
    with out.open("r+b") as file:
        file.seek(-1000, 2)
        byte = file.read(1)
        file.seek(-1000, 2)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(WrongInput, match=r"alexnet\.safetensors' are damaged: their sha256 is not the one"):
        zoo.load(f"alexnet-ecoset:{out}")
    (folder / "labels.txt").write_text("one\ntwo\n")
    with pytest.raises(WrongInput, match=f"labels.txt has 2 lines, and the network {classes} classes"):
        zoo.load(f"alexnet-ecoset:{folder}")


def test_which_checkpoint_is_meant_is_said(small: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="is not there: give the folder with its"):
        zoo.load(f"alexnet-ecoset:{tmp_path / 'none'}")
    with pytest.raises(WrongInput, match="holds no checkpoint; give the folder"):
        zoo.load(f"alexnet-ecoset:{tmp_path}")
    with pytest.raises(WrongInput, match="holds 2 checkpoints: give one, sharded, small"):
        zoo.load(f"alexnet-ecoset:{small}")
    with pytest.raises(WrongInput, match="has no 'alexnet_v2/conv1/weights': it is no AlexNet, but has empty, many/of"):
        zoo.load(f"alexnet-ecoset:{small / 'small'}")
    for seed in ("01", "02"):
        (tmp_path / f"training_seed_{seed}").mkdir()
        shutil.copy(small / "small.index", tmp_path / f"training_seed_{seed}")
    with pytest.raises(WrongInput, match="its folders do: give one, training_seed_01, training_seed_02"):
        zoo.load(f"alexnet-ecoset:{tmp_path}")
    with pytest.raises(WrongInput, match=r"must end in \.safetensors"):
        alexnet_ecoset.convert(small / "small", tmp_path / "a.pth")
    (tmp_path / "a.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(WrongInput, match=r"a\.safetensors' cannot be read"):
        zoo.load(f"alexnet-ecoset:{tmp_path / 'a.safetensors'}")


def test_no_tensorflow_is_loaded(ecoset: Path) -> None:
    code = "import sys, neuronatlas; neuronatlas.load(sys.argv[1]).layers; sys.exit('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, f"alexnet-ecoset:{ecoset}"], check=False)
    assert done.returncode == 0


FORGED = {
    "other tensors": ({"conv1.weight": torch.zeros(2)}, "[]", "are no AlexNet .* conv1.weight, conv1/BiasAdd.bias"),
    "one class of them, and nothing else": ({"fc8/BiasAdd.bias": torch.zeros(1)}, "[]", "absent, .* conv1.weight"),
    "no labels": ({}, None, "have no list of labels"),
    "labels that are no JSON": ({}, "cat, dog", "have no list of labels"),
    "labels that are a text": ({}, '"abcde"', "have no list of labels"),
    "labels that are numbers": ({}, "[1, 2]", "have no list of labels"),
    "labels that are nested": ({}, "[" * 100_000, "have no list of labels"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_file_that_convert_did_not_write_is_refused(name: str, tmp_path: Path) -> None:
    state, labels, message = FORGED[name]
    about = {"format": alexnet_ecoset._FORMAT, "sha256": alexnet_ecoset._digest(state)}
    save_file(state, tmp_path / "a.safetensors", about | ({} if labels is None else {"labels": labels}))
    with pytest.raises(WrongInput, match=message):
        zoo.load(f"alexnet-ecoset:{tmp_path / 'a.safetensors'}")


def test_weights_of_another_shape_kind_or_name_are_refused() -> None:
    with torch.device("meta"):
        state = alexnet_ecoset.AlexNet(7).state_dict()
        changes = {
            "conv1.weight": torch.zeros(64, 3, 5, 5),
            "fc7.weight": torch.zeros(4096, 4096, 1, 1, dtype=torch.float64),
            "fc8/BiasAdd.bias": torch.zeros(7, 1),
            "fc9.weight": torch.zeros(1),
        }
    alexnet_ecoset._check_converted(Path("a.safetensors"), state)
    for name, value in changes.items():
        with pytest.raises(WrongInput, match=f"absent, of another shape or too many are {name};"):
            alexnet_ecoset._check_converted(Path("a.safetensors"), state | {name: value})
    del state["conv3/BiasAdd.bias"]
    with pytest.raises(WrongInput, match=r"too many are conv3/BiasAdd.bias;"):
        alexnet_ecoset._check_converted(Path("a.safetensors"), state)
