"""Networks: trained models of any framework behind one interface."""

from __future__ import annotations

from collections.abc import Sequence

from neuronatlas.errors import WrongInput
from neuronatlas.networks.base import InputSpec, Layer, Network

__all__ = ["InputSpec", "Layer", "Network", "as_network"]


def as_network(
    model: object,
    *,
    input_size: int | tuple[int, int] = 224,
    normalise: tuple[Sequence[float], Sequence[float]] | None = None,
    name: str = "",
    labels: Sequence[str] = (),
    device: str | None = None,
) -> Network:
    """A model behind the one interface.

    ``input_size`` is in pixels, one number or (height, width). ``normalise`` is (mean, std), each of one number a
    colour channel, for pictures in 0..1. It has no default: a wrong value range gives grey or noisy pictures. The model
    is moved to ``device`` ("cpu", "cuda", "mps"), if one is given, and pictures are made where it is.
    """
    if isinstance(model, Network):
        return model
    from torch import nn

    from neuronatlas.networks.modules import moved
    from neuronatlas.networks.torch import TorchNetwork

    if not isinstance(model, nn.Module):
        message = f"model is a {type(model).__module__}.{type(model).__name__}; a torch.nn.Module is expected"
        raise WrongInput(message)
    if normalise is None:
        message = "normalise is missing: give (mean, std) for pictures in 0..1, or ((0, 0, 0), (1, 1, 1)) for none"
        raise WrongInput(message)
    size = (input_size, input_size) if isinstance(input_size, int) else input_size
    mean, std = (tuple(float(value) for value in values) for values in normalise)
    if len(mean) != len(std) or not all(value > 0 for value in std):
        message = f"normalise (={normalise!r}) must be a mean and a positive std of the same length"
        raise WrongInput(message)
    spec = InputSpec(size, mean, std)
    if device is not None:
        model = moved(model, device)
    return TorchNetwork(model, input=spec, name=name or type(model).__name__, labels=tuple(labels))
