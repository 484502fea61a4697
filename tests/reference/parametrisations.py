"""Parametrisations and what they are measured from, written out in numpy, one number at a time."""

from __future__ import annotations

import cmath
import math

import numpy as np


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def enlarged(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear between the middles of pixels, even beyond the outermost."""
    found = np.zeros((height, width))
    for row in range(height):
        y = min(max((row + 0.5) * plane.shape[0] / height - 0.5, 0), plane.shape[0] - 1)
        for column in range(width):
            x = min(max((column + 0.5) * plane.shape[1] / width - 0.5, 0), plane.shape[1] - 1)
            for near_y in (math.floor(y), math.floor(y) + 1):
                for near_x in (math.floor(x), math.floor(x) + 1):
                    weight = (1 - abs(y - near_y)) * (1 - abs(x - near_x))
                    if weight > 0:
                        found[row, column] += weight * plane[near_y, near_x]
    return found


def pyramid(numbers: np.ndarray, sizes: list[tuple[int, int]], channels: int, size: tuple[int, int]) -> np.ndarray:
    """The sum of small pictures that follow each other in a row of numbers, each enlarged to the size."""
    total = np.zeros((channels, *size))
    left = list(numbers)
    for height, width in sizes:
        for channel in range(channels):
            plane = np.array([[left.pop(0) for _ in range(width)] for _ in range(height)])
            total[channel] += enlarged(plane, *size)
    assert not left
    return total


def pattern(numbers: np.ndarray, size: tuple[int, int], width: int, layers: int) -> np.ndarray:
    """RGB of a compositional pattern-producing network, pixel by pixel."""
    picture = np.zeros((3, *size))
    longest = max(size)
    for row in range(size[0]):
        for column in range(size[1]):
            y = (row - (size[0] - 1) / 2) / ((longest - 1) / 2) * 3**0.5
            x = (column - (size[1] - 1) / 2) / ((longest - 1) / 2) * 3**0.5
            seen = [x, y]
            left = list(numbers)
            for layer in range(layers + 1):
                outputs = width if layer < layers else 3
                weights = [[left.pop(0) for _ in seen] for _ in range(outputs)]
                biases = [left.pop(0) for _ in range(outputs)]
                sums = [
                    bias + sum(w * s for w, s in zip(line, seen, strict=True))
                    for line, bias in zip(weights, biases, strict=True)
                ]
                seen = [math.atan(v) / 0.67 for v in sums] + [math.atan(v) ** 2 / 0.6 for v in sums]
            assert not left
            picture[:, row, column] = sigmoid(np.array(sums))
    return picture


def of_phases(magnitudes: np.ndarray, phases: np.ndarray, height: int, width: int) -> np.ndarray:
    """Planes of a mean of 0 and a spread of 1 over all, as the sum of waves of these magnitudes and phases."""
    planes = np.zeros((len(phases), height, width))
    for plane in range(len(phases)):
        for row in range(height):
            for column in range(width // 2 + 1):
                twice = 1 if column == 0 or 2 * column == width else 2
                for y in range(height):
                    for x in range(width):
                        turn = 2 * math.pi * (row * y / height + column * x / width) + phases[plane, row, column]
                        planes[plane, y, x] += twice * magnitudes[plane, row, column] * math.cos(turn)
    return (planes - planes.mean()) / planes.std()


def periodic(plane: np.ndarray) -> np.ndarray:
    """The plane less its smooth part, whose Laplacian on the torus is that which only comes from the borders."""
    height, width = plane.shape
    count = height * width
    torus, inner = np.zeros((count, count)), np.zeros((count, count))
    for row in range(height):
        for column in range(width):
            here = row * width + column
            for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                y, x = row + down, column + right
                there = y % height * width + x % width
                torus[here, there] += 1
                torus[here, here] -= 1
                if 0 <= y < height and 0 <= x < width:
                    inner[here, there] += 1
                    inner[here, here] -= 1
    smooth = np.linalg.lstsq(torus, (torus - inner) @ plane.ravel(), rcond=None)[0]
    return plane - (smooth - smooth.mean()).reshape(height, width)


def magnitudes(plane: np.ndarray) -> np.ndarray:
    """The magnitude of each coefficient of the real Fourier transform, sum by sum."""
    height, width = plane.shape
    found = np.zeros((height, width // 2 + 1))
    for row in range(height):
        for column in range(width // 2 + 1):
            total = 0j
            for y in range(height):
                for x in range(width):
                    total += plane[y, x] * cmath.exp(-2j * math.pi * (row * y / height + column * x / width))
            found[row, column] = abs(total) / math.sqrt(height * width)
    return found
