"""TorchScript modules against the modules that they were made from."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.networks import models
from torch import Tensor, nn

import neuronatlas
from neuronatlas import zoo
from neuronatlas.errors import WrongInput
from neuronatlas.networks import Network, as_network
from neuronatlas.networks.torch import TorchNetwork


def helper(x: Tensor) -> Tensor:
    """A function of its own in a program."""
    return x + 1


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.rectifier = nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.rectifier(self.convolution(x))


class Whole(nn.Module):
    """Two blocks of one type, a branch, a loop, and a rectifier that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(6), nn.Dropout())
        self.blocks = nn.Sequential(Block(), Block())
        self.rectifier = nn.ReLU()
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.rectifier(self.stem(x))
        x = self.blocks(x)
        if x.shape[2] > 1:
            x = x - 0.1
        for _ in range(2):
            x = self.rectifier(x - 0.05)
        return self.head(x.mean((2, 3)))


@pytest.fixture(autouse=True)
def _deprecated() -> None:
    """torch says since 2.13 that TorchScript is not to be written any more; files of it remain."""
    warnings.filterwarnings("ignore", r"`torch\.jit\..*` is deprecated", DeprecationWarning)


def scripted(module: nn.Module) -> torch.jit.ScriptModule:
    return torch.jit.script(module.eval())


def traced(module: nn.Module) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        return torch.jit.trace(module.eval(), torch.rand(1, 3, 32, 32))


def frozen(module: nn.Module) -> torch.jit.ScriptModule:
    return torch.jit.freeze(scripted(module))


def wrap(module: nn.Module) -> TorchNetwork:
    network = as_network(module, input_size=32, normalise=models.PLAIN)
    assert isinstance(network, TorchNetwork)
    return network


Make = Callable[[nn.Module], torch.jit.ScriptModule]


def seen_and_gradient(network: Network, layers: list[str], images: Tensor, *, wake: bool) -> list[Tensor]:
    images = images.clone().requires_grad_(True)
    with network.capture(layers, wake=wake) as run:
        outputs = list(run(images).values())
        total = sum((output * torch.linspace(-1, 1, output.numel()).view(output.shape)).sum() for output in outputs)
        (gradient,) = torch.autograd.grad(total, images)  # type: ignore[arg-type]
    return [*(output.detach() for output in outputs), gradient]


@pytest.mark.parametrize("make", [scripted, traced])
@pytest.mark.parametrize("wake", [False, True])
def test_parts_have_the_names_values_and_gradients_of_the_module(make: Make, wake: bool) -> None:
    module = models.seeded(Whole())
    expected, network = models.wrap(module), wrap(make(module))
    if make is scripted:
        assert [str(layer) for layer in network.layers.values()] == [str(layer) for layer in expected.layers.values()]
    assert {"stem.0", "stem.1", "blocks.0.convolution", "blocks.1", "rectifier#2", "head"} <= set(network.layers)
    assert network.layers["blocks.0.convolution"].kind == "convolution"
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    for layers in (["blocks.0.convolution", "blocks.1.rectifier", "rectifier#1"], ["head"], ["rectifier#0"]):
        ours = seen_and_gradient(network, layers, images, wake=wake)
        theirs = seen_and_gradient(expected, layers, images, wake=wake)
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_m1_m2_a_module_traced_in_training_mode_is_at_rest() -> None:
    module = models.seeded(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Conv2d(4, 4, 3)))
    expected = models.wrap(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        script = torch.jit.trace(module.train(), torch.rand(2, 3, 32, 32), check_trace=False)
    module.load_state_dict(script.state_dict())  # tracing moved its statistics
    network = wrap(script)
    assert network.notes == ("it was traced in training mode, which is set aside",)
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad(), network.capture(["1", "3"]) as run, expected.capture(["1", "3"]) as other:
        for one, two in zip(run(images).values(), other(images).values(), strict=True):
            torch.testing.assert_close(one, two)
    assert all(torch.equal(before[name], value) for name, value in network.module.state_dict().items())
    bare = nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4))
    assert wrap(traced(bare)).notes == ()


class PaddedConv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 3, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(nn.functional.pad(x, [0, 1, 0, 1]), self.weight)


def test_what_pads_and_computes_is_a_layer() -> None:
    assert list(wrap(traced(nn.Sequential(PaddedConv(), nn.ZeroPad2d(1), nn.ReLU()))).layers) == ["0", "2"]


