"""Data sets: those of torch and of Hugging Face, asked as they are meant to be."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import IterableDataset, Subset, TensorDataset

from neuronatlas import stimuli
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.images.files import UnreadablePicture, centre_crop_resize, decode_picture
from neuronatlas.stimuli import workers
from neuronatlas.stimuli.decoding import drawn
from tests.stimuli.sets import Photographs
from tests.torchvision_here import load_torchvision

LABELS = ["animal", "animal", "thing", "thing"]


@pytest.fixture
def files(photographs: dict[str, bytes]) -> list[bytes]:
    return list(photographs.values())


def expected(files: list[bytes]) -> np.ndarray:
    return np.stack([centre_crop_resize(decode_picture(file, "").pixels, 16) for file in files])


def shown(found: stimuli.StimulusSet, apart: bool = False) -> np.ndarray:
    return np.concatenate(list(drawn(found, 16, batch=3, workers=1 if apart else 2, apart=apart)))


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("pillow", LABELS),
        ("array", list("0011")),
        ("tensor", LABELS),
        ("floats", LABELS),
        ("dict", LABELS),
        ("alone", [""] * 4),
        ("boxes", [""] * 4),
    ],
)
def test_a_data_set_of_torch_whatever_its_items_are(kind: str, labels: list[str], files: list[bytes]) -> None:
    told: list[int] = []
    held = Photographs(files, kind)
    found = stimuli.dataset(held, progress=lambda done, total: told.append(done))
    assert [(item.name, item.label) for item in found] == list(zip("0123", labels, strict=True))
    assert np.array_equal(shown(found), expected(files))
    assert told == [1, 2, 3, 4]
    assert held.most == 1  # never two threads at once


def test_a_data_set_of_torch_goes_to_other_processes(files: list[bytes]) -> None:
    found = stimuli.dataset(Photographs(files))
    assert np.array_equal(shown(found, apart=True), expected(files))
    assert np.array_equal(pickle.loads(pickle.dumps(found.items[1])).draw(16), expected(files)[1])


def test_a_subset_a_tensor_set_and_a_list_are_data_sets(files: list[bytes]) -> None:
    found = stimuli.dataset(Subset(Photographs(files), [3, 0]))
    assert [item.label for item in found] == ["thing", "animal"]
    squares = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    found = stimuli.dataset(TensorDataset(squares, torch.arange(5)))
    assert [item.label for item in found] == list("01234")
    assert np.array_equal(shown(found), squares.permute(0, 2, 3, 1).numpy())
    found = stimuli.dataset([(Image.open(io.BytesIO(file)), "cat") for file in files])
    assert [item.label for item in found] == ["cat"] * 4


def test_torchvision_names_its_classes(tmp_path: Path, photographs: dict[str, bytes]) -> None:
    for name, content in photographs.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    found = stimuli.dataset(load_torchvision().datasets.ImageFolder(tmp_path))
    assert [item.label for item in found] == ["animals", "animals", "things", "things"]
    assert np.array_equal(shown(found), shown(stimuli.folder(tmp_path)))


def test_d1_items_that_fail_are_left_out_and_told(files: list[bytes]) -> None:
    found = stimuli.dataset(Photographs(files, odd="raises"))
    assert [item.name for item in found] == ["0", "2", "3"]
    assert found.skipped == (("1", "KeyError: 'no such photograph'"),)
    with pytest.raises(
        WrongInput, match=r"holds no picture.*4 files could not be read.*from -1 to .*: give 0..1, before any norm"
    ):
        stimuli.dataset(Photographs(files, "normalised"))
    with pytest.raises(WrongInput, match="it is a str: give uint8"):
        stimuli.dataset(Photographs(files, "words"))


def test_d14_a_data_set_that_is_random_is_refused(files: list[bytes]) -> None:
    found = stimuli.dataset(Photographs(files, "array", odd="random"))
    with pytest.raises(WrongInput, match=r"item 0 of a Photographs' has changed .* without random transforms"):
        found.items[0].draw(16)


def test_r15_an_item_that_blocks_for_ever_is_named(files: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuronatlas.stimuli.listing.SECONDS", 0.4)
    assert workers.SECONDS > 10
    with pytest.raises(UnreadablePicture, match=r"picture '2': it was not read and decoded within 0\.4 seconds"):
        stimuli.dataset(Photographs(files, odd="hangs"))
    held = Photographs(files)
    found = stimuli.dataset(held)
    held.odd = "hangs"
    with pytest.raises(UnreadablePicture, match=r"picture '2': it was not read and decoded within 0\.5 seconds"):
        list(drawn(found, 16, batch=4, workers=2, seconds=0.5))


class Endless(IterableDataset[int]):
    """It can only be gone through."""

    def __iter__(self) -> Iterator[int]:
        yield from range(10)


def test_what_can_only_be_gone_through_is_refused() -> None:
    hugging = datasets.Dataset.from_dict({"image": [1]})
    for wrong in (Endless(), hugging.to_iterable_dataset(), iter([]), {"a": 1}, "folder"):
        with pytest.raises(WrongInput, match=r"cannot be asked for by number: .*list\(itertools\.islice"):
            stimuli.dataset(wrong)
    with pytest.raises(WrongInput, match="DatasetDict: give one of its splits, 'train', 'test'"):
        stimuli.dataset(datasets.DatasetDict(train=hugging, test=hugging))


def test_d16_a_data_set_of_one_item_or_none(files: list[bytes]) -> None:
    assert len(stimuli.dataset(Photographs(files[:1]))) == 1
    with pytest.raises(WrongInput, match=r"a Photographs.* holds no picture"):
        stimuli.dataset(Photographs([]))


def hugging_face(files: list[bytes], **more: list[object]) -> datasets.Dataset:
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["animal", "thing"])}
    columns = {"image": [{"bytes": file, "path": None} for file in files], "label": [0, 0, 1, 1][: len(files)]}
    features = datasets.Features(kinds | {name: datasets.Value("string") for name in more})
    return datasets.Dataset.from_dict(columns | more, features=features)


@pytest.fixture
def saved(tmp_path: Path, files: list[bytes]) -> Path:
    datasets.disable_progress_bars()
    hugging_face(files).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


def test_a_data_set_of_hugging_face_that_was_saved(saved: Path, photographs: dict[str, bytes]) -> None:
    files = list(photographs.values())
    for found in (stimuli.find(f"hf:{saved}"), stimuli.find(saved), stimuli.dataset(datasets.load_from_disk(saved))):
        assert [(item.name, item.label) for item in found] == list(zip("0123", LABELS, strict=True))
        assert np.array_equal(shown(found), expected(files))
        assert len(pickle.dumps(found.items[0])) < 10_000
    assert np.array_equal(shown(stimuli.find(saved), apart=True), expected(files))


def test_d13_a_picture_is_itself_wherever_it_lies(saved: Path, tmp_path: Path, photographs: dict[str, bytes]) -> None:
    for name, content in photographs.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    both = stimuli.find(saved) + stimuli.find(tmp_path / "folder")
    assert both.codes.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


def test_formats_selections_and_shards_of_hugging_face(files: list[bytes]) -> None:
    ds = hugging_face(files)
    for other in (ds.with_format("torch"), datasets.concatenate_datasets([ds.select([0]), ds.select([1, 2, 3])])):
        found = stimuli.dataset(other)
        assert [item.label for item in found] == LABELS
    assert np.array_equal(shown(stimuli.dataset(ds.select([2, 0]))), expected([files[2], files[0]]))
    with pytest.raises(WrongInput, match=r"has a transform: give images\.with_format\(None\)"):
        stimuli.dataset(ds.with_transform(lambda rows: rows))


def test_columns_of_hugging_face(files: list[bytes]) -> None:
    ds = hugging_face(files, word=["a", "b", "c", "d"])
    assert [item.label for item in stimuli.dataset(ds, label="word")] == list("abcd")
    with pytest.raises(UnknownName, match="no column 'wrod': did you mean 'word'"):
        stimuli.dataset(ds, label="wrod")
    two = datasets.concatenate_datasets(
        [ds, hugging_face(files).select_columns("image").rename_column("image", "second")], axis=1
    )
    with pytest.raises(WrongInput, match="image could be any of the columns image, second: say which"):
        stimuli.dataset(two)
    assert len(stimuli.dataset(two, image="second")) == 4
    with pytest.raises(WrongInput, match="no column of the kind Image, but label: ClassLabel, word: Value"):
        stimuli.dataset(ds.remove_columns("image"))


def test_a_file_of_which_a_data_set_has_the_path_is_read_for_its_owner_alone(
    tmp_path: Path, files: list[bytes]
) -> None:
    (tmp_path / "cat.jpg").write_bytes(files[0])
    cells = [{"bytes": files[1], "path": None}, {"bytes": None, "path": str(tmp_path / "cat.jpg")}, None]
    cells.append({"bytes": None, "path": "https://example.org/cat.jpg"})
    ds = datasets.Dataset.from_dict(
        {"image": cells}, features=datasets.Features({"image": datasets.Image(decode=False)})
    )
    found = stimuli.dataset(ds)
    assert [item.name for item in found] == ["0", "1"]
    assert dict(found.skipped)["2"] == "it is empty"
    assert "'https://example.org/cat.jpg', which is not read" in dict(found.skipped)["3"]
    datasets.disable_progress_bars()
    columns = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    plain = datasets.Dataset.from_dict({"image": cells[:2]}, features=datasets.Features({"image": columns}))
    plain.save_to_disk(tmp_path / "saved")
    described = json.loads((tmp_path / "saved/dataset_info.json").read_text())
    (tmp_path / "saved/dataset_info.json").write_text(
        json.dumps(described | {"features": {"image": {"_type": "Image"}}})
    )
    table = stimuli.find(tmp_path / "saved")
    assert [item.name for item in table] == ["0"]
    assert "lies outside of the data set" in dict(table.skipped)["1"]
