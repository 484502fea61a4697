"""Pictures inside tar and zip files, read in place: where each begins is remembered, and nothing is ever unpacked to disk.

Whatever the archive says is taken as a claim: names that lead out of it, links, devices, sparse and encrypted members,
members that overlap and those that would unpack to far more than a picture are not read, and the reason is given.
"""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from neuronatlas.errors import WrongInput
from neuronatlas.images.files import MAX_BYTES, UnreadablePicture

COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
MAX_HEADER = 1 << 20
"""The longest header of a tar member that is read: it holds a name."""
BOMB = 16 << 20
MAX_RATIO = 100
"""A member that unpacks to more than `BOMB` bytes and this many times its size is not a picture; deflate reaches 1032."""
LOCAL_HEADER = struct.Struct("<4s22xHH")


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside an archive. ``start`` is where its bytes begin; in a zip file, where the header before them does."""

    archive: Path
    name: str
    start: int
    packed: int
    size: int
    deflated: bool = False
    checksum: int | None = None

    def __str__(self) -> str:
        """The archive and the name."""
        return f"{self.archive}/{self.name}"

    def read(self) -> bytes:
        """Its bytes; raises `UnreadablePicture`. The archive is opened each time, so that any thread or process may do it."""
        try:
            with self.archive.open("rb") as file:
                file.seek(self.start)
                if self.checksum is not None:
                    head = file.read(LOCAL_HEADER.size)
                    magic, name, extra = LOCAL_HEADER.unpack(head) if len(head) == LOCAL_HEADER.size else (b"", 0, 0)
                    if magic != b"PK\x03\x04":
                        raise UnreadablePicture(str(self), "the archive has changed or is damaged")
                    file.seek(name + extra, os.SEEK_CUR)
                content = file.read(self.packed)
        except OSError as error:
            raise UnreadablePicture(str(self), error.strerror or str(error)) from error
        try:
            content = zlib.decompressobj(-15).decompress(content, self.size + 1) if self.deflated else content
        except zlib.error as error:
            raise UnreadablePicture(str(self), f"it is damaged ({error})") from error
        if len(content) != self.size:
            raise UnreadablePicture(str(self), f"it is cut or damaged: {len(content)} bytes in place of {self.size}")
        if self.checksum is not None and zlib.crc32(content) != self.checksum:
            raise UnreadablePicture(str(self), "it is damaged: its checksum is another")
        return content


def members(archive: Path) -> Iterator[tuple[str, Member | str]]:
    """The name of each file inside, with where it lies or why it is not read; the name "" speaks of the whole archive.

    Raises `WrongInput` for what is no tar or zip file, and for a tar file that is compressed.
    """
    try:
        with archive.open("rb") as file:
            magic = file.read(6)
    except OSError as error:
        message = f"images (={str(archive)!r}) cannot be opened: {error.strerror}; give the path of a tar or zip file"
        raise WrongInput(message) from error
    for beginning, how in COMPRESSED.items():
        if magic.startswith(beginning):
            message = (
                f"images (={str(archive)!r}) is compressed with {how}, so that no picture in it can be found without reading "
                "all before it: take the compression off (gunzip, bunzip2, unxz, unzstd) and give the .tar"
            )
            raise WrongInput(message)
    return _in_zip(archive) if magic.startswith((b"PK\x03\x04", b"PK\x05\x06")) else _in_tar(archive)


def _leads_out(name: str) -> str | None:
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[/\\]", name) or ".." in re.split(r"[/\\]", name):
        return "its name leads out of the archive"
    return None


def _in_tar(archive: Path) -> Iterator[tuple[str, Member | str]]:
    length = archive.stat().st_size
    last = -1
    with _Cautious(archive) as file:
        try:
            opened = tarfile.open(fileobj=file, mode="r:", errors="surrogateescape")  # noqa: SIM115 - nothing of it is open
        except Exception as error:
            message = f"images (={str(archive)!r}) is no tar or zip file ({error}): give one, or a folder of pictures"
            raise WrongInput(message) from error
        while True:
            try:
                found = opened.next()
            except Exception as error:  # noqa: BLE001 - a damaged header makes tarfile raise nearly anything
                yield "", f"it is cut or damaged ({error}): what stands before byte {opened.offset} is used"
                return
            if found is None:
                break
            opened.members = []  # type: ignore[attr-defined]  # where all that were found would be held
            if found.offset_data <= last:
                yield "", f"it is damaged: what follows byte {last} goes back; what stands before is used"
                return
            last = found.offset_data
            if found.isdir():
                continue
            yield found.name, _tar_member(archive, found, length)
        file.seek(opened.offset)
        block = file.read(tarfile.BLOCKSIZE)
        if block != tarfile.NUL * tarfile.BLOCKSIZE:
            what = "has no end mark" if not block else f"is cut or damaged at byte {opened.offset}"
            yield "", f"it {what}, so that members may be missing: what stands before is used"


def _tar_member(archive: Path, found: tarfile.TarInfo, length: int) -> Member | str:
    if reason := _leads_out(found.name):
        return reason
    if not found.isreg() or found.issparse():
        return "it is a link, a device or a file with holes, which are not read"
    if found.size > MAX_BYTES:
        return f"it has {found.size} bytes, more than the {MAX_BYTES} allowed"
    if found.size < 0:
        return f"it claims to have {found.size} bytes"
    if found.offset_data + found.size > length:
        return f"the archive ends inside it: {length - found.offset_data} bytes in place of {found.size}"
    return Member(archive, found.name, found.offset_data, found.size, found.size)


class _Cautious(io.FileIO):
    """A file of which no more is read at once than the header of a member needs."""

    def read(self, size: int | None = -1, /) -> bytes:
        """So many bytes; raises `tarfile.ReadError` for more than `MAX_HEADER`."""
        if size is None or not 0 <= size <= MAX_HEADER:
            message = f"a header of {size} bytes"
            raise tarfile.ReadError(message)
        return super().read(size) or b""


def _in_zip(archive: Path) -> Iterator[tuple[str, Member | str]]:
    try:
        with zipfile.ZipFile(archive) as opened:
            found = sorted(opened.infolist(), key=lambda each: each.header_offset)
    except Exception as error:  # a damaged directory makes zipfile raise nearly anything
        message = f"images (={str(archive)!r}) is a zip file that is cut or damaged ({error}): copy it again"
        raise WrongInput(message) from error
    ends = [*(each.header_offset for each in found), archive.stat().st_size][1:]
    for each, end in zip(found, ends, strict=True):
        if not each.is_dir():
            yield each.filename, _zip_member(archive, each, end)


def _zip_member(archive: Path, found: zipfile.ZipInfo, end: int) -> Member | str:
    if reason := _leads_out(found.orig_filename):
        return reason
    if stat.S_IFMT(found.external_attr >> 16) not in (0, stat.S_IFREG):
        return "it is a link or a device, which are not read"
    if found.flag_bits & 1:
        return "it is encrypted: unpack it with its password"
    if found.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"it is compressed in a way that is not read here (method {found.compress_type}): store or deflate it"
    if found.file_size > MAX_BYTES or found.file_size > max(BOMB, MAX_RATIO * found.compress_size):
        return f"it would unpack from {found.compress_size} to {found.file_size} bytes, which no picture does"
    if found.header_offset < 0 or found.header_offset + LOCAL_HEADER.size + found.compress_size > end:
        return "its bytes overlap those of another, or the archive ends inside it"
    deflated = found.compress_type == zipfile.ZIP_DEFLATED
    return Member(
        archive, found.filename, found.header_offset, found.compress_size, found.file_size, deflated, found.CRC
    )
