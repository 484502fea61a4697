"""The contract of an `Executor`: results, errors, openings and leaving for all; deaths for those with other processes.

An executor's tests call `check_contract` (and `check_deaths`) with a function that makes it with so many workers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from neuronatlas.errors import Cancelled, NeuronAtlasError, UnknownName, WrongInput
from neuronatlas.executors.base import ATTEMPTS, Executor, Failure
from tests.executors.tasks import Opening, Toy, begun, digest, where

Make = Callable[[int], Executor]


def check_contract(make: Make, folder: Path) -> None:
    """Every clause that holds for all executors; ``folder`` is empty and seen by all workers."""
    for check in (
        check_results,
        check_equal_tasks,
        check_nothing_to_do,
        check_errors,
        check_cancelling,
        check_openings_that_fail,
        check_leaving,
    ):
        place = folder / check.__name__
        place.mkdir()
        check(make, place)


def check_deaths(make: Make, folder: Path) -> None:
    """Every clause about workers that die, for executors whose workers are other processes."""
    for check in (check_killed_once, check_killed_always, check_only_killers, check_poison, check_dead_openings):
        place = folder / check.__name__
        place.mkdir()
        check(make, place)


def check_results(make: Make, folder: Path) -> None:
    """Each task once with its bytes, whoever did it; long results and empty ones; opened at most once a worker."""
    tasks = [Toy(number=number, length=number * 100) for number in range(12)] + [Toy(number=12, length=3_000_000)]
    for count in (1, 2, 7):
        place = folder / str(count)
        place.mkdir()
        found = list(make(count).run(Opening(place), tasks))
        assert sorted((toy.number, result) for toy, result in found) == [(toy.number, digest(toy)) for toy in tasks]
        assert 1 <= begun(place, "opened") <= count
        assert all(begun(place, f"digest-{toy.number}") == 1 for toy in tasks)


def check_equal_tasks(make: Make, folder: Path) -> None:
    """Equal tasks are done as often as they are given, and come back as the objects that were given."""
    tasks = [Toy(number=1), Toy(number=1), Toy(number=2)]
    found = [toy for toy, _ in make(2).run(Opening(folder), tasks)]
    assert sorted(map(id, found)) == sorted(map(id, tasks))


def check_nothing_to_do(make: Make, folder: Path) -> None:
    """Without tasks nothing is opened, not even what cannot be."""
    assert list(make(2).run(Opening(folder, "wrong"), [])) == []
    assert begun(folder, "opened") == 0


def check_errors(make: Make, folder: Path) -> None:
    """This package's errors are failures at once, others after `ATTEMPTS`, those that pass are none; one line each."""
    good = [Toy(number=number) for number in range(3)]
    bad = [Toy("wrong"), Toy("error"), Toy("error, once"), Toy("text"), Toy("unknown")]
    found = dict(make(2).run(Opening(folder), [*bad, *good]))
    assert {toy: found[toy] for toy in good} == {toy: digest(toy) for toy in good}
    assert found[Toy("error, once")] == digest(Toy("error, once"))
    assert found[Toy("wrong")] == Failure("length (=0) must be 1 or more")
    assert found[Toy("unknown")] == Failure("no layer 'blokcs.1': did you mean 'blocks.1'?")
    assert found[Toy("error")] == Failure("OSError: the disk is full")
    text = found[Toy("text")]
    assert isinstance(text, Failure)
    assert "bytes" in text.reason
    tried = {toy.what: begun(folder, f"{toy.what}-0") for toy in bad}
    assert tried == {"wrong": 1, "error": ATTEMPTS, "error, once": 2, "text": 1, "unknown": 1}


def check_cancelling(make: Make, folder: Path) -> None:
    """A task that asks for the end of it all gets it."""
    with pytest.raises(Cancelled, match=r"^somebody asked$"):
        list(make(1).run(Opening(folder), [Toy("cancelled"), Toy()]))
    assert begun(folder, "digest-0") == 0


