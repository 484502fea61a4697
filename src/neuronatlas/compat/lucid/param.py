"""Lucid's ``param``: how large pictures are, how many, and how they are written as numbers.

Every function returns a description, not numbers: those are made where a picture is. Sums of them are the sums that Lucid's
notebooks make: ``to_valid_rgb(fft_image(shape) + sum(lowres_tensor(shape, low) for low in ...), decorrelate=True)``.
Source: lucid/optvis/param of https://github.com/tensorflow/lucid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from neuronatlas.compat.lucid.refusals import without_equal
from neuronatlas.errors import WrongInput
from neuronatlas.images.alpha import Alpha
from neuronatlas.images.cppn import CPPN
from neuronatlas.images.fourier import Fourier
from neuronatlas.images.parametrisation import Parametrisation
from neuronatlas.images.pixels import Pixels
from neuronatlas.images.pyramid import Laplacian, LowRes

SD = 0.01


@dataclass(frozen=True)
class Image:
    """``batch`` pictures of ``size`` (height, width)."""

    size: tuple[int, int]
    batch: int
    parametrisation: Parametrisation


@dataclass(frozen=True)
class Unbounded:
    """Numbers of ``shape`` (batch, height, width, channels) that `to_valid_rgb` makes colours of; they add."""

    shape: tuple[int, int, int, int]
    kind: Literal["fft", "pixels", "laplacian", "lowres"]
    sd: float = SD
    decay: float = 1.0
    levels: int = 4
    factors: tuple[int, ...] = ()

    def __add__(self, other: object) -> Unbounded:
        """The sum of a Fourier picture and of coarse ones that the batch shares; of coarse ones alone."""
        if other == 0:  # what ``sum`` begins with
            return self
        if not isinstance(other, Unbounded):
            return NotImplemented
        finest, coarse = (self, other) if other.kind == "lowres" else (other, self)
        if coarse.kind != "lowres" or finest.kind not in ("fft", "lowres") or finest.shape != coarse.shape:
            message = (
                f"{self.kind} of shape {self.shape} + {other.kind} of shape {other.shape}: only fft_image and "
                "lowres_tensor of one shape add"
            )
            raise WrongInput(message)
        return replace(finest, factors=tuple(sorted((*finest.factors, *coarse.factors))))

    __radd__ = __add__


def image(
    w: int,
    h: int | None = None,
    *unnamed: object,
    sd: float | None = None,
    batch: int | None = None,
    decorrelate: bool = True,
    fft: bool = True,
    alpha: bool = False,
    channels: int | None = None,
) -> Image:
    """Pictures of ``w`` x ``h`` pixels (``h`` None: ``w``) from numbers of spread ``sd`` (None: 0.01).

    ``channels`` leaves the colours as they are; ``alpha`` adds a plane of opacity. After ``w`` and ``h`` all is given by
    name: Lucid and lucid-kietzmannlab have ``batch`` before ``sd``, and Lucent has it after.
    """
    if unnamed:
        message = (
            f"image was given {', '.join(map(repr, unnamed))} after w and h: write sd=, batch= and the rest by name, "
            "since Lucid has batch third, and Lucent sd"
        )
        raise WrongInput(message)
    if w < 1 or (h is not None and h < 1) or (batch is not None and batch < 1):
        message = f"w (={w}), h (={h}) and batch (={batch}) must be at least 1"
        raise WrongInput(message)
    kind = Fourier if fft else Pixels
    base = kind(
        sd=sd or SD,
        channels=3 if channels is None else channels,
        decorrelate=None if decorrelate and channels is None else False,
    )
    return Image((w if h is None else h, w), batch or 1, Alpha(base=base) if alpha else base)


def fft_image(shape: Sequence[int], sd: float | None = None, decay_power: float = 1) -> Unbounded:
    """Fourier coefficients, over their frequency to the power ``decay_power``."""
    return Unbounded(_shape(shape), "fft", sd or SD, float(decay_power))


def pixel_image(shape: Sequence[int], sd: float | None = None, init_val: object = None) -> Unbounded:
    """A number a pixel and channel."""
    if init_val is not None:
        message = "init_val is no part of a description: use neuronatlas.gallery, whose recipes begin at a picture"
        raise WrongInput(message)
    return Unbounded(_shape(shape), "pixels", sd or SD)


def naive(shape: Sequence[int], sd: float | None = None) -> Unbounded:
    """The earlier name of `pixel_image`."""
    return pixel_image(shape, sd)


def laplacian_pyramid_image(shape: Sequence[int], n_levels: int = 4, sd: float | None = None) -> Unbounded:
    """Pictures of 1, 1/2, 1/4 ... of the size, each picture its own."""
    return Unbounded(_shape(shape), "laplacian", sd or SD, levels=n_levels)


def laplacian_pyramid(shape: Sequence[int], n_levels: int = 4, sd: float | None = None) -> Unbounded:
    """The earlier name of `laplacian_pyramid_image`."""
    return laplacian_pyramid_image(shape, n_levels, sd)


def lowres_tensor(
    shape: Sequence[int], underlying_shape: Sequence[int], offset: object = None, sd: float | None = None
) -> Unbounded:
    """A coarse picture that the whole batch shares, to be added to `fft_image`; ``underlying_shape`` begins with 1."""
    full, low = _shape(shape), _shape(underlying_shape)
    factor = round(full[1] / low[1])
    if offset is not None or low[0] != 1 or low[1:3] != (max(1, full[1] // factor), max(1, full[2] // factor)):
        message = (
            f"underlying_shape (={low}) must be (1, height // n, width // n, channels) of shape (={full}), and offset "
            f"(={offset}) None: coarse pictures that are not shared are laplacian_pyramid_image"
        )
        raise WrongInput(message)
    return Unbounded(full, "lowres", sd or SD, factors=(factor,))


def to_valid_rgb(t: object, decorrelate: bool = False, sigmoid: bool = True) -> Image:
    """Colours in 0..1 of what `fft_image` and its like describe."""
    if not isinstance(t, Unbounded):
        message = f"t is a {type(t).__name__}; what fft_image, pixel_image or laplacian_pyramid_image gives is expected"
        raise WrongInput(message)
    if not sigmoid:
        message = "sigmoid (=False) must be True: no picture here is clipped, which would have no gradient"
        raise WrongInput(message)
    if t.kind == "lowres":
        message = "lowres_tensor alone has no detail: add it to fft_image"
        raise WrongInput(message)
    batch, height, width, channels = t.shape
    base: Parametrisation
    if t.kind == "pixels":
        base = Pixels(sd=t.sd, channels=channels, decorrelate=decorrelate)
    elif t.kind == "laplacian":
        base = Laplacian(sd=t.sd, channels=channels, decorrelate=decorrelate, levels=t.levels)
    elif t.factors:
        base = LowRes(sd=t.sd, channels=channels, decorrelate=decorrelate, decay=t.decay, factors=t.factors)
    else:
        base = Fourier(sd=t.sd, channels=channels, decorrelate=decorrelate, decay=t.decay)
    return Image((height, width), batch, base)


def rgba(w: int, h: int | None = None, batch: int | None = None, sd: float | None = None) -> Image:
    """`image` with a plane of opacity."""
    return image(w, h, sd=sd, batch=batch, alpha=True)


def cppn(
    width: int,
    batch: int = 1,
    num_output_channels: int = 3,
    num_hidden_channels: int = 24,
    num_layers: int = 8,
    activation_func: object = None,
    normalize: bool = False,
) -> Image:
    """Pictures that a small network of their own makes from the coordinates of a pixel; each picture has its own."""
    if activation_func is not None or normalize:
        message = f"activation_func (={activation_func!r}) must be None, and normalize (={normalize}) False"
        raise WrongInput(message)
    made = CPPN(width=num_hidden_channels, layers=num_layers, channels=num_output_channels)
    return Image((width, width), batch, made)


grayscale_image_rgb = without_equal(
    "grayscale_image_rgb", "param.image makes colours; for a network of one channel use param.image(w, channels=1)"
)
image_sample = without_equal("image_sample", "transform.collapse_alpha_random lays pictures over random ones")
bilinearly_sampled_image = without_equal("bilinearly_sampled_image", "textures of 3D models are not made here")


def _shape(shape: Sequence[int]) -> tuple[int, int, int, int]:
    if len(shape) != 4 or min(shape) < 1:
        message = f"shape (={tuple(shape)}) must be (batch, height, width, channels), each at least 1"
        raise WrongInput(message)
    batch, height, width, channels = (int(side) for side in shape)
    return batch, height, width, channels
