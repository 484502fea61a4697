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

from neuronatlas.errors import NeuronAtlasError, WrongInput  # noqa: E402
from neuronatlas.executors.base import ATTEMPTS, Failure  # noqa: E402
from neuronatlas.executors.ray import Ray  # noqa: E402
from neuronatlas.executors.ray_cluster import Needs  # noqa: E402
from tests.executors.contract import check_contract, check_deaths  # noqa: E402
from tests.executors.tasks import Opening, Toy, begun, digest, where  # noqa: E402

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),  # Ray's own processes
    pytest.mark.filterwarnings("ignore:unclosed file .*:ResourceWarning"),  # their logs
    pytest.mark.filterwarnings("ignore:Exception ignored in. .*:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Tip. In future versions of Ray:FutureWarning"),
]
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
