"""Factories: other people's code, with weights from a file or its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.networks import models
from tests.torchvision_here import load_torchvision

from neuronatlas import zoo
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.networks import InputSpec
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.zoo import factories

CODE = """
import random
import numpy as np
import torch
from torch import nn
from neighbour import CHANNELS

MEAN = 0.5
ready = nn.Sequential(nn.Conv2d(3, CHANNELS, 3), nn.ReLU())


def make():
    return nn.Sequential(nn.Conv2d(3, CHANNELS, 3), nn.BatchNorm2d(CHANNELS), nn.ReLU())


class Family:
    def small():
        return make()


def network():
    import neuronatlas
    return neuronatlas.as_network(make(), input_size=(20, 24), normalise="0..1", name="its own")


def drawn():
    made = make()
    with torch.no_grad():
        made[0].weight[0] = random.random()
        made[0].weight[1] = float(np.random.random())
    return made


def needy(classes):
    return make()


def broken():
    raise KeyError("no such thing")


def text():
    return "a model"
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "my nets").mkdir()
    path = tmp_path / "my nets" / "nets.py"
    path.write_text(CODE)
    (path.parent / "neighbour.py").write_text("CHANNELS = 6\n")
    sys.modules.pop("neighbour", None)
    return path


def test_a_function_in_a_file(code: Path) -> None:
    before = list(sys.path)
    network = zoo.load(f"{code}:make", input_size=16, normalise="-1..1")
    assert list(network.layers) == ["0", "1", "2"]
    assert network.name == "nets.py:make"  # no folder of this machine
    assert network.input == InputSpec((16, 16), (0.5,) * 3, (0.5,) * 3)
    assert network.notes == ()
    assert sys.path == before
    assert "nets" not in sys.modules
    again = zoo.load(f"{code}:Family.small", input_size=16, normalise="-1..1")
    assert again.fingerprint == network.fingerprint  # its random numbers begin anew
    assert list(zoo.load(f"{code}:ready", input_size=16, normalise="0..1").layers) == ["0", "1"]
    assert zoo.load(f"{code}:network").name == "its own"


@pytest.mark.parametrize("said", [{"normalise": "imagenet"}, {"input_size": 64}, {"labels": ["cat"]}])
def test_what_is_said_of_a_network_that_is_ready_is_refused(code: Path, said: dict[str, Any]) -> None:
    with pytest.raises(
        WrongInput, match=rf"'nets.py:network' gives a network that is ready: leave out {next(iter(said))}"
    ):
        zoo.load(f"{code}:network", **said)


def test_random_numbers_go_on_as_though_nothing_had_been_made(code: Path) -> None:
    torch.manual_seed(3)
    state = np.random.get_state()  # noqa: NPY002
    expected = torch.rand(2), np.random.random()  # noqa: NPY002
    torch.manual_seed(3)
    np.random.set_state(state)  # noqa: NPY002
    zoo.load(f"{code}:drawn", normalise="0..1")
    assert torch.equal(torch.rand(2), expected[0])
    assert np.random.random() == expected[1]  # noqa: NPY002


def test_weights_drawn_in_any_way_are_the_same_each_time(code: Path) -> None:
    assert len({zoo.load(f"{code}:drawn", normalise="0..1").fingerprint for _ in range(2)}) == 1


def test_a_function_in_a_package() -> None:
    network = zoo.load("tests.networks.models:plain", input_size=16, normalise="0..1")
    assert network.fingerprint == models.wrap(models.plain()).fingerprint
    assert network.name == "tests.networks.models:plain"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("{code}:mak", "no function in .*nets.py 'mak': did you mean 'make'"),
        ("{code}:needy", "must be callable without arguments: missing a required argument: 'classes'"),
        ("{code}:broken", "nets.py:broken' failed: KeyError: 'no such thing'"),
        ("{code}:MEAN", "nets.py:MEAN' is a float, not a function"),
        ("{code}:text", r"model is a builtins\.str"),
        ("{folder}/none.py:make", r"factory '.*none.py': there is no such file"),
        ("{folder}/bad.py:make", "factory: bad.py cannot be loaded: ZeroDivisionError: division by zero"),
        ("no_such_package.models:make", "factory: no_such_package.models cannot be imported: ModuleNotFoundError"),
        ("weights.zip@{code}:make", r"is not WEIGHTS@FACTORY: the file of weights ends in one of \.safetensors, \.pth"),
        ("weights.pth@what", "factory 'what' must be timm:NAME, torchvision:NAME, package"),
        ("weights.pth", r"is a file of weights, .* give weights\.pth@FACTORY"),
        ("{folder}/none.pth@{code}:make", r"weights '.*none.pth': there is no such file"),
        ("{folder}/bad.py@{code}:network", "is not WEIGHTS@FACTORY"),
        ("{folder}/w.pth@{code}:network", r"are for a torch module, and the factory gives a neuronatlas\."),
        ("{folder}/w.weights.h5@{code}:make", "are those of a Keras model, and the factory gives a torch"),
        (
            "timm:vit_tiny_patch16_225",
            "no timm model 'vit_tiny_patch16_225': did you mean 'vit_tiny_patch16_224",
        ),
    ],
)
def test_what_does_not_work_is_said(code: Path, word: str, message: str) -> None:
    load_torchvision()
    (code.parent / "bad.py").write_text("1 / 0\n")
    torch.save(models.plain().state_dict(), code.parent / "w.pth")
    (code.parent / "w.weights.h5").touch()
    with pytest.raises(WrongInput, match=message):
        zoo.load(word.format(code=code, folder=code.parent), normalise="0..1")
    assert str(code.parent) not in sys.path


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_weights_go_into_what_the_factory_makes(code: Path, ending: str, rng: np.random.Generator) -> None:
    module = models.seeded(torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3), torch.nn.BatchNorm2d(6), torch.nn.ReLU()))
    path = code.parent / f"a@b{ending}"
    save_file(module.state_dict(), path) if ending == ".safetensors" else torch.save(module.state_dict(), path)
    network = zoo.load(f"{path}@{code}:make", input_size=16, normalise="0..1")
    assert network.name == f"a@b{ending}@nets.py:make"
    assert network.fingerprint == models.wrap(module).fingerprint
    pictures = rng.random((2, 16, 16, 3)).astype(np.float32)
    expected = module.eval()(torch.from_numpy(pictures).permute(0, 3, 1, 2)).mean((2, 3))
    np.testing.assert_allclose(network.respond(pictures, ["2"])["2"], expected.detach(), rtol=1e-5, atol=1e-6)


