"""An uploaded picture, read safely: few formats, few bytes, few pixels, and nothing that its sender says of it is believed."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from neuronatlas.errors import WrongInput
from neuronatlas.images.files import convert_picture

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MAX_BYTES = 16 << 20
MAX_PIXELS = 50_000_000
"""Half of what is read of a file that is the user's own: decoding takes up to 80 bytes a pixel."""
_DRAINED = 4
"""So many times the limit is read and thrown away, since a browser hears an answer only when it has sent everything."""


class TooLarge(WrongInput):
    """A body of more bytes than are taken."""


async def body_of(parts: AsyncIterator[bytes], *, declared: str | None, limit: int) -> bytes:
    """The bytes of a request; raises `TooLarge` where they are more than ``limit``, whatever length was ``declared``."""
    told = int(declared) if declared is not None and declared.isdecimal() and len(declared) < 19 else 0
    message = f"the body is too large: at most {limit} bytes are taken; send a smaller picture"
    if told > _DRAINED * limit:
        raise TooLarge(message)
    kept, size = [], 0
    async for part in parts:
        size += len(part)
        if size <= limit:
            kept.append(part)
        else:
            kept.clear()
        if size > _DRAINED * limit:
            break
    if size > limit:
        raise TooLarge(message)
    return b"".join(kept)


def read_upload(data: bytes) -> UInt8[np.ndarray, "height width 3"]:
    """The pixels of a picture, upright and in sRGB; its format is found in its bytes.

    Of several frames the first is taken, transparent pixels are laid on mid grey. Raises `WrongInput` where it is not whole
    or too large, or in another format than `FORMATS`.
    """
    if not data:
        message = "the body is empty: send the bytes of a picture"
        raise WrongInput(message)
    with _opened(data) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            message = f"the picture has {width} x {height} pixels, and at most {MAX_PIXELS} are read: make it smaller"
            raise WrongInput(message)
        return convert_picture(image, "the picture that was sent").pixels


def _opened(data: bytes) -> Image.Image:
    """The picture with its header read."""
    Image.init()
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        message = f"the picture is too large: at most {MAX_PIXELS} pixels are read; make it smaller"
    except UnidentifiedImageError:
        message = f"this is no picture in a format that is taken: send {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    except Exception as error:  # noqa: BLE001 - a damaged file makes Pillow raise nearly anything
        message = f"the picture is truncated or damaged ({error}): send it whole"
    raise WrongInput(message)
