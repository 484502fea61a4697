"""MACO, magnitude-constrained optimisation: the spectrum of natural pictures is given, only its phases are optimised.

Source: Fel et al. 2023, arXiv 2306.06805, and the authors' code (https://github.com/serre-lab/Horama): the planes that
come out of the inverse transform are brought together to a mean of 0 and a spread of 1, mixed by the colour matrix
and brought to 0..1 by a sigmoid. Two differences: the authors' code standardises the phases as well and draws them
from a normal distribution, which piles up light at one corner; here they are evenly spread over the circle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neuronatlas.errors import WrongInput
from neuronatlas.images.base import Size, check_generators, check_size, one_by_one, settings_of, summary, widened
from neuronatlas.images.colour import to_picture
from neuronatlas.images.spectrum import SMALLEST, photographs_spectrum, resampled

LEAST_VARIANCE = 1e-12


@dataclass(frozen=True)
class Maco:
    """RGB pictures from phases of shape (n, 3, height, width // 2 + 1), in radians.

    ``magnitudes`` are those of the coefficients, at any size, from `natural_spectrum`; None: those of photographs. Only
    their proportions count. In the first column, and in the last where the width is even, a coefficient has its mirror
    image in the same column, and what the two have in common counts: there the magnitudes are upper bounds.
    """

    magnitudes: Float[Tensor, "c h k"] | Float[np.ndarray, "c h k"] | None = field(
        default=None, repr=False, compare=False
    )
    digest: str | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Keep a copy of the magnitudes, float32 on the CPU."""
        digest = None
        if self.magnitudes is not None:
            copy = torch.as_tensor(self.magnitudes).detach().to("cpu", torch.float32, copy=True)
            rows, columns = (*copy.shape, 0, 0, 0)[1:3]
            if len(copy) != 3 or min(rows, 2 * columns - 2) < SMALLEST:
                rule = f"(3, h, w // 2 + 1) with h and w of at least {SMALLEST}"
                message = f"magnitudes (shape {tuple(copy.shape)}) must be of shape {rule}"
                raise WrongInput(message)
            if not (copy.isfinite().all() and copy.min() >= 0 and copy.max() > 0):
                message = f"magnitudes (shape {tuple(copy.shape)}) must be finite, 0 or more, and not all of them 0"
                raise WrongInput(message)
            digest = str(summary(copy)["sha256"])
            object.__setattr__(self, "magnitudes", copy)
        object.__setattr__(self, "digest", digest)

    @property
    def planes(self) -> int:
        """The channels of the pictures: red, green and blue."""
        return 3

    @property
    def settings(self) -> dict[str, object]:
        """The name and the magnitudes, by their shape and sha256; None: those of photographs."""
        return settings_of(self)

    def shape(self, size: Size) -> tuple[int, ...]:
        """The shape of the numbers of one picture."""
        check_size(size)
        return (3, size[0], size[1] // 2 + 1)

    def start(self, size: Size, generators: Sequence[torch.Generator]) -> Float[Tensor, "n 3 h k"]:
        """Random phases for one picture a generator: n at once equal one by one."""
        shape = self.shape(size)
        check_generators(generators)
        return torch.stack(
            [math.pi * (2 * torch.rand(shape, generator=each, dtype=torch.float32) - 1) for each in generators]
        )

    def image(self, numbers: Float[Tensor, "n c h k"], size: Size) -> Float[Tensor, "n 3 h w"]:
        """Pictures in 0..1."""
        phases = widened(numbers, self.shape(size))
        planes = one_by_one(lambda each: self._standardised(each, size), phases)
        return to_picture(planes, "imagenet", None).to(numbers.dtype)

    def _standardised(self, phases: Float[Tensor, "n 3 h k"], size: Size) -> Float[Tensor, "n 3 h w"]:
        """The decorrelated planes, each picture's together of mean 0 and spread 1."""
        magnitudes = _magnitudes(self, size, phases.dtype, phases.device)
        spectrum = torch.complex(magnitudes * phases.cos(), magnitudes * phases.sin())
        planes = torch.fft.irfft2(spectrum, s=size, norm="ortho")
        planes = planes - planes.mean((1, 2, 3), keepdim=True)
        return planes / (planes.square().mean((1, 2, 3), keepdim=True) + LEAST_VARIANCE).sqrt()


@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)  # what is kept must serve where gradients are wanted
def _magnitudes(maco: Maco, size: Size, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "3 h k"]:
    """The magnitudes at this size, the mean of their squares 1."""
    given = photographs_spectrum() if maco.magnitudes is None else np.asarray(maco.magnitudes)
    found = resampled(given.astype(np.float64), size)
    return torch.from_numpy(found / np.sqrt((found**2).mean())).to(device, dtype)
