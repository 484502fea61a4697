"""Several processes and threads on one atlas."""

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.atlas import small

from neuronatlas.atlas import Atlas, Shard, pack, store
from neuronatlas.atlas.files import unfinished
from neuronatlas.errors import AtlasDamaged, CannotWrite, WrongInput


@pytest.fixture
def atlas(tmp_path: Path) -> Atlas:
    return small.work(tmp_path / "a.atlas")


@contextlib.contextmanager
def process(*words: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process, and the first line that it says; killed in the end."""
    started = subprocess.Popen(
        small.command(*words), env=small.environment(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert started.stdin is not None
    assert started.stdout is not None
    with started.stdin, started.stdout:
        try:
            yield started, started.stdout.readline().strip()
        finally:
            started.kill()
            started.wait()


def test_r7_three_shares_and_two_that_do_everything_end_in_the_same_bytes(tmp_path: Path, atlas: Atlas) -> None:
    folder = tmp_path / "b.atlas"
    shares = ("1/3", "2/3", "3/3", "1/1", "1/1")
    running = [subprocess.Popen(small.command("work", folder, share), env=small.environment()) for share in shares]
    assert [one.wait(60) for one in running] == [0] * 5
    assert small.digests(folder) == small.digests(atlas.folder)
    assert small.unfinished_in(folder) == []


def test_r7_of_two_that_begin_different_atlases_at_once_one_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys; from dataclasses import replace; from pathlib import Path; from tests.atlas import small\n"
        "other = replace(small.MANIFEST, settings={'seed': sys.argv[1]})\n"
        "for folder in sys.argv[2:]:\n"
        "  try: small.Atlas.create(Path(folder), other, small.planned())\n"
        "  except ValueError as error: print('holds another atlas' in str(error))\n"
    )
    folders = [tmp_path / f"{number}.atlas" for number in range(20)]
    running = [
        subprocess.Popen(
            [small.sys.executable, "-c", code, seed, *map(str, folders)],
            env=small.environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in "12"
    ]
    refused = [one.communicate(timeout=60)[0].split() for one in running]
    assert refused[0] + refused[1] == ["True"] * 20
    for folder in folders:
        assert Atlas.open(folder).manifest.settings["seed"] in ("1", "2")


def test_r7_a_turn_is_one_processs_until_it_dies(atlas: Atlas) -> None:
    with process("turn", atlas.folder, "map", "now") as (other, said):
        assert said == "True"
        with atlas.turn("map") as mine, atlas.turn("page") as also:
            assert (mine, also) == (False, True)
        got = threading.Event()

        def wait() -> None:
            with atlas.turn("map", waiting=True) as mine:
                assert mine
                got.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not got.wait(0.2)
        other.send_signal(signal.SIGKILL)
        assert got.wait(20)
        waiting.join()
    with atlas.turn("map") as mine:
        assert mine
    with pytest.raises(WrongInput, match=r"'\.\./x' must be of small letters"), atlas.turn("../x"):
        pass


def test_r7_a_child_that_outlives_its_parent_holds_nothing(atlas: Atlas) -> None:
    with process("fork", atlas.folder, "map") as (parent, said):
        mine, child = said.split()
        assert mine == "True"
        orphan = atlas.folder / ".unfinished-x"
        orphan.write_bytes(b"half")
        try:
            parent.kill()
            parent.wait()
            os.kill(int(child), 0)  # it lives
            with atlas.turn("map", waiting=True) as mine_now:  # it may be only just beginning to live
                assert mine_now
            end = time.monotonic() + 10
            while orphan.exists():  # it lets go of its locks one after the other
                assert time.monotonic() < end, "the child holds the lock of writers"
                with atlas.writing():
                    pass
        finally:
            os.kill(int(child), signal.SIGKILL)


def test_r6_an_orphan_is_swept_and_never_what_a_live_writer_writes(atlas: Atlas) -> None:
    with process("write", atlas.folder) as (other, name):
        theirs = atlas.folder / "shards" / name
        with atlas.writing():
            assert theirs.exists()
        other.kill()
        other.wait()
        assert theirs.exists()
        with atlas.writing(), atlas.writing():
            assert not theirs.exists()
            orphan = atlas.folder / ".unfinished-y"
            orphan.write_bytes(b"half")
            with Atlas.open(atlas.folder).writing():  # here too, others write
                assert orphan.exists()
    with atlas.writing():
        assert not orphan.exists()


def test_r6_of_many_that_begin_and_end_at_once_none_sweeps_under_another(atlas: Atlas) -> None:
    running = [subprocess.Popen(small.command("begin", atlas.folder, 80), env=small.environment()) for _ in range(4)]
    assert [one.wait(60) for one in running] == [0] * 4


def test_names_of_what_is_unfinished_are_each_writers_own(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        names = [stack.enter_context(unfinished(tmp_path / "x", b"")).name for _ in range(50)]
        assert len(set(names)) == 50
        assert all(name.startswith(".unfinished-") and f"-{os.getpid()}-" in name for name in names)
    assert list(tmp_path.iterdir()) == []


def damage(atlas: Atlas, shard: Shard) -> None:
    (atlas.folder / "shards" / f"{shard.name}.safetensors").write_bytes(b"damaged")


def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that takes its time before it gives a file its name, longer for each of the digests."""
    usual = os.replace

    def later(source: Path, target: Path) -> None:
        time.sleep(0.03 if str(target).endswith(".sha256") else 0.005)
        usual(source, target)

    monkeypatch.setattr(os, "replace", later)


@pytest.mark.parametrize("before", ["absent", "damaged"])
def test_r7_a_shard_that_was_whole_stays_whole_though_several_write_other_bytes(
    atlas: Atlas, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = atlas.plan.shards[0]
    slow(monkeypatch)
    for _ in range(4):
        if before == "damaged":
            damage(atlas, shard)
        else:
            (atlas.folder / "shards" / f"{shard.name}.sha256").unlink()
        writers = [
            threading.Thread(
                target=Atlas.open(atlas.folder).put, args=(shard, {"responses": np.full((2, 3), value, np.float32)})
            )
            for value in range(4)
        ]
        for writer in writers:
            writer.start()
        seen = set()
        while any(writer.is_alive() for writer in writers):
            with contextlib.suppress(AtlasDamaged):
                seen.add(float(atlas.get(shard)[0]["responses"][0, 0]))
            if seen:
                assert atlas.state(shard) == "whole"
                atlas.get(shard)
        seen.add(float(atlas.get(shard)[0]["responses"][0, 0]))
        assert len(seen) == 1  # the first one's, never replaced


def test_r7_a_reader_waits_for_a_writer_who_is_between_the_two_files(
    atlas: Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = atlas.plan.shards[0]
    path = atlas.folder / "shards" / f"{shard.name}.safetensors"
    damage(atlas, shard)
    slow(monkeypatch)
    again = {"responses": np.zeros((2, 3), np.float32)}
    writer = threading.Thread(target=Atlas.open(atlas.folder).put, args=(shard, again))
    writer.start()
    while path.read_bytes() == b"damaged":
        pass
    tensors, _ = atlas.get(shard)
    assert writer.is_alive() or atlas.state(shard) == "whole"
    assert np.array_equal(tensors["responses"], again["responses"])
    writer.join()
    damage(atlas, shard)
    with pytest.raises(AtlasDamaged, match="not as it was written"):
        atlas.get(shard)


def test_what_is_whole_is_not_written_again(atlas: Atlas) -> None:
    before = {path: path.stat().st_mtime_ns for path in (atlas.folder / "shards").iterdir()}
    for shard in atlas.plan:
        atlas.put(shard, {"responses": np.zeros((2, 3), np.float32)})
    assert {path: path.stat().st_mtime_ns for path in (atlas.folder / "shards").iterdir()} == before


def test_packing_is_the_same_for_the_same_content_in_any_order() -> None:
    values = {"b": np.arange(3), "a": np.arange(6).reshape(2, 3).T}
    backwards = dict(reversed(list(values.items())))
    assert pack(values, {"x": 1, "y": 2}) == pack(backwards, {"y": 2, "x": 1})
    assert pack(values) != pack(values, {"x": 1})


def test_each_shard_is_hashed_once_and_again_when_it_changed(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    usual = store.sha256

    def counted(path: Path) -> str:
        hashed.append(path.stem)
        return usual(path)

    monkeypatch.setattr(store, "sha256", counted)
    assert atlas.missing() == []
    assert atlas.missing() == []  # what is this new might change again without a trace
    assert len(hashed) == 8
    monkeypatch.setattr(store, "_COARSE", 0)
    told: list[tuple[int, int]] = []
    assert atlas.missing(lambda done, total: told.append((done, total))) == []
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    hashed.clear()
    assert atlas.missing() == []
    assert hashed == []
    victim = atlas.plan.shards[2]
    damage(atlas, victim)
    assert atlas.missing() == [victim]
    assert set(hashed) == {victim.name}


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_everything_works_and_it_is_said(
    atlas: Atlas, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, how: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    shard = atlas.plan.shards[0]
    young, old = atlas.folder / ".unfinished-a", atlas.folder / "shards" / ".unfinished-b"
    for orphan in (young, old):
        orphan.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    damage(atlas, shard)

    def work() -> None:
        with atlas.writing():
            assert (young.exists(), old.exists()) == (True, False)
            with atlas.turn("map") as first, atlas.turn("map") as second:
                assert (first, second) == (True, True)
            assert atlas.missing() == [shard]
            atlas.put_bytes(shard, small.content(shard))

    with pytest.warns(UserWarning, match="this file system has no locks"):
        work()
    assert atlas.missing() == []


def test_another_error_of_a_lock_is_told(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int, how: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(CannotWrite, match=r"cannot write \.lock .*Input/output error"), atlas.writing():
        pass
