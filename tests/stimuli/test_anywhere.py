"""One word for pictures wherever they lie."""

from __future__ import annotations

import importlib
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import zarr

from neuronatlas import stimuli
from neuronatlas.errors import UnknownName, WrongInput
from tests.stimuli.test_archives import shards, tarred, zipped


def _keep(told: list[int], done: int, total: int) -> None:
    told.append(done)


def test_what_lies_there_decides(tmp_path: Path, photographs: dict[str, bytes], rng: np.random.Generator) -> None:
    for name, content in photographs.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    shards(tmp_path, photographs)
    pictures = rng.integers(0, 256, (3, 8, 8, 3), np.uint8)
    np.save(tmp_path / "x.npy", pictures)
    np.savez(tmp_path / "x.npz", train=pictures, test=pictures[:2])
    zarr.create_array(tmp_path / "x.zarr", data=pictures)
    zarr.open_group(tmp_path / "group.zarr", mode="w").create_array("pictures", data=pictures[:2])
    tarred(tmp_path / "x.tar", photographs)
    zipped(tmp_path / "odd {name} [1].zip", photographs)
    for text, count in (
        ("folder", 4),
        ("x.tar", 4),
        ("odd {name} [1].zip", 4),
        ("shard-{000000..000001}.tar", 5),
        ("shard-*1.tar", 3),
        ("x.npy", 3),
        ("x.npz:test", 2),
        ("x.zarr", 3),
        ("group.zarr", 2),
        ("group.zarr/pictures", 2),
    ):
        told: list[int] = []
        found = stimuli.find(str(tmp_path / text), progress=partial(_keep, told))
        assert len(found) == count
        assert told == list(range(1, count + 1))
        assert found.items[-1].draw(8).shape == (8, 8, 3)
    assert stimuli.find(tmp_path / "folder").digest == stimuli.find(tmp_path / "x.tar").digest
    with pytest.raises(UnknownName, match=r"no array 'tset': did you mean 'test'"):
        stimuli.find(f"{tmp_path}/x.npz:tset")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere", r"images \(='nowhere'\): there is nothing; give a folder of pictures, a \.tar or \.zip file"),
        ("nowhere.npz:a", "there is nothing"),
        ("nowhere-*.tar", "names no file"),
        ("https://example.org/photographs.tar", "nothing is fetched from a network"),
        ("hf:imagenet-1k", r"'imagenet-1k' is no folder that save_to_disk of a data set wrote"),
        ("hf:s3://bucket/set", "is no folder that save_to_disk"),
    ],
)
def test_what_lies_nowhere_is_refused_with_what_can_be_given(text: str, message: str) -> None:
    with pytest.raises(WrongInput, match=message):
        stimuli.find(text)


def test_damaged_folders_of_other_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text("{")
    with pytest.raises(WrongInput, match="cannot be read as a Zarr folder"):
        stimuli.find(tmp_path)
    (tmp_path / "zarr.json").unlink()
    for name in ("state.json", "dataset_info.json"):
        (tmp_path / name).write_text("{")
    with pytest.raises(WrongInput, match="cannot be read as a saved data set of Hugging Face"):
        stimuli.find(tmp_path)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    (tmp_path / "train").mkdir()
    with pytest.raises(WrongInput, match="holds several splits: give the folder of one, train"):
        stimuli.find(f"hf:{tmp_path}")


def test_a_folder_with_too_many_bad_pictures_is_refused(tmp_path: Path, photographs: dict[str, bytes]) -> None:
    (tmp_path / "good.jpg").write_bytes(photographs["animals/cat.jpg"])
    for number in range(3):
        (tmp_path / f"{number}.png").write_text("no picture")
    with pytest.raises(WrongInput, match=r"3 of 4 pictures could not be read.*first is '0\.png'"):
        stimuli.find(tmp_path)
    assert len(stimuli.find(tmp_path, at_most=0.75)) == 1


def test_the_extras_are_asked_for_by_name_where_they_are_missing(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "x.zarr", data=np.zeros((2, 4, 4, 3), np.uint8))
    for name in ("state.json", "dataset_info.json"):
        (tmp_path / name).touch()
    code = (
        "import sys; sys.modules['zarr'] = sys.modules['datasets'] = None\n"
        "from neuronatlas import stimuli\n"
        "assert 'torch' not in sys.modules\n"
        "for path in sys.argv[1:]:\n"
        "    try: stimuli.find(path)\n"
        "    except ValueError as error: print(error)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "x.zarr"), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.count("pip install 'neuronatlas[datasets]'") == 2


def test_every_public_name_is_there() -> None:
    package = importlib.import_module("neuronatlas.stimuli")
    assert package.__all__ == sorted(package.__all__)
    assert all(hasattr(package, name) for name in package.__all__)
