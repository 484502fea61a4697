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

from neuronatlas.images.base import Size, check_above, check_size, drawn, one_by_one, widened
from neuronatlas.images.coloured import Coloured


@dataclass(frozen=True, kw_only=True)
class Fourier(Coloured):
    """Pictures from numbers of shape (n, channels, height, width // 2 + 1, 2), the real and imaginary parts.

    The coefficients are divided by their frequency to the power ``decay``, where frequencies below ``lowest`` cycles a
    picture count as that many; the other settings: `Coloured`.
    """

    decay: float = 1.0
    lowest: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values without meaning."""
        super().__post_init__()
        check_above(float("-inf"), decay=self.decay)
        check_above(0, lowest=self.lowest)

    def shape(self, size: Size) -> tuple[int, ...]:
        """The shape of the numbers of one picture."""
        check_size(size)
        return (self.channels, size[0], size[1] // 2 + 1, 2)

    def start(self, size: Size, generators: Sequence[torch.Generator]) -> Float[Tensor, "n c h k 2"]:
        """Random numbers for one picture a generator: n at once equal one by one."""
        return drawn(self.shape(size), self.sd, generators)

    def image(self, numbers: Float[Tensor, "n c h k 2"], size: Size) -> Float[Tensor, "n c h w"]:
        """Pictures in 0..1."""
        wide = widened(numbers, self.shape(size))
        return self._picture(waves(wide, size, self.decay, self.lowest)).to(numbers.dtype)

    def inverse(self, pictures: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h k 2"]:
        """Numbers that make these pictures, which must lie above 0 and below 1."""
        size = (pictures.shape[2], pictures.shape[3])
        spectrum = torch.view_as_real(torch.fft.rfft2(self._logits(pictures), norm="ortho"))
        return spectrum / _scale(size, (self.decay, self.lowest), pictures.dtype, pictures.device)


def waves(
    numbers: Float[Tensor, "n c h k 2"], size: Size, decay: float, lowest: float = 1.0
) -> Float[Tensor, "n c h w"]:
    """The sum of the waves whose coefficients these numbers are, each over its frequency to the power ``decay``."""
    scaled = numbers * _scale(size, (decay, lowest), numbers.dtype, numbers.device)
    if scaled.shape[1] == 1:  # a transform by itself rounds otherwise than one of several
        return one_by_one(lambda each: torch.fft.irfft2(torch.view_as_complex(each), s=size, norm="ortho"), scaled)
    return torch.fft.irfft2(torch.view_as_complex(scaled), s=size, norm="ortho")


@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)  # what is kept must serve where gradients are wanted
def _scale(size: Size, fall: tuple[float, float], dtype: torch.dtype, device: torch.device) -> Float[Tensor, "h k 2"]:
    """What each number is multiplied with: 1 / frequency^decay in cycles a pixel, at least ``lowest`` a picture; ``fall`` is both.

    Lucid's quarter is exact in floating point, so it stands here.
    """
    (height, width), (decay, lowest) = size, fall
    rows = torch.fft.fftfreq(height, dtype=torch.float64, device="cpu")
    columns = torch.fft.rfftfreq(width, dtype=torch.float64, device="cpu")
    frequency = (rows[:, None] ** 2 + columns[None, :] ** 2).sqrt().clamp(min=lowest / max(height, width))
    return (1 / frequency**decay / 4)[..., None].repeat(1, 1, 2).to(device, dtype)
