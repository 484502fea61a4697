"""The three backends of Keras: how each computes values and gradients of a watched model.

Each takes ``watched``, a function from the addresses wanted and pictures of the backend to their tensors. Weights are read
anew at every call, so that a model that has learnt something in between gives what it has learnt.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neuronatlas.errors import WrongInput
from neuronatlas.networks.bridge import Pullback, no_way_back
from neuronatlas.networks.jax.pulling import applied, comes_back

Names = tuple[str, ...]
Watched = Callable[[Names, Any], list[Any]]
KEPT = 64
"""Traced functions that are kept, one for each set of layers."""


class Backend(ABC):
    """Values and gradients of one model."""

    def __init__(self, model: Any, watched: Watched) -> None:
        self.model = model
        self.watched = watched

    @abstractmethod
    def look(self, forward: Callable[[Any], None], pictures: Tensor) -> None:
        """Run ``forward`` on pictures of the backend, which need not have values, only shapes."""

    @abstractmethod
    def values(self, names: Names, pictures: Tensor) -> list[Tensor]:
        """See `ForeignFunction.values`."""

    @abstractmethod
    def once(self, names: Names, pictures: Tensor) -> tuple[list[Tensor], Callable[[list[Tensor]], Tensor | None]]:
        """The values, and a way back that is good for one gradient; it gives None where there is none."""

    def linearise(self, names: Names, pictures: Tensor) -> tuple[list[Tensor], Pullback]:
        """See `ForeignFunction.linearise`."""
        values, first = self.once(names, pictures)
        unused = [first]

        def pullback(cotangents: list[Tensor]) -> Tensor:
            back = unused.pop() if unused else self.once(names, pictures)[1]  # what is kept for it is free after it
            slope = back(cotangents)
            if slope is None:
                raise no_way_back(names)
            return slope

        return values, pullback

    def frozen(self, values: list[Any]) -> Any:
        """A block in which the weights have these values and nothing changes them."""
        import keras

        return keras.StatelessScope(state_mapping=list(zip(self.model.variables, values, strict=True)))


class Torch(Backend):
    """Keras on torch: the model is differentiated where it stands, its weights are not."""

    def look(self, forward: Callable[[Any], None], pictures: Tensor) -> None:
        """See `Backend.look`."""
        with torch.no_grad():
            forward(pictures)

    def values(self, names: Names, pictures: Tensor) -> list[Tensor]:
        """See `ForeignFunction.values`."""
        with torch.no_grad():
            return [value.float().cpu() for value in self._forward(names, pictures)]

    def once(self, names: Names, pictures: Tensor) -> tuple[list[Tensor], Callable[[list[Tensor]], Tensor | None]]:
        """See `Backend.once`."""
        given = pictures.clone().requires_grad_(True)
        with torch.enable_grad():
            values = [value.float().cpu() for value in self._forward(names, given)]

        def back(cotangents: list[Tensor]) -> Tensor | None:
            used = [place for place, value in enumerate(values) if value.requires_grad]
            if not used:
                return None
            outputs, ways = ([each[place] for place in used] for each in (values, cotangents))
            slope: Tensor | None = torch.autograd.grad(outputs, given, ways, allow_unused=True)[0]
            return slope

        return [value.detach() for value in values], back

    def _forward(self, names: Names, pictures: Tensor) -> list[Tensor]:
        with self.frozen([variable.value.detach() for variable in self.model.variables]):
            return self.watched(names, pictures)


class TensorFlow(Backend):
    """Keras on TensorFlow: one traced function for each set of layers and shape of pictures."""

    def __init__(self, model: Any, watched: Watched) -> None:
        super().__init__(model, watched)
        self._traced = lru_cache(KEPT)(self._trace)

    def look(self, forward: Callable[[Any], None], pictures: Tensor) -> None:
        """See `Backend.look`."""
        import tensorflow as tf

        forward(tf.convert_to_tensor(pictures.numpy()))

    def values(self, names: Names, pictures: Tensor) -> list[Tensor]:
        """See `ForeignFunction.values`."""
        import tensorflow as tf

        traced = self._traced(names, tuple(pictures.shape))
        return [torch.from_numpy(value.numpy()) for value in traced(tf.constant(pictures.numpy()))]

    def once(self, names: Names, pictures: Tensor) -> tuple[list[Tensor], Callable[[list[Tensor]], Tensor | None]]:
        """See `Backend.once`."""
        import tensorflow as tf

        given = tf.constant(pictures.numpy())
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(given)
            values = self._traced(names, tuple(pictures.shape))(given)

        def back(cotangents: list[Tensor]) -> Tensor | None:
            ways = [tf.constant(each.numpy()) for each in cotangents]
            slope = tape.gradient(values, given, output_gradients=ways)
            return None if slope is None else torch.from_numpy(slope.numpy())

        return [torch.from_numpy(value.numpy()) for value in values], back

    def _trace(self, names: Names, shape: tuple[int, ...]) -> Any:
        import tensorflow as tf

        def forward(pictures: Any) -> list[Any]:
            # a weight that is no constant to the gradient would have one computed too
            weights = [tf.stop_gradient(tf.convert_to_tensor(each.value)) for each in self.model.variables]
            with self.frozen(weights):
                return [tf.cast(value, tf.float32) for value in self.watched(names, pictures)]

        return tf.function(forward, autograph=False).get_concrete_function(tf.TensorSpec(shape, tf.float32))


class Jax(Backend):
    """Keras on JAX: one compiled function, and one for its pullback, for each set of layers and shape of pictures."""

    def __init__(self, model: Any, watched: Watched) -> None:
        super().__init__(model, watched)
        self._compiled = lru_cache(KEPT)(self._compile)
        self._passing: set[Names] = set()  # layers from which a gradient is known to come

    def look(self, forward: Callable[[Any], None], pictures: Tensor) -> None:
        """See `Backend.look`."""
        import jax

        def shapes(weights: list[Any], shown: Any) -> None:
            with self.frozen(weights):
                forward(shown)

        jax.eval_shape(shapes, self._weights(), pictures.numpy())

    def values(self, names: Names, pictures: Tensor) -> list[Tensor]:
        """See `ForeignFunction.values`."""
        found = self._compiled(names)[0](self._weights(), pictures.numpy())
        return [torch.from_numpy(np.array(value)) for value in found]

    def once(self, names: Names, pictures: Tensor) -> tuple[list[Tensor], Callable[[list[Tensor]], Tensor | None]]:
        """See `Backend.once`."""
        _, linear, pull = self._compiled(names)
        values, transposed = linear(self._weights(), pictures.numpy())

        def back(cotangents: list[Tensor]) -> Tensor | None:
            ways = [each.numpy() for each in cotangents]
            if names not in self._passing and not comes_back(transposed, ways):
                return None
            self._passing.add(names)
            return torch.from_numpy(np.array(pull(transposed, ways)))

        return [torch.from_numpy(np.array(value)) for value in values], back

    def _weights(self) -> list[Any]:
        return [variable.value for variable in self.model.variables]

    def _compile(self, names: Names) -> tuple[Any, Any, Any]:
        import jax

        def forward(weights: list[Any], pictures: Any) -> list[Any]:
            with self.frozen(weights):
                return [value.astype("float32") for value in self.watched(names, pictures)]

        def linear(weights: list[Any], pictures: Any) -> Any:
            return jax.vjp(lambda shown: forward(weights, shown), pictures)

        return jax.jit(forward), jax.jit(linear), jax.jit(applied)


def backend(model: Any, watched: Watched) -> Backend:
    """That on which Keras runs in this process; raises `WrongInput` where it has no gradients here."""
    import keras

    name = keras.backend.backend()
    known: dict[str, type[Backend]] = {"torch": Torch, "tensorflow": TensorFlow, "jax": Jax}
    if name not in known:
        message = f"Keras runs on {name!r} here: set KERAS_BACKEND to {', '.join(known)} before it is imported"
        raise WrongInput(message)
    return known[name](model, watched)
