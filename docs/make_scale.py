"""The table of docs/scale.md: what a full atlas costs, from counted operations and the cost model of a dry run.

The networks have random weights, which cost the same. Of a forward pass to a layer the multiplications and additions of
convolutions and products of matrices are counted; a step of a rendering is a forward pass and the way back to the picture,
which costs as much again, on the layer's own canvas.

    python -m docs.make_scale  (from the root of the project)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from tests.torchvision_here import load_timm
from torch.utils.flop_counter import FlopCounterMode

from neuronatlas.building.estimating import LayerCost, total
from neuronatlas.networks import Network, as_network
from neuronatlas.rendering import fit_canvas, recipe_of

STIMULI = 1_281_167
"""Pictures in the training set of ILSVRC 2012 (Russakovsky et al., 2015, table 2)."""
OPERATIONS = 1e13
"""Operations a second that the table supposes a GPU to reach."""


@dataclass(frozen=True)
class Part:
    """A layer of which every unit is rendered: operations of a forward pass to it on its canvas, and the canvas."""

    units: int
    operations: float
    pixels: int


def operations(network: Network, layer: str, size: tuple[int, int]) -> float:
    """Of a forward pass of one picture of this size, as far as the layer."""
    with torch.no_grad(), network.capture([layer]) as run, FlopCounterMode(display=False) as counted:
        run(torch.zeros(1, 3, *size))
    return float(counted.get_total_flops())


def parts(network: Network, layers: Iterable[str]) -> list[Part]:
    """The parts of a network."""
    recipe, found = recipe_of("fast"), []
    for name in layers:
        fitted = fit_canvas(network, [name], recipe)
        height, width = (length - 2 * fitted.margin for length in fitted.size)
        found.append(Part(network.layer(name).units, operations(network, name, (height, width)), height * width))
    return found


def row(name: str, found: list[Part], forward: float) -> str:
    """One line of the table."""
    recipe = recipe_of("fast")
    count = sum(part.units for part in found)
    costs = [
        LayerCost(
            part.units, part.units, 2 * part.operations * recipe.steps / OPERATIONS, 3 * part.pixels + 4 * recipe.steps
        )
        for part in found
    ]
    answers, _ = total(STIMULI, 0, forward / OPERATIONS, [])
    seconds, _ = total(STIMULI, count, forward / OPERATIONS, costs)
    _, pictures = total(0, count, 0, costs)
    return (
        f"| {name} | {count:,} | {answers / 3600:.1f} | {(seconds - answers) / 3600:.1f} | {seconds / 3600:.1f} | "
        f"{4 * STIMULI * count / 1e9:,.0f} | {pictures / 1e9:.1f} |"
    )


def main() -> None:
    """Print the table."""
    given = {"input_size": 224, "normalise": "imagenet"}
    torch.manual_seed(0)
    residual = as_network(load_timm().create_model("resnet50", pretrained=False).eval(), **given)
    dense = [name for name, layer in residual.layers.items() if layer.kind in ("convolution", "dense")]
    whole = operations(residual, dense[-1], (224, 224))
    print("| network | units | hours, responses | hours, pictures | hours | GB, whole table | GB, pictures |")
    print("|---|---|---|---|---|---|---|")
    print(row("ResNet-50, convolutions and classes", parts(residual, dense), whole), flush=True)
    large = as_network(load_timm().create_model("vit_large_patch16_224", pretrained=False).eval(), **given)
    blocks = [name for name in large.layers if name.count(".") == 1 and name.startswith("blocks.")]
    hidden = [name for name in large.layers if name.endswith("mlp.act")]
    whole = operations(large, blocks[-1], (224, 224))
    size = (224, 224)  # it takes no other
    found = [Part(large.layer(name).units, operations(large, name, size), 224 * 224) for name in [*blocks, *hidden]]
    print(row("ViT-L/16, blocks and hidden units", found, whole), flush=True)
    middle = operations(large, blocks[11], (224, 224))
    encoder = 2.0 * 1024 * 196  # of one latent, over the tokens of a picture
    latents = [Part(1 << 20, middle + encoder, 224 * 224)]
    print(row("2^20 latents on block 12 of ViT-L/16", latents, middle + encoder * (1 << 20)))


if __name__ == "__main__":
    main()
