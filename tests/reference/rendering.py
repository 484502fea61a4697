"""Feature visualization written out plainly: one picture, float64, no tiles, no folding, torch's own optimiser.

Only the random numbers are shared with the package: they are given.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from tests.reference.fourier import LUCID_ROOT
from torch import Tensor

Score = Callable[[Tensor], Tensor]


class Waves:
    """The parametrisation as one weighted sum of waves a pixel."""

    def __init__(self, side: int, *, decay: float = 1.0, lowest: float = 1.0) -> None:
        self.side = side
        place = torch.arange(side, dtype=torch.float64)
        rows, columns = torch.arange(side), torch.arange(side // 2 + 1)
        signed = torch.where(rows < (side + 1) // 2, rows, rows - side)
        frequency = torch.sqrt((signed[:, None] / side) ** 2 + (columns[None, :] / side) ** 2).double()
        twice = torch.where((columns == 0) | (2 * columns == side), 1.0, 2.0)
        weight = twice / frequency.clamp(min=lowest / side) ** decay / side / 4
        down = 2 * math.pi * rows[:, None] * place / side
        across = 2 * math.pi * columns[:, None] * place / side
        phase = down[:, None, :, None] + across[None, :, None, :]
        self.cosines = weight[:, :, None, None] * phase.cos()
        self.sines = weight[:, :, None, None] * phase.sin()

    def picture(self, numbers: Tensor, cap: float | None) -> Tensor:
        """RGB of shape (1, 3, side, side) from numbers (3, side, side // 2 + 1, 2)."""
        planes = torch.einsum("cuv,uvyx->cyx", numbers[..., 0], self.cosines)
        planes = planes - torch.einsum("cuv,uvyx->cyx", numbers[..., 1], self.sines)
        if cap is not None:
            contrast = (planes**2).mean() ** 0.5
            planes = planes * cap / (contrast**4 + cap**4) ** 0.25
        colours = torch.from_numpy(LUCID_ROOT)
        colours = colours / (colours**2).sum(0).max().sqrt()
        rgb = torch.stack([sum(colours[row, axis] * planes[axis] for axis in range(3)) for row in range(3)])  # type: ignore[misc]
        return (1 / (1 + torch.exp(-rgb)))[None]


def resample(image: Tensor, row: Tensor, column: Tensor, *, mirrored: bool) -> Tensor:
    """Bilinear values of a picture at these places; outside it is its mirror image or nothing."""
    height, width = image.shape[2:]
    total: Tensor | float = 0.0
    for below in (0, 1):
        for right in (0, 1):
            y, x = row.floor() + below, column.floor() + right
            weight = (1 - (row - y).abs()) * (1 - (column - x).abs())
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            if mirrored:
                y = torch.where(y < 0, -1 - y, torch.where(y >= height, 2 * height - 1 - y, y))
                x = torch.where(x < 0, -1 - x, torch.where(x >= width, 2 * width - 1 - x, x))
                inside = torch.ones_like(inside)
            y, x = y.clamp(0, height - 1).long(), x.clamp(0, width - 1).long()
            total = total + image[:, :, y, x] * weight * inside
    assert isinstance(total, Tensor)
    return total


def turned(
    image: Tensor, degrees: float, *, size: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)
) -> tuple[Tensor, Tensor]:
    """The places (row, column) that a turn about the middle, a change of size and a shift in pixels look at."""
    height, width = image.shape[2:]
    y = torch.arange(height, dtype=torch.float64)[:, None] - (height - 1) / 2
    x = torch.arange(width, dtype=torch.float64)[None, :] - (width - 1) / 2
    turn = math.radians(degrees)
    column = (math.cos(turn) * x - math.sin(turn) * y) / size + shift[0] + (width - 1) / 2
    row = (math.sin(turn) * x + math.cos(turn) * y) / size + shift[1] + (height - 1) / 2
    return row, column