def test_timm_knows_its_preprocessing_and_that_its_weights_are_random(tmp_path: Path) -> None:
    load_torchvision()
    network = zoo.load("timm:mobilenetv3_small_050")
    assert isinstance(network, TorchNetwork)
    assert network.input == InputSpec((224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert network.notes == (
        "its weights are random: no file of weights was given (WEIGHTS@timm:mobilenetv3_small_050)",
    )
    assert zoo.load("timm:mobilenetv3_small_050").fingerprint == network.fingerprint
    vit = zoo.load("timm:test_vit")
    assert vit.input == InputSpec((160, 160), (0.5,) * 3, (0.5,) * 3)
    torch.save(
        {"state_dict": {f"module.{k}": v + 0.01 for k, v in network.module.state_dict().items()}}, tmp_path / "w.pth"
    )
    loaded = zoo.load(f"{tmp_path / 'w.pth'}@timm:mobilenetv3_small_050", normalise="-1..1", input_size=96)
    assert loaded.notes == ()
    assert loaded.fingerprint != network.fingerprint
    assert loaded.input == InputSpec((96, 96), (0.5,) * 3, (0.5,) * 3)


def test_torchvision_knows_its_preprocessing_and_its_classes(tmp_path: Path) -> None:
    torchvision = load_torchvision()
    network = zoo.load("torchvision:squeezenet1_1")
    assert network.input == InputSpec((224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert network.labels == ()
    assert "random" in network.notes[0]
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), tmp_path / "w.pth")
    loaded = zoo.load(f"{tmp_path / 'w.pth'}@torchvision:squeezenet1_1")
    assert loaded.labels[:2] == ("tench", "goldfish")
    assert loaded.notes == ()
    with pytest.raises(UnknownName, match="no torchvision model 'resnet19': did you mean 'resnet18'"):
        zoo.load("torchvision:resnet19")


def test_weights_of_a_backbone_are_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_torchvision()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    network = zoo.load("torchvision:lraspp_mobilenet_v3_large", input_size=64, normalise="imagenet")
    assert "random" in network.notes[0]
    assert not list(tmp_path.iterdir())


def test_a_package_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Beside a torch that it was not built for torchvision raises RuntimeError when it is imported."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('operator nms does not exist')")
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        WrongInput, match=r"cannot be imported \(RuntimeError: operator nms does not exist\): pip install"
    ):
        zoo.load("torchvision:resnet18")


def test_paths_and_names_are_not_taken_for_factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not factories.is_factory("efficientnet-lite0")
    assert not factories.is_factory("C:\\nets\\model.onnx")
    monkeypatch.chdir(tmp_path)
    Path("a@b.onnx").touch()
    assert not factories.is_factory("a@b.onnx")


KERAS = """
import sys
import numpy as np
from pathlib import Path
import keras
import neuronatlas
from neuronatlas.errors import WrongInput
from neuronatlas.zoo import factories

def make():
    return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.ReLU()])

folder = Path(sys.argv[1])
loaded = [neuronatlas.load("__main__:make", normalise="0..1") for _ in range(2)]
weights = [each.function.model.get_weights()[0] for each in loaded]
assert np.array_equal(*weights)
first, second = make(), make()
first.save_weights(folder / "w.weights.h5")
assert not np.array_equal(first.get_weights()[0], second.get_weights()[0])
factories.fill(second, folder / "w.weights.h5")
assert np.array_equal(first.get_weights()[0], second.get_weights()[0])
try:
    factories.fill(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]), folder / "w.weights.h5")
except WrongInput as error:
    assert "the weights in 'w.weights.h5' do not fit" in str(error), error
else:
    raise AssertionError("weights of another model were taken")
"""


def test_weights_of_keras_go_into_a_keras_model(tmp_path: Path) -> None:
    environment = os.environ | {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", KERAS, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
