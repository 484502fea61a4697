"""TensorFlow's checkpoints, read without TensorFlow: ``PREFIX.index`` and ``PREFIX.data-00000-of-00001`` and so on.

The index is a sorted table of messages (tensorflow/core/protobuf/tensor_bundle.proto: type, shape, shard, offset, size,
checksum), the data files are raw numbers, the lowest byte first. Nothing is executed, and no path is taken from a file:
the names of the data files follow from the prefix. The checksum of a tensor is compared when it is read.

Refused: files of the first format (one file, before TensorFlow 0.12), big-endian ones, compressed blocks.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.zoo.crc32c import checksum, masked
from neuronatlas.zoo.sorted_table import Field, Malformed, is_table, read_message, read_table, signed

TYPES: Mapping[int, np.dtype] = {
    number: np.dtype(name)
    for number, name in {
        1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 8: "<c8", 9: "<i8", 10: "?",
        17: "<u2", 18: "<c16", 19: "<f2", 22: "<u4", 23: "<u8",
    }.items()
}  # fmt: skip
"""Types of numbers (tensorflow/core/framework/types.proto). What has another one, such as text, is left out."""

_BFLOAT16 = 14
_MOST_SHARDS = 99_999  # five digits in the name of a data file
Slice = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Entry:
    """A tensor of a checkpoint: its type, shape, and where its bytes are; or the slices that it is made of."""

    dtype: np.dtype
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    half: bool = False
    slices: tuple[Slice, ...] = ()


class Checkpoint(Mapping[str, Any]):  # not np.ndarray: to check a type must not read a file
    """The tensors of a checkpoint by name; each is read, and its checksum compared, when it is asked for.

    ``left_out`` names what is there but no array of numbers. Arrays lie in the data file itself where they can: they
    are read-only.
    """

    def __init__(self, prefix: Path, entries: dict[str, Entry], shards: int, left_out: tuple[str, ...]) -> None:
        self.prefix = prefix
        self.left_out = left_out
        self._entries = {name: entry for name, entry in entries.items() if not name.startswith("\0")}
        self._parts = {name: entry for name, entry in entries.items() if name.startswith("\0")}
        self._shards = shards

    def __len__(self) -> int:
        """The number of tensors."""
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        """The names, in the order of the index, which is the alphabet's."""
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        """Is there a tensor of that name?"""
        return name in self._entries

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor, from the index alone."""
        return {name: entry.shape for name, entry in self._entries.items()}

    @property
    def dtypes(self) -> dict[str, np.dtype]:
        """The type of each tensor, from the index alone; bfloat16 is given as float32."""
        return {name: entry.dtype for name, entry in self._entries.items()}

    def __getitem__(self, name: str) -> Shaped[np.ndarray, "..."]:
        """The tensor of that name; raises `UnknownName`, or `WrongInput` where its bytes are damaged."""
        if name not in self._entries:
            raise UnknownName("tensor", str(name), self._entries)
        entry = self._entries[name]
        if not entry.slices:
            return self._array(name, entry)
        return self._joined(name, entry)

    def _joined(self, name: str, entry: Entry) -> Shaped[np.ndarray, "..."]:
        """A tensor from its slices, each of which is a pair (start, length) an axis; length -1 is the whole axis."""
        found: list[tuple[tuple[slice, ...], Entry]] = []
        for piece in dict.fromkeys(entry.slices):
            part = self._parts.get(_slice_key(name, piece))
            place = tuple(
                slice(start, side if length < 0 else start + length)
                for (start, length), side in zip(piece, entry.shape, strict=True)
            )
            inside = all(0 <= each.start <= each.stop <= side for each, side in zip(place, entry.shape, strict=True))
            shape = tuple(each.stop - each.start for each in place)
            if part is None or not inside or (part.shape, part.dtype) != (shape, entry.dtype):
                message = (
                    f"checkpoint {str(self.prefix)!r}: slice {piece} of {name!r} is not there, or not of its shape"
                )
                raise WrongInput(message)
            found.append((place, part))
        filled, wanted = sum(math.prod(part.shape) for _, part in found), math.prod(entry.shape)
        if filled != wanted:
            message = f"checkpoint {str(self.prefix)!r}: the slices of {name!r} hold {filled} of its {wanted} numbers"
            raise WrongInput(message)
        whole = np.zeros(entry.shape, entry.dtype)
        for place, part in found:
            whole[place] = self._array(name, part)
        return whole

    def _array(self, name: str, entry: Entry) -> Shaped[np.ndarray, "..."]:
        """The bytes of an entry as an array, once their checksum is found right."""
        data = self._data[entry.shard]
        if entry.offset + entry.size > len(data):
            message = (
                f"checkpoint {str(self.prefix)!r}: {_shard(self.prefix, entry.shard, self._shards).name} has {len(data)} "
                f"bytes, and {name!r} lies at {entry.offset} to {entry.offset + entry.size}: it is cut off, copy it again"
            )
            raise WrongInput(message)
        raw = data[entry.offset : entry.offset + entry.size]
        if masked(checksum(raw)) != entry.crc:
            message = f"checkpoint {str(self.prefix)!r}: the checksum of {name!r} is wrong: the data file is damaged, copy it again"
            raise WrongInput(message)
        if entry.half:
            return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32).reshape(entry.shape)
        return raw.view(entry.dtype).reshape(entry.shape)

    @cached_property
    def _data(self) -> tuple[UInt8[np.ndarray, " n"], ...]:
        """The bytes of every data file, not yet read."""
        found = []
        for number in range(self._shards):
            path = _shard(self.prefix, number, self._shards)
            if not path.is_file():
                message = f"checkpoint {str(self.prefix)!r}: its data file {path.name} is not there; all {self._shards} are needed"
                raise WrongInput(message)
            empty = not path.stat().st_size
            found.append(np.zeros(0, np.uint8) if empty else np.asarray(np.memmap(path, np.uint8, "r")))
        return tuple(found)


def read(prefix: str | os.PathLike[str]) -> Checkpoint:
    """The checkpoint of that prefix, such as ``folder/model.ckpt_epoch89``; raises `WrongInput`.

    The index is read and checked whole; a tensor when it is asked for.
    """
    prefix = Path(prefix)
    index = prefix.with_name(f"{prefix.name}.index")
    if not index.is_file():
        old = prefix.is_file() and is_table(prefix.read_bytes()[-64:])
        why = (
            "it is a file of the first format, from before TensorFlow 0.12: load it there and save it with Saver(write_version=2)"
            if old
            else f"there is no file {index.name}: give the common beginning of the names of its files"
        )
        message = f"checkpoint {str(prefix)!r}: {why}"
        raise WrongInput(message)
    try:
        rows = dict(read_table(index.read_bytes()))
        shards = _header(rows.pop(b"", b""))
        entries, left_out = {}, []
        for key, value in rows.items():
            name = key.decode("latin-1") if key.startswith(b"\0") else key.decode("utf-8")
            entry = _entry(read_message(value), shards)
            if entry is not None:
                entries[name] = entry
            elif not name.startswith("\0"):
                left_out.append(name)
    except (Malformed, UnicodeDecodeError) as error:
        message = f"checkpoint {str(prefix)!r}: {index.name} cannot be read: {error}"
        raise WrongInput(message) from error
    return Checkpoint(prefix, entries, shards, tuple(left_out))


def _header(value: bytes) -> int:
    """The number of data files, from the entry whose key is empty."""
    fields = read_message(value)
    shards = _number(fields, 1)
    if not 1 <= shards <= _MOST_SHARDS:
        message = f"it names {shards} data files"
        raise Malformed(message)
    if _number(fields, 2):
        message = "its numbers are big-endian: convert it where it was written"
        raise Malformed(message)
    return shards


def _entry(fields: dict[int, list[Field]], shards: int) -> Entry | None:
    """A tensor's entry; None where it is no array of numbers."""
    number = _number(fields, 1)
    half = number == _BFLOAT16
    if not half and number not in TYPES:
        return None
    dtype = np.dtype("<f4") if half else TYPES[number]
    shape = tuple(signed(_number(read_message(part), 1)) for part in _parts(read_message(_bytes(fields, 2)), 2))
    slices = tuple(
        tuple(
            (signed(_number(extent, 1)), signed(_number(extent, 2, (1 << 64) - 1)))
            for extent in map(read_message, _parts(read_message(piece), 1))
        )
        for piece in _parts(fields, 7)
    )
    shard, offset, size = (signed(_number(fields, field)) for field in (3, 4, 5))
    wanted = math.prod(shape) * (2 if half else dtype.itemsize)
    whole = bool(slices) or size == wanted
    if any(side < 0 for side in shape) or not 0 <= shard < shards or offset < 0 or not whole:
        message = f"it says of a tensor of shape {shape} that it has {size} bytes at {offset} of data file {shard}"
        raise Malformed(message)
    if any(len(piece) != len(shape) for piece in slices):
        message = f"a tensor of shape {shape} has slices of other dimensions"
        raise Malformed(message)
    return Entry(dtype, shape, shard, offset, size, _number(fields, 6), half, slices)


