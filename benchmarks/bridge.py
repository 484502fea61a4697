"""A Keras network on TensorFlow rendered by this package, beside TensorFlow's own gradient step on the same network.

The other side is a ``tf.function`` with a `tf.GradientTape` around the forward pass up to the same layer, on the same canvas,
batch and unit, and the gradient's step on the pictures: no parametrisation, no transforms, no optimiser. Ours is the whole
loop of `neuronatlas.render`. MobileNetV2 with random weights. The goal is a ratio of at least 0.8.

    KERAS_BACKEND=tensorflow python benchmarks/bridge.py [LAYER] [--size 224] [--pictures 8] [--steps 12]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf
import torch

import neuronatlas
from neuronatlas.networks import Network


def native(model: Any, layer: str, unit: int, start: np.ndarray, steps: int) -> float:
    """Seconds a step of TensorFlow alone, traced before."""
    part = keras.Model(model.input, model.get_layer(layer).output)

    @tf.function
    def step(pictures: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(pictures)
            score = tf.reduce_sum(tf.reduce_mean(part(pictures, training=False)[..., unit], (1, 2)))
        return pictures + 0.05 * tape.gradient(score, pictures)

    pictures = step(tf.constant(start))
    before = time.perf_counter()
    for _ in range(steps):
        pictures = step(pictures)
    _ = pictures.numpy()
    return (time.perf_counter() - before) / steps


def bare(network: Network, layer: str, unit: int, start: np.ndarray, steps: int) -> float:
    """Seconds a step of the bridge alone: values and gradient, without the rest of the loop."""
    pictures = torch.from_numpy(start).permute(0, 3, 1, 2).contiguous()
    with network.capture([layer], units=[unit], wake=True) as run:
        for count in range(steps + 1):
            if count == 1:
                before = time.perf_counter()
            given = pictures.clone().requires_grad_(True)
            score = run(given)[layer].mean((2, 3)).sum()
            pictures = pictures + 0.05 * torch.autograd.grad(score, given)[0]
    return (time.perf_counter() - before) / steps


def ours(network: Network, layer: str, units: list[int], size: int, steps: int) -> float:
    """Seconds a step of one tile of pictures by `neuronatlas.render`, the first and the last steps left out."""
    times = []
    what = [f"{layer}:{unit}" for unit in units]
    for count in (steps, 2 * steps):
        before = time.perf_counter()
        neuronatlas.render(network, what, preset="fast", canvas=size, steps=count, plateau=None)
        times.append(time.perf_counter() - before)
    return (times[1] - times[0]) / steps


def main() -> None:
    """Measure, in turn, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layer", nargs="?", default="block_13_expand_relu")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2(weights=None, input_shape=(asked.size, asked.size, 3))
    network = neuronatlas.as_network(model, normalise="-1..1")
    start = np.random.default_rng(0).random((asked.pictures, asked.size, asked.size, 3), dtype=np.float32)
    units = list(range(asked.pictures))
    ours(network, asked.layer, units, asked.size, 2)  # traced
    found = []
    for _ in range(asked.rounds):
        found.append(
            (
                native(model, asked.layer, 0, start, asked.steps),
                bare(network, asked.layer, 0, start, asked.steps),
                ours(network, asked.layer, units, asked.size, asked.steps),
            )
        )
    theirs, bridge, whole = (statistics.median(times) for times in zip(*found, strict=True))
    rate = asked.pictures / whole
    print(f"{asked.pictures} pictures of {asked.size} pixels, layer {asked.layer}, TensorFlow {tf.__version__}")
    print(f"TensorFlow alone {theirs:.3f} s a step; the bridge {bridge:.3f} s; this package {whole:.3f} s")
    print(f"pictures-steps a second: {asked.pictures / theirs:.1f} and {rate:.1f}")
    print(f"ratio of the bridge {theirs / bridge:.2f}, of the whole loop {theirs / whole:.2f}")


if __name__ == "__main__":
    main()
