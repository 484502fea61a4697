"""Builds of real atlases: the same bytes whatever happens on the way."""

import hashlib
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import neuronatlas as na
from neuronatlas import stimuli, zoo
from neuronatlas.atlas import Atlas
from neuronatlas.building import choose_layers, estimate, perform, prepare
from neuronatlas.building.estimating import _stretched
from neuronatlas.errors import AtlasMismatch, UnknownName, WrongInput
from neuronatlas.networks import Network
from neuronatlas.view.scene import scene_of

LAYERS = ("stem", "blocks.0", "blocks.1")


@pytest.fixture(scope="module")
def network() -> Network:
    return zoo.load("efficientnet-lite0")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty crops of real photographs, in two classes."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, item in enumerate(stimuli.photographs().items[:60]):
        place = folder / ("even" if number % 2 == 0 else "odd") / f"{number:02d}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(item.draw(96)).save(place)
    return folder


def command(pictures: Path, atlas: Path) -> list[str]:
    build = [sys.executable, "-m", "neuronatlas.cli", "build", "efficientnet-lite0", "--images", str(pictures)]
    return [*build, "-o", str(atlas), *(word for layer in LAYERS for word in ("--layers", layer)), "--units", "16"]


def digests(atlas: Path) -> dict[str, str]:
    """Every file of an atlas with the sha256 of its bytes; the locks are nobody's content."""
    files = [path for path in sorted(atlas.rglob("*")) if path.is_file() and not path.name.startswith(".lock")]
    return {str(path.relative_to(atlas)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def unbroken(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    atlas = tmp_path_factory.mktemp("unbroken") / "a.atlas"
    start = time.monotonic()
    subprocess.run(command(pictures, atlas), check=True, capture_output=True)
    return atlas, time.monotonic() - start


def test_one_flipped_bit_is_found_and_only_that_shard_is_redone(
    pictures: Path, unbroken: tuple[Path, float], tmp_path: Path
) -> None:
    atlas = tmp_path / "a.atlas"
    shutil.copytree(unbroken[0], atlas)
    expected = digests(atlas)
    victim = atlas / "shards" / "renderings-001-0000.safetensors"
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 4
    victim.write_bytes(content)
    verify = [sys.executable, "-m", "neuronatlas.cli", "verify", str(atlas)]
    found = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert found.stdout == "renderings-001-0000  damaged\n"
    before = {path: path.stat().st_mtime_ns for path in (atlas / "shards").iterdir()}
    subprocess.run(command(pictures, atlas), check=True, capture_output=True)
    changed = {path.name for path, stamp in before.items() if path.stat().st_mtime_ns != stamp}
    assert changed == {"renderings-001-0000.safetensors", "renderings-001-0000.sha256"}
    assert digests(atlas) == expected


def test_a_finished_atlas_is_not_touched_by_another_build(pictures: Path, unbroken: tuple[Path, float]) -> None:
    before = {path: path.stat().st_mtime_ns for path in unbroken[0].rglob("*") if not path.name.startswith(".lock")}
    subprocess.run(command(pictures, unbroken[0]), check=True, capture_output=True)
    after = {path: path.stat().st_mtime_ns for path in unbroken[0].rglob("*") if not path.name.startswith(".lock")}
    assert before == after


def test_the_scene_says_what_the_shards_hold(network: Network, pictures: Path, unbroken: tuple[Path, float]) -> None:
    atlas = Atlas.open(unbroken[0])
    scene = scene_of(atlas)
    shown = stimuli.folder(pictures)
    slow = np.stack([network.respond(item.draw(224)[None], ["blocks.0"])["blocks.0"][0] for item in shown])
    first = [str(unit) for unit in scene.units].index("blocks.0:0")
    np.testing.assert_allclose(scene.responses[:, first : first + 16], slow, rtol=1e-4, atol=1e-4)
    assert [item.name for item in scene.stimuli] == [item.name for item in shown]
    assert {item.label for item in scene.stimuli} == {"even", "odd"}
    for index in scene.pictures:
        near = scene.neighbours[index]
        assert index not in near
        assert scene.status[index] in ("", "constant")
    assert len(scene.pictures) + len(scene.reasons) == 48
    both = scene.responses[:, [first, int(scene.neighbours[first][0])]]
    assert scene.correlations[first][0] == pytest.approx(_spearman(both), abs=2e-6)


def _spearman(pair: np.ndarray) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(pair).statistic)


def test_r8_another_network_in_the_same_folder_is_refused(
    network: Network, pictures: Path, unbroken: tuple[Path, float]
) -> None:
    shown = stimuli.folder(pictures)
    job = prepare(network, shown, layers=LAYERS, units=16)
    other = replace(job, manifest=replace(job.manifest, network=job.manifest.network | {"fingerprint": "0" * 64}))
    with pytest.raises(AtlasMismatch, match=r"network\.fingerprint: .* in the folder, '0000"):
        perform(other, unbroken[0])
    with pytest.raises(AtlasMismatch, match=r"settings\.seed: 0 in the folder, 1 now"):
        perform(prepare(network, shown, layers=LAYERS, units=16, seed=1), unbroken[0])


def test_d14_a_changed_picture_is_another_atlas(
    network: Network, pictures: Path, unbroken: tuple[Path, float], tmp_path: Path
) -> None:
    changed = tmp_path / "pictures"
    shutil.copytree(pictures, changed)
    Image.new("RGB", (96, 96), "red").save(changed / "even" / "00.png")
    with pytest.raises(AtlasMismatch, match=r"stimuli\.digest"):
        perform(prepare(network, stimuli.folder(changed), layers=LAYERS, units=16), unbroken[0])


def test_layers_are_chosen_by_pattern_in_the_networks_order(network: Network) -> None:
    assert choose_layers(network, ["head", "blocks.1?", "stem"])[:2] == ["stem", "blocks.10"]
    assert choose_layers(network, ["*"]) == list(network.layers)
    with pytest.raises(UnknownName, match=r"no layer 'blokcs\.1': did you mean"):
        choose_layers(network, ["stem", "blokcs.1"])


def test_bad_choices_are_refused_before_any_work(network: Network, pictures: Path) -> None:
    shown = stimuli.folder(pictures)
    with pytest.raises(WrongInput, match=r"units \(=-1\)"):
        prepare(network, shown, layers=["stem"], units=-1)
    with pytest.raises(UnknownName, match="no correlation 'kendall'"):
        prepare(network, shown, layers=["stem"], correlation="kendall")
    with pytest.raises(UnknownName, match="no preset 'fats': did you mean 'fast'"):
        prepare(network, shown, layers=["stem"], preset="fats")
    with pytest.raises(WrongInput, match="stimuli is empty"):
        prepare(network, stimuli.StimulusSet(()), layers=["stem"])


def test_the_estimate_counts_what_the_build_makes(
    network: Network, pictures: Path, unbroken: tuple[Path, float]
) -> None:
    about = estimate(prepare(network, stimuli.folder(pictures), layers=LAYERS, units=16))
    atlas = Atlas.open(unbroken[0])
    assert (about.units, about.rendered, about.shards) == (len(atlas.units), 48, len(atlas.plan.shards))
    assert about.seconds > 0
    kept = sum(path.stat().st_size for path in (atlas.folder / "shards").glob("[rc]*.safetensors"))
    assert about.bytes == pytest.approx(kept, rel=0.2)


def test_a_time_is_stretched_to_more_steps_and_never_below_nothing() -> None:
    assert _stretched({2: 5.0, 6: 9.0}, 64) == pytest.approx(3 + 64)  # 3 seconds once, and one a step
    assert _stretched({2: 1.0, 6: 5.0}, 64) == pytest.approx(64)  # nothing that is paid once
    busy = [_stretched({2: few, 6: 1.2}, 64) for few in (1.2, 3.0, 50.0)]  # the two steps were held up
    assert min(busy) >= 64 * 0.1
    assert busy == sorted(busy)


def test_an_atlas_of_a_network_that_sees_grey(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 6, 5), torch.nn.ReLU())
    network = na.as_network(module, input_size=32, normalise=((0.5,), (0.5,)))
    found = na.stimuli.vision_science()
    some = na.stimuli.StimulusSet(found.items[:12])
    atlas = na.build(network, some, tmp_path / "grey.atlas", units=1)
    responses = na.record(network, some)
    np.testing.assert_array_equal(atlas.responses().values, responses.values)


class Rounds(torch.nn.Module):
    """Whole numbers on the way: nothing behind it has a gradient."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * 8).detach() / 8


def test_a_layer_without_a_gradient_fails_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), Rounds(), torch.nn.Conv2d(4, 4, 3))
    network = na.as_network(module.eval(), input_size=24, normalise="0..1")
    shown = stimuli.StimulusSet(stimuli.photographs().items[:5])
    atlas = na.build(network, shown, tmp_path / "atlas", layers=["0", "2"], units=2)
    scene = scene_of(atlas)
    assert [scene.status[unit] for unit in (0, 3, 4, 7)] == ["", "", "failed", "failed"]
    assert sorted(scene.pictures) == [0, 3]
    assert "layer '2' of network 'Sequential' gives responses and maps, but no pictures" in scene.reasons[4]
    assert np.isfinite(scene.positions).all()
    assert estimate(prepare(network, shown, layers=["0", "2"], units=2)).rendered == 4
