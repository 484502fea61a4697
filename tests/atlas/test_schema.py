import hashlib
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


def resealed(text: str) -> str:
    """The text with the digest that fits it, by the rule of the document alone."""
    rest = text[len('{\n "digest": "') + 64 :]
    return '{\n "digest": "' + hashlib.sha256(rest.encode()).hexdigest() + rest


def test_r10_a_newer_manifest_is_refused(manifest: Manifest) -> None:
    newer = manifest.text().replace('"version": 2', '"version": 3')
    for text in (resealed(newer), json.dumps({"format": "neuronatlas", "version": 3, "whatever": 1})):
        with pytest.raises(WrongInput, match="format version 3; this release reads up to 2: install a newer one"):
            Manifest.parse(text, source="atlas.json")
    with pytest.raises(AtlasDamaged, match="digest does not fit"):  # one bit of the version: no newer release helps
        Manifest.parse(newer, source="atlas.json")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "[" * 100_000,
        '{"format": "other", "version": 1}',
        '{"format": "neuronatlas", "version": 1}',
        '{"format": "neuronatlas", "version": 0}',
        '{"format": "neuronatlas", "version": true}',
    ],
)
def test_what_is_no_manifest_is_named(text: str) -> None:
    for read in (Manifest.parse, Plan.parse):
        with pytest.raises(AtlasDamaged, match="here"):
            read(text, source="here")


def test_both_files_begin_with_the_sha256_of_their_rest(manifest: Manifest) -> None:
    for text in (manifest.text(), plan(manifest, {0: (1, 2)}).text()):
        assert text.isascii()
        assert resealed(text) == text
        assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"


def test_r9_no_bit_of_a_manifest_or_a_plan_can_change_unseen(manifest: Manifest) -> None:
    short = replace(manifest, stimuli={"digest": "cd", "names": ["cat", "dog"], "labels": ["pet", "pet"]})
    for read, text in ((Manifest.parse, short.text()), (Plan.parse, plan(short, {0: (1,)}).text())):
        for place in range(len(text)):
            for bit in range(7):
                changed = text[:place] + chr(ord(text[place]) ^ 1 << bit) + text[place + 1 :]
                with pytest.raises(AtlasDamaged):
                    read(changed, source="here")
        for length in range(len(text)):
            with pytest.raises(AtlasDamaged):
                read(text[:length], source="here")


def test_the_identity_is_of_what_is_compared(manifest: Manifest) -> None:
    assert replace(manifest, software={}).identity == manifest.identity
    assert Manifest.parse(manifest.text(), source="here").identity == manifest.identity
    for other in (
        replace(manifest, settings={"seed": 4}),
        replace(manifest, layers=manifest.layers[:1]),
        replace(manifest, network={}),
        replace(manifest, stimuli={}),
    ):
        assert other.identity != manifest.identity


def test_the_same_work_is_that_in_whatever_shards(manifest: Manifest) -> None:
    made = plan(manifest, {0: tuple(range(20)), 1: (0, 4)})
    cut = plan(manifest, {0: tuple(range(20)), 1: (0, 4)}, stimuli_a_shard=7, units_a_shard=3)
    assert made.same_work(cut)
    assert len(cut.shards) > len(made.shards)
    assert not made.same_work(plan(manifest, {0: tuple(range(20)), 1: (0, 3)}))
    assert not made.same_work(Plan(made.shards[1:]))


def test_differences_are_named_and_software_is_not_one(manifest: Manifest) -> None:
    other = replace(manifest, settings={"seed": 4, "recipe": {"steps": 96}}, software={"torch": "2.14.0"})
    assert manifest.difference(other) == ["settings.seed: 3 in the folder, 4 now"]
    assert manifest.difference(manifest) == []


def test_a_probe_may_differ_by_rounding_and_no_more(manifest: Manifest) -> None:
    def probed(**layers: list[float]) -> Manifest:
        return replace(manifest, network=manifest.network | {"probe": layers})

    first = probed(a=[0.5, 1.0, 3.0], b=[0.0, 2.0, 4.0])
    assert first.identity == probed().identity == manifest.identity
    for alike in (
        probed(a=[0.509, 1.009, 3.02], b=[0.019, 2.0, 4.0]),
        probed(a=[0.5, 1.0, 3.0], c=[9.0, 9.0, 9.0]),
        manifest,
    ):
        assert first.difference(alike) == alike.difference(first) == []
    for other in (probed(b=[0.03, 2.0, 4.0]), probed(b=[0.0, 2.1, 4.0]), probed(b=[0.0, 2.0, 4.1])):
        (line,) = first.difference(other)
        assert line.startswith("network: layer 'b' answers to the same picture with [0.0, 2.0, 4.0] in the folder, [")


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


def test_other_pictures_of_the_units_follow_the_renderings_kind_by_kind(manifest: Manifest) -> None:
    rendered = {0: tuple(range(20)), 1: (0, 4)}
    plain = plan(manifest, rendered, units_a_shard=16)
    made = plan(manifest, rendered, more=("negatives", "diversity"), units_a_shard=16)
    assert made.shards[: len(plain.shards)] == plain.shards
    assert [shard.name for shard in made.shards[len(plain.shards) :]] == [
        *("negatives-000-0000", "negatives-000-0001", "negatives-001-0000"),
        *("diversity-000-0000", "diversity-000-0001", "diversity-001-0000"),
    ]
    for kind in ("negatives", "diversity"):
        assert [(shard.layer, shard.units) for shard in made.of(kind)] == [
            (shard.layer, shard.units) for shard in made.of("renderings")
        ]
    assert made.same_work(plan(manifest, rendered, more=("negatives", "diversity"), units_a_shard=3))
    assert not made.same_work(plain)
    assert Plan.parse(made.text(), source="here") == made


@pytest.mark.parametrize("name", ["../../etc/x", "a/b", "", "é", "a\\b", ".", "-rf", "map\n", "a\0", "C:", "a" * 101])
def test_m21_a_shard_name_that_could_be_a_path_is_refused(manifest: Manifest, name: str) -> None:
    text = plan(manifest, {}).text().replace('"name": "map"', f'"name": {json.dumps(name)}')
    with pytest.raises(AtlasDamaged, match="letters, digits and hyphens"):
        Plan.parse(resealed(text), source="plan.json")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"name": "map"', '"name": "RESPONSES-0000"', "the same name"),
        ('"name": "map"', '"name": 3', "wrong type"),
        ('"start": 0', '"start": "0"', "wrong type"),
        ('"start": 0', '"start": 0, "code": "x"', "not an atlas plan"),
        ('"shards"', '"shard"', "not an atlas plan"),
    ],
)
def test_s7_a_plan_that_makes_no_sense_is_damaged(manifest: Manifest, before: str, after: str, message: str) -> None:
    text = plan(manifest, {}).text().replace(before, after, 1)
    with pytest.raises(AtlasDamaged, match=message):
        Plan.parse(resealed(text), source="plan.json")
