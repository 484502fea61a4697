import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuronatlas.atlas import Atlas, LayerEntry, Manifest, plan
from neuronatlas.errors import AtlasDamaged, AtlasMismatch, UnknownName, WrongInput


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        network={"name": "tiny", "fingerprint": "ab" * 32},
        layers=(LayerEntry("a", "convolution", 3, (3, 4, 4), 3),),
        stimuli={"digest": "cd" * 32, "names": ["x", "y"], "labels": ["", ""]},
        settings={"seed": 0},
        software={},
    )


@pytest.fixture
def atlas(manifest: Manifest, tmp_path: Path) -> Atlas:
    atlas = Atlas.create(tmp_path / "a.atlas", manifest, plan(manifest, {0: (0, 1, 2)}))
    for shard in atlas.plan:
        values = np.arange(6, dtype=np.float32).reshape(2, 3)
        atlas.put(shard, {"responses": values, "other": values.T}, about={"word": "é\u2028</script>", "n": [1, None]})
    return atlas


def test_a_shard_reads_back(atlas: Atlas) -> None:
    tensors, about = atlas.get(atlas.plan.shards[0])
    assert np.array_equal(tensors["other"], np.arange(6, dtype=np.float32).reshape(2, 3).T)
    assert about == {"word": "é\u2028</script>", "n": [1, None]}
    assert Atlas.open(atlas.folder).missing() == []
    assert atlas.responses().stimulus("y").tolist() == [3.0, 4.0, 5.0]
    with pytest.raises(UnknownName, match="no layer 'b'"):
        atlas.layer("b")


def test_r9_every_flipped_bit_and_every_length_is_found(atlas: Atlas) -> None:
    shard = atlas.plan.shards[1]
    path = atlas.folder / "shards" / f"{shard.name}.safetensors"
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        broken = bytearray(whole)
        broken[place] ^= 1 << place % 8
        path.write_bytes(broken)
        assert atlas.missing() == [shard]
        assert atlas.state(shard) == "damaged"
    for length in range(0, len(whole), 11):
        path.write_bytes(whole[:length])
        assert atlas.missing() == [shard]
        with pytest.raises(AtlasDamaged, match="run the build again"):
            atlas.get(shard)
    path.write_bytes(whole)
    assert atlas.missing() == []


def test_a_shard_without_its_digest_is_absent(atlas: Atlas) -> None:
    shard = atlas.plan.shards[0]
    (atlas.folder / "shards" / f"{shard.name}.sha256").unlink()
    assert atlas.state(shard) == "absent"


def test_the_digests_are_what_sha256sum_reads(atlas: Atlas) -> None:
    notes = sorted(path.name for path in (atlas.folder / "shards").glob("*.sha256"))
    subprocess.run(
        ["sha256sum", "--check", "--strict", *notes], cwd=atlas.folder / "shards", check=True, stdout=subprocess.DEVNULL
    )


def test_r8_another_configuration_is_refused_with_the_difference(atlas: Atlas, manifest: Manifest) -> None:
    other = replace(manifest, network=manifest.network | {"fingerprint": "ef" * 32})
    with pytest.raises(AtlasMismatch, match=r"network\.fingerprint: 'abab.*'efef"):
        Atlas.create(atlas.folder, other, atlas.plan)
    assert Atlas.open(atlas.folder).manifest == manifest


def test_a_folder_of_other_files_is_not_taken(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(AtlasMismatch, match="holds files that are no atlas"):
        Atlas.create(tmp_path, manifest, plan(manifest, {}))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_without_an_atlas_says_so(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="no atlas in"):
        Atlas.open(tmp_path)


def test_r6_what_a_killed_build_left_is_swept(atlas: Atlas) -> None:
    orphan = atlas.folder / "shards" / ".unfinished-1-map.safetensors"
    orphan.write_bytes(b"half")
    with atlas.writing():
        assert not orphan.exists()
    assert atlas.missing() == []


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 100, (1 << 60).to_bytes(8, "little") + b"{}", b"\x02\0\0\0\0\0\0\0{}"]
)
def test_s7_a_hostile_shard_whose_digest_fits_is_an_error(atlas: Atlas, content: bytes) -> None:
    import hashlib

    shard = atlas.plan.shards[0]
    place = atlas.folder / "shards"
    (place / f"{shard.name}.safetensors").write_bytes(content)
    (place / f"{shard.name}.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  {shard.name}.safetensors\n")
    if content == b"\x02\0\0\0\0\0\0\0{}":  # nothing, well formed
        assert atlas.get(shard) == ({}, {})
    else:
        with pytest.raises(AtlasDamaged, match="cannot be read"):
            atlas.get(shard)