def test_a_silent_rectifier_is_woken() -> None:
    module = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(inplace=True))
    with torch.no_grad():
        module[0].bias.fill_(-50)  # type: ignore[union-attr]
    network = wrap(scripted(module))
    images = torch.rand(1, 3, 32, 32)
    assert not seen_and_gradient(network, ["1"], images, wake=False)[1].any()
    asked = seen_and_gradient(network, ["1"], images, wake=True)
    assert not asked[0].any()
    assert asked[1].any()
    seen = seen_and_gradient(network, ["0"], images, wake=True)
    assert seen[0].max() < 0  # not what the rectifier writes over it


def test_a_frozen_module_has_its_operators_as_layers() -> None:
    module = models.seeded(Whole())
    expected, network = models.wrap(module), wrap(frozen(module))
    kinds = [layer.kind for layer in network.layers.values()]
    assert kinds.count("convolution") == 3
    assert next(reversed(network.layers)).startswith("linear_")
    images = torch.rand(2, 3, 32, 32)
    last = next(reversed(network.layers))
    ours = seen_and_gradient(network, [last, "conv2d_0"], images, wake=False)
    theirs = seen_and_gradient(expected, ["head", "stem.1"], images, wake=False)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    other_weights = wrap(frozen(models.seeded(Whole(), seed=1)))
    assert network.fingerprint == wrap(frozen(module)).fingerprint != other_weights.fingerprint


def test_pictures_are_those_of_the_module() -> None:
    module = models.seeded(Whole())
    ours = neuronatlas.render(wrap(scripted(module)), "blocks.1:3", steps=6, canvas=32)
    theirs = neuronatlas.render(models.wrap(module), "blocks.1:3", steps=6, canvas=32)
    assert ours.status == ""
    np.testing.assert_allclose(ours.image, theirs.image, atol=0.02)
    assert ours.score == pytest.approx(theirs.score, rel=1e-2)


def test_the_module_given_is_not_changed_and_nothing_is_left() -> None:
    script = scripted(models.seeded(Whole())).train()
    before = str(script.graph), str(script.blocks.graph), script(torch.ones(1, 3, 32, 32)).shape
    network = wrap(script)
    with network.capture(["stem.0"]) as run:
        assert list(run(torch.rand(1, 3, 32, 32))) == ["stem.0"]
    assert (str(script.graph), str(script.blocks.graph), script(torch.ones(1, 3, 32, 32)).shape) == before
    assert script.training
    assert script.stem.training
    assert not [part for part in network.module.modules() if part._forward_hooks]


