"""Contact sheets: pictures in rows, with small gaps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from neuronatlas.errors import WrongInput
from neuronatlas.rendering import Rendering

GAP = 4
WHITE = 255


def sheet(
    pictures: Sequence[Rendering | np.ndarray],
    columns: int | None = None,
    *,
    gap: int = GAP,
    background: int = WHITE,
) -> UInt8[np.ndarray, "height width 3"]:
    """Pictures in rows of ``columns``, by default as many columns as rows or one more.

    Arrays are (h, w, 1), (h, w, 3) or (h, w, 4) of uint8; what is transparent shows ``background``, as the gaps of
    ``gap`` pixels between pictures do. A cell is as large as the largest picture, and smaller ones lie in its middle.
    """
    if not pictures:
        message = "pictures is empty: a sheet needs at least one"
        raise WrongInput(message)
    if columns is not None and columns < 1:
        message = f"columns (={columns}) must be at least 1, or None"
        raise WrongInput(message)
    if gap < 0:
        message = f"gap (={gap}) must be 0 or more pixels"
        raise WrongInput(message)
    cells = [_rgb(each.pixels if isinstance(each, Rendering) else each, background) for each in pictures]
    across = math.ceil(math.sqrt(len(cells))) if columns is None else columns
    down = math.ceil(len(cells) / across)
    height, width = (max(cell.shape[axis] for cell in cells) for axis in (0, 1))
    made = np.full((down * (height + gap) - gap, across * (width + gap) - gap, 3), background, np.uint8)
    for number, cell in enumerate(cells):
        top = number // across * (height + gap) + (height - cell.shape[0]) // 2
        left = number % across * (width + gap) + (width - cell.shape[1]) // 2
        made[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return made


def _rgb(picture: object, background: int) -> UInt8[np.ndarray, "h w 3"]:
    if not isinstance(picture, np.ndarray):
        message = f"picture is a {type(picture).__name__}; a rendering or an array (h, w, 1, 3 or 4) is expected"
        raise WrongInput(message)
    if picture.ndim != 3 or picture.shape[2] not in (1, 3, 4) or picture.dtype != np.uint8:
        message = f"picture has shape {picture.shape} and type {picture.dtype}; (h, w, 1, 3 or 4) of uint8 is expected"
        raise WrongInput(message)
    if picture.shape[2] == 4:
        alpha = picture[..., 3:] / 255
        return np.rint(picture[..., :3] * alpha + background * (1 - alpha)).astype(np.uint8)
    return np.broadcast_to(picture, (*picture.shape[:2], 3))
