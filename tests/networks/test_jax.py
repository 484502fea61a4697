"""JAX's adapter: functions, linen and nnx against the contract, and the habits and faults of their models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tests.contracts import networks as contract
from tests.contracts import oracles

from neuronatlas.errors import NoPictures, WrongInput
from neuronatlas.networks import Network, as_network

jax = pytest.importorskip("jax")
pytest.importorskip("flax")
from flax import linen, nnx  # noqa: E402 - it needs JAX
from jax import numpy as jnp  # noqa: E402
from tests.networks import jax_models as models  # noqa: E402

SIZE = (16, 16)
PLAIN = {"stem": "stem", "norm": "norm", "deep": "deep", "head": "head"}
SOWN = {"stem": "stem", "norm": "norm", "bend": "bend", "deep": "deep", "last": "last", "head": "head"}
RESIDUAL = {
    "stem": "stem",
    "first/one": "first.one",
    "first/two": "first.two",
    "first": "first",
    "second/one": "second.one",
    "second": "second",
    "head": "head",
}
TRANSFORMER = {
    "patches": "patches",
    "before": "before",
    "attention": "attention",
    "wide": "wide",
    "narrow": "narrow",
    "head": "head",
}


@pytest.fixture(scope="module", autouse=True)
def _quickly_compiled() -> Iterator[None]:
    """Small networks take far longer to optimise than to run."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def wrap(model: Any, parameters: Any = None, oracle: oracles.Oracle | None = None, **given: Any) -> Network:
    size = oracle.size if oracle is not None else SIZE
    return as_network(model, parameters=parameters, **{"input_size": size, "normalise": oracles.NORMALISE} | given)


def twin(network: Network, oracle: oracles.Oracle, pairs: dict[str, str]) -> None:
    """The parts of the contract that take little time to compile."""
    contract.check_table(network, oracle, pairs)
    names = list(pairs)
    shown = oracles.pictures(2, oracle.size)
    with torch.no_grad():
        found = contract.outputs(network, names, shown)
        expected = contract.outputs(oracle.network, list(pairs.values()), shown)
    for name in names:
        torch.testing.assert_close(found[name], expected[pairs[name]], rtol=1e-4, atol=1e-4)
    last = names[-1]
    slope, theirs = (
        contract.slopes(each, {layer: 1}, shown) for each, layer in ((network, last), (oracle.network, pairs[last]))
    )
    torch.testing.assert_close(slope, theirs, rtol=1e-3, atol=1e-5)
    assert float(theirs.abs().max()) > 1e-3


def first(x: Any) -> Any:
    """A picture's own colours, as a map of three units."""
    return jnp.tanh(2 * x)


def test_linen_fulfils_the_contract() -> None:
    oracle = oracles.plain()
    variables = models.variables(oracle.weights)
    network = wrap(models.LinenPlain(), variables, oracle)
    contract.check_table(network, oracle, SOWN)
    contract.check_contract(network, oracle, {name: SOWN[name] for name in ("norm", "last", "head")})
    np.testing.assert_array_equal(variables["batch_stats"]["norm"]["mean"], oracle.weights["norm.running_mean"])


def test_nnx_fulfils_the_contract() -> None:
    oracle = oracles.residual()
    module = models.filled(models.NnxResidual, oracle.weights)
    module.train()
    before = nnx.to_pure_dict(nnx.state(module))
    network = wrap(module, oracle=oracle)
    contract.check_table(network, oracle, RESIDUAL)
    contract.check_contract(network, oracle, {name: name for name in ("stem", "first", "head")}, wakes=False)
    jax.tree.map(np.testing.assert_array_equal, nnx.to_pure_dict(nnx.state(module)), before)


def test_a_function_is_the_twin_of_torch() -> None:
    oracle = oracles.plain()
    network = wrap(models.plain, models.turned(oracle.weights), oracle)
    assert [layer.kind for layer in network.layers.values()] == ["function"] * 4
    shown = oracles.pictures(2, oracle.size)
    names = list(PLAIN)
    assert list(network.layers) == names, "they are not in the order of computation"
    with torch.no_grad():
        found, expected = (contract.outputs(each, names, shown) for each in (network, oracle.network))
    for name in names:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        contract.slopes(network, {"head": 1}, shown),
        contract.slopes(oracle.network, {"head": 1}, shown),
        rtol=1e-3,
        atol=1e-5,
    )


