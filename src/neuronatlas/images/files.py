"""Reading pictures safely: one rule for every kind of file, and a clear refusal of those that cannot be read whole.

Whatever the file holds, what comes out is uint8 RGB in sRGB, upright. A picture is never half read, clipped or
guessed: it is read right, or `UnreadablePicture` says why not. Refused are files in formats that can run programs
(PostScript) and pictures too large for memory. Pillow's global switches are neither trusted nor touched.
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from neuronatlas.errors import WrongInput

EXTENSIONS = frozenset(
    ".avif .bmp .gif .jfif .jp2 .jpe .jpeg .jpg .mpo .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()
)
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
GREY = (128, 128, 128)
MAX_PIXELS = 100_000_000  # 300 MB as RGB; four times what the largest common cameras make
MAX_BYTES = 1 << 30

_warnings_are_global = threading.Lock()


class UnreadablePicture(WrongInput):
    """A file that is not a whole picture. ``name`` is the file, ``reason`` what is wrong with it."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"cannot read the picture {name!r}: {reason}")


class _Refused(Exception):
    """A picture that is whole but is not read; the message says why."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as read. ``notes`` say what had to be decided: a colour profile, a first frame, a background."""

    pixels: UInt8[np.ndarray, "height width 3"]
    notes: tuple[str, ...] = ()


def read_picture(
    path: str | os.PathLike[str],
    *,
    background: tuple[int, int, int] = GREY,
    value_range: tuple[float, float] | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """The pixels of a picture file, uint8 RGB; raises `UnreadablePicture`. Arguments as in `decode_picture`."""
    data = read_file(path)
    return decode_picture(data, os.fspath(path), background=background, value_range=value_range).pixels


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a picture file; raises `UnreadablePicture` if it is missing, closed to us or above a gibibyte."""
    try:
        if (size := Path(path).stat().st_size) > MAX_BYTES:
            raise UnreadablePicture(os.fspath(path), f"the file has {size} bytes, more than the {MAX_BYTES} allowed")
        return Path(path).read_bytes()
    except OSError as error:
        raise UnreadablePicture(os.fspath(path), error.strerror or str(error)) from error


def decode_picture(
    data: bytes,
    name: str,
    *,
    background: tuple[int, int, int] = GREY,
    value_range: tuple[float, float] | None = None,
) -> Picture:
    """Turn the bytes of a picture file into pixels; ``name`` stands in the error, an `UnreadablePicture`.

    EXIF orientation is applied; a colour profile is converted to sRGB; transparent pixels are laid on ``background``
    (sRGB, mid grey by default); 16-bit grey is divided by 257; of several frames the first is taken. Floating-point
    and 32-bit pictures have no white of their own: ``value_range`` gives the values of black and white, also for 16 bits.
    """
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        message = "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is on, which makes up missing pixels: set it to False"
        raise WrongInput(message)
    if not data:
        raise UnreadablePicture(name, "the file is empty")
    notes: list[str] = []
    with _refusing(name), _open(data, notes) as image:
        return _picture(image, notes, background, value_range)


def convert_picture(
    image: Image.Image,
    name: str,
    *,
    background: tuple[int, int, int] = GREY,
    value_range: tuple[float, float] | None = None,
) -> Picture:
    """Turn a picture that Pillow has opened into pixels by the same rules as `decode_picture`; it stays open."""
    with _refusing(name):
        _check_size(image)
        return _picture(image, [], background, value_range)


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Whatever goes wrong is an `UnreadablePicture` of this name."""
    try:
        yield
    except MemoryError:
        raise
    except _Refused as refusal:
        raise UnreadablePicture(name, str(refusal)) from refusal.__cause__
    except UnidentifiedImageError:
        raise UnreadablePicture(name, "it is not a picture in a format that is read here") from None
    except Exception as error:  # a damaged file makes Pillow raise nearly anything
        raise UnreadablePicture(name, f"it is truncated or damaged ({error})") from error


def _picture(
    image: Image.Image, notes: list[str], background: tuple[int, int, int], value_range: tuple[float, float] | None
) -> Picture:
    """An open picture, read."""
    image.load()
    value_range = value_range or _own_range(image)
    pixels = _pixels(ImageOps.exif_transpose(image), notes, background, value_range)
    if getattr(image, "is_animated", False):
        notes.append("the first of several frames")
    return Picture(pixels, tuple(dict.fromkeys(notes)))


def centre_crop_resize(image: UInt8[np.ndarray, "height width 3"], size: int) -> UInt8[np.ndarray, "size size 3"]:
    """The largest centred square of a picture, resized to ``size`` pixels a side.

    An odd leftover pixel is cut from the bottom or right. Resizing is bilinear; where it shrinks, each output pixel
    averages (with a triangle of twice its width) all that it covers, so that nothing aliases.
    """
    if size < 1:
        message = f"size (={size}) must be at least 1 pixel"
        raise WrongInput(message)
    height, width = image.shape[:2]
    side = min(height, width)
    if side == 0:
        message = f"image (shape {image.shape}) has no pixels"
        raise WrongInput(message)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    if side == size:
        return square.copy()
    return np.array(Image.fromarray(square).resize((size, size), Image.Resampling.BILINEAR))


def find_pictures(folder: str | os.PathLike[str], extensions: Collection[str] = EXTENSIONS) -> list[Path]:
    """All files below a folder that have one of these ``extensions``, sorted by the bytes of their path.

    Links are followed, but each real folder is entered once, so that loops end. Names that start with a dot are
    passed over. Raises `WrongInput` for a folder that is missing or cannot be listed.
    """
    return sorted(
        _walk(Path(folder), set(), extensions), key=lambda path: os.fsencode(path.relative_to(folder).as_posix())
    )


def _walk(folder: Path, entered: set[tuple[int, int]], extensions: Collection[str]) -> Iterator[Path]:
    """The files of a folder with these extensions, and of those folders in it that were not entered yet."""
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in entered:
            return
        entered.add((status.st_dev, status.st_ino))
        entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        message = f"cannot list the folder {str(folder)!r}: {error.strerror}; give the path of a readable folder"
        raise WrongInput(message) from error
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(path, entered, extensions)
        elif path.suffix.lower() in extensions and (entry.is_file() or not path.exists()):
            yield path  # a broken link is kept, so that whoever reads it says so; a pipe or device never is


def _open(data: bytes, notes: list[str]) -> Image.Image:
    """The picture with its header read and its size allowed; what Pillow warns of becomes a note."""
    with _warnings_are_global, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            Image.init()
            formats = [each for each in FORMATS if each in Image.OPEN]
            image = Image.open(io.BytesIO(data), formats=formats)
            image.getexif()
        except Image.DecompressionBombError as error:
            message = f"it is too large: {error}"
            raise _Refused(message) from error
    notes.extend(str(each.message) for each in caught if each.category is not Image.DecompressionBombWarning)
    try:
        _check_size(image)
    except _Refused:
        image.close()
        raise
    return image


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        message = f"it is too large: {width} x {height} pixels, and at most {MAX_PIXELS} are read; make it smaller"
        raise _Refused(message)


def _pixels(
    image: Image.Image, notes: list[str], background: tuple[int, int, int], value_range: tuple[float, float] | None
) -> UInt8[np.ndarray, "height width 3"]:
    """The pixels of a loaded picture as uint8 RGB."""
    alpha: Float64[np.ndarray, "height width 1"] | None = None
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image)
        transparent = image.info.get("transparency")
        if isinstance(transparent, int):
            alpha = (values != transparent)[..., None].astype(np.float64)
        if value_range is None:
            message = f"samples of kind {image.mode!r} have no white of their own; give value_range=(black, white)"
            raise _Refused(message)
        image = Image.fromarray(_to_bytes(values.astype(np.float64), value_range))
    elif image.has_transparency_data:
        profile = image.info.get("icc_profile")
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"), np.float64)[..., None] / 255
        image = image.convert("RGB")
        image.info["icc_profile"] = profile
    colours = np.array(_to_srgb(image, notes))
    if alpha is None or alpha.min() == 1:
        return colours
    notes.append("transparent pixels laid on rgb({}, {}, {})".format(*background))
    blended: UInt8[np.ndarray, "height width 3"] = np.rint(alpha * colours + (1 - alpha) * background).astype(np.uint8)
    return blended


