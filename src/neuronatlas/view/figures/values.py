"""What a figure is asked to show, found in a scene: units, layers, stimuli and classes by name, and their responses."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Bool, Float64

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.units import Unit
from neuronatlas.view.scene import Scene
from neuronatlas.view.scripts import MISSING, quantise, scale


def unit_index(scene: Scene, unit: Unit | str) -> int:
    """The index of a unit by its address; raises `UnknownName`."""
    wanted = Unit.parse(unit) if isinstance(unit, str) else unit
    mine = {str(each): index for index, each in enumerate(scene.units) if each.layer == wanted.layer}
    if not mine:
        raise UnknownName("layer", wanted.layer, [layer.name for layer in scene.layers])
    if str(wanted) not in mine:
        raise UnknownName("unit", str(wanted), mine)
    return mine[str(wanted)]


def rendered(scene: Scene, layer: str) -> list[int]:
    """The indices of a layer's units that have a picture; raises `UnknownName`, and `WrongInput` without any."""
    names = [entry.name for entry in scene.layers]
    if layer not in names:
        raise UnknownName("layer", layer, names)
    found = [index for index in sorted(scene.pictures) if scene.units[index].layer == layer]
    if not found:
        message = f"layer {layer!r} has no picture: build the atlas with --units of at least 1"
        raise WrongInput(message)
    return found


def classes(scene: Scene) -> list[str]:
    """The labels of the stimuli, in the order in which they first occur; the empty label is none."""
    return list(dict.fromkeys(stimulus.label for stimulus in scene.stimuli if stimulus.label))


def of_stimulus(scene: Scene, name: str) -> Bool[np.ndarray, " stimuli"]:
    """Which stimulus has this name; raises `UnknownName`."""
    names = [stimulus.name for stimulus in scene.stimuli]
    if name not in names:
        raise UnknownName("stimulus", name, names)
    return np.array([each == name for each in names])


def of_class(scene: Scene, label: str) -> Bool[np.ndarray, " stimuli"]:
    """Which stimuli are of this class; raises `UnknownName`."""
    known = classes(scene)
    if label not in known:
        raise UnknownName("class", label, known)
    return np.array([stimulus.label == label for stimulus in scene.stimuli])


def of_either(scene: Scene, name: str) -> Bool[np.ndarray, " stimuli"]:
    """The stimulus of this name or, where there is none, the stimuli of the class; raises `UnknownName`."""
    if name in [stimulus.name for stimulus in scene.stimuli]:
        return of_stimulus(scene, name)
    if name in classes(scene):
        return of_class(scene, name)
    raise UnknownName("stimulus or class", name, [*(each.name for each in scene.stimuli), *classes(scene)])


def scaled(scene: Scene, *chosen: Bool[np.ndarray, " stimuli"]) -> list[Float64[np.ndarray, " units"]]:
    """The mean response of every unit over each of these choices of stimuli, NaN where there is none.

    Each response is taken as the page shows it: 0 at the 1st percentile of the unit's finite responses and below, 1 at
    the 99th and above, in 254 steps.
    """
    low, high = scale(scene.responses)
    found = []
    for which in chosen:
        codes = quantise(scene.responses[which], low, high)
        found.append(mean(np.where(codes == MISSING, np.nan, codes / (MISSING - 1.0))))
    return found


def mean(values: Float64[np.ndarray, "stimuli units"]) -> Float64[np.ndarray, " units"]:
    """The mean over the stimuli of what is finite, NaN where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nothing finite: NaN is the answer
        return np.nanmean(np.where(np.isfinite(values), values, np.nan), axis=0)
