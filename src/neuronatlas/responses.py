"""Responses: stimuli go through a network, one number a stimulus and unit comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import UInt8

from neuronatlas.errors import WrongInput
from neuronatlas.networks.base import Network
from neuronatlas.stimuli import Stimulus, StimulusSet
from neuronatlas.table import Responses
from neuronatlas.units import Unit

BATCH = 32


def record(
    network: Network,
    stimuli: StimulusSet,
    *,
    layers: Iterable[str] | None = None,
    reduce: str = "mean",
    progress: Callable[[int, int], None] | None = None,
) -> Responses:
    """The responses of every unit of ``layers`` (default: all) to every stimulus.

    ``reduce`` is "mean" or "max" over positions. ``progress`` is told how many of how many stimuli are done.
    """
    names = list(network.layers if layers is None else layers)
    units = tuple(Unit(name, index) for name in names for index in range(network.layer(name).units))
    if not len(stimuli):
        message = "stimuli is empty: give at least one picture"
        raise WrongInput(message)
    values = np.empty((len(stimuli), len(units)), np.float32)
    for start in range(0, len(stimuli), BATCH):
        part = stimuli.items[start : start + BATCH]
        found = network.respond(pixels(network, part), names, reduce=reduce)
        values[start : start + len(part)] = np.concatenate([found[name] for name in names], axis=1)
        if progress is not None:
            progress(start + len(part), len(stimuli))
    return Responses(values, units, tuple(item.name for item in stimuli), tuple(item.label for item in stimuli))


def pixels(network: Network, stimuli: Iterable[Stimulus]) -> UInt8[np.ndarray, "n h w 3"]:
    """The stimuli at the network's input size; what is longer than wide is drawn square and cut at the middle."""
    height, width = network.input.size
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    drawn = [item.draw(side)[top : top + height, left : left + width] for item in stimuli]
    return np.stack(drawn)
