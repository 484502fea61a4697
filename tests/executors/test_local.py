from __future__ import annotations

from pathlib import Path

from neuronatlas.executors.local import Here, Processes
from tests.executors.contract import check_contract, check_deaths


def test_here(tmp_path: Path) -> None:
    check_contract(lambda count: Here(), tmp_path)


def test_processes(tmp_path: Path) -> None:
    check_contract(Processes, tmp_path)


def test_deaths(tmp_path: Path) -> None:
    check_deaths(Processes, tmp_path)
