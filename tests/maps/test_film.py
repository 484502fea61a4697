from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuronatlas.errors import WrongInput
from neuronatlas.maps.drawing import Colouring, about_zero, write_film
from neuronatlas.maps.drawing.film import _FOOT, colour_indices

COLOURING = Colouring("numbers", -1.0, 1.0, "RdBu_r")
NAMES = ["first", "second", "third", "last"]


def moving() -> list[np.ndarray]:
    pictures = [np.full((5, 6), -1.0) for _ in NAMES]
    for place, picture in enumerate(pictures):
        picture[0, place] = 1.0
        picture[4, 5] = np.nan
    return pictures


def frames(file: Path) -> tuple[list[np.ndarray], list[float]]:
    with Image.open(file) as film:
        shown, times = [], []
        for number in range(getattr(film, "n_frames", 1)):
            film.seek(number)
            shown.append(np.asarray(film.convert("RGB")))
            times.append(film.info["duration"])
        assert film.info["loop"] == 0
    return shown, times


@pytest.mark.parametrize("kind", [".gif", ".png"])
def test_frames_are_the_pictures(kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"film{kind}"
    write_film(file, iter(moving()), NAMES, COLOURING, rate=4, pixels=120)
    shown, times = frames(file)
    assert times == [250.0] * 4
    assert len(shown) == 4
    for picture, frame in zip(moving(), shown, strict=True):
        assert frame.shape == (100 + _FOOT, 120, 3)
        blank = frame[:20, 100:]
        assert (blank[:-1, 1:] == 255).all()  # and a grey line to its left and below
        assert ((blank[:, 0] < 200) & (blank[:, 0] > 160)).all()
        assert (blank[-1] == blank[0, 0]).all()
        plain = frame[:100].copy()
        plain[:20, 100:] = 255
        cells = plain.reshape(5, 20, 6, 20, 3)
        assert (cells == cells[:, :1, :, :1]).all()
        expected = COLOURING.colours((picture[::-1] + 1) / 2)[:, :, :3] * 255
        expected[0, 5] = 255
        np.testing.assert_allclose(cells[:, 0, :, 0], expected, atol=4)
    feet = [frame[100:] for frame in shown]
    bars = [int((foot[0] < 128).all(axis=1).sum()) for foot in feet]
    assert bars == [30, 60, 90, 120]
    assert all((feet[0][24:] == foot[24:]).all() for foot in feet)  # the scale stays
    again = tmp_path / f"again{kind}"
    write_film(again, moving(), NAMES, COLOURING, rate=4, pixels=120)
    assert again.read_bytes() == file.read_bytes()


def test_colours_follow_one_scale() -> None:
    picture = np.array([[-5.0, -1.0, 0.0, 0.999, 1.0, 5.0, np.nan, np.inf, -np.inf]])
    assert colour_indices(picture, COLOURING).tolist() == [[0, 0, 120, 239, 239, 239, 240, 239, 0]]


@pytest.mark.parametrize("names", [[], ["one"]])
def test_every_frame_has_a_name(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match=f"more frames than the {len(names)} names"):
        write_film(tmp_path / "film.gif", moving(), names, COLOURING)
    with pytest.raises(WrongInput, match="holds 4 frames for 5 names"):
        write_film(tmp_path / "film.gif", moving(), [*NAMES, "more"], COLOURING)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("pixels", [96, 300])
def test_a_long_name_is_shortened_and_the_number_stays(pixels: int, tmp_path: Path) -> None:
    long = "grating/orientation=015/frequency=8 " * 5
    names = [long, f"{long[:80]}!{long[-80:]}", "x" * 300, "", "a"]
    colouring = Colouring(f"a legend that says {long}", -1.0, 1.0, "RdBu_r")
    write_film(tmp_path / "film.png", [moving()[0]] * 5, names, colouring, pixels=pixels)
    feet = [frame[-_FOOT:].min(axis=2) for frame in frames(tmp_path / "film.png")[0]]
    for foot in feet:
        assert (foot[3:, :3] == 255).all()
        assert (foot[3:, -3:] == 255).all()
        assert (foot[3:24, -24:-3] < 100).any()  # the number
    first, other, third, none, short = (foot[3:24, :-32] for foot in feet)
    gap = (feet[2][3:24, -40:] == 255).all(axis=0)
    assert gap[:20].any()
    assert (third[:, pixels // 2 :] < 100).any()
    assert np.array_equal(first, other)  # alike at both ends
    assert (none == 255).all()
    assert (short < 100).any()


def test_what_is_blank_is_told_from_what_is_zero(tmp_path: Path) -> None:
    picture = np.full((9, 9), np.nan)
    picture[2:7, 2:7] = 0.0
    for colouring, lined in ((about_zero("effect"), True), (Colouring("numbers"), False)):
        write_film(tmp_path / "film.png", [picture] * 2, ["one", "two"], colouring, pixels=99)
        frame = frames(tmp_path / "film.png")[0][0]
        ring = np.concatenate([frame[21, 22:77], frame[77, 22:77], frame[22:77, 21], frame[22:77, 77]])
        assert (ring == (187 if lined else 255)).all()
        assert (frame[:21, :99] == 255).all()
        assert (frame[22:77, 22:77] == frame[50, 50]).all()


def test_wrong_input_is_named(tmp_path: Path) -> None:
    pictures = moving()
    with pytest.raises(WrongInput, match=r"must end in one of \.gif, \.mp4, \.png"):
        write_film(tmp_path / "film.avi", pictures, NAMES, COLOURING)
    with pytest.raises(WrongInput, match="pictures is empty"):
        write_film(tmp_path / "film.gif", [], [], COLOURING)
    with pytest.raises(WrongInput, match="rate 0 must be above 0"):
        write_film(tmp_path / "film.gif", pictures, NAMES, COLOURING, rate=0)
    with pytest.raises(WrongInput, match=r"frames of \(5, 6\) and of \(5, 7\) pixels"):
        write_film(tmp_path / "film.gif", [pictures[0], np.zeros((5, 7))], NAMES[:2], COLOURING)


def test_mp4_without_ffmpeg_names_what_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(
        WrongInput,
        match=r"needs the program ffmpeg: install it, or neuronatlas\[film\], which brings it, or write \.gif or \.png",
    ):
        write_film(tmp_path / "film.mp4", moving(), NAMES, COLOURING)


def test_ffmpeg_is_given_raw_frames_and_its_refusal_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in its place writes down what it is told and given."""
    program = tmp_path / "ffmpeg"
    program.write_text('#!/bin/sh\nfor last; do :; done\necho "$@" > "$last.words"\n/bin/cat > "$last"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    file = tmp_path / "film.mp4"
    write_film(file, moving(), NAMES, about_zero("effect", *moving()), rate=12.5, pixels=102)
    words = (tmp_path / "film.mp4.words").read_text()
    assert "-s 102x144 -r 12.5" in words  # 85 rows made even, and the foot
    assert file.stat().st_size == 4 * 102 * 144 * 3
    program.write_text("#!/bin/sh\n/bin/cat > /dev/null\necho 'no such encoder' >&2\nexit 1\n")
    with pytest.raises(WrongInput, match=r"could not write .*film\.mp4.*: no such encoder"):
        write_film(file, moving(), NAMES, COLOURING)
    program.write_text("#!/bin/sh\necho 'broken' >&2\nexit 1\n")
    with pytest.raises(WrongInput, match="broken"):
        write_film(file, moving(), NAMES, COLOURING, pixels=1200)


def test_ffmpeg_writes_a_film_that_it_can_read(tmp_path: Path) -> None:
    """The real one, of the package if there is no other: what it reads back is what was drawn."""
    import imageio_ffmpeg

    pictures = moving()
    write_film(tmp_path / "film.mp4", pictures, NAMES, COLOURING, rate=5, pixels=240)
    write_film(tmp_path / "film.png", pictures, NAMES, COLOURING, rate=5, pixels=240)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", tmp_path / "film.mp4", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    read = subprocess.run(command, capture_output=True, check=True)
    assert b" 5 fps" in read.stderr
    with Image.open(tmp_path / "film.png") as exact:
        found = np.frombuffer(read.stdout, np.uint8).reshape(len(pictures), exact.height, exact.width, 3)
        for number, frame in enumerate(found):
            exact.seek(number)
            assert np.abs(frame - np.asarray(exact.convert("RGB"), float)).mean() < 8
