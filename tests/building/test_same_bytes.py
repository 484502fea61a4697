"""One atlas, whoever makes it: the same bytes from every number of workers, shares and drivers, killed or not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from neuronatlas import stimuli
from neuronatlas.atlas import Atlas
from neuronatlas.building import perform, prepare
from neuronatlas.building.tasks import opening
from neuronatlas.cli.build import slurm, work
from neuronatlas.errors import AtlasMismatch, WrongInput
from neuronatlas.executors.base import Executor
from neuronatlas.executors.local import Processes
from tests.building import tiny

HERE = Path(__file__).parent
NETWORK = f"{HERE / 'tiny.py'}:network"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def expected(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of an atlas made in one go by one process."""
    atlas = tmp_path_factory.mktemp("whole") / "a.atlas"
    subprocess.run(command(pictures, atlas), check=True, capture_output=True)
    return tiny.digest(atlas)


def command(pictures: Path, atlas: Path, *more: str) -> list[str]:
    build = [sys.executable, "-m", "neuronatlas.cli", "build", NETWORK, "--images", str(pictures), "-o", str(atlas)]
    return [*build, *more]


def started(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def made(pictures: Path, atlas: Path, executor: Executor | None, threads: int | None = None) -> str:
    perform(prepare(tiny.network, stimuli.folder(pictures)), atlas, executor=executor, threads=threads)
    return tiny.digest(atlas)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_n6_local_workers(workers: int, pictures: Path, expected: str, tmp_path: Path) -> None:
    assert made(pictures, tmp_path / "atlas", Processes(workers)) == expected


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_of_one_worker(threads: int, pictures: Path, expected: str, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert made(pictures, tmp_path / "atlas", None, threads=threads) == expected
    finally:
        torch.set_num_threads(before)


def test_a_network_that_is_given_as_it_is_travels_to_the_workers(pictures: Path, expected: str, tmp_path: Path) -> None:
    job = prepare(tiny.network(), stimuli.folder(pictures))
    perform(job, tmp_path / "atlas", executor=Processes(2))
    assert tiny.digest(tmp_path / "atlas") == expected


def test_three_shares_at_once(pictures: Path, expected: str, tmp_path: Path) -> None:
    atlas = tmp_path / "a.atlas"
    begun = subprocess.run(command(pictures, atlas, "--only-plan"), check=True, capture_output=True, text=True)
    assert "work on them: " in begun.stdout
    work = [sys.executable, "-m", "neuronatlas.cli", "work", str(atlas), "--network", NETWORK]
    shares = [started([*work, "--shard", f"{number}/3"]) for number in (1, 2, 3)]
    told = [process.communicate() for process in shares]
    assert [process.returncode for process in shares] == [0, 0, 0], told
    assert any("all shards are there" in said for said, _ in told)
    assert tiny.digest(atlas) == expected


def test_a_share_does_its_part_alone(pictures: Path, tmp_path: Path) -> None:
    job = prepare(tiny.network, stimuli.folder(pictures))
    atlas = perform(job, tmp_path / "atlas", share=(2, 3))
    tasks = [shard for shard in atlas.plan if shard.kind not in ("map", "crops")]
    assert [shard for shard in tasks if atlas.has(shard)] == tasks[1::3]
    with pytest.raises(WrongInput, match=r"share \(=4/3\) must be one of 1/3 to 3/3"):
        perform(job, tmp_path / "atlas", share=(4, 3))


def test_work_does_not_run_code_that_a_folder_names(pictures: Path, tmp_path: Path) -> None:
    atlas = tmp_path / "a.atlas"
    subprocess.run(command(pictures, atlas, "--only-plan"), check=True, capture_output=True)
    work = [sys.executable, "-m", "neuronatlas.cli", "work", str(atlas), "--shard", "1/1"]
    refused = subprocess.run(work, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "which runs code: if you trust it, give it again with --network" in refused.stderr


def test_work_imports_no_module_that_a_folder_names(pictures: Path, tmp_path: Path) -> None:
    atlas = tmp_path / "a.atlas"
    subprocess.run(command(pictures, atlas, "--only-plan"), check=True, capture_output=True)
    (tmp_path / "trap.py").write_text("open('sprung', 'w')\ndef net(): pass\n", encoding="utf-8")
    order = json.loads((atlas / ".order.json").read_text(encoding="utf-8"))
    for word in ("trap:net", "weights.safetensors@trap:net", "WEIGHTS.PTH@trap.py:net"):
        (atlas / ".order.json").write_text(json.dumps(order | {"network": word}), encoding="utf-8")
        refused = subprocess.run(
            [sys.executable, "-m", "neuronatlas", "work", str(atlas)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        )
        assert refused.returncode == 1
        assert "runs code" in refused.stderr
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("text", ["{}", "[]", "7", "no json", '{"network": 3}', pytest.param("[" * 100_000, id="deep")])
def test_an_order_that_no_build_wrote_is_refused_in_a_line(text: str, pictures: Path, tmp_path: Path) -> None:
    job = prepare(tiny.network, stimuli.folder(pictures), units=1)
    atlas = Atlas.create(tmp_path / "atlas", job.manifest, job.plan)
    (atlas.folder / ".order.json").write_text(text, encoding="utf-8")
    for asked in (work, partial(slurm, nodes=2)):
        with pytest.raises(WrongInput, match=r"does not say how it was begun \(\.order\.json\)"):
            asked(atlas.folder)


def test_other_code_with_the_same_weights_is_another_network(pictures: Path, tmp_path: Path) -> None:
    shown = stimuli.folder(pictures)
    job = prepare(tiny.network, shown, units=2)
    perform(job, tmp_path / "atlas", share=(1, 2))
    other = prepare(network_of_tanh, shown, units=2)
    assert other.manifest.network["fingerprint"] == job.manifest.network["fingerprint"]
    with pytest.raises(AtlasMismatch, match=r"layer '2' answers to the same picture with \[.*so its code is another"):
        perform(other, tmp_path / "atlas", share=(2, 2))
    with pytest.raises(WrongInput, match="answers otherwise to the same picture, first in layer '2'"):
        perform(_of(job, network_of_tanh), tmp_path / "atlas", executor=Processes(1))
    perform(job, tmp_path / "atlas")
    assert Atlas.open(tmp_path / "atlas").missing() == []


def network_of_tanh():  # type: ignore[no-untyped-def]
    """The weights of `tiny.network`, and another function between its layers."""
    from neuronatlas.networks import as_network

    module = tiny.module()
    module[2] = torch.nn.Tanh()
    return as_network(module, input_size=32, normalise="0..1", name="tiny")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_r2_r13_a_driver_killed_at_twenty_random_moments_and_resumed(
    pictures: Path, expected: str, tmp_path: Path
) -> None:
    moments = random.Random(3)
    start = time.monotonic()
    subprocess.run(command(pictures, tmp_path / "timed", "--workers", "2"), check=True, capture_output=True)
    duration = time.monotonic() - start
    kills = builds = 0
    stages: set[int] = set()
    while kills < 20 or not builds:
        atlas = tmp_path / f"{builds}.atlas"
        process = started(command(pictures, atlas, "--workers", "2"))
        try:
            _, said = process.communicate(timeout=moments.uniform(0.3, 1.0) * duration if kills < 20 else None)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
            stages.add(len(list(atlas.glob("shards/*.sha256"))))
            continue
        assert process.returncode == 0, said
        assert tiny.digest(atlas) == expected
        builds += 1
    assert len(stages) > 2  # the kills did not all come at the same point


def test_r7_two_drivers_at_once(pictures: Path, expected: str, tmp_path: Path) -> None:
    atlas = tmp_path / "a.atlas"
    both = [started(command(pictures, atlas)) for _ in range(2)]
    told = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert tiny.digest(atlas) == expected


def test_a_slurm_script_does_every_share(pictures: Path, expected: str, tmp_path: Path) -> None:
    atlas = tmp_path / "it's an.atlas"
    subprocess.run(command(pictures, atlas, "--only-plan"), check=True, capture_output=True)
    order = (atlas / ".order.json").read_text(encoding="utf-8")
    assert str(pictures) in order
    words = [sys.executable, "-m", "neuronatlas", "slurm", str(atlas), "--nodes", "2", "--cpus", "1"]
    refused = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "give it again with --network" in refused.stderr
    script = subprocess.run([*words, "--network", NETWORK], check=True, capture_output=True, text=True).stdout
    assert "#SBATCH --array=1-2\n" in script
    place = tmp_path / "job.sh"
    place.write_text(script, encoding="utf-8")
    for number in ("2", "1"):  # as Slurm would run them, in any order
        environment = os.environ | {"SLURM_ARRAY_TASK_ID": number}
        subprocess.run(["bash", str(place)], check=True, capture_output=True, env=environment)
    assert tiny.digest(atlas) == expected


def test_a_worker_with_other_weights_is_refused(pictures: Path, tmp_path: Path) -> None:
    job = prepare(tiny.network, stimuli.folder(pictures))
    with pytest.raises(WrongInput, match="has other weights"):
        perform(_of(job, other_network), tmp_path / "atlas", executor=Processes(1))


def _of(job, source):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(job, source=source)


def other_network():  # type: ignore[no-untyped-def]
    from neuronatlas.networks import as_network

    torch.manual_seed(8)
    return as_network(torch.nn.Sequential(torch.nn.Conv2d(3, 12, 5)), input_size=32, normalise="0..1", name="tiny")


def test_a_worker_that_sees_another_atlas_in_that_place_is_not_misled(pictures: Path, tmp_path: Path) -> None:
    shown = stimuli.folder(pictures)
    job, other = prepare(tiny.network, shown, units=1), prepare(tiny.network, shown, units=1, seed=9)
    atlas = perform(other, tmp_path / "atlas")
    shard = job.plan.of("renderings")[0]
    assert opening(other, atlas.folder, 1, here=True)()(shard) == b""
    assert opening(job, atlas.folder, 1, here=True)()(shard) != b""


def test_an_unfinished_atlas_can_be_browsed(pictures: Path, tmp_path: Path) -> None:
    from neuronatlas.view.scene import scene_of

    job = prepare(tiny.network, stimuli.folder(pictures))
    atlas = perform(job, tmp_path / "atlas")
    victim = atlas.plan.of("renderings")[1]
    (atlas.folder / "shards" / f"{victim.name}.sha256").unlink()
    scene = scene_of(Atlas.open(atlas.folder))
    waiting = [unit for unit, word in enumerate(scene.status) if word == "waiting"]
    assert len(waiting) == len(victim.units)
    assert not set(waiting) & set(scene.pictures)
    assert all("not made yet" in scene.reasons[unit] for unit in waiting)
