"""Reading pictures: what comes out is right, or nothing comes out. The names of the tests are those of the test plan."""

import io
import os
import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from neuronatlas.errors import WrongInput
from neuronatlas.images.files import (
    UnreadablePicture,
    centre_crop_resize,
    decode_picture,
    find_pictures,
    read_picture,
)

WRITTEN = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(rng: np.random.Generator, height: int = 48, width: int = 56) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_whole_file_of_each_kind_is_read(kind: str) -> None:
    picture = Image.new("RGB", (40, 24), (200, 100, 40))
    options = {"quality": 95} if kind in ("AVIF", "JPEG", "WEBP") else {}
    pixels = decode_picture(encoded(picture, kind, **options), "a").pixels
    assert pixels.shape == (24, 40, 3)
    assert np.abs(pixels.astype(int) - [200, 100, 40]).max() <= 3


@pytest.mark.parametrize("kind", WRITTEN)
def test_d1_a_truncated_file_is_refused_or_was_whole_already(kind: str, rng: np.random.Generator) -> None:
    data = encoded(noise(rng), kind)
    whole = decode_picture(data, "a").pixels
    refused = 0
    lengths = [*range(1, len(data), max(1, len(data) // 60)), len(data) - 2, len(data) - 1]
    for length in lengths:
        try:
            pixels = decode_picture(data[:length], "cut").pixels
        except UnreadablePicture:
            refused += 1
        else:  # only what ends the file was missing
            assert np.array_equal(pixels, whole), f"{kind} of {len(data)} bytes cut to {length} gave other pixels"
    assert refused >= len(lengths) - 3


def test_d1_a_progressive_jpeg_cut_short_is_refused(rng: np.random.Generator) -> None:
    data = encoded(noise(rng), "JPEG", progressive=True)
    for share in (0.3, 0.6, 0.9, 0.98):
        with pytest.raises(UnreadablePicture, match="truncated"):
            decode_picture(data[: int(share * len(data))], "a.jpg")


def test_d1_pillow_set_to_make_up_pixels_is_refused(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(WrongInput, match="set it to False"):
        decode_picture(encoded(noise(rng)), "a.png")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\0", "not a picture"),
        (b"hello, this is text" * 50, "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(x) print quit\n", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    ],
)
def test_d2_what_is_no_picture_is_refused_by_name_and_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "odd.png"
    file.write_bytes(content)
    with pytest.raises(UnreadablePicture, match=reason) as caught:
        read_picture(file)
    assert caught.value.name == str(file)
    assert str(file) in str(caught.value)
    assert isinstance(caught.value, WrongInput)


def test_d2_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadablePicture, match="No such file"):
        read_picture(tmp_path / "none.png")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_d3_sixteen_bits_are_scaled_not_clipped(kind: str) -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    pixels = decode_picture(encoded(Image.fromarray(ramp), kind), "ramp").pixels
    expected = np.floor(ramp / 257 + 0.5)
    assert np.array_equal(pixels, np.repeat(expected[:, :, None], 3, axis=2).astype(np.uint8))


def test_d4_floating_point_needs_its_range() -> None:
    values = np.linspace(-2, 6, 64, dtype=np.float32).reshape(8, 8)
    data = encoded(Image.fromarray(values), "TIFF")
    with pytest.raises(UnreadablePicture, match="value_range"):
        decode_picture(data, "depth.tif")
    pixels = decode_picture(data, "depth.tif", value_range=(0.0, 4.0)).pixels[:, :, 0]
    expected = np.clip(values / 4, 0, 1) * 255
    assert np.abs(pixels - expected).max() <= 0.51
    portable = b"Pf\n8 8\n-1.0\n" + values.tobytes()
    with pytest.raises(UnreadablePicture, match="value_range"):
        decode_picture(portable, "depth.pfm")
    values[3, 3] = np.nan
    with pytest.raises(UnreadablePicture, match="finite"):
        decode_picture(encoded(Image.fromarray(values), "TIFF"), "depth.tif", value_range=(0.0, 4.0))


def test_d3_a_declared_range_stands_above_that_of_sixteen_bits() -> None:
    twelve_bits = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)
    pixels = decode_picture(encoded(Image.fromarray(twelve_bits)), "x.png", value_range=(0.0, 4095.0)).pixels
    assert np.abs(pixels[:, :, 0] - twelve_bits / 4095 * 255).max() <= 0.51


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_d5_cmyk_becomes_rgb(kind: str) -> None:
    for colour in ((255, 0, 0), (0, 160, 90), (30, 30, 30), (255, 255, 255), (250, 240, 10)):
        ink = Image.new("RGB", (32, 32), colour).convert("CMYK")
        options = {"quality": 95} if kind == "JPEG" else {}
        pixels = decode_picture(encoded(ink, kind, **options), "print").pixels
        assert np.abs(pixels.astype(int) - colour).max() <= 4


def test_d6_alpha_is_laid_on_the_background_and_hidden_colours_stay_hidden() -> None:
    picture = np.zeros((4, 6, 4), np.uint8)
    picture[:, :2] = (255, 0, 0, 0)  # hidden red
    picture[:, 2:4] = (255, 0, 0, 128)
    picture[:, 4:] = (10, 20, 30, 255)
    data = encoded(Image.fromarray(picture))
    read = decode_picture(data, "a.png")
    assert read.pixels[0, 0].tolist() == [128, 128, 128]
    assert read.pixels[0, 2].tolist() == [round(255 * 128 / 255 + 128 * 127 / 255), 64, 64]
    assert read.pixels[0, 5].tolist() == [10, 20, 30]
    assert "transparent" in read.notes[0]
    assert decode_picture(data, "a.png", background=(0, 255, 0)).pixels[0, 0].tolist() == [0, 255, 0]


def test_d6_transparent_palette_entries_and_colours_are_laid_on_the_background() -> None:
    palette = Image.new("P", (6, 4))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.paste(1, (3, 0, 6, 4))
    for transparency, left in ((0, [128, 128, 128]), (bytes([0, 255]), [128, 128, 128]), (None, [255, 0, 0])):
        options = {} if transparency is None else {"transparency": transparency}
        pixels = decode_picture(encoded(palette, "PNG", **options), "p.png").pixels
        assert pixels[0, 0].tolist() == left
        assert pixels[0, 5].tolist() == [0, 0, 255]
    keyed = encoded(Image.new("RGB", (3, 3), (9, 8, 7)), transparency=(9, 8, 7))
    assert decode_picture(keyed, "k.png").pixels[0, 0].tolist() == [128, 128, 128]
    deep = encoded(Image.fromarray(np.full((3, 3), 700, np.uint16)), transparency=700)
    assert decode_picture(deep, "k16.png").pixels[0, 0].tolist() == [128, 128, 128]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_d7_pictures_stand_upright_whatever_the_camera_says(orientation: int) -> None:
    upright = np.zeros((2, 3, 3), np.uint8)
    upright[0] = ((250, 0, 0), (0, 250, 0), (0, 0, 250))
    turned_back = {  # what the camera stored: the inverse of what EXIF asks for
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a[:, ::-1], 3),
        8: lambda a: np.rot90(a, 3),
    }
    stored = np.ascontiguousarray(turned_back[orientation](upright))
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode_picture(encoded(Image.fromarray(stored), "PNG", exif=exif), "camera.png").pixels
    assert np.array_equal(pixels, upright)


