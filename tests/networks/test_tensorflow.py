"""TensorFlow's adapter: every road into it against the contract, and the habits and faults of its graphs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.contracts import networks as contract
from tests.contracts import oracles

import neuronatlas
from neuronatlas import zoo
from neuronatlas.errors import WrongInput
from neuronatlas.networks import Network, as_network
from neuronatlas.networks.tensorflow.graph import tidied

tf = pytest.importorskip("tensorflow")
from tests.networks import tensorflow_models as models  # noqa: E402 - it needs TensorFlow

one = tf.compat.v1
SIZE = (16, 16)
KERNEL = np.random.default_rng(3).normal(0, 0.3, (3, 3, 3, 4)).astype(np.float32)


def built(body: Callable[..., Any] = models.plain, oracle: Callable[[], oracles.Oracle] = oracles.plain) -> Any:
    return models.Built(oracle().weights, body, oracle().size)


def saved(folder: Path) -> Path:
    module = built()
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return folder


def frozen(path: Path) -> Path:
    models.write_graph(built().serve.get_concrete_function(), str(path))
    return path


def checkpoint(folder: Path, *, resources: bool) -> Path:
    models.write_checkpoint(
        oracles.residual().weights, models.residual, str(folder / "model.ckpt-5"), resources=resources
    )
    return folder / "model.ckpt-5.meta"


def wrap(function: Callable[[Any], Any], shape: tuple[int | None, ...] = (None, *SIZE, 3), **given: Any) -> Network:
    """A function of pictures, traced for this shape."""
    spec = tf.TensorSpec(shape, given.pop("dtype", tf.float32))
    return as_network(tf.function(function, input_signature=[spec]), **{"normalise": "0..1"} | given)


def filtered(x: Any) -> Any:
    return tf.nn.relu(tf.nn.conv2d(x, KERNEL, 1, "SAME"))


def slope(network: Network, layer: str, count: int = 1, size: tuple[int, int] = SIZE) -> torch.Tensor:
    return contract.slopes(network, {layer: 1}, oracles.pictures(count, size))


def write(graph: Any, path: Path) -> str:
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return str(path)


def test_workers_share_one_function_and_change_nothing() -> None:
    network = wrap(filtered)
    layer = next(name for name, each in network.layers.items() if each.kind == "activation")
    units = [f"{layer}:{unit}" for unit in range(4)] * 10  # three tiles
    alone, several = (
        [made.image for made in neuronatlas.render(network, units, canvas=32, steps=6, workers=workers, seed=3)]
        for workers in (1, 3)
    )
    assert len(network.accelerated([layer], copies=3)) == 3
    for one_image, other in zip(alone, several, strict=True):
        np.testing.assert_array_equal(one_image, other)


def test_a_module_fulfils_the_contract() -> None:
    oracle, module = oracles.plain(), built()
    before = [weight.numpy() for weight in module.variables]
    network = as_network(module, input_size=oracle.size, normalise=oracles.NORMALISE)
    contract.check_contract(network, oracle, models.PLAIN)
    for weight, value in zip(module.variables, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_a_transformer_fulfils_the_contract() -> None:
    oracle = oracles.transformer()
    network = as_network(
        built(models.transformer, oracles.transformer), input_size=oracle.size, normalise=oracles.NORMALISE
    )
    contract.check_contract(network, oracle, models.TRANSFORMER, kinds=False)


def test_a_saved_model_fulfils_the_contract(tmp_path: Path) -> None:
    network = zoo.load(str(saved(tmp_path)), normalise=oracles.NORMALISE)
    contract.check_contract(network, oracles.plain(), models.PLAIN)


def test_a_checkpoint_of_tensorflow_1_fulfils_the_contract(tmp_path: Path) -> None:
    oracle = oracles.residual()
    path = checkpoint(tmp_path, resources=False)
    network = zoo.load(str(path), input_size=oracle.size, normalise=oracles.NORMALISE)
    contract.check_contract(network, oracle, {f"net/{name}": other for name, other in models.RESIDUAL.items()})
    assert network.notes == ("its input 'keep_prob' is set to 1.0, for use and not for training",)
    lossy = [name for name in network.unusable if "loss" in name]
    assert lossy
    assert "depends on the input 'labels'" in network.unusable[lossy[0]]
    assert not [name for name in network.layers if "gradients" in name or "loss" in name]


@pytest.mark.parametrize("road", ["loaded", "function", "concrete", "graph"])
def test_every_other_road_gives_the_same(road: str, tmp_path: Path) -> None:
    oracle = oracles.plain()
    module = built()
    roads: dict[str, Callable[[], Network]] = {
        "loaded": lambda: as_network(tf.saved_model.load(str(saved(tmp_path))), normalise=oracles.NORMALISE),
        "function": lambda: as_network(module.serve, normalise=oracles.NORMALISE),
        "concrete": lambda: as_network(module.serve.get_concrete_function(), normalise=oracles.NORMALISE),
        "graph": lambda: zoo.load(str(frozen(tmp_path / "frozen.pb")), normalise=oracles.NORMALISE),
    }
    network = roads[road]()
    contract.check_table(network, oracle, models.PLAIN)
    contract.check_values(network, oracle, models.PLAIN)
    head = {name: other for name, other in models.PLAIN.items() if other == "head"}
    contract.check_gradients(network, oracle, head)


def test_variables_of_the_second_kind_are_restored(tmp_path: Path) -> None:
    oracle = oracles.residual()
    path = checkpoint(tmp_path, resources=True)
    network = zoo.load(str(path), input_size=oracle.size, normalise=oracles.NORMALISE)
    contract.check_values(network, oracle, {"net/head/add": "head"})


def test_calls_and_the_model_are_left_out_of_names_where_they_stay_different() -> None:
    assert tidied(["StatefulPartitionedCall/PartitionedCall_1/a/Relu", "StatefulPartitionedCall/b/Relu"]) == {
        "StatefulPartitionedCall/PartitionedCall_1/a/Relu": "a/Relu",
        "StatefulPartitionedCall/b/Relu": "b/Relu",
    }
    assert list(tidied(["model_1/a/Relu", "model_1/b/Relu"]).values()) == ["a/Relu", "b/Relu"]
    assert list(tidied(["net/a/Relu", "net/b/Relu"]).values()) == ["net/a/Relu", "net/b/Relu"]
    twice = ["PartitionedCall/a/Relu", "PartitionedCall_1/a/Relu", "PartitionedCall/b"]
    assert list(tidied(twice).values()) == [*twice[:2], "b"]


@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_batch_is_filled_one_part_after_another(batch: int) -> None:
    free, fixed = wrap(filtered), wrap(filtered, (batch, *SIZE, 3))
    shown = oracles.pictures(6, SIZE)
    for name in ("Conv2D", "Relu"):
        expected, found = (contract.outputs(network, [name], shown)[name] for network in (free, fixed))
        torch.testing.assert_close(found, expected)
    slopes = []
    for network in (free, fixed):
        given = shown.clone().requires_grad_(True)
        with network.capture(["Relu"]) as run:
            total = (run(given)["Relu"].mean((1, 2, 3)) * torch.arange(1.0, 7.0)).sum()  # no two pictures count alike
        slopes.append(torch.autograd.grad(total, given)[0])
    torch.testing.assert_close(slopes[1], slopes[0])
    assert float(slopes[0].abs().max()) > 0


def test_channels_may_come_first_and_move() -> None:
    def turned(x: Any) -> Any:
        x = tf.transpose(filtered(tf.transpose(x, [0, 2, 3, 1])), [0, 3, 1, 2])
        return tf.reduce_mean(tf.nn.relu(x - 0.1), [2, 3])

    network, plain = wrap(turned, (None, 3, 12, 16)), wrap(filtered, (None, 12, 16, 3))
    assert network.input.size == (12, 16)
    shapes = {name: layer.shape for name, layer in network.layers.items()}
    assert shapes == {"Conv2D": (4, 12, 16), "Relu": (4, 12, 16), "Relu_1": (4, 12, 16), "Mean": (4,)}
    shown = oracles.pictures(2, (12, 16))
    found, expected = contract.outputs(network, ["Relu", "Relu_1"], shown), contract.outputs(plain, ["Relu"], shown)
    torch.testing.assert_close(found["Relu"], expected["Relu"])
    torch.testing.assert_close(found["Relu_1"], (expected["Relu"] - 0.1).relu())


def test_whole_numbers_that_are_cast_at_once_have_a_gradient() -> None:
    def scaled(x: Any) -> Any:
        return filtered(tf.cast(x, tf.float32) / 255)

    network = wrap(scaled, dtype=tf.uint8, normalise=None)
    assert network.input.std == (1 / 255,) * 3
    shown = oracles.pictures(1, SIZE)
    expected = contract.outputs(wrap(filtered), ["Relu"], shown)["Relu"]
    torch.testing.assert_close(contract.outputs(network, ["Relu"], shown)["Relu"], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(slope(network, "Relu"), slope(wrap(filtered), "Relu"), rtol=1e-4, atol=1e-6)


def test_whole_numbers_give_responses_and_no_pictures() -> None:
    def doubled(x: Any) -> Any:
        return filtered(tf.cast(x // 2, tf.float32))

    network = wrap(doubled, dtype=tf.uint8, normalise="0..255")
    shown = np.full((1, *SIZE, 3), 201, np.uint8)
    expected = wrap(filtered, normalise="0..255").respond(np.full_like(shown, 100), ["Relu"])["Relu"]
    np.testing.assert_allclose(network.respond(shown, ["Relu"])["Relu"], expected, rtol=1e-5)
    with pytest.raises(WrongInput, match="no pictures: its input 'x' takes whole numbers"):
        slope(network, "Relu")


@pytest.mark.parametrize(
    ("function", "named"),
    [(lambda x: tf.image.adjust_hue(x, 0.1), "AdjustHue"), (lambda x: tf.round(4 * x), "Round")],
)
def test_m11_operators_without_gradient_are_named(function: Callable[[Any], Any], named: str) -> None:
    network = wrap(lambda x: filtered(function(x)))
    shown = oracles.pictures(1, SIZE)
    assert float(contract.outputs(network, ["Conv2D"], shown)["Conv2D"].abs().max()) > 0
    with pytest.raises(WrongInput, match=rf"layer 'Relu' gives responses and maps, but no pictures.*\({named}\)"):
        slope(network, "Relu")


def test_a_gradient_of_ones_own_does_not_count() -> None:
    @tf.custom_gradient
    def backwards(x: Any) -> Any:
        return 2 * x, lambda cotangent: -cotangent

    twice, plain = wrap(lambda x: filtered(backwards(x))), wrap(lambda x: filtered(2 * x))
    torch.testing.assert_close(slope(twice, "Relu"), slope(plain, "Relu"))


def test_a_second_gradient_of_the_same_values_is_the_first() -> None:
    network = wrap(filtered)
    shown = oracles.pictures(1, SIZE).requires_grad_(True)
    with network.capture(["Relu"]) as run:
        total = run(shown)["Relu"].sum()
        first, second = (torch.autograd.grad(total, shown, retain_graph=True)[0] for _ in range(2))
    torch.testing.assert_close(second, first)


def test_what_is_random_cannot_be_used() -> None:
    network = wrap(lambda x: tf.nn.relu(tf.nn.dropout(filtered(x), 0.5) + 1e-3))
    assert "Relu" in network.layers
    assert "another value each time" in network.unusable["Relu_1"]


def test_statistics_of_the_batch_cannot_be_used() -> None:
    def normed(x: Any) -> Any:
        return tf.nn.relu(one.nn.fused_batch_norm(filtered(x), np.ones(4, "f"), np.zeros(4, "f"), is_training=True)[0])

    network = wrap(normed)
    assert list(network.layers) == ["Conv2D", "Relu"]
    assert "statistics of the batch" in network.unusable["Relu_1"]


def test_switches_of_phase_are_set_for_use(tmp_path: Path) -> None:
    graph = tf.Graph()
    with graph.as_default():
        shown = one.placeholder(tf.float32, [None, *SIZE, 3], name="images")
        training = one.placeholder(tf.bool, [], name="is_training")
        rate = one.placeholder_with_default(tf.constant(0.5), [], name="dropout_rate")
        one.disable_control_flow_v2()
        noisy = one.cond(training, lambda: one.nn.dropout(shown, rate=0.9), lambda: 2 * shown)
        one.enable_control_flow_v2()
        tf.nn.relu(tf.nn.conv2d(one.nn.dropout(noisy, rate=rate), KERNEL, 1, "SAME"), name="last")
    network = zoo.load(write(graph, tmp_path / "phases.pb"), normalise="0..1")
    assert network.notes == (
        "its input 'is_training' is set to False, for use and not for training",
        "its input 'dropout_rate' is set to 0.0, for use and not for training",
    )
    shown = oracles.pictures(2, SIZE)
    expected = contract.outputs(wrap(lambda x: filtered(2 * x)), ["Relu"], shown)["Relu"]
    torch.testing.assert_close(contract.outputs(network, ["last"], shown)["last"], expected)
    torch.testing.assert_close(slope(network, "last"), slope(wrap(lambda x: filtered(2 * x)), "Relu"))


@pytest.mark.parametrize(
    ("name", "factor"), [("net/is_inference", 2), ("eval_phase", 2), ("training/use_dropout", 3), ("flag", None)]
)
def test_switches_are_set_as_their_names_tell(name: str, factor: float | None, tmp_path: Path) -> None:
    graph = tf.Graph()
    with graph.as_default():
        shown = one.placeholder(tf.float32, [None, *SIZE, 3], name="shown")
        switch = one.placeholder(tf.bool, [], name=name)
        one.disable_control_flow_v2()
        filtered(one.cond(switch, lambda: 2 * shown, lambda: 3 * shown))
        one.enable_control_flow_v2()
    path = write(graph, tmp_path / "switch.pb")
    if factor is None:
        with pytest.raises(WrongInput, match="the switch 'flag', whose name does not tell"):
            zoo.load(path, normalise="0..1")
        return
    network = zoo.load(path, normalise="0..1")
    assert network.notes == (f"its input {name!r} is set to {factor == 2}, for use and not for training",)
    pictures = oracles.pictures(1, SIZE)
    expected = contract.outputs(wrap(lambda x: filtered(factor * x)), ["Relu"], pictures)["Relu"]
    torch.testing.assert_close(contract.outputs(network, ["Relu"], pictures)["Relu"], expected)


def test_a_switch_without_a_telling_name_keeps_its_default(tmp_path: Path) -> None:
    graph = tf.Graph()
    with graph.as_default():
        shown = one.placeholder(tf.float32, [None, *SIZE, 3], name="shown")
        switch = one.placeholder_with_default(tf.constant(True), [], name="flag")
        filtered(tf.where(switch, 2 * shown, 3 * shown))
    network = zoo.load(write(graph, tmp_path / "switch.pb"), normalise="0..1")
    assert network.notes == ("its input 'flag' is left as the graph sets it",)
    pictures = oracles.pictures(1, SIZE)
    expected = contract.outputs(wrap(lambda x: filtered(2 * x)), ["Relu"], pictures)["Relu"]
    torch.testing.assert_close(contract.outputs(network, ["Relu"], pictures)["Relu"], expected)


@pytest.mark.parametrize("name", ["zookeeper_in", "keep_in"])
def test_pictures_that_are_called_like_a_rate_stay_pictures(name: str, tmp_path: Path) -> None:
    graph = tf.Graph()
    with graph.as_default():
        filtered(one.placeholder(tf.float32, [None, *SIZE, 3], name=name))
    network = zoo.load(write(graph, tmp_path / "kept.pb"), normalise="0..1")
    assert list(network.layers) == ["Conv2D", "Relu"]
    assert not network.notes


def test_an_ending_in_capitals_is_the_same_ending(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, resources=False)
    path = path.rename(path.with_suffix(".META"))
    network = zoo.load(str(path), input_size=(16, 16), normalise="0..1")
    assert "net/head/add" in network.layers


def test_pictures_may_come_out_of_a_pipeline(tmp_path: Path) -> None:
    graph = tf.Graph()
    with graph.as_default():
        data = tf.data.Dataset.from_tensor_slices((np.zeros((4, *SIZE, 3), "f"), np.zeros(4, "i"))).batch(2)
        shown, labels = one.data.make_one_shot_iterator(data).get_next()
        filtered(shown)
        tf.nn.relu(tf.cast(labels, tf.float32)[:, None], name="of_labels")
    network = zoo.load(write(graph, tmp_path / "pipeline.pb"), normalise="0..1")
    assert list(network.layers) == ["Conv2D", "Relu"]
    torch.testing.assert_close(slope(network, "Relu"), slope(wrap(filtered), "Relu"))


def test_several_inputs_are_refused_by_name() -> None:
    two = tf.function(
        lambda left, right: filtered(left + right),
        input_signature=[tf.TensorSpec((None, *SIZE, 3), name=name) for name in ("left", "right")],
    )
    with pytest.raises(WrongInput, match=r"the inputs \[left .*right .*\]: exactly one"):
        as_network(two, normalise="0..1")


def test_s_python_is_not_run(tmp_path: Path) -> None:
    seen: list[str] = []

    def spy(x: Any) -> Any:
        seen.append("run")
        return x

    def body(x: Any) -> Any:
        return filtered(tf.ensure_shape(tf.py_function(spy, [x], tf.float32, name="spy"), (None, *SIZE, 3)))

    with pytest.raises(WrongInput, match=r"operator '\w*spy\w*' \(EagerPyFunc\) is not run"):
        wrap(body)
    module = tf.Module()
    module.serve = tf.function(body, input_signature=[tf.TensorSpec((None, *SIZE, 3))])
    tf.saved_model.save(module, str(tmp_path), signatures=module.serve)
    with pytest.raises(WrongInput, match=r"\(EagerPyFunc\) is not run"):
        zoo.load(str(tmp_path), normalise="0..1")
    assert not seen


def test_s_files_are_not_written(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    graph = tf.Graph()
    with graph.as_default():
        shown = one.placeholder(tf.float32, [None, *SIZE, 3])
        with tf.control_dependencies([tf.io.write_file(str(victim), "bad")]):  # only waited for: never run
            filtered(shown)
        tf.nn.relu(shown * tf.strings.to_number(tf.io.read_file(str(victim))), name="reading")
    with pytest.raises(WrongInput, match=r"operator 'ReadFile' \(ReadFile\) is not run"):
        zoo.load(write(graph, tmp_path / "reading.pb"), normalise="0..1")
    assert not victim.exists()


def test_s_restoring_only_restores(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, resources=False)
    victim = tmp_path / "victim"
    meta = one.MetaGraphDef()
    meta.ParseFromString(path.read_bytes())
    graph = tf.Graph()
    with graph.as_default():
        tf.io.write_file(str(victim), "bad", name="harm")
    meta.graph_def.node.extend(graph.as_graph_def().node)
    next(node for node in meta.graph_def.node if node.name == meta.saver_def.restore_op_name).input.append("^harm")
    path.write_bytes(meta.SerializeToString())
    with pytest.raises(WrongInput, match=r"operator 'harm' \(WriteFile\) is not run"):
        zoo.load(str(path), normalise="0..1", input_size=16)
    assert not victim.exists()


def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path) -> None:
    refused = {
        "no SavedModel": tmp_path,
        "holds no GraphDef": tmp_path / "noise.pb",
        "is not frozen: the weights of 'w'": tmp_path / "variables.pb",
        "cannot be read by this TensorFlow: .*NoSuchOperator": tmp_path / "unknown.pb",
        "the weights of checkpoint .* cannot be read": checkpoint(tmp_path, resources=False),
        r"has the inputs \[\]": tmp_path / "empty.pb",
    }
    (tmp_path / "noise.pb").write_bytes(b"\xff" * 64)
    (tmp_path / "model.ckpt-5.index").unlink()
    graph = tf.Graph()
    with graph.as_default():
        one.get_variable("w", initializer=KERNEL)
    write(graph, tmp_path / "variables.pb")
    write(tf.Graph(), tmp_path / "empty.pb")
    unknown = frozen(tmp_path / "unknown.pb")
    definition = one.GraphDef()
    definition.ParseFromString(unknown.read_bytes())
    next(node for node in definition.node if node.op == "Relu").op = "NoSuchOperator"
    unknown.write_bytes(definition.SerializeToString())
    for message, path in refused.items():
        with pytest.raises(WrongInput, match=message) as caught:
            zoo.load(str(path), normalise="0..1", input_size=16)
        assert "\n" not in str(caught.value)


def test_signatures_are_asked_for_where_there_are_several(tmp_path: Path) -> None:
    module = built()
    concrete = module.serve.get_concrete_function()
    tf.saved_model.save(module, str(tmp_path), signatures={"one": concrete, "two": concrete})
    with pytest.raises(WrongInput, match=r"signatures \['one', 'two'\].*tf.saved_model.load"):
        zoo.load(str(tmp_path), normalise="0..1")
    loaded = tf.saved_model.load(str(tmp_path))
    chosen = as_network(loaded.signatures["two"], normalise="imagenet")
    contract.check_values(chosen, oracles.plain(), {"head/add": "head"})


def test_a_model_that_does_not_take_pictures_says_so() -> None:
    module = built()
    with pytest.raises(WrongInput, match=r"does not take pictures of shape \(None, 16, 16, 1\)"):
        as_network(module, input_size=16, normalise=((0,), (1,)))
    with pytest.raises(WrongInput, match="cannot be called"):
        as_network(tf.Module(), normalise="0..1")
