"""The zoo: trained networks by name, and those in files and packages of other people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuronatlas.networks.base import Network
    from neuronatlas.networks.preprocessing import Normalisation


def load(
    name: str,
    *,
    input_size: int | tuple[int, int] | None = None,
    normalise: Normalisation | None = None,
    channel_order: str = "rgb",
    data_format: str | None = None,
    labels: Sequence[str] = (),
    device: str | None = None,
) -> Network:
    """The network that ``name`` stands for; raises `UnknownName` or `WrongInput`.

    - a network of the zoo, which knows its preprocessing: ``efficientnet-lite0``, ``mobilenet-v2:WEIGHTS.pth``,
      ``alexnet-ecoset:CHECKPOINT_FOLDER``
    - ``timm:NAME``, ``torchvision:NAME``: the architecture, with random weights unless a file of them is given
    - ``WEIGHTS.safetensors@FACTORY`` (or ``.pth``), where FACTORY is one of these, ``package.module:function`` or
      ``file.py:function``; a factory alone is a network with the weights that it makes
    - a file: ``.keras``, ``.h5``, ``.onnx``, ``.pb``, ``.meta``, ``.pt`` (TorchScript); the folder of a SavedModel

    A factory's code is run; nothing in a file of weights is. What else is said of the network is as in
    `neuronatlas.networks.as_network`; ``device`` is "cpu", "cuda" or "mps".
    """
    from neuronatlas.networks.preprocessing import Given
    from neuronatlas.zoo.sources import find

    given = Given(input_size, normalise, channel_order, data_format, name, tuple(labels), device)
    return find(name)(given)
