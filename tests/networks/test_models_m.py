"""The cases M1 to M22 of the reliability plan, one real module each; what is rarer stands in `test_torch`."""

from __future__ import annotations

import warnings
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.networks import models
from tests.networks.test_torch import hooks_left, state
from torch import Tensor, nn

import neuronatlas
from neuronatlas import objectives
from neuronatlas.errors import NeuronAtlasError, NoPictures, WrongInput
from neuronatlas.networks import Network, as_network
from neuronatlas.rendering import render
from neuronatlas.responses import record
from neuronatlas.units import Unit

Make = Callable[[Tensor], object]


class Giving(nn.Module):
    """Gives what a function makes of its input."""

    def __init__(self, make: Make) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: Tensor) -> object:
        return self.make(x)


@pytest.fixture
def pictures(rng: np.random.Generator) -> np.ndarray:
    return rng.random((3, 32, 32, 3)).astype(np.float32)


def adapted(module: nn.Module, size: int | tuple[int, int] = 32, normalise: object = models.PLAIN) -> Network:
    return as_network(module, input_size=size, normalise=normalise)  # type: ignore[arg-type]


def values_of(module: nn.Module, pictures: np.ndarray) -> np.ndarray:
    """The outputs of a module in evaluation mode."""
    with torch.no_grad():
        return module.eval()(torch.from_numpy(pictures).permute(0, 3, 1, 2)).numpy()


