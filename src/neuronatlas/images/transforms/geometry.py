"""Where the pixels of a transformed picture come from, and the one bilinear sampling that fetches them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from neuronatlas.images.transforms.base import Named
from neuronatlas.images.transforms.gathering import ENOUGH, gathered

Rule = Literal["constant", "edge", "mirror"]
MODES = {"constant": "zeros", "edge": "border", "mirror": "reflection"}  # torch's own words


@dataclass(frozen=True)
class Border:
    """What lies outside a picture: ``value``, the last pixel, or the picture mirrored (its last pixel twice)."""

    rule: Rule
    value: float = 0.0


@dataclass(frozen=True)
class Move:
    """Where pixels come from: ``matrix`` takes (x, y, 1) of a pixel that comes out to the (x, y) that it shows.

    Pixels are counted from the centre of the first. ``size`` is (height, width) of what comes out.
    """

    matrix: Float64[Tensor, "m 2 3"]
    size: tuple[int, int]

    def then(self, later: Move) -> Move:
        """This move and, of what comes out, a later one, which may have several rows for each of these."""
        rows = self.matrix.repeat_interleave(len(later.matrix) // len(self.matrix), 0)
        turned = rows[:, :, :2] @ later.matrix
        turned[:, :, 2] += rows[:, :, 2]
        return Move(turned, later.size)


class Geometric(Named, ABC):
    """A transform that takes each pixel from a place, the same in all channels."""

    @property
    @abstractmethod
    def shared(self) -> bool:
        """Whether the first row of the draws serves the whole batch."""

    @abstractmethod
    def move(self, size: tuple[int, int], draws: Float[Tensor, "n k"]) -> Move:
        """The move of each picture of (height, width) ``size``."""

    @abstractmethod
    def apply(self, images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n k"]) -> Float[Tensor, "m c H W"]:
        """The pictures, each by its own row of the draws."""

    def __call__(self, images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n k"]) -> Float[Tensor, "m c H W"]:
        """The pictures transformed: m = n * views, the views of a picture next to each other."""
        return self.alike(images, draws[:1]) if self.shared else self.apply(images, draws)

    def alike(self, images: Float[Tensor, "n c h w"], draws: Float[Tensor, "1 k"]) -> Float[Tensor, "m c H W"]:
        """All pictures by one draw: the batch is folded into the channels, so that one grid serves all."""
        # Affine, 16 pictures of 80 x 80, forward and backward on one core: 3.2 ms, against 4.5 with the grid expanded,
        # 5.7 with a grid each, 8.0 by indices; 3.1 as a sparse matrix, but 9.8 against 7 to 9 for 4 of 176 x 176.
        number, channels, height, width = images.shape
        moved = self.apply(images.reshape(1, number * channels, height, width), draws)
        views, _, height, width = moved.shape
        moved = moved.view(views, number, channels, height, width).transpose(0, 1)
        return moved.reshape(number * views, channels, height, width)


class Interpolating(Geometric, ABC):
    """A geometric transform that falls between pixels."""

    @property
    @abstractmethod
    def border(self) -> Border:
        """What it takes from outside the picture."""

    def apply(self, images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n k"]) -> Float[Tensor, "m c H W"]:
        """The pictures, each by its own row of the draws."""
        return sample(images, self.move((images.shape[2], images.shape[3]), draws), self.border)


def sample(images: Float[Tensor, "n c h w"], move: Move, border: Border) -> Float[Tensor, "m c H W"]:
    """The pixels that a move asks for, bilinearly; m is a multiple of n, the views of a picture next to each other."""
    number, channels = images.shape[:2]
    views, (height, width) = len(move.matrix) // number, move.size
    if number == views == 1 and channels >= ENOUGH and _gathers(images) and border.value == 0:
        across, down = move.matrix[0].tolist()
        return gathered(images[0], (tuple(across), tuple(down)), move.size, border.rule)[None]
    # The views of a picture stand one below the other in its grid, so that the picture itself is not repeated.
    grid = _grid(move, (images.shape[2], images.shape[3])).to(images).view(number, views * height, width, 2)
    filled = border.rule == "constant" and border.value != 0
    taken = F.grid_sample(
        images - border.value if filled else images,
        grid,
        mode="bilinear",
        padding_mode=MODES[border.rule],
        align_corners=False,
    )
    taken = taken + border.value if filled else taken
    if views > 1:
        taken = taken.view(number, channels, views, height, width).transpose(1, 2)
    return taken.reshape(number * views, channels, height, width)


def _gathers(images: Tensor) -> bool:
    return images.device.type == "cpu" and images.dtype in (torch.float32, torch.float64)


def _grid(move: Move, size: tuple[int, int]) -> Float64[Tensor, "m H W 2"]:
    """The places in a picture of (height, width) ``size``, in the units of ``grid_sample``: -1 and 1 are its edges."""
    lengths = torch.tensor([size[1], size[0]], dtype=torch.float64)
    x, y, start = (2 * move.matrix / lengths[:, None])[:, None].unbind(-1)  # each of shape (m, 1, 2)
    height, width = move.size
    across = x * torch.arange(width, dtype=torch.float64)[:, None] + (start + 1 / lengths - 1)
    down = y * torch.arange(height, dtype=torch.float64)[:, None]
    return down[:, :, None] + across[:, None]


def rows(draws: Float[Tensor, "n k"]) -> Float64[Tensor, "n k"]:
    """The draws in float64 on the processor, where moves are computed: float32 is coarse for places."""
    return draws.detach().to("cpu", torch.float64)


def about_middle(
    size: tuple[int, int], angle: Float64[Tensor, "n"], scale: Float64[Tensor, "n"], shift: Float64[Tensor, "n 2"]
) -> Move:
    """Turned by ``angle`` (radians) and enlarged ``scale`` times about the middle, seen ``shift`` pixels further on."""
    height, width = size
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    x, y = (width - 1) / 2, (height - 1) / 2
    across = torch.stack((cosine, -sine, shift[:, 0] + x - cosine * x + sine * y), 1)
    down = torch.stack((sine, cosine, shift[:, 1] + y - sine * x - cosine * y), 1)
    return Move(torch.stack((across, down), 1), size)


def whole_pixels(size: tuple[int, int], shift: Float64[Tensor, "n 2"]) -> Move:
    """The pixels from ``shift`` (x, y) on."""
    matrix = torch.eye(2, 3, dtype=torch.float64).repeat(len(shift), 1, 1)
    matrix[:, :, 2] = shift
    return Move(matrix, size)


def radians(degrees: Float64[Tensor, "n"]) -> Float64[Tensor, "n"]:
    """The same angle in radians."""
    return degrees * (math.pi / 180)
