"""Lucid's ``param.image``: how large pictures are, how many, and how they are written as numbers."""

from __future__ import annotations

from dataclasses import dataclass

from neuronatlas.errors import WrongInput
from neuronatlas.images.alpha import Alpha
from neuronatlas.images.fourier import Fourier
from neuronatlas.images.parametrisation import Parametrisation
from neuronatlas.images.pixels import Pixels


@dataclass(frozen=True)
class Image:
    """``batch`` pictures of ``size`` (height, width)."""

    size: tuple[int, int]
    batch: int
    parametrisation: Parametrisation


def image(
    w: int,
    h: int | None = None,
    sd: float | None = None,
    batch: int | None = None,
    decorrelate: bool = True,
    fft: bool = True,
    alpha: bool = False,
    channels: int | None = None,
) -> Image:
    """Pictures of ``w`` x ``h`` pixels (``h`` None: ``w``) from numbers of spread ``sd`` (None: 0.01).

    ``channels`` is Lucent's, and leaves the colours as they are; ``alpha`` is Lucid's, and adds a plane of opacity.
    """
    if w < 1 or (h is not None and h < 1) or (batch is not None and batch < 1):
        message = f"w (={w}), h (={h}) and batch (={batch}) must be at least 1"
        raise WrongInput(message)
    kind = Fourier if fft else Pixels
    base = kind(
        sd=0.01 if sd is None else sd,
        channels=3 if channels is None else channels,
        decorrelate=None if decorrelate and channels is None else False,
    )
    return Image((w if h is None else h, w), batch or 1, Alpha(base=base) if alpha else base)
