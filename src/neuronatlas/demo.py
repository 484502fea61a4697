"""The demonstration: an atlas of EfficientNet-Lite0 over photographs and the classic stimuli of vision science."""

from __future__ import annotations

from neuronatlas import stimuli, zoo
from neuronatlas.building import Job, prepare

NETWORK = "efficientnet-lite0"
LAYERS = ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.7", "blocks.10", "blocks.14", "head_bn")
"""Spread over the network; the last one before its rectifier, which would clip the optimisation at 6."""
UNITS = 24
"""Units rendered of each layer; layers with fewer are rendered whole."""


def job() -> Job:
    """The demonstration, ready to be performed."""
    shown = stimuli.photographs() + stimuli.vision_science()
    return prepare(zoo.load(NETWORK), shown, layers=LAYERS, units=UNITS, negative=True)
