"""The architectures of the contract in JAX, with the weights of their oracles: functions, linen, nnx."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import linen, nnx
from jax import numpy as jnp
from tests.contracts.oracles import EPSILON, channels_last

Weights = Mapping[str, np.ndarray]


def turned(weights: Weights) -> dict[str, np.ndarray]:
    """Kernels in JAX's order of axes."""
    turns = {4: channels_last, 2: np.transpose}
    return {
        name: turns[value.ndim](value) if name.endswith(".weight") and value.ndim in turns else value
        for name, value in weights.items()
    }


# Functions of parameters and pictures


def convolution(weights: Any, name: str, x: Any, step: int = 1, padding: str = "SAME") -> Any:
    axes = ("NHWC", "HWIO", "NHWC")
    x = jax.lax.conv_general_dilated(x, weights[f"{name}.weight"], (step, step), padding, dimension_numbers=axes)
    return x + weights.get(f"{name}.bias", 0)


def dense(weights: Any, name: str, x: Any) -> Any:
    return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]


def plain(weights: Any, pictures: Any) -> dict[str, Any]:
    out = {"stem": convolution(weights, "stem", pictures)}
    rate = weights["norm.weight"] / jnp.sqrt(weights["norm.running_var"] + EPSILON)
    out["norm"] = (out["stem"] - weights["norm.running_mean"]) * rate + weights["norm.bias"]
    x = linen.max_pool(jax.nn.relu(out["norm"]), (2, 2), (2, 2))
    out["deep"] = convolution(weights, "deep", x)
    out["head"] = dense(weights, "head", jax.nn.relu(out["deep"]).mean((1, 2)))
    return out


def residual(weights: Any, pictures: Any) -> Any:
    x = convolution(weights, "stem", pictures, 2, "VALID")
    for block in ("first", "second"):
        y = jax.nn.relu(convolution(weights, f"{block}.one", x))
        x = jax.nn.relu(convolution(weights, f"{block}.two", y) + x)
    return dense(weights, "head", x.mean((1, 2)))


# linen


class LinenPlain(linen.Module):
    @linen.compact
    def __call__(self, x: Any, train: bool) -> Any:
        x = linen.Conv(6, (3, 3), use_bias=False, name="stem")(x)
        x = linen.BatchNorm(use_running_average=not train, epsilon=EPSILON, name="norm")(x)
        x = linen.relu(x)
        self.sow("intermediates", "bend", x)
        x = linen.max_pool(x, (2, 2), (2, 2))
        x = linen.relu(linen.Conv(8, (3, 3), name="deep")(x))
        self.sow("intermediates", "last", x)
        x = linen.Dropout(0.5, deterministic=not train)(x.mean((1, 2)))
        return linen.Dense(5, name="head")(x)


class LinenBlock(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        y = linen.relu(linen.Conv(8, (3, 3), name="one")(x))
        return linen.relu(linen.Conv(8, (3, 3), name="two")(y) + x)


class LinenResidual(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        x = linen.Conv(8, (2, 2), 2, padding="VALID", name="stem")(x)
        x = LinenBlock(name="second")(LinenBlock(name="first")(x))
        return linen.Dense(5, name="head")(x.mean((1, 2)))


class LinenTransformer(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        x = linen.Conv(12, (4, 4), 4, padding="VALID", name="patches")(x)
        vectors = self.param("vectors", linen.initializers.zeros, (16, 12))
        x = x.reshape(x.shape[0], 16, 12) + vectors
        self.sow("intermediates", "positions", x)
        y = linen.LayerNorm(epsilon=EPSILON, name="before")(x)
        x = x + linen.MultiHeadDotProductAttention(2, name="attention")(y)
        y = linen.LayerNorm(epsilon=EPSILON, name="between")(x)
        y = linen.gelu(linen.Dense(24, name="wide")(y), approximate=False)
        x = x + linen.Dense(12, name="narrow")(y)
        return linen.Dense(5, name="head")(x.mean(1))


def variables(weights: Weights) -> dict[str, Any]:
    """The weights of an oracle as linen wants them."""
    found: dict[str, Any] = {"params": {}, "batch_stats": {}}
    words = {"running_mean": ("batch_stats", "mean"), "running_var": ("batch_stats", "var"), "bias": ("params", "bias")}
    for name, value in turned(weights).items():
        *path, last = name.split(".")
        if last == "vectors":
            found["params"]["vectors"] = value
            continue
        collection, word = words.get(last, ("params", "kernel" if value.ndim > 1 else "scale"))
        inside = found[collection]
        for part in path:
            inside = inside.setdefault({"mix": "out"}.get(part, part), {})
        inside[word] = heads(path[-1], value) if path[0] == "attention" else value
    return found if found["batch_stats"] else {"params": found["params"]}


def heads(part: str, value: np.ndarray) -> np.ndarray:
    """The weights of attention with its two heads of six apart."""
    if part == "mix":
        return value.reshape(2, 6, 12) if value.ndim == 2 else value
    return value.reshape(*value.shape[:-1], 2, 6)


# nnx


class NnxPlain(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.stem = nnx.Conv(3, 6, (3, 3), use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(6, epsilon=EPSILON, rngs=rngs)
        self.deep = nnx.Conv(6, 8, (3, 3), rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(8, 5, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = linen.max_pool(nnx.relu(self.norm(self.stem(x))), (2, 2), (2, 2))
        return self.head(self.dropout(nnx.relu(self.deep(x)).mean((1, 2))))


class NnxBlock(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.one = nnx.Conv(8, 8, (3, 3), rngs=rngs)
        self.two = nnx.Conv(8, 8, (3, 3), rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return nnx.relu(self.two(nnx.relu(self.one(x))) + x)


class NnxResidual(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.stem = nnx.Conv(3, 8, (2, 2), 2, padding="VALID", rngs=rngs)
        self.first, self.second = NnxBlock(rngs), NnxBlock(rngs)
        self.head = nnx.Linear(8, 5, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.head(self.second(self.first(self.stem(x))).mean((1, 2)))


class NnxTransformer(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.patches = nnx.Conv(3, 12, (4, 4), 4, padding="VALID", rngs=rngs)
        self.vectors = nnx.Param(jnp.zeros((16, 12)))
        self.before = nnx.LayerNorm(12, epsilon=EPSILON, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 12, decode=False, rngs=rngs)
        self.between = nnx.LayerNorm(12, epsilon=EPSILON, rngs=rngs)
        self.wide, self.narrow = nnx.Linear(12, 24, rngs=rngs), nnx.Linear(24, 12, rngs=rngs)
        self.head = nnx.Linear(12, 5, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = self.patches(x).reshape(x.shape[0], 16, 12) + self.vectors[...]
        x = x + self.attention(self.before(x))
        x = x + self.narrow(nnx.gelu(self.wide(self.between(x)), approximate=False))
        return self.head(x.mean(1))


def filled(kind: type[nnx.Module], weights: Weights) -> Any:
    """A module of nnx with the weights of an oracle."""
    module = kind(nnx.Rngs(0))
    words = {"running_mean": "mean", "running_var": "var", "bias": "bias"}
    for name, value in turned(weights).items():
        *path, last = name.split(".")
        part: Any = module
        for word in path:
            part = getattr(part, {"mix": "out"}.get(word, word)) if last != "vectors" else part
        word = "vectors" if last == "vectors" else words.get(last, "kernel" if value.ndim > 1 else "scale")
        shaped = heads(path[-1], value) if path[0] == "attention" else value
        held = getattr(part, word)
        assert held[...].shape == shaped.shape, name
        held[...] = jnp.asarray(shaped)
    return module
