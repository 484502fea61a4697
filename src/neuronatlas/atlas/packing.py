"""The bytes of a shard, and what is known of its files without reading them as one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors


def pack(tensors: Mapping[str, np.ndarray], about: Mapping[str, Any] | None = None) -> bytes:
    """The bytes of a shard, the same for the same content; ``about`` is what is no tensor, as JSON values."""
    plain = {name: np.ascontiguousarray(value) for name, value in sorted(tensors.items())}
    return save_tensors(plain, metadata={"about": json.dumps(about or {}, sort_keys=True)})


def unpack(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `pack` was given; raises one of half a dozen errors for what it did not make."""
    tensors = load_tensors(content)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    return tensors, dict(json.loads(header.get("__metadata__", {}).get("about", "{}")))


def digest_line(path: Path, digest: str) -> bytes:
    """The whole content of the file beside a shard."""
    return f"{digest}  {path.name}\n".encode()


def marks(*paths: Path) -> tuple[int, ...] | None:
    """What changes when one of two files does, its times last; None where one is not there."""
    try:
        found = [path.lstat() for path in paths]
    except OSError:
        return None
    identities = [mark for one in found for mark in (one.st_ino, one.st_size)]
    return (*identities, *(mark for one in found for mark in (one.st_mtime_ns, one.st_ctime_ns)))


def sha256(path: Path) -> str:
    """Of the content of a file, in hex; read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
