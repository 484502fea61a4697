"""Transforms that move pixels: pad, jitter and flip by whole pixels; affine, scale, rotate and crops between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from neuronatlas.errors import WrongInput
from neuronatlas.images.transforms.base import option, require, require_range
from neuronatlas.images.transforms.geometry import (
    MODES,
    Border,
    Geometric,
    Interpolating,
    Move,
    Rule,
    about_middle,
    radians,
    rows,
    whole_pixels,
)


@dataclass(frozen=True)
class Affine(Interpolating):
    """Shift, scale and rotation in one bilinear resampling, mirrored at the border.

    ``shift`` is in pixels, ``scale`` the largest relative change of size, ``degrees`` the largest angle: each is drawn
    evenly from both sides of nothing. ``crop`` pixels of each side are cut away afterwards, so that with enough of them
    nothing mirrored is seen. Each picture has a draw of its own, or, where ``shared``, all have the first.
    """

    name: ClassVar[str] = "affine"
    views: ClassVar[int] = 1
    columns: ClassVar[int] = 4
    border: ClassVar[Border] = Border("mirror")

    shift: float = 4.0
    scale: float = 0.08
    degrees: float = 5.0
    shared: bool = False
    crop: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        require_range("shift", self.shift)
        require("scale", self.scale, sound=0 <= self.scale < 1, rule="0 or more and below 1")
        require_range("degrees", self.degrees)
        require_range("crop", self.crop)

    def draw(self, steps: int, generator: torch.Generator) -> Tensor:
        """Numbers in -1..1 for the shift along x and y, the scale and the angle."""
        return 2 * torch.rand((steps, 4), generator=generator) - 1

    def move(self, size: tuple[int, int], draws: Float[Tensor, "n 4"]) -> Move:
        """The move of each picture of (height, width) ``size``."""
        draws = rows(draws)
        angle = radians(self.degrees * draws[:, 3])
        whole = about_middle(size, angle, 1 + self.scale * draws[:, 2], self.shift * draws[:, :2])
        if not self.crop:
            return whole
        height, width = size[0] - 2 * self.crop, size[1] - 2 * self.crop
        if min(height, width) < 1:
            message = f"crop (={self.crop}) leaves nothing of a picture of {size[0]} x {size[1]} pixels"
            raise WrongInput(message)
        start = torch.full((len(draws), 2), float(self.crop), dtype=torch.float64)
        start[:] = (whole.matrix[:, :, :2] @ start[:, :, None])[:, :, 0]  # where the first pixel left stands
        return Move(torch.cat((whole.matrix[:, :, :2], whole.matrix[:, :, 2:] + start[:, :, None]), 2), (height, width))


@dataclass(frozen=True)
class Pad(Geometric):
    """A frame of ``pixels``: of ``value``, or ("reflect") the picture mirrored, its last pixel once."""

    name: ClassVar[str] = "pad"
    views: ClassVar[int] = 1
    columns: ClassVar[int] = 0
    shared: ClassVar[bool] = False

    pixels: int
    mode: Literal["constant", "reflect"] = "constant"
    value: float = 0.5

    def __post_init__(self) -> None:
        """Check the ranges."""
        require_range("pixels", self.pixels)
        require("mode", self.mode, sound=self.mode in {"constant", "reflect"}, rule="'constant' or 'reflect'")

    def draw(self, steps: int, generator: torch.Generator) -> Tensor:
        """Nothing is random: no columns."""
        del generator
        return torch.zeros((steps, 0))

    def move(self, size: tuple[int, int], draws: Float[Tensor, "n 0"]) -> Move:
        """The move of each picture of (height, width) ``size``; what is outside is left to the sampling."""
        shift = torch.full((len(draws), 2), float(-self.pixels), dtype=torch.float64)
        return whole_pixels((size[0] + 2 * self.pixels, size[1] + 2 * self.pixels), shift)

    def apply(self, images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n 0"]) -> Float[Tensor, "n c H W"]:
        """The pictures with their frame; raises `WrongInput` for a mirrored frame as wide as the picture."""
        del draws
        frame = [self.pixels] * 4
        if self.mode == "constant":
            return F.pad(images, frame, value=self.value)
        if self.pixels >= min(images.shape[2:]):
            message = f"pixels (={self.pixels}) must be below the sides of the picture, {tuple(images.shape[2:])}"
            raise WrongInput(message)
        return F.pad(images, frame, mode="reflect")


@dataclass(frozen=True)
class Jitter(Geometric):
    """A random cut, ``pixels`` smaller than the picture: 0 to ``pixels`` from the left and from the top, evenly.

    So Lucid's ``jitter`` (lucid/optvis/transform.py, ``tf.random_crop``).
    """

    name: ClassVar[str] = "jitter"
    views: ClassVar[int] = 1
    columns: ClassVar[int] = 2

    pixels: int
    shared: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        require_range("pixels", self.pixels)

    def draw(self, steps: int, generator: torch.Generator) -> Tensor:
        """Numbers in 0..1 for x and y."""
        return torch.rand((steps, 2), generator=generator)

    def move(self, size: tuple[int, int], draws: Float[Tensor, "n 2"]) -> Move:
        """The move of each picture of (height, width) ``size``; raises `WrongInput` where nothing would be left."""
        if self.pixels >= min(size):
            message = f"pixels (={self.pixels}) must be below the sides of the picture, {size}"
            raise WrongInput(message)
        places = range(self.pixels + 1)
        shift = [[option(number, places) for number in row] for row in draws.tolist()]
        left = torch.tensor(shift, dtype=torch.float64).view(len(draws), 2)
        return whole_pixels((size[0] - self.pixels, size[1] - self.pixels), left)

    def apply(self, images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n 2"]) -> Float[Tensor, "n c H W"]:
        """The pictures, each cut by its own row of the draws."""
        move = self.move((images.shape[2], images.shape[3]), draws)
        height, width = move.size
        corners = [(int(x), int(y)) for x, y in move.matrix[:, :, 2].tolist()]
        cuts = [image[:, y : y + height, x : x + width] for image, (x, y) in zip(images, corners, strict=True)]
        return torch.stack(cuts)


@dataclass(frozen=True)
class Flip(Geometric):
    """Left and right exchanged, with this probability."""

    name: ClassVar[str] = "flip"
    views: ClassVar[int] = 1
    columns: ClassVar[int] = 1

    probability: float = 0.5
    shared: bool = False

    def __post_init__(self) -> None:
        """Check the range."""
        require_range("probability", self.probability, most=1)

    def draw(self, steps: int, generator: torch.Generator) -> Tensor:
        """A number in 0..1: below the probability it flips."""
        return torch.rand((steps, 1), generator=generator)

    def move(self, size: tuple[int, int], draws: Float[Tensor, "n 1"]) -> Move:
        """The move of each picture of (height, width) ``size``."""
        flips = rows(draws)[:, 0] < self.probability
        move = whole_pixels(size, torch.zeros((len(draws), 2), dtype=torch.float64))
        move.matrix[flips, 0, 0] = -1
        move.matrix[flips, 0, 2] = size[1] - 1
        return move

    def apply(self, images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n 1"]) -> Float[Tensor, "n c h w"]:
        """The pictures, each by its own row of the draws."""
        flips = (draws < self.probability).to(images.device)
        return torch.where(flips[:, :, None, None], images.flip(3), images)


@dataclass(frozen=True)
class Scale(Interpolating):
    """Another size: both sides times a factor, drawn evenly from ``low`` to ``high`` or from ``choices``.

    One draw serves the whole batch. The sides are rounded to whole pixels (a half upwards), at least 1; the picture
    fills them from edge to edge, bilinearly, without any smoothing against aliasing.
    """

    name: ClassVar[str] = "scale"
    views: ClassVar[int] = 1
    columns: ClassVar[int] = 1
    shared: ClassVar[bool] = True
    border: ClassVar[Border] = Border("edge")

    low: float = 0.9
    high: float = 1.1
    choices: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges."""
        require("low", self.low, sound=0 < self.low <= self.high, rule=f"above 0 and no more than high (={self.high})")
        require("choices", self.choices, sound=all(factor > 0 for factor in self.choices), rule="factors above 0")

    def draw(self, steps: int, generator: torch.Generator) -> Tensor:
        """A number in 0..1 for the factor."""
        return torch.rand((steps, 1), generator=generator)

    def move(self, size: tuple[int, int], draws: Float[Tensor, "n 1"]) -> Move:
        """The move of all pictures of (height, width) ``size``, by the first row of the draws."""
        number = float(draws[0, 0])
        factor = option(number, self.choices) if self.choices else self.low + (self.high - self.low) * number
        height, width = (max(1, int(length * factor + 0.5)) for length in size)
        x, y = size[1] / width, size[0] / height
        matrix = torch.tensor([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5]], dtype=torch.float64)
        return Move(matrix.repeat(len(draws), 1, 1), (height, width))


