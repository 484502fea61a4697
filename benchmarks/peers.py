"""The other tools, set up so that they run on today's versions, each with its own defaults.

Each sees the network with its true preprocessing built in, so none is handicapped by a wrong range.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neuronatlas.networks.torch import TorchNetwork

LUCENT_NATIVE = 188
"""Lucent optimises 128 pixels framed to 152 and enlarged to 224: the picture itself is seen at 128 * 224 / 152."""

_KEPT: list[torch.library.Library] = []  # what is defined goes when its library does


class Normalised(nn.Module):
    """A copy of the network's module that takes pictures in 0..1."""

    def __init__(self, network: TorchNetwork) -> None:
        super().__init__()
        self.net = copy.deepcopy(network.module).eval()
        self.normalise = network.input.normalise

    def forward(self, images: Tensor) -> Any:
        return self.net(self.normalise(images))


def prepare() -> None:
    """Make torchvision importable beside a CPU build of torch, and kornia's moved functions findable."""
    warnings.filterwarnings("ignore")
    try:
        _KEPT.append(torch.library.Library("torchvision", "DEF"))
        for name in ("nms", "qnms"):
            _KEPT[-1].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except RuntimeError:  # torchvision's own library is there
        pass
    import kornia
    import kornia.geometry.transform as moved

    kornia.get_rotation_matrix2d, kornia.warp_affine = moved.get_rotation_matrix2d, moved.warp_affine


def lucent(model: nn.Module, layer: str, unit: int, *, steps: int = 512) -> np.ndarray:
    """One picture by Lucent; ``layer`` is the module's name inside `Normalised`."""
    from lucent.optvis import objectives, render

    name = f"net.{layer}".replace(".", "_")
    made = render.render_vis(
        model, objectives.channel(name, unit), preprocess=False, progress=False, show_image=False, thresholds=(steps,)
    )
    return np.asarray(made[-1][0])


def dreamlens(model: nn.Module, layer: str, unit: int) -> np.ndarray:
    from dreamlens import FeatureVisualizer

    tool = FeatureVisualizer(model, quiet=True, device="cpu", normalize=False)
    image = tool.maximize_channel(model.get_submodule(f"net.{layer}"), unit).image
    return _picture(image.forward(device="cpu"))


def torch_dreams(model: nn.Module, layer: str, unit: int) -> np.ndarray:
    from torch_dreams import Dreamer

    tool = Dreamer(model, quiet=True, device="cpu")
    tool.get_default_transforms(rotate=15, scale_max=1.2, scale_min=0.5, translate_x=0.0, translate_y=0.0)
    made = tool.render(
        layers=[model.get_submodule(f"net.{layer}")], custom_func=lambda outputs: -outputs[0][:, unit].mean()
    )
    return np.asarray(made.numpy() if hasattr(made, "numpy") else _picture(made.forward(device="cpu")))


def faccent(model: nn.Module, layer: str, unit: int) -> np.ndarray:
    from faccent import objectives, render

    name = f"net.{layer}".replace(".", "_")
    images, *_ = render.render_vis(
        model,
        objectives.channel(name, unit),
        model_input_size=(224, 224),
        model_input_range=(0.0, 1.0),
        inline_thresholds=[],
        progress=False,
    )
    return _picture(images[-1])


def horama(model: nn.Module, layer: str, unit: int, *, steps: int = 1000) -> np.ndarray:
    """The middle that Horama shows its network: a crop of 0.275 of 1280 pixels at 224."""
    import horama.common as common
    from horama.fourier_fv import fourier

    common.roi_align = _boxes  # torchvision's needs its compiled operator, and asks for terabytes without
    seen: list[Tensor] = []
    hook = model.get_submodule(f"net.{layer}").register_forward_hook(lambda _, __, output: seen.append(output))

    def objective(images: Tensor) -> Tensor:
        seen.clear()
        model(images)
        return seen[0][:, unit].mean()

    try:
        image, _ = fourier(objective, total_steps=steps, values_range=(0.0, 1.0), device="cpu")
    finally:
        hook.remove()
    side = image.shape[-1]
    half = round(side * 0.275 / 2)
    middle = image[None, :, side // 2 - half : side // 2 + half, side // 2 - half : side // 2 + half]
    return _picture(torch.nn.functional.interpolate(middle, size=(224, 224), mode="bilinear", antialias=True))


def _boxes(image: Tensor, boxes: Tensor, output_size: tuple[int, int]) -> Tensor:
    """What ``roi_align`` gives for one picture, by sampling: the boxes (_, x0, y0, x1, y1) in pixels, resized."""
    height, width = image.shape[2:]
    centre = torch.stack(((boxes[:, 1] + boxes[:, 3]) / width - 1, (boxes[:, 2] + boxes[:, 4]) / height - 1), 1)
    scale = torch.stack(((boxes[:, 3] - boxes[:, 1]) / width, (boxes[:, 4] - boxes[:, 2]) / height), 1)
    matrix = torch.cat((torch.diag_embed(scale), centre[:, :, None]), 2)
    grid = torch.nn.functional.affine_grid(matrix, [len(boxes), image.shape[1], *output_size], align_corners=False)
    return torch.nn.functional.grid_sample(image.expand(len(boxes), -1, -1, -1), grid, align_corners=False)


def _picture(image: Tensor) -> np.ndarray:
    plain = image.detach().cpu().float()
    plain = plain[0] if plain.ndim == 4 else plain
    return plain.permute(1, 2, 0).clamp(0, 1).numpy()


OTHERS: dict[str, tuple[Callable[[nn.Module, str, int], np.ndarray], int | None]] = {
    # the picture, and the scale at which it is optimised where that is not its own
    "dreamlens": (dreamlens, None),
    "torch-dreams": (torch_dreams, None),
    "faccent": (faccent, 224),
    "horama": (horama, None),
}
