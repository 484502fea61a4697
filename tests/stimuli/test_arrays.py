"""Arrays: each row is a picture, and no more is read than is looked at."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from numcodecs import Pickle

from neuronatlas import stimuli
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.images.files import centre_crop_resize
from neuronatlas.stimuli.decoding import drawn


@pytest.fixture
def pictures(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (7, 10, 12, 3), np.uint8)


def expected(pictures: np.ndarray) -> np.ndarray:
    return np.stack([centre_crop_resize(picture, 8) for picture in pictures])


def shown(found: stimuli.StimulusSet) -> np.ndarray:
    return np.concatenate(list(drawn(found, 8, batch=4, workers=2)))


def stored(kind: str, folder: Path, pictures: np.ndarray) -> object:
    """The same pictures in every way in which arrays lie about."""
    path = folder / f"x.{kind}"
    if kind == "memory":
        return pictures
    if kind in ("npy", "mapped"):
        np.save(folder / "x.npy", pictures)
        return folder / "x.npy" if kind == "npy" else np.load(folder / "x.npy", mmap_mode="r")
    if kind in ("npz", "compressed.npz"):
        (np.savez if kind == "npz" else np.savez_compressed)(path, pictures=pictures, labels=np.arange(7))
        return path
    if kind.startswith("zarr"):
        version = 2 if kind == "zarr2" else 3
        more = {"shards": (4, 10, 12, 3)} if kind == "zarr-shards" else {}
        made = zarr.create_array(
            folder / "x.zarr", shape=pictures.shape, chunks=(2, 5, 12, 3), dtype="uint8", zarr_format=version, **more
        )
        made[:] = pictures
        return made if kind == "zarr-object" else folder / "x.zarr"
    group = zarr.open_group(folder / "x.zarr", mode="w")
    group.create_array("labels", data=np.arange(7))
    group.create_array("deep/pictures" if kind == "deep" else "pictures", data=pictures)
    return group if kind == "group-object" else folder / "x.zarr"


ALL = "memory npy mapped npz compressed.npz zarr2 zarr3 zarr-shards zarr-object group group-object".split()


@pytest.mark.parametrize("kind", ALL)
def test_all_kinds_of_arrays_show_the_same(kind: str, tmp_path: Path, pictures: np.ndarray) -> None:
    found = stimuli.array(stored(kind, tmp_path, pictures))
    assert np.array_equal(shown(found), expected(pictures))
    in_memory = stimuli.array(pictures)
    assert [item.identity for item in found] == [item.identity for item in in_memory]
    named = kind in ("memory", "mapped") or kind.endswith("object")
    assert [item.name for item in found] == [
        str(n) if named else f"{'x.compressed' if 'c' in kind else 'x'}/{n}" for n in range(7)
    ]


@pytest.mark.parametrize("kind", ALL)
def test_all_kinds_can_be_sent_to_another_process_and_but_a_row_of_what_lies_in_memory(
    kind: str, tmp_path: Path, pictures: np.ndarray
) -> None:
    found = stimuli.array(stored(kind, tmp_path, pictures))
    sent = [pickle.dumps(item) for item in found]
    assert max(map(len, sent)) < 2000
    again = [pickle.loads(each) for each in sent]
    assert np.array_equal(np.stack([item.draw(8) for item in again]), expected(pictures))


def test_a_zarr_array_is_decoded_in_other_processes(tmp_path: Path, pictures: np.ndarray) -> None:
    found = stimuli.array(stored("zarr3", tmp_path, pictures))
    assert np.array_equal(np.concatenate(list(drawn(found, 8, batch=4, workers=2, apart=True))), expected(pictures))


def test_floats_channels_first_and_greys_are_what_they_stand_for(pictures: np.ndarray) -> None:
    floats = (pictures / 255).astype(np.float32)
    for other in (floats, floats.astype(np.float16), pictures.transpose(0, 3, 1, 2), np.asfortranarray(pictures)):
        assert np.array_equal(shown(stimuli.array(other)), expected(pictures))
    grey = np.repeat(pictures[..., :1], 3, axis=3)
    for other in (pictures[..., 0], pictures[..., :1], pictures[:, None, :, :, 0]):
        assert np.array_equal(shown(stimuli.array(other)), expected(grey))


def test_labels_and_names(tmp_path: Path, pictures: np.ndarray) -> None:
    found = stimuli.array(pictures, labels=[0, "cat", *np.arange(5)], names=list("abcdefg"))
    assert [(item.name, item.label) for item in found][:3] == [("a", "0"), ("b", "cat"), ("c", "0")]
    for kind in ("npz", "compressed.npz", "group"):
        found = stimuli.array(stored(kind, tmp_path, pictures), labels="labels", member="pictures")
        assert [item.label for item in found] == list("0123456")
    with pytest.raises(WrongInput, match=r"labels are 2, and images .* holds 7 pictures"):
        stimuli.array(pictures, labels=["a", "b"])
    with pytest.raises(WrongInput, match="names are 2"):
        stimuli.array(pictures, names=["a", "b"])
    with pytest.raises(WrongInput, match="7 stimuli named 'a'"):
        stimuli.array(pictures, names=["a"] * 7)


def test_a_member_is_chosen_by_name_or_because_it_is_the_only_one(tmp_path: Path, pictures: np.ndarray) -> None:
    np.savez(tmp_path / "x.npz", train=pictures, test=pictures[:2])
    assert len(stimuli.array(tmp_path / "x.npz", member="test")) == 2
    with pytest.raises(
        WrongInput, match=r"holds 2 arrays of pictures: say which with member; there are train \(7, 10, "
    ):
        stimuli.array(tmp_path / "x.npz")
    with pytest.raises(UnknownName, match="no array 'tst': did you mean 'test'"):
        stimuli.array(tmp_path / "x.npz", member="tst")
    assert len(stimuli.array(stored("deep", tmp_path, pictures), member="deep/pictures")) == 7


@pytest.mark.parametrize("kind", ["npy", "npz", "zarr3", "mapped", "memory"])
def test_d14_an_array_that_changed_after_the_listing_is_refused(
    kind: str, tmp_path: Path, pictures: np.ndarray
) -> None:
    found = stimuli.array(stored(kind, tmp_path, pictures))
    pictures[5] = 255 - pictures[5]
    if kind != "memory":
        for path in tmp_path.glob("x.*"):
            if path.is_dir():
                zarr.open(path, mode="r+")[:] = pictures
            else:
                (np.save if kind != "npz" else np.savez)(
                    path, **({"pictures": pictures} if kind == "npz" else {"arr": pictures})
                )
    found = pickle.loads(pickle.dumps(found)) if kind != "memory" else found
    found.items[4].draw(8)
    with pytest.raises(WrongInput, match=r"'(x/)?5' has changed"):
        found.items[5].draw(8)


def test_d14_a_file_that_was_cut_is_refused_and_does_not_end_the_program(tmp_path: Path, pictures: np.ndarray) -> None:
    found = stimuli.array(stored("npy", tmp_path, pictures))
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:1000])
    with pytest.raises(WrongInput, match=r"x\.npy.* ends before row 5 does"):
        found.items[5].draw(8)
    with pytest.raises(WrongInput, match=r"cannot be read as a \.npy file"):
        stimuli.array(tmp_path / "x.npy")


def test_d13_equal_rows_have_equal_codes(pictures: np.ndarray) -> None:
    pictures[4] = pictures[1]
    assert stimuli.array(pictures).codes.tolist() == [0, 1, 2, 3, 1, 5, 6]
    flat = pictures[:1].reshape(1, 12, 10, 3)  # the same bytes in another shape
    assert stimuli.array(flat).items[0].identity != stimuli.array(pictures[:1]).items[0].identity


def test_d16_one_picture_or_none(tmp_path: Path, pictures: np.ndarray) -> None:
    assert len(stimuli.array(pictures[:1])) == 1
    with pytest.raises(WrongInput, match="holds no picture"):
        stimuli.array(pictures[:0])
    np.save(tmp_path / "none.npy", pictures[:0])
    with pytest.raises(WrongInput, match=r"none.npy"):
        stimuli.array(tmp_path / "none.npy")


def test_numbers_that_are_no_colours_are_left_out_or_refused(pictures: np.ndarray) -> None:
    floats = pictures / 255
    floats[2, 3, 4, 1] = np.nan
    floats[3] -= 2
    found = stimuli.array(floats)
    assert len(found) == 5
    assert found.skipped[0] == (
        "2",
        "it holds numbers from nan to nan: give 0..1, before any normalisation for a network, or uint8",
    )
    assert "from -2 to" in found.skipped[1][1]
    for wrong in (
        pictures.astype(np.int64),
        pictures[0],
        pictures[..., :2],
        pictures[0, 0, 0],
        np.zeros((2, 8, 8, 4), np.uint8),
    ):
        with pytest.raises(WrongInput, match=r"has the shape .* and holds .*: for each of n pictures, give uint8"):
            stimuli.array(wrong)
    with pytest.raises(WrongInput, match=r"a dict.* is no array"):
        stimuli.array({})


def test_d17_arrays_of_objects_are_refused_before_anything_in_them_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "was-run"
    trap = np.array([Trap(mark)], object)
    np.save(tmp_path / "x.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "x.npz", pictures=trap)
    np.savez_compressed(tmp_path / "y.npz", pictures=trap)
    for name, member in (("x.npy", None), ("x.npz", "pictures"), ("y.npz", "pictures")):
        with pytest.raises(WrongInput, match=r"[Oo]bject"):
            stimuli.array(tmp_path / name, member=member)
    zarr.create_array(tmp_path / "z", shape=(2, 4, 4, 3), chunks=(1, 4, 4, 3), dtype="uint8", zarr_format=2)
    described = json.loads((tmp_path / "z/.zarray").read_text())
    (tmp_path / "z/.zarray").write_text(json.dumps(described | {"compressor": {"id": "pickle", "protocol": 5}}))
    (tmp_path / "z/0.0.0.0").write_bytes(Pickle().encode(trap))
    with pytest.raises(WrongInput, match="pickle"):
        stimuli.array(tmp_path / "z")
    (tmp_path / "z/.zarray").write_text(json.dumps(described | {"filters": [{"id": "base64"}]}))
    with pytest.raises(WrongInput, match="packed with 'base64', which is not known to be safe"):
        stimuli.array(tmp_path / "z")
    assert not mark.exists()
    assert pickle.loads(pickle.dumps(trap)) is not None
    assert mark.exists()  # the trap does catch


class Trap:
    """Something that makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_no_more_of_a_large_file_is_read_than_is_looked_at(tmp_path: Path) -> None:
    size = 1000 * 512 * 512 * 3  # most of it a hole, so that it takes no room
    np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (1000, 512, 512, 3)).flush()
    assert (tmp_path / "x.npy").stat().st_size > size
    code = (
        "import resource, sys; from neuronatlas import stimuli; from neuronatlas.stimuli.rows import of_npy; from pathlib import Path\n"
        "rows = of_npy(Path(sys.argv[1])); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert rows.reader(999)().sum() == 0\n"
        "stimuli.array(sys.argv[1])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.npy")], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) * 1024 < size / 4


def test_a_tensor_is_an_array(pictures: np.ndarray) -> None:
    import torch

    assert np.array_equal(shown(stimuli.array(torch.from_numpy(pictures))), expected(pictures))
    gradient = torch.from_numpy(pictures / 255).permute(0, 3, 1, 2).requires_grad_()
    assert np.array_equal(shown(stimuli.array(gradient)), expected(pictures))
