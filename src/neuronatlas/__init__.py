"""Neuron Atlas: what every neuron of a vision network wants to see, and which neurons fire together.

The names below are loaded when they are first used, so that ``import neuronatlas`` loads no deep-learning framework.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuronatlas import errors as errors
    from neuronatlas import gallery as gallery
    from neuronatlas import objectives as objectives
    from neuronatlas import stimuli as stimuli
    from neuronatlas.atlas import Atlas as Atlas
    from neuronatlas.atlas import open as open  # noqa: A004 - neuronatlas.open("my.atlas") reads as it should
    from neuronatlas.building import build as build
    from neuronatlas.maps import ResponseMap as ResponseMap
    from neuronatlas.maps import Responses as Responses
    from neuronatlas.networks import InputSpec as InputSpec
    from neuronatlas.networks import Layer as Layer
    from neuronatlas.networks import Network as Network
    from neuronatlas.networks import as_network as as_network
    from neuronatlas.rendering import Recipe as Recipe
    from neuronatlas.rendering import Rendering as Rendering
    from neuronatlas.rendering import render as render
    from neuronatlas.responses import record as record
    from neuronatlas.stimuli import StimulusSet as StimulusSet
    from neuronatlas.units import Unit as Unit
    from neuronatlas.zoo import load as load

_HOMES = {
    "Atlas": "atlas",
    "InputSpec": "networks",
    "Layer": "networks",
    "Network": "networks",
    "Recipe": "rendering",
    "Rendering": "rendering",
    "ResponseMap": "maps",
    "Responses": "maps",
    "StimulusSet": "stimuli",
    "Unit": "units",
    "as_network": "networks",
    "build": "building",
    "errors": "",
    "gallery": "",
    "load": "zoo",
    "objectives": "",
    "open": "atlas",
    "record": "responses",
    "render": "rendering",
    "stimuli": "",
}

__all__ = [
    "Atlas",
    "InputSpec",
    "Layer",
    "Network",
    "Recipe",
    "Rendering",
    "ResponseMap",
    "Responses",
    "StimulusSet",
    "Unit",
    "as_network",
    "build",
    "errors",
    "gallery",
    "load",
    "objectives",
    "open",
    "record",
    "render",
    "stimuli",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("neuronatlas")
    if name not in _HOMES:
        message = f"module 'neuronatlas' has no attribute {name!r}"
        raise AttributeError(message)
    home = _HOMES[name]
    if not home:
        return importlib.import_module(f"neuronatlas.{name}")
    value = getattr(importlib.import_module(f"neuronatlas.{home}"), name)
    globals()[name] = value  # a submodule of the same name, once imported, must not hide it
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
