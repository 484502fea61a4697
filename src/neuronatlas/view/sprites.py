"""Pictures for the page as WebP, which travel inside scripts; thumbnails in sheets.

A page opened from ``file://`` may show an image file but may not hand its pixels to WebGL, so the thumbnails on the
map come as ``data:`` URIs. Sheets are 2,048 pixels wide, half of what the weakest WebGL implementations must accept.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from PIL import Image, ImageDraw, ImageOps

from neuronatlas.view.scene import ScenePicture

SHEET = 2048
"""Pixels along one side of a full sheet."""


@dataclass(frozen=True)
class Sheet:
    """Thumbnails in rows of ``columns`` square cells of ``cell`` pixels; ``image`` is a data URI."""

    cell: int
    columns: int
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


def arranged(pictured: Sequence[int], positions: Float32[np.ndarray, "units 2"]) -> tuple[tuple[int, ...], ...]:
    """The units of each sheet. The first sheet has some from every part of the map, for who looks at it from afar; the
    others have units that lie together, for who looks closer and needs few sheets at a time.

    A unit without a place comes last. All that decides is where units lie and, of equals, their index.
    """
    full = (SHEET // cell_size(len(pictured))) ** 2
    if len(pictured) <= full:
        return (tuple(pictured),) if pictured else ()
    units = np.array(pictured)
    placed = np.isfinite(positions[units]).all(1)
    places = np.where(placed[:, None], positions[units], np.float32(2))
    first: list[int] = []
    taken = np.zeros(len(units), bool)
    for side in (4, 8, 16, 32, 64, 128):
        cells = np.clip(((places + 1) / 2 * side).astype(np.int64), 0, side - 1) @ np.array([side, 1])
        free = placed & ~taken
        _, here = np.unique(np.where(free, cells, -1), return_index=True)
        new = [place for place in here.tolist() if free[place]][: full - len(first)]
        taken[new] = True
        first += new
    rest = np.flatnonzero(~taken)
    rest = rest[np.argsort(_curve(places[rest]), kind="stable")]
    ordered = units[np.concatenate([np.array(first, np.int64), rest])].tolist()
    return tuple(tuple(ordered[start : start + full]) for start in range(0, len(ordered), full))


def _curve(places: Float32[np.ndarray, "n 2"]) -> Int64[np.ndarray, " n"]:
    """The place of each point on a curve through the plane that stays among neighbours (Morton's order, 16 bits)."""
    whole = np.clip((places + 2) / 4 * 65535, 0, 65535).astype(np.int64)
    order = np.zeros(len(places), np.int64)
    for bit in range(16):
        order |= ((whole[:, 0] >> bit) & 1) << (2 * bit + 1) | ((whole[:, 1] >> bit) & 1) << (2 * bit)
    return order


def sheet(pictures: Mapping[int, ScenePicture], cell: int) -> Sheet:
    """The thumbnails of these units, in the order of the mapping, on one sheet."""
    mask = _rounded(cell)
    used = min(SHEET // cell, len(pictures))
    canvas = Image.new("RGBA", (used * cell, -(-len(pictures) // used) * cell))
    for place, picture in enumerate(pictures.values()):
        small = _square(picture.image, cell).convert("RGBA")
        small.putalpha(mask)
        canvas.paste(small, ((place % used) * cell, (place // used) * cell))
    return Sheet(cell, used, data_uri(webp(np.asarray(canvas), quality=80)))


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