def test_a_function_of_one_array_has_one_layer() -> None:
    oracle = oracles.residual()
    network = wrap(jax.jit(models.residual), models.turned(oracle.weights), oracle)
    shown = (oracles.pictures(2, oracle.size).permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)
    np.testing.assert_allclose(
        network.respond(shown, ["output"])["output"],
        oracle.network.respond(shown, ["head"])["head"],
        rtol=1e-3,
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("build", "oracle", "pairs"),
    [
        (lambda weights: models.filled(models.NnxPlain, weights), oracles.plain, PLAIN),
        (lambda weights: models.LinenResidual().bind(models.variables(weights)), oracles.residual, RESIDUAL),
        (lambda weights: models.LinenTransformer().bind(models.variables(weights)), oracles.transformer, TRANSFORMER),
        (lambda weights: models.filled(models.NnxTransformer, weights), oracles.transformer, TRANSFORMER),
    ],
)
def test_other_modules_are_the_twins_of_torch(
    build: Callable[[Any], Any], oracle: Callable[[], oracles.Oracle], pairs: dict[str, str]
) -> None:
    twin_of = oracle()
    network = wrap(build(twin_of.weights), oracle=twin_of)
    pairs = {name: other for name, other in pairs.items() if other != "attention"} | (
        {"attention": "attention"} if "attention" in pairs else {}
    )
    order = [name for name in network.layers if name in pairs]
    twin(network, twin_of, {name: pairs[name] for name in order})


def test_parameters_alone_are_variables_too() -> None:
    oracle = oracles.residual()
    whole = models.variables(oracle.weights)
    one, other = (wrap(models.LinenResidual(), each, oracle) for each in (whole, whole["params"]))
    assert one.fingerprint == other.fingerprint
    changed = whole | {"params": whole["params"] | {"head": {"kernel": whole["params"]["head"]["kernel"] * 2}}}
    assert wrap(models.LinenResidual(), changed, oracle).fingerprint != one.fingerprint


def test_paths_of_a_tree_are_names_and_what_has_no_units_says_why() -> None:
    def apply(parameters: Any, x: Any) -> Any:
        return {
            "maps": [first(x), {"deep": first(x) * parameters}],
            "count": jnp.argmax(x, 3),
            "sum": x.sum(),
            "word": "x",
        }

    network = wrap(apply, jnp.float32(2))
    assert list(network.layers) == ["maps/0", "maps/1/deep"]
    assert "no floating point" in network.unusable["count"]
    assert "has shape ()" in network.unusable["sum"]


def test_rectifiers_are_found_in_what_is_computed() -> None:
    def apply(parameters: Any, x: Any) -> Any:
        low = x - parameters
        return {
            "low": low,
            "relu": jax.nn.relu(low),
            "six": jax.nn.relu6(low),
            "max": jnp.maximum(low, 0),
            "two": jnp.maximum(low, 2),
        }

    network = wrap(apply, jnp.float32(9))
    shown = oracles.pictures(1, SIZE)
    for name in ("relu", "six", "max", "two"):
        assert float(contract.slopes(network, {name: 1}, shown).abs().max()) == 0
        woken = contract.slopes(network, {name: 1}, shown, wake=True)
        assert bool(woken.abs().max() > 0) == (name != "two"), name


def test_a_shared_module_has_a_layer_for_every_call() -> None:
    class Twice(nnx.Module):
        def __init__(self) -> None:
            self.part = nnx.Conv(3, 3, (1, 1), rngs=nnx.Rngs(0))

        def __call__(self, x: Any) -> Any:
            return self.part(self.part(x))

    class LinenTwice(linen.Module):
        @linen.compact
        def __call__(self, x: Any) -> Any:
            part = linen.Conv(3, (1, 1), name="part")
            return part(part(x))

    module = LinenTwice()
    variables = module.init(jax.random.key(0), jnp.zeros((1, *SIZE, 3)))
    for network in (wrap(Twice()), wrap(module, variables)):
        assert list(network.layers) == ["part#0", "part#1"]
        assert {layer.kind for layer in network.layers.values()} == {"convolution"}


