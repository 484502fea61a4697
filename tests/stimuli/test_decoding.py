"""Decoding beside the network: the same pictures in the same order, little in memory, and nothing that hangs."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from neuronatlas import stimuli
from neuronatlas.errors import Cancelled, WrongInput
from neuronatlas.images.files import UnreadablePicture
from neuronatlas.stimuli import Stimulus
from neuronatlas.stimuli.decoding import drawn
from neuronatlas.stimuli.workers import cores
from tests.stimuli import odd


@pytest.mark.parametrize(
    ("workers", "apart"), [(None, False), (0, False), (1, False), (5, False), (2, True), (0, True)]
)
def test_all_ways_give_what_drawing_one_after_the_other_gives(workers: int | None, apart: bool) -> None:
    items = stimuli.photographs().items[::23] + tuple(odd.greys(9))
    given = list(drawn(items, 24, batch=4, workers=workers, apart=apart))
    assert [len(part) for part in given] == [4] * (len(items) // 4) + [len(items) % 4] * (len(items) % 4 > 0)
    assert all(part.dtype == np.uint8 for part in given)
    assert np.array_equal(np.concatenate(given), np.stack([item.draw(24) for item in items]))


@pytest.mark.parametrize("workers", [0, 3])
def test_d16_no_stimulus_gives_nothing_and_one_gives_one(workers: int) -> None:
    assert list(drawn([], 8, batch=4, workers=workers)) == []
    (only,) = drawn(odd.greys(1), 8, batch=4, workers=workers)
    assert only.shape == (1, 8, 8, 3)


@pytest.mark.parametrize("workers", [1, 4])
def test_no_more_is_drawn_than_may_be_held(workers: int) -> None:
    odd.RUNNING.clear()
    items = [Stimulus(str(n), "", str(n), partial(odd.counted, n)) for n in range(60)]
    given = drawn(items, 8, batch=5, workers=workers, ahead=2)
    assert odd.RUNNING == []  # nothing before it is asked for
    for taken in range(1, 4):
        next(given)
        time.sleep(0.2)
        assert len(odd.RUNNING) == 5 * taken + 10  # ready before they are asked for
    given.close()
    assert len(odd.RUNNING) == 25


def test_leaving_early_ends_the_threads() -> None:
    before = threading.active_count()
    given = drawn(odd.greys(50), 8, batch=2, workers=4)
    next(given)
    assert threading.active_count() == before + 4
    given.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("apart", [False, True])
def test_r15_a_picture_that_hangs_is_named_after_a_while(apart: bool) -> None:
    items = [*odd.greys(3), Stimulus("the slow one", "", "x", odd.hang), *odd.greys(1)]
    given = drawn(items, 8, batch=3, workers=1 if apart else 2, seconds=0.5, apart=apart)
    assert len(next(given)) == 3
    with pytest.raises(UnreadablePicture, match=r"'the slow one'.*within 0\.5 seconds.*leave it out"):
        next(given)


def test_r15_time_that_the_caller_takes_is_not_held_against_a_picture() -> None:
    for part in drawn(odd.greys(12), 8, batch=2, workers=2, seconds=0.2):
        time.sleep(0.25)
        assert len(part) == 2


def test_r15_a_thread_that_hangs_does_not_keep_the_program_from_ending() -> None:
    code = (
        "from neuronatlas.stimuli import Stimulus\n"
        "from neuronatlas.stimuli.decoding import drawn\n"
        "from tests.stimuli import odd\n"
        "next(drawn([Stimulus('the slow one', '', 'x', odd.hang)], 8, batch=1, seconds=0.2))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 1
    assert "UnreadablePicture: cannot read the picture 'the slow one'" in done.stderr


def test_r15_a_crash_in_a_process_of_its_own_names_the_picture() -> None:
    items = [*odd.greys(2), Stimulus("the broken one", "", "x", odd.crash)]
    given = drawn(items, 8, batch=2, workers=1, apart=True)
    assert len(next(given)) == 2
    with pytest.raises(UnreadablePicture, match=r"'the broken one'.*died \(signal SIGSEGV\)"):
        next(given)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (odd.fail, "'the wrong one': KeyError: 'nothing'"),
        (odd.late, "'the wrong one': TimeoutError: the disk did not answer"),
        (odd.wide, r"'the wrong one': draw\(8\) gave uint8 of shape \(8, 9, 3\)"),
    ],
    ids=["fail", "late", "wide"],
)
def test_an_error_names_its_stimulus_in_its_turn(draw: object, message: str, apart: bool) -> None:
    items = [*odd.greys(3), Stimulus("the wrong one", "", "x", draw), *odd.greys(5)]  # type: ignore[arg-type]
    given = drawn(items, 8, batch=3, workers=1 if apart else 2, apart=apart)
    assert len(next(given)) == 3
    with pytest.raises(UnreadablePicture, match=message):
        next(given)


def test_errors_of_this_package_stay_what_they_are() -> None:
    def cancel(size: int) -> np.ndarray:
        raise Cancelled

    with pytest.raises(Cancelled):
        list(drawn([Stimulus("a", "", "a", cancel)], 8, batch=1))


def test_stimuli_that_no_other_process_can_have_are_refused_there() -> None:
    item = Stimulus("a", "", "a", lambda size: np.zeros((size, size, 3), np.uint8))
    assert len(list(drawn([item], 8, batch=1, workers=1))) == 1
    with pytest.raises(WrongInput, match=r"cannot be sent to another process.*leave apart out"):
        list(drawn([item], 8, batch=1, workers=1, apart=True))


def test_stimuli_that_are_drawn_alone_share_a_thread() -> None:
    seen = set()

    def draw(size: int) -> np.ndarray:
        seen.add(threading.get_ident())
        time.sleep(0.01)
        return np.zeros((size, size, 3), np.uint8)

    for alone in (True, False):
        seen.clear()
        items = [Stimulus(str(n), "", str(n), draw, alone) for n in range(12)]
        assert len(list(drawn(items, 8, batch=6, workers=3))) == 2
        assert len(seen) == (1 if alone else 3)


@pytest.mark.parametrize("wrong", [{"side": 0}, {"batch": 0}, {"ahead": -1}, {"workers": -1}])
def test_numbers_that_make_no_sense_are_refused_at_once(wrong: dict[str, int]) -> None:
    with pytest.raises(WrongInput, match="at least"):
        drawn(odd.greys(1), **{"side": 8, "batch": 1, **wrong})


def test_there_is_a_processor() -> None:
    assert 1 <= cores() <= 16
