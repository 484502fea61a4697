"""Recording on folded copies, in several threads: the numbers of plain hooks, and the same bytes however many work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from tests.networks import models
from torch import Tensor, nn

from neuronatlas.errors import NeuronAtlasError, WrongInput
from neuronatlas.networks.base import NotReached
from neuronatlas.networks.folding import Passed
from neuronatlas.networks.pooling import pool
from neuronatlas.networks.threads import in_order
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.responses import pixels, record, recorded, reduced
from neuronatlas.stimuli import photographs


def shown(network: TorchNetwork, count: int = 5, seed: int = 0) -> np.ndarray:
    shape = (count, *network.input.size, network.input.channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def written_out(network: TorchNetwork, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Every layer's maps in double precision, from hooks of its own that copy what they see."""
    kept: dict[str, np.ndarray] = {}
    calls: dict[str, int] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: object, output: object) -> None:
            address = f"{name}#{calls.get(name, 0)}"
            calls[name] = calls.get(name, 0) + 1
            several = {f".{place}": each for place, each in enumerate(output)} if isinstance(output, tuple) else {}
            for path, tensor in (several or {"": output}).items():
                if isinstance(tensor, Tensor):
                    kept[address + path] = tensor.double().numpy().copy()

        return hook

    parts = [(name, part) for name, part in network.module.named_modules() if name]
    handles = [part.register_forward_hook(keep(name)) for name, part in parts]
    images = network.input.normalise(torch.from_numpy(pictures / np.float32(255)).permute(0, 3, 1, 2))
    with torch.no_grad():
        network.module.eval()(images.contiguous())
    for handle in handles:
        handle.remove()
    return {name: kept[network.place(name).address] for name in network.layers}


class Residual(nn.Module):
    """Convolution, batch norm, rectifier in place, and a sum; one rectifier called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.inner = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6))
        self.bare = nn.Sequential(nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6))
        self.rectifier = nn.ReLU(inplace=True)
        models.seeded(self)
        with torch.no_grad():
            self.norm.weight[1] *= -1  # a maximum is then that of the minimum
            self.inner[1].weight[2] *= -1  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        x = self.rectifier(self.norm(self.stem(x)))
        return self.rectifier(x + self.bare(self.inner(x)))


class Tokens(nn.Module):
    """Patches, a class token, an encoder layer, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.cls_token = nn.Conv2d(3, 16, 8, stride=8), nn.Parameter(torch.zeros(1, 1, 16))
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(16, 7)
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.encoder(torch.cat([self.cls_token.expand(len(x), -1, -1), patches], 1))[:, 0])


class Doubled(nn.Module):
    """What the convolution gives is doubled in place before the batch norm sees it: it is not to be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(x).mul_(2))


class KeptForLater(nn.Module):
    """A rectifier overwrites what is still wanted where a copy lets it: the sum is of the rectified and the plain."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm, self.rectifier = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.convolution(x))
        return self.rectifier(x) + x


