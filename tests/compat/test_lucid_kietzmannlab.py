"""What notebooks and scripts of Lucid and of lucid-kietzmannlab ask for, in their own words."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.networks import models
from torch import nn

from neuronatlas import objectives as ours
from neuronatlas.compat.lucid import AlexNetCodeOcean, objectives, param, render, transform
from neuronatlas.compat.lucid.models import LAYERS
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.images.alpha import Alpha
from neuronatlas.images.cppn import CPPN
from neuronatlas.images.fourier import Fourier
from neuronatlas.images.pixels import Pixels
from neuronatlas.images.pyramid import Laplacian, LowRes
from neuronatlas.images.transforms import Pad
from neuronatlas.networks.preprocessing import Given
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.rendering import render as render_ours

DEPTHS = (64, 192, 384, 384, 256, 4096, 4096, 565)
NARROW = (64, 12, 8, 8, 6, 10, 10, 7)
"""Units of each layer of the stand-in, whose first layer has as many as AlexNet's."""


@cache
def alexnet() -> TorchNetwork:
    """AlexNet's layers by their names in TensorFlow, its kernels and strides; narrow, and with random weights."""
    sides = ((11, 4, 0), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1), (5, 1, 0), (1, 1, 0), (1, 1, 0))
    parts = nn.Sequential()
    given = 3
    for number, (units, (side, stride, padding)) in enumerate(zip(NARROW, sides, strict=True)):
        parts.add_module(f"layer{number}", nn.Conv2d(given, units, side, stride=stride, padding=padding))
        if number < 7:
            parts.add_module(f"relu{number}", nn.ReLU())
        if number in (0, 1, 4):
            parts.add_module(f"pool{number}", nn.MaxPool2d(3, 2))
        given = units
    names = {f"layer{number}": name for number, name in enumerate(LAYERS)}
    spec = Given(input_size=224, normalise="-1..1").spec(channels=3)
    module = models.seeded(parts).eval()
    return TorchNetwork(module, input=spec, name="alexnet", rename=lambda name: names.get(name, name))


def same(network: TorchNetwork, unit: str, steps: int, **changes: object) -> np.ndarray:
    return render_ours(network, unit, preset="lucid", steps=steps, **changes).image[None]


# AlexNetCodeOcean.


def test_its_arguments_are_the_old_ones() -> None:
    old = {"random_seed": 1, "output_size": 565, "vis_layer": 1, "channel": 0, "thresholds": (512,)}
    found = inspect.signature(AlexNetCodeOcean).parameters
    assert list(found) == ["model_dir", *old]
    assert {name: found[name].default for name in old} == old
    found = inspect.signature(AlexNetCodeOcean.lucid_visualize_layer).parameters
    assert [(name, each.default) for name, each in found.items()][1:] == [
        ("batch", False),
        ("channel_start", 0),
        ("channel_end", -1),
    ]


@pytest.fixture
def model() -> AlexNetCodeOcean:
    return AlexNetCodeOcean(alexnet(), output_size=7, thresholds=(1, 2))


def test_one_channel_gives_one_picture_a_threshold(model: AlexNetCodeOcean) -> None:
    found = model.lucid_visualize_layer()
    assert list(found) == [0]
    assert [(image.shape, image.dtype) for image in found[0]] == [((1, 224, 224, 3), np.float32)] * 2
    for steps, image in zip((1, 2), found[0], strict=True):
        assert image.tobytes() == same(alexnet(), f"{LAYERS[1]}:0", steps, canvas=224, seed=1).tobytes()
        assert 0 <= image.min() < image.max() <= 1


