"""What a TensorFlow object in memory computes, as one ConcreteFunction of pictures."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neuronatlas.errors import WrongInput
from neuronatlas.networks.tensorflow.freezing import first_line

if TYPE_CHECKING:
    from neuronatlas.networks.preprocessing import Given

_PHASES = ("training", "is_training")
"""How the switch is called that tells a model whether it learns."""


def concrete(model: Any, given: Given) -> Any:
    """The one function of pictures that a model is."""
    import tensorflow as tf

    if isinstance(model, tf.types.experimental.ConcreteFunction):
        return model
    signatures = getattr(model, "signatures", None) or {}
    if signatures:
        if "serving_default" in signatures or len(signatures) == 1:
            return signatures.get("serving_default") or next(iter(signatures.values()))
        if not callable(model):
            message = (
                f"the SavedModel has the signatures {sorted(signatures)}: give one of them, model.signatures[NAME]"
            )
            raise WrongInput(message)
    if not callable(model):
        message = f"model is a {type(model).__name__} that cannot be called: give it a __call__, or give its function"
        raise WrongInput(message)
    for function in (model, model.__call__):
        if getattr(function, "input_signature", None) is not None:
            return function.get_concrete_function()
    spec = given.spec()
    height, width = spec.size
    shape = (
        [None, spec.channels, height, width]
        if given.data_format == "channels_first"
        else [None, height, width, spec.channels]
    )
    wanted = tf.TensorSpec(shape, tf.float32)
    tried = []
    for phase in _phases(model):
        try:
            if hasattr(model, "get_concrete_function"):
                return model.get_concrete_function(wanted, **phase)
            return tf.function(lambda pictures, phase=phase: model(pictures, **phase)).get_concrete_function(wanted)
        except (TypeError, ValueError, tf.errors.OpError) as error:
            tried.append(first_line(error))
    message = f"model does not take pictures of shape {tuple(shape)} (None is the batch): {tried[-1]}"
    raise WrongInput(message)


def _phases(model: Any) -> list[dict[str, bool]]:
    """The arguments by which a model may be told that it does not learn; those that it names, where it names them."""
    try:
        names: Mapping[str, inspect.Parameter] = inspect.signature(getattr(model, "python_function", model)).parameters
    except (TypeError, ValueError):
        names = {}
    named = {name: False for name in _PHASES if name in names}
    if named or not any(each.kind == each.VAR_KEYWORD for each in names.values()):
        return [named]
    return [{name: False} for name in _PHASES] + [{}]
