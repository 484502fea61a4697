"""A plane of opacity beside the colours: what a unit does not care about can become transparent.

Source: Mordvintsev, Pezzotti, Schubert & Olah 2018, doi 10.23915/distill.00012. By itself the plane changes nothing:
the pictures have to be laid on random backgrounds, which is a transform.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from neuronatlas.errors import WrongInput
from neuronatlas.images.base import Parametrisation, Size, settings_of, widened
from neuronatlas.images.fourier import Fourier


@dataclass(frozen=True, kw_only=True)
class Alpha:
    """The planes of ``base``, then a plane of opacity (0 transparent, 1 opaque) made by ``opacity``, which has one.

    Numbers are of shape (n, k): those of ``base``, then those of ``opacity``. Opacity starts near one half.
    """

    base: Parametrisation = field(default_factory=Fourier)
    opacity: Fourier = field(default_factory=lambda: Fourier(channels=1))

    def __post_init__(self) -> None:
        """Refuse an opacity of several planes."""
        if self.opacity.planes != 1:
            message = f"opacity (={self.opacity}) must have channels=1"
            raise WrongInput(message)

    @property
    def planes(self) -> int:
        """The channels of the pictures, the last of which is opacity."""
        return self.base.planes + 1

    @property
    def settings(self) -> dict[str, object]:
        """The name and the fields as plain values."""
        return settings_of(self)

    def shape(self, size: Size) -> tuple[int, ...]:
        """The shape of the numbers of one picture."""
        return (math.prod(self.base.shape(size)) + math.prod(self.opacity.shape(size)),)

    def start(self, size: Size, generators: Sequence[torch.Generator]) -> Float[Tensor, "n k"]:
        """Random numbers for one picture a generator: first those of the base, then those of the opacity."""
        parts = (self.base.start(size, generators), self.opacity.start(size, generators))
        return torch.cat([part.flatten(1) for part in parts], 1)

    def image(self, numbers: Float[Tensor, "n k"], size: Size) -> Float[Tensor, "n c h w"]:
        """Pictures in 0..1."""
        wide = widened(numbers, self.shape(size))
        base, opacity = self.base.shape(size), self.opacity.shape(size)
        count = math.prod(base)
        planes = self.base.image(wide[:, :count].reshape(-1, *base), size)
        opaque = self.opacity.image(wide[:, count:].reshape(-1, *opacity), size)
        return torch.cat((planes, opaque), 1).to(numbers.dtype)
