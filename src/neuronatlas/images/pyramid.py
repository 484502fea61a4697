"""Pictures as sums of coarse pictures, enlarged: a pyramid of each picture's own, and coarse parts shared by several.

Enlarging is bilinear between the middles of the coarse pixels, and even beyond the outermost of them. (Lucid's
``lowres_tensor``, lucid/optvis/param/lowres.py, used TensorFlow's older rule, which counts from a corner.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name

from neuronatlas.errors import WrongInput
from neuronatlas.images.base import Size, check_above, check_size, drawn, widened
from neuronatlas.images.coloured import Coloured
from neuronatlas.images.fourier import waves


@dataclass(frozen=True, kw_only=True)
class Laplacian(Coloured):
    """Pictures from numbers of shape (n, k): pictures of 1, 1/2, 1/4 ... of the size, one after the other.

    ``levels`` is how many there are (Lucid's ``laplacian_pyramid_image``: 4); None: as long as the shorter side has 4
    pixels or more. No side has fewer than one pixel. The other settings: `Coloured`.
    """

    levels: int | None = None

    def __post_init__(self) -> None:
        """Refuse values without meaning."""
        super().__post_init__()
        if self.levels is not None and self.levels < 1:
            message = f"levels (={self.levels}) must be at least 1, or None"
            raise WrongInput(message)

    def shape(self, size: Size) -> tuple[int, ...]:
        """The shape of the numbers of one picture."""
        return (_count(self.channels, self._sizes(size)),)

    def start(self, size: Size, generators: Sequence[torch.Generator]) -> Float[Tensor, "n k"]:
        """Random numbers for one picture a generator: n at once equal one by one."""
        return drawn(self.shape(size), self.sd, generators)

    def image(self, numbers: Float[Tensor, "n k"], size: Size) -> Float[Tensor, "n c h w"]:
        """Pictures in 0..1."""
        wide = widened(numbers, self.shape(size))
        return self._picture(_enlarged(wide, self._sizes(size), size)).to(numbers.dtype)

    def _sizes(self, size: Size) -> list[Size]:
        check_size(size)
        levels = max(1, min(size).bit_length() - 2) if self.levels is None else self.levels
        return _coarse(size, [2**level for level in range(levels)])


@dataclass(frozen=True, kw_only=True)
class LowRes(Coloured):
    """Pictures that share their coarse parts, so that those optimised together look alike and differ in detail.

    Numbers are of shape (n, own + shared): a picture's own Fourier coefficients (see `Fourier`, ``decay`` too), then
    pictures of 1/f of the size for each f of ``factors``, of which the mean over the batch is added to each: here the
    company in which a picture is made does change it. Shared coarse parts are those of Mordvintsev, Pezzotti, Schubert
    & Olah 2018, doi 10.23915/distill.00012 (aligned interpolation), with Lucid's ``lowres_tensor``.
    """

    decay: float = 1.0
    factors: tuple[int, ...] = (2, 4, 8, 16)

    def __post_init__(self) -> None:
        """Refuse values without meaning."""
        super().__post_init__()
        check_above(float("-inf"), decay=self.decay)
        if not self.factors or min(self.factors) < 1:
            message = f"factors (={self.factors}) must hold whole numbers of at least 1, and one of them or more"
            raise WrongInput(message)

    def shape(self, size: Size) -> tuple[int, ...]:
        """The shape of the numbers of one picture."""
        return (math.prod(self._own(size)) + _count(self.channels, _coarse(size, self.factors)),)

    def start(self, size: Size, generators: Sequence[torch.Generator]) -> Float[Tensor, "n k"]:
        """Random numbers for one picture a generator: n at once equal one by one."""
        return drawn(self.shape(size), self.sd, generators)

    def image(self, numbers: Float[Tensor, "n k"], size: Size) -> Float[Tensor, "n c h w"]:
        """Pictures in 0..1."""
        wide = widened(numbers, self.shape(size))
        own = self._own(size)
        count = math.prod(own)
        detail = waves(wide[:, :count].reshape(-1, *own), size, self.decay)
        shared = wide[:, count:].mean(0, keepdim=True)
        return self._picture(detail + _enlarged(shared, _coarse(size, self.factors), size)).to(numbers.dtype)

    def _own(self, size: Size) -> tuple[int, int, int, int]:
        check_size(size)
        return (self.channels, size[0], size[1] // 2 + 1, 2)


def _coarse(size: Size, factors: Sequence[int]) -> list[Size]:
    return [(max(1, size[0] // factor), max(1, size[1] // factor)) for factor in factors]


def _count(channels: int, sizes: list[Size]) -> int:
    return channels * sum(height * width for height, width in sizes)


def _enlarged(numbers: Float[Tensor, "n k"], sizes: list[Size], size: Size) -> Float[Tensor, "n c h w"]:
    """The sum of the pictures of these sizes, one after the other in the numbers, each enlarged to ``size``."""
    channels = numbers.shape[1] // _count(1, sizes)
    total = numbers.new_zeros(len(numbers), channels, *size)
    first = 0
    for each in sizes:
        last = first + _count(channels, [each])
        picture = numbers[:, first:last].reshape(-1, channels, *each)
        first = last
        if each != size:
            picture = F.interpolate(picture, size=size, mode="bilinear", align_corners=False)
        total = total + picture
    return total
