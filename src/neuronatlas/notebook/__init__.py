"""The atlas in a notebook: its page in a cell, and pictures that are made while somebody looks.

Both are widgets of anywidget, which run in JupyterLab, Jupyter Notebook, VS Code, Colab and marimo. Where no widget can
run, a figure and a sentence take their place. Exploring loads no deep-learning framework.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from neuronatlas.errors import WrongInput
from neuronatlas.notebook.scenes import scene_to_explore
from neuronatlas.notebook.still import Still

if TYPE_CHECKING:
    import numpy as np

    from neuronatlas.atlas import Atlas
    from neuronatlas.maps import ResponseMap
    from neuronatlas.networks import Network
    from neuronatlas.notebook.explorer import Explorer
    from neuronatlas.notebook.live_render import LiveRender

__all__ = ["Still", "explore", "live"]

_INSTALL = "pip install 'neuronatlas[notebook]'"


def explore(
    what: Atlas | ResponseMap, *, height: int = 640, pictures: Sequence[np.ndarray] | None = None
) -> Explorer | Still:
    """The page of an atlas or of a fitted response map, for the cell of a notebook; ``height`` in pixels.

    What the reader opens and selects there can be read in the next cell: see `Explorer`. ``pictures`` are the stimuli of a
    response map, uint8 RGB (height, width, 3) each, in the order of its responses; without them they are grey squares.
    Outside a notebook, and where anywidget is not installed, a `Still` comes back. Raises `WrongInput`.
    """
    scene = scene_to_explore(what, pictures)
    if not 200 <= height <= 4000:
        message = f"height (={height}) must be 200 to 4000 pixels"
        raise WrongInput(message)
    if find_spec("anywidget") is None:
        return Still(scene, f"This is a picture of the map. To explore it here: {_INSTALL}, then restart the kernel.")
    if not runs_widgets():
        return Still(
            scene,
            f"This is a picture of the map. To explore it, run this in a notebook with {_INSTALL}, or open the page.",
        )
    from neuronatlas.notebook.explorer import Explorer

    return Explorer(scene, height=height)


def live(
    network: Network,
    unit: str | None = None,
    *,
    atlas: Atlas | None = None,
    preset: str | None = None,
    steps: int | None = None,
    seed: int | None = None,
) -> LiveRender:
    """A widget to choose a layer and a channel in, whose picture grows while the kernel stays free; see `LiveRender`.

    ``unit`` is shown first, by default the first of the network. Pictures that ``atlas``, which must be of this network,
    holds are not made again; ``preset`` ("fast"), ``steps`` (those of the preset) and ``seed`` (0) are then by default
    those that it was built with. Raises `WrongInput` where anywidget is not installed, `UnknownName` and `AtlasMismatch`.
    """
    if find_spec("anywidget") is None:
        message = f"anywidget, which a live rendering needs, is not installed: {_INSTALL}"
        raise WrongInput(message)
    from neuronatlas.notebook.live_render import LiveRender

    return LiveRender(network, unit, atlas=atlas, preset=preset, steps=steps, seed=seed)


def runs_widgets() -> bool:
    """Whether a cell of a notebook is asking: of Jupyter and what speaks with its kernels, or of marimo."""
    if "marimo" in sys.modules and sys.modules["marimo"].running_in_notebook():
        return True
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return getattr(shell, "kernel", None) is not None