def test_m01_training_mode_is_set_aside_restored_and_told(pictures: np.ndarray) -> None:
    module = nn.Sequential(models.plain(), nn.Dropout(0.5), nn.Conv2d(8, 4, 1)).train()
    network = adapted(module)
    assert network.notes == ("it was in training mode, which is set aside while it is used",)
    first, second = (network.respond(pictures, ["2"])["2"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert all(part.training for part in module.modules())
    assert adapted(module.eval()).notes == ()


def test_m02_statistics_of_batch_norms_stay(pictures: np.ndarray) -> None:
    module = models.plain().train()
    before = state(module)
    network = adapted(module)
    record(network, pictures)
    render(network, "5:1", steps=2)
    assert state(module) == before


def test_m03_nothing_is_left_behind_after_an_exception() -> None:
    module = models.fixed().train()
    network = adapted(module)
    with network.capture(["3"]) as run, pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        run(torch.rand(1, 3, 40, 40))
    assert hooks_left(module) == 0
    assert all(part.training for part in module.modules())
    assert all(weight.requires_grad for weight in module.parameters())


def test_m04_values_are_those_before_an_operation_in_place(pictures: np.ndarray) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
    found = adapted(module).respond(pictures, ["0", "1"])
    np.testing.assert_allclose(found["0"], values_of(module[0], pictures).mean((2, 3)), atol=1e-6)
    assert found["0"].min() < 0 <= found["1"].min()


def test_m05_calls_of_a_shared_module_are_numbered(pictures: np.ndarray) -> None:
    module = models.Shared()
    network = adapted(module)
    assert list(network.layers) == ["first", "rectifier#0", "second", "rectifier#1"]
    found = network.respond(pictures, ["rectifier#1"])["rectifier#1"]
    np.testing.assert_allclose(found, values_of(module, pictures).mean((2, 3)), rtol=1e-5)


Pair = namedtuple("Pair", "low high")


def test_m06_nested_outputs_are_addressed_by_their_path(pictures: np.ndarray) -> None:
    part = Giving(lambda x: {"maps": [x + 1, (x * 2,)], "pair": Pair(x.mean((2, 3)), x * 3)})
    network = adapted(models.Returning(part))
    found = network.respond(pictures, ["stem", "part.maps.0", "part.maps.1.0", "part.pair.low", "part.pair.high"])
    for name, values in zip(list(found)[1:], (found["stem"] + 1, *(found["stem"] * k for k in (2, 1, 3))), strict=True):
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-6)


def test_m07_what_is_no_tensor_is_listed_with_the_reason() -> None:
    network = adapted(models.Returning(Giving(lambda x: (x.argmax(1), "text", None))))
    assert list(network.layers) == ["stem"]
    reasons = {name: network.unusable[name].partition(",")[0] for name in ("part.0", "part.1", "part.2")}
    assert reasons["part.1"] == "its output is a str"
    assert reasons["part.2"] == "its output is a NoneType"
    with pytest.raises(WrongInput, match=r"layer 'part.0' cannot be used: its output has shape \(1, 32, 32\) and type"):
        render(network, "part.0:1", steps=1)


class Attending(nn.Module):
    """torch's own attention, which takes the weights of ``attention.out_proj`` and never calls it."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, stride=8)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(self.patches(x).flatten(2).transpose(1, 2))


def test_m08_tokens_of_patches_are_a_map(pictures: np.ndarray) -> None:
    """With a class token and registers: `test_transformers`."""
    module = models.seeded(Attending())
    network = adapted(module)
    assert network.layers["encoder"].shape == (8, 4, 4)
    expected = values_of(module, pictures)
    np.testing.assert_allclose(network.respond(pictures, ["encoder"])["encoder"], expected.mean(1), atol=1e-5)
    one = network.respond(pictures, ["encoder"], reduce=(2, 1))["encoder"]
    np.testing.assert_allclose(one, expected[:, 9], atol=1e-5)


def test_m09_what_is_fused_is_said_and_gives_no_empty_layer() -> None:
    network = adapted(models.seeded(Attending()))
    assert "encoder.self_attn.out_proj" not in network.layers
    assert "is not called in a forward pass" in network.unusable["encoder.self_attn.out_proj"]
    assert {"encoder.self_attn.0", "encoder.linear1", "encoder.norm2"} <= set(network.layers)
    assert network.unusable["encoder.self_attn.1"] == "its output is a NoneType, not a tensor"
    with pytest.raises(WrongInput, match=r"'encoder.self_attn.out_proj' cannot be used: it is not called"):
        render(network, "encoder.self_attn.out_proj:0", steps=1)


def test_m10_a_compiled_module_is_unwrapped() -> None:
    module = models.plain()
    network = adapted(torch.compile(module, backend="eager"))  # type: ignore[arg-type]
    assert list(network.layers) == ["0", "1", "2", "3", "4", "5"]
    assert network.fingerprint == adapted(module).fingerprint


def test_m11_what_cannot_be_differentiated_gives_responses_and_no_pictures(pictures: np.ndarray) -> None:
    """By operator in TorchScript: `test_script`; here by module."""
    network = adapted(nn.Sequential(models.plain(), Giving(lambda x: (x > 0.2).float())))
    assert 0 < network.respond(pictures, ["1"])["1"].mean() < 1
    with pytest.raises(
        WrongInput, match=r"no pictures: what its module '1' \(Giving\) computes cannot be differentiated"
    ):
        render(network, "1:0", steps=1)


class Quantisable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
        self.convolution, self.rectifier = nn.Conv2d(3, 4, 3, stride=2), nn.ReLU()
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.rectifier(self.convolution(self.quant(x)))
        return self.head(self.dequant(x).mean((2, 3)))


@pytest.mark.filterwarnings("ignore:.*torch.ao.quantization is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*:UserWarning:torch.ao")
@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")
@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_m12_quantised_modules_give_responses_and_no_pictures(kind: str, pictures: np.ndarray) -> None:
    engine = torch.backends.quantized.engine
    torch.backends.quantized.engine = next(
        each for each in ("x86", "fbgemm", "qnnpack") if each in torch.backends.quantized.supported_engines
    )
    try:
        plain = models.seeded(Quantisable()).eval()
        expected = values_of(plain, pictures)
        if kind == "dynamic":
            module = torch.ao.quantization.quantize_dynamic(plain, {nn.Linear}, dtype=torch.qint8)
        else:
            for part in (plain.quant, plain.convolution, plain.rectifier, plain.dequant):
                part.qconfig = torch.ao.quantization.get_default_qconfig(torch.backends.quantized.engine)
            module = torch.ao.quantization.prepare(plain)
            module(torch.from_numpy(pictures).permute(0, 3, 1, 2))
            module = torch.ao.quantization.convert(module)
        network = adapted(module)
        layer = "head" if kind == "dynamic" else "convolution"
        assert network.layer(layer).units == {"head": 5, "convolution": 4}[layer]
        found = network.respond(pictures, dict.fromkeys([layer, "head"]))
        assert found[layer].dtype == np.float32
        np.testing.assert_allclose(found["head"], expected, atol=0.05 * np.abs(expected).max() + 0.01)
        assert len(network.fingerprint) == 64
        with pytest.raises(WrongInput, match=r"but no pictures: its module '\w+' is quantised"):
            render(network, f"{layer}:1", steps=1)
        if kind == "dynamic":
            assert render(network, "convolution:1", steps=1).status == ""
    finally:
        torch.backends.quantized.engine = engine


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_m13_half_precision_is_computed_in_full_and_told(dtype: torch.dtype, pictures: np.ndarray) -> None:
    module = models.plain().eval().to(dtype)
    network = adapted(module)
    name = str(dtype).removeprefix("torch.")
    assert network.notes == (f"its weights are {name}; on this processor a copy in float32 is used",)
    assert next(module.parameters()).dtype == dtype
    full = models.plain().to(dtype).float()
    np.testing.assert_allclose(
        network.respond(pictures, ["5"])["5"], values_of(full, pictures).mean((2, 3)), rtol=1e-4, atol=1e-5
    )
    assert render(network, "5:1", steps=2).status == ""


class Fickle(nn.Module):
    """Comes to ``sometimes`` only with dark pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.always, self.sometimes, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        dark = x.mean() <= 0.5
        x = self.always(x)
        return self.last(self.sometimes(x) if dark else x)


def test_m14_a_layer_that_is_not_always_reached_is_left_out_with_the_reason() -> None:
    network = adapted(Fickle().eval())
    shown = np.full((70, 32, 32, 3), 0.2, np.float32)
    whole = record(network, shown)
    assert whole.notes == ()
    shown[40:] = 0.9
    found = record(network, shown)
    assert found.notes == ("layer 'sometimes' is left out: it was not reached with stimuli 32 to 63",)
    assert [unit.layer for unit in found.units] == ["always"] * 4 + ["last"] * 2
    again = record(network, shown, layers=["always", "last"])
    np.testing.assert_array_equal(found.values, again.values)
    with pytest.raises(NeuronAtlasError, match="layer 'sometimes' was not reached in this forward pass"):
        record(network, shown, layers=["sometimes"])


def test_m15_fixed_sizes_and_channels_are_found_by_trying() -> None:
    fixed = adapted(models.fixed(32), 224)
    tried = r"takes pictures of 3 x 224 x 224|does not take pictures of 3 x 224 x 224 .*28, 32, 64, .* pixels it takes 32: give input_size=32"
    with pytest.raises(WrongInput, match=tried):
        fixed.layers  # noqa: B018
    oblong = models.seeded(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 12 * 20, 5)))
    with pytest.raises(WrongInput, match=r"it takes none: give the input_size, \(height, width\)"):
        adapted(oblong, 32).layers  # noqa: B018
    network = adapted(oblong, (12, 20))
    assert network.layers["0"].shape == (4, 12, 20)
    assert render(network, "2:1", steps=2).image.shape == (12, 20, 3)
    grey = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    with pytest.raises(WrongInput, match=r"Its first convolution takes 1 channels: give normalise=\(mean, std\)"):
        adapted(grey).layers  # noqa: B018
    assert adapted(grey, normalise="-1..1").input.channels == 1


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_m17_pictures_have_as_many_planes_as_the_network_takes(channels: int, rng: np.random.Generator) -> None:
    module = models.seeded(nn.Sequential(nn.Conv2d(channels, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 3, 3)))
    network = adapted(module, normalise=([0.5] * channels, [0.25] * channels))
    found = record(network, rng.random((2, 32, 32, channels)).astype(np.float32), layers=["2"])
    assert found.values.shape == (2, 3)
    made = render(network, "2:1", steps=4)
    assert made.image.shape[2] == channels
    assert made.status == ""
    if channels == 1:
        assert made.png().startswith(b"\x89PNG")
    else:
        with pytest.raises(
            WrongInput, match=rf"a picture of {channels} planes has no colours of its own: choose three"
        ):
            made.png()
        assert made.planes(0, 1, 1).shape[2] == 3


