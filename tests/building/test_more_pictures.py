"""Pictures of what lowers units, and several of one unit that are unlike each other, in an atlas."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import neuronatlas as na
from neuronatlas import stimuli
from neuronatlas.atlas import Atlas
from neuronatlas.building import Job, estimate, perform, prepare
from neuronatlas.cli.build import ORDER, _order
from neuronatlas.errors import WrongInput
from neuronatlas.executors.local import Processes
from neuronatlas.view.scene import scene_of
from tests.building import tiny
from tests.building.test_building import Rounds

BOTH = ("negatives", "diversity")
COUNT = 3


def asked(**choices: object) -> Job:
    """A build of the linear layers of the tiny network, two units of each."""
    shown = stimuli.StimulusSet(stimuli.photographs().items[:12])
    return prepare(tiny.network, shown, layers=["0", "3"], **{"units": 2, "crops": False, **choices})


@pytest.fixture(scope="module")
def job() -> Job:
    return asked(negative=True, diverse=COUNT)


@pytest.fixture(scope="module")
def atlas(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    told: list[tuple[str, int, int]] = []
    made = perform(job, tmp_path_factory.mktemp("whole") / "a.atlas", progress=lambda *line: told.append(line))
    for kind in BOTH:
        assert [line for line in told if line[0] == kind] == [(kind, 0, 4), (kind, 2, 4), (kind, 4, 4)]
    return made


def test_a_negative_picture_lowers_its_unit_below_grey(atlas: Atlas) -> None:
    scene, network = scene_of(atlas), tiny.network()
    assert sorted(scene.negatives) == sorted(scene.pictures) == [0, 11, 12, 31]
    for unit, picture in scene.negatives.items():
        layer, index = scene.units[unit].layer, scene.units[unit].index

        def answer(image: np.ndarray, layer: str = layer, index: int = index) -> float:
            return float(network.respond(np.ascontiguousarray(image)[None], [layer])[layer][0, index])

        grey = answer(np.full((32, 32, 3), 128, np.uint8))
        assert picture.score < grey - 0.05 < grey + 0.05 < scene.pictures[unit].score
        assert answer(picture.image) == pytest.approx(picture.score, abs=0.05)  # the unit's own value, not its negative
        assert picture.curve[-1] < picture.curve[0]


def test_diverse_pictures_are_further_from_one_another_than_restarts(atlas: Atlas) -> None:
    scene = scene_of(atlas)
    network, further = tiny.network(), 0
    addresses = [str(scene.units[unit]) for unit in scene.diverse]
    plain = [na.render(network, addresses, seed=seed) for seed in range(COUNT)]
    for place, pictures in enumerate(scene.diverse.values()):
        assert len(pictures) == COUNT
        assert all(np.isfinite(picture.score) for picture in pictures)
        assert len({picture.image.tobytes() for picture in pictures}) == COUNT
        restarts = [made[place].pixels for made in plain]
        further += _apart([each.image for each in pictures]) > _apart(restarts)
    assert further >= 3  # of 4


def _apart(images: list[np.ndarray]) -> float:
    flat = np.stack(images).reshape(len(images), -1).astype(np.float64)
    return float(np.abs(flat[:, None] - flat[None]).mean())


def test_a_lost_shard_alone_is_made_again_to_the_same_bytes(job: Job, atlas: Atlas, tmp_path: Path) -> None:
    copy = tmp_path / "a.atlas"
    shutil.copytree(atlas.folder, copy)
    for victim in ("negatives-001-0000", "diversity-000-0000"):
        (copy / "shards" / f"{victim}.sha256").unlink()
    scene = scene_of(Atlas.open(copy))  # can be read all the same
    assert (sorted(scene.negatives), sorted(scene.diverse)) == ([0, 11], [12, 31])
    assert not scene.reasons
    perform(job, copy)
    assert tiny.digest(copy) == tiny.digest(atlas.folder)


def test_n6_the_same_bytes_from_two_workers(job: Job, atlas: Atlas, tmp_path: Path) -> None:
    perform(job, tmp_path / "two", executor=Processes(2))
    assert tiny.digest(tmp_path / "two") == tiny.digest(atlas.folder)


def test_nothing_changes_for_who_does_not_ask(atlas: Atlas, tmp_path: Path) -> None:
    plain = asked()
    assert list(plain.manifest.settings) == ["map", "recipe", "reduce", "rendered", "revision", "seed"]
    assert atlas.manifest.settings == plain.manifest.settings | {"negative": True, "diverse": COUNT}
    assert {shard.kind for shard in plain.plan} == {"responses", "map", "renderings"}
    made = perform(plain, tmp_path / "plain")
    for shard in plain.plan:  # the shards that both have are the same
        name = f"shards/{shard.name}.sha256"
        assert (made.folder / name).read_bytes() == (atlas.folder / name).read_bytes()
    scene = scene_of(made)
    assert not scene.negatives
    assert not scene.diverse


@pytest.mark.parametrize("wrong", [-1, 1, 10])
def test_a_wrong_number_of_pictures_is_refused(wrong: int) -> None:
    with pytest.raises(WrongInput, match=rf"diverse \(={wrong}\) must be 2 to 9 pictures a unit, or 0 for none"):
        asked(diverse=wrong)


def test_the_estimate_counts_them(job: Job, atlas: Atlas) -> None:
    about, less = estimate(job), estimate(asked())
    assert (about.rendered, less.rendered) == (4, 4)
    assert about.shards - less.shards == 4
    kept = {kind: sum(_bytes(atlas, shard.name) for shard in atlas.plan.of(kind)) for kind in BOTH}
    assert about.bytes - less.bytes == pytest.approx(sum(kept.values()), rel=0.1)
    assert about.seconds > less.seconds


def _bytes(atlas: Atlas, name: str) -> int:
    return (atlas.folder / "shards" / f"{name}.safetensors").stat().st_size


def test_a_layer_without_a_gradient_has_neither(tmp_path: Path) -> None:
    module = torch.nn.Sequential(Rounds(), torch.nn.Conv2d(3, 4, 3))
    network = na.as_network(module.eval(), input_size=24, normalise="0..1")
    shown = stimuli.StimulusSet(stimuli.photographs().items[:4])
    atlas = na.build(network, shown, tmp_path / "atlas", layers=["1"], units=2, negative=True, diverse=2)
    for kind in BOTH:
        tensors, about = atlas.get(atlas.plan.of(kind)[0])
        assert about["status"] == ["failed", "failed"]
        assert np.isnan(tensors["scores"]).all()
    assert not scene_of(atlas).diverse


def test_an_order_of_before_asks_for_neither(tmp_path: Path, atlas: Atlas) -> None:
    words = {"network": "n", "channel_order": "rgb", "images": "i", "preset": "fast", "correlation": "spearman"}
    words |= {"normalise": None, "input_size": None, "layers": ["*"], "units": None, "seed": 0}
    place = atlas.folder / ORDER
    place.write_text(json.dumps(words), encoding="utf-8")
    read = _order(atlas.folder)
    assert read == read | words | {"negative": False, "diverse": 0}
    place.write_text(json.dumps(words | {"negative": True, "diverse": 4}), encoding="utf-8")
    assert _order(atlas.folder)["diverse"] == 4
    place.write_text(json.dumps(words | {"diverse": "4"}), encoding="utf-8")
    with pytest.raises(WrongInput, match="does not say how it was begun"):
        _order(atlas.folder)
