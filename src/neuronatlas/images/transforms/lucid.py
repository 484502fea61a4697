"""Lucent's standard transforms, number for number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from neuronatlas.images.transforms.base import Named, option, require_range
from neuronatlas.images.transforms.geometry import Border, about_middle, radians, sample

FACTORS = [1 + (step - 5) / 50 for step in range(11)]
ANGLES = [*range(-10, 11), 0, 0, 0, 0, 0]


@dataclass(frozen=True)
class LucidChain(Named):
    """Pad 12 with 0.5, jitter 8, scale, rotate, jitter 4, then, of a picture below it, ``upsample`` pixels a side.

    Source: torch-lucent 0.1.8, lucent/optvis/transform.py, ``standard_transforms`` (the numbers are Lucid's: scales 0.90
    to 1.10 in steps of 0.02, angles -10 to 10 degrees with 0 six times as likely as each other), and render.py,
    ``render_vis``, for the last. As there, jitter d moves the picture 0 to d - 1 pixels right and down, scaling and
    upsampling hold the centres of the corner pixels, sides are rounded up, a shrunken picture is padded again, and
    all but the first padding is black. A picture with a side below ``upsample`` becomes square; None: none does.

    One draw serves the whole batch: it changes the size.
    """

    name: ClassVar[str] = "lucid"
    views: ClassVar[int] = 1
    shared: ClassVar[bool] = True
    columns: ClassVar[int] = 6

    upsample: int | None = 224

    def __post_init__(self) -> None:
        """Check the range."""
        if self.upsample is not None:
            require_range("upsample", self.upsample, least=1)

    def draw(self, steps: int, generator: torch.Generator) -> Tensor:
        """Numbers in 0..1 for x and y of the first jitter, the scale, the angle, and x and y of the second jitter."""
        return torch.rand((steps, 6), generator=generator)

    def __call__(self, images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n 6"]) -> Float[Tensor, "n c H W"]:
        """The pictures, all transformed by the first row of ``draws``."""
        side, shortest = self.upsample, min(images.shape[2:])
        first_x, first_y, size, turn, second_x, second_y = draws[0].tolist()
        images = F.pad(images, [12] * 4, value=0.5)
        images = _shifted(images, option(first_x, range(8)), option(first_y, range(8)))
        images = _scaled(images, option(size, FACTORS))
        images = _rotated(images, option(turn, ANGLES))
        images = _shifted(images, option(second_x, range(4)), option(second_y, range(4)))
        # The batch is not folded into the channels here: with many of them, interpolate rounds by the place in the batch.
        if side is not None and shortest < side:
            images = F.interpolate(images, size=[side] * 2, mode="bilinear", align_corners=True)
        return images


def _shifted(images: Tensor, x: int, y: int) -> Tensor:
    """Moved right and down, black where nothing is: kornia's ``translate`` by whole pixels."""
    return F.pad(images, [x, -x, y, -y])


def _scaled(images: Tensor, factor: float) -> Tensor:
    height, width = images.shape[2:]
    size = [math.ceil(factor * height), math.ceil(factor * width)]
    down, across = (max(0, math.ceil((old - new) / 2)) for old, new in zip((height, width), size, strict=True))
    images = F.interpolate(images, size=size, mode="bilinear", align_corners=True)
    return F.pad(images, [down, across, down, across])  # Lucent's order: left and top by the height, right and bottom


def _rotated(images: Tensor, degrees: float) -> Tensor:
    angle = radians(torch.tensor([degrees], dtype=torch.float64))
    number, channels, height, width = images.shape
    move = about_middle((height, width), angle, torch.ones_like(angle), angle.new_zeros((1, 2)))
    planes = images.reshape(1, number * channels, height, width)
    return sample(planes, move, Border("constant")).view(images.shape)
