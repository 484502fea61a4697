"""Pictures for the page: WebP files, and sheets of thumbnails that travel inside scripts.

A page opened from ``file://`` may show an image file but may not hand its pixels to WebGL, so the thumbnails on the
map come as ``data:`` URIs. Sheets are 2,048 pixels wide, half of what the weakest WebGL implementations must accept.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageOps

from neuronatlas.view.scene import ScenePicture

SHEET = 2048
"""Pixels along one side of a full sheet."""


@dataclass(frozen=True)
class Sheet:
    """Thumbnails in rows of ``columns`` square cells of ``cell`` pixels, in the order of ``units``."""

    cell: int
    columns: int
    units: tuple[int, ...]
    image: str


def webp(image: UInt8[np.ndarray, "height width channels"], quality: int = 88) -> bytes:
    """The same bytes for the same pixels: no time stamp, no profile."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()


def data_uri(encoded: bytes) -> str:
    """A WebP image as text that an ``<img>`` and a WebGL texture accept."""
    return "data:image/webp;base64," + base64.b64encode(encoded).decode("ascii")


def cell_size(count: int) -> int:
    """Pixels of a thumbnail: sharp for a few hundred pictures, small for very many, so that a page stays a few MB."""
    return 128 if count <= 512 else 64


def sheets(pictures: Mapping[int, ScenePicture]) -> Iterator[Sheet]:
    """Every picture once, by unit index, in as few sheets as their size allows."""
    cell = cell_size(len(pictures))
    units = sorted(pictures)
    columns = SHEET // cell
    mask = _rounded(cell)
    for start in range(0, len(units), columns * columns):
        some = tuple(units[start : start + columns * columns])
        used = min(columns, len(some))
        canvas = Image.new("RGBA", (used * cell, -(-len(some) // used) * cell))
        for place, unit in enumerate(some):
            thumbnail = _square(pictures[unit].image, cell).convert("RGBA")
            thumbnail.putalpha(mask)
            canvas.paste(thumbnail, ((place % used) * cell, (place // used) * cell))
        yield Sheet(cell, used, some, data_uri(webp(np.asarray(canvas), quality=80)))


def thumbnail(image: UInt8[np.ndarray, "height width 3"], size: int = 96) -> bytes:
    """A square WebP thumbnail, cropped around the middle; never enlarged."""
    side = min(size, *image.shape[:2])
    return webp(np.asarray(_square(image, side)), quality=82)


def _square(image: UInt8[np.ndarray, "height width 3"], side: int) -> Image.Image:
    return ImageOps.fit(Image.fromarray(np.ascontiguousarray(image)), (side, side), Image.Resampling.LANCZOS)


def _rounded(cell: int) -> Image.Image:
    """An opaque square with rounded corners, drawn large and shrunk so that its edge is smooth."""
    mask = Image.new("L", (cell * 4, cell * 4))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, cell * 4 - 1, cell * 4 - 1), cell * 0.4, fill=255)
    return mask.resize((cell, cell), Image.Resampling.LANCZOS)
