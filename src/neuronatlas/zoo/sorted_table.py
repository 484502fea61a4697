"""Reading of sorted tables, the files of LevelDB in which TensorFlow keeps the index of a checkpoint; and of messages.

A table is blocks of entries, each followed by one byte for its compression and a masked CRC-32C. A key gives how many
bytes it shares with the one before. At the end stand the places of two blocks and a magic number. Source: LevelDB's
doc/table_format.md. A message is a sequence of numbered fields (protobuf.dev, "Encoding").

All is read from bytes in memory, nothing is executed, and every length is checked before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator

from neuronatlas.errors import WrongInput
from neuronatlas.zoo.crc32c import checksum, masked

_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_FOOTER = 48
_TRAILER = 5

Field = int | bytes


class Malformed(WrongInput):
    """Bytes that are no table or no message; the message says what is wrong, in a few words."""


def is_table(content: bytes) -> bool:
    """Does it end as a table does?"""
    return len(content) >= _FOOTER and content.endswith(_MAGIC)


def read_table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every key with its value, in order; raises `Malformed` where a block is damaged."""
    if not is_table(content):
        message = "its last bytes are not those of a table: it is cut off, or another kind of file"
        raise Malformed(message)
    footer = content[-_FOOTER:]
    place = 0
    handle = []
    for _ in range(4):
        number, place = _varint(footer, place)
        handle.append(number)
    body = content[:-_FOOTER]
    _block(body, handle[0], handle[1])  # of no use here, but no damage goes unseen
    last = b""
    for _, where in _entries(_block(body, handle[2], handle[3])):
        start, middle = _varint(where, 0)
        length, _ = _varint(where, middle)
        for key, value in _entries(_block(body, start, length)):
            if last and key <= last:
                message = "its keys are not in order"
                raise Malformed(message)
            last = key
            yield key, value


def read_message(content: bytes) -> dict[int, list[Field]]:
    """The fields of a message: whole numbers, or bytes, by the field's number; raises `Malformed`."""
    fields: dict[int, list[Field]] = {}
    place = 0
    while place < len(content):
        tag, place = _varint(content, place)
        kind = tag & 7
        value: Field
        if kind == 0:
            value, place = _varint(content, place)
        elif kind in (1, 2, 5):
            length = 8 if kind == 1 else 4
            if kind == 2:
                length, place = _varint(content, place)
            value, place = _taken(content, place, length)
            if kind != 2:
                value = int.from_bytes(value, "little")
        else:
            message = f"a field of a message has the unknown kind {kind}"
            raise Malformed(message)
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def signed(value: int) -> int:
    """A whole number of 64 bits with its sign."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _block(body: bytes, start: int, length: int) -> bytes:
    """A block's bytes, once its checksum is found right."""
    block, place = _taken(body, start, length)
    trailer, _ = _taken(body, place, _TRAILER)
    if masked(checksum(block + trailer[:1])) != int.from_bytes(trailer[1:], "little"):
        message = f"the checksum of its block at byte {start} is wrong: the file is damaged"
        raise Malformed(message)
    if trailer[0]:
        message = f"its block at byte {start} is compressed, which TensorFlow's own never are"
        raise Malformed(message)
    return block


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a block; at its end stand restart points of four bytes each, and their number."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * restarts
    if len(block) < 4 or end < 0:
        message = "a block is too short for what it says of itself"
        raise Malformed(message)
    block = block[:end]
    key = b""
    place = 0
    while place < end:
        shared, place = _varint(block, place)
        own, place = _varint(block, place)
        length, place = _varint(block, place)
        if shared > len(key):
            message = "a key shares more bytes with the one before than that has"
            raise Malformed(message)
        rest, place = _taken(block, place, own)
        value, place = _taken(block, place, length)
        key = key[:shared] + rest
        yield key, value


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """A whole number, seven bits a byte, the lowest first; and where the next thing begins."""
    value = 0
    for step in range(10):
        if place + step >= len(content):
            break
        byte = content[place + step]
        value |= (byte & 0x7F) << (7 * step)
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, place + step + 1
    message = "a number is not ended"
    raise Malformed(message)


def _taken(content: bytes, place: int, length: int) -> tuple[bytes, int]:
    """So many bytes, and where the next thing begins."""
    if length > len(content) - place or place > len(content):
        message = "something in it is said to lie beyond its end: it is cut off or damaged"
        raise Malformed(message)
    return content[place : place + length], place + length
