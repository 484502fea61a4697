"""Every transform again, of one picture of shape (c, h, w) and one row of draws, in numpy and scipy in float64.

A transform that gives several views gives a list of them.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import ndimage
from tests.reference import fourier

FAR = 200  # pixels of a frame that no transform here looks beyond
SCIPY = {"edge": "nearest", "mirror": "reflect"}


def looked_up(image: np.ndarray, row: np.ndarray, column: np.ndarray, rule: str, value: float = 0.0) -> np.ndarray:
    """Each plane at these places, bilinearly, by scipy."""
    if rule == "constant":  # scipy's own rule of this name does not blend into the value at the border
        image = np.pad(image, ((0, 0), (FAR, FAR), (FAR, FAR)), constant_values=value)
        row, column, rule = row + FAR, column + FAR, "edge"
    return np.stack([ndimage.map_coordinates(plane, [row, column], order=1, mode=SCIPY[rule]) for plane in image])


def turned(
    image: np.ndarray,
    degrees: float,
    *,
    scale: float = 1.0,
    shift: tuple[float, float] = (0, 0),
    rule: str,
    value: float,
) -> np.ndarray:
    """Turned and scaled about the middle, seen ``shift`` (x, y) further on."""
    height, width = image.shape[1:]
    y, x = np.mgrid[:height, :width]
    x, y = x - (width - 1) / 2, y - (height - 1) / 2
    turn = math.radians(degrees)
    column = (math.cos(turn) * x - math.sin(turn) * y) / scale + shift[0] + (width - 1) / 2
    row = (math.sin(turn) * x + math.cos(turn) * y) / scale + shift[1] + (height - 1) / 2
    return looked_up(image, row, column, rule, value)


def resized(image: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float]) -> np.ndarray:
    """A box (left, top, right, bottom, in pixels from the edge of the picture) brought to ``size`` (height, width)."""
    left, top, right, bottom = box
    column = left + (np.arange(size[1]) + 0.5) * (right - left) / size[1] - 0.5
    row = top + (np.arange(size[0]) + 0.5) * (bottom - top) / size[0] - 0.5
    return looked_up(image, *np.meshgrid(row, column, indexing="ij"), "edge")


def chosen(number: float, options: list[float]) -> float:
    """The option whose part of the line from 0 to 1 holds the number."""
    edges = [(index + 1) / len(options) for index in range(len(options))]
    return next(choice for choice, edge in zip(options, edges, strict=True) if number < edge)


def affine(
    image: np.ndarray, draws: np.ndarray, *, shift: float, scale: float, degrees: float, **_: object
) -> np.ndarray:
    moved = (shift * draws[0], shift * draws[1])
    return turned(image, degrees * draws[3], scale=1 + scale * draws[2], shift=moved, rule="mirror", value=0)


def pad(image: np.ndarray, draws: np.ndarray, *, pixels: int, mode: str, value: float) -> np.ndarray:
    frame = ((0, 0), (pixels, pixels), (pixels, pixels))
    return np.pad(image, frame, mode="reflect") if mode == "reflect" else np.pad(image, frame, constant_values=value)


def jitter(image: np.ndarray, draws: np.ndarray, *, pixels: int, **_: object) -> np.ndarray:
    x, y = (int(chosen(number, list(range(pixels + 1)))) for number in draws)
    return image[:, y : image.shape[1] - pixels + y, x : image.shape[2] - pixels + x]


def flip(image: np.ndarray, draws: np.ndarray, *, probability: float, **_: object) -> np.ndarray:
    return image[:, :, ::-1] if draws[0] < probability else image


def scale(image: np.ndarray, draws: np.ndarray, *, low: float, high: float, choices: list[float]) -> np.ndarray:
    factor = chosen(draws[0], choices) if choices else low + draws[0] * (high - low)
    height, width = image.shape[1:]
    size = (math.floor(height * factor + 0.5), math.floor(width * factor + 0.5))
    return resized(image, size, (0, 0, width, height))


def rotate(
    image: np.ndarray, draws: np.ndarray, *, degrees: float, choices: list[float], mode: str, value: float, **_: object
) -> np.ndarray:
    angle = chosen(draws[0], choices) if choices else -degrees + 2 * degrees * draws[0]
    return turned(image, angle, rule=mode, value=value)


def crops(image: np.ndarray, draws: np.ndarray, *, low: float, high: float, size: int, **_: object) -> list[np.ndarray]:
    height, width = image.shape[1:]
    views = []
    for number, x, y in draws.reshape(-1, 3):
        share = low + number * (high - low)
        left, top = (min(max(centre - share / 2, 0), 1 - share) for centre in (x, y))
        box = (left * width, top * height, (left + share) * width, (top + share) * height)
        views.append(resized(image, (size, size), box))
    return views


def blur(image: np.ndarray, draws: np.ndarray, *, low: float, high: float) -> np.ndarray:
    sd = low + draws[0] * (high - low)
    if sd == 0:
        return image
    reach = math.floor(4 * high + 0.5)
    return np.stack([ndimage.gaussian_filter(plane, sd, mode="nearest", radius=reach) for plane in image])


def noise(image: np.ndarray, draws: np.ndarray, *, sd: float) -> np.ndarray:
    generator = torch.Generator().manual_seed(int(draws[0]))
    return image + sd * torch.randn(image.shape, generator=generator).numpy().astype(float)


def colour(
    image: np.ndarray, draws: np.ndarray, *, brightness: float, contrast: float, saturation: float
) -> np.ndarray:
    def luminance(picture: np.ndarray) -> np.ndarray:
        return 0.299 * picture[0] + 0.587 * picture[1] + 0.114 * picture[2]

    image = image * (1 + brightness * draws[0])
    mean = luminance(image).mean()
    image = (image - mean) * (1 + contrast * draws[1]) + mean
    more = 1 + saturation * draws[2]
    return np.stack([luminance(image) * (1 - more) + plane * more for plane in image])


def composite(image: np.ndarray, draws: np.ndarray, *, sd: float) -> np.ndarray:
    height, width = image.shape[1:]
    generator = torch.Generator().manual_seed(int(draws[0]))
    numbers = sd * torch.randn((3, height, width // 2 + 1, 2), generator=generator)
    background = fourier.picture(numbers.numpy().astype(float), height, width)
    return np.stack([image[3] * image[index] + (1 - image[3]) * background[index] for index in range(3)])


def lucid(image: np.ndarray, draws: np.ndarray, *, upsample: int | None) -> np.ndarray:
    """Lucent's chain by loops over pixels: torch-lucent 0.1.8, lucent/optvis/transform.py and render.py."""
    small = upsample is not None and min(image.shape[1:]) < upsample
    places = [int(number * count) for number, count in zip(draws, (8, 8, 11, 26, 4, 4), strict=True)]
    image = np.pad(image, ((0, 0), (12, 12), (12, 12)), constant_values=0.5)
    image = translated(image, places[0], places[1])
    height, width = image.shape[1:]
    factor = 1 + (places[2] - 5) / 50
    size = (math.ceil(height * factor), math.ceil(width * factor))
    image = stretched(image, size)
    down, across = max(0, math.ceil((height - size[0]) / 2)), max(0, math.ceil((width - size[1]) / 2))
    image = np.pad(image, ((0, 0), (down, across), (down, across)))
    angle = [*range(-10, 11), 0, 0, 0, 0, 0][places[3]]
    image = turned(image, angle, rule="constant", value=0)
    image = translated(image, places[4], places[5])
    return stretched(image, (upsample, upsample)) if small else image