def test_the_layer_is_a_number_or_a_name(model: AlexNetCodeOcean) -> None:
    model.thresholds = (1,)
    model.vis_layer, model.channel = 0, 3
    by_number = model.lucid_visualize_layer()[3][0]
    for name in ("alexnet_v2/conv1/Conv2D", "alexnet_v2/conv1/Conv2D:0"):
        model.vis_layer = name
        assert model.lucid_visualize_layer()[3][0].tobytes() == by_number.tobytes()
    assert model.layer_shape_dict["alexnet_v2/conv1/Conv2D"] == (1, 54, 54, 64)
    assert list(model.layer_shape_dict) == list(LAYERS)
    assert [layer["depth"] for layer in model.layers] == list(NARROW)
    for wrong in (8, -1):
        model.vis_layer = wrong
        with pytest.raises(WrongInput, match=rf"vis_layer \(={wrong}\) must be .* from 0, conv1, to 7, fc8"):
            model.lucid_visualize_layer()
    model.vis_layer = "alexnet_v2/conv9/Conv2D"
    with pytest.raises(UnknownName, match=r"did you mean 'alexnet_v2/conv1/Conv2D'|did you mean 'alexnet_v2/conv"):
        model.lucid_visualize_layer()


def test_a_whole_layer_has_its_last_channel_too(model: AlexNetCodeOcean) -> None:
    model.thresholds, model.vis_layer = (1,), "alexnet_v2/fc8/Conv2D"
    found = model.lucid_visualize_layer(batch=True)
    assert list(found) == list(range(7))
    assert found[6][0].tobytes() == same(alexnet(), f"{LAYERS[7]}:6", 1, canvas=224, seed=1).tobytes()
    part = model.lucid_visualize_layer(batch=True, channel_start=2, channel_end=4)
    assert list(part) == [2, 3]
    assert part[3][0].tobytes() == found[3][0].tobytes()
    for start, end in ((0, 8), (3, 3), (-2, 3), (0, -2)):
        with pytest.raises(WrongInput, match="must lie within the 7 channels of alexnet_v2/fc8/Conv2D, 0 to 6"):
            model.lucid_visualize_layer(batch=True, channel_start=start, channel_end=end)
    model.channel = 7
    with pytest.raises(WrongInput, match=r"channel \(=7\) must lie within the 7 channels"):
        model.lucid_visualize_layer()


def test_the_seed_decides(model: AlexNetCodeOcean) -> None:
    model.thresholds = (1,)
    other = AlexNetCodeOcean(alexnet(), random_seed=2, output_size=7, thresholds=(1,))
    assert model.lucid_visualize_layer()[0][0].tobytes() == model.lucid_visualize_layer()[0][0].tobytes()
    assert model.lucid_visualize_layer()[0][0].tobytes() != other.lucid_visualize_layer()[0][0].tobytes()


