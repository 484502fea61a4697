"""How many workers a run on Ray has and on which nodes; nodes that fall silent or cannot open workers are left out."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neuronatlas.errors import NeuronAtlasError
from neuronatlas.executors.base import ATTEMPTS
from neuronatlas.executors.ray_cluster import Cluster, Needs
from neuronatlas.executors.ray_worker import RayWorker

SIGNS = "signs"
"""The concurrency group of an actor's methods that are answered while it works."""
_LOOK = 2.0  # seconds between two looks at the nodes
_SHUNNED = 10  # times the silence


@dataclass(frozen=True)
class Terms:
    """What `neuronatlas.executors.ray.Ray` was given."""

    workers: int | None
    needs: Needs
    environment: Mapping[str, str]
    silence: float
    patience: float

    def actor(self, ray: Any, shunned: list[str]) -> Any:
        """A new actor on some other node; Ray neither restarts it nor tries its tasks again."""
        threads = str(max(1, int(self.needs.cpus)))
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
        make = ray.remote(
            num_cpus=self.needs.cpus,
            num_gpus=self.needs.gpus,
            max_restarts=0,
            max_task_retries=0,
            concurrency_groups={SIGNS: 1},
            runtime_env={"env_vars": dict.fromkeys(names, threads) | dict(self.environment)},
            scheduling_strategy="SPREAD",
            label_selector={"ray.io/node-id": f"!in({','.join(shunned)})"} if shunned else None,
        )
        return make(RayWorker).remote()


class Hiring:
    """What is known of the nodes. None stands for a node where an actor did not even start, which nobody knows."""

    def __init__(self, terms: Terms, cluster: Cluster) -> None:
        self.terms, self.cluster = terms, cluster
        self._shunned: dict[str | None, float] = {}  # since when
        self._failures: Counter[str | None] = Counter()  # one after the other
        self._in_a_row = 0  # of them, on any node
        self._reason = ""  # of the last of them
        self._opened = False  # since the last time that all nodes were shunned
        self._peopled = time.monotonic()
        self._looked = 0.0
        self._warned = False

    def look_again(self) -> None:
        """Do not wait for the next look: somebody is gone."""
        self._looked = 0.0

    def openings(self, now: float, *, left: int, seats: int, working: bool) -> tuple[int, list[str]]:
        """How many workers more there are to be, and on which nodes not. Raises `NeuronAtlasError` where there can be none."""
        if now - self._looked < _LOOK:
            return 0, []
        self._looked = now
        lapse = _SHUNNED * self.terms.silence
        self._shunned = {node: since for node, since in self._shunned.items() if now - since < lapse}
        nodes = {node: self.terms.needs.places(resources) for node, resources in self.cluster.nodes().items()}
        if working:
            self._peopled, self._warned = now, False
        else:
            self._nobody(now, nodes)
        if None in self._shunned:
            return 0, []
        room = sum(places for node, places in nodes.items() if node not in self._shunned)
        wanted = self.terms.workers or max(1, room)  # one that cannot be placed lets a cluster that can do so grow
        return max(0, min(wanted, left) - seats), [node for node in nodes if node in self._shunned]

    def opened(self, node: str | None) -> None:
        """A worker was opened there."""
        self._opened = True
        self._failures[node] = self._failures[None] = self._in_a_row = 0

    def failed(self, node: str | None, reason: str, *, others: bool) -> None:
        """A worker could not be opened there; where that has been so `ATTEMPTS` times, none is hired for a while."""
        self._reason = reason
        self._failures[node] += 1
        self._in_a_row += 1
        if self._failures[node] >= ATTEMPTS:
            self._shunned[node] = time.monotonic()
            if others:
                where = f"on node {node}" if node else "anywhere else"
                warnings.warn(f"no worker can be opened {where}: {reason}", RuntimeWarning, stacklevel=2)

    def silent(self, node: str) -> None:
        """A worker there has given no sign of life for too long: its node may be dead, whatever the cluster says."""
        self._reason = f"a worker gave no sign of life for {self.terms.silence:g} s"
        self._shunned[node] = time.monotonic()

    def _nobody(self, now: float, nodes: dict[str, int]) -> None:
        """Nobody works: why, and whether that may change."""
        fitting = [node for node, places in nodes.items() if places]
        if self._in_a_row >= ATTEMPTS or (fitting and self._shunned.keys() >= set(fitting)):
            if not self._opened:
                message = f"no worker could be opened: {self._reason}"
                raise NeuronAtlasError(message)
            self._opened = False
            self._in_a_row = 0
            self._shunned.clear()
            self._failures.clear()
        waited = now - self._peopled
        message = f"no worker could start in {waited:.0f} s: each needs {self.terms.needs}, and the cluster has {self.cluster}"
        if not fitting and (self.cluster.started_here or waited >= self.terms.patience):
            raise NeuronAtlasError(message)
        if waited >= self.terms.patience / 10 and not self._warned:
            self._warned = True
            warnings.warn(f"{message}; still waiting", RuntimeWarning, stacklevel=2)
