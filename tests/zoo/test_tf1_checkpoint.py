"""Checkpoints that TensorFlow wrote are read without it, bit for bit, and damaged ones are refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.zoo import downloads
from torch.nn.functional import conv2d, max_pool2d, relu

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.zoo.crc32c import checksum, masked
from neuronatlas.zoo.sorted_table import Malformed, read_message
from neuronatlas.zoo.tf1_checkpoint import read


def slow_checksum(data: bytes) -> int:
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def copied(source: Path, folder: Path, name: str = "small") -> Path:
    for file in source.glob(f"{name}.*"):
        shutil.copy(file, folder)
    return folder / name


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 63, 64, 1000, 4097, 70_001])
def test_the_checksum_is_that_of_the_textbook(length: int, rng: np.random.Generator) -> None:
    data = rng.integers(0, 256, length, dtype=np.uint8)
    assert checksum(data) == checksum(data.tobytes()) == slow_checksum(data.tobytes())


def test_the_checksum_of_blocks_is_that_of_the_whole(rng: np.random.Generator) -> None:
    assert checksum(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    data = rng.integers(0, 256, (1 << 24) + 12_345, dtype=np.uint8)
    before = checksum(data)
    data[3] ^= 1
    assert checksum(data) != before
    data[3] ^= 1
    data[-1] ^= 128
    assert checksum(data) != before


def test_every_tensor_is_read_bit_for_bit(small: Path) -> None:
    found, wanted = read(small / "small"), np.load(small / "values.npz")
    assert set(found) == set(wanted)
    assert len(found) == 418
    assert found.left_out == ("text",)
    for name in wanted:
        assert found[name].dtype == wanted[name].dtype == found.dtypes[name]
        assert found[name].shape == wanted[name].shape == found.shapes[name]
        assert found[name].tobytes() == wanted[name].tobytes()
    assert not found["types/float32"].flags.writeable
    assert "types/float3" not in found
    with pytest.raises(UnknownName, match="no tensor 'types/float3': did you mean 'types/float32'"):
        _ = found["types/float3"]


def test_sliced_tensors_are_put_together(small: Path, tmp_path: Path) -> None:
    found, wanted = read(small / "small"), np.load(small / "values.npz")
    assert found.shapes["sliced/rows"] == (701, 3, 5)
    assert np.array_equal(found["sliced/rows"], wanted["sliced/rows"])
    assert np.array_equal(found["sliced/columns"], wanted["sliced/columns"])


def test_every_data_file_is_needed(small: Path, tmp_path: Path) -> None:
    prefix = copied(small, tmp_path, "sharded")
    assert sorted(path.name for path in tmp_path.glob("*.data*")) == [
        "sharded.data-00000-of-00002",
        "sharded.data-00001-of-00002",
    ]
    assert read(prefix)["scalar"] == -7
    assert np.array_equal(read(prefix)["types/int8"].ravel(), np.arange(14) * 6)
    (tmp_path / "sharded.data-00001-of-00002").unlink()
    with pytest.raises(WrongInput, match=r"its data file sharded\.data-00001-of-00002 is not there; all 2 are needed"):
        _ = read(prefix)["scalar"]


def test_no_flipped_bit_of_the_index_goes_unseen(small: Path, tmp_path: Path) -> None:
    prefix = copied(small, tmp_path, "sharded")
    index = tmp_path / "sharded.index"
    whole = index.read_bytes()
    refused = []
    for place in range(8 * len(whole)):
        broken = bytearray(whole)
        broken[place // 8] ^= 1 << (place % 8)
        index.write_bytes(broken)
        told = ""
        try:
            value = read(prefix)["scalar"]
        except WrongInput as error:
            told = str(error)
        if told:
            assert "sharded.index cannot be read" in told
            refused.append(place)
        else:
            assert value == -7
    assert set(range(8 * (len(whole) - 48))) <= set(refused)  # the footer has no checksum, and bytes without meaning


def test_no_flipped_bit_of_the_data_goes_unseen(small: Path, tmp_path: Path) -> None:
    prefix = copied(small, tmp_path)
    data = tmp_path / "small.data-00000-of-00001"
    whole = data.read_bytes()
    start = whole.index(np.load(small / "values.npz")["types/int64"].tobytes())
    for place in (0, 7, 55, 111):
        broken = bytearray(whole)
        broken[start + place] ^= 4
        data.write_bytes(broken)
        with pytest.raises(WrongInput, match="the checksum of 'types/int64' is wrong: the data file is damaged"):
            _ = read(prefix)["types/int64"]
        assert read(prefix)["scalar"] == -7


def test_truncated_files_are_refused(small: Path, tmp_path: Path) -> None:
    prefix = copied(small, tmp_path)
    data, index = tmp_path / "small.data-00000-of-00001", tmp_path / "small.index"
    whole = index.read_bytes()
    for length in (0, 1, 47, 48, 1000, len(whole) - 1):
        index.write_bytes(whole[:length])
        with pytest.raises(WrongInput, match=r"small\.index cannot be read: its last bytes are not those of a table"):
            read(prefix)
    index.write_bytes(whole)
    data.write_bytes(data.read_bytes()[:1000])
    found = read(prefix)
    with pytest.raises(
        WrongInput, match=r"has 1000 bytes, and 'many/of/them/\d+' lies at 984 to 1008: it is cut off, copy it again"
    ):
        _ = dict(found)
    data.write_bytes(b"")
    with pytest.raises(WrongInput, match="has 0 bytes"):
        _ = dict(read(prefix))


def test_what_is_no_checkpoint_of_this_format_is_refused(small: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match=r"there is no file none\.index: give the common beginning"):
        read(tmp_path / "none")
    with pytest.raises(WrongInput, match="a file of the first format, from before TensorFlow"):
        read(small / "old")
    with pytest.raises(Malformed, match="a number is not ended"):
        read_message(b"\x80" * 11)
    with pytest.raises(Malformed, match="said to lie beyond its end"):
        read_message(b"\x0a\xff\xff\xff\xff\x0f")


def table(rows: list[tuple[bytes, bytes]], kind: bytes = b"\0") -> bytes:
    """A table of one block, as LevelDB's document describes it."""

    def block(entries: list[tuple[bytes, bytes]]) -> bytes:
        body = b"".join(b"\0" + bytes([len(key), len(value)]) + key + value for key, value in entries)
        body += bytes(4) + (1).to_bytes(4, "little")
        return body + kind + masked(slow_checksum(body + kind)).to_bytes(4, "little")

    first = block(rows)
    second = block([(b"z", bytes([0, len(first) - 5]))])
    third = block([])
    places = [len(first) + len(second), len(third) - 5, len(first), len(second) - 5]
    footer = bytes(places).ljust(40, b"\0")
    return first + second + third + footer + (0xDB4775248B80FB57).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("header", "entry", "told"),
    [
        (b"\x08\x01\x10\x01", b"", "its numbers are big-endian"),
        (b"\x08\x00", b"", "it names 0 data files"),
        (b"\x0a\x01\x00", b"", "field 1 of a message is no number"),
        (b"\x08\x01", b"\x08\x01\x12\x04\x12\x02\x08\x03\x28\x10", r"shape \(3,\) that it has 16 bytes"),
        (b"\x08\x01", b"\x08\x01\x18\x05\x28\x04", "at 0 of data file 5"),
    ],
)
def test_hostile_entries_are_refused(header: bytes, entry: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "x.index").write_bytes(table([(b"", header), (b"a", entry)]))
    with pytest.raises(WrongInput, match=told):
        read(tmp_path / "x")


