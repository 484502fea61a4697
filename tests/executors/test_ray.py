"""Ray as an executor: the contract, and nodes that come, go, freeze and are killed, on a real cluster of this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ray = pytest.importorskip("ray")

from ray.cluster_utils import Cluster  # noqa: E402

from neuronatlas import stimuli  # noqa: E402
from neuronatlas.building import perform, prepare  # noqa: E402
from neuronatlas.errors import NeuronAtlasError, WrongInput  # noqa: E402
from neuronatlas.executors.ray import Ray  # noqa: E402
from neuronatlas.executors.ray_cluster import Needs  # noqa: E402
from tests.building import tiny  # noqa: E402
from tests.executors.contract import check_contract, check_deaths  # noqa: E402
from tests.executors.tasks import Opening, Toy, begun, digest, where  # noqa: E402

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(600)
SMALL = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes of one CPU each, with folders that go with them."""
    folder = Path("/tmp") / f"rays-{os.getpid()}"  # a socket's path is short
    folder.mkdir()
    changed = pytest.MonkeyPatch()
    changed.setenv("RAY_USAGE_STATS_ENABLED", "0")
    changed.setenv("RAY_TMPDIR", str(folder))
    changed.setattr("ray._private.worker._worker_logs_enabled", False)
    (folder / "ray").mkdir()
    cluster = Cluster()
    try:
        cluster.add_node(**SMALL, include_dashboard=False, _system_config=QUICK)
        for _ in range(2):
            cluster.add_node(**SMALL)
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
        changed.undo()
        shutil.rmtree(folder)


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it has not come true"
        time.sleep(0.05)


def alive(process: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_ray_keeps_the_contract(cluster: Cluster, tmp_path: Path) -> None:
    check_contract(Ray, tmp_path)


def test_r11_workers_of_ray_that_die_keep_the_contract(cluster: Cluster, tmp_path: Path) -> None:
    check_deaths(Ray, tmp_path)


def test_r13_nodes_may_be_killed_and_join_in_the_middle(cluster: Cluster, tmp_path: Path) -> None:
    doomed = cluster.add_node(**SMALL)
    tasks = [Toy("slow", number) for number in range(60)]
    results = Ray().run(Opening(tmp_path), tasks)
    found = [next(results) for _ in range(8)]
    cluster.remove_node(doomed, allow_graceful=False)
    found += [next(results) for _ in range(4)]
    late = cluster.add_node(**SMALL)
    found += results
    assert dict(found) == {toy: digest(toy) for toy in tasks}
    assert len(found) == len(tasks)
    assert begun(tmp_path, "opened") >= 4
    cluster.remove_node(late, allow_graceful=False)


def test_r13_an_atlas_made_on_nodes_that_die_and_join_is_the_same_bytes(cluster: Cluster, tmp_path: Path) -> None:
    shown = stimuli.folder(tiny.pictures(tmp_path / "pictures"))
    job = prepare(tiny.network, shown)
    perform(job, tmp_path / "here")
    doomed, late = cluster.add_node(**SMALL), []

    def told(kind: str, done: int, total: int) -> None:
        if kind == "responses" and done == total and not late:
            cluster.remove_node(doomed, allow_graceful=False)
            late.append(cluster.add_node(**SMALL))

    perform(job, tmp_path / "cluster", executor=Ray(), progress=told)
    assert tiny.digest(tmp_path / "cluster") == tiny.digest(tmp_path / "here")
    cluster.remove_node(late[0], allow_graceful=False)


def test_r13_a_node_is_killed_while_workers_are_sent_to_it(cluster: Cluster, tmp_path: Path) -> None:
    doomed = cluster.add_node(**SMALL)
    killer = threading.Timer(0.3, cluster.remove_node, [doomed], {"allow_graceful": False})
    killer.start()
    tasks = [Toy("slow", number) for number in range(8)]
    assert dict(Ray(4).run(Opening(tmp_path, "slow"), tasks)) == {toy: digest(toy) for toy in tasks}
    killer.join()


def test_a_worker_that_stands_still_is_given_up_and_its_task_done_elsewhere(cluster: Cluster, tmp_path: Path) -> None:
    tasks = [Toy("slow", number) for number in range(12)]
    results = Ray(2, silence=3).run(Opening(tmp_path), tasks)
    found = [next(results)]
    frozen = where(tmp_path, "opened").pop()
    os.kill(frozen, signal.SIGSTOP)
    found += results
    if alive(frozen):
        os.kill(frozen, signal.SIGKILL)
    assert dict(found) == {toy: digest(toy) for toy in tasks}
    assert len(found) == len(tasks)


def test_a_long_task_is_not_dead(cluster: Cluster) -> None:
    def opener() -> Callable[[float], bytes]:
        started: list[float] = []

        def worker(seconds: float) -> bytes:
            started.append(seconds)
            time.sleep(seconds)
            return repr(started).encode()

        return worker

    assert list(Ray(1, silence=2).run(opener, [6.0])) == [(6.0, b"[6.0]")]


def test_big_results_come_through_a_small_store(cluster: Cluster, tmp_path: Path) -> None:
    tasks = [Toy(number=number, length=100_000_000) for number in range(2)]
    count = 0
    for toy, result in Ray(2).run(Opening(tmp_path), tasks):
        assert result == digest(toy)
        count += 1
    assert count == 2


def test_whoever_leaves_leaves_nobody_behind(cluster: Cluster, tmp_path: Path) -> None:
    results = Ray(2).run(Opening(tmp_path), [Toy(), Toy("sleep", 1), Toy("sleep", 2), Toy("sleep", 3)])
    next(results)
    until(lambda: begun(tmp_path, "sleep-*") > 0)
    began = time.monotonic()
    results.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 5
    until(lambda: not any(map(alive, where(tmp_path, "*"))), 20)


def test_workers_have_the_threads_and_the_environment_that_were_asked_for(cluster: Cluster) -> None:
    def opener() -> Callable[[str], bytes]:
        return lambda name: os.environ[name].encode()

    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "KERAS_BACKEND"]
    found = dict(Ray(1, cpus=0.5, environment={"KERAS_BACKEND": "jax", "MKL_NUM_THREADS": "3"}).run(opener, names))
    assert found == {"OMP_NUM_THREADS": b"1", "MKL_NUM_THREADS": b"3", "KERAS_BACKEND": b"jax"}