def test_another_number_of_classes_is_told() -> None:
    with pytest.warns(UserWarning, match=r"output_size \(=565\) is not used: alexnet_v2/fc8/Conv2D has 7 classes"):
        model = AlexNetCodeOcean(alexnet())
    assert model.output_size == 7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AlexNetCodeOcean(alexnet(), output_size=7)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match=r"folder .* holds no checkpoint"):
        AlexNetCodeOcean(tmp_path)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a checkpoint of AlexNet that TensorFlow wrote, and what TensorFlow answers to four pictures."""
    folder = tmp_path_factory.mktemp("training_seed_01")
    pictures = np.random.default_rng(5).random((4, 224, 224, 3)).astype(np.float32)
    np.save(folder / "pictures.npy", pictures)
    program = Path(__file__).parents[1] / "zoo" / "tensorflow_writing.py"
    few = {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(program), "alexnet", str(folder), "9", "no"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | few)
    assert done.returncode == 0, done.stderr
    yield folder
    shutil.rmtree(folder)  # 0.2 GB


def test_it_draws_the_network_that_is_in_the_folder(checkpoint: Path) -> None:
    model = AlexNetCodeOcean(checkpoint, output_size=9, vis_layer=0, channel=63, thresholds=(8,))
    with np.load(checkpoint / "answers.npz") as answers:
        for layer in (LAYERS[0], LAYERS[4]):
            found = model.network.respond(np.load(checkpoint / "pictures.npy"), [layer])[layer]
            np.testing.assert_allclose(found, answers[layer], atol=2e-4)
    (picture,) = model.lucid_visualize_layer()[63]
    assert picture.shape == (1, 224, 224, 3)
    grey = np.full_like(picture, 0.5)
    before, after = (model.network.respond(each, [LAYERS[0]])[LAYERS[0]][0, 63] for each in (grey, picture))
    assert after > before
    assert model.layer_shape_dict[LAYERS[7]] == (1, 1, 1, 9)


# render_vis as Lucid has it.


@pytest.fixture
def network() -> TorchNetwork:
    return models.wrap(models.plain(), 32)


def small() -> param.Image:
    return param.image(24)


def test_its_arguments_are_lucids() -> None:
    assert list(inspect.signature(render.render_vis).parameters)[:10] == [
        "model", "objective_f", "param_f", "optimizer", "transforms", "thresholds", "print_objectives", "verbose",
        "relu_gradient_override", "use_fixed_seed",
    ]  # fmt: skip


def test_lucids_own_words_run(network: TorchNetwork, capsys: pytest.CaptureFixture[str]) -> None:
    (made,) = render.render_vis(
        network,
        " 5 : 2",
        small,
        None,
        None,
        (3,),
        [objectives.channel("5", 2), "3:1", -objectives.L1()],
        True,
        True,
        True,
    )
    assert made.tobytes() == same(network, "5:2", 3, canvas=24).tobytes()
    lines = capsys.readouterr().out.splitlines()
    seen = ours.outputs_of(network, made[0], ["5", "3"])
    expected = [seen["5"][2].mean(), seen["3"][1].mean(), -np.abs(made).sum()]
    assert [line.split(": ")[1] for line in lines] == ["01", "02", "03"]
    assert [float(line.rsplit(": ", 1)[1]) for line in lines] == pytest.approx(
        [float(each) for each in expected], rel=1e-3
    )


def test_nothing_is_said_unasked(network: TorchNetwork, capsys: pytest.CaptureFixture[str]) -> None:
    render.render_vis(network, "5:2", small, thresholds=(1,))
    assert capsys.readouterr() == ("", "")


def test_an_adam_of_another_rate(network: TorchNetwork) -> None:
    (made,) = render.render_vis(
        network, "5:2", small, lambda parameters: torch.optim.Adam(parameters, lr=0.01), thresholds=(3,)
    )
    assert made.tobytes() == same(network, "5:2", 3, canvas=24, learning_rate=0.01).tobytes()
    assert made.tobytes() != same(network, "5:2", 3, canvas=24).tobytes()


def test_what_is_printed_of_a_batch_is_the_mean(network: TorchNetwork, capsys: pytest.CaptureFixture[str]) -> None:
    told = [objectives.channel("5", 2, batch=1), objectives.diversity("5")]
    (made,) = render.render_vis(
        network, "5:2", lambda: param.image(24, batch=2), thresholds=(2,), print_objectives=told, verbose=False
    )
    first, second = (float(line.rsplit(": ", 1)[1]) for line in capsys.readouterr().out.splitlines())
    outputs = [ours.outputs_of(network, image, ["5"])["5"] for image in made]
    assert first == pytest.approx(float(outputs[1][2].mean()), rel=1e-3)
    grams = [(unit @ unit.T) / (unit @ unit.T).norm() for unit in (output.flatten(1) for output in outputs)]
    assert second == pytest.approx(float((grams[0] * grams[1]).sum()), rel=1e-3)


def test_a_description_may_stand_for_the_function(network: TorchNetwork) -> None:
    (made,) = render.render_vis(network, "5:2", small(), thresholds=(1,))
    assert made.shape == (1, 24, 24, 3)


def test_what_it_cannot_do_is_refused_with_what_can(network: TorchNetwork) -> None:
    with pytest.raises(WrongInput, match=r"relu_gradient_override \(=False\) must be True"):
        render.render_vis(network, "5:2", small, relu_gradient_override=False)
    with pytest.raises(WrongInput, match=r"make colours of them with param.to_valid_rgb"):
        render.render_vis(network, "5:2", lambda: param.fft_image((1, 24, 24, 3)))
    with pytest.raises(WrongInput, match=r"make_vis_T has no equal here: use neuronatlas.render\(..., watch=...\)"):
        render.make_vis_T(network, "5:2")
    with pytest.raises(WrongInput, match=r"activation_difference has no equal here: use neuronatlas.objectives"):
        objectives.activation_difference(["5"])
    with pytest.raises(WrongInput, match="the product of two objectives"):
        objectives.channel("5", 1) * objectives.channel("5", 2)
    with pytest.raises(WrongInput, match="crop_or_pad_to has no equal here"):
        transform.crop_or_pad_to(3, 4)
    with pytest.raises(WrongInput, match=r"seed \(=3\) must be None: render_vis\(..., seed=...\)"):
        transform.jitter(3, seed=3)
    with pytest.raises(WrongInput, match=r"constant_value \(='uniform'\) a number"):
        transform.pad(3, "CONSTANT", "uniform")
    with pytest.raises(WrongInput, match=r"mode \(='SYMMETRIC'\) must be"):
        transform.pad(3, "SYMMETRIC")
    with pytest.raises(WrongInput, match=r"shp \(=20\) must be the shape"):
        objectives.penalize_boundary_complexity(20)
    with pytest.raises(WrongInput, match=r"orig_img has shape \(2, 3\)"):
        objectives.input_diff(np.zeros((2, 3)))


def test_capitals_of_tensorflow_are_understood() -> None:
    assert transform.pad(3, "REFLECT") == Pad(3, "reflect")
    assert transform.pad(3, mode="CONSTANT", constant_value=0.2) == Pad(3, "constant", 0.2)


# Objectives.


def raised(objective: objectives.Objective, labels: tuple[str, ...] = (), **seen: torch.Tensor) -> float:
    count = len(next(iter(seen.values())))
    seen = {ours.PICTURE: torch.zeros((count, 3, 2, 2)), **seen}
    singles = objective.pictures(count, labels)
    return float(
        torch.stack(
            [each.measure({name: values[n] for name, values in seen.items()}) for n, each in enumerate(singles)]
        ).mean()
    )


def test_a_class_by_its_name(network: TorchNetwork) -> None:
    values = torch.randn((2, 3), generator=torch.Generator().manual_seed(1))
    labels = ("cat", "dog", "cow")
    assert raised(objectives.class_logit("a", "dog"), labels, a=values) == pytest.approx(float(values[:, 1].sum()))
    assert raised(objectives.class_logit("a", 2), a=values) == pytest.approx(float(values[:, 2].sum()))
    assert raised(objectives.class_logit("a", "cow", batch=1), labels, a=values) == pytest.approx(float(values[1, 2]))
    mixed = 2 * objectives.class_logit("a", "cat") - objectives.class_logit("a", 1)
    assert raised(mixed, labels, a=values) == pytest.approx(float((2 * values[:, 0] - values[:, 1]).sum()), rel=1e-5)
    with pytest.raises(UnknownName, match="no label 'cwo': did you mean 'cow'"):
        objectives.class_logit("a", "cwo").pictures(1, labels)
    named = TorchNetwork(network.module, input=network.input, labels=tuple("abcdefgh"))
    (made,) = render.render_vis(named, objectives.class_logit("5", "c"), small, thresholds=(2,))
    assert made.tobytes() == same(network, "5:2", 2, canvas=24).tobytes()


def test_the_difference_from_a_picture() -> None:
    picture, wanted = torch.rand((1, 3, 5, 6)), np.random.default_rng(1).random((5, 6, 3)).astype(np.float32)
    expected = np.sqrt(((picture[0].permute(1, 2, 0).numpy() - wanted) ** 2).mean())
    for given in (wanted, wanted[None]):
        assert raised(objectives.input_diff(given), input=picture) == pytest.approx(float(expected), rel=1e-5)
    with pytest.raises(WrongInput, match=r"picture has shape \(3, 5, 6\), but what is made has shape \(3, 5, 5\)"):
        objectives.input_diff(wanted).together(2).measure({ours.PICTURE: torch.rand((2, 3, 5, 5))})


def test_numbers_and_sums(network: TorchNetwork) -> None:
    values = torch.randn((1, 4))
    one, other = objectives.channel("a", 1), objectives.channel("a", 2)
    assert raised(sum([one, other]), a=values) == pytest.approx(float(values[0, 1] + values[0, 2]))
    assert raised(3 + one - 1, a=values) == pytest.approx(float(values[0, 1]))
    assert raised(1 - one, a=values) == pytest.approx(float(-values[0, 1]))


# Parametrisations.


def test_descriptions_of_numbers() -> None:
    shape = (2, 16, 24, 3)
    assert param.to_valid_rgb(param.fft_image(shape, decay_power=1.5), decorrelate=True) == param.Image(
        (16, 24), 2, Fourier(decay=1.5, decorrelate=True)
    )
    assert param.to_valid_rgb(param.naive(shape, 0.2)).parametrisation == Pixels(sd=0.2, decorrelate=False)
    assert param.to_valid_rgb(param.laplacian_pyramid(shape, 3)).parametrisation == Laplacian(
        levels=3, decorrelate=False
    )
    assert param.cppn(20, 2, num_layers=3) == param.Image((20, 20), 2, CPPN(layers=3))
    assert param.rgba(8, 6, 2) == param.Image((6, 8), 2, Alpha(base=Fourier()))


def test_the_shared_parts_of_aligned_interpolation() -> None:
    shape = (3, 32, 32, 3)
    shared = [param.lowres_tensor(shape, (1, 32 // n, 32 // n, 3)) for n in (4, 2, 8)]
    made = param.to_valid_rgb(param.fft_image(shape) + sum(shared), decorrelate=True)
    assert made == param.Image((32, 32), 3, LowRes(factors=(2, 4, 8), decorrelate=True))
    assert param.to_valid_rgb(sum(shared) + param.fft_image(shape), decorrelate=True) == made


def test_descriptions_that_mean_nothing_are_refused() -> None:
    shape = (2, 16, 16, 3)
    with pytest.raises(WrongInput, match="only fft_image and lowres_tensor of one shape add"):
        param.fft_image(shape) + param.pixel_image(shape)
    with pytest.raises(WrongInput, match="only fft_image and lowres_tensor of one shape add"):
        param.fft_image((1, 16, 16, 3)) + param.lowres_tensor(shape, (1, 8, 8, 3))
    with pytest.raises(WrongInput, match="lowres_tensor alone has no detail"):
        param.to_valid_rgb(param.lowres_tensor(shape, (1, 8, 8, 3)))
    with pytest.raises(WrongInput, match=r"underlying_shape \(=\(2, 8, 8, 3\)\) must be"):
        param.lowres_tensor(shape, (2, 8, 8, 3))
    with pytest.raises(WrongInput, match=r"sigmoid \(=False\) must be True"):
        param.to_valid_rgb(param.fft_image(shape), sigmoid=False)
    with pytest.raises(WrongInput, match=r"shape \(=\(16, 16, 3\)\) must be \(batch, height, width, channels\)"):
        param.fft_image((16, 16, 3))
    with pytest.raises(WrongInput, match="t is a int"):
        param.to_valid_rgb(3)
    with pytest.raises(WrongInput, match=r"normalize \(=True\) False"):
        param.cppn(8, normalize=True)
    with pytest.raises(WrongInput, match="init_val is no part"):
        param.pixel_image(shape, init_val=np.zeros(shape))


@pytest.mark.parametrize(
    "made",
    [
        param.cppn(20, 2),
        param.to_valid_rgb(param.laplacian_pyramid_image((2, 20, 20, 3)), decorrelate=True),
        param.to_valid_rgb(param.fft_image((2, 20, 20, 3)) + param.lowres_tensor((2, 20, 20, 3), (1, 10, 10, 3))),
    ],
)
def test_each_of_them_makes_pictures(network: TorchNetwork, made: param.Image) -> None:
    (images,) = render.render_vis(network, "3:1", lambda: made, thresholds=(12,), transforms=[])
    assert images.shape == (2, 20, 20, 3)
    before, after = (
        ours.outputs_of(network, image, ["3"])["3"][1].mean() for image in (np.full_like(images[0], 0.5), images[0])
    )
    assert after > before
