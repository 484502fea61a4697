"""JAX as networks: modules of Flax (linen and nnx), and functions of parameters and pictures.

A layer is what a submodule gives, under the submodule's path, or what a model sows; of a function, every array that it
returns, under its path ("output" where it is one array alone). Rectifiers are functions in JAX and no modules: a layer
named after a convolution holds its values before them, and what comes after them is a layer only where it is sown. The
weights are those at the time when the model is given. Batch norms use their statistics and change nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from neuronatlas.errors import WrongInput
from neuronatlas.networks.bridge import BridgedNetwork, ForeignFunction, Place, Pullback, no_way_back, unit_shape
from neuronatlas.networks.jax.pulling import applied, comes_back

if TYPE_CHECKING:
    from neuronatlas.networks.base import Network
    from neuronatlas.networks.preprocessing import Given


_RECTIFIERS = ("relu", "relu6")
"""Names of functions, compiled on their own, of `jax.nn`."""


@dataclass(frozen=True)
class Reached:
    """An array that a forward pass comes by; ``reason`` says why it cannot be used."""

    value: Any
    kind: str
    reason: str = ""


Forward = Callable[[Any, Any], dict[str, Reached]]
"""From parameters and pictures to every array on the way, by name, in the order of computation."""


class JaxFunction(ForeignFunction):
    """A forward pass, compiled once for every choice of layers and shape of pictures."""

    def __init__(self, forward: Forward, parameters: object, *, channels_last: bool = True) -> None:
        import jax

        self.channels_last = channels_last
        self._forward = forward
        leaves, structure = jax.tree_util.tree_flatten_with_path(parameters)
        self._structure: Any = structure
        self._paths = [jax.tree_util.keystr(path) for path, _ in leaves]
        self._leaves = [leaf for _, leaf in leaves]
        self._numbers = [place for place, leaf in enumerate(self._leaves) if isinstance(leaf, (jax.Array, np.ndarray))]
        self._compiled: dict[tuple[str, ...], tuple[Callable[..., Any], Callable[..., Any]]] = {}
        self._passing: set[tuple[str, ...]] = set()  # layers from which a gradient is known to come

    def _weights(self) -> list[Any]:
        return [self._leaves[place] for place in self._numbers]

    def _all(self, weights: list[Any], pictures: Any) -> dict[str, Reached]:
        """Everything on the way, with these weights in their places."""
        leaves = list(self._leaves)
        for place, weight in zip(self._numbers, weights, strict=True):
            leaves[place] = weight
        return self._forward(self._structure.unflatten(leaves), pictures)

    def places(self, pictures: Tensor) -> list[Place]:
        """Every array on the way, with its shape, in the order of computation; nothing is computed."""
        import jax
        from jax import numpy as jnp

        about: dict[str, Reached] = {}

        def arrays(weights: list[Any], shown: Any) -> list[Any]:
            about.update(self._all(weights, shown))
            return [each.value for each in about.values() if not each.reason]

        shown: Any = jnp.zeros(tuple(pictures.shape), jnp.float32)
        program, shapes = _said(lambda: jax.make_jaxpr(arrays, return_shape=True)(self._weights(), shown), pictures)
        usable = [name for name, each in about.items() if not each.reason]
        variables = dict(zip(usable, program.jaxpr.outvars, strict=True))
        known = dict(zip(usable, shapes, strict=True))
        order, rectified = _read(program.jaxpr)
        homes = {id(variable): name for name, variable in variables.items()}
        found = []
        for name in sorted(about, key=lambda name: order.get(id(variables.get(name)), -1)):
            shape = tuple(known[name].shape) if name in known else ()
            reason = about[name].reason or unit_shape(shape, floating=jnp.issubdtype(known[name].dtype, jnp.floating))
            if not reason and shape[0] != len(pictures):
                reason = f"its output has shape {shape}, whose first axis is not the pictures"
            before = homes.get(rectified.get(id(variables.get(name)), -1), "")
            found.append(Place(name, about[name].kind, shape[1:], self.channels_last, before, reason))
        return found

    def fingerprint(self) -> str:
        """The sha256 of every number and array among the parameters with its path, type and shape; not of random keys."""
        import jax
        from jax import numpy as jnp

        total = hashlib.sha256()
        for path, leaf in sorted(zip(self._paths, self._leaves, strict=True), key=lambda each: each[0]):
            if not isinstance(leaf, (jax.Array, np.ndarray, np.generic, bool, int, float, complex)):
                continue
            if not isinstance(leaf, jax.Array) or not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                value = np.asarray(leaf)
                total.update(f"{path}|{value.dtype}|{value.shape}|".encode())
                total.update(value.tobytes())
        return total.hexdigest()

    def values(self, names: tuple[str, ...], pictures: Tensor) -> list[Tensor]:
        """The values of the layers."""
        found = _said(lambda: self._functions(names)[0](self._weights(), _array(pictures)), pictures)
        return [_tensor(value) for value in found]

    def linearise(self, names: tuple[str, ...], pictures: Tensor) -> tuple[list[Tensor], Pullback]:
        """The values of the layers and the way back, which reuses what was computed on the way there."""
        found, back = _said(lambda: self._functions(names)[1](self._weights(), _array(pictures)), pictures)

        def pullback(cotangents: list[Tensor]) -> Tensor:
            ways = [_array(each) for each in cotangents]
            if names not in self._passing and not comes_back(back, ways):
                raise no_way_back(names)
            self._passing.add(names)
            return _tensor(_pull()(back, ways))

        return [_tensor(value) for value in found], pullback

    def _functions(self, names: tuple[str, ...]) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """The values of the layers in float32, and the same with their pullback; both compiled."""
        import jax
        from jax import numpy as jnp

        if names not in self._compiled:

            def chosen(weights: list[Any], pictures: Any) -> list[Any]:
                reached = self._all(weights, pictures)
                return [reached[name].value.astype(jnp.float32) for name in names]

            def linear(weights: list[Any], pictures: Any) -> Any:
                return jax.vjp(lambda shown: chosen(weights, shown), pictures)

            self._compiled[names] = jax.jit(chosen), jax.jit(linear)
        return self._compiled[names]


def _read(program: Any) -> tuple[dict[int, int], dict[int, int]]:
    """For every variable of a program, by id, the step that computes it; for those of rectifiers, what is rectified."""
    order: dict[int, int] = {}
    rectified: dict[int, int] = {}
    for step, equation in enumerate(program.eqns):
        for variable in equation.outvars:
            order[id(variable)] = step
        inner = getattr(equation.params.get("call_jaxpr"), "eqns", None) or [equation]
        zero = equation.primitive.name == "max" and any(
            np.all(getattr(each, "val", 1) == 0) for each in equation.invars
        )
        if zero or inner[0].params.get("name") in _RECTIFIERS:
            rectified[id(equation.outvars[0])] = id(equation.invars[0])
    return order, rectified


def _pull() -> Callable[..., Any]:
    """Apply a pullback, compiled; `jax.jit` keeps what it compiled for the same function."""
    import jax

    return jax.jit(applied)


def _array(tensor: Tensor) -> Any:
    """A copy: torch may write on its own while JAX still computes."""
    from jax import numpy as jnp

    return jnp.array(tensor.numpy(), copy=True)


def _tensor(array: Any) -> Tensor:
    """A copy: JAX never expects anyone to write on its arrays."""
    return torch.from_numpy(np.array(array))


def _said(compute: Callable[[], Any], pictures: Tensor) -> Any:
    """What the model computes; whatever it raises is raised as `WrongInput`, in one line."""
    try:
        return compute()
    except Exception as error:  # a model is anybody's code
        line = next((line for line in str(error).splitlines() if line.strip()), "")
        message = (
            f"the model does not take pictures of shape {tuple(pictures.shape)}: {type(error).__name__}: {line[:300]}"
        )
        raise WrongInput(message) from error


def adapt(model: Any, given: Given) -> Network:
    """A module of Flax, or a function ``apply(parameters, pictures)``, as a network; see `as_network`."""
    parameters: Any = given.parameters
    if any(each.__module__.startswith("flax.") for each in type(model).__mro__):
        from neuronatlas.networks.jax.flax import forward_of

        forward, parameters = forward_of(model, parameters)
    else:
        forward = _returned(model)
    said = getattr(model, "name", None) or getattr(model, "__name__", None)
    name = given.name or (said if isinstance(said, str) and said.isidentifier() else type(model).__name__)
    function = JaxFunction(forward, parameters, channels_last=given.data_format != "channels_first")
    return BridgedNetwork(function, input=given.spec(), name=name, labels=given.labels)


def _returned(apply: Callable[[Any, Any], Any]) -> Forward:
    """What a function returns, by path."""

    def forward(parameters: Any, pictures: Any) -> dict[str, Reached]:
        return {name: Reached(value, "function") for name, value in by_path(apply(parameters, pictures)).items()}

    return forward


def by_path(tree: Any, name: str = "", alone: str = "output") -> Mapping[str, Any]:
    """The arrays of a tree by path, behind ``name``; that of a single array is ``name``, or else ``alone``."""
    import jax

    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    return {
        "/".join(part for part in (name, path) if part) or alone: leaf
        for path, (_, leaf) in zip(paths, leaves, strict=True)
        if hasattr(leaf, "dtype")
    }
