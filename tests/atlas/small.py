"""A small atlas without a network: what is in each shard follows from its name.

Run as a program it is a process of its own that works on one::

    python -m tests.atlas.small work FOLDER 2/3
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
import zlib
from pathlib import Path

import numpy as np

from neuronatlas.atlas import Atlas, LayerEntry, Manifest, Plan, Shard, pack, plan
from neuronatlas.atlas.files import unfinished

ROOT = Path(__file__).parents[2]
MANIFEST = Manifest(
    network={"name": "tiny", "fingerprint": "ab" * 32},
    layers=(LayerEntry("a", "convolution", 3, (3, 4, 4), 3),),
    stimuli={"digest": "cd" * 32, "names": ["cat", "dog", "pig"], "labels": ["pet", "pet", "farm"]},
    settings={"seed": 0},
    software={"numpy": "2"},
)


def planned(stimuli_a_shard: int = 2) -> Plan:
    """Four shards: two of responses, the map, one of renderings."""
    return plan(MANIFEST, {0: (0, 1, 2)}, stimuli_a_shard=stimuli_a_shard)


def content(shard: Shard, size: int = 100) -> bytes:
    """About as many bytes as said, other ones for each shard."""
    values = np.random.default_rng(zlib.crc32(shard.name.encode())).integers(0, 256, size, np.uint8)
    return pack({"values": values}, {"name": shard.name})


def work(folder: Path, size: int = 100, share: tuple[int, int] = (1, 1)) -> Atlas:
    """Begin the atlas or go on with it, as a build does."""
    atlas = Atlas.create(folder, MANIFEST, planned())
    with atlas.writing():
        for shard in atlas.missing():
            if list(atlas.plan).index(shard) % share[1] == share[0] - 1:
                atlas.put_bytes(shard, content(shard, size))
    return atlas


def digests(folder: Path) -> dict[str, str]:
    """The sha256 of every file that is not a writer's own."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def unfinished_in(folder: Path) -> list[str]:
    """What a writer left that did not end well."""
    return [path.name for path in folder.rglob(".unfinished-*")]


def command(*words: object) -> list[str]:
    """The command of another process."""
    return [sys.executable, "-m", "tests.atlas.small", *(str(word) for word in words)]


def environment() -> dict[str, str]:
    """Where that process finds this file."""
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def _said(word: str) -> None:
    print(word, flush=True)


def main(mode: str, folder: Path, *rest: str) -> None:
    """One of the ways in which a process works."""
    if mode == "work":
        number, shares = rest[0].split("/")
        work(folder, share=(int(number), int(shares)))
        return
    atlas = Atlas.open(folder)
    if mode == "turn":
        with atlas.turn(rest[0], waiting=rest[1] == "wait") as mine:
            _said(str(mine))
            sys.stdin.readline()
    elif mode == "fork":  # a child that lives on with all that was open
        with atlas.turn(rest[0]) as mine, atlas.writing():
            child = os.fork()
            if not child:
                time.sleep(60)
                os._exit(0)
            _said(f"{mine} {child}")
            sys.stdin.readline()
    elif mode == "write":
        with atlas.writing(), unfinished(atlas.folder / "shards" / "x", b"half") as fresh:
            _said(fresh.name)
            sys.stdin.readline()
    elif mode == "begin":  # begins to write and ends, over and over
        for _ in range(int(rest[0])):
            with atlas.writing(), unfinished(atlas.folder / "shards" / "x", b"half") as fresh:
                time.sleep(0.001)
                if not fresh.exists():
                    sys.exit("swept under a live writer")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
