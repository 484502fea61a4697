"""The Fourier parametrisation: an image as the scaled coefficients of its real Fourier transform.

Each coefficient is divided by its frequency, so that a step of gradient ascent changes all scales of the picture
alike (Olah, Mordvintsev & Schubert 2017, doi 10.23915/distill.00007; Lucid's ``fft_image``: decay 1, sd 0.01, and the
result divided by 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from neuronatlas.images.colour import to_rgb


@dataclass(frozen=True)
class Fourier:
    """Pictures of ``height`` x ``width`` pixels from numbers of shape (n, 3, height, width // 2 + 1, 2).

    ``sd`` is the spread of the first coefficients. ``contrast_cap`` bounds the root mean square z of a picture's
    logits softly, at z c / (z^4 + c^4)^(1/4): without it, long steps end in saturated pixels. None: no bound.
    """

    height: int
    width: int
    sd: float = 0.01
    decay: float = 1.0
    contrast_cap: float | None = None

    def start(self, generators: Sequence[torch.Generator]) -> Float[Tensor, "n 3 h w 2"]:
        """Random numbers for one picture a generator: n at once equal one by one."""
        shape = (3, self.height, self.width // 2 + 1, 2)
        return torch.stack([self.sd * torch.randn(shape, generator=generator) for generator in generators])

    def image(self, numbers: Float[Tensor, "n 3 h w 2"]) -> Float[Tensor, "n 3 H W"]:
        """Pictures in 0..1."""
        spectrum = torch.view_as_complex(numbers) * self._scale(numbers)
        logits = torch.fft.irfft2(spectrum, s=(self.height, self.width), norm="ortho") / 4
        if self.contrast_cap is not None:
            power = logits.square().mean((1, 2, 3), keepdim=True)  # z squared: a root has no slope at nothing
            logits = logits * self.contrast_cap / (power**2 + self.contrast_cap**4) ** 0.25
        return to_rgb(logits).sigmoid()

    def _scale(self, like: Tensor) -> Tensor:
        rows = torch.fft.fftfreq(self.height, dtype=torch.float64)
        columns = torch.fft.rfftfreq(self.width, dtype=torch.float64)
        frequency = (rows[:, None] ** 2 + columns[None, :] ** 2).sqrt()
        lowest = 1 / max(self.height, self.width)
        return (1 / frequency.clamp(min=lowest) ** self.decay).to(like)
