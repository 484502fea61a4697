"""The three backends of Keras: how each computes values and gradients of a watched model.

Each takes ``watched``, a function from the addresses wanted and pictures of the backend to their tensors. Weights are read
anew before every capture, so that a model that has learnt something in between gives what it has learnt.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from neuronatlas.errors import WrongInput
from neuronatlas.networks.bridge import Pullback, no_way_back
from neuronatlas.networks.jax.pulling import applied, comes_back
from neuronatlas.networks.tensorflow.pulling import Pulled, compiled

T = TypeVar("T")
Names = tuple[str, ...]
Watched = Callable[[Names, Any], list[Any]]
KEPT = 64
"""Compiled functions that are kept, one for each set of layers."""
FEW = 4
"""The same for TensorFlow, where each may hold the weights as constants."""
CONSTANT = 1 << 27
"""Bytes of weights up to which TensorFlow has them as constants, which it folds into each other: several copies each."""


class Backend(ABC):
    """Values and gradients of one model."""

    shared = False
    """See `ForeignFunction.shared`."""

    def __init__(self, model: Any, watched: Watched) -> None:
        self.model = model
        self.watched = watched

    @abstractmethod
    def look(self, forward: Callable[[Any], None], pictures: Tensor) -> None:
        """Run ``forward`` on pictures of the backend, which need not have values, only shapes."""

    def renew(self) -> None:  # noqa: B027 - only constants have to be renewed
        """See `ForeignFunction.renew`."""

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

    shared = True

    def __init__(self, model: Any, watched: Watched) -> None:
        super().__init__(model, watched)
        self._lock = threading.Lock()
        self._values = lru_cache(FEW)(partial(self._traced, compiled))
        self._pulled = lru_cache(FEW)(partial(self._traced, Pulled))
        self._constants: list[Any] | None = None  # the weights that the traced functions hold

    def look(self, forward: Callable[[Any], None], pictures: Tensor) -> None:
        """See `Backend.look`."""
        import tensorflow as tf

        forward(tf.convert_to_tensor(pictures.numpy()))

    def renew(self) -> None:
        """See `ForeignFunction.renew`."""
        with self._lock:
            if self._constants is not None and not all(map(_same_bytes, self._constants, self._arrays())):
                self._constants = None
                self._values.cache_clear()
                self._pulled.cache_clear()

    def values(self, names: Names, pictures: Tensor) -> list[Tensor]:
        """See `ForeignFunction.values`."""
        import tensorflow as tf

        with self._lock:
            function = self._values(names, tuple(pictures.shape))
        return [torch.from_numpy(value.numpy()) for value in function(tf.constant(pictures.numpy()))]

    def once(self, names: Names, pictures: Tensor) -> tuple[list[Tensor], Callable[[list[Tensor]], Tensor | None]]:
        """See `Backend.once`."""
        import tensorflow as tf

        with self._lock:
            pulled = self._pulled(names, tuple(pictures.shape))
        if not pulled.passes:
            return self.values(names, pictures), lambda _: None
        values, pull = pulled(tf.constant(pictures.numpy()))

        def back(cotangents: list[Tensor]) -> Tensor | None:
            return torch.from_numpy(pull([tf.constant(each.numpy()) for each in cotangents]).numpy())

        return [torch.from_numpy(value.numpy()) for value in values], back

    def _traced(self, make: Callable[..., T], names: Names, shape: tuple[int, ...]) -> T:
        import tensorflow as tf

        def forward(pictures: Any, weights: list[Any]) -> list[Any]:
            with self.frozen(weights):
                return [tf.cast(value, tf.float32) for value in self.watched(names, pictures)]

        weights = [variable.value for variable in self.model.variables]
        if sum(weight.dtype.size * weight.shape.num_elements() for weight in weights) <= CONSTANT:
            self._constants = self._constants or self._arrays()
            weights = self._constants
        return make(forward, shape, tf.float32, weights)

    def _arrays(self) -> list[Any]:
        return [variable.value.numpy() for variable in self.model.variables]


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


def _same_bytes(one: Any, other: Any) -> bool:
    return one.shape == other.shape and one.tobytes() == other.tobytes()


def backend(model: Any, watched: Watched) -> Backend:
    """That on which Keras runs in this process; raises `WrongInput` where it has no gradients here."""
    import keras

    name = keras.backend.backend()
    known: dict[str, type[Backend]] = {"torch": Torch, "tensorflow": TensorFlow, "jax": Jax}
    if name not in known:
        message = f"Keras runs on {name!r} here: set KERAS_BACKEND to {', '.join(known)} before it is imported"
        raise WrongInput(message)
    return known[name](model, watched)
