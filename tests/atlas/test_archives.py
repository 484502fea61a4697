"""Atlases of every version of the format open for ever; `tests/archives/make_atlas.py` says what is in them."""

import hashlib
import json
import re
import shutil
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from tests.atlas import small
from tests.atlas.mounting import in_the_open, run_apart

from neuronatlas.atlas import Atlas, plan
from neuronatlas.atlas.schema import VERSION
from neuronatlas.building import page_of
from neuronatlas.errors import WrongInput
from neuronatlas.view.scene import scene_of

ARCHIVES = Path(__file__).parents[1] / "archives"
VERSIONS = range(1, VERSION + 1)

RESPONSES = [
    [-0.019783916, 0.005348615, -0.016602458, 0.0, 0.122367375, -0.120507628, 0.120362721, -0.116913304],
    [-0.014919381, -0.356879890, 0.042442512, 0.0, -0.247642323, -0.180434763, 0.139010966, -0.128435954],
    [-0.088103794, -0.612400413, -0.254025042, 0.0, 0.134805098, -0.115204111, 0.120661259, -0.119615585],
    [-0.131073937, -0.072310761, 0.109736994, 0.0, 0.042135108, -0.190433651, 0.135397166, -0.141863942],
    [0.230769038, 0.384638757, 0.078511626, 0.0, -0.132209927, -0.309556961, 0.014029309, -0.064303376],
    [-0.265472263, -0.736170173, -0.052671574, 0.0, 0.006934931, -0.131350726, 0.129478440, -0.102521211],
]
POSITIONS = [
    [-0.81798039, -0.42876482],
    [-0.91291099, -0.43092228],
    [-0.97145588, 0.38580368],
    [np.nan, np.nan],
    [0.73151573, -0.40429828],
    [0.97145588, -0.31843115],
    [0.15999343, 1.0],
    [-0.26447355, -1.0],
]