def swapped_profile() -> bytes:
    """An RGB profile in which red and green have changed places, so that converting it must change them back."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    places = {bytes(profile[132 + 12 * k : 136 + 12 * k]): 132 + 12 * k for k in range(count)}
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    at = struct.unpack(">I", profile[places[b"desc"] + 4 : places[b"desc"] + 8])[0]
    end = at + struct.unpack(">I", profile[places[b"desc"] + 8 : places[b"desc"] + 12])[0]
    profile[at:end] = profile[at:end].replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    return bytes(profile)


def test_d8_a_colour_profile_is_converted_and_noted() -> None:
    read = decode_picture(encoded(Image.new("RGB", (8, 8), (200, 40, 90)), icc_profile=swapped_profile()), "wide.png")
    assert np.abs(read.pixels[0, 0].astype(int) - [40, 200, 90]).max() <= 2
    assert "converted to sRGB" in read.notes[0]


def test_d8_srgb_itself_changes_nothing_and_a_broken_profile_is_noted() -> None:
    picture = Image.new("RGB", (8, 8), (200, 40, 90))
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    read = decode_picture(encoded(picture, icc_profile=own), "s.png")
    assert read.pixels[0, 0].tolist() == [200, 40, 90]
    assert read.notes == ()
    read = decode_picture(encoded(picture, icc_profile=b"nonsense" * 40), "b.png")
    assert read.pixels[0, 0].tolist() == [200, 40, 90]
    assert "not usable" in read.notes[0]


def test_d8_transparency_and_a_profile_go_together() -> None:
    picture = Image.new("RGBA", (8, 8), (200, 40, 90, 0))
    picture.paste((200, 40, 90, 255), (4, 0, 8, 8))
    pixels = decode_picture(encoded(picture, icc_profile=swapped_profile()), "both.png").pixels
    assert pixels[0, 0].tolist() == [128, 128, 128]
    assert np.abs(pixels[0, 6].astype(int) - [40, 200, 90]).max() <= 2


@pytest.mark.parametrize(("mode", "colour", "grey"), [("L", 77, 77), ("LA", (77, 255), 77), ("1", 1, 255), ("P", 3, 9)])
def test_d9_grey_pictures_fill_all_three_channels(mode: str, colour: int, grey: int) -> None:
    picture = Image.new(mode, (5, 4), colour)
    if mode == "P":
        picture.putpalette([value for index in range(8) for value in [3 * index] * 3])
    pixels = decode_picture(encoded(picture), "grey.png").pixels
    assert pixels.shape == (4, 5, 3)
    assert np.unique(pixels).tolist() == [grey]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_d10_the_first_of_several_frames_is_taken_and_noted(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    read = decode_picture(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options), "film")
    assert np.abs(read.pixels[8, 8].astype(int) - [255, 0, 0]).max() <= 1
    assert read.notes == ("the first of several frames",)


def bomb(width: int, height: int) -> bytes:
    """A small PNG file of a great many black pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer, row = zlib.compressobj(9), b"\0" * (width // 8 + 1)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [12_000, 20_000])  # where Pillow warns, and where it raises
def test_d11_a_bomb_is_refused_before_it_goes_off(side: int) -> None:
    data = bomb(side, side)
    assert len(data) < 100_000
    limit = Image.MAX_IMAGE_PIXELS
    tracemalloc.start()
    with pytest.raises(UnreadablePicture, match="too large"):
        decode_picture(data, "bomb.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000
    assert limit == Image.MAX_IMAGE_PIXELS


def test_d11_the_limit_holds_when_pillows_own_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(UnreadablePicture, match="at most 100000000"):
        decode_picture(bomb(12_000, 12_000), "bomb.png")


def test_d11_large_and_allowed_is_read() -> None:
    assert decode_picture(bomb(4_000, 3_000), "large.png").pixels.shape == (3_000, 4_000, 3)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 10_000), (10_000, 1), (2, 3), (223, 224), (225, 500)])