def test_what_no_node_has_is_said(cluster: Cluster) -> None:
    message = r"^no worker could start in \d+ s: each needs 1 CPU and 2 GPU, and the cluster has 3 nodes \(1 CPU; 1 CPU; 1 CPU\)"
    with (
        pytest.warns(RuntimeWarning, match=f"{message}; still waiting$"),
        pytest.raises(NeuronAtlasError, match=f"{message}$"),
    ):
        list(Ray(gpus=2, patience=3).run(Opening(Path()), [Toy()]))


def test_what_cannot_be_pickled_is_named(cluster: Cluster) -> None:
    lock = threading.Lock()
    with pytest.raises(WrongInput, match=r"^opener \(=.*<lambda>\) cannot be given to another process: .*lock"):
        list(Ray(1).run(lambda: lambda _: bytes(lock.locked()), [1]))
    with pytest.raises(WrongInput, match=r"^tasks\[1\] \(=a lock\) cannot be given to another process: .*lock"):
        list(Ray(1).run(lambda: lambda _: b"", [None, lock]))


def test_another_cluster_than_that_of_this_process_is_refused(cluster: Cluster) -> None:
    with pytest.raises(WrongInput, match=r"is connected to the Ray cluster at .* already"):
        list(Ray(address="10.0.0.1:6379").run(Opening(Path()), [Toy()]))
    with pytest.raises(WrongInput, match="Ray Client"):
        list(Ray(address="ray://10.0.0.1:10001").run(Opening(Path()), [Toy()]))


