"""Files of weights: read whole or not at all, and nothing in them is run."""

from __future__ import annotations

import json
import os
import struct
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.networks import models
from torch import Tensor, nn

from neuronatlas.errors import WrongInput
from neuronatlas.zoo import weights


class Evil:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.mark),))


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("ending", [".safetensors", ".pth", ".pt", ".bin", ".ckpt"])
def test_every_kind_of_file_gives_the_same_numbers(tmp_path: Path, ending: str) -> None:
    state = models.plain().state_dict()
    path = tmp_path / f"weights{ending}"
    save_file(state, path) if ending == ".safetensors" else torch.save(state, path)
    assert equal(weights.read(path), dict(state))


@pytest.mark.parametrize("outer", ["state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_wrappings_of_training_programs_are_taken_off(tmp_path: Path, outer: str, wrapper: str) -> None:
    state = models.plain().state_dict()
    wrapped = {f"{wrapper}{name}": value for name, value in state.items()}
    torch.save({"epoch": 89, outer: wrapped, "optimizer": {"lr": 0.1}}, tmp_path / "weights.pth")
    module = models.seeded(models.plain(), seed=1)
    weights.put(weights.read(tmp_path / "weights.pth"), module, "weights.pth")
    assert equal(module.state_dict(), dict(state))


class Wrapping(nn.Module):
    """A network whose only child has the name that wrappers give."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.module = models.seeded(nn.Linear(3, 3), seed)


@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.", "_orig_mod.module."])
def test_a_child_that_is_called_like_a_wrapper_keeps_its_name(wrapper: str) -> None:
    first, second = Wrapping(0), Wrapping(1)
    weights.put({f"{wrapper}{name}": value for name, value in first.state_dict().items()}, second, "weights.pth")
    assert equal(second.state_dict(), first.state_dict())


def test_a_prefix_of_some_names_is_part_of_them(tmp_path: Path) -> None:
    torch.save({"module.weight": torch.ones(2), "bias": torch.ones(2)}, tmp_path / "weights.pth")
    assert set(weights.read(tmp_path / "weights.pth")) == {"module.weight", "bias"}


def test_s5_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path, mark = tmp_path / "weights.pth", tmp_path / "it-ran"
    torch.save({"weight": Evil(mark)}, path)
    with pytest.raises(
        WrongInput, match=r"weights '.*weights\.pth' are refused: reading it would call (posix|nt)\.mkdir\."
    ):
        weights.read(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists()  # it would have


def test_s6_a_whole_module_is_refused_with_the_way_to_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    torch.save(module, path)
    with pytest.raises(WrongInput, match="are a whole module, and reading it would run code") as caught:
        weights.read(path)
    lines = [line.strip() for line in str(caught.value).splitlines()[1:]]
    assert len(lines) == 2
    script = "\n".join(lines).replace("'net.pth'", repr(str(path))).replace("weights.pth", str(tmp_path / "fixed.pth"))
    exec(script, {"torch": torch})  # noqa: S102 - the two lines do what they say
    assert equal(weights.read(tmp_path / "fixed.pth"), dict(module.state_dict()))


def test_a_torchscript_program_is_told_from_weights(tmp_path: Path) -> None:
    path = tmp_path / "program.pt"
    with pytest.warns(DeprecationWarning, match="is deprecated"):
        torch.jit.trace(nn.Conv2d(3, 4, 3), torch.rand(1, 3, 8, 8)).save(path)
    with pytest.raises(
        WrongInput, match=r"are a TorchScript program, which needs no factory: give 'program\.pt' alone"
    ):
        weights.read(path)


def header(about: object, data: bytes = b"") -> bytes:
    text = json.dumps(about).encode()
    return struct.pack("<Q", len(text)) + text + data


OVERLAPPING = {
    "a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
    "b": {"dtype": "F32", "shape": [4], "data_offsets": [8, 24]},
}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 4,
        struct.pack("<Q", 1 << 62) + b"{}",  # a header of four exabytes
        struct.pack("<Q", 2) + b"[]",
        header(OVERLAPPING, bytes(24)),
        header({"a": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 16]}}, bytes(16)),
        header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 1 << 60]}}, bytes(16)),
        header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, bytes(12)),  # cut off
    ],
)
def test_s7_a_hostile_header_is_an_error_at_once(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    start = time.perf_counter()
    with pytest.raises(WrongInput, match="are no whole safetensors file: "):
        weights.read(path)
    assert time.perf_counter() - start < 1


def test_what_is_no_file_of_weights_is_said(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match=r"weights '.*none\.pth': there is no such file"):
        weights.read(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(WrongInput, match=r"weights '.*text\.pth' (cannot be read|are refused): "):
        weights.read(tmp_path / "text.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WrongInput, match=r"hold no tensors by name: save module\.state_dict"):
        weights.read(tmp_path / "list.pth")


def test_weights_that_do_not_fit_are_named_and_counted() -> None:
    module = models.plain(8)
    state = {f"other.{name}": value for name, value in module.state_dict().items()}
    with pytest.raises(WrongInput, match=r"11 missing \(0\.weight, 1\.weight, 1\.bias, \.\.\.\); 13 unexpected"):
        weights.put(state, module, "w.pth")
    with pytest.raises(
        WrongInput, match=r"in 'w.pth' do not fit Sequential: 11 of another shape \(0\.weight \(4, 3, 5, 5\) in"
    ):
        weights.put(models.plain(4).state_dict(), module, "w.pth")


def test_tied_weights_need_to_be_there_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)
            self.two.weight = self.one.weight

    module = Tied()
    state = {name: value + 1 for name, value in module.state_dict().items() if name != "two.weight"}
    weights.put(state, module, "w.safetensors")
    assert torch.equal(module.two.weight, state["one.weight"])
    with pytest.raises(WrongInput, match=r"1 missing \(two.bias\)"):
        weights.put({name: value for name, value in state.items() if name != "two.bias"}, module, "w.safetensors")
