"""What units see of their best and worst stimuli, in an atlas."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import neuronatlas as na
from neuronatlas import stimuli
from neuronatlas.atlas import Atlas, Plan
from neuronatlas.building import Job, cropping, estimate, perform, prepare, settling, tasks
from neuronatlas.cli.build import ORDER, _order
from neuronatlas.executors.local import Processes
from neuronatlas.networks import Network, as_network
from neuronatlas.view.records import unit_record
from neuronatlas.view.scene import scene_of
from tests.building import tiny

DOTS = {1: (5, 9), 2: (22, 4), 3: (16, 27), 4: (30, 30), 5: (11, 17), 6: (2, 21)}
"""By the number of a picture the row and column of its one bright dot; the higher the number, the brighter."""


def detectors() -> Network:
    """How bright each pixel is, and how dark; the most of each 5 x 5 pixels; that as large as the picture; a sum of all."""
    bright = torch.nn.Conv2d(3, 2, 1)
    wide = torch.nn.Conv2d(2, 1, 32, padding=16)
    with torch.no_grad():
        for weight in (*bright.parameters(), *wide.parameters()):
            weight.fill_(0.01)
        bright.weight[0], bright.weight[1] = 1, -1
    pooled = torch.nn.Sequential(bright, torch.nn.MaxPool2d(5, 2, 2), torch.nn.Upsample(32), wide)
    return as_network(pooled, input_size=32, normalise="0..1", name="detectors")


@pytest.fixture(scope="module")
def dotted(tmp_path_factory: pytest.TempPathFactory) -> stimuli.StimulusSet:
    """A grey picture, then one for each of `DOTS`, and a last one that is darker."""
    folder = tmp_path_factory.mktemp("dots")
    for number in range(8):
        pixels = np.full((32, 32, 3), 40 if number < 7 else 20, np.uint8)
        if number in DOTS:
            pixels[DOTS[number]] = 130 + 20 * number
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return stimuli.folder(folder)


@pytest.fixture(scope="module")
def found(dotted: stimuli.StimulusSet, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    job = prepare(detectors, dotted, preset="fast")
    return perform(job, tmp_path_factory.mktemp("found") / "atlas")


def test_the_crop_of_a_detector_holds_what_it_detects(found: Atlas) -> None:
    (shard,) = (each for each in found.plan.of("crops") if each.layer == 1)
    tensors, _ = found.get(shard)
    assert tensors["stimuli"][0, 0, 0] == 6
    assert set(tensors["stimuli"][0, 0].tolist()) <= set(DOTS)
    for rank, number in enumerate(tensors["stimuli"][0, 0].tolist()):
        row, column = DOTS[number]
        top, left, bottom, right = tensors["boxes"][0, 0, rank].tolist()
        assert top <= row < bottom
        assert left <= column < right
        assert max(bottom - top, right - left) <= 5
        crop = tensors["crops"][0, 0, rank].astype(int)
        assert crop.max() > 120 + 20 * number
        brightest = np.argwhere(crop[:, :, 0] == crop.max()).mean(0)
        pixel = 48 / max(bottom - top, right - left)
        margin = (48 - pixel * np.array([bottom - top, right - left])) / 2
        expected = margin + pixel * (np.array([row - top, column - left]) + 0.5) - 0.5
        np.testing.assert_allclose(brightest, expected, atol=pixel / 2)


def test_of_the_worst_it_is_where_the_unit_answers_least(found: Atlas) -> None:
    (shard,) = (each for each in found.plan.of("crops") if each.layer == 0)
    tensors, _ = found.get(shard)
    assert tensors["stimuli"][1, 1].tolist() == [6, 5, 4, 3]
    boxes = [[row, column, row + 1, column + 1] for row, column in (DOTS[number] for number in (6, 5, 4, 3))]
    assert tensors["boxes"][1, 1].tolist() == boxes
    assert (tensors["crops"][1, 1] == np.array([250, 230, 210, 190])[:, None, None, None]).all()


def test_where_no_place_stands_out_there_is_none(found: Atlas) -> None:
    (shard,) = (each for each in found.plan.of("crops") if each.layer == 0)
    tensors, _ = found.get(shard)
    assert tensors["stimuli"][0, 1].tolist() == [-1, -1, -1, -1]  # of 7 and 0 all is alike, of the others nearly all
    assert (tensors["boxes"][0, 1] == -1).all()
    assert (tensors["crops"][0, 1] == 128).all()
    assert {shard.layer for shard in found.plan.of("crops")} == {0, 1, 2}  # the last sees the whole picture


def test_the_place_of_the_most() -> None:
    values = np.zeros((3, 4), np.float32)
    assert cropping.most(values) is None
    values[1, 2] = values[2, 0] = 1
    assert cropping.most(values) == (1, 2)
    values[:2] = 1
    assert cropping.most(values) is None
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert cropping.most(values) == (1, 2)
    values[0, 0] = np.nan
    assert cropping.most(values) is None


def test_a_box_at_an_edge_keeps_its_proportions() -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:4] = 200
    crop = cropping.cropped(picture, (0, 10, 4, 18))
    assert crop.shape == (48, 48, 3)
    assert (crop[12:36] == 200).all()
    assert (crop[:12] == 128).all()
    assert (crop[36:] == 128).all()


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> stimuli.StimulusSet:
    return stimuli.folder(tiny.pictures(tmp_path_factory.mktemp("photographs"), 70))


def job_of(shown: stimuli.StimulusSet, **choices: object) -> Job:
    return prepare(tiny.network, shown, layers=["0", "3", "4"], units=3, **choices)  # type: ignore[arg-type]


def test_they_are_those_of_the_card_and_the_same_bytes_whoever_makes_them(
    photographs: stimuli.StimulusSet, tmp_path: Path
) -> None:
    job = job_of(photographs)
    told: list[tuple[str, int, int]] = []
    atlas = perform(job, tmp_path / "one", progress=lambda *words: told.append(words))
    assert [words for words in told if words[0] == "crops"] == [("crops", done, 9) for done in (0, 3, 6, 9)]
    before = tiny.digest(atlas.folder)
    lost = atlas.plan.of("crops")[1]
    (atlas.folder / "shards" / f"{lost.name}.safetensors").unlink()
    told.clear()
    perform(job, atlas.folder, progress=lambda *words: told.append(words))
    assert told == [("crops", 0, 3), ("crops", 3, 3)]
    assert tiny.digest(atlas.folder) == before
    perform(job, tmp_path / "two", executor=Processes(2))
    assert tiny.digest(tmp_path / "two") == before
    scene = scene_of(atlas)
    table = na.record(job.network, photographs, layers=["0", "3", "4"]).values
    assert set(scene.crops) <= {*range(52)}
    assert len(scene.crops) > 4
    for unit, (best, worst) in scene.crops.items():
        for crops, values in ((best, -table[:, unit]), (worst, table[:, unit])):
            order = [int(number) for number in np.argsort(values, kind="stable")[:4]]
            assert [crop.stimulus for crop in crops] == [n for n in order if n in {crop.stimulus for crop in crops}]
        said = unit_record(scene, unit)["best"]
        boxes = {scene.stimuli[crop.stimulus].name: list(crop.box) for crop in best}
        assert [answer["box"] for answer in said] == [boxes.get(answer["stimulus"]) for answer in said]


def test_without_them_all_is_as_before(photographs: stimuli.StimulusSet, tmp_path: Path) -> None:
    job, other = job_of(photographs, crops=False), job_of(photographs)
    assert "crops" not in job.manifest.settings
    assert other.manifest.settings["crops"] == 4
    assert job.plan == Plan(tuple(shard for shard in other.plan if shard.kind != "crops"))
    assert [shard.name for shard in other.plan.of("crops")] == [f"crops-00{layer}-0000" for layer in range(3)]
    assert not job.plan.same_work(other.plan)
    scene = scene_of(perform(job, tmp_path / "atlas"))
    assert not scene.crops
    assert all(answer["box"] is None for answer in unit_record(scene, 0)["best"])


def test_the_estimate_knows_them(photographs: stimuli.StimulusSet) -> None:
    job = job_of(photographs)
    assert cropping.cost(job) == (32 + 32 + 3 * min(70, 24), 9 * 8 * (48 * 48 * 3 + 20))
    assert cropping.cost(job_of(photographs, crops=False)) == (0, 0)
    assert estimate(job).bytes - estimate(job_of(photographs, crops=False)).bytes == cropping.cost(job)[1]


def test_with_statistics_they_are_of_the_stimuli_that_are_shown(
    photographs: stimuli.StimulusSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "_STRETCH", 64)
    monkeypatch.setattr(tasks, "SHOWN", 10)
    atlas = perform(job_of(photographs, statistics=True), tmp_path / "atlas")
    scene = scene_of(atlas)
    shown = {photographs.items[number].name for number in settling.spread(70, 10)}
    assert {item.name for item in scene.stimuli} == shown
    tensors, _ = atlas.get(atlas.plan.of("crops")[0])
    assert set(tensors["stimuli"].ravel().tolist()) - {-1} <= set(settling.spread(70, 10))
    best = [crop.stimulus for crop in scene.crops[0][0]]
    assert best == np.argsort(-scene.responses[:, 0], kind="stable")[:4].tolist()


def test_shares_leave_them_to_the_last(photographs: stimuli.StimulusSet, tmp_path: Path) -> None:
    job = job_of(photographs)
    atlas = perform(job, tmp_path / "atlas", share=(1, 2))
    assert not any(atlas.has(shard) for shard in atlas.plan.of("crops"))
    assert perform(job, tmp_path / "atlas", share=(2, 2)).missing() == []


def test_a_crop_that_cannot_be_made_is_told(
    photographs: stimuli.StimulusSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        message = "stimulus 7 is gone"
        raise na.errors.WrongInput(message)

    job = job_of(photographs)
    with monkeypatch.context() as patch:
        patch.setattr(cropping, "pixels", broken)
        with pytest.raises(na.errors.Unfinished, match=r"crops-000-0000: stimulus 7 is gone"):
            perform(job, tmp_path / "atlas")
    assert perform(job, tmp_path / "atlas").missing() == []


def test_an_order_of_before_has_none(found: Atlas, tmp_path: Path) -> None:
    words = {"network": "n", "channel_order": "rgb", "images": "i", "preset": "fast", "correlation": "spearman"}
    words |= {"normalise": None, "input_size": None, "layers": ["*"], "units": None, "seed": 0}  # type: ignore[dict-item]
    Atlas.create(tmp_path / "atlas", found.manifest, found.plan)
    (tmp_path / "atlas" / ORDER).write_text(json.dumps(words), encoding="utf-8")
    assert _order(tmp_path / "atlas")["crops"] is False
