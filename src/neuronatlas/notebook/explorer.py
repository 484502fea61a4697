"""The page of a scene as a widget."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import anywidget
import traitlets

from neuronatlas.errors import NeuronAtlasError, UnknownName, WrongInput
from neuronatlas.notebook.still import figure_of, png
from neuronatlas.view.page import STATIC
from neuronatlas.view.parts import Parts
from neuronatlas.view.scene import Scene

PAGE = ("index.html", "app.css", "app.js")
"""What the page is made of, in the order in which the widget is sent it."""


class Explorer(anywidget.AnyWidget):
    """The page of a scene in a cell: what the reader does there is read, and the page moved, from Python.

    ``unit``: the address of the open unit, or None; ``stimulus``: the name of the stimulus by which the map is coloured,
    or None. Setting them moves the page; raises `UnknownName`. ``selection``: the addresses of the units that the reader
    chose, in order; it is only read. ``height``: of the page, in pixels.

    The page asks for its parts while the kernel is free, so it waits while a cell runs.
    """

    _esm = STATIC / "widget.js"
    _css = STATIC / "widget.css"
    _kind = traitlets.Unicode("explorer").tag(sync=True)
    unit = traitlets.Unicode(None, allow_none=True).tag(sync=True)
    stimulus = traitlets.Unicode(None, allow_none=True).tag(sync=True)
    selection = traitlets.List(traitlets.Unicode()).tag(sync=True)
    height = traitlets.Int(640, min=200, max=4000).tag(sync=True)

    def __init__(self, scene: Scene, *, height: int = 640) -> None:
        self._parts = Parts(scene)
        self._units = {str(unit) for unit in scene.units}
        self._stimuli = {stimulus.name for stimulus in scene.stimuli}
        super().__init__(height=height)
        self.on_msg(self._asked)

    @traitlets.validate("unit")
    def _known_unit(self, proposal: Any) -> str | None:
        return _known("unit", proposal["value"], self._units)

    @traitlets.validate("stimulus")
    def _known_stimulus(self, proposal: Any) -> str | None:
        return _known("stimulus", proposal["value"], self._stimuli)

    def _asked(self, _: object, content: object, buffers: object) -> None:
        """Send the part that the page wants, with the number of its question."""
        del buffers
        if not isinstance(content, dict) or "want" not in content:
            return
        about = {"id": content.get("id")}
        try:
            self.send(about, buffers=self._answer(str(content["want"])))
        except NeuronAtlasError as error:
            self.send(about | {"error": str(error)})

    def _answer(self, want: str) -> Sequence[bytes]:
        if want == "page":
            return page_files()
        text = json.dumps(self._parts.value(want), allow_nan=False, separators=(",", ":"))
        return [text.encode("ascii")]

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and a picture of the map for whoever cannot run it."""
        bundle, about = super()._repr_mimebundle_(**kwargs) or ({}, {})
        return bundle | fallback(self._parts.scene), about


def fallback(scene: Scene) -> dict[str, str]:
    """The picture and the words that a notebook keeps beside the widget."""
    words = {"text/plain": f"{scene.title}: {len(scene.units)} units (run the notebook to explore them)"}
    try:
        return words | {"image/png": base64.b64encode(png(figure_of(scene))).decode("ascii")}
    except WrongInput:  # no unit has a place
        return words


def page_files() -> list[bytes]:
    """The bundle of the page; raises `WrongInput` where it was never built."""
    files = [STATIC / name for name in PAGE]
    if not all(file.is_file() for file in files):
        message = f"the viewer's bundle is not in {STATIC.name}/: install the package, or run python hatch_build.py"
        raise WrongInput(message)
    return [file.read_bytes() for file in files]


def _known(what: str, name: str | None, options: set[str]) -> str | None:
    if name is not None and name not in options:
        raise UnknownName(what, name, sorted(options))
    return name
