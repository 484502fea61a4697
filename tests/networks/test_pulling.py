"""Gradients of TensorFlow cut in two, against its own eager tape on the same function."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from neuronatlas.networks.tensorflow.pulling import Pulled, compiled

SHAPE = (2, 8, 8, 3)
NOISE = np.random.default_rng(0)
KERNEL = NOISE.normal(size=(3, 3, 3, 4)).astype(np.float32)
SCALE = NOISE.normal(size=4).astype(np.float32)


def plain(pictures: Any, weights: list[Any]) -> list[Any]:
    before = tf.nn.conv2d(pictures, weights[0], 1, "SAME") * weights[1]
    return [before, tf.nn.relu(before), tf.reduce_mean(tf.nn.relu(before) ** 2, (1, 2))]


def looping(pictures: Any, weights: list[Any]) -> list[Any]:
    def more(step: Any, values: Any) -> tuple[Any, Any]:
        return step + 1, tf.tanh(tf.nn.conv2d(values, weights[0][:, :, :, :3], 1, "SAME")) + values

    return [tf.while_loop(lambda step, _: step < 3, more, (tf.constant(0), pictures))[1]]


def deciding(pictures: Any, weights: list[Any]) -> list[Any]:
    bright = tf.reduce_mean(pictures) > 0.2
    return [tf.cond(bright, lambda: tf.exp(pictures) * weights[1][:3], lambda: pictures**3)]


def of_free_shape(pictures: Any, weights: list[Any]) -> list[Any]:
    dark = tf.boolean_mask(pictures, pictures < 0.5)  # its length depends on the pictures
    return [tf.reduce_sum(tf.sqrt(dark + 1)) * tf.reshape(pictures, (2, -1)) * weights[1][0]]


def pictures_themselves(pictures: Any, _: list[Any]) -> list[Any]:
    return [pictures, pictures * 2]


@pytest.mark.parametrize("variables", [False, True], ids=["constants", "variables"])
@pytest.mark.parametrize("forward", [plain, looping, deciding, of_free_shape, pictures_themselves])
def test_values_and_gradient_are_those_of_the_tape(forward: Callable[..., list[Any]], variables: bool) -> None:
    arrays = [KERNEL, SCALE]
    pulled = Pulled(forward, SHAPE, tf.float32, [tf.Variable(each) for each in arrays] if variables else arrays)
    assert pulled.passes
    for seed in range(3):
        shown = tf.constant(np.random.default_rng(seed).random(SHAPE, dtype=np.float32))
        with tf.GradientTape() as tape:
            tape.watch(shown)
            expected = forward(shown, [tf.constant(each) for each in arrays])
        ways = [tf.random.stateless_normal(each.shape, (seed, 1)) for each in expected]
        slope = tape.gradient(expected, shown, output_gradients=ways)
        values, back = pulled(shown)
        for one, other in zip(values, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(back(ways), slope, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(back([2 * each for each in ways]), 2 * slope, rtol=1e-3, atol=1e-4)
        for one, other in zip(compiled(forward, SHAPE, tf.float32, arrays)(shown), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_variable_is_read_at_each_call() -> None:
    weight = tf.Variable([2.0])
    pulled = Pulled(lambda shown, weights: [shown**2 * weights[0]], (3,), tf.float32, [weight])
    shown, way = tf.constant([1.0, 2.0, 3.0]), [tf.ones(3)]
    assert pulled(shown)[1](way).numpy().tolist() == [4, 8, 12]
    weight.assign([10.0])
    values, back = pulled(shown)
    assert values[0].numpy().tolist() == [10, 40, 90]
    assert back(way).numpy().tolist() == [20, 40, 60]


def test_a_variable_that_nobody_named_is_read_too() -> None:
    hidden = tf.Variable(3.0)
    values, back = Pulled(lambda shown, _: [shown**2 * hidden], (2,), tf.float32)(tf.constant([1.0, 2.0]))
    assert values[0].numpy().tolist() == [3, 12]
    assert back([tf.ones(2)]).numpy().tolist() == [6, 12]


def test_the_way_back_goes_through_the_same_random_numbers() -> None:
    def noisy(shown: Any, _: list[Any]) -> list[Any]:
        return [shown * tf.random.uniform((1000,))]  # which does not depend on the pictures

    shown = tf.ones(1000)
    values, back = Pulled(noisy, (1000,), tf.float32)(shown)
    np.testing.assert_array_equal(back([tf.ones(1000)]), values[0])
    assert 0.4 < float(tf.reduce_mean(values[0])) < 0.6


@pytest.mark.parametrize(
    "forward",
    [
        lambda shown, _: [tf.round(shown)],
        lambda shown, _: [tf.stop_gradient(shown)],
        lambda shown, _: [tf.ones(3)],
        lambda shown, _: [tf.image.adjust_hue(tf.reshape(shown, (1, 1, 3)), 0.1)],
    ],
    ids=["flat", "stopped", "constant", "forgotten"],
)
def test_where_nothing_comes_back_it_says_so(forward: Callable[..., list[Any]]) -> None:
    assert not Pulled(forward, (3,), tf.float32).passes


def test_no_step_keeps_anything_of_the_one_before() -> None:
    pulled = Pulled(plain, SHAPE, tf.float32, [KERNEL, SCALE])
    shown = tf.ones(SHAPE)

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(each), tf.Tensor) for each in gc.get_objects())

    for count in range(6):
        values, back = pulled(shown)
        back([tf.ones_like(each) for each in values])
        if count == 1:
            before = tensors()
    assert tensors() == before
