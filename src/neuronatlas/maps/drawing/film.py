"""A film of maps over a sequence of stimuli: GIF and animated PNG by Pillow, MP4 by ffmpeg.

Frames are look-ups, not figures: the colours of a frame are those of one fixed scale, which stands below it with the
frame's name and how far the film has come.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, UInt8

from neuronatlas.errors import WrongInput
from neuronatlas.maps.drawing.colouring import Colouring

if TYPE_CHECKING:
    from PIL.Image import Image

KINDS = (".gif", ".mp4", ".png")
_SHADES = 240
"""Colours of the scale; the other sixteen of a palette are greys from white to black, for letters and blank pixels."""
_WHITE, _BLACK = _SHADES, 255
_LINE = _WHITE + 4
"""The grey of the line around what is blank."""
_MARGIN = 4
_FOOT = 58
"""Height in pixels of what stands below the map."""


def write_film(
    path: str | os.PathLike[str],
    pictures: Iterable[Float64[np.ndarray, "_ _"]],
    names: Sequence[str],
    colouring: Colouring,
    *,
    rate: float = 8.0,
    pixels: int = 480,
) -> None:
    """Write one frame for each picture, all of one shape, ``rate`` frames a second; the kind is the ending of the path.

    ``names`` says what each frame shows; long ones are shortened in the middle. On a scale about 0 a thin grey line runs
    around what is blank, since that and what is near 0 are both white. The map is at least ``pixels`` wide: cells of a small one become squares of
    several. ``pictures`` may be a generator: a GIF or PNG is coloured frame by frame, one byte a pixel. Pillow keeps
    the time of a GIF in hundredths of a second. Raises `WrongInput` for another ending, for MP4 without ffmpeg, for no
    pictures, or for more or fewer than there are names.
    """
    file = Path(path)
    kind = file.suffix.lower()
    if kind not in KINDS:
        message = f"path {str(path)!r} must end in one of {', '.join(KINDS)}"
        raise WrongInput(message)
    if kind == ".mp4" and _ffmpeg() is None:
        message = (
            f"path {str(path)!r} is an MP4, which needs the program ffmpeg: install it, or neuronatlas[film], which brings "
            "it, or write .gif or .png"
        )
        raise WrongInput(message)
    if not (0 < rate <= 100 and 96 <= pixels <= 4096):
        message = f"rate {rate} must be above 0 and at most 100, pixels {pixels} from 96 to 4096"
        raise WrongInput(message)
    frames = _frames(pictures, names, colouring, pixels)
    try:
        first = next(frames)
    except StopIteration:
        message = "pictures is empty: give at least one frame"
        raise WrongInput(message) from None
    if kind == ".mp4":
        _encode(file, chain([first], frames), rate)
        return
    options = {"save_all": True, "append_images": list(frames), "duration": 1000.0 / rate, "loop": 0}
    if kind == ".gif":
        options |= {"optimize": False, "disposal": 1, "duration": max(round(100.0 / rate), 1) * 10}
    first.save(file, format=kind[1:], **options)


def colour_indices(
    picture: Float64[np.ndarray, "rows columns"], colouring: Colouring
) -> UInt8[np.ndarray, "rows columns"]:
    """The place of each pixel's colour in the palette of a film, rows from the top; white where the picture is NaN."""
    share = (picture[::-1] - colouring.low) / (colouring.high - colouring.low)
    shades = np.minimum(np.nan_to_num(np.clip(share, 0.0, 1.0)) * _SHADES, _SHADES - 1).astype(np.uint8)
    return np.where(np.isnan(share), np.uint8(_WHITE), shades)


