"""Networks from a factory: code that makes a model, with weights from a file or those that it makes itself."""

from __future__ import annotations

from neuronatlas.errors import WrongInput
from neuronatlas.networks.base import Network
from neuronatlas.networks.preprocessing import Given


def is_factory(word: str) -> bool:
    """Does the word name a factory, with or without weights?"""
    return ":" in word


def load(word: str, given: Given) -> Network:
    """The network of ``FACTORY`` or ``WEIGHTS@FACTORY``."""
    message = f"network {word!r}: factories are not there yet"
    raise WrongInput(message)