class Shifted(nn.Module):
    """A rectifier in place of what was changed in place before: its maximum does not follow from the batch norm's."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm, self.rectifier = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.rectifier(self.norm(self.convolution(x)).add_(1))


def lost(how: str) -> nn.Module:
    """Convolution and batch norm, twice; one unit of the second is not to be told from what its batch norm gives."""
    module = models.plain()
    norm = module[4]  # type: ignore[index]
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        norm.weight[3] = {"nought": 0.0, "small": 1e-6}[how]
        norm.bias[3] = 1.0
    return module


MODULES: dict[str, Callable[[], nn.Module]] = {
    "plain": models.plain,
    "shared": models.Shared,
    "residual": Residual,
    "tokens": Tokens,
    "doubled": Doubled,
    "kept": KeptForLater,
    "shifted": Shifted,
    "dense": models.fixed,
    "nought": lambda: lost("nought"),
    "small": lambda: lost("small"),
}
FOLDED = {"plain": 2, "residual": 3, "kept": 1, "shifted": 1, "nought": 2, "small": 2}


@pytest.mark.parametrize("title", list(MODULES))
def test_recorders_give_what_plain_hooks_give(title: str) -> None:
    network = models.wrap(MODULES[title](), 32)
    pictures = shown(network)
    expected = written_out(network, pictures)
    twins = network.recorders(network.layers, copies=2)
    assert len(twins) == 2
    for twin in twins:
        assert isinstance(twin, TorchNetwork)
        assert sum(isinstance(part, Passed) for part in twin.module.modules()) == FOLDED.get(title, 0)
        means, maxima = twin.reduced(pictures, network.layers, ("mean", "max"))
        one = twin.respond(pictures, network.layers, reduce=(0, 0))
        for name, maps in expected.items():
            layer, view = network.layer(name), network.place(name).view
            output = view(torch.from_numpy(maps))
            places = tuple(range(2, output.ndim)) if len(layer.shape) != 2 else (1,)
            slack = 1e-5 * float(np.abs(maps[np.isfinite(maps)]).max())
            for found, wanted in (
                (means[name], output.mean(places) if places else output),
                (maxima[name], output.amax(places) if places else output),
                (one[name], pool(output, reduce=(0, 0))),
            ):
                np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=slack, err_msg=name)


def test_the_real_network_has_no_batch_norm_left_and_rectifies_in_place() -> None:
    network = models.efficientnet()
    names = [
        name for name in network.layers if name.startswith(("stem", "conv_stem", "blocks.0", "blocks.1", "blocks.2"))
    ]
    (twin,) = network.recorders(names)
    assert isinstance(twin, TorchNetwork)
    assert not [part for part in twin.module.modules() if isinstance(part, nn.BatchNorm2d | nn.ReLU6)]
    assert len(twin.undoing) == sum(network.layers[name].kind == "convolution" for name in names)
    real = photographs().items
    pictures = pixels(network, [real[number] for number in (0, 99, 200)])
    for reduce in ("mean", "max"):
        slow, quick = (each.respond(pictures, names, reduce=reduce) for each in (network, twin))
        for name in names:
            np.testing.assert_allclose(quick[name], slow[name], rtol=1e-4, atol=1e-5 * np.abs(slow[name]).max())


def test_a_network_with_hooks_of_its_own_is_recorded_as_it_is() -> None:
    network = models.wrap(models.plain(), 32)
    pictures = shown(network)
    before = network.respond(pictures, ["1", "2", "5"], reduce="max")
    handle = network.module[2].register_forward_hook(
        lambda _, __, output: output.index_fill(1, torch.tensor([3]), -1.0)
    )  # type: ignore[index, operator]
    assert network.recorders(network.layers, copies=2) == [network]
    found = network.respond(pictures, ["1", "2", "5"], reduce="max")
    np.testing.assert_array_equal(found["1"], before["1"])
    np.testing.assert_array_equal(found["2"][:, 3], -1)
    (table,) = recorded(network, [pictures], ["2"], reduce="max")
    np.testing.assert_array_equal(table["2"], found["2"])
    handle.remove()
    assert network.recorders(network.layers, copies=2) != [network]


def test_copies_share_weights_and_leave_the_network_as_it_was() -> None:
    network = models.wrap(models.plain(), 32)
    before = network.fingerprint
    network.module.train()
    one, two = network.recorders(["3"], copies=2)
    assert isinstance(one, TorchNetwork)
    assert isinstance(two, TorchNetwork)
    assert all(
        a.data_ptr() == b.data_ptr() for a, b in zip(one.module.parameters(), two.module.parameters(), strict=True)
    )
    del network.__dict__["fingerprint"]
    assert network.fingerprint == before
    assert all(weight.requires_grad for weight in network.module.parameters())
    assert network.module.training
    assert network.recorders(["3"], copies=2) == [one, two]
    with torch.no_grad():
        network.module[0].weight *= 2  # type: ignore[index, operator]
    assert network.recorders(["3"], copies=2) != [one, two]


def test_what_is_not_finite_passes_through() -> None:
    network = models.wrap(models.plain(), 32)
    pictures = shown(network) / np.float32(255)
    pictures[1, 4, 4], pictures[2, 5, 5] = np.nan, np.inf
    (twin,) = network.recorders(network.layers)
    assert twin is not network
    for reduce in ("mean", "max"):
        slow, quick = (each.respond(pictures, network.layers, reduce=reduce) for each in (network, twin))
        for name in ("1", "2", "4"):
            np.testing.assert_array_equal(np.isnan(quick[name]), np.isnan(slow[name]))
            np.testing.assert_array_equal(np.isnan(quick[name]).all(1), [False, True, True, False, False])


def batches(network: TorchNetwork, counts: tuple[int, ...] = (32, 32, 7, 32, 1)) -> Iterator[np.ndarray]:
    for seed, count in enumerate(counts):
        yield shown(network, count, seed)


@pytest.mark.parametrize("title", ["residual", "tokens", "doubled"])
def test_the_same_bytes_whatever_the_number_of_workers_and_threads(title: str) -> None:
    network = models.wrap(MODULES[title](), 48)
    found = []
    before = torch.get_num_threads()
    try:
        for workers, threads in ((1, 1), (2, 1), (3, 2), (7, 2), (1, 2), (None, 2)):
            torch.set_num_threads(threads)
            parts = list(recorded(network, batches(network), list(network.layers), workers=workers))
            assert torch.get_num_threads() == threads
            assert [len(next(iter(part.values()))) for part in parts] == [32, 32, 7, 32, 1]
            found.append(b"".join(part[name].tobytes() for part in parts for name in network.layers))
    finally:
        torch.set_num_threads(before)
    assert len(set(found)) == 1


def test_two_reductions_from_one_pass() -> None:
    network = models.wrap(Residual(), 32)
    both = list(reduced(network, batches(network, (3, 2)), network.layers, ("mean", "max"), workers=2))
    for place, reduce in enumerate(("mean", "max")):
        alone = list(recorded(network, batches(network, (3, 2)), network.layers, reduce=reduce, workers=1))
        for one, other in zip(both, alone, strict=True):
            for name in network.layers:
                np.testing.assert_array_equal(one[place][name], other[name])


class Sometimes(nn.Module):
    """A part that bright pictures alone go through."""

    def __init__(self) -> None:
        super().__init__()
        self.always, self.sometimes = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.always(x) if x.mean() >= 0.2 else self.always(x) + 0
        return self.sometimes(x) if x.shape[0] != 3 else x


@pytest.mark.parametrize("workers", [1, 3])
def test_what_goes_wrong_comes_after_what_went_well(workers: int) -> None:
    network = models.wrap(Sometimes(), 32)

    def breaking() -> Iterator[np.ndarray]:
        yield from batches(network, (5, 4))
        message = "no more"
        raise NeuronAtlasError(message)

    heard = []
    with pytest.raises(NeuronAtlasError, match="no more"):
        heard += [len(part["always"]) for part in recorded(network, breaking(), ["always"], workers=workers)]
    assert heard == []  # += of a list that was never finished
    found = recorded(network, breaking(), ["always"], workers=workers)
    assert [len(next(found)["always"]) for _ in range(2)] == [5, 4]
    with pytest.raises(NeuronAtlasError, match="no more"):
        next(found)
    found = recorded(network, batches(network, (5, 3, 5)), ["always", "sometimes"], workers=workers)
    assert len(next(found)["sometimes"]) == 5
    with pytest.raises(NotReached) as error:
        next(found)
    assert error.value.layers == ("sometimes",)
    table = record(network, shown(network, 35), workers=workers)
    assert table.notes == ("layer 'sometimes' is left out: it was not reached with stimuli 32 to 34",)
    assert {unit.layer for unit in table.units} == {"always"}
    with pytest.raises(WrongInput, match=r"workers \(=0\) must be at least 1"):
        list(recorded(network, batches(network, (2,)), ["always"], workers=0))


def test_few_items_are_drawn_ahead_and_threads_end() -> None:
    drawn: list[int] = []
    turns = threading.Lock()

    def items() -> Iterator[int]:
        for number in range(1000):
            assert turns.acquire(blocking=False)  # one thread at a time draws
            drawn.append(number)
            turns.release()
            yield number

    before = threading.active_count()
    made = in_order([lambda x: x * x] * 3, items())
    assert [next(made) for _ in range(10)] == [number**2 for number in range(10)]
    assert len(drawn) <= 10 + 2 * 3
    made.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert list(in_order([lambda x: x * x] * 3, range(50))) == [number**2 for number in range(50)]


def test_memory_that_runs_out_halves_the_pictures_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = models.wrap(models.plain(), 32)
    (twin,) = network.recorders(["5"])
    expected = twin.respond(shown(network, 16), ["5"])["5"]
    assert isinstance(twin, TorchNetwork)
    sizes: list[int] = []

    def refuse(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sizes.append(len(inputs[0]))
        if len(inputs[0]) > 5:
            message = "DefaultCPUAllocator: can't allocate memory: you tried to allocate"
            raise RuntimeError(message)

    handle = twin.module.register_forward_pre_hook(refuse)
    found = twin.respond(shown(network, 16), ["5"])["5"]
    handle.remove()
    assert sizes == [16, 8, 4, 4, 4, 4]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 8, 14, 14), (2, 24, 5, 7), (3, 16, 1, 9), (2, 4, 3, 300), (2, 5, 1, 1)])
def test_units_side_by_side_are_pooled_to_the_same_numbers(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    maps = rng.normal(size=shape).astype(np.float32)
    maps[0, 1, 0, 0], maps[0, 2, 0, 0] = np.nan, np.inf
    turned = torch.from_numpy(maps).contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(pool(turned), maps.astype(np.float64).mean((2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(pool(turned, reduce="max"), maps.max((2, 3)))
