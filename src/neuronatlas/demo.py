"""The demonstration: an atlas of EfficientNet-Lite0 over photographs and the classic stimuli of vision science."""

from __future__ import annotations

from neuronatlas import stimuli, zoo
from neuronatlas.building import Job, prepare

NETWORK = "efficientnet-lite0"
LAYERS = ("stem", "blocks.0", "blocks.2", "blocks.4", "blocks.7", "blocks.10", "blocks.14", "head")
"""Spread over the network, from the first rectifier to the last."""
UNITS = 32
"""Units rendered of each layer; layers with fewer are rendered whole."""


def job() -> Job:
    """The demonstration, ready to be performed."""
    shown = stimuli.photographs() + stimuli.vision_science()
    return prepare(zoo.load(NETWORK), shown, layers=LAYERS, units=UNITS)
