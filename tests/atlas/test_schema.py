import json
from dataclasses import replace

import pytest

from neuronatlas.atlas import LayerEntry, Manifest, Plan, plan
from neuronatlas.errors import AtlasDamaged, WrongInput


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        network={"name": "tiny", "fingerprint": "ab" * 32, "input": {"size": [32, 48]}},
        layers=(LayerEntry("a", "convolution", 20, (20, 8, 12), 7), LayerEntry("b", "dense", 5, (5,), 48)),
        stimuli={"digest": "cd" * 32, "names": [f"s{i}" for i in range(130)], "labels": [""] * 130},
        settings={"seed": 3, "recipe": {"steps": 96}},
        software={"torch": "2.13.0"},
    )


def test_a_manifest_reads_back(manifest: Manifest) -> None:
    assert Manifest.parse(manifest.text(), source="here") == manifest


def test_r10_a_newer_manifest_is_refused(manifest: Manifest) -> None:
    newer = manifest.text().replace('"version": 1', '"version": 2')
    with pytest.raises(WrongInput, match="format version 2; this release reads up to 1"):
        Manifest.parse(newer, source="atlas.json")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": "other", "version": 1}', '{"format": "neuronatlas", "version": 1}']
)
def test_what_is_no_manifest_is_named(text: str) -> None:
    with pytest.raises(AtlasDamaged, match="here"):
        Manifest.parse(text, source="here")


def test_differences_are_named_and_software_is_not_one(manifest: Manifest) -> None:
    other = replace(manifest, settings={"seed": 4, "recipe": {"steps": 96}}, software={"torch": "2.14.0"})
    assert manifest.difference(other) == ["settings.seed: 3 in the folder, 4 now"]
    assert manifest.difference(manifest) == []


def test_the_plan_covers_every_stimulus_and_unit_once(manifest: Manifest) -> None:
    made = plan(manifest, {0: tuple(range(20)), 1: (0, 4)}, stimuli_a_shard=64, units_a_shard=16)
    covered = [index for shard in made.of("responses") for index in range(shard.start, shard.stop)]
    assert covered == list(range(130))
    assert [(shard.layer, shard.units) for shard in made.of("renderings")] == [
        (0, tuple(range(16))),
        (0, tuple(range(16, 20))),
        (1, (0, 4)),
    ]
    assert len({shard.name for shard in made}) == len(made.shards)
    assert Plan.parse(made.text(), source="here") == made


@pytest.mark.parametrize("name", ["../../etc/x", "a/b", "", "é", "a\\b", "."])
def test_m21_a_shard_name_that_could_be_a_path_is_refused(manifest: Manifest, name: str) -> None:
    text = plan(manifest, {}).text().replace('"name": "map"', f'"name": {json.dumps(name)}')
    with pytest.raises(AtlasDamaged, match="letters, digits and hyphens"):
        Plan.parse(text, source="plan.json")
