"""Networks: trained models of any framework behind one interface."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from neuronatlas.errors import WrongInput
from neuronatlas.networks.base import InputSpec, Layer, Network

if TYPE_CHECKING:
    from neuronatlas.networks.preprocessing import Normalisation

__all__ = ["InputSpec", "Layer", "Network", "as_network"]

_ADAPTERS = (
    ("keras.", "keras"),
    ("tf_keras.", "keras"),
    ("onnx.", "onnx"),
    ("tensorflow.", "tensorflow"),
    ("flax.", "jax"),
    ("torch.jit", "script"),
    ("torch.nn.modules.module", "torch"),
)
"""Where a class among a model's ancestors stands, and the module here whose ``adapt`` takes such models."""


def as_network(  # noqa: PLR0913 - what one can say of a model
    model: object,
    *,
    input_size: int | tuple[int, int] | None = None,
    normalise: Normalisation | None = None,
    channel_order: str = "rgb",
    data_format: str | None = None,
    name: str = "",
    labels: Sequence[str] = (),
    device: str | None = None,
    parameters: object = None,
) -> Network:
    """A model of torch, Keras, TensorFlow, JAX (Flax, or a function of ``parameters`` and pictures) or ONNX as a network.

    ``input_size`` is in pixels, one number or (height, width); where it is not given the model's own, or 224.
    ``normalise`` is (mean, std), each of one number a colour channel, for pictures in 0..1, or the name of a usual one:
    "0..1", "-1..1", "0..255", "imagenet", "caffe". It has no default: a wrong value range gives grey or noisy pictures.
    ``channel_order`` is "rgb" or "bgr". ``data_format``, "channels_first" or "channels_last", is of the pictures that
    the model takes, where it does not tell. A torch model is moved to ``device`` ("cpu", "cuda", "mps"), if one is
    given, and pictures are made where it is.
    """
    from neuronatlas.networks.preprocessing import Given

    if isinstance(model, Network):
        return model
    if isinstance(labels, str):
        message = f"labels is the text {labels!r}: give one word for each output"
        raise WrongInput(message)
    given = Given(input_size, normalise, channel_order, data_format, name, tuple(labels), device, parameters)
    places = [f"{each.__module__}." for each in type(model).__mro__]
    adapter = next((home for start, home in _ADAPTERS if any(place.startswith(start) for place in places)), None)
    if adapter is None and callable(model):
        adapter = "jax" if parameters is not None else None
    if adapter is None:
        message = (
            f"model is a {type(model).__module__}.{type(model).__name__}; a model of torch, Keras, TensorFlow, Flax or "
            "ONNX is expected, or a function of JAX together with its parameters"
        )
        raise WrongInput(message)
    network: Network = importlib.import_module(f"neuronatlas.networks.{adapter}").adapt(model, given)
    return network