def test_m18_broken_weights_are_refused_by_the_name_of_the_first_bad_module() -> None:
    module = nn.Sequential(models.plain(), nn.Sequential(nn.Conv2d(8, 8, 3)))
    with torch.no_grad():
        module[0][4].running_var[2] = torch.nan
        module[1][0].weight[0, 0, 0, 0] = torch.inf
    with pytest.raises(WrongInput, match=r"'weight' of its module '1.0' holds 1 of 576 numbers that are not finite"):
        adapted(module)
    module[1][0].weight.data.nan_to_num_(0, 0, 0)
    with pytest.raises(WrongInput, match=r"'running_var' of its module '0.4' holds 1 of 8 numbers"):
        adapted(module)
    module[0][4].running_var.nan_to_num_(1)
    module.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    assert adapted(module).layers


def test_m19_lazy_modules_are_given_their_shapes_first(pictures: np.ndarray) -> None:
    module = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))
    network = adapted(module)
    assert "8 of its weights had no shape, and have random numbers now" in network.notes[0]
    assert network.layers["4"].shape == (5,)
    assert module[0].weight.shape == (4, 3, 3, 3)
    assert module.training
    assert network.respond(pictures, ["4"])["4"].shape == (3, 5)


def test_m20_wrappers_are_taken_off_and_spread_modules_refused() -> None:
    module = models.plain()
    assert adapted(nn.DataParallel(module)).fingerprint == adapted(module).fingerprint
    half = nn.Sequential(models.plain(), nn.Conv2d(8, 4, 1, device="meta"))
    with pytest.raises(WrongInput, match=r"has no weights: '1.weight' is on the device 'meta'"):
        adapted(half)
    import torch.distributed as dist
    from torch.distributed.fsdp import fully_shard

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        try:
            sharded = fully_shard(models.plain(), mesh=torch.distributed.init_device_mesh("cpu", (1,)))
            with pytest.raises(WrongInput, match=r"is sharded \(FSDP\): no process has all of its weights"):
                adapted(sharded)
        finally:
            dist.destroy_process_group()


