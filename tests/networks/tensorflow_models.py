"""The architectures of the contract in TensorFlow, with the weights of their oracles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tests.contracts.oracles import EPSILON, channels_last

Weights = Mapping[str, np.ndarray]

PLAIN = {
    "stem/Conv2D": "stem",
    "norm/FusedBatchNormV3": "norm",
    "bend/Relu": "bend",
    "shrink/MaxPool2d": "shrink",
    "deep/BiasAdd": "deep",
    "last/Relu": "last",
    "head/add": "head",
}
RESIDUAL = {
    "stem/BiasAdd": "stem",
    "first/one/BiasAdd": "first.one",
    "first/Relu": "first.bend",
    "first/two/BiasAdd": "first.two",
    "first/add": "first.add",
    "first/Relu_1": "first.out",
    "second/add": "second.add",
    "second/Relu_1": "second.out",
    "head/add": "head",
}
TRANSFORMER = {
    "patches/BiasAdd": "patches",
    "positions/add": "positions",
    "before/add_1": "before",
    "attention/query/BiasAdd": "attention.query",
    "attention/mix/BiasAdd": "attention",
    "wide/BiasAdd": "wide",
    "bend/mul_1": "bend",
    "narrow/BiasAdd": "narrow",
    "mean/Mean": "mean",
    "head/BiasAdd": "head",
}


class Built(tf.Module):
    """A module that computes ``body`` from the weights of an oracle, all of them variables."""

    def __init__(self, weights: Weights, body: Callable[[Weights, Any], Any], size: tuple[int, int]) -> None:
        super().__init__()
        self.kept = {name: tf.Variable(value, name=name.replace(".", "_")) for name, value in turned(weights).items()}
        self.body = body
        spec = tf.TensorSpec([None, *size, 3], tf.float32, name="pictures")
        self.serve = tf.function(lambda pictures: body(self.kept, pictures), input_signature=[spec])

    def __call__(self, pictures: Any, training: bool = True) -> Any:
        if training:
            pictures = tf.nn.dropout(pictures, 0.5)
        return self.body(self.kept, pictures)


def turned(weights: Weights) -> dict[str, np.ndarray]:
    """Kernels in TensorFlow's order of axes."""
    turns = {4: channels_last, 2: np.transpose}
    return {
        name: turns[value.ndim](value) if name.endswith(".weight") and value.ndim in turns else value
        for name, value in weights.items()
    }


def convolution(weights: Weights, name: str, x: Any, step: int = 1, padding: str = "SAME") -> Any:
    x = tf.nn.conv2d(x, weights[f"{name}.weight"], step, padding, name="Conv2D")
    return tf.nn.bias_add(x, weights[f"{name}.bias"]) if f"{name}.bias" in weights else x


def plain(weights: Weights, x: Any) -> Any:
    with tf.name_scope("stem"):
        x = convolution(weights, "stem", x)
    with tf.name_scope("norm"):
        statistics = [weights[f"norm.{name}"] for name in ("weight", "bias", "running_mean", "running_var")]
        x = tf.compat.v1.nn.fused_batch_norm(x, *statistics, epsilon=EPSILON, is_training=False)[0]
    with tf.name_scope("bend"):
        x = tf.nn.relu(x)
    with tf.name_scope("shrink"):
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    with tf.name_scope("deep"):
        x = convolution(weights, "deep", x)
    with tf.name_scope("last"):
        x = tf.nn.relu(x)
    x = tf.reduce_mean(x, [1, 2])
    with tf.name_scope("head"):
        return tf.matmul(x, weights["head.weight"]) + weights["head.bias"]


def residual(weights: Weights, x: Any) -> Any:
    with tf.name_scope("stem"):
        x = convolution(weights, "stem", x, 2, "VALID")
    for block in ("first", "second"):
        with tf.name_scope(block):
            with tf.name_scope("one"):
                y = convolution(weights, f"{block}.one", x)
            y = tf.nn.relu(y)
            with tf.name_scope("two"):
                y = convolution(weights, f"{block}.two", y)
            x = tf.nn.relu(y + x)
    x = tf.reduce_mean(x, [1, 2])
    with tf.name_scope("head"):
        return tf.matmul(x, weights["head.weight"]) + weights["head.bias"]


