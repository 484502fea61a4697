"""This process and several others as executors: the contract, what is refused, deaths, and what it costs to wait."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest

from neuronatlas.errors import Cancelled, NeuronAtlasError, WrongInput
from neuronatlas.executors.attending import environment
from neuronatlas.executors.base import ATTEMPTS, Failure
from neuronatlas.executors.local import Here, Processes, pickled, processors
from tests.executors.contract import check_contract, check_deaths, check_killed_always, check_poison
from tests.executors.processes import gone, processor_time, until
from tests.executors.tasks import Opening, Toy, begun, digest, where


def outcome(folder: Path, toy: Toy, *more: Toy, count: int = 1) -> bytes | Failure:
    """The result of one toy, among others."""
    return dict(Processes(count).run(Opening(folder), [toy, *more]))[toy]


def test_here_keeps_the_contract(tmp_path: Path) -> None:
    check_contract(lambda _: Here(), tmp_path)


def test_processes_keep_the_contract(tmp_path: Path) -> None:
    check_contract(Processes, tmp_path)


def test_processes_that_die_keep_the_contract(tmp_path: Path) -> None:
    check_deaths(Processes, tmp_path)


def test_here_can_be_stopped_between_two_tasks(tmp_path: Path) -> None:
    results = Here(stop=lambda: begun(tmp_path, "digest-*") == 2).run(Opening(tmp_path), [Toy(), Toy(), Toy()])
    assert [next(results)[1], next(results)[1]] == [digest(Toy())] * 2
    with pytest.raises(
        Cancelled, match=r"^stopped before all tasks were done: the same command goes on with the others$"
    ):
        next(results)
    with pytest.raises(Cancelled):
        next(Here(stop=lambda: True).run(Opening(tmp_path, "error"), [Toy()]))


def test_r11_a_worker_killed_for_memory_is_said_to_be(tmp_path: Path) -> None:
    reason = "its process was killed by signal 9 (SIGKILL): the machine may have run out of memory"
    assert outcome(tmp_path, Toy("kill")) == Failure(reason)


def test_r11_a_task_that_asks_for_too_much_memory_has_three_processes_and_ends(tmp_path: Path) -> None:
    result = outcome(tmp_path, Toy("memory"), Toy())
    assert isinstance(result, Failure)
    assert re.match(r"\w*MemoryError: Unable to allocate 763\. MiB", result.reason)
    assert len(where(tmp_path, "memory-0")) == ATTEMPTS
    assert begun(tmp_path, "digest-0") == 1


def test_r11_a_death_is_noticed_at_once(tmp_path: Path) -> None:
    start = time.monotonic()
    check_killed_always(Processes, tmp_path)
    assert (
        time.monotonic() - start < 60
    )  # twelve deaths, three of them after a second of work, and as many processes begun: no death waits for a time to pass


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("segfault", "its process was killed by signal 11 (SIGSEGV): a crash in compiled code"),
        ("exit", "its process ended with exit code 139, which is how a shell says signal 11 (SIGSEGV)"),
        ("leave", "its process ended with exit code 1; its last words: the licence server is away"),
        (
            "abort",
            "its process was killed by signal 6 (SIGABRT): a crash in compiled code; its last words: std::bad_alloc",
        ),
    ],
)
def test_r12_a_task_that_always_ends_its_worker_fails_with_what_it_died_of(
    tmp_path: Path, what: str, reason: str
) -> None:
    assert outcome(tmp_path, Toy(what), Toy()) == Failure(reason)
    assert begun(tmp_path, f"{what}-0") == ATTEMPTS
    assert begun(tmp_path, "digest-0") == 1


def test_r14_an_error_that_stays_in_its_process_is_left_behind_with_it(tmp_path: Path) -> None:
    check_poison(Processes, tmp_path)


def test_r14_a_task_that_always_poisons_harms_no_other(tmp_path: Path) -> None:
    good = [Toy(number=number) for number in range(6)]
    found = dict(Processes(2).run(Opening(tmp_path), [*good[:3], Toy("poison"), *good[3:]]))
    assert found.pop(Toy("poison")) == Failure("RuntimeError: CUDA error: device-side assert triggered")
    assert found == {toy: digest(toy) for toy in good}
    assert len(where(tmp_path, "poison-0")) == ATTEMPTS
    assert all(begun(tmp_path, f"digest-{toy.number}") == 1 for toy in good)


def test_what_a_dead_worker_has_started_is_ended_and_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOYS", str(tmp_path))
    monkeypatch.setenv("THEN", "kill")
    start = time.monotonic()
    result = outcome(tmp_path, Toy("brood"))
    assert time.monotonic() - start < 30  # far less than what it has started would live
    assert isinstance(result, Failure)
    assert "SIGKILL" in result.reason
    assert len(where(tmp_path, "brood")) == ATTEMPTS
    assert gone(where(tmp_path, "brood"), within=2)


def test_a_worker_that_cannot_be_opened_beside_one_that_can_is_done_without(tmp_path: Path) -> None:
    tasks = [Toy("slow", number) for number in range(8)]
    assert len(dict(Processes(2).run(Opening(tmp_path, "error, later"), tasks))) == 8
    assert 2 <= begun(tmp_path, "opened") <= 1 + ATTEMPTS
    with pytest.raises(NeuronAtlasError, match=r"^no worker could be opened: OSError: the disk is full$"):
        list(Processes(1).run(Opening(tmp_path, "error, later"), [Toy("kill")]))


def test_what_tasks_print_is_not_among_the_results(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert outcome(tmp_path, Toy("print"), Toy("print", 1)) == digest(Toy())
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_pickled_is_refused_by_name_before_anything_begins(tmp_path: Path) -> None:
    with pytest.raises(
        WrongInput, match=r"^opener \(=\S*<lambda>\) cannot be given to another process: .*; give the net"
    ):
        next(Processes(1).run(lambda: bytes, [1]))
    with pytest.raises(
        WrongInput, match=r"^tasks\[1\] \(=a lock\) cannot be given to another process: TypeError: cannot"
    ):
        next(Processes(1).run(Opening(tmp_path), [Toy(), threading.Lock()]))  # type: ignore[arg-type]
    assert begun(tmp_path, "opened") == 0
    assert pickled(Toy(), "task")


@pytest.mark.parametrize(("count", "threads", "name"), [(0, None, "count"), (1, 0, "threads")])
def test_numbers_below_one_are_refused(count: int, threads: int | None, name: str) -> None:
    with pytest.raises(WrongInput, match=rf"^{name} \(=0\) must be 1 or more$"):
        Processes(count, threads)


def test_the_processors_are_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Processes(1).threads_each == processors()
    assert Processes(1000).threads_each == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("MKL_NUM_THREADS", "16")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "all")
    names = [f"{library}_NUM_THREADS" for library in ("OMP", "MKL", "OPENBLAS")]
    assert [environment(4, exactly=False)[name] for name in names] == ["2", "4", "4"]
    assert [environment(4, exactly=True)[name] for name in names] == ["4", "4", "4"]
    assert [os.environ[name] for name in names] == ["2", "16", "all"]
    found = dict(Processes(1, threads=1).run(Opening(tmp_path), [Toy("threads")]))
    assert found == {Toy("threads"): Failure("1 1 1 1")}


def test_waiting_costs_no_processor_time(tmp_path: Path) -> None:
    with closing(Processes(2).run(Opening(tmp_path), [Toy(), Toy("sleep"), Toy("sleep", 1)])) as results:
        next(results)
        waiter = threading.Thread(target=lambda: next(results, None), daemon=True)
        while begun(tmp_path, "sleep-*") < 2:
            time.sleep(0.05)
        workers = where(tmp_path, "opened")
        before = time.process_time(), sum(map(processor_time, workers))
        time.sleep(1.5)
        assert time.process_time() - before[0] < 0.05
        assert sum(map(processor_time, workers)) - before[1] < 0.05
    assert not waiter.is_alive()


def test_few_results_wait_and_none_is_kept(tmp_path: Path) -> None:
    tasks = [Toy(number=number, length=4_000_000) for number in range(24)]
    tracemalloc.start()
    try:
        for number, _ in enumerate(Processes(2).run(Opening(tmp_path), tasks)):
            if number == 3:
                until(lambda: begun(tmp_path, "digest-*") == 8)  # four taken, four that wait: both workers do
                time.sleep(0.3)
                assert begun(tmp_path, "digest-*") == 8
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert begun(tmp_path, "digest-*") == 24
    assert peak < 40_000_000


def test_neither_side_loads_torch() -> None:
    code = "import sys, neuronatlas.executors.local, neuronatlas.executors.work; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
