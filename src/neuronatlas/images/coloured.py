"""What the parametrisations share whose logits are decorrelated, bounded in contrast and brought to 0..1."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.images.base import check_above, settings_of
from neuronatlas.images.colour import MATRICES, from_picture, to_picture


@dataclass(frozen=True, kw_only=True)
class Coloured:
    """The settings of `Fourier`, `Pixels`, `Laplacian` and `LowRes`, which say how their logits become a picture.

    ``sd`` is the spread of the first numbers. ``contrast_cap`` bounds the root mean square z of a picture's logits
    softly, at z c / (z^4 + c^4)^(1/4): without it, long steps end in saturated pixels. None: no bound.
    ``decorrelate`` mixes three channels by the matrix of `neuronatlas.images.colour` named ``colours``; None: when
    there are three.
    """

    sd: float = 0.01
    contrast_cap: float | None = None
    channels: int = 3
    decorrelate: bool | None = None
    colours: str = "imagenet"

    def __post_init__(self) -> None:
        """Refuse values without meaning."""
        check_above(0, sd=self.sd, contrast_cap=self.contrast_cap)
        if self.channels < 1:
            message = f"channels (={self.channels}) must be at least 1"
            raise WrongInput(message)
        if self.decorrelate and self.channels != 3:
            message = f"decorrelate (=True) is for 3 channels, not for channels (={self.channels}): use None or False"
            raise WrongInput(message)
        if self.colours not in MATRICES:
            raise UnknownName("colour matrix", self.colours, MATRICES)

    @property
    def planes(self) -> int:
        """The channels of the pictures."""
        return self.channels

    @property
    def settings(self) -> dict[str, object]:
        """The name and the fields as plain values."""
        return settings_of(self)

    @property
    def _matrix(self) -> str | None:
        """The name of the matrix that is used; None: none."""
        wanted = self.channels == 3 if self.decorrelate is None else self.decorrelate
        return self.colours if wanted else None

    def _picture(self, logits: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return to_picture(logits, self._matrix, self.contrast_cap)

    def _logits(self, pictures: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The logits that `_picture` makes these pictures of."""
        return from_picture(pictures, self._matrix, self.contrast_cap)