def translated(image: np.ndarray, x: int, y: int) -> np.ndarray:
    """Moved right and down over black."""
    moved = np.zeros_like(image)
    for row in range(y, image.shape[1]):
        for column in range(x, image.shape[2]):
            moved[:, row, column] = image[:, row - y, column - x]
    return moved


def stretched(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Brought to ``size`` (height, width), the centres of the corner pixels in place."""
    row = np.arange(size[0]) * (image.shape[1] - 1) / max(size[0] - 1, 1)
    column = np.arange(size[1]) * (image.shape[2] - 1) / max(size[1] - 1, 1)
    return looked_up(image, *np.meshgrid(row, column, indexing="ij"), "edge")


def transformed(settings: dict, image: np.ndarray, draws: np.ndarray) -> list[np.ndarray]:
    """The views of one picture by the transform of these settings."""
    words = dict(settings)
    name = words.pop("name")
    if name in {"chain", "fused"}:
        return chained(words["parts"], [image], draws)
    moved = image if name == "none" else globals()[name](image, draws, **words)
    return moved if isinstance(moved, list) else [moved]


WIDTHS = {
    "none": 0, "pad": 0, "affine": 4, "jitter": 2, "flip": 1, "scale": 1, "rotate": 1, "blur": 1, "noise": 1, "colour": 3,
    "composite": 1, "lucid": 6,
}  # fmt: skip


def columns(settings: dict) -> int:
    """How many numbers a transform takes; a chain within a chain has no member of several views here."""
    if settings["name"] == "chain":
        return sum(columns(part) for part in settings["parts"])
    return 3 * settings["count"] if settings["name"] == "crops" else WIDTHS[settings["name"]]


def chained(parts: list[dict], views: list[np.ndarray], draws: np.ndarray) -> list[np.ndarray]:
    """One member after the other, each with the next columns for each view."""
    for part in parts:
        width = columns(part)
        own, draws = draws[: width * len(views)].reshape(len(views), width), draws[width * len(views) :]
        if part.get("shared") or part["name"] in {"scale", "lucid"}:
            own = own[:1].repeat(len(views), axis=0)
        views = [view for image, row in zip(views, own, strict=True) for view in transformed(part, image, row)]
    assert draws.size == 0
    return views