DRIVER = """
import sys
from pathlib import Path
from neuronatlas.executors.ray import Ray
from tests.executors.tasks import Opening, Toy, digest
for toy, result in Ray(2, address=sys.argv[1]).run(Opening(Path(sys.argv[2])), [Toy("slow", number) for number in range(30)]):
    assert result == digest(toy)
    print(toy.number, flush=True)
"""


def test_r13_a_driver_that_is_killed_leaves_nobody_behind_and_runs_again(cluster: Cluster, tmp_path: Path) -> None:
    command = [sys.executable, "-c", DRIVER, cluster.address]
    (tmp_path / "again").mkdir()
    with subprocess.Popen([*command, tmp_path], cwd=ROOT, stdout=subprocess.PIPE) as driver:
        assert driver.stdout is not None
        driver.stdout.readline()
        driver.kill()
    until(lambda: not any(map(alive, where(tmp_path, "opened"))))
    assert 0 < begun(tmp_path, "slow-*") < 30
    done = subprocess.run([*command, tmp_path / "again"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert sorted(map(int, done.stdout.split())) == list(range(30))
    assert not done.stderr


ALONE = """
import os, signal, sys
import ray  # which adds to the environment by itself
from pathlib import Path
from neuronatlas.errors import NeuronAtlasError
from neuronatlas.executors.ray import Ray
from tests.executors.tasks import Opening, Toy, digest
before = dict(os.environ), signal.getsignal(signal.SIGTERM)
folder = Path(sys.argv[1])
tasks = [Toy("kill, once"), Toy("print"), *(Toy(number=number) for number in range(4))]
assert dict(Ray(2).run(Opening(folder), tasks)) == {toy: digest(toy) for toy in tasks}
assert (dict(os.environ), signal.getsignal(signal.SIGTERM)) == before
for executor in (Ray(gpus=1), Ray(1, address="127.0.0.1:1")):
    try:
        list(executor.run(Opening(folder), tasks))
    except NeuronAtlasError as error:
        print(error)
"""


def test_a_cluster_of_its_own_is_started_quietly_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    home, temporary, folder = tmp_path / "home", Path("/tmp") / f"ray-{os.getpid()}", tmp_path / "toys"
    for place in (home, temporary, folder):
        place.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(home), "TMPDIR": str(temporary)}
    try:
        done = subprocess.run(
            [sys.executable, "-c", ALONE, folder],
            cwd=ROOT,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        no_gpu, unreachable = done.stdout.splitlines()
        assert "each needs 1 CPU and 1 GPU, and the cluster has 1 node (" in no_gpu
        assert "no Ray cluster can be reached at address='127.0.0.1:1'" in unreachable
        assert not list(home.iterdir())
        assert not list(temporary.iterdir())
        assert not subprocess.run(["pgrep", "-f", str(temporary)], check=False, capture_output=True).stdout
    finally:
        shutil.rmtree(temporary)


def test_without_ray_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(NeuronAtlasError, match=r"pip install 'neuronatlas\[ray\]'$"):
        next(Ray().run(Opening(Path()), [Toy()]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"workers": 0}, "workers=0 must be 1 or more"),
        ({"cpus": 0.0}, "neither may be negative, nor both 0"),
        ({"gpus": -1.0}, "neither may be negative, nor both 0"),
        ({"gpus": 1.5}, "gpus=1.5: more than one GPU"),
        ({"silence": 0.0}, "silence=0.0 must be more than 0 seconds"),
        ({"patience": -1.0}, "patience=-1.0 must be 0 seconds or more"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongInput, match=message):
        Ray(**wrong)


@pytest.mark.parametrize(
    ("cpus", "gpus", "room"),
    [(1, 0, 8), (3, 0, 2), (0.5, 0, 16), (1, 1, 2), (1, 0.5, 4), (0, 0.4, 4), (0, 2, 1), (9, 0, 0), (0.1, 0, 80)],
)
def test_the_room_of_a_node(cpus: float, gpus: float, room: int) -> None:
    assert Needs(cpus, gpus).places({"CPU": 8, "GPU": 2, "memory": 1e9}) == room
    assert Needs(cpus, gpus).places({}) == 0
