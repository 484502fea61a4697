"""Pictures that start at a given one, for feature accentuation (Hamblin et al. 2024, arXiv 2402.10039)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from neuronatlas.errors import WrongInput
from neuronatlas.images.base import Size, check_generators, check_size, settings_of, summary
from neuronatlas.images.fourier import Fourier
from neuronatlas.images.pixels import Pixels

DARKEST, BRIGHTEST = 0.02, 0.98
"""The seed is kept between these: nearer to 0 and 1 the sigmoid is so flat that its pixels would hardly move."""


@dataclass(frozen=True)
class Seeded:
    """Pictures written as ``base`` writes them, that start at ``picture`` (h, w, c) in 0..1.

    A picture of another size than the one asked for is resized, bilinear and without aliasing; values are kept in
    0.02..0.98. All pictures start alike. Raises `WrongInput` for values outside of 0..1, for a number of channels that
    ``base`` does not have, and, at the start, for a picture with more contrast than the ``contrast_cap`` of ``base``.
    """

    picture: Float[Tensor, "h w c"] | Float[np.ndarray, "h w c"] = field(repr=False, compare=False)
    base: Fourier | Pixels = field(default_factory=Fourier)
    digest: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Keep a copy of the picture, float32 on the CPU."""
        copy = torch.as_tensor(self.picture).detach().to("cpu", torch.float32, copy=True)
        if copy.ndim != 3 or copy.shape[2] != self.base.channels or not copy.numel():
            message = (
                f"picture (shape {tuple(copy.shape)}) must be of shape (h, w, {self.base.channels}), as base has it"
            )
            raise WrongInput(message)
        if not (copy.min() >= 0 and copy.max() <= 1):  # also when it holds a NaN
            message = f"picture (from {float(copy.min())} to {float(copy.max())}) must hold values in 0..1"
            raise WrongInput(message)
        object.__setattr__(self, "picture", copy)
        object.__setattr__(self, "digest", summary(copy)["sha256"])

    @property
    def planes(self) -> int:
        """The channels of the pictures."""
        return self.base.planes

    @property
    def settings(self) -> dict[str, object]:
        """The name and the fields; the picture by its shape and sha256."""
        return settings_of(self)

    def shape(self, size: Size) -> tuple[int, ...]:
        """The shape of the numbers of one picture."""
        return self.base.shape(size)

    def start(self, size: Size, generators: Sequence[torch.Generator]) -> Tensor:
        """Numbers of the picture itself, once for each generator."""
        check_size(size)
        check_generators(generators)
        seed = torch.as_tensor(self.picture, dtype=torch.float64).permute(2, 0, 1)[None]
        if seed.shape[2:] != size:
            seed = F.interpolate(seed, size=size, mode="bilinear", align_corners=False, antialias=True)
        numbers = self.base.inverse(seed.clamp(DARKEST, BRIGHTEST)).float()
        return numbers.repeat(len(generators), *[1] * (numbers.ndim - 1))

    def image(self, numbers: Tensor, size: Size) -> Float[Tensor, "n c h w"]:
        """Pictures in 0..1."""
        return self.base.image(numbers, size)