def _own_range(image: Image.Image) -> tuple[float, float] | None:
    """The values of black and white of a 16-bit picture (those of PPM files Pillow holds as 32-bit ones)."""
    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    return (0.0, 65535.0) if sixteen else None


def _to_bytes(
    values: Float64[np.ndarray, "height width"], value_range: tuple[float, float]
) -> UInt8[np.ndarray, "height width"]:
    """Values scaled so that the range becomes 0..255."""
    black, white = value_range
    if not (np.isfinite(values).all() and np.isfinite([black, white]).all() and black != white):
        message = f"samples and value_range (={value_range}) must be finite, and black unlike white"
        raise _Refused(message)
    return np.rint(np.clip((values - black) / (white - black), 0, 1) * 255).astype(np.uint8)


def _to_srgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """The picture without alpha as RGB, its colour profile (if it has one) converted."""
    data = image.info.get("icc_profile")
    if data:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
            description = ImageCms.getProfileDescription(profile).strip()
            space = profile.profile.xcolor_space.strip()
            mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}[space]
            if description.startswith("sRGB") and mode == "RGB":
                return image.convert("RGB")
            source = image if image.mode == mode else image.convert(mode)
            converted = ImageCms.profileToProfile(
                source,
                profile,
                ImageCms.createProfile("sRGB"),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
        except (ImageCms.PyCMSError, KeyError, OSError) as error:
            notes.append(f"colour profile not usable ({error}), taken as sRGB")
        else:
            if converted is not None:
                notes.append(f"colour profile {description!r} converted to sRGB")
                return converted
    return image.convert("RGB")
