"""The atlas on disk: shards that are whole or absent, each with its sha256, and any number of writers.

A file is written under a temporary name, flushed to the disk and renamed; the digest of a shard, in the form that
``sha256sum -c`` reads, follows in a file of its own. So a killed build leaves nothing half done, and a shard counts only
when its digest is there and fits. A shard that is whole is never replaced. Nothing here runs what it reads, and no link is
followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError

from neuronatlas.atlas import locks
from neuronatlas.atlas.files import (
    TEMPORARY,
    explained,
    finish,
    is_plain,
    is_there,
    read_text,
    unfinished,
    write_atomically,
)
from neuronatlas.atlas.founding import founded
from neuronatlas.atlas.packing import digest_line, marks, pack, sha256, unpack
from neuronatlas.atlas.schema import LayerEntry, Manifest, Plan, Shard, sealed
from neuronatlas.errors import AtlasDamaged, UnknownName, WrongInput
from neuronatlas.table import Responses
from neuronatlas.units import Unit

if TYPE_CHECKING:
    from neuronatlas.notebook import Still
    from neuronatlas.notebook.explorer import Explorer

__all__ = ["Atlas", "pack", "write_atomically"]

_MUTEX = threading.Lock()
_COARSE = 2_000_000_000
"""Nanoseconds in which a file may change and keep its times: those of some file systems are so coarse."""


class Atlas:
    """An atlas folder: opened, asked what is missing, added to, read."""

    def __init__(self, folder: Path, manifest: Manifest, plan: Plan) -> None:
        self.folder = folder
        self.manifest = manifest
        self.plan = plan
        self._writers = 0
        self._process = os.getpid()
        self._held = contextlib.ExitStack()
        self._seen: dict[str, tuple[int, ...]] = {}

    @classmethod
    def open(cls, folder: str | Path) -> Atlas:
        """The atlas in ``folder``; raises `WrongInput` where there is none, `AtlasDamaged` where it is broken."""
        path = Path(folder)
        manifest, plan = path / "atlas.json", path / "plan.json"
        if not is_there(manifest):
            message = f"no atlas in {str(folder)!r}: it has no atlas.json; make one with: neuronatlas build"
            raise WrongInput(message)
        if not is_there(plan):
            message = f"the atlas in {str(folder)!r} has no plan.json: run the build that made it again"
            raise AtlasDamaged(message)
        if (path / "shards").is_symlink():
            message = f"{path / 'shards'} is a link, which is not followed: put the folder itself there"
            raise AtlasDamaged(message)
        again = "run the build that made this atlas again, which writes it anew, or put back a copy"
        try:
            text = read_text(manifest)
            atlas = cls(
                path,
                Manifest.parse(text, source=str(manifest)),
                Plan.parse(read_text(plan), source=str(plan)),
            )
        except AtlasDamaged as error:
            message = f"{error}; {again}"
            raise AtlasDamaged(message) from error
        if atlas.plan.manifest != atlas.manifest.identity and (atlas.plan.manifest or sealed(text)):
            message = f"{plan} is the plan of another atlas; {again}"
            raise AtlasDamaged(message)
        return atlas

    @classmethod
    def create(cls, folder: str | Path, manifest: Manifest, plan: Plan) -> Atlas:
        """The atlas in ``folder``, new or as far as an earlier build came, with the plan that it began with.

        Raises `AtlasMismatch` when the folder holds the atlas of something else, or files that are no atlas,
        `AtlasDamaged` when its manifest is damaged and nothing shows that it was this one, and `CannotWrite`.
        """
        path = Path(folder)
        founded(path, manifest, plan)  # refuses before anything is written
        with explained(path / "shards", 0):
            (path / "shards").mkdir(parents=True, exist_ok=True)
        atlas = cls(path, manifest, plan)
        with atlas.writing(), atlas.turn("atlas", waiting=True):
            atlas.manifest, atlas.plan, others = founded(path, manifest, plan)
            for shard in others:
                with explained(path / "shards" / shard.name, 0):
                    atlas._files(shard)[1].unlink(missing_ok=True)
            for place, text in ((path / "plan.json", atlas.plan.text()), (path / "atlas.json", atlas.manifest.text())):
                if not is_plain(place) or place.read_bytes() != text.encode():
                    write_atomically(place, text.encode())
        return atlas

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Be one of those who write, however many; one who is alone sweeps what killed builds left.

        Raises `CannotWrite` where the folder cannot be written.
        """
        with _MUTEX:
            if self._process != os.getpid():  # a child of fork, where the lock of its parent is not
                self._writers, self._process, self._held = 0, os.getpid(), contextlib.ExitStack()
            if self._writers == 0:
                lock = self.folder / ".lock"
                with explained(lock, 0):
                    self._held.enter_context(locks.shared(lock, self._sweep))
            self._writers += 1
        try:
            yield
        finally:
            with _MUTEX:
                self._writers -= 1
                if self._writers == 0:
                    self._held.close()

    @contextlib.contextmanager
    def turn(self, name: str, *, waiting: bool = False) -> Iterator[bool]:
        """True for one process at a time, for a duty of that name; False for others, or their turn with ``waiting``.

        A turn ends with its process. Where the file system has no locks, all get True.
        """
        if not re.fullmatch("[a-z]+", name):
            message = f"name {name!r} must be of small letters"
            raise WrongInput(message)
        lock = self.folder / f".lock-{name}"
        with contextlib.ExitStack() as stack:
            with explained(lock, 0):
                mine = stack.enter_context(locks.alone(lock, waiting=waiting))
            yield mine

    def missing(self, progress: Callable[[int, int], None] | None = None) -> list[Shard]:
        """The shards that are absent or damaged, in the plan's order; ``progress`` is called with (done, total).

        Each shard is read and hashed, but not again by this object while its files stay as they are.
        """
        found = []
        pool = ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1)))
        try:
            for done, (shard, whole) in enumerate(zip(self.plan, pool.map(self._known, self.plan), strict=True), 1):
                if not whole:
                    found.append(shard)
                if progress is not None:
                    progress(done, len(self.plan.shards))
        finally:
            pool.shutdown(cancel_futures=True)
        return found

    def has(self, shard: Shard) -> bool:
        """Is the shard there, and as it was written?"""
        return self.state(shard) == "whole"

    def state(self, shard: Shard) -> str:
        """One of "whole", "absent" and "damaged", from its bytes."""
        found = self._state(shard)
        if found == "damaged":
            locks.settled(self.folder / ".lock-put")  # somebody may be between its two files
            found = self._state(shard)
        return found

    def put(self, shard: Shard, tensors: Mapping[str, np.ndarray], *, about: Mapping[str, Any] | None = None) -> None:
        """Write a shard that is not whole; ``about`` is what is no tensor, as JSON values. Raises `CannotWrite`."""
        self.put_bytes(shard, pack(tensors, about))

    def put_bytes(self, shard: Shard, content: bytes) -> None:
        """Write what `pack` made; a shard that is whole stays as it is. Raises `CannotWrite`."""
        path, note = self._files(shard)
        if self.has(shard):
            return
        line = digest_line(path, hashlib.sha256(content).hexdigest())
        with (
            self.writing(),
            unfinished(path, content) as fresh,
            unfinished(note, line) as fresh_note,
            self.turn("put", waiting=True),  # of two who come together the second finds it whole
        ):
            if self._state(shard) != "whole":
                finish(fresh, path, len(content))
                finish(fresh_note, note, len(line))

    def get(self, shard: Shard) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The tensors of a shard and what it says beside them; raises `AtlasDamaged`."""
        path, note = self._files(shard)
        if not is_plain(path) or not is_plain(note):
            message = f"{path} is not there yet: run the build again, it goes on where it stopped"
            raise AtlasDamaged(message)
        content = self._content(shard)
        if content is None:
            locks.settled(self.folder / ".lock-put")
            content = self._content(shard)
        if content is None:
            message = f"{path} is not as it was written: run the build again, it makes this shard anew"
            raise AtlasDamaged(message)
        try:
            return unpack(content)
        except (SafetensorError, ValueError, TypeError, KeyError, RecursionError) as error:
            message = f"{path} cannot be read ({error}): run the build again, it makes this shard anew"
            raise AtlasDamaged(message) from error

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """Every unit of the atlas, in the order of its tables."""
        return tuple(Unit(layer.name, index) for layer in self.manifest.layers for index in range(layer.units))

    def layer(self, name: str) -> LayerEntry:
        """The layer of that name; raises `UnknownName`."""
        layers = {layer.name: layer for layer in self.manifest.layers}
        if name not in layers:
            raise UnknownName("layer", name, layers)
        return layers[name]

    def responses(self) -> Responses:
        """The responses table: whole, or those of the stimuli that are shown where only statistics of all are kept."""
        parts, numbers = [], []
        for shard in self.plan.of("responses"):
            tensors, _ = self.get(shard)
            parts.append(tensors["responses"])
            numbers += tensors.get("shown", np.arange(shard.start, shard.stop)).tolist()
        names, labels = ([self.manifest.stimuli[key][number] for number in numbers] for key in ("names", "labels"))
        return Responses(np.concatenate(parts), self.units, tuple(names), tuple(labels))

    def explore(self, *, height: int = 640) -> Explorer | Still:
        """The atlas's page, for the cell of a notebook; see `notebook.explore`."""
        from neuronatlas import notebook

        return notebook.explore(self, height=height)

    def _files(self, shard: Shard) -> tuple[Path, Path]:
        place = self.folder / "shards"
        return place / f"{shard.name}.safetensors", place / f"{shard.name}.sha256"

    def _state(self, shard: Shard) -> str:
        path, note = self._files(shard)
        if not is_there(path) or not is_there(note):
            return "absent"
        if not is_plain(path) or not is_plain(note):
            return "damaged"
        return "whole" if note.read_bytes() == digest_line(path, sha256(path)) else "damaged"

    def _content(self, shard: Shard) -> bytes | None:
        """The bytes of a shard, or None where its digest does not fit."""
        path, note = self._files(shard)
        content = path.read_bytes()
        return content if note.read_bytes() == digest_line(path, hashlib.sha256(content).hexdigest()) else None

    def _known(self, shard: Shard) -> bool:
        """Like `has`, from memory where both files are what they were."""
        before = marks(*self._files(shard))
        if before is not None and self._seen.get(shard.name) == before:
            return True
        whole = self.has(shard)
        if whole and before is not None and time.time_ns() - max(before[-4:]) > _COARSE:
            self._seen[shard.name] = before
        return whole

    def _sweep(self, age: float) -> None:
        """Remove what is unfinished and was not touched for so many seconds."""
        for place in (self.folder, self.folder / "shards"):
            for orphan in place.glob(f"{TEMPORARY}*"):
                with contextlib.suppress(OSError):
                    if time.time() - orphan.lstat().st_mtime >= age:
                        orphan.unlink()
