"""The Fourier parametrisation and the colour matrix written out: a sum over every frequency, in numpy."""

from __future__ import annotations

import math

import numpy as np

LUCID_ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])


def logits(numbers: np.ndarray, height: int, width: int, *, decay: float = 1.0) -> np.ndarray:
    """The planes of one picture from numbers of shape (c, height, width // 2 + 1, 2), before any colour or bound.

    The picture is real, so each frequency stands for its mirror image as well, save those that are their own.
    """
    y, x = np.mgrid[:height, :width]
    planes = np.zeros((len(numbers), height, width))
    for row in range(height):
        for column in range(width // 2 + 1):
            down = (row if row < (height + 1) // 2 else row - height) / height  # cycles a pixel
            frequency = max(math.hypot(down, column / width), 1 / max(height, width))
            wave = np.exp(2j * np.pi * (row * y / height + column * x / width)) / frequency**decay
            own_mirror = column == 0 or 2 * column == width
            for plane in range(len(numbers)):
                coefficient = complex(numbers[plane, row, column, 0], numbers[plane, row, column, 1])
                planes[plane] += (1 if own_mirror else 2) * (coefficient * wave).real
    return planes / math.sqrt(height * width) / 4


def capped(planes: np.ndarray, cap: float) -> np.ndarray:
    """The planes with their root mean square z brought to z c / (z^4 + c^4)^(1/4)."""
    contrast = math.sqrt((planes**2).mean())
    return planes * cap / (contrast**4 + cap**4) ** 0.25


def picture(numbers: np.ndarray, height: int, width: int, *, cap: float | None = None) -> np.ndarray:
    """RGB in 0..1 of shape (3, height, width)."""
    planes = logits(numbers, height, width)
    if cap is not None:
        planes = capped(planes, cap)
    return coloured(planes)


def coloured(planes: np.ndarray) -> np.ndarray:
    """RGB in 0..1 from three decorrelated planes."""
    lengths = [math.sqrt(sum(LUCID_ROOT[row, column] ** 2 for row in range(3))) for column in range(3)]
    colours = LUCID_ROOT / max(lengths)
    rgb = np.stack([sum(colours[row, column] * planes[column] for column in range(3)) for row in range(3)])
    return 1 / (1 + np.exp(-rgb))
