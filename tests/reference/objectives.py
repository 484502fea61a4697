"""Objectives written out with loops over float64 numbers, from the published formulas.

Outputs are numpy arrays: (units, h, w) of a map, (positions, units) of tokens, (units,) of a dense layer.
"""

from __future__ import annotations

import math

import numpy as np


def vectors(output: np.ndarray) -> list[np.ndarray]:
    """The units at each position, one vector a position."""
    if output.ndim == 1:
        return [output]
    if output.ndim == 2:
        return list(output)
    return [output[:, row, column] for row in range(output.shape[1]) for column in range(output.shape[2])]


def pushed(x: np.ndarray, v: np.ndarray, power: float) -> float:
    """One product of Lucid's ``_dot_cossim``."""
    product = sum(float(a) * float(b) for a, b in zip(x, v, strict=True))
    if power == 0:
        return product
    length = math.sqrt(sum(float(a) ** 2 for a in x))
    other = math.sqrt(sum(float(b) ** 2 for b in v))
    return product * max(0.1, product / (length + 1e-4) / (other + 1e-4)) ** power


def direction(output: np.ndarray, vector: np.ndarray, power: float = 0) -> float:
    values = [pushed(x, vector, power) for x in vectors(output)]
    return sum(values) / len(values)


def direction_neuron(output: np.ndarray, vector: np.ndarray, position: tuple[int, int], power: float = 0) -> float:
    return pushed(output[:, position[0], position[1]], vector, power)


def tensor_direction(output: np.ndarray, tensor: np.ndarray, power: float = 0) -> float:
    _, height, width = tensor.shape
    top, left = (output.shape[1] - height) // 2, (output.shape[2] - width) // 2
    values = [
        pushed(output[:, top + row, left + column], tensor[:, row, column], power)
        for row in range(height)
        for column in range(width)
    ]
    return sum(values) / len(values)


def deepdream(output: np.ndarray) -> float:
    return sum(float(value) ** 2 for value in output.flat) / output.size


def gram(output: np.ndarray) -> np.ndarray:
    places = vectors(output)
    units = len(places[0])
    found = np.zeros((units, units))
    for place in places:
        for one in range(units):
            for other in range(units):
                found[one, other] += place[one] * place[other] / len(places)
    return found


def mean_difference(a: np.ndarray, b: np.ndarray) -> float:
    return sum(abs(float(x) - float(y)) for x, y in zip(a.flat, b.flat, strict=True)) / a.size


def caricature(output: np.ndarray, target: np.ndarray, power: float = 0) -> float:
    product = float(np.dot(output.ravel(), target.ravel()))
    lengths = math.sqrt(float((output**2).sum())) * math.sqrt(float((target**2).sum()))
    return product * max(0.1, product / (lengths + 1e-6)) ** power


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear values at the middles of new pixels, the last pixel held outside."""
    _, old_height, old_width = image.shape
    found = np.zeros((len(image), height, width))
    for row in range(height):
        for column in range(width):
            y = min(max((row + 0.5) * old_height / height - 0.5, 0), old_height - 1)
            x = min(max((column + 0.5) * old_width / width - 0.5, 0), old_width - 1)
            top, left = int(y), int(x)
            below, right = min(top + 1, old_height - 1), min(left + 1, old_width - 1)
            down, across = y - top, x - left
            upper = (1 - across) * image[:, top, left] + across * image[:, top, right]
            lower = (1 - across) * image[:, below, left] + across * image[:, below, right]
            found[:, row, column] = (1 - down) * upper + down * lower
    return found


def total_variation(image: np.ndarray) -> float:
    total = 0.0
    for plane in image:
        for row in range(plane.shape[0]):
            for column in range(plane.shape[1]):
                if row > 0:
                    total += abs(plane[row, column] - plane[row - 1, column])
                if column > 0:
                    total += abs(plane[row, column] - plane[row, column - 1])
    return float(total)


def blurred(image: np.ndarray, size: int) -> np.ndarray:
    """Each pixel the mean of those around it that exist, the outermost of ``size`` x ``size`` counted half."""
    reach = size // 2
    found = np.zeros_like(image)
    for channel, row, column in np.ndindex(*image.shape):
        total = weights = 0.0
        for down in range(-reach, reach + 1):
            for across in range(-reach, reach + 1):
                y, x = row + down, column + across
                if 0 <= y < image.shape[1] and 0 <= x < image.shape[2]:
                    weight = 0.5 if reach in (abs(down), abs(across)) else 1.0
                    total += weight * image[channel, y, x]
                    weights += weight
        found[channel, row, column] = total / weights
    return found


def boundary(image: np.ndarray, width: int, constant: float) -> float:
    soft = blurred(image, 5)
    total = 0.0
    for channel, row, column in np.ndindex(*image.shape):
        edge = min(row, column, image.shape[1] - 1 - row, image.shape[2] - 1 - column)
        if edge < width:
            value = image[channel, row, column]
            total += (soft[channel, row, column] - value) ** 2 + 0.8 * (value - constant) ** 2
    return total


def diversity(outputs: np.ndarray) -> float:
    """Lucid's, whose sign is the other one: the sum of the cosines of ordered pairs, divided by the number of pictures."""
    grams = [gram(output).ravel() for output in outputs]
    total = 0.0
    for one in range(len(grams)):
        for other in range(len(grams)):
            if one != other:
                lengths = np.linalg.norm(grams[one]) * np.linalg.norm(grams[other])
                total += float(grams[one] @ grams[other]) / lengths
    return total / len(grams)


def alignment(outputs: np.ndarray, decay_ratio: float) -> float:
    """Lucid's."""
    total = 0.0
    for apart in (1, 2, 3, 4):
        for first in range(len(outputs) - apart):
            total += float(((outputs[first] - outputs[first + apart]) ** 2).mean()) / decay_ratio**apart
    return -total
