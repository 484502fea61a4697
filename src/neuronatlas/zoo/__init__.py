"""The zoo: trained networks by name, one row each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuronatlas.errors import UnknownName

if TYPE_CHECKING:
    from neuronatlas.networks.base import Network

NAMES = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")


def load(name: str, *, device: str | None = None) -> Network:
    """The network of that name with its weights, on ``device`` ("cpu", "cuda", "mps"); raises `UnknownName` or `WrongInput`."""
    if name not in NAMES:
        raise UnknownName("network", name, NAMES)
    from neuronatlas.zoo import efficientnet_lite

    return efficientnet_lite.load(int(name[-1]), device=device or "cpu")