def test_parts_inside_a_transformation_are_left_out() -> None:
    class Remade(nnx.Module):
        def __init__(self) -> None:
            self.stem = nnx.Conv(3, 3, (1, 1), rngs=nnx.Rngs(0))
            self.inner = nnx.Conv(3, 3, (1, 1), rngs=nnx.Rngs(1))

        def __call__(self, x: Any) -> Any:
            return nnx.remat(lambda part, y: part(y))(self.inner, self.stem(x))

    network = wrap(Remade())
    assert list(network.layers) == ["stem", "output"]
    assert not network.unusable
    shown = oracles.pictures(1, SIZE)
    assert float(contract.slopes(network, {"output": 1}, shown).abs().max()) > 0


def test_m1_a_model_that_cannot_be_told_to_rest_says_so() -> None:
    class Restless(linen.Module):
        @linen.compact
        def __call__(self, x: Any) -> Any:
            return linen.Dropout(0.5, deterministic=False)(linen.Conv(3, (1, 1))(x))

    variables = Restless().init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, jnp.zeros((1, *SIZE, 3)))
    with pytest.raises(WrongInput, match=r"takes none of the arguments train, .*deterministic"):
        assert wrap(Restless(), variables).layers


def test_channels_may_come_first() -> None:
    def apply(parameters: Any, x: Any) -> Any:
        return first(x) * parameters

    last, leading = (
        wrap(apply, jnp.float32(1), data_format=word, input_size=(12, 16))
        for word in ("channels_last", "channels_first")
    )
    assert last.layers["output"].shape == leading.layers["output"].shape == (3, 12, 16)
    shown = oracles.pictures(2, (12, 16))
    one, other = (contract.outputs(each, ["output"], shown)["output"] for each in (last, leading))
    torch.testing.assert_close(one, other)


def test_half_precision_is_returned_as_single() -> None:
    network = wrap(lambda parameters, x: first(x.astype(jnp.bfloat16)) * parameters, jnp.bfloat16(1))
    found = contract.outputs(network, ["output"], oracles.pictures(1, SIZE))["output"]
    assert found.dtype == torch.float32
    assert contract.slopes(network, {"output": 0}, oracles.pictures(1, SIZE)).dtype == torch.float32


def test_m11_where_no_gradient_comes_back_pictures_are_refused() -> None:
    def apply(parameters: Any, x: Any) -> Any:
        return {"sign": jnp.sign(first(x) - parameters), "silent": jax.nn.relu(first(x) - 9)}

    network = wrap(apply, jnp.float32(0.1))
    shown = oracles.pictures(1, SIZE)
    with pytest.raises(NoPictures, match="layer 'sign' gives responses and maps, but no pictures"):
        contract.slopes(network, {"sign": 1}, shown)
    assert float(contract.slopes(network, {"silent": 1}, shown).abs().max()) == 0


def test_numbers_among_the_parameters_are_in_the_fingerprint() -> None:
    scales: list[Any] = [1.0, 2.0, np.float32(3), np.float32(4), 5, 6, "name", None]
    networks = [wrap(lambda p, x: x * p["w"], {"w": jnp.ones(3), "s": scale}) for scale in scales]
    assert len({network.fingerprint for network in networks}) == 7  # a word and nothing are no weights


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(WrongInput, match="parameters is missing"):
        wrap(models.LinenResidual())
    with pytest.raises(WrongInput, match=r"does not take pictures of shape \(1, 16, 16, 3\): KeyError"):
        assert wrap(lambda parameters, x: parameters["no"] * x, {"w": jnp.ones(3)}).layers
    with pytest.raises(WrongInput, match=r"Concretization|TracerBool"):
        assert wrap(lambda parameters, x: x if x.sum() > 0 else -x, {"w": jnp.ones(3)}).layers
