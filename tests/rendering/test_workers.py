"""Threads: work ends when it is told to, nothing is left behind, and no global state changes."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.networks import models
from tests.rendering.making import equal, hooks_of
from torch import Tensor

from neuronatlas import objectives
from neuronatlas.errors import Cancelled, UnknownName, WrongInput
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.rendering import PRESETS, Frame, Rendering, render

UNITS = [f"3:{index % 8}" for index in range(24)]


@contextmanager
def unchanged(network: TorchNetwork) -> Iterator[None]:
    """The network, and the threads of the process, are afterwards as they were before."""
    module = network.module.train()
    module[0].weight.requires_grad_(False)  # type: ignore[index, operator]
    parts, learning = list(module.modules()), [weight.requires_grad for weight in module.parameters()]
    fingerprint = models.wrap(module).fingerprint
    module.train()
    others = threading.active_count()  # of browsers and servers of other tests
    yield
    assert threading.active_count() == others
    assert hooks_of(module) == 0
    assert [one is other for one, other in zip(module.modules(), parts, strict=True)] == [True] * len(parts)
    assert all(part.training for part in module.modules())
    assert [weight.requires_grad for weight in module.parameters()] == learning
    assert all(weight.grad is None for weight in module.parameters())
    assert models.wrap(module).fingerprint == fingerprint
    module.train()
    for twin in network._kept[1]:
        assert isinstance(twin, TorchNetwork)
        assert hooks_of(twin.module) == 0
        assert [weight.shape for weight in twin.module.parameters() if weight.ndim == 4] == [
            weight.shape for weight in module.parameters() if weight.ndim == 4
        ]


def test_the_network_is_left_as_it_was(small: TorchNetwork) -> None:
    with unchanged(small):
        made = render(small, UNITS[:10], steps=3, canvas=32, workers=2)
    assert equal(made[1], render(models.wrap(models.plain(), 32), UNITS[1], steps=3, canvas=32))


@pytest.mark.parametrize("error", [Cancelled, KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("where", ["watch", "progress"])
def test_what_a_callback_raises_ends_the_work_at_once(
    small: TorchNetwork, error: type[BaseException], where: str
) -> None:
    told, others = [], threading.active_count()

    def stop(*about: object) -> None:
        told.append(about)
        assert threading.current_thread() is threading.main_thread()
        raise error

    with unchanged(small):
        with pytest.raises(error) as caught:
            render(small, UNITS, steps=9, canvas=32, workers=2, **{where: stop})  # type: ignore[call-overload]
        assert threading.active_count() == others  # while the traceback is still held
        del caught
    assert len(told) == 1
    assert render(small, "3:1", steps=3, canvas=32).status == ""


def test_what_an_objective_raises_in_a_thread_is_raised_here(small: TorchNetwork) -> None:
    calls = []

    def measure(seen: objectives.Outputs) -> Tensor:
        calls.append(threading.current_thread())
        if len(calls) > 20:
            message = "enough"
            raise ArithmeticError(message)
        return seen["3"][0].mean()

    with unchanged(small), pytest.raises(ArithmeticError, match="enough"):
        render(small, objectives.of(measure, "3"), steps=30, canvas=32)
    assert threading.main_thread() not in calls


def test_progress_counts_pictures(small: TorchNetwork) -> None:
    told: list[tuple[int, int]] = []
    for restarts in (1, 2):
        told.clear()
        render(
            small, UNITS, steps=1, canvas=32, restarts=restarts, progress=lambda done, total: told.append((done, total))
        )
        assert told == [(done, 24) for done in range(1, 25)]


def test_frames_of_all_threads_are_told_in_this_one(small: TorchNetwork) -> None:
    told: list[tuple[int, int, threading.Thread]] = []
    render(
        small,
        UNITS,
        steps=10,
        canvas=32,
        workers=3,
        watch=lambda frame: told.append((frame.number, frame.step, threading.current_thread())),
    )
    assert sorted(each[:2] for each in told) == [(number, step) for number in range(24) for step in (8, 10)]
    assert {each[2] for each in told} == {threading.main_thread()}


def test_nothing_is_done_before_every_unit_is_known(small: TorchNetwork) -> None:
    def forbid(done: int, total: int) -> None:
        pytest.fail("work was begun")

    for what, message in [
        (["5:0", "5:8"], "unit 5:8 is out of range: layer '5' has units 0 to 7"),
        (["5:0", "7:0"], "no layer '7'"),
        (["5:0", "5"], "unit '5' is not an address"),
        (["5:0", "5:0@16,0"], "outside the map"),
    ]:
        with pytest.raises(WrongInput, match=message):
            render(small, what, progress=forbid)
    with pytest.raises(UnknownName, match="no layer '9'"):
        render(small, lambda seen: seen["9"].mean(), progress=forbid)
    with pytest.raises(WrongInput, match=r"workers \(=0\) must be at least 1, or None"):
        render(small, "5:0", workers=0, progress=forbid)


def test_nothing_asked_is_nothing_made(small: TorchNetwork) -> None:
    assert render(small, []) == []


# Global state.


def in_a_new_thread(work: Callable[[], object]) -> list[object]:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found


def test_torch_is_left_as_it_was(small: TorchNetwork) -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    torch.set_num_threads(2)
    try:
        render(small, UNITS[:10], steps=2, workers=2)
        assert torch.get_num_threads() == 2
        assert in_a_new_thread(torch.get_num_threads) == [2]
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_pictures_are_the_same_inside_modes_without_gradients(mode: Callable[[], nullcontext[None]]) -> None:
    expected = render(models.wrap(models.plain(), 32), ["3:1", "3:2"], steps=4)
    network = models.wrap(models.plain(), 32)
    with mode():
        made = render(network, ["3:1", "3:2"], steps=4)
    assert equal(made[1], expected[1])
    assert equal(render(network, "3:1", steps=4), expected[0])


@pytest.mark.parametrize("preset", PRESETS)
def test_another_default_type_is_left_alone_and_pictures_are_float32(small: TorchNetwork, preset: str) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        made = render(small, "3:1", steps=4, preset=preset)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert made.status == ""
    assert made.image.dtype == made.curve.dtype == np.float32


# Several calls at once.


@pytest.mark.parametrize("accelerable", [True, False])
def test_two_calls_at_once_on_one_network_are_two_calls_in_turn(accelerable: bool) -> None:
    module = models.plain()
    if not accelerable:
        module.cache = torch.ones(1, requires_grad=True) * 2  # type: ignore[assignment]  # Python cannot copy its past
    network = models.wrap(module, 32)
    asked = [(UNITS[:12], "fast"), (UNITS[4:20], "fast"), (["5:1", "2:3"], "lucid")]
    expected = [render(network, units, preset=preset, steps=8, canvas=32) for units, preset in asked]
    network = models.wrap(module, 32)
    made: dict[int, list[Rendering]] = {}
    before = torch.get_num_threads()

    def work(index: int) -> None:
        units, preset = asked[index]
        made[index] = render(network, units, preset=preset, steps=8, canvas=32, workers=2)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
    with unchanged(network):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for index, pictures in enumerate(expected):
        assert all(equal(one, other) for one, other in zip(made[index], pictures, strict=True))
    assert torch.get_num_threads() == before
    assert in_a_new_thread(torch.get_num_threads) == [before]


def test_responses_may_be_taken_in_a_callback(small: TorchNetwork) -> None:
    shown = np.zeros((2, 32, 32, 3), np.uint8)
    expected = small.respond(shown, ["5"])["5"]
    found = []

    def watch(frame: Frame) -> None:
        found.append(small.respond(shown, ["5"])["5"])

    render(small, UNITS[:10], steps=9, canvas=32, workers=2, watch=watch)
    assert found
    assert all((each == expected).all() for each in found)


# Memory.


MEMORY = """
import ctypes, gc, os, tracemalloc
from pathlib import Path
from torch import nn
from tests.networks import models
from neuronatlas.rendering import render

network = models.wrap(nn.Sequential(models.seeded(nn.Conv2d(3, 4, 3, stride=4)), nn.ReLU()), 32)

def work(tiles):
    wanted = [f"0:{index % 4}" for index in range(8 * tiles)]
    render(network, wanted, steps=4, canvas=32, workers=2, margin=20, plateau=0.0)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

before = work(8)
tracemalloc.start()
after = work(60)
print(after - before, tracemalloc.get_traced_memory()[0])
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_is_flat_over_sixty_tiles() -> None:
    """In a process of its own, without the checks of shapes: numbers, gradients and moments of a tile are 2 MB."""
    command = [sys.executable, "-W", "error", "-c", MEMORY]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    resident, traced = map(int, done.stdout.split())
    assert traced < 1 << 18
    assert resident < 8 << 20