def test_the_forward_pass_stops_at_the_deepest_layer() -> None:
    class Trap(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[0] == 1, "a layer after the deepest one was run"
            return x + 1

    network = wrap(scripted(nn.Sequential(models.plain(), Trap())))
    with torch.no_grad(), network.capture(["0.3"]) as run:
        assert run(torch.rand(2, 3, 32, 32))["0.3"].shape == (2, 8, 16, 16)
    with network.capture(["1"]) as run, pytest.raises(RuntimeError, match="a layer after the deepest one was run"):
        run(torch.rand(2, 3, 32, 32))
    assert not [part for part in network.module.modules() if part._forward_hooks]


def test_copies_are_others_and_agree() -> None:
    network = wrap(scripted(models.seeded(Whole())))
    one, two = network.accelerated(["blocks.1"], copies=2)
    assert isinstance(one, TorchNetwork)
    assert isinstance(two, TorchNetwork)
    assert one.module is not two.module
    images = torch.rand(1, 3, 32, 32)
    found = [seen_and_gradient(each, ["blocks.1"], images, wake=False) for each in (network, one, two)]
    for twin in found[1:]:
        for ours, theirs in zip(found[0], twin, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


class Signs(nn.Module):
    """A convolution, and what is above its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.steps = Steps()

    def forward(self, x: Tensor) -> Tensor:
        return self.steps(self.convolution(x))


class Steps(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (torch.sigmoid(x) > 0.5).to(x.dtype)


@pytest.mark.parametrize(("make", "layer"), [(scripted, "steps"), (traced, "steps"), (frozen, None)])
def test_m11_an_operator_without_a_gradient_gives_responses_and_no_pictures(make: Make, layer: str | None) -> None:
    network = wrap(make(models.seeded(Signs())))
    name = layer or next(reversed(network.layers))
    found = network.respond(np.random.default_rng(0).random((3, 32, 32, 3)).astype(np.float32), [name])[name]
    assert 0 < found.mean() < 1
    with pytest.raises(
        WrongInput, match=r"gives responses and maps, but no pictures: the operator (gt|to) in its module"
    ):
        neuronatlas.render(network, f"{name}:1", steps=2)
    before = "convolution" if layer else "conv2d_0"
    assert neuronatlas.render(network, f"{before}:1", steps=2).status == ""


def test_a_file_is_read_by_its_ending(tmp_path: Path) -> None:
    module = models.seeded(Whole())
    scripted(module).save(str(tmp_path / "net.pt"))
    network = zoo.load(str(tmp_path / "net.pt"), input_size=32, normalise="-1..1")
    assert network.layers["blocks.1"].units == 6
    assert network.input.mean == (0.5, 0.5, 0.5)
    pictures = np.random.default_rng(0).random((2, 32, 32, 3)).astype(np.float32)
    expected = as_network(module, input_size=32, normalise="-1..1").respond(pictures, ["head"])["head"]
    np.testing.assert_allclose(network.respond(pictures, ["head"])["head"], expected, rtol=1e-4, atol=1e-5)


def test_files_that_hold_something_else_are_told_apart(tmp_path: Path) -> None:
    def message(name: str) -> str:
        with pytest.raises(WrongInput) as caught:
            zoo.load(str(tmp_path / name), normalise="0..1")
        return str(caught.value)

    module = models.plain().eval()
    torch.save(module.state_dict(), tmp_path / "state.pt")
    torch.save(module, tmp_path / "module.pt")
    torch.save(module.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    torch.export.save(torch.export.export(module, (torch.rand(1, 3, 32, 32),)), tmp_path / "exported.pt2")
    scripted(module).save(str(tmp_path / "whole.pt"))
    content = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[: len(content) // 2])
    middle = content.index(b"constants.pkl") + 100
    (tmp_path / "spoilt.pt").write_bytes(content[:middle] + b"\xff" * 200 + content[middle + 200 :])
    for name in ("state.pt", "module.pt", "old.pt", "cut.pt"):
        assert "is no TorchScript program: a state dictionary needs the network" in message(name)
    assert "was written by torch.export.save, and reading it would run what is pickled" in message("exported.pt2")
    assert "cannot be read as TorchScript" in message("spoilt.pt") or "is no TorchScript" in message("spoilt.pt")
    assert "there is no such file" in message("none.pt")


class Reads(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.from_file("/etc/passwd", False, 4).mean()


def test_a_program_in_memory_that_touches_files_is_refused() -> None:
    with pytest.raises(WrongInput, match="holds 'from_file', which may touch files"):
        wrap(scripted(nn.Sequential(models.plain(), Reads())))


WRITING = {
    "a word": "torch.save(x, MARK)",
    "an operator": "ops.aten.save(x, MARK)",
    "another name": "f = torch.save\n    _1 = f(x, MARK)",
    "another module": "t = torch\n    _1 = t . save (x, MARK)",
    "a string": "_1 = getattr(torch, 'save')(x, MARK)",
    "an escape": '_1 = getattr(torch, "s\\141ve")(x, MARK)',
    "two strings": '_1 = getattr(torch, "sa" "ve")(x, MARK)',
}


PLACES = {"forward": r"return .*\(x, \)", "__setstate__": "self.training = ", "helper": r"return torch\.add"}


@pytest.mark.parametrize(
    ("way", "place"), [*((way, "forward") for way in WRITING), ("a word", "__setstate__"), ("a word", "helper")]
)
def test_a_file_whose_program_writes_files_is_refused_before_it_runs(tmp_path: Path, way: str, place: str) -> None:
    class Stateful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.number = 1

        @torch.jit.export
        def __getstate__(self) -> tuple[Tensor, bool]:
            return torch.zeros(1), self.training

        @torch.jit.export
        def __setstate__(self, state: tuple[Tensor, bool]) -> None:
            x, self.training = state
            self.number = len(x)

        def forward(self, x: Tensor) -> Tensor:
            return helper(x)

    mark, path = tmp_path / "mark", tmp_path / "net.pt"
    scripted(Stateful()).save(str(tmp_path / "plain.pt"))
    code = WRITING[way].replace("MARK", f'"{mark}"')
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(path, "w") as changed:
        for item in plain.infolist():
            content = plain.read(item).decode(errors="surrogateescape")
            if item.filename.endswith(".py"):
                content = re.sub(rf"( +)({PLACES[place]})", r"\1{}\n\1\2", content).replace("{}", code)
            changed.writestr(item.filename, content.encode(errors="surrogateescape"))
    with pytest.raises(WrongInput, match=r"holds '(save|getattr)', which may touch files"):
        zoo.load(str(path), input_size=32, normalise="0..1")
    assert not mark.exists()
    torch.jit.load(str(path))(torch.ones(1))
    assert mark.exists()  # it would have


def test_names_that_are_no_words_are_read_all_the_same(tmp_path: Path) -> None:
    nested = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.ReLU())))
    scripted(nested).save(str(tmp_path / "net.pt"))
    assert {"0.0", "0.1.0"} <= set(zoo.load(str(tmp_path / "net.pt"), input_size=32, normalise="0..1").layers)