def _number(fields: dict[int, list[Field]], which: int, default: int = 0) -> int:
    """A field that is one whole number; the last counts."""
    value = fields.get(which, [default])[-1]
    if not isinstance(value, int):
        message = f"field {which} of a message is no number"
        raise Malformed(message)
    return value


def _parts(fields: dict[int, list[Field]], which: int) -> list[bytes]:
    """A field that is any number of messages."""
    values = [value for value in fields.get(which, []) if isinstance(value, bytes)]
    if len(values) != len(fields.get(which, [])):
        message = f"field {which} of a message is no message"
        raise Malformed(message)
    return values


def _bytes(fields: dict[int, list[Field]], which: int) -> bytes:
    """A field that is one message; the last counts."""
    return ([b"", *_parts(fields, which)])[-1]


def _shard(prefix: Path, number: int, shards: int) -> Path:
    return prefix.with_name(f"{prefix.name}.data-{number:05d}-of-{shards:05d}")


def _slice_key(name: str, piece: Slice) -> str:
    """The key under which a slice lies: 0, the name, the number of dimensions, start and length in each.

    Written so that the order of bytes is that of the values (tensorflow/core/lib/strings/ordered_code.h).
    """
    key = b"\0" + name.encode().replace(b"\0", b"\0\xff") + b"\0\1" + _ordered(len(piece))
    for start, length in piece:
        key += _ordered_signed(start) + _ordered_signed(length)
    return key.decode("latin-1")


def _ordered(value: int) -> bytes:
    """A whole number from 0: how many bytes, then these, the highest first."""
    length = (value.bit_length() + 7) // 8
    return bytes([length]) + value.to_bytes(length, "big")


def _ordered_signed(value: int) -> bytes:
    """A whole number with its sign, in n bytes where 7 n - 1 bits hold it: the first n + 1 bits tell sign and n."""
    bits = (value if value >= 0 else ~value).bit_length()
    length = bits // 7 + 1
    header = ((1 << length) - 1) << (8 * length - length)
    return ((value & ((1 << (8 * length)) - 1)) ^ header).to_bytes(length, "big")
