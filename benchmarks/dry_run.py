"""What a dry run says, beside what the same build then takes: a residual network, a transformer, latents of one.

The networks have the shapes of ResNet-50, of a small vision transformer, and of that transformer with a sparse autoencoder on
its tokens; their weights are random, which costs the same. A dry run is to be right within a factor of 1.5.

    python -m benchmarks.dry_run [--stimuli 128] [--units 8]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from tests.torchvision_here import load_timm

from neuronatlas import stimuli
from neuronatlas.building import estimate, perform, prepare
from neuronatlas.networks import Network, as_network
from neuronatlas.stimuli import StimulusSet


class WithLatents(torch.nn.Module):
    """A transformer whose last tokens go through the encoder of a sparse autoencoder."""

    def __init__(self, latents: int) -> None:
        super().__init__()
        self.body = load_timm().create_model("vit_tiny_patch16_224", pretrained=False)
        self.encoder = torch.nn.Linear(192, latents)
        self.latents = torch.nn.ReLU()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens: torch.Tensor = self.body.forward_features(images)
        return self.latents(self.encoder(tokens[:, 1:]))


def cases() -> dict[str, tuple[Network, list[str]]]:
    """Name to network and layers."""
    torch.manual_seed(0)
    residual = load_timm().create_model("resnet50", pretrained=False).eval()
    transformer = load_timm().create_model("vit_tiny_patch16_224", pretrained=False).eval()
    latents = WithLatents(4096).eval()
    given = {"input_size": 224, "normalise": "imagenet"}
    return {
        "ResNet-50": (as_network(residual, **given), ["layer1.1", "layer2.1", "layer3.2", "layer4.1"]),
        "ViT-Ti/16": (as_network(transformer, **given), ["blocks.1", "blocks.5", "blocks.10"]),
        "ViT-Ti/16 and 4,096 latents": (as_network(latents, **given), ["latents"]),
    }


def main() -> None:
    """Estimate, build, print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stimuli", type=int, default=128)
    parser.add_argument("--units", type=int, default=8)
    asked = parser.parse_args()
    photographs = stimuli.photographs().items
    shown = StimulusSet(photographs[: asked.stimuli])
    for name, (network, layers) in cases().items():
        job = prepare(network, shown, layers=layers, units=asked.units)
        said = estimate(job)
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            atlas = perform(job, folder)
            took = time.perf_counter() - start
            shards = sum(path.stat().st_size for path in (Path(atlas.folder) / "shards").glob("*.safetensors"))
        print(
            f"{name}: {said.units} units, {said.rendered} rendered, {len(shown)} stimuli: said {said.seconds:.0f} s and "
            f"{said.bytes / 1e6:.1f} MB, took {took:.0f} s ({took / said.seconds:.2f} times) and {shards / 1e6:.1f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
