"""The Fourier parametrisation: an image as the scaled coefficients of its real Fourier transform.

Each coefficient is divided by its frequency, so that a step of gradient ascent changes all scales of the picture
alike (Olah, Mordvintsev & Schubert 2017, doi 10.23915/distill.00007; Lucid's ``fft_image``: decay 1, sd 0.01, and the
result divided by 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from neuronatlas.images.base import Size, check_above, check_size, drawn, settings_of, widened
from neuronatlas.images.colour import check_colours, colours_used, to_picture


@dataclass(frozen=True)
class Fourier:
    """Pictures from numbers of shape (n, channels, height, width // 2 + 1, 2), the real and imaginary parts.

    ``sd`` is the spread of the first coefficients, which are divided by their frequency to the power ``decay``.
    ``contrast_cap`` bounds the root mean square z of a picture's logits softly, at z c / (z^4 + c^4)^(1/4): without
    it, long steps end in saturated pixels. None: no bound. ``decorrelate`` mixes colours by the matrix named in
    ``colours`` (see `neuronatlas.images.colour`); None: when there are three channels.
    """

    sd: float = 0.01
    decay: float = 1.0
    contrast_cap: float | None = None
    channels: int = 3
    decorrelate: bool | None = None
    colours: str = "imagenet"

    def __post_init__(self) -> None:
        """Refuse values without meaning."""
        check_above(0, sd=self.sd, contrast_cap=self.contrast_cap)
        check_colours(self.channels, self.decorrelate, self.colours)

    @property
    def planes(self) -> int:
        """The channels of the pictures."""
        return self.channels

    @property
    def settings(self) -> dict[str, object]:
        """The name and the fields as plain values."""
        return settings_of(self)

    def start(self, size: Size, generators: Sequence[torch.Generator]) -> Float[Tensor, "n c h k 2"]:
        """Random numbers for one picture a generator: n at once equal one by one."""
        check_size(size)
        return drawn(self._shape(size), self.sd, generators)

    def image(self, numbers: Float[Tensor, "n c h k 2"], size: Size) -> Float[Tensor, "n c h w"]:
        """Pictures in 0..1."""
        wide = widened(numbers, self._shape(size))
        scaled = wide * _scale(size, self.decay, wide.dtype, wide.device)
        logits = torch.fft.irfft2(torch.view_as_complex(scaled), s=size, norm="ortho")
        colours = colours_used(self.channels, self.decorrelate, self.colours)
        return to_picture(logits, colours, self.contrast_cap).to(numbers.dtype)

    def _shape(self, size: Size) -> tuple[int, int, int, int]:
        return (self.channels, size[0], size[1] // 2 + 1, 2)


def frequencies(size: Size) -> Float[Tensor, "h k"]:
    """The frequency of each coefficient in cycles a pixel, float64; nought counts as the lowest above it, as in Lucid."""
    height, width = size
    rows = torch.fft.fftfreq(height, dtype=torch.float64, device="cpu")
    columns = torch.fft.rfftfreq(width, dtype=torch.float64, device="cpu")
    return (rows[:, None] ** 2 + columns[None, :] ** 2).sqrt().clamp(min=1 / max(height, width))


@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)  # what is kept must serve where gradients are wanted
def _scale(size: Size, decay: float, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "h k 2"]:
    """What each number is multiplied with; Lucid's quarter is exact in floating point, so it stands here."""
    scale = 1 / frequencies(size) ** decay / 4
    return scale[..., None].repeat(1, 1, 2).to(device, dtype)
