"""Figures of a scene for paper: the contact sheet of some layers' feature visualizations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.view.scene import Scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def contact_sheet(scene: Scene, layers: Sequence[str], *, columns: int = 8, rows: int = 2) -> Figure:
    """A matplotlib figure: ``rows`` rows of ``columns`` pictures a layer, each with its unit and score.

    The units are evenly spread over those rendered; none is chosen for its looks. Raises
    `UnknownName` for a layer that is not there and `WrongInput` for one without pictures.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * 1.25, len(layers) * rows * 1.45), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(layers) * rows, columns, squeeze=False)
    for number, layer in enumerate(layers):
        shown = _rendered(scene, layer)
        count = min(columns * rows, len(shown))
        chosen = [shown[place * (len(shown) - 1) // max(count - 1, 1)] for place in range(count)]
        cells = list(axes[number * rows : (number + 1) * rows].flat)
        for cell in cells:
            cell.set_axis_off()
        for cell, unit in zip(cells, chosen, strict=False):
            cell.imshow(scene.pictures[unit].image)
            cell.set_title(f"{scene.units[unit]}\n{scene.pictures[unit].score:.3g}", fontsize=6)
    return figure


def _rendered(scene: Scene, layer: str) -> list[int]:
    """The indices of a layer's units that have a picture."""
    names = [entry.name for entry in scene.layers]
    if layer not in names:
        raise UnknownName("layer", layer, names)
    found = [index for index in sorted(scene.pictures) if scene.units[index].layer == layer]
    if not found:
        message = f"layer {layer!r} has no picture: build the atlas with --units of at least 1"
        raise WrongInput(message)
    return found
