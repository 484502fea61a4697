"""Measure how the colours and the frequencies of photographs are spread, as the parametrisations of pictures use it.

.venv/bin/python docs/measure_images.py

Prints `PHOTOGRAPHS` of neuronatlas.images.colour and writes src/neuronatlas/images/photographs_spectrum.npy.
"""

from __future__ import annotations

import numpy as np

from neuronatlas.images import spectrum
from neuronatlas.images.colour import colour_root
from neuronatlas.images.spectrum import natural_spectrum
from neuronatlas.stimuli import photographs

SIDE = 128
KEPT = 32  # cycles a picture: half of what these pixels can hold, because resizing dims the other half


def pictures() -> np.ndarray:
    """All crops, uint8 of shape (n, 128, 128, 3), of the photographs that have colour: grey says nothing of it."""
    drawn = [(item.label, item.draw(SIDE)) for item in photographs()]
    coloured = {label for label, picture in drawn if (np.ptp(picture, axis=2) > 0).any()}
    return np.stack([picture for label, picture in drawn if label in coloured])


def low_frequencies(magnitudes: np.ndarray) -> np.ndarray:
    """The magnitudes of up to 32 cycles a picture, in the order of a picture of 64 x 64."""
    return magnitudes[:, np.r_[0:KEPT, -KEPT:0], : KEPT + 1]


def main() -> None:
    """Both measurements."""
    measured = pictures()
    print(len(measured), "pictures; the root of their colours' covariance:")
    for row in colour_root(measured):
        print(", ".join(f"{value:.4f}" for value in row))
    magnitudes = low_frequencies(natural_spectrum(measured, (SIDE, SIDE)))
    path = spectrum.__file__.replace("spectrum.py", "photographs_spectrum.npy")
    np.save(path, magnitudes, allow_pickle=False)
    print("written", path, magnitudes.shape, magnitudes.dtype)


if __name__ == "__main__":
    main()
