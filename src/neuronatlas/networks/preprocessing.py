"""What a network takes, as its maker says it: size, value range, order of colours, order of axes.

Everything above the networks holds pictures as RGB in 0..1; `InputSpec` turns them into what the network was trained on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.networks.base import InputSpec

Normalisation = str | tuple[Sequence[float], Sequence[float]]

NORMALISATIONS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "0..1": ((0.0,), (1.0,)),
    "-1..1": ((0.5,), (0.5,)),
    "0..255": ((0.0,), (1 / 255,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3),
}
"""Usual ones by name. "imagenet": torchvision's pretrained models (pytorch.org/vision, "models"). "caffe": 0..255 less the
mean of ImageNet (Simonyan and Zisserman 2014, the released VGG models), which is mostly used with BGR."""

CHANNEL_ORDERS = ("rgb", "bgr")
DATA_FORMATS = ("channels_first", "channels_last")
USUAL_SIZE = 224
_MISSING = (
    "normalise is missing, and a wrong value range gives grey or noisy pictures: give (mean, std) for pictures in 0..1, "
    f"or one of {', '.join(NORMALISATIONS)}; 0..1 for none"
)


@dataclass(frozen=True)
class Given:
    """What the caller says of a model; None where nothing is said and the model is asked.

    ``input_size`` in pixels, one number or (height, width). ``normalise``: a name of `NORMALISATIONS`, or (mean, std) for
    pictures in 0..1, in the order red, green, blue whatever ``channel_order`` ("rgb" or "bgr"). ``data_format``
    ("channels_first" or "channels_last") is of the pictures that the model takes. ``parameters`` belong to a model that is
    a function of them.
    """

    input_size: int | tuple[int, int] | None = None
    normalise: Normalisation | None = None
    channel_order: str = "rgb"
    data_format: str | None = None
    name: str = ""
    labels: tuple[str, ...] = ()
    device: str | None = None
    parameters: object = None

    def __post_init__(self) -> None:
        """Refuse what no network could take."""
        if self.channel_order not in CHANNEL_ORDERS:
            raise UnknownName("channel_order", self.channel_order, CHANNEL_ORDERS)
        if self.data_format is not None and self.data_format not in DATA_FORMATS:
            raise UnknownName("data_format", self.data_format, DATA_FORMATS)
        sides = (self.input_size,) if isinstance(self.input_size, int) else self.input_size or ()
        if any(not isinstance(side, int) or side < 1 for side in sides) or len(sides) > 2:
            message = f"input_size (={self.input_size!r}) must be pixels, one number or (height, width)"
            raise WrongInput(message)

    def size(self, known: tuple[int, int] | None = None) -> tuple[int, int]:
        """Height and width: those of the caller, else those ``known`` of the model, else 224."""
        if isinstance(self.input_size, int):
            return self.input_size, self.input_size
        return self.input_size or known or (USUAL_SIZE, USUAL_SIZE)

    def or_else(self, normalise: Normalisation) -> Given:
        """The same, with this normalisation where the caller gave none: that of a network whose source says it."""
        return self if self.normalise is not None else replace(self, normalise=normalise)

    @property
    def one_for_all(self) -> bool:
        """Is the normalisation one number for every colour channel, however many there are?"""
        if self.normalise is None or isinstance(self.normalise, str):
            return len(NORMALISATIONS.get(self.normalise or "", ((), ()))[0]) == 1
        return len(self.normalise[0]) == 1

    def spec(self, *, size: tuple[int, int] | None = None, channels: int | None = None) -> InputSpec:
        """The input of a model whose size and number of colour channels are ``size`` and ``channels`` where it says so.

        A mean and a std of one number hold for every channel. Raises `WrongInput` where ``normalise`` is missing or
        does not fit.
        """
        if self.normalise is None:
            raise WrongInput(_MISSING)
        if isinstance(self.normalise, str):
            if self.normalise not in NORMALISATIONS:
                raise UnknownName("normalise", self.normalise, NORMALISATIONS)
            mean, std = NORMALISATIONS[self.normalise]
            channels = channels or 3
        else:
            mean, std = (tuple(float(value) for value in values) for values in self.normalise)
        if len(mean) == len(std) == 1 and channels:
            mean, std = mean * channels, std * channels
        sound = all(map(math.isfinite, (*mean, *std))) and all(value > 0 for value in std)
        if len(mean) != len(std) or not mean or not sound:
            message = (
                f"normalise (={self.normalise!r}) must be a mean and a positive std of the same length, all finite"
            )
            raise WrongInput(message)
        if channels and len(mean) != channels:
            message = (
                f"normalise (={self.normalise!r}) is for {len(mean)} colour channels, and the model takes {channels}"
            )
            raise WrongInput(message)
        return InputSpec(self.size(size), mean, std, self.channel_order)