def _frames(
    pictures: Iterable[Float64[np.ndarray, "_ _"]], names: Sequence[str], colouring: Colouring, pixels: int
) -> Iterator[Image]:
    """The frames, as pictures with a palette."""
    from PIL import Image

    palette = _palette(colouring)
    shape: tuple[int, ...] | None = None
    foot = None
    number = 0
    for number, picture in enumerate(pictures, start=1):
        if shape not in (None, picture.shape):
            message = f"pictures holds frames of {shape} and of {picture.shape} pixels: make all alike"
            raise WrongInput(message)
        if number > len(names):
            message = f"pictures holds more frames than the {len(names)} names: give each its own"
            raise WrongInput(message)
        shape = picture.shape
        times = -(-pixels // picture.shape[1])
        map_ = np.repeat(np.repeat(colour_indices(picture, colouring), times, axis=0), times, axis=1)
        if colouring.low == -colouring.high:
            map_ = _lined(map_)
        map_ = np.pad(map_, [(0, map_.shape[0] % 2), (0, map_.shape[1] % 2)], constant_values=_WHITE)  # MP4 wants even
        foot = _scale(colouring, map_.shape[1]) if foot is None else foot
        frame = Image.fromarray(np.concatenate([map_, _told(foot, names[number - 1], number, len(names))]))
        frame.putpalette(palette)
        yield frame
    if number and number < len(names):
        message = f"pictures holds {number} frames for {len(names)} names: give each its own"
        raise WrongInput(message)


def _palette(colouring: Colouring) -> list[int]:
    """Red, green and blue of the 256 colours."""
    scale = (colouring.colours((np.arange(_SHADES) + 0.5) / _SHADES)[:, :3] * 255).round().astype(int)
    greys = np.linspace(255, 0, 256 - _SHADES).round().astype(int)
    return [int(level) for level in np.concatenate([scale, np.repeat(greys[:, None], 3, axis=1)]).ravel()]


def _lined(map_: UInt8[np.ndarray, "rows columns"]) -> UInt8[np.ndarray, "rows columns"]:
    """The map with every blank pixel grey that has one beside it, above or below which is not."""
    blank = map_ == _WHITE
    wide = np.pad(blank, 1, mode="edge")
    inner = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return np.where(blank & ~inner, np.uint8(_LINE), map_)


def _letters(
    paper: UInt8[np.ndarray, "height width"],
    text: str,
    place: tuple[float, float],
    *,
    anchor: str = "mm",
    room: float | None = None,
) -> UInt8[np.ndarray, "height width"]:
    """The paper with one line of text on it, as small as it must be to fit the room, down to 9 pixels, then shortened.

    ``room``: its width in pixels, that of the paper but for margins unless given.
    """
    from PIL import Image, ImageDraw, ImageFont

    size = 13
    room = paper.shape[1] - 2 * _MARGIN if room is None else room
    ink = Image.new("L", (paper.shape[1], paper.shape[0]))
    pen = ImageDraw.Draw(ink)
    font = ImageFont.load_default(size)
    while size > 9 and pen.textlength(text, font=font) > room:
        size -= 1
        font = ImageFont.load_default(size)
    whole, kept = text, len(text)
    while kept > 1 and pen.textlength(text, font=font) > room:
        kept -= 1
        text = f"{whole[: kept - kept // 2]}…{whole[len(whole) - kept // 2 :]}"
    pen.text(place, text, fill=255, font=font, anchor=anchor)
    shade = _WHITE + (np.asarray(ink) / 255 * (_BLACK - _WHITE)).round().astype(np.uint8)
    return np.where(shade > _WHITE, shade, paper)


def _scale(colouring: Colouring, width: int) -> UInt8[np.ndarray, "foot width"]:
    """What stands below every frame: the scale with its ends, and what the numbers are."""
    foot = np.full((_FOOT, width), _WHITE, dtype=np.uint8)
    ends = max(width // 5, 40)
    strip = (np.arange(width - 2 * ends) * _SHADES // (width - 2 * ends)).astype(np.uint8)
    foot[24:34, ends : width - ends] = strip
    foot = _letters(foot, f"{colouring.low:.3g}", (ends - 6, 29), anchor="rm")
    foot = _letters(foot, f"{colouring.high:.3g}", (width - ends + 6, 29), anchor="lm")
    return _letters(foot, colouring.legend, (width / 2, 45))


def _told(foot: UInt8[np.ndarray, "foot width"], name: str, number: int, total: int) -> UInt8[np.ndarray, "foot width"]:
    """The foot with the name of the frame, its number on the right, and a bar that grows."""
    from PIL import ImageFont

    paper = foot.copy()
    paper[:3, : round(paper.shape[1] * number / total)] = _BLACK - 6
    line = " ".join(name.split())
    counted = f"{number}/{total}"
    paper = _letters(paper, counted, (paper.shape[1] - _MARGIN, 13), anchor="rm")
    taken = ImageFont.load_default(13).getlength(f"{total}/{total}  ")
    return _letters(paper, line, (_MARGIN, 13), anchor="lm", room=paper.shape[1] - 2 * _MARGIN - taken)


def _ffmpeg() -> str | None:
    """The program on the path, else that of the package imageio-ffmpeg; None without either."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None


def _encode(file: Path, frames: Iterator[Image], rate: float) -> None:
    """An H.264 film, by ffmpeg reading raw pixels."""
    first = next(frames)
    program = _ffmpeg()
    assert program is not None
    command = [program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{first.width}x{first.height}", "-r", f"{rate:g}", "-i", "-"]
    command += [
        "-c:v",
        "libx264",
        "-crf",
        "16",
        "-pix_fmt",
        "yuv420p",
        "-fflags",
        "+bitexact",
        "-f",
        "mp4",
        str(file.absolute()),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None
        assert encoder.stderr is not None
        with suppress(BrokenPipeError):  # it has given up, and says why
            for frame in chain([first], frames):
                encoder.stdin.write(frame.convert("RGB").tobytes())
            encoder.stdin.close()
        told = encoder.stderr.read().decode(errors="replace").strip()
    if encoder.returncode:
        message = f"ffmpeg could not write {str(file)!r}: {told[-300:] or 'it gave no reason'}"
        raise WrongInput(message)