def test_compressed_blocks_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.index").write_bytes(table([(b"", b"\x08\x01")], kind=b"\1"))
    with pytest.raises(WrongInput, match="its block at byte 37 is compressed"):
        read(tmp_path / "x")


def test_a_public_checkpoint_of_2017_tells_digits() -> None:
    found = read(downloads.picasso_checkpoint())
    assert found.shapes == {
        "convolution2d_1_W": (3, 3, 32, 32),
        "convolution2d_1_b": (32,),
        "dense_1_W": (4608, 128),
        "dense_1_b": (128,),
        "images_W": (3, 3, 1, 32),
        "images_b": (32,),
        "logits_W": (128, 10),
        "logits_b": (10,),
    }
    weights = {name: torch.from_numpy(np.array(value)) for name, value in found.items()}
    rows = downloads.digits()
    x = torch.from_numpy(rows[:, :-1] / 255).view(-1, 1, 28, 28)
    with torch.no_grad():
        for name in ("images", "convolution2d_1"):
            x = relu(conv2d(x, weights[f"{name}_W"].permute(3, 2, 0, 1), weights[f"{name}_b"]))
        x = max_pool2d(x, 2).permute(0, 2, 3, 1).flatten(1)
        x = relu(x @ weights["dense_1_W"] + weights["dense_1_b"])
        answers = x @ weights["logits_W"] + weights["logits_b"]
    right = (answers.argmax(1).numpy() == rows[:, -1]).mean()
    assert len(rows) == 5000
    assert right > 0.98


def test_reading_needs_no_tensorflow(small: Path) -> None:
    code = (
        "import sys; from neuronatlas.zoo.tf1_checkpoint import read; dict(read(sys.argv[1])); "
        "sys.exit('tensorflow' in sys.modules or 'google.protobuf' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(small / "small")], check=False)
    assert done.returncode == 0
