"""However a run ends, by its caller, by Ctrl-C or by the death of the process that began it, no worker is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import neuronatlas
from neuronatlas.executors.local import Processes
from tests.executors.processes import children, gone, until
from tests.executors.tasks import Opening, Toy, begun, digest, where

ROOTS = Path(neuronatlas.__file__).parents[1], Path(__file__).parents[2]
LONG = [Toy("hold"), Toy("sleep"), Toy("sleep", 1)]
SCRIPT = """
import sys
from pathlib import Path
from neuronatlas.executors.local import Processes
from tests.executors.tasks import Opening, Toy

_, folder, how, *whats = sys.argv
tasks = [Toy(what, number) for number, what in enumerate(whats)]
for toy, result in Processes(len(tasks)).run(Opening(Path(folder), how), tasks):
    print(toy.what, len(result), flush=True)
"""
OWN = """
from dataclasses import dataclass
from beside import Opening
from neuronatlas.executors.local import Processes

@dataclass
class Task:
    number: int

def opener():
    return Opening()()

print("once")
for given in ((Opening(), [1, 2]), (opener, [1]), (Opening(), [1, Task(2)])):
    try:
        print(sorted(Processes(2).run(*given)))
    except ValueError as error:
        print(error)
"""
BESIDE = """
class Opening:
    def __call__(self):
        return lambda task: bytes([task])
"""


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    before = children(os.getpid())
    yield
    assert children(os.getpid()) <= before


@contextmanager
def script(folder: Path, *words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The script above at work, in a group of its own as a terminal would give it."""
    path = folder / "script.py"
    path.write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, str(path), str(folder), *words]
    pipe = subprocess.PIPE
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, ROOTS)), "TOYS": str(folder), **environment}
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, process_group=0, env=given) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("way", ["closed", "forgotten", "error"])
def test_leaving_stops_workers_in_the_middle_of_their_tasks_within_two_seconds(tmp_path: Path, way: str) -> None:
    results = Processes(3).run(Opening(tmp_path), [Toy(), *LONG])
    assert next(results) == (Toy(), digest(Toy()))
    until(lambda: all(begun(tmp_path, f"{toy.what}-{toy.number}") for toy in LONG))
    start = time.monotonic()
    if way == "closed":
        results.close()  # type: ignore[attr-defined]
    elif way == "forgotten":
        del results
    else:
        with pytest.raises(KeyError), closing(results):  # type: ignore[type-var]
            raise KeyError
    assert time.monotonic() - start < 2
    assert gone(where(tmp_path, "opened"), within=0.5)


def test_who_leaves_while_workers_are_opened_waits_for_none(tmp_path: Path) -> None:
    results = Processes(2).run(Opening(tmp_path, "sleep, later"), [Toy(), Toy("slow")])
    next(results)
    until(lambda: begun(tmp_path, "opened") == 2)
    start = time.monotonic()
    assert next(results) == (Toy("slow"), digest(Toy("slow")))
    assert list(results) == []
    assert time.monotonic() - start < 4
    assert gone(where(tmp_path, "opened"), within=0.5)


def test_workers_that_have_done_all_end_as_programs_do_or_are_made_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOYS", str(tmp_path))
    assert len(list(Processes(1).run(Opening(tmp_path), [Toy("bye")]))) == 1
    assert begun(tmp_path, "bye") == 1
    start = time.monotonic()
    assert len(list(Processes(1).run(Opening(tmp_path), [Toy("stay")]))) == 1
    assert time.monotonic() - start < 10
    assert gone(where(tmp_path, "opened"), within=0.5)


@pytest.mark.parametrize("how", ["well", "sleep"])
def test_ctrl_c_reaches_the_parent_alone_which_stops_all(tmp_path: Path, how: str) -> None:
    with script(tmp_path, how, "sleep", "hold") as process:
        until(lambda: begun(tmp_path, "opened" if how == "sleep" else "*-[01]") == 2)
        os.killpg(process.pid, signal.SIGINT)
        start = time.monotonic()
        _, errors = process.communicate(timeout=20)
        assert time.monotonic() - start < 3
        assert process.returncode == -signal.SIGINT
        assert errors.count("Traceback") == 1
        assert errors.rstrip().endswith("KeyboardInterrupt")
    assert gone(where(tmp_path, "opened"), within=0.5)


def test_a_worker_ignores_ctrl_c(tmp_path: Path) -> None:
    results = Processes(1).run(Opening(tmp_path), [Toy(), Toy("slow")])
    next(results)
    until(lambda: begun(tmp_path, "slow-0"))
    os.kill(where(tmp_path, "opened").pop(), signal.SIGINT)
    assert list(results) == [(Toy("slow"), digest(Toy("slow")))]
    assert begun(tmp_path, "opened") == begun(tmp_path, "slow-0") == 1


def test_workers_end_themselves_when_the_parent_is_killed(tmp_path: Path) -> None:
    with script(tmp_path, "well", "sleep", "hold", "brood", THEN="sleep") as process:
        until(lambda: begun(tmp_path, "*-[01]") == 2 and begun(tmp_path, "brood") == 1)
        process.kill()
        assert gone(where(tmp_path, "opened") | where(tmp_path, "brood"), within=5)


def test_workers_end_themselves_when_the_parent_is_killed_while_they_are_opened(tmp_path: Path) -> None:
    with script(tmp_path, "sleep", "digest") as process:
        until(lambda: begun(tmp_path, "opened"))
        process.kill()
        assert gone(where(tmp_path, "opened"), within=5)


def test_a_script_without_a_guard_is_run_once_and_what_it_defines_is_refused(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text(BESIDE, encoding="utf-8")
    (tmp_path / "script.py").write_text(OWN, encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    once, results, function, task = done.stdout.splitlines()
    assert (once, results) == ("once", "[(1, b'\\x01'), (2, b'\\x02')]")
    assert function == (
        "opener (=opener) cannot be given to another process: PicklingError: opener is defined in the script or notebook "
        "that is run; give the network's word, or a function that can be imported from a module, or work in one process"
    )
    assert task.startswith(
        "tasks[1] (=a Task) cannot be given to another process: PicklingError: Task is defined in the"
    )