@dataclass(frozen=True)
class Rotate(Interpolating):
    """A turn about the middle, drawn evenly from -``degrees`` to ``degrees`` or from ``choices`` (in degrees).

    Outside the picture is ``value`` ("constant"), its last pixel ("edge") or the picture mirrored ("mirror").
    """

    name: ClassVar[str] = "rotate"
    views: ClassVar[int] = 1
    columns: ClassVar[int] = 1

    degrees: float = 10.0
    choices: tuple[float, ...] = ()
    mode: Rule = "constant"
    value: float = 0.5
    shared: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        require_range("degrees", self.degrees)
        require("mode", self.mode, sound=self.mode in MODES, rule="'constant', 'edge' or 'mirror'")

    @property
    def border(self) -> Border:
        """What it takes from outside the picture."""
        return Border(self.mode, self.value if self.mode == "constant" else 0.0)

    def draw(self, steps: int, generator: torch.Generator) -> Tensor:
        """A number in 0..1 for the angle."""
        return torch.rand((steps, 1), generator=generator)

    def move(self, size: tuple[int, int], draws: Float[Tensor, "n 1"]) -> Move:
        """The move of each picture of (height, width) ``size``."""
        if self.choices:
            angles = [option(number, self.choices) for number in draws[:, 0].tolist()]
            angle = torch.tensor(angles, dtype=torch.float64)
        else:
            angle = self.degrees * (2 * rows(draws)[:, 0] - 1)
        return about_middle(size, radians(angle), torch.ones_like(angle), angle.new_zeros((len(angle), 2)))


