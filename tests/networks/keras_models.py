"""The oracles of the contract, built in Keras; imported only where `KERAS_BACKEND` is set."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from tests.contracts.oracles import EPSILON, Oracle, channels_last, plain, residual, transformer

layers = keras.layers


def fill(model: Any, weights: dict[str, np.ndarray], names: dict[str, str]) -> None:
    """Give each layer, by its path, the weights that torch has by another name."""
    for path, other in names.items():
        part = model
        for step in path.split("/"):
            part = part.get_layer(step)
        mine = {key.rsplit(".", 1)[1]: value for key, value in weights.items() if key.rsplit(".", 1)[0] == other}
        if "running_mean" in mine:
            part.set_weights([mine[key] for key in ("weight", "bias", "running_mean", "running_var")])
            continue
        weight = mine.get("weight", mine.get("vectors"))
        assert weight is not None
        turned = (
            channels_last(weight) if weight.ndim == 4 else weight.T if "head" in path or "dense" in path else weight
        )
        part.set_weights([turned] + ([mine["bias"]] if "bias" in mine else []))


def same(x: Any, name: str, units: int, **more: Any) -> Any:
    return layers.Conv2D(units, 3, padding="same", name=name, **more)(x)


def plain_model(*, fused: bool = False, sequential: bool = False) -> tuple[Any, dict[str, str]]:
    """`plain` and its pairs; with ``fused`` the last ReLU belongs to its convolution."""
    shape = (None, None, 3)
    parts = [
        layers.Conv2D(6, 3, padding="same", use_bias=False, name="stem"),
        layers.BatchNormalization(epsilon=EPSILON, name="norm"),
        layers.ReLU(name="bend"),
        layers.MaxPooling2D(2, name="shrink"),
        layers.Dropout(0.5, name="drop"),
        layers.Conv2D(8, 3, padding="same", name="deep", activation="relu" if fused else None),
        *([] if fused else [layers.Activation("relu", name="last")]),
        layers.GlobalAveragePooling2D(name="mean"),
        layers.Dense(5, name="head"),
    ]
    if sequential:
        model = keras.Sequential([keras.Input(shape), *parts], name="plain")
    else:
        x = taken = keras.Input(shape)
        for part in parts:
            x = part(x)
        model = keras.Model(taken, x, name="plain")
    fill(model, plain().weights, {name: name for name in ("stem", "norm", "deep", "head")})
    pairs = {"stem": "stem", "norm": "norm", "bend": "bend", "shrink": "shrink"}
    pairs |= {"deep/before_activation": "deep", "deep": "last"} if fused else {"deep": "deep", "last": "last"}
    return model, pairs | {"head": "head"}


def residual_model() -> tuple[Any, dict[str, str]]:
    """`residual`, whose blocks are models inside the model, and its pairs."""

    def block(name: str) -> Any:
        x = taken = keras.Input((None, None, 8))
        x = same(layers.Activation("relu", name="bend")(same(x, "one", 8)), "two", 8)
        return keras.Model(taken, layers.ReLU(name="out")(layers.Add(name="add")([x, taken])), name=name)

    taken = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 2, strides=2, name="stem")(taken)
    x = block("second")(block("first")(x))
    model = keras.Model(taken, layers.Dense(5, name="head")(layers.GlobalAveragePooling2D(name="mean")(x)))
    inner = [f"{one}/{two}" for one in ("first", "second") for two in ("one", "bend", "two", "add", "out")]
    fill(
        model,
        residual().weights,
        {n: n.replace("/", ".") for n in ("stem", *inner, "head") if n[-4:] in ("stem", "/one", "/two", "head")},
    )
    return model, {name: name.replace("/", ".") for name in ("stem", *inner, "head")}


class Positions(layers.Layer):
    """Adds a learnt vector to each token."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.vectors = self.add_weight(shape=shape[1:], name="vectors")

    def call(self, x: Any) -> Any:
        return x + self.vectors


class Transformer(keras.Model):
    """`transformer` as a class of its own, whose ``call`` knows no ``training``."""

    def __init__(self) -> None:
        super().__init__(name="transformer")
        self.patches = layers.Conv2D(12, 4, strides=4, name="patches")
        self.tokens = layers.Reshape((16, 12))
        self.positions = Positions(name="positions")
        self.before = layers.LayerNormalization(epsilon=EPSILON, name="before")
        self.attention = layers.MultiHeadAttention(2, 6, name="attention")
        self.between = layers.LayerNormalization(epsilon=EPSILON, name="between")
        self.wide = layers.Dense(24, activation=self.gelu, name="wide")
        self.narrow = layers.Dense(12, name="narrow")
        self.head = layers.Dense(5, name="head")

    @staticmethod
    def gelu(x: Any) -> Any:
        return keras.activations.gelu(x, approximate=False)

    def call(self, x: Any) -> Any:
        x = self.positions(self.tokens(self.patches(x)))
        y = self.before(x)
        x = x + self.attention(y, y)
        x = x + self.narrow(self.wide(self.between(x)))
        return self.head(keras.ops.mean(x, axis=1))


def transformer_model() -> tuple[Any, dict[str, str]]:
    """`transformer` and its pairs."""
    model = Transformer()
    model(np.zeros((1, 16, 16, 3), np.float32))
    weights = transformer().weights
    for name in ("patches", "positions", "before", "between", "wide", "narrow", "head"):
        mine = {key.rsplit(".", 1)[1]: value for key, value in weights.items() if key.rsplit(".", 1)[0] == name}
        if name == "patches":
            mine["weight"] = channels_last(mine["weight"])
        elif name in ("wide", "narrow", "head"):
            mine["weight"] = mine["weight"].T
        getattr(model, name).set_weights(list(mine.values()))
    heads = []
    for name in ("query", "key", "value"):
        heads += [
            weights[f"attention.{name}.weight"].T.reshape(12, 2, 6),
            weights[f"attention.{name}.bias"].reshape(2, 6),
        ]
    heads += [weights["attention.mix.weight"].T.reshape(2, 6, 12), weights["attention.mix.bias"]]
    model.attention.set_weights(heads)
    pairs = {name: name for name in ("patches", "positions", "before", "attention", "between")}
    pairs |= {"wide/before_activation": "wide", "wide": "bend", "narrow": "narrow", "head": "head"}
    return model, pairs


def oracles() -> dict[str, tuple[Oracle, tuple[Any, dict[str, str]]]]:
    """Each architecture with its model and its pairs."""
    return {
        "plain": (plain(), plain_model(sequential=True)),
        "fused": (plain(), plain_model(fused=True)),
        "residual": (residual(), residual_model()),
        "transformer": (transformer(), transformer_model()),
    }
