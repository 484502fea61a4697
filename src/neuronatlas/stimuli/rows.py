"""Arrays of pictures, and how each row of one is read: from memory, or from its place in a file."""

from __future__ import annotations

import io
import math
import mmap
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.images.files import MAX_BYTES, UnreadablePicture
from neuronatlas.stimuli.listing import Loaded
from neuronatlas.stimuli.members import LOCAL_HEADER, Member
from neuronatlas.stimuli.pixels import as_picture, is_picture

Reader = Callable[[], np.ndarray]


@runtime_checkable
class Rows(Protocol):
    """An array whose rows are read one at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of rows, and the shape of one."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """What they hold."""
        ...

    def reader(self, index: int) -> Reader:
        """What reads one row; it can be sent to another process."""
        ...


@dataclass(frozen=True, eq=False)
class Row:
    """A row of an array as a picture."""

    name: str
    written: str
    read: Reader

    def __str__(self) -> str:
        """Its name."""
        return self.name

    def load(self) -> Loaded:
        """Its pixels."""
        return as_picture(self.read(), self.name)

    def labelled(self) -> tuple[Loaded, str]:
        """Its pixels, and the label that was given for it."""
        return self.load(), self.written


@dataclass(frozen=True, eq=False)
class InMemory:
    """An array that is there; a row that is sent to another process takes only itself along."""

    values: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """As numpy has it."""
        return self.values.shape

    @property
    def dtype(self) -> np.dtype:
        """As numpy has it."""
        return self.values.dtype

    def reader(self, index: int) -> Reader:
        """The row as it is when it is read."""
        return partial(np.asarray, self.values[index])


@dataclass(frozen=True, eq=False)
class OnDisk:
    """An array whose rows stand one after the other in a file, from the byte ``start``.

    They are read and not mapped: a file that is cut while it is mapped ends the program.
    """

    path: Path
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def reader(self, index: int) -> Reader:
        """The row as it stands in the file when it is read."""
        return partial(self._row, index)

    def _row(self, index: int) -> np.ndarray:
        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        try:
            with self.path.open("rb") as file:
                file.seek(self.start + index * size)
                content = file.read(size)
        except OSError as error:
            raise UnreadablePicture(str(self.path), error.strerror or str(error)) from error
        if len(content) != size:
            raise UnreadablePicture(str(self.path), f"the file ends before row {index} does")
        return np.frombuffer(content, self.dtype).reshape(self.shape[1:])


def of_numpy(values: np.ndarray) -> Rows:
    """An array that is there, or its file where all of a file is mapped."""
    whole: object = values.base  # of a part of what is mapped it is another array
    if isinstance(values, np.memmap) and isinstance(whole, mmap.mmap) and values.flags.c_contiguous:
        path, changed = values.filename, values.mode == "c"
        if path is not None and not changed:
            return OnDisk(Path(path).absolute(), values.offset, values.shape, values.dtype)
    return InMemory(values)


def of_npy(path: Path) -> Rows:
    """The array of a .npy file; raises `WrongInput`."""
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header makes numpy raise many kinds
        message = f"images (={str(path)!r}) cannot be read as a .npy file: {error}"
        raise WrongInput(message) from error
    if not isinstance(mapped, np.memmap) or not mapped.flags.c_contiguous:
        message = f"images (={str(path)!r}) stands column by column: save np.ascontiguousarray of it"
        raise WrongInput(message)
    return of_numpy(mapped)


def of_npz(path: Path, member: str | None) -> Rows:
    """The array of this name, or the only one of pictures, in an .npz file; raises `WrongInput`."""
    try:
        with zipfile.ZipFile(path) as opened:
            inside = {info.filename.removesuffix(".npy"): info for info in opened.infolist()}
            headers = {name: _header(opened, info) for name, info in inside.items()}
    except WrongInput:
        raise
    except Exception as error:  # a damaged file makes zipfile and numpy raise many kinds
        message = f"images (={str(path)!r}) cannot be read as an .npz file: {error}"
        raise WrongInput(message) from error
    name = chosen(str(path), {name: shape for name, (shape, *_) in headers.items()}, member)
    info, (shape, in_columns, dtype, length) = inside[name], headers[name]
    if dtype.hasobject:
        message = f"images (={str(path)!r}): {name!r} holds Python objects, which would be run as they are read"
        raise WrongInput(message)
    if info.compress_type == zipfile.ZIP_STORED and not in_columns and not info.flag_bits & 1:
        with path.open("rb") as file:
            file.seek(info.header_offset)
            _, before, extra = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
        return OnDisk(path.absolute(), info.header_offset + LOCAL_HEADER.size + before + extra + length, shape, dtype)
    if info.file_size > MAX_BYTES or info.flag_bits & 1 or info.compress_type not in (0, zipfile.ZIP_DEFLATED):
        message = f"images (={str(path)!r}): {name!r} is packed so that it cannot be read in parts: save it as .npy"
        raise WrongInput(message)
    packed = info.compress_type == zipfile.ZIP_DEFLATED
    whole = Member(path, name, info.header_offset, info.compress_size, info.file_size, packed, info.CRC).read()
    try:
        return InMemory(np.lib.format.read_array(io.BytesIO(whole), allow_pickle=False))
    except (ValueError, MemoryError) as error:
        message = f"images (={str(path)!r}): {name!r} cannot be read: {error}"
        raise WrongInput(message) from error


def chosen(what: str, shapes: dict[str, tuple[int, ...]], member: str | None) -> str:
    """The member that was asked for, or the only one that has the shape of pictures; raises `WrongInput`."""
    if member is not None:
        if member not in shapes:
            raise UnknownName("array", member, shapes)
        return member
    fitting = [name for name, shape in shapes.items() if len(shape) == 4 and is_picture(shape[1:])]
    fitting = fitting or [name for name, shape in shapes.items() if len(shape) == 3]
    if len(fitting) == 1:
        return fitting[0]
    listing = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
    message = f"images (={what!r}) holds {len(fitting)} arrays of pictures: say which with member; there are {listing}"
    raise WrongInput(message)


def _header(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """The shape, whether it is column by column, what it holds, and the length of the header."""
    if info.flag_bits & 1:
        message = f"images (={opened.filename!r}): {info.filename!r} is encrypted: unpack it with its password"
        raise WrongInput(message)
    with opened.open(info) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, in_columns, dtype = read(file)
        return shape, in_columns, dtype, file.tell()