def check_openings_that_fail(make: Make, folder: Path) -> None:
    """An error of this package comes as it is; any other as one line of `NeuronAtlasError`."""
    tasks = [Toy(number=number) for number in range(3)]
    with pytest.raises(WrongInput, match=r"^length \(=0\) must be\n1 or more$"):
        next(make(2).run(Opening(folder, "wrong"), tasks))
    with pytest.raises(UnknownName, match=r"^no layer 'blokcs.1': did you mean 'blocks.1'\?$"):
        next(make(2).run(Opening(folder, "unknown"), tasks))
    with pytest.raises(NeuronAtlasError, match=r"^[^\n]*OSError: the disk is full[^\n]*$"):
        next(make(2).run(Opening(folder, "error"), tasks))
    assert begun(folder, "digest-*") == 0


def check_leaving(make: Make, folder: Path) -> None:
    """Who leaves after the first result has stopped the work: no task begins any more."""
    results = make(2).run(Opening(folder), [Toy("slow", number) for number in range(40)])
    _, first = next(results)
    assert isinstance(first, bytes)
    results.close()  # type: ignore[attr-defined]
    after = begun(folder, "slow-*")
    assert after < 12
    time.sleep(1)
    assert begun(folder, "slow-*") == after


def check_killed_once(make: Make, folder: Path) -> None:
    """What a worker was at when it died is done by another, for any kind of death."""
    tasks = [Toy("kill, once"), Toy("segfault, once"), Toy("exit, once"), *(Toy(number=number) for number in range(4))]
    found = dict(make(2).run(Opening(folder), tasks))
    assert found == {toy: digest(toy) for toy in tasks}
    for toy in tasks[:3]:
        assert len(where(folder, f"{toy.what}-0")) == 2


def check_killed_always(make: Make, folder: Path) -> None:
    """A task that ends every worker is tried `ATTEMPTS` times, and all others are done."""
    good = [Toy(number=number) for number in range(6)]
    bad = [Toy("kill"), Toy("kernel"), Toy("segfault"), Toy("exit")]
    found = dict(make(2).run(Opening(folder), [*bad, *good]))
    assert {toy: found[toy] for toy in good} == {toy: digest(toy) for toy in good}
    for toy in bad:
        result = found[toy]
        assert isinstance(result, Failure)
        assert result.reason
        assert "\n" not in result.reason
        assert begun(folder, f"{toy.what}-0") == ATTEMPTS


def check_only_killers(make: Make, folder: Path) -> None:
    """Where every task ends its worker there is an end all the same."""
    tasks = [Toy("kill", number) for number in range(3)]
    found = list(make(2).run(Opening(folder), tasks))
    assert sorted(toy.number for toy, _ in found) == [0, 1, 2]
    assert all(isinstance(result, Failure) for _, result in found)
    assert begun(folder, "kill-*") == 3 * ATTEMPTS


def check_poison(make: Make, folder: Path) -> None:
    """An error that stays in a process costs one attempt of one task, because the next has a process of its own."""
    tasks = [Toy("poison, once"), *(Toy(number=number) for number in range(4))]
    found = dict(make(1).run(Opening(folder), tasks))
    assert found == {toy: digest(toy) for toy in tasks}
    assert len(where(folder, "poison, once-0")) == 2
    assert all(begun(folder, f"digest-{number}") == 1 for number in range(4))


def check_dead_openings(make: Make, folder: Path) -> None:
    """An opener that ends its process is tried again, and not without end."""
    once, always = folder / "once", folder / "always"
    once.mkdir()
    always.mkdir()
    assert list(make(1).run(Opening(once, "kill, once"), [Toy()])) == [(Toy(), digest(Toy()))]
    with pytest.raises(NeuronAtlasError, match="could be opened"):
        list(make(1).run(Opening(always, "kill"), [Toy()]))
    assert begun(always, "opened") == ATTEMPTS
