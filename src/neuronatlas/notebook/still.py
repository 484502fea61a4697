"""The map as a picture, for where no widget runs: in a file on a web site, in a terminal, without the package."""

from __future__ import annotations

import io
from functools import cached_property
from typing import TYPE_CHECKING

from neuronatlas.view.figures import map_figure
from neuronatlas.view.scene import Scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH_MM = 160.0


class Still:
    """A picture of the map and a ``sentence`` that says how to get more; a notebook shows both.

    It has the attributes of an `Explorer` that say what the reader chose, so that the cells after it run: nothing.
    """

    unit: str | None = None
    stimulus: str | None = None

    def __init__(self, scene: Scene, sentence: str) -> None:
        self.scene, self.sentence = scene, sentence
        self.selection: list[str] = []

    @cached_property
    def figure(self) -> Figure:
        """The map by layer, or, where no unit has a place, the sentence alone."""
        return figure_of(self.scene)

    def __repr__(self) -> str:
        """The sentence."""
        return self.sentence

    def _repr_mimebundle_(self, **_: object) -> dict[str, object]:
        return {"image/png": png(self.figure), "text/plain": self.sentence}


def figure_of(scene: Scene) -> Figure:
    """The map of a scene by layer; raises `WrongInput` where no unit has a place."""
    return map_figure(scene, width_mm=_WIDTH_MM)


def png(figure: Figure) -> bytes:
    """The figure as a PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, facecolor="white")
    return stream.getvalue()
