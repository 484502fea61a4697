"""What goes wrong with disks, for real: old or new and never half, said clearly, and made good by the next build."""

import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.atlas import small
from tests.atlas.faults import Fault, contents, fail, nothing_half
from tests.atlas.mounting import in_the_open, run_apart

from neuronatlas.atlas import Atlas, Manifest
from neuronatlas.atlas.files import write_atomically
from neuronatlas.errors import AtlasDamaged, AtlasMismatch, CannotWrite, WrongInput


@pytest.fixture
def atlas(tmp_path: Path) -> Atlas:
    return small.work(tmp_path / "whole.atlas")


@pytest.fixture
def broken(atlas: Atlas, tmp_path: Path) -> Path:
    """An atlas with a damaged shard, a digest that is cut off, a plan that is damaged, and orphans."""
    folder = tmp_path / "broken.atlas"
    shutil.copytree(atlas.folder, folder)
    (folder / "shards" / "map.safetensors").write_bytes(b"damaged")
    (folder / "shards" / "responses-0000.sha256").write_bytes(b"0123")
    (folder / "plan.json").write_bytes((folder / "plan.json").read_bytes()[:-10])
    (folder / "shards" / ".unfinished-x").write_bytes(b"half")
    return folder


@pytest.fixture
def quick() -> Iterator[Path]:
    """A folder in memory where there is one, for many files that are flushed."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() and os.access(shared, os.W_OK) else None) as place:
        yield Path(place)


@pytest.mark.parametrize(("start", "code"), [("new", errno.EIO), ("broken", errno.ENOSPC)])
def test_r3_a_fault_at_every_call_leaves_old_or_new_and_never_half(
    atlas: Atlas, broken: Path, quick: Path, code: int, start: str
) -> None:
    whole = contents(atlas.folder)
    for number in itertools.count(1):
        folder = quick / f"{number}.atlas"
        if start == "broken":
            shutil.copytree(broken, folder)
        before = contents(folder)
        with Fault(number, fail(code)).injected() as fault:
            try:
                small.work(folder)
            except CannotWrite as error:
                assert os.strerror(code) in str(error)  # noqa: PT017
                assert fault.happened
        nothing_half(folder, before, whole)
        if start == "new":
            assert small.unfinished_in(folder) == []
        small.work(folder)
        assert contents(folder) == whole
        assert small.unfinished_in(folder) == []
        if not fault.happened:
            break
    assert number > 40


@pytest.mark.parametrize("start", ["new", "broken"])
def test_r3_a_build_that_is_killed_at_every_call_is_gone_on_with(broken: Path, quick: Path, start: str) -> None:
    words = [str(broken)] if start == "broken" else []
    command = [sys.executable, "-m", "tests.atlas.faults", "killed", str(quick), *words]
    done = subprocess.run(command, env=small.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) > 40


@pytest.mark.parametrize("how", ["mounted", "limit"])
def test_r4_a_full_disk_is_told_with_what_it_takes_and_gone_on_from(tmp_path: Path, how: str) -> None:
    run_apart("faults", "full", tmp_path, how)


@pytest.mark.parametrize("how", ["mounted", "rights"])
def test_r5_a_folder_that_may_not_be_written_is_told_and_is_as_it_was(how: str) -> None:
    with in_the_open() as place:
        run_apart("faults", "closed", place, how)


def test_r5_a_quota_is_told(tmp_path: Path) -> None:
    with (
        Fault(2, fail(errno.EDQUOT)).injected(),
        pytest.raises(CannotWrite, match=r"(?s)cannot write x .*quota.* it takes 12,345 bytes, [\d,]+ are free: make"),
    ):
        write_atomically(tmp_path / "x", b"x" * 12_345)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with Fault(2, interrupt).injected(), pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "x", b"x")
    assert list(tmp_path.iterdir()) == []


def test_r9_every_bit_and_length_of_a_digest_counts(atlas: Atlas) -> None:
    shard = atlas.plan.shards[0]
    note = atlas.folder / "shards" / f"{shard.name}.sha256"
    whole = note.read_bytes()
    spoilt = [
        whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
        for place in range(len(whole))
        for bit in range(8)
    ]
    for content in [*spoilt, *(whole[:length] for length in range(len(whole)))]:
        note.write_bytes(content)
        assert atlas.state(shard) == "damaged"
        with pytest.raises(AtlasDamaged, match="it makes this shard anew"):
            atlas.get(shard)
    assert atlas.missing() == [shard]


def redone(folder: Path) -> set[str]:
    """The files that the next build writes."""
    before = {path: path.stat().st_ino for path in folder.rglob("*") if path.is_file()}
    small.work(folder)
    return {path.name for path, inode in before.items() if path.stat().st_ino != inode}


def test_r9_only_what_is_damaged_is_made_again(atlas: Atlas) -> None:
    whole = contents(atlas.folder)
    assert redone(atlas.folder) == set()
    for name in [name for name in whole if name.startswith("shards")]:
        content = bytearray(whole[name])
        content[len(content) // 2] ^= 16
        (atlas.folder / name).write_bytes(content)
        stem = Path(name).stem
        assert [shard.name for shard in Atlas.open(atlas.folder).missing()] == [stem]
        assert redone(atlas.folder) == {f"{stem}.safetensors", f"{stem}.sha256"}
        assert contents(atlas.folder) == whole


def test_r9_a_damaged_plan_is_rebuilt_by_the_build_that_made_it(atlas: Atlas) -> None:
    whole = contents(atlas.folder)
    place = atlas.folder / "plan.json"
    for content in (whole["plan.json"].replace(b'"stop": 2', b'"stop": 3'), whole["plan.json"][:99], b"", b"\xff"):
        place.write_bytes(content)
        with pytest.raises(AtlasDamaged, match=r"plan\.json .*run the build that made this atlas again"):
            Atlas.open(atlas.folder)
        assert redone(atlas.folder) == {"plan.json"}
        assert contents(atlas.folder) == whole


def test_r9_a_damaged_manifest_is_noticed_and_made_good_by_its_own_build_alone(atlas: Atlas) -> None:
    whole = contents(atlas.folder)
    place = atlas.folder / "atlas.json"
    other = replace(small.MANIFEST, settings={"seed": 1})
    for content in (whole["atlas.json"].replace(b'"pet"', b'"qet"', 1), whole["atlas.json"][:99], b"", b"\xff"):
        assert content != whole["atlas.json"]
        place.write_bytes(content)
        with pytest.raises(AtlasDamaged, match=r"atlas\.json .*run the build that made this atlas again.* copy"):
            Atlas.open(atlas.folder)
        with pytest.raises(AtlasDamaged, match="nothing shows that this build made it: put back a copy"):
            Atlas.create(atlas.folder, other, small.planned())
        assert place.read_bytes() == content
        assert redone(atlas.folder) == {"atlas.json"}
        assert contents(atlas.folder) == whole
    place.write_bytes(b"")
    (atlas.folder / "plan.json").write_bytes(b"")
    with pytest.raises(AtlasDamaged, match="nothing shows that this build made it"):
        small.work(atlas.folder)


def test_r9_verify_finds_what_is_damaged(atlas: Atlas) -> None:
    command = [sys.executable, "-m", "neuronatlas.cli", "verify", str(atlas.folder)]
    shard = atlas.folder / "shards" / "map.sha256"
    whole = shard.read_bytes()
    shard.write_bytes(whole.replace(b"map", b"map"[::-1]))
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, "map  damaged\n")
    place = atlas.folder / "atlas.json"
    place.write_bytes(place.read_bytes().replace(b"cat", b"bat"))
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, "")
    assert "its digest does not fit; run the build that made this atlas again" in found.stderr


def test_a_manifest_that_is_gone_is_made_again_by_its_own_build_alone(atlas: Atlas) -> None:
    whole = contents(atlas.folder)
    (atlas.folder / "atlas.json").unlink()
    with pytest.raises(WrongInput, match="no atlas in"):
        Atlas.open(atlas.folder)
    with pytest.raises(AtlasMismatch, match=r"holds shards of an atlas whose atlas\.json is gone"):
        Atlas.create(atlas.folder, replace(small.MANIFEST, settings={"seed": 1}), small.planned())
    small.work(atlas.folder)
    assert contents(atlas.folder) == whole


def test_an_atlas_is_gone_on_with_in_the_shards_that_it_began_with(atlas: Atlas) -> None:
    whole = contents(atlas.folder)
    again = Atlas.create(atlas.folder, small.MANIFEST, small.planned(stimuli_a_shard=1))
    assert again.plan == atlas.plan
    assert again.missing() == []
    more = small.plan(small.MANIFEST, {0: (0, 1)}, stimuli_a_shard=1)  # not the same work: another meaning of names
    again = Atlas.create(atlas.folder, small.MANIFEST, more)
    assert {shard.name for shard in again.missing()} == {
        "responses-0000",
        "responses-0001",
        "responses-0002",
        "renderings-000-0000",
    }
    assert contents(atlas.folder)["atlas.json"] == whole["atlas.json"]


def test_the_plan_of_another_atlas_is_refused(atlas: Atlas, tmp_path: Path) -> None:
    other: Manifest = replace(small.MANIFEST, settings={"seed": 1})
    taken = Atlas.create(tmp_path / "other.atlas", other, small.planned()).folder / "plan.json"
    shutil.copy(taken, atlas.folder / "plan.json")
    with pytest.raises(AtlasDamaged, match=r"plan\.json is the plan of another atlas; run the build"):
        Atlas.open(atlas.folder)
    assert redone(atlas.folder) == {"plan.json"}


@pytest.mark.parametrize("name", ["atlas.json", "plan.json", "shards", "shards/map.safetensors", "shards/map.sha256"])
def test_m21_no_link_inside_the_folder_leads_outside(atlas: Atlas, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    inside = atlas.folder / name
    inside.rename(outside)
    inside.symlink_to(outside)
    before = contents(outside) if outside.is_dir() else outside.read_bytes()
    shard = atlas.plan.of("map")[0]
    if name.startswith("shards/"):
        assert Atlas.open(atlas.folder).state(shard) == "damaged"
        with pytest.raises(AtlasDamaged):
            atlas.get(shard)
    else:
        with pytest.raises(AtlasDamaged, match="link"):
            Atlas.open(atlas.folder)
    if name == "shards":
        with pytest.raises(AtlasMismatch, match="is a link, which is not followed"):
            small.work(atlas.folder)
    else:
        small.work(atlas.folder)
        assert not inside.is_symlink()
        assert Atlas.open(atlas.folder).missing() == []
    assert (contents(outside) if outside.is_dir() else outside.read_bytes()) == before


def test_m21_a_link_in_place_of_a_writers_own_file_leads_nowhere(atlas: Atlas, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    (atlas.folder / ".unfinished-x").symlink_to(outside)
    with atlas.writing():
        assert not (atlas.folder / ".unfinished-x").is_symlink()
    for name in (".lock", ".lock-map"):
        (atlas.folder / name).unlink(missing_ok=True)
        (atlas.folder / name).symlink_to(tmp_path / "new")
    with pytest.raises(CannotWrite, match=r"cannot write \.lock "), atlas.writing():
        pass
    with pytest.raises(CannotWrite, match=r"cannot write \.lock-map "), atlas.turn("map"):
        pass
    assert outside.read_bytes() == b"mine"
    assert not (tmp_path / "new").exists()