def dense(weights: Weights, name: str, x: Any) -> Any:
    """As Keras does it: the tokens of all pictures in one product."""
    x = tf.tensordot(x, weights[f"{name}.weight"], 1) if x.shape.rank > 2 else tf.matmul(x, weights[f"{name}.weight"])
    return tf.nn.bias_add(x, weights[f"{name}.bias"])


def layer_norm(weights: Weights, name: str, x: Any) -> Any:
    middle = tf.reduce_mean(x, -1, keepdims=True)
    spread = tf.reduce_mean(tf.math.squared_difference(x, middle), -1, keepdims=True)
    x = (x - middle) * tf.math.rsqrt(spread + EPSILON)
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def attention(weights: Weights, x: Any) -> Any:
    heads = []
    for part in ("query", "key", "value"):
        with tf.name_scope(part):
            y = dense(weights, f"attention.{part}", x)
        heads.append(tf.transpose(tf.reshape(y, [-1, 16, 2, 6]), [0, 2, 1, 3]))
    query, key, value = heads
    mixed = tf.matmul(tf.nn.softmax(tf.matmul(query, key, transpose_b=True) / 6**0.5), value)
    with tf.name_scope("mix"):
        return dense(weights, "attention.mix", tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [-1, 16, 12]))


def transformer(weights: Weights, x: Any) -> Any:
    with tf.name_scope("patches"):
        x = convolution(weights, "patches", x, 4, "VALID")
    with tf.name_scope("positions"):
        x = tf.reshape(x, [-1, 16, 12]) + weights["positions.vectors"]
    with tf.name_scope("before"):
        y = layer_norm(weights, "before", x)
    with tf.name_scope("attention"):
        x = x + attention(weights, y)
    with tf.name_scope("between"):
        y = layer_norm(weights, "between", x)
    with tf.name_scope("wide"):
        y = dense(weights, "wide", y)
    with tf.name_scope("bend"):
        y = 0.5 * y * (1.0 + tf.math.erf(y / 2**0.5))
    with tf.name_scope("narrow"):
        y = dense(weights, "narrow", y)
    x = x + y
    with tf.name_scope("mean"):
        x = tf.reduce_mean(x, 1)
    with tf.name_scope("head"):
        return dense(weights, "head", x)


def write_checkpoint(weights: Weights, body: Callable[[Weights, Any], Any], path: str, *, resources: bool) -> None:
    """A training run of TensorFlow 1 as it leaves its files: labels, a loss, momentum, dropout and its switches."""
    one = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default(), one.Session(graph=graph) as session:
        shown = one.placeholder(tf.float32, [None, None, None, 3], name="pictures")
        labels = one.placeholder(tf.int64, [None], name="labels")
        keep = one.placeholder(tf.float32, [], name="keep_prob")
        kept = {
            name: one.get_variable(name.replace(".", "_"), initializer=value, use_resource=resources)
            for name, value in turned(weights).items()
        }
        with one.variable_scope("net"):
            logits = body(kept, one.nn.dropout(shown, keep_prob=keep))
        loss = one.losses.sparse_softmax_cross_entropy(labels, logits)
        train = one.train.MomentumOptimizer(0.0, 0.9).minimize(loss)
        assert train is not None
        session.run(one.global_variables_initializer())
        one.train.Saver().save(session, path)


def write_graph(function: Any, path: str) -> None:
    """A frozen graph, as `tf.io.write_graph` leaves it."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(function)
    with open(path, "wb") as file:  # noqa: PTH123 - a path from TensorFlow's own functions is text too
        file.write(frozen.graph.as_graph_def().SerializeToString())
