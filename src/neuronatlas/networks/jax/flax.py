"""Modules of Flax as functions that tell everything on their way: linen by its own means, nnx by classes that watch.

Dropout is off and batch norms use their statistics: by the arguments of ``__call__`` that say so, and in nnx by ``eval``
on a copy.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

from neuronatlas.errors import WrongInput
from neuronatlas.networks.jax.adapter import Forward, Reached, by_path

_KINDS = {
    "convolution": ("Conv", "ConvTranspose", "ConvLocal"),
    "dense": ("Dense", "DenseGeneral", "Linear", "LinearGeneral", "Einsum"),
    "normalisation": ("BatchNorm", "LayerNorm", "RMSNorm", "GroupNorm", "InstanceNorm", "WeightNorm", "SpectralNorm"),
    "attention": ("MultiHeadDotProductAttention", "MultiHeadAttention", "SelfAttention"),
    "": ("Dropout", "Identity"),
}
_REST = {"train": False, "training": False, "is_training": False, "deterministic": True, "use_running_average": True}
"""The arguments by which models are told that they do not learn."""
_ADVICE = (
    "its __call__ takes none of the arguments "
    + ", ".join(_REST)
    + ", by which it could be told that it does not learn"
)


def forward_of(model: Any, parameters: Any) -> tuple[Forward, Any]:
    """The forward pass of a module of Flax, and its parameters."""
    from flax import linen

    if not isinstance(model, linen.Module):
        return _nnx(model)
    if parameters is None and model.scope is not None:
        model, parameters = model.unbind()
    if parameters is None:
        message = "parameters is missing: give the variables of the linen module, as module.init returns them"
        raise WrongInput(message)
    return _linen(model), parameters if "params" in parameters else {"params": parameters}


def _linen(module: Any) -> Forward:
    from flax import linen

    rest = _at_rest(module)

    def forward(variables: Any, pictures: Any) -> dict[str, Reached]:
        order: dict[tuple[str, ...], str] = {}

        def watch(call: Callable[..., Any], arguments: Any, keywords: Any, about: Any) -> Any:
            output = call(*arguments, **keywords)
            if about.method_name == "__call__":
                order.setdefault(tuple(about.module.path), _kind(about.module))
            return output

        with linen.intercept_methods(watch):
            output, state = _explained(
                lambda: module.apply(
                    variables, pictures, capture_intermediates=True, mutable=["intermediates"], **rest
                ),
                rest,
            )
        return _in_order(order, state.get("intermediates", {}), output)

    return forward


def _in_order(order: dict[tuple[str, ...], str], kept: Any, output: Any) -> dict[str, Reached]:
    """What modules gave and sowed."""
    found: dict[str, Reached] = {}
    for path, kind in order.items():
        inside = kept
        for part in path:
            inside = inside.get(part, {})
        block = any(other[: len(path)] == path and other != path for other in order)
        for key, values in inside.items():
            if key != "__call__" and isinstance(values, tuple):
                _add(found, "/".join([*path, key]), values, "sown")
        if path and kind != "copy" and "__call__" in inside:
            _add(found, "/".join(path), inside["__call__"], "block" if block and kind == "function" else kind)
    return _with_output(found, output)


def _with_output(found: dict[str, Reached], output: Any) -> dict[str, Reached]:
    """With the output of all, where it is not that of a part."""
    known = {id(each.value) for each in found.values()}
    return found | {
        name: Reached(value, "function")
        for name, value in by_path(output, "", "output").items()
        if id(value) not in known and name not in found
    }


def _add(found: dict[str, Reached], name: str, calls: tuple[Any, ...], kind: str) -> None:
    """The output of every call; the k-th is ``name#k`` where there are several."""
    for index, value in enumerate(calls):
        called = f"{name}#{index}" if len(calls) > 1 else name
        for path, each in by_path(value, called).items():
            found[path] = Reached(each, kind)


def _nnx(model: Any) -> tuple[Forward, Any]:
    from flax import nnx

    if not isinstance(model, nnx.Module):
        message = f"model is a {type(model).__module__}.{type(model).__name__}: give a linen.Module or an nnx.Module"
        raise WrongInput(message)
    definition, state = nnx.split(model)
    rest = _at_rest(model)

    def forward(weights: Any, pictures: Any) -> dict[str, Reached]:
        copy: Any = nnx.merge(definition, weights)
        copy.eval()
        calls: list[tuple[tuple[str, ...], Any, Any]] = []
        parts = {
            id(part): (part, tuple(map(str, path)))
            for path, part in nnx.iter_graph(copy)
            if isinstance(part, nnx.Module)
        }
        paths = {key: path for key, (_, path) in parts.items()}
        here = _level()

        def keep(module: Any, output: Any) -> None:
            if id(module) in paths:  # a copy that a transformation made has no path
                calls.append((paths[id(module)], module, output if _level() == here else None))

        for part, path in parts.values():
            if path:
                part.__class__ = _watched(type(part))
                object.__setattr__(part, "_told", keep)
        output = _explained(lambda: copy(pictures, **rest), rest)
        return _told(calls, output)

    return forward, state


def _told(calls: list[tuple[tuple[str, ...], Any, Any]], output: Any) -> dict[str, Reached]:
    """What the submodules gave, by path, in the order of their calls' ends."""
    outputs: dict[tuple[str, ...], list[Any]] = {}
    kinds: dict[tuple[str, ...], str] = {}
    for path, module, value in calls:
        outputs.setdefault(path, []).append(value)
        kinds[path] = _kind(module)
    found: dict[str, Reached] = {}
    for path, values in outputs.items():
        block = kinds[path] == "function" and any(other[: len(path)] == path and other != path for other in outputs)
        if any(value is None for value in values):
            found["/".join(path)] = Reached(None, kinds[path], "it is computed inside a transformation such as scan")
        elif kinds[path] != "copy":
            _add(found, "/".join(path), tuple(values), "block" if block else kinds[path])
    return _with_output(found, output)


@cache
def _watched(kind: type) -> type:
    """A class like this one whose instances tell what they give."""

    def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
        output = kind.__call__(self, *arguments, **keywords)
        self._told(self, output)
        return output

    return type(kind.__name__, (kind,), {"__call__": call, "__module__": kind.__module__})


def _level() -> object:
    """Which transformation of JAX is being traced."""
    import jax
    from jax.extend import core

    state = getattr(core, "get_opaque_trace_state", None) or jax.core.get_opaque_trace_state
    return state(convention="nnx")


def _kind(module: Any) -> str:
    """The kind of a layer in one word; "copy" for what only passes its input on."""
    names = [each.__name__ for each in type(module).__mro__ if each.__module__.startswith("flax.")]
    return next((kind or "copy" for kind, classes in _KINDS.items() if set(classes) & set(names)), "function")


def _at_rest(module: Any) -> dict[str, bool]:
    """The arguments of a module's call that switch off what only learning needs."""
    taken = inspect.signature(type(module).__call__).parameters
    return {name: value for name, value in _REST.items() if name in taken}


def _explained(call: Callable[[], Any], rest: dict[str, bool]) -> Any:
    """What the model computes; where it seems to learn, the error says what was tried."""
    from flax import errors

    try:
        return call()
    except (errors.InvalidRngError, errors.ModifyScopeVariableError) as error:
        line = str(error).strip().splitlines()[0]
        message = (
            f"the model behaves as in training ({line[:200]}): {f'it was called with {rest}' if rest else _ADVICE}"
        )
        raise WrongInput(message) from error
