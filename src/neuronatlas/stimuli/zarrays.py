"""Zarr arrays and groups as pictures: read a chunk at a time, and only where nothing in them can be run."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from neuronatlas.errors import WrongInput
from neuronatlas.stimuli.rows import Reader, Rows, chosen

MARKS = ("zarr.json", ".zarray", ".zgroup")
CODECS = frozenset(
    "adler32 bitround blosc bytes bz2 crc32 crc32c delta endian fixedscaleoffset fletcher32 gzip lz4 lzma packbits quantize "
    "sharding_indexed shuffle transpose zlib zstd".split()
)
"""What may have been done to the bytes; one that is missing here, "pickle", runs what it finds."""
KEPT = 4
MAX_BLOCK = 256 << 20
"""How many chunks lie in memory, and up to how many bytes one may have; larger ones are read again for each row."""


def is_zarr(x: object) -> bool:
    """Whether this is the path of a Zarr folder, or an object of the package."""
    if isinstance(x, str | Path):
        return any((Path(x) / mark).is_file() for mark in MARKS)
    return type(x).__module__.partition(".")[0] == "zarr" and hasattr(x, "store")


def of_zarr(x: object, member: str | None) -> Rows:
    """The array, or the array of this name (or the only one of pictures) in a group; raises `WrongInput`."""
    try:
        import zarr
    except ImportError as error:
        message = "images in Zarr need the package zarr: pip install 'neuronatlas[datasets]'"
        raise WrongInput(message) from error
    what = x
    if isinstance(x, str | Path):
        try:
            x = zarr.open(str(Path(x).absolute()), mode="r")
        except Exception as error:  # damaged metadata makes zarr raise nearly anything
            message = f"images (={str(what)!r}) cannot be read as a Zarr folder: {error}"
            raise WrongInput(message) from error
    if isinstance(x, zarr.Group):
        inside: dict[str, Any] = dict(x.arrays())
        if member is not None and member not in inside and isinstance(x.get(member), zarr.Array):
            inside[member] = x[member]  # in a group of the group
        x = inside[chosen(str(what), {name: each.shape for name, each in inside.items()}, member)]
    _check_codecs(str(what), x.metadata.to_dict())  # type: ignore[attr-defined]
    return Blocks(x)


class Blocks:
    """A Zarr array, the last chunks of which stay in memory."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype = np.dtype(array.dtype)
        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        self.rows = array.chunks[0] if self.shape and array.chunks[0] * size <= MAX_BLOCK else 1
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Blocks], tuple[Any]]:
        """Another process opens the array again, and keeps chunks of its own."""
        return Blocks, (self.array,)

    def reader(self, index: int) -> Reader:
        """The row as its chunk was when that was last read."""
        return partial(self._row, index)

    def _row(self, index: int) -> np.ndarray:
        number, place = divmod(index, self.rows)
        with self._lock:
            block = self._kept.pop(number, None)
            if block is None:
                block = np.asarray(self.array[number * self.rows : (number + 1) * self.rows])
            self._kept[number] = block
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return np.asarray(block[place])


def _check_codecs(what: str, metadata: dict[str, Any]) -> None:
    """Refuse what would be run, or is not known not to be, before anything is read."""
    listed: list[Any] = [*(metadata.get("codecs") or ()), *(metadata.get("filters") or ()), metadata.get("compressor")]
    while listed:
        each = listed.pop()
        if not each:
            continue
        name = str(each.get("name") or each.get("id")).removeprefix("numcodecs.")
        if name not in CODECS:
            message = (
                f"images (={what!r}) is packed with {name!r}, which is not known to be safe: pack it with zstd or blosc"
            )
            raise WrongInput(message)
        inside = each.get("configuration") or {}
        listed += [*(inside.get("codecs") or ()), *(inside.get("index_codecs") or ())]
