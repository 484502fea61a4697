"""A Ray cluster to work on: the one that runs, or a small one that is started quietly on this machine and stopped again.

Ray listens on all addresses of a machine; a cluster that is started here is closed to others by a token that only this
process and its children know (Ray 2.52 and later). No dashboard is started, no statistics are sent, and the environment and
the handler of SIGTERM, which Ray changes, are put back.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuronatlas.errors import NeuronAtlasError, WrongInput
from neuronatlas.executors.base import reason_of

_LONGEST_FOLDER = 24
"""Characters; a socket's path may have 103 on macOS and 107 on Linux, of which Ray needs about 75."""


@dataclass(frozen=True)
class Needs:
    """What each worker takes of its node: CPUs and GPUs, in parts too."""

    cpus: float
    gpus: float

    def places(self, resources: Mapping[str, float]) -> int:
        """How many workers a node with these resources has room for; a GPU is shared by whole workers only."""
        room = math.inf
        if self.cpus:
            room = _times(resources.get("CPU", 0), self.cpus)
        if self.gpus >= 1:
            room = min(room, _times(resources.get("GPU", 0), self.gpus))
        elif self.gpus:
            room = min(room, int(resources.get("GPU", 0)) * _times(1, self.gpus))
        return int(room)

    def __str__(self) -> str:
        """Such as "1 CPU and 0.5 GPU"."""
        return _words({"CPU": self.cpus, "GPU": self.gpus})


@dataclass(frozen=True)
class Cluster:
    """The module ``ray``, connected, and whether the cluster was started here."""

    ray: Any
    started_here: bool

    def nodes(self) -> dict[str, dict[str, float]]:
        """The resources of each node that is said to be alive; a dead one is for a while."""
        return {node["NodeID"]: node["Resources"] for node in self.ray.nodes() if node["Alive"]}

    def __str__(self) -> str:
        """The resources of its nodes."""
        nodes = list(self.nodes().values())
        listed = "; ".join(_words(resources) for resources in nodes[:8]) + ("; ..." if len(nodes) > 8 else "")
        return f"{len(nodes)} node{'s' * (len(nodes) != 1)} ({listed})"


@dataclass
class _Connection:
    """What was connected or started here, for all runs of this process at once: Ray knows one cluster a process."""

    users: int = 0
    folder: Path | None = None  # of a cluster that was started here


_lock = threading.Lock()
_ours = _Connection()


@contextmanager
def connected(address: str | None, workers: int | None, needs: Needs) -> Iterator[Cluster]:
    """The cluster at ``address``, for as long as the block lasts.

    Where this process is connected already, that is used and left as it is. Otherwise it is connected to ``address``
    ("auto": the cluster of this machine) or to the environment's RAY_ADDRESS; without both a cluster is started here.
    """
    if (address or "").startswith("ray://"):
        message = f"address={address!r} is that of Ray Client, which is not used here: run this on a machine of the cluster, address='auto'"
        raise WrongInput(message)
    try:
        import ray
    except ImportError as error:
        message = f"Ray cannot be imported ({error}): pip install 'neuronatlas[ray]'"
        raise NeuronAtlasError(message) from error
    with _lock:
        if ray.is_initialized():
            _check_same(ray, address)
            mine = _ours.users > 0
        else:
            _ours.folder = _connect(ray, address, workers, needs)
            ray._private.worker._worker_logs_enabled = False  # noqa: SLF001 - else deaths are printed to standard output
            mine = True
        _ours.users += mine
    try:
        yield Cluster(ray, started_here=mine and _ours.folder is not None)
    finally:
        with _lock:
            _ours.users -= mine
            if mine and not _ours.users:
                ray.shutdown()
                ray._private.worker._worker_logs_enabled = True  # noqa: SLF001
                _forget_token()
                _remove(_ours.folder)
                _ours.folder = None


def _connect(ray: Any, address: str | None, workers: int | None, needs: Needs) -> Path | None:
    """Connect, or start a cluster: then the folder of its sockets and logs."""
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    with _put_back():
        if address != "local":
            try:
                ray.init(address=address, **quiet)
            except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
                message = f"no Ray cluster can be reached at address={address!r} ({reason_of(error)}): is it running? ray status says so"
                raise NeuronAtlasError(message) from error
            return None
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        if not _has_token():
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        folder = _new_folder()
        processors = None if workers is None else math.ceil(workers * needs.cpus)
        try:
            ray.init(address="local", num_cpus=processors, include_dashboard=False, _temp_dir=str(folder), **quiet)
        except BaseException as error:
            ray.shutdown()
            _forget_token()
            _remove(folder)
            if not isinstance(error, Exception):
                raise
            message = f"Ray could not be started on this machine: {reason_of(error)}"
            raise NeuronAtlasError(message) from error
        return folder


def _check_same(ray: Any, address: str | None) -> None:
    """Raise `WrongInput` where this process is connected elsewhere than it should be."""
    here = ray.get_runtime_context().gcs_address
    if address not in {None, "auto", here}:
        message = f"address={address!r}: this process is connected to the Ray cluster at {here} already; call ray.shutdown() first"
        raise WrongInput(message)


@contextmanager
def _put_back() -> Iterator[None]:
    """Undo what is done to the environment, and to the handler of SIGTERM (of the main thread, as Ray does)."""
    before = dict(os.environ)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _has_token() -> bool:
    """Whether the user has chosen how clusters are closed to others."""
    named = any(name in os.environ for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return named or (Path.home() / ".ray" / "auth_token").exists()


def _forget_token() -> None:
    """Ray keeps the first token that it reads, and the next cluster of this process has another one."""
    with suppress(ImportError, AttributeError):  # older ones have no tokens
        from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined, unused-ignore]

        AuthenticationTokenLoader.instance().reset_cache()


def _new_folder() -> Path:
    parent = tempfile.gettempdir()
    if len(parent) > _LONGEST_FOLDER and Path("/tmp").is_dir():
        parent = "/tmp"
    return Path(tempfile.mkdtemp(prefix="neuronatlas-ray-", dir=parent))


def _remove(folder: Path | None) -> None:
    """Remove it, also while the last processes write their last lines."""
    for _ in range(20):
        if folder is None or not folder.exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)


def _times(whole: float, part: float) -> int:
    return math.floor(whole / part + 1e-9)


def _words(resources: Mapping[str, float]) -> str:
    named = [f"{resources[name]:g} {name}" for name in ("CPU", "GPU") if resources.get(name)]
    return " and ".join(named) or "none of them"
