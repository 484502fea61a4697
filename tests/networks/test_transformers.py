"""Vision transformers: patch tokens are maps, class tokens and registers layers of their own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.networks import models
from tests.torchvision_here import load_torchvision
from torch import Tensor, nn

from neuronatlas import objectives
from neuronatlas.errors import WrongInput
from neuronatlas.networks import as_network
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.rendering import render
from neuronatlas.responses import record
from neuronatlas.units import Unit

BEFORE = 5


def vit(**options: object) -> nn.Module:
    """A transformer of timm with a class token and four registers, on 4 x 6 patches of 8 pixels."""
    load_torchvision()
    from timm.models.vision_transformer import VisionTransformer

    chosen: dict[str, object] = {"img_size": (32, 48), "patch_size": 8, "embed_dim": 12, "depth": 2, "num_heads": 2}
    return models.seeded(VisionTransformer(**(chosen | {"reg_tokens": 4, "num_classes": 3} | options)))


def wrap(module: nn.Module) -> TorchNetwork:
    return models.wrap(module, (32, 48))


@pytest.fixture
def pictures(rng: np.random.Generator) -> np.ndarray:
    return rng.random((3, 32, 48, 3)).astype(np.float32)


def tokens(module: nn.Module, block: int, pictures: np.ndarray) -> np.ndarray:
    """What a block gives, (n, tokens, units), by a hook of torch's own."""
    found: list[Tensor] = []
    handle = module.blocks[block].register_forward_hook(lambda part, given, output: found.append(output))  # type: ignore[index, union-attr]
    with torch.no_grad():
        module.eval()(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    handle.remove()
    return found[0].numpy()


def test_m8_tokens_are_told_apart(pictures: np.ndarray) -> None:
    module = vit()
    network = wrap(module)
    layers = network.layers
    assert layers["blocks.1"].shape == (12, 4, 6)
    assert layers["blocks.1.cls"].shape == (12,)
    assert layers["blocks.1.registers"].shape == (4, 12)
    assert [layers[name].units for name in ("blocks.1", "blocks.1.cls", "blocks.1.registers")] == [12] * 3
    expected = tokens(module, 1, pictures)
    names = ["blocks.1.registers", "blocks.1", "blocks.1.cls"]
    found = network.respond(pictures, names)
    assert list(found) == names
    np.testing.assert_allclose(found["blocks.1"], expected[:, BEFORE:].mean(1), atol=1e-5)
    np.testing.assert_allclose(found["blocks.1.cls"], expected[:, 0], atol=1e-5)
    np.testing.assert_allclose(found["blocks.1.registers"], expected[:, 1:BEFORE].mean(1), atol=1e-5)


def test_m8_a_patch_has_its_place_in_the_picture(pictures: np.ndarray) -> None:
    module = vit()
    network = wrap(module)
    every = record(network, pictures, layers=["blocks.0", "blocks.0.registers"], reduce="none")
    expected = tokens(module, 0, pictures)
    assert len(every.units) == 12 * 24 + 12 * 4
    column = every.units.index(Unit("blocks.0", 7, (2, 5)))
    np.testing.assert_allclose(every.values[:, column], expected[:, BEFORE + 2 * 6 + 5, 7], atol=1e-5)
    column = every.units.index(Unit("blocks.0.registers", 7, (0, 3)))
    np.testing.assert_allclose(every.values[:, column], expected[:, 4, 7], atol=1e-5)
    changed = pictures.copy()
    changed[:, 16:24, 40:48] = 0.5  # the patch at row 2, column 5
    first, second = (
        network.respond(shown, ["patch_embed"], reduce="none")["patch_embed"] for shown in (pictures, changed)
    )
    moved = np.abs(first - second).max(0).reshape(12, 4, 6).max(0)
    assert np.argwhere(moved > 0).tolist() == [[2, 5]]


def test_m8_pictures_of_patches_and_of_the_class_token() -> None:
    network = wrap(vit())
    wanted = ["blocks.0:3", "blocks.1:3@1,4", "blocks.1.cls:3", "head:2", objectives.neuron("blocks.0", 1)]
    made = render(network, wanted, steps=8)  # type: ignore[arg-type]
    assert [one.status for one in made] == [""] * 5
    assert all(one.score > one.curve[0] for one in made)
    assert made[1].image.shape == (32, 48, 3)
    with pytest.raises(WrongInput, match=r"layer 'blocks.1.cls' has no map"):
        render(network, "blocks.1.cls:3@0,0", steps=1)
    with pytest.raises(WrongInput, match=r"outside the map of layer 'blocks.1', 4 x 6 positions"):
        render(network, "blocks.1:3@4,0", steps=1)


def test_the_field_of_a_patch_is_the_patch_and_that_of_a_block_everything() -> None:
    fields = wrap(vit()).receptive_fields(["patch_embed", "blocks.0", "blocks.0.cls"])
    assert fields == {"patch_embed": 8, "blocks.0": 48, "blocks.0.cls": 48}


@pytest.mark.parametrize(
    ("options", "present", "absent"),
    [
        ({"reg_tokens": 0}, ["blocks.0", "blocks.0.cls"], ["blocks.0.registers"]),
        (
            {"class_token": False, "reg_tokens": 3, "global_pool": "avg"},
            ["blocks.0", "blocks.0.registers"],
            ["blocks.0.cls"],
        ),
        (
            {"class_token": False, "reg_tokens": 0, "global_pool": "avg"},
            ["blocks.0"],
            ["blocks.0.cls", "blocks.0.registers"],
        ),
    ],
)
def test_what_stands_before_the_patches_is_what_the_model_has(
    options: dict[str, object], present: list[str], absent: list[str]
) -> None:
    layers = wrap(vit(**options)).layers
    assert set(present) <= set(layers)
    assert not set(absent) & set(layers)
    assert layers["blocks.0"].shape == (12, 4, 6)


class Unsaid(nn.Module):
    """A transformer that does not say how many tokens stand before its patches."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, stride=8)
        self.start = nn.Parameter(torch.zeros(1, 8))
        self.before = before
        self.block = nn.Linear(8, 8)
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        return self.block(torch.cat([self.start.expand(len(x), self.before, 8), x], dim=1))


@pytest.mark.parametrize(("before", "names"), [(0, []), (1, ["cls"]), (5, ["cls", "registers"]), (20, None)])
def test_the_count_tells_where_the_model_does_not(before: int, names: list[str] | None) -> None:
    layers = wrap(Unsaid(before)).layers
    if names is None:  # too many to be sure: tokens as they are
        assert layers["block"].shape == (44, 8)
        assert list(layers) == ["patches", "block"]
    else:
        assert layers["block"].shape == (8, 4, 6)
        assert list(layers) == ["patches", "block", *(f"block.{name}" for name in names)]


def test_units_that_come_last_are_found(pictures: np.ndarray) -> None:
    """Swin transformers keep their maps as (n, height, width, units); Liu et al. 2021, arXiv 2103.14030."""
    swin = load_torchvision().models.swin_transformer.SwinTransformer
    module = models.seeded(swin([4, 4], 8, [1, 1], [2, 2], [2, 2], num_classes=3))
    network = wrap(module)
    shapes = {name: layer.shape for name, layer in network.layers.items()}
    assert shapes["features.0"] == (8, 8, 12)
    assert shapes["features.1.0.norm1"] == (8, 8, 12)
    assert shapes["features.1.0.mlp.0"] == (32, 8, 12)
    assert shapes["features.1.0.mlp.1"] == (32, 8, 12)
    assert shapes["features.3"] == (16, 4, 6)
    assert shapes["permute"] == (16, 4, 6)
    whole = network.respond(pictures, ["features.3", "permute", "norm"])
    np.testing.assert_allclose(whole["norm"], whole["permute"], atol=1e-6)
    assert render(network, "features.3:5@1,2", steps=2).image.shape == (32, 48, 3)


@pytest.mark.parametrize("make", [lambda: vit(), lambda: Unsaid(1)], ids=["said", "unsaid"])
def test_units_alone_are_those_of_all(make: Callable[[], nn.Module]) -> None:
    network = wrap(make())
    images = torch.rand(2, 3, 32, 48)
    name = next(name for name in reversed(network.layers) if name.endswith(".cls"))
    for layer in (name, name.removesuffix(".cls")):
        with torch.no_grad(), network.capture([layer]) as run:
            whole = run(images)[layer]
        with torch.no_grad(), network.capture([layer], units=[3, 0, 3]) as run:
            torch.testing.assert_close(run(images)[layer], whole[:, [3, 0, 3]])
        twin = network.accelerated([layer])[0]
        with torch.no_grad(), twin.capture([layer], units=[3, 0]) as run:
            torch.testing.assert_close(run(images)[layer], whole[:, [3, 0]], rtol=1e-4, atol=1e-5)


def test_attention_of_torchvision_is_addressed_too() -> None:
    create = load_torchvision().models.vision_transformer.VisionTransformer
    network = models.wrap(models.seeded(create(32, 8, 1, 2, 12, 16, num_classes=3)), 32)
    layer = "encoder.layers.encoder_layer_0"
    assert network.layers[layer].shape == (12, 4, 4)
    assert network.layers[f"{layer}.cls"].shape == (12,)
    assert f"{layer}.self_attention.out_proj" in network.unusable
    assert render(network, f"{layer}:3@3,3", steps=2).status == ""
    assert as_network(network) is network