HOSTILE = ("con", "A" * 300, "a" * 300, "🙂 é", "a#0", "x:3", "<img src=x onerror=alert(1)>", "C\\:", "new\nline")
KEYS = ("../..", "/etc/passwd", "cls")


class Hostile(nn.Module):
    """Parts with names that no file may have, one inside the other."""

    def __init__(self) -> None:
        super().__init__()
        for name in HOSTILE:
            self.add_module(name, nn.Conv2d(3, 3, 1))
        self.outputs = Giving(lambda x: {key: x + place for place, key in enumerate(KEYS)})
        models.seeded(self)

    def forward(self, x: Tensor) -> Tensor:
        for name in HOSTILE:
            x = self.get_submodule(name)(x)
        self.outputs(x)
        return x


def test_m21_hostile_names_are_text_and_nothing_else(tmp_path: Path, rng: np.random.Generator) -> None:
    network = adapted(Hostile().eval(), 16)
    names = [*HOSTILE, *(f"outputs.{key}" for key in KEYS)]
    assert list(network.layers) == names
    for name in names:
        assert Unit.parse(str(Unit(name, 2))) == Unit(name, 2)
    made = render(network, [Unit(name, 1) for name in names], steps=1, canvas=16)
    assert [one.objective for one in made] == [f"{name}:1" for name in names]
    found = record(network, rng.random((5, 16, 16, 3)).astype(np.float32))
    found.save(tmp_path / "table.safetensors")
    assert neuronatlas.table.Responses.load(tmp_path / "table.safetensors").units == found.units
    (tmp_path / "photos").mkdir()
    for number in range(6):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / "photos" / f"{number}.png")
    before = sorted(path.name for path in tmp_path.iterdir())
    atlas = neuronatlas.build(network, tmp_path / "photos", tmp_path / "my.atlas", units=1)
    assert [entry.name for entry in atlas.manifest.layers] == names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "my.atlas"])
    written = [path.relative_to(atlas.folder).as_posix() for path in atlas.folder.rglob("*")]
    assert all(
        path.isascii() and len(path) < 100 and ".." not in path and "con" not in path.split("/") for path in written
    )
    page = (atlas.folder / "site" / "index.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page


class Hungry(nn.Module):
    """Has memory for so many pictures whose gradient is wanted, and for twice as many without."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.most = 0

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > (self.room if x.requires_grad else max(1, 2 * self.room)):
            message = "CUDA out of memory. Tried to allocate 20.00 GiB."
            raise torch.OutOfMemoryError(message)
        return x + 0


@pytest.fixture
def hungry() -> Callable[[int], Network]:
    return lambda room: adapted(nn.Sequential(models.plain(), Hungry(room)).eval())


def test_m22_tiles_are_halved_until_they_fit(hungry: Callable[[int], Network], pictures: np.ndarray) -> None:
    units = [f"1:{unit}" for unit in range(6)]
    options = {"preset": "lucid", "steps": 3, "canvas": 32}
    made = render(hungry(2), units, workers=1, **options)
    expected = render(hungry(64), units, workers=1, **options)
    assert [one.status for one in made] == [one.status for one in expected]
    assert [one.status for one in made].count("") >= 5
    for one, other in zip(made, expected, strict=True):
        np.testing.assert_allclose(one.image, other.image, atol=0.05)
    many = np.concatenate([pictures] * 4)
    np.testing.assert_allclose(
        hungry(2).respond(many, ["1"])["1"], hungry(64).respond(many, ["1"])["1"], rtol=1e-4, atol=1e-6
    )


def test_m22_a_picture_that_does_not_fit_alone_is_given_up_and_work_goes_on(hungry: Callable[[int], Network]) -> None:
    made = render(hungry(0), ["1:0", "0.3:0", "1:1"], steps=3)
    assert [one.status for one in made] == ["oom", "", "oom"]
    assert made[0].reason.startswith("memory ran out with this picture alone: CUDA out of memory")
    assert (made[0].image == 0.5).all()
    assert np.isnan(made[0].score)
    assert made[0].image.shape == made[1].image.shape or made[0].image.ndim == 3
    joint = render(hungry(1), ["1:0", "1:1"], together=objectives.alignment("1"), steps=2)
    assert [one.status for one in joint] == ["oom", "oom"]


def test_other_errors_are_not_taken_for_too_little_memory() -> None:
    class Wrong(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.requires_grad:
                message = "something else"
                raise RuntimeError(message)
            return x + 0

    with pytest.raises(RuntimeError, match="something else"):
        render(adapted(nn.Sequential(models.plain(), Wrong())), "1:0", steps=2)


def test_m11_a_module_that_leaves_torch_gives_responses_and_no_pictures(pictures: np.ndarray) -> None:
    leaving = Giving(lambda x: torch.from_numpy(np.sqrt(np.abs(x.numpy()))))
    network = adapted(nn.Sequential(nn.Conv2d(3, 4, 3), leaving))
    assert network.respond(pictures, ["1"])["1"].shape == (3, 4)
    with pytest.raises(NoPictures, match=r"layer '1' .* gives responses and maps, but no pictures: Can't call numpy"):
        render(network, "1:0", steps=1)
    assert render(network, "0:0", steps=1).status == ""


def test_networks_of_one_module_are_used_one_after_the_other() -> None:
    module = models.plain()
    first, second = adapted(module), adapted(module)
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad(), first.capture(["0"]) as run:
        with pytest.raises(NeuronAtlasError, match="is used inside a capture of itself"):
            second.layers  # noqa: B018
        assert module(images).shape == (1, 8, 16, 16)  # its owner's own call
        assert list(run(images)) == ["0"]
    with torch.no_grad(), second.capture(["5"]) as run:
        assert list(run(images)) == ["5"]


def test_m02_layers_whose_values_depend_on_the_other_pictures_are_named(pictures: np.ndarray) -> None:
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    network = adapted(nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.Conv2d(4, 4, 3)))
    assert list(network.layers) == ["0"]
    assert list(network.unusable) == ["1", "2", "3"]
    with pytest.raises(
        WrongInput, match="layer '1' cannot be used: its values depend on which other pictures are shown"
    ):
        network.respond(pictures, ["1"])
    with pytest.raises(WrongInput, match="has no layer that can be used: of each, its values depend on"):
        as_network(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)), input_size=8, normalise="0..1").layers  # noqa: B018
    kept = nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4), nn.GroupNorm(2, 4))
    assert not adapted(kept).unusable