def fast(
    numbers: Tensor,
    draws: Tensor,
    score: Score,
    *,
    steps: int,
    margin: int,
    rate: float,
    momentum: float,
    waves: Waves,
    cap: float | None,
    shift: float,
    scale: float,
    degrees: float,
) -> tuple[Tensor, list[float]]:
    """The picture and the curve of the fast recipe: a falling step along the gradient of unit length, with momentum.

    The network is shown the canvas alone: the margin is looked at only where the canvas was moved out of itself.
    """
    velocity = torch.zeros_like(numbers)
    inside = slice(margin, waves.side - margin)
    curve = []
    for step in range(steps):
        numbers = numbers.detach().requires_grad_(True)
        image = waves.picture(numbers, cap)
        right, down, size, turn = (float(draw) for draw in draws[step])
        row, column = turned(image, degrees * turn, size=1 + scale * size, shift=(shift * right, shift * down))
        value = score(resample(image, row[inside, inside], column[inside, inside], mirrored=True))
        value.backward()
        assert numbers.grad is not None
        curve.append(float(value.detach()))
        velocity = momentum * velocity + numbers.grad / (numbers.grad**2).sum().sqrt()
        numbers = numbers + rate * math.sqrt((steps - step) / steps) * velocity
    return waves.picture(numbers.detach(), cap)[:, :, inside, inside], curve


def lucid(
    numbers: Tensor, draws: Tensor, score: Score, *, steps: int, upsample: int | None
) -> tuple[Tensor, list[float]]:
    """The picture and the curve of Lucid's recipe as its port Lucent computes it: Adam at 0.05."""
    waves = Waves(numbers.shape[1])
    numbers = numbers.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([numbers], lr=0.05, maximize=True)
    curve = []
    for step in range(steps):
        value = score(lucent(waves.picture(numbers, None), [float(draw) for draw in draws[step]], upsample))
        curve.append(float(value.detach()))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    return waves.picture(numbers.detach(), None), curve


def lucent(image: Tensor, draws: list[float], upsample: int | None) -> Tensor:
    """Pad 12, jitter 8, scale, rotate, jitter 4, upsample a square picture; torch-lucent 0.1.8, lucent/optvis."""
    side = image.shape[2]
    places = [int(draw * count) for draw, count in zip(draws, (8, 8, 11, 26, 4, 4), strict=True)]
    padded = torch.full((1, 3, side + 24, side + 24), 0.5, dtype=torch.float64)
    padded[:, :, 12:-12, 12:-12] = image
    moved = shifted(padded, places[0], places[1])
    length = math.ceil((1 + (places[2] - 5) / 50) * (side + 24))
    frame = max(0, math.ceil((side + 24 - length) / 2))
    framed = torch.zeros((1, 3, length + 2 * frame, length + 2 * frame), dtype=torch.float64)
    framed[:, :, frame : frame + length, frame : frame + length] = stretched(moved, length)
    turn = [*range(-10, 11), 0, 0, 0, 0, 0][places[3]]
    whole = shifted(resample(framed, *turned(framed, turn), mirrored=False), places[4], places[5])
    return stretched(whole, upsample) if upsample is not None and side < upsample else whole


def shifted(image: Tensor, x: int, y: int) -> Tensor:
    """Moved right and down, black where nothing is."""
    moved = torch.zeros_like(image)
    moved[:, :, y:, x:] = image[:, :, : image.shape[2] - y, : image.shape[3] - x]
    return moved


def stretched(image: Tensor, length: int) -> Tensor:
    """A square picture brought to another side, the centres of the corner pixels in place."""
    side = image.shape[2]
    place = torch.arange(length, dtype=torch.float64) * (side - 1) / (length - 1)
    lower = place.floor().clamp(max=side - 2)
    weight = torch.zeros(length, side, dtype=torch.float64)
    weight[torch.arange(length), lower.long()] = 1 - (place - lower)
    weight[torch.arange(length), lower.long() + 1] = place - lower
    return weight @ image @ weight.T
