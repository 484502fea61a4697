"""The atlas on disk: shards that are whole or absent, each with its sha256.

A file is written under a temporary name, flushed to the disk and renamed; the digest of a shard, in the form that
``sha256sum -c`` reads, follows in a file of its own. So a killed build leaves nothing half done, and a shard counts only
when its digest is there and fits. Nothing here runs what it reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from neuronatlas.atlas.schema import LayerEntry, Manifest, Plan, Shard
from neuronatlas.errors import AtlasDamaged, AtlasMismatch, UnknownName, WrongInput
from neuronatlas.table import Responses
from neuronatlas.units import Unit

_TEMPORARY = ".unfinished-"


class Atlas:
    """An atlas folder: opened, asked what is missing, added to, read."""

    def __init__(self, folder: Path, manifest: Manifest, plan: Plan) -> None:
        self.folder = folder
        self.manifest = manifest
        self.plan = plan

    @classmethod
    def open(cls, folder: str | Path) -> Atlas:
        """The atlas in ``folder``; raises `WrongInput` where there is none, `AtlasDamaged` where it is broken."""
        path = Path(folder)
        manifest, plan = path / "atlas.json", path / "plan.json"
        if not manifest.is_file():
            message = f"no atlas in {str(folder)!r}: it has no atlas.json; make one with: neuronatlas build"
            raise WrongInput(message)
        if not plan.is_file():
            message = f"the atlas in {str(folder)!r} has no plan.json: run the build that made it again"
            raise AtlasDamaged(message)
        return cls(
            path,
            Manifest.parse(_text(manifest), source=str(manifest)),
            Plan.parse(_text(plan), source=str(plan)),
        )

    @classmethod
    def create(cls, folder: str | Path, manifest: Manifest, plan: Plan) -> Atlas:
        """The atlas in ``folder``, new or as far as an earlier build came.

        Raises `AtlasMismatch` when the folder holds the atlas of something else, or files that are no atlas.
        """
        path = Path(folder)
        if (path / "atlas.json").is_file():
            old = Manifest.parse(_text(path / "atlas.json"), source=str(path / "atlas.json"))
            differences = old.difference(manifest)
            if differences:
                shown = "; ".join(differences[:6]) + ("; ..." if len(differences) > 6 else "")
                message = f"{str(folder)!r} holds another atlas ({shown}): choose another folder"
                raise AtlasMismatch(message)
            manifest = old
        elif path.exists() and (not path.is_dir() or any(not _ours(child) for child in path.iterdir())):
            message = f"{str(folder)!r} holds files that are no atlas: choose a new or an empty folder"
            raise AtlasMismatch(message)
        atlas = cls(path, manifest, plan)
        (path / "shards").mkdir(parents=True, exist_ok=True)
        for place, text in ((path / "plan.json", plan.text()), (path / "atlas.json", manifest.text())):
            if not place.is_file() or _text(place) != text:
                write_atomically(place, text.encode())
        return atlas

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the atlas for writing, and sweep what a killed build left; raises `WrongInput` when another holds it."""
        with (self.folder / ".lock").open("a") as handle:
            try:
                import fcntl

                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except ImportError:  # no such locks on Windows: one writer is the user's care there
                pass
            except OSError as error:
                message = f"another process is building {str(self.folder)!r}: wait for it, or stop it"
                raise WrongInput(message) from error
            for place in (self.folder, self.folder / "shards"):
                for orphan in place.glob(f"{_TEMPORARY}*"):
                    orphan.unlink()
            yield

    def missing(self) -> list[Shard]:
        """The shards that are absent or damaged, in the plan's order."""
        return [shard for shard in self.plan if not self.has(shard)]

    def has(self, shard: Shard) -> bool:
        """Is the shard there, and as it was written?"""
        return self.state(shard) == "whole"

    def state(self, shard: Shard) -> str:
        """One of "whole", "absent" and "damaged"."""
        path, note = self._files(shard)
        if not path.is_file() or not note.is_file():
            return "absent"
        return "whole" if _text(note).split(" ")[0] == _sha256(path) else "damaged"

    def put(self, shard: Shard, tensors: Mapping[str, np.ndarray], *, about: Mapping[str, Any] | None = None) -> None:
        """Write a shard; ``about`` is what is no tensor, as JSON values."""
        path, note = self._files(shard)
        plain = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
        content = save_tensors(plain, metadata={"about": json.dumps(about or {}, sort_keys=True)})
        note.unlink(missing_ok=True)
        write_atomically(path, content)
        write_atomically(note, f"{hashlib.sha256(content).hexdigest()}  {path.name}\n".encode())

    def get(self, shard: Shard) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The tensors of a shard and what it says beside them; raises `AtlasDamaged`."""
        path, note = self._files(shard)
        if not path.is_file() or not note.is_file():
            message = f"{path} is not there yet: run the build again, it goes on where it stopped"
            raise AtlasDamaged(message)
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != _text(note).split(" ")[0]:
            message = f"{path} is not as it was written: run the build again, it makes this shard anew"
            raise AtlasDamaged(message)
        try:
            tensors = load_tensors(content)
            length = int.from_bytes(content[:8], "little")
            about = json.loads(json.loads(content[8 : 8 + length]).get("__metadata__", {}).get("about", "{}"))
        except (SafetensorError, ValueError) as error:
            message = f"{path} cannot be read ({error}): run the build again, it makes this shard anew"
            raise AtlasDamaged(message) from error
        return tensors, about

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
        """The whole responses table."""
        parts = [self.get(shard)[0]["responses"] for shard in self.plan.of("responses")]
        names, labels = self.manifest.stimuli["names"], self.manifest.stimuli["labels"]
        return Responses(np.concatenate(parts), self.units, tuple(names), tuple(labels))

    def _files(self, shard: Shard) -> tuple[Path, Path]:
        place = self.folder / "shards"
        return place / f"{shard.name}.safetensors", place / f"{shard.name}.sha256"


def write_atomically(path: Path, content: bytes) -> None:
    """The file is either as before or whole, whenever the process or the machine dies."""
    temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{path.name}")
    with temporary.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _ours(path: Path) -> bool:
    """What a build leaves when it is killed before the manifest is written."""
    return path.name in ("shards", "plan.json", ".lock") or path.name.startswith(_TEMPORARY)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        message = f"{path} is not UTF-8 text: it is not as it was written"
        raise AtlasDamaged(message) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