@dataclass(frozen=True)
class Crops(Interpolating):
    """``count`` random boxes of a picture, each brought to ``size`` x ``size`` pixels.

    A box has from ``low`` to ``high`` of the picture's height and width. Its centre is drawn from a normal distribution
    about the middle, of deviation ``spread`` of each side (0.15 in MACO: Fel et al. 2023, arXiv 2306.06805, and its
    authors' Xplique), and moved so far that the box lies in the picture. Sampling is bilinear, without any smoothing
    against aliasing.
    """

    name: ClassVar[str] = "crops"
    shared: ClassVar[bool] = False
    border: ClassVar[Border] = Border("edge")

    count: int = 8
    low: float = 0.2
    high: float = 0.5
    size: int = 64
    spread: float = 0.15

    def __post_init__(self) -> None:
        """Check the ranges."""
        require_range("count", self.count, least=1)
        require_range("size", self.size, least=1)
        require_range("spread", self.spread)
        require("low", self.low, sound=0 < self.low <= self.high, rule=f"above 0 and no more than high (={self.high})")
        require("high", self.high, sound=self.high <= 1, rule="no more than 1")

    @property
    def views(self) -> int:
        """The boxes of a picture."""
        return self.count

    @property
    def columns(self) -> int:
        """Three numbers a box."""
        return 3 * self.count

    def draw(self, steps: int, generator: torch.Generator) -> Tensor:
        """For each box a number in 0..1 for its side, and its centre, x and y, as shares of the picture."""
        side = torch.rand((steps, self.count, 1), generator=generator)
        centre = 0.5 + self.spread * torch.randn((steps, self.count, 2), generator=generator)
        return torch.cat((side, centre), 2).view(steps, self.columns)

    def move(self, size: tuple[int, int], draws: Float[Tensor, "n k"]) -> Move:
        """The moves of each picture of (height, width) ``size``: ``count`` next to each other."""
        boxes = rows(draws).reshape(-1, 3)
        share = self.low + (self.high - self.low) * boxes[:, :1]
        start = torch.minimum((boxes[:, 1:] - share / 2).clamp(min=0), 1 - share)
        lengths = torch.tensor([size[1], size[0]], dtype=torch.float64)
        step = share * lengths / self.size
        matrix = torch.diag_embed(step)
        return Move(torch.cat((matrix, (start * lengths + step / 2 - 0.5)[:, :, None]), 2), (self.size, self.size))
