"""Tar and zip files: the pictures in them are those of the files that were put in, and what is odd is left out and told."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from neuronatlas import stimuli
from neuronatlas.errors import WrongInput
from neuronatlas.stimuli.archives import _expanded
from neuronatlas.stimuli.decoding import drawn


def add(archive: tarfile.TarFile, name: str, content: bytes, **fields: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    archive.addfile(member, io.BytesIO(content))


def tarred(path: Path, files: dict[str, bytes], kind: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=kind) as archive:
        for name, content in files.items():
            add(archive, name, content)
    return path


def zipped(path: Path, files: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def unpacked(tmp_path: Path, photographs: dict[str, bytes]) -> stimuli.StimulusSet:
    for name, content in photographs.items():
        (tmp_path / "unpacked" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "unpacked" / name).write_bytes(content)
    return stimuli.folder(tmp_path / "unpacked")


@pytest.mark.parametrize("kind", ["pax", "gnu", "ustar", "stored", "deflated"])
def test_an_archive_is_the_folder_that_was_packed(
    kind: str, tmp_path: Path, photographs: dict[str, bytes], unpacked: stimuli.StimulusSet
) -> None:
    formats = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}
    if kind in formats:
        path = tarred(tmp_path / "packed.tar", photographs, formats[kind])
    else:
        path = zipped(tmp_path / "packed.zip", photographs, {"stored": 0, "deflated": 8}[kind])
    told: list[tuple[int, int]] = []
    found = stimuli.archives(path, progress=lambda *numbers: told.append(numbers))
    assert found.digest == unpacked.digest
    assert found.skipped == ()
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for one, other in zip(found, unpacked, strict=True):
        assert np.array_equal(one.draw(32), other.draw(32))
        assert np.array_equal(pickle.loads(pickle.dumps(one)).draw(32), other.draw(32))


def test_names_that_are_long_or_no_text_are_kept(tmp_path: Path, photographs: dict[str, bytes]) -> None:
    content = photographs["animals/cat.jpg"]
    long = "a" * 150 + "/" + "é" * 90 + ".jpg"
    for number, kind in enumerate((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)):
        found = stimuli.archives(tarred(tmp_path / f"{number}.tar", {long: content, "a/x\udcff\ny.jpg": content}, kind))
        assert [item.name for item in found] == [long, "a/x\\xff\\x0ay.jpg"]


def test_a_picture_is_read_where_it_lies_and_nothing_is_written(tmp_path: Path, photographs: dict[str, bytes]) -> None:
    path = tarred(tmp_path / "packed.tar", photographs)
    assert len(list(drawn(stimuli.archives(path), 16, batch=4, workers=2))) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["packed.tar"]


def shards(folder: Path, photographs: dict[str, bytes]) -> None:
    """Two shards as WebDataset writes them, with the label in a .cls and in a .json."""
    cat, person, cup, rocket = photographs.values()
    tarred(
        folder / "shard-000000.tar",
        {"0000.jpg": cat, "0000.cls": b"3\n", "0001.input.png": person, "0001.cls": b"281"},
    )
    texts = [json.dumps({"label": "cup", "width": 120}).encode(), json.dumps({"class": 7}).encode(), b'{"width": 9}']
    tarred(
        folder / "shard-000001.tar",
        {
            "0000.json": texts[0],
            "0000.jpg": cup,
            "0001.jpg": rocket,
            "0001.json": texts[1],
            "2.jpg": cat,
            "2.json": texts[2],
        },
    )


@pytest.mark.parametrize("pattern", ["shard-{000000..000001}.tar", "shard-*.tar", "shard-00000{0,1}.tar", None])
def test_shards_of_webdataset(pattern: str | None, tmp_path: Path, photographs: dict[str, bytes]) -> None:
    shards(tmp_path, photographs)
    given = str(tmp_path / pattern) if pattern else [tmp_path / "shard-000000.tar", tmp_path / "shard-000001.tar"]
    found = stimuli.archives(given)
    assert [(item.name, item.label) for item in found] == [
        ("shard-000000.tar/0000.jpg", "3"),
        ("shard-000000.tar/0001.input.png", "281"),
        ("shard-000001.tar/0000.jpg", "cup"),
        ("shard-000001.tar/0001.jpg", "7"),
        ("shard-000001.tar/2.jpg", ""),
    ]


def test_braces_are_those_of_a_shell() -> None:
    assert _expanded("a{8..11}b") == ["a8b", "a9b", "a10b", "a11b"]
    assert _expanded("{2..0}") == ["2", "1", "0"]
    assert _expanded("x.tar") == ["x.tar"]
    with pytest.raises(WrongInput, match="more than 100000 files"):
        _expanded("{0..999}-{0..999}")
    with pytest.raises(WrongInput, match="more than 100000 files"):
        _expanded("{0..99999999999999}")


def test_a_label_that_cannot_be_read_leaves_its_picture_out(tmp_path: Path, photographs: dict[str, bytes]) -> None:
    cat = photographs["animals/cat.jpg"]
    files = {"a.jpg": cat, "b.jpg": cat, "b.json": b"{", "c.jpg": cat, "c.json": b"[" * 100_000, "d.jpg": cat}
    found = stimuli.archives(tarred(tmp_path / "x.tar", files | {"d.cls": b"\xff"}), at_most=1)
    assert [item.name for item in found] == ["a.jpg"]
    assert [name for name, _ in found.skipped] == ["b.jpg", "c.jpg", "d.jpg"]
    assert all("its label '" in reason for _, reason in found.skipped)


def test_the_label_is_the_first_folder_that_not_all_share(tmp_path: Path, photographs: dict[str, bytes]) -> None:
    cat = photographs["animals/cat.jpg"]
    for number, (names, labels) in enumerate(
        (
            (("./photos/train/cats/1.jpg", "./photos/train/dogs/a/2.jpg"), ["cats", "dogs"]),
            (("cats/1.jpg", "cats/2.jpg"), ["cats", "cats"]),
            (("photos/1.jpg", "photos/cats/2.jpg"), ["photos", "photos"]),
            (("1.jpg", "cats/2.jpg"), ["", "cats"]),
        )
    ):
        found = stimuli.archives(tarred(tmp_path / f"{number}.tar", dict.fromkeys(names, cat)))
        assert [item.label for item in found] == labels


def test_hidden_files_and_other_kinds_are_passed_over(tmp_path: Path, photographs: dict[str, bytes]) -> None:
    cat = photographs["animals/cat.jpg"]
    names = {"a.jpg": cat, "._a.jpg": b"mac", "__MACOSX/._a.jpg": b"mac", ".cache/b.jpg": cat, "read.me": b"hello"}
    assert [item.name for item in stimuli.archives(zipped(tmp_path / "x.zip", names))] == ["a.jpg"]
    found = stimuli.archives(zipped(tmp_path / "y.zip", {"a.jpg": cat, "n01440764.tar": b"tar"}))
    assert found.skipped == (
        ("n01440764.tar", "it is an archive inside the archive, which is not opened: unpack it once"),
    )


def test_of_two_members_of_one_name_the_later_counts_as_when_unpacked(
    tmp_path: Path, photographs: dict[str, bytes]
) -> None:
    cat, _, cup, _ = photographs.values()
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, content in (("a.jpg", cat), ("b.jpg", cat), ("./a.jpg", cup)):
            add(archive, name, content)
    found = stimuli.archives(tmp_path / "x.tar")
    alone = stimuli.archives(tarred(tmp_path / "y.tar", {"b.jpg": cat, "a.jpg": cup}))
    assert found.digest == alone.digest
    assert found.skipped == (("./a.jpg", "a later member of the archive has the same name"),)


def test_d1_a_cut_tar_gives_what_is_whole_and_tells_the_rest(tmp_path: Path, photographs: dict[str, bytes]) -> None:
    whole = tarred(tmp_path / "whole.tar", photographs).read_bytes()
    with tarfile.open(tmp_path / "whole.tar") as archive:
        starts = [member.offset for member in archive]
        data = [member.offset_data for member in archive.getmembers()]
    cut = tmp_path / "cut.tar"
    for length, kept, told in (
        (data[3] + 100, 3, {"cut.tar": "cut or damaged", "things/rocket.jpg": "the archive ends inside it: 100 bytes"}),
        (starts[3] + 200, 3, {"cut.tar": "cut or damaged"}),
        (starts[3], 3, {"cut.tar": "has no end mark"}),
    ):
        cut.write_bytes(whole[:length])
        found = stimuli.archives(cut)
        assert len(found) == kept
        assert {item.identity for item in found} < {item.identity for item in stimuli.archives(tmp_path / "whole.tar")}
        reasons = dict(found.skipped)
        assert set(reasons) == set(told)
        assert all(told[name] in reason for name, reason in reasons.items())
    damaged = bytearray(whole)
    damaged[starts[2] : starts[2] + 100] = os.urandom(100)
    cut.write_bytes(damaged)
    found = stimuli.archives(cut)
    assert len(found) == 2
    assert f"cut or damaged at byte {starts[2]}" in dict(found.skipped)["cut.tar"]


def test_d1_bytes_that_were_changed_in_a_zip_are_told(tmp_path: Path, photographs: dict[str, bytes]) -> None:
    path = zipped(tmp_path / "x.zip", photographs, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        middle = archive.infolist()[1].header_offset + 2000
    content[middle] ^= 1
    path.write_bytes(content)
    found = stimuli.archives(path)
    assert len(found) == 3
    assert "its checksum is another" in dict(found.skipped)["animals/person.png"]
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(WrongInput, match="zip file that is cut or damaged"):
        stimuli.archives(path)


def test_d1_more_unreadable_pictures_than_may_be_are_refused(tmp_path: Path, photographs: dict[str, bytes]) -> None:
    cat = photographs["animals/cat.jpg"]
    path = tarred(tmp_path / "x.tar", {"a.jpg": cat, "b.jpg": cat[:900], "c.jpg": b""})
    with pytest.raises(WrongInput, match=r"2 of 3 pictures.*at_most \(=0\.5\); the first is 'b\.jpg'.*truncated"):
        stimuli.archives(path)
    assert len(stimuli.archives(path, at_most=0.7)) == 1
    with pytest.raises(WrongInput, match="is a share"):
        stimuli.archives(path, at_most=50)


@pytest.mark.parametrize("pack", [tarred, zipped])
def test_d14_a_picture_that_changed_after_the_listing_is_refused(
    pack: object, tmp_path: Path, photographs: dict[str, bytes]
) -> None:
    assert callable(pack)
    path = pack(tmp_path / "packed", photographs)
    found = stimuli.archives(path)
    pack(path, dict.fromkeys(photographs, photographs["animals/cat.jpg"]))
    assert found.items[0].draw(8).shape == (8, 8, 3)
    with pytest.raises(WrongInput, match=r"packed/animals/person\.png'"):
        found.items[1].draw(8)
    path.unlink()
    with pytest.raises(WrongInput, match=r"cat\.jpg': No such file"):
        found.items[0].draw(8)


def test_d14_another_whole_picture_in_the_same_place_is_refused(tmp_path: Path, photographs: dict[str, bytes]) -> None:
    cat, person = photographs["animals/cat.jpg"], photographs["animals/person.png"]
    found = stimuli.archives(tarred(tmp_path / "x.tar", photographs))
    tarred(tmp_path / "x.tar", photographs | {"animals/person.png": cat.ljust(len(person), b"\0")})
    found.items[3].draw(8)
    with pytest.raises(
        WrongInput, match=r"x\.tar/animals/person\.png' has changed since it was listed: list it again$"
    ):
        found.items[1].draw(8)


def test_d16_an_archive_of_one_picture_or_none(tmp_path: Path, photographs: dict[str, bytes]) -> None:
    assert len(stimuli.archives(tarred(tmp_path / "one.tar", {"a.jpg": photographs["animals/cat.jpg"]}))) == 1
    for empty in (tarred(tmp_path / "none.tar", {"a.txt": b"no"}), zipped(tmp_path / "none.zip", {})):
        with pytest.raises(WrongInput, match=r"none\.\w+'\) holds no picture that can be read$"):
            stimuli.archives(empty)
    with pytest.raises(WrongInput, match=r"missing\*\.tar'\) names no file"):
        stimuli.archives(tmp_path / "missing*.tar")
    with pytest.raises(WrongInput, match=r"shard-1\.tar'\) cannot be opened: No such file"):
        stimuli.archives(tmp_path / "shard-{1..2}.tar")
    (tmp_path / "text.tar").write_text("no archive" * 100)
    with pytest.raises(WrongInput, match="is no tar or zip file"):
        stimuli.archives(tmp_path / "text.tar")
    (tmp_path / "text.tar").write_text("")
    with pytest.raises(WrongInput, match=r"is no tar or zip file \(empty file\)"):
        stimuli.archives(tmp_path / "text.tar")


@pytest.mark.parametrize("how", ["gz", "bz2", "xz"])
def test_d17_a_compressed_tar_is_refused_with_the_way_out(
    how: str, tmp_path: Path, photographs: dict[str, bytes]
) -> None:
    path = tmp_path / f"x.tar.{how}"
    with tarfile.open(path, f"w:{how}") as archive:  # type: ignore[call-overload]
        add(archive, "a.jpg", photographs["animals/cat.jpg"])
    with pytest.raises(WrongInput, match=r"is compressed with .*take the compression off"):
        stimuli.archives(path)


def test_d17_members_that_lead_out_links_devices_and_holes_are_left_out(
    tmp_path: Path, photographs: dict[str, bytes]
) -> None:
    cat = photographs["animals/cat.jpg"]
    (tmp_path / "secret.jpg").write_bytes(cat)
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        add(archive, "good.jpg", cat)
        for name in ("../up.jpg", "/etc/root.jpg", "a/../../b.jpg", "a\\..\\windows.jpg", "C:\\c.jpg"):
            add(archive, name, cat)
        for name, kind in (("soft.jpg", tarfile.SYMTYPE), ("hard.jpg", tarfile.LNKTYPE)):
            add(archive, name, b"", type=kind, linkname=str(tmp_path / "secret.jpg"))
        for name, kind in (
            ("device.jpg", tarfile.CHRTYPE),
            ("block.jpg", tarfile.BLKTYPE),
            ("pipe.jpg", tarfile.FIFOTYPE),
        ):
            add(archive, name, b"", type=kind)
        add(archive, "holes.jpg", b"", pax_headers={"GNU.sparse.size": "9999999999", "GNU.sparse.map": "0,1"})
    found = stimuli.archives(tmp_path / "x.tar", at_most=1)
    assert [item.name for item in found] == ["good.jpg"]
    reasons = dict(found.skipped)
    assert len(reasons) == 11
    assert sum(reason == "its name leads out of the archive" for reason in reasons.values()) == 5
    assert sum("a link, a device or a file with holes" in reason for reason in reasons.values()) == 6


def test_d17_the_same_in_a_zip_and_what_is_encrypted_or_oddly_packed(
    tmp_path: Path, photographs: dict[str, bytes]
) -> None:
    cat = photographs["animals/cat.jpg"]
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.jpg", cat)
        archive.writestr("../up.jpg", cat)
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("lzma.jpg", cat, zipfile.ZIP_LZMA)
        archive.writestr("secret.jpg", cat)
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 8] |= 1  # the bit that says so
    path.write_bytes(content)
    found = stimuli.archives(path, at_most=1)
    assert [item.name for item in found] == ["good.jpg"]
    reasons = dict(found.skipped)
    assert "leads out" in reasons["../up.jpg"]
    assert "a link" in reasons["link.jpg"]
    assert "method 14" in reasons["lzma.jpg"]
    assert "encrypted" in reasons["secret.jpg"]
    only = tmp_path / "only.zip"
    only.write_bytes(content)
    with pytest.raises(WrongInput, match="4 of 5 pictures could not be read"):
        stimuli.archives(only)


def test_d17_a_bomb_is_not_unpacked(tmp_path: Path, photographs: dict[str, bytes]) -> None:
    cat = photographs["animals/cat.jpg"]
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.jpg", cat)
        archive.writestr("bomb.png", bytes(40_000_000))
        archive.writestr("liar.png", bytes(40_000_000))
    content = bytearray((tmp_path / "x.zip").read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 5000)  # says that it has 5000 bytes
    (tmp_path / "x.zip").write_bytes(content)
    began = time.process_time()
    found = stimuli.archives(tmp_path / "x.zip", at_most=1)
    assert time.process_time() - began < 1
    assert [item.name for item in found] == ["good.jpg"]
    reasons = dict(found.skipped)
    assert "to 40000000 bytes, which no picture does" in reasons["bomb.png"]
    assert "5001 bytes in place of 5000" in reasons["liar.png"]


def test_d17_members_of_a_zip_that_share_their_bytes_are_left_out(
    tmp_path: Path, photographs: dict[str, bytes]
) -> None:
    cat = photographs["animals/cat.jpg"]
    packed = zlib.compress(cat)[2:-4]
    header = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 0, zlib.crc32(cat), len(packed), len(cat), 5, 0)
    body = header + b"0.jpg" + packed
    entries = b"".join(
        struct.pack(
            "<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, zlib.crc32(cat), len(packed), len(cat), 5, *[0] * 6
        )
        + f"{number}.jpg".encode()
        for number in range(9)
    )
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 9, 9, len(entries), len(body), 0)
    (tmp_path / "x.zip").write_bytes(body + entries + end)
    found = stimuli.archives(tmp_path / "x.zip", at_most=1)
    assert len(found) == 1
    assert sum("overlap" in reason for _, reason in found.skipped) == 8


def test_d17_a_member_of_a_zip_inside_another_is_left_out(tmp_path: Path, photographs: dict[str, bytes]) -> None:
    path = zipped(
        tmp_path / "x.zip", {"outer.jpg": b"", "inner.jpg": photographs["animals/cat.jpg"]}, zipfile.ZIP_STORED
    )
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    length = struct.pack("<I", entry - 30 - len("outer.jpg"))  # all that follows, with the other in it
    content[entry + 20 : entry + 28] = length * 2
    path.write_bytes(content)
    found = stimuli.archives(path)
    assert [item.name for item in found] == ["inner.jpg"]
    assert found.skipped == (("outer.jpg", "its bytes overlap those of another, or the archive ends inside it"),)


def header(name: str, size: bytes, kind: bytes = b"0") -> bytes:
    """A header of a tar member whose size field holds these bytes."""
    block = bytearray(name.encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + size + b"00000000000\0")
    block += b"        " + kind + bytes(100) + b"ustar\x0000" + bytes(247)
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def test_d17_sizes_that_are_lies_end_nowhere(tmp_path: Path, photographs: dict[str, bytes]) -> None:
    cat = photographs["animals/cat.jpg"]
    good = tarred(tmp_path / "good.tar", {"a.jpg": cat}).read_bytes()[: 512 + -(-len(cat) // 512) * 512]
    backwards = b"\xff" * 4 + (-512).to_bytes(8, "big", signed=True)
    huge = b"\x80" + (1 << 60).to_bytes(11, "big")
    long = b"%011o\0" % (1 << 31)
    for wrong, told in (
        (header("b.jpg", backwards), "goes back"),
        (header("b.jpg", huge), "more than the"),
        (header("././@LongLink", long, b"L"), "a header of"),
        (header("pax", long, b"x"), "a header of"),
        (header("pax", b"%011o\0" % 0, b"L") * 3000, "recursion"),
    ):
        path = tmp_path / "x.tar"
        path.write_bytes(good + wrong + bytes(1024))
        found = stimuli.archives(path, at_most=1)
        assert [item.name for item in found] == ["a.jpg"]
        assert told in " ".join(reason for _, reason in found.skipped)


def test_d13_equal_pictures_have_equal_codes(tmp_path: Path, photographs: dict[str, bytes]) -> None:
    cat, _, cup, _ = photographs.values()
    found = stimuli.archives(tarred(tmp_path / "x.tar", {"a.jpg": cat, "b.jpg": cup, "c.jpg": cat, "d.jpg": cup}))
    assert found.codes.tolist() == [0, 1, 0, 1]
    assert found.codes.dtype == np.int64
    assert len({item.identity for item in found}) == 2
    assert len(stimuli.StimulusSet(()).codes) == 0