def unpacked(version: int, folder: Path) -> Path:
    with tarfile.open(ARCHIVES / f"atlas-{version}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "atlas"


def test_there_is_an_archive_of_every_version() -> None:
    assert sorted(path.name for path in ARCHIVES.glob("atlas-*")) == [f"atlas-{one}.tar.xz" for one in VERSIONS]


@pytest.mark.parametrize("version", VERSIONS)
def test_r10_an_atlas_of_every_version_holds_what_it_held(version: int, tmp_path: Path) -> None:
    folder = unpacked(version, tmp_path)
    assert json.loads((folder / "atlas.json").read_text(encoding="utf-8"))["version"] == version
    atlas = Atlas.open(folder)
    assert atlas.missing() == []
    manifest = atlas.manifest
    assert manifest.network["name"] == "Sequential"
    assert manifest.network["fingerprint"] == "a7c913f823de80c9f63f256280d7f18972d6d0a81b888c4da36b4391bb023fdf"
    assert manifest.network["input"]["size"] == [16, 16]
    assert [(one.name, one.kind, one.units, one.shape, one.receptive_field) for one in manifest.layers] == [
        ("0", "convolution", 5, (5, 14, 14), 3),
        ("2", "convolution", 3, (3, 12, 12), 5),
    ]
    responses = atlas.responses()
    np.testing.assert_allclose(responses.values, RESPONSES, rtol=0, atol=1e-9)
    assert responses.stimuli == tuple(f"plain {number} ü" for number in range(6))
    assert responses.labels == ("dark", "bright") * 3
    laid_out, about = atlas.get(atlas.plan.of("map")[0])
    np.testing.assert_allclose(laid_out["positions"], POSITIONS, rtol=0, atol=1e-8)
    assert laid_out["neighbours"][0, :7].tolist() == [1, 2, 7, 5, 6, 4, -1]
    assert laid_out["correlations"][0, :3].tolist() == pytest.approx([0.714286, 0.314286, 0.257143], abs=1e-6)
    assert laid_out["missing"].tolist() == [0] * 8
    assert about["notes"][0] == "1 of 8 units never vary and have no place (first: 0:3)"
    tensors, about = atlas.get(atlas.plan.of("renderings")[0])
    assert (atlas.plan.of("renderings")[0].layer, atlas.plan.of("renderings")[0].units) == (0, (0, 4))
    assert about["status"] == ["", ""]
    assert about["recipe"]["steps"] == 64
    assert tensors["images"].shape == (2, 16, 16, 3)
    assert tensors["curves"].shape == (2, 64)


@pytest.mark.parametrize("version", VERSIONS)
def test_r10_an_atlas_of_every_version_is_shown(version: int, tmp_path: Path) -> None:
    scene = scene_of(Atlas.open(unpacked(version, tmp_path)))
    assert sorted(scene.pictures) == [0, 4, 5, 7]
    assert scene.status[3] == "constant"
    assert [stimulus.name for stimulus in scene.stimuli] == [f"plain {number} ü" for number in range(6)]
    assert scene.stimuli[1].thumbnail.shape == (64, 64, 3)
    assert scene.stimuli[2].thumbnail[32, 32].tolist() == [255, 0, 0]


@pytest.mark.parametrize("version", VERSIONS)
def test_r10_an_atlas_of_every_version_is_gone_on_with(version: int, tmp_path: Path) -> None:
    folder = unpacked(version, tmp_path)
    old = Atlas.open(folder)
    lost = old.plan.of("renderings")[0]
    tensors, about = old.get(lost)
    before = small.digests(folder)
    (folder / "shards" / f"{lost.name}.sha256").unlink()
    again = Atlas.create(folder, old.manifest, plan(old.manifest, {0: (0, 4), 1: (0, 2)}))
    assert again.missing() == [lost]
    again.put(lost, tensors, about=about)
    assert Atlas.open(folder).missing() == []
    after = small.digests(folder)
    kept = [name for name in before if name.startswith("shards")]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert json.loads((folder / "atlas.json").read_text(encoding="utf-8"))["version"] == VERSION


def test_r10_a_newer_atlas_is_refused_and_left_alone(tmp_path: Path) -> None:
    folder = unpacked(VERSION, tmp_path)
    text = (folder / "atlas.json").read_text(encoding="utf-8")
    rest = text[14 + 64 :].replace(f'"version": {VERSION}', f'"version": {VERSION + 1}')
    newer = text[:14] + hashlib.sha256(rest.encode()).hexdigest() + rest
    (folder / "atlas.json").write_text(newer, encoding="utf-8")
    message = f"format version {VERSION + 1}; this release reads up to {VERSION}: install a newer one"
    with pytest.raises(WrongInput, match=message):
        Atlas.open(folder)
    with pytest.raises(WrongInput, match=message):
        Atlas.create(folder, small.MANIFEST, small.planned())
    assert (folder / "atlas.json").read_text(encoding="utf-8") == newer
    assert sorted(path.name for path in folder.iterdir()) == ["atlas.json", "plan.json", "shards"]


def test_the_document_is_enough_to_read_an_atlas(tmp_path: Path) -> None:
    """A reader made of docs/atlas-format.md alone, as in any language."""
    folder = unpacked(VERSION, tmp_path)
    read = {}
    for name in ("atlas.json", "plan.json"):
        content = (folder / name).read_bytes()
        assert content[:14] == b'{\n "digest": "'
        assert content[14:78].decode() == hashlib.sha256(content[78:]).hexdigest()
        read[name] = json.loads(content)
    found: dict[str, np.ndarray] = {}
    for shard in read["plan.json"]["shards"]:
        content = (folder / "shards" / f"{shard['name']}.safetensors").read_bytes()
        line = f"{hashlib.sha256(content).hexdigest()}  {shard['name']}.safetensors\n"
        assert (folder / "shards" / f"{shard['name']}.sha256").read_bytes() == line.encode()
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + length])
        about = json.loads(header.pop("__metadata__")["about"])
        assert set(about) >= ({"status", "reason", "recipe"} if shard["kind"] == "renderings" else set())
        for name, tensor in header.items():
            kind = {"F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "<u1"}[tensor["dtype"]]
            first, last = (8 + length + offset for offset in tensor["data_offsets"])
            found[f"{shard['kind']}.{name}"] = np.frombuffer(content[first:last], kind).reshape(tensor["shape"])
    assert sum(layer["units"] for layer in read["atlas.json"]["layers"]) == 8
    np.testing.assert_allclose(found["responses.responses"], RESPONSES, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found["map.positions"], POSITIONS, rtol=0, atol=1e-8)
    assert {name: value.dtype.str for name, value in found.items()} == {
        "responses.responses": "<f4",
        "responses.thumbnails": "|u1",
        "map.positions": "<f8",
        "map.neighbours": "<i4",
        "map.correlations": "<f8",
        "map.missing": "<i8",
        "renderings.images": "|u1",
        "renderings.scores": "<f4",
        "renderings.curves": "<f4",
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_no_path_of_a_machine_is_in_an_archive(version: int, tmp_path: Path) -> None:
    for path in unpacked(version, tmp_path).rglob("*"):
        if path.is_file():
            assert not re.search(rb"(?:/home|/tmp|/root|/work|/Users|[A-Z]:\\\\)", path.read_bytes())


def test_opening_an_atlas_loads_no_framework(tmp_path: Path) -> None:
    code = (
        "import sys, neuronatlas as na\n"
        "atlas = na.open(sys.argv[1])\n"
        "atlas.responses(); atlas.missing(); [atlas.get(shard) for shard in atlas.plan]\n"
        "print(sorted({'torch', 'tensorflow', 'keras', 'jax', 'onnx', 'ray'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(unpacked(VERSION, tmp_path))]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("how", ["mounted", "rights"])
def test_r17_an_atlas_that_was_moved_is_read_where_nothing_can_be_written(tmp_path: Path, how: str) -> None:
    first = unpacked(VERSION, tmp_path / "first")
    page_of(Atlas.open(first))
    for path in first.rglob("*"):
        if path.is_file():
            assert str(tmp_path).encode() not in path.read_bytes()
    with in_the_open() as place:
        shutil.move(first, place / "moved here ü")
        run_apart("moved", "read", place, how)
