"""Transforms that change the values of pixels where they are: blur, noise, colour, and a background behind RGBA."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from neuronatlas.errors import WrongInput
from neuronatlas.images.fourier import Fourier
from neuronatlas.images.transforms.base import Named, require, require_range, seeded, seeds


@dataclass(frozen=True)
class Blur(Named):
    """A Gaussian blur, its deviation drawn evenly from ``low`` to ``high`` pixels; the last pixel goes on outside.

    The kernel ends 4 times ``high`` from its middle, whatever is drawn.
    """

    name: ClassVar[str] = "blur"
    views: ClassVar[int] = 1
    shared: ClassVar[bool] = False
    columns: ClassVar[int] = 1

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        require_range("low", self.low)
        require_range("high", self.high, least=self.low)

    def draw(self, steps: int, generator: torch.Generator) -> Tensor:
        """A number in 0..1 for the deviation."""
        return torch.rand((steps, 1), generator=generator)

    def __call__(self, images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n 1"]) -> Float[Tensor, "n c h w"]:
        """The pictures, each by its own row of the draws."""
        number, channels, height, width = images.shape
        radius = int(4 * self.high + 0.5)
        deviation = self.low + (self.high - self.low) * draws.detach().double()
        places = torch.arange(-radius, radius + 1, dtype=torch.float64, device=draws.device)
        # A deviation of nothing leaves the middle alone: a thousandth of a pixel weighs a neighbour at exp(-500000).
        weights = (-0.5 * (places / deviation.clamp(min=1e-3)).square()).exp()
        weights = (weights / weights.sum(1, keepdim=True)).to(images).repeat_interleave(channels, 0)
        planes = images.reshape(1, number * channels, height, width)
        planes = F.pad(planes, [radius] * 4, mode="replicate")
        planes = F.conv2d(planes, weights[:, None, None], groups=number * channels)
        planes = F.conv2d(planes, weights[:, None, :, None], groups=number * channels)
        return planes.view(number, channels, height, width)


@dataclass(frozen=True)
class Noise(Named):
    """Independent normal noise of deviation ``sd`` on each value."""

    name: ClassVar[str] = "noise"
    views: ClassVar[int] = 1
    shared: ClassVar[bool] = False
    columns: ClassVar[int] = 1

    sd: float = 0.1

    def __post_init__(self) -> None:
        """Check the range."""
        require_range("sd", self.sd)

    def draw(self, steps: int, generator: torch.Generator) -> Tensor:
        """A seed a step."""
        return seeds(steps, generator)

    def __call__(self, images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n 1"]) -> Float[Tensor, "n c h w"]:
        """The pictures, each with the noise of its own seed."""
        noise = [torch.randn(images.shape[1:], generator=seeded(seed)) for seed in draws[:, 0].tolist()]
        return images + self.sd * torch.stack(noise).to(images)


@dataclass(frozen=True)
class Colour(Named):
    """Brightness, then contrast, then saturation, each times a factor drawn evenly from 1 - x to 1 + x.

    Contrast is taken about the picture's mean luminance, saturation about each pixel's own, with the weights of ITU-R
    BT.601. Nothing is cut off at 0 and 1, where a cut would have no gradient.
    """

    name: ClassVar[str] = "colour"
    views: ClassVar[int] = 1
    shared: ClassVar[bool] = False
    columns: ClassVar[int] = 3

    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.1

    def __post_init__(self) -> None:
        """Check the ranges."""
        for argument in ("brightness", "contrast", "saturation"):
            require_range(argument, getattr(self, argument), most=1)

    def draw(self, steps: int, generator: torch.Generator) -> Tensor:
        """Numbers in -1..1 for the three factors."""
        return 2 * torch.rand((steps, 3), generator=generator) - 1

    def __call__(self, images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n 3"]) -> Float[Tensor, "n c h w"]:
        """The pictures, each by its own row of the draws; raises `WrongInput` unless c is 3."""
        require("channels of the pictures", images.shape[1], sound=images.shape[1] == 3, rule="3")
        strengths = draws.new_tensor([self.brightness, self.contrast, self.saturation])
        bright, contrast, saturation = (1 + strengths * draws).to(images)[:, :, None, None, None].unbind(1)
        images = images * bright
        mean = _luminance(images).mean((2, 3), keepdim=True)
        images = mean + contrast * (images - mean)
        grey = _luminance(images)
        return grey + saturation * (images - grey)


def _luminance(images: Tensor) -> Tensor:
    return (images * images.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)


@dataclass(frozen=True)
class Composite(Named):
    """RGBA over a smooth random picture: what is transparent must do for any background.

    The background is a Fourier picture of deviation ``sd`` and decay 1, as in Lucid's ``collapse_alpha_random``
    (lucid/optvis/transform.py, 0.5).
    """

    name: ClassVar[str] = "composite"
    views: ClassVar[int] = 1
    shared: ClassVar[bool] = False
    columns: ClassVar[int] = 1

    sd: float = 0.5

    def __post_init__(self) -> None:
        """Check the range."""
        require("sd", self.sd, sound=0 < self.sd < math.inf, rule="above 0")

    def draw(self, steps: int, generator: torch.Generator) -> Tensor:
        """A seed a step."""
        return seeds(steps, generator)

    def __call__(self, images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n 1"]) -> Float[Tensor, "n 3 h w"]:
        """The pictures without their alpha, each over the background of its own seed; raises `WrongInput` unless c is 4."""
        if images.shape[1] != 4:
            message = f"channels of the pictures (={images.shape[1]}) must be 4: red, green, blue and alpha"
            raise WrongInput(message)
        size = (images.shape[2], images.shape[3])
        smooth = Fourier(sd=self.sd)
        numbers = smooth.start(size, [seeded(seed) for seed in draws[:, 0].tolist()])
        background = smooth.image(numbers, size).to(images)
        colour, alpha = images[:, :3], images[:, 3:]
        return alpha * colour + (1 - alpha) * background