def test_d12_odd_sizes_are_cropped_and_resized(height: int, width: int, rng: np.random.Generator) -> None:
    picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    resized = centre_crop_resize(picture, 224)
    assert resized.shape == (224, 224, 3)
    if min(height, width) == 1:
        assert np.array_equal(resized, np.broadcast_to(picture[(height - 1) // 2, (width - 1) // 2], resized.shape))


def test_d12_the_crop_is_the_centre(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 256, (10, 21, 3), dtype=np.uint8)
    assert np.array_equal(centre_crop_resize(picture, 10), picture[:, 5:15])
    assert np.array_equal(centre_crop_resize(picture.transpose(1, 0, 2), 10), picture.transpose(1, 0, 2)[5:15])


def test_d12_shrinking_averages_and_does_not_alias() -> None:
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    shrunk = centre_crop_resize(stripes, 64).astype(int)
    assert np.abs(shrunk[8:-8, 8:-8] - 127.5).max() < 8


def test_d12_resizing_equals_a_slow_triangle_filter(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 256, (30, 30, 3), dtype=np.uint8)
    for size in (7, 12, 50):
        scale, reach = 30 / size, max(30 / size, 1.0)
        weights = np.zeros((size, 30))
        for out in range(size):
            for here in range(30):
                weights[out, here] = max(0.0, 1 - abs(here + 0.5 - (out + 0.5) * scale) / reach)
        weights /= weights.sum(1, keepdims=True)
        expected = np.einsum("ih,hwc,jw->ijc", weights, picture, weights)
        assert np.abs(centre_crop_resize(picture, size) - expected).max() <= 1.6  # each pass rounds


def test_d12_a_size_of_nothing_is_refused() -> None:
    with pytest.raises(WrongInput, match=r"size \(=0\)"):
        centre_crop_resize(np.zeros((3, 3, 3), np.uint8), 0)
    with pytest.raises(WrongInput, match="no pixels"):
        centre_crop_resize(np.zeros((0, 3, 3), np.uint8), 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/2.JPG", "b/10.jpg", "a/x.png", "é.png", "Z.gif", "notes.txt", ".hidden.png", ".git/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def below(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_pictures(folder)]


def test_d15_pictures_are_found_in_the_order_of_their_bytes(folder: Path) -> None:
    assert below(folder) == ["Z.gif", "a/x.png", "b/10.jpg", "b/2.JPG", "é.png"]


def test_d15_loops_end_and_broken_links_are_kept(folder: Path) -> None:
    (folder / "a" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "a" / "self").symlink_to(folder / "a", target_is_directory=True)
    (folder / "b" / "gone.png").symlink_to(folder / "nothing.png")
    assert below(folder) == ["Z.gif", "a/x.png", "b/10.jpg", "b/2.JPG", "b/gone.png", "é.png"]
    with pytest.raises(UnreadablePicture):
        read_picture(folder / "b" / "gone.png")


def test_d15_pipes_are_passed_over(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")  # reading it would wait for ever
    assert "pipe.png" not in below(folder)


def test_d15_names_that_are_no_text_are_found(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/\xff\xfe\n.png"
    Path(os.fsdecode(odd)).write_bytes(encoded(Image.new("L", (2, 2), 5)))
    (found,) = find_pictures(tmp_path)
    assert os.fsencode(found) == odd
    assert read_picture(found)[0, 0].tolist() == [5, 5, 5]


def test_d15_a_folder_that_cannot_be_listed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match=r"cannot list the folder .*none"):
        find_pictures(tmp_path / "none")


def test_what_pillow_warns_of_is_noted_and_its_filters_stay(rng: np.random.Generator) -> None:
    data = bytearray(encoded(noise(rng), "TIFF"))
    before = list(warnings.filters)
    exif = Image.Exif()
    exif[0x0112] = 1
    jpeg = bytearray(encoded(noise(rng), "JPEG", exif=exif))
    at = jpeg.index(b"Exif\0\0") + 6
    jpeg[at + 4 : at + 8] = b"\xff\xff\xff\x7f"  # the directory lies beyond the end
    for content in (bytes(data), bytes(jpeg)):
        try:
            decode_picture(content, "a")  # a warning let through would be an error here
        except UnreadablePicture:
            pytest.fail("what can be shown is read")
    assert warnings.filters == before
