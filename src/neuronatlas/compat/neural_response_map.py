"""The class of neural-response-map 1.0.0 (Cerretani; PyPI), with its names and arguments, over the parts of this package.

What is the same and what is not stands in docs/from-neural-response-map.md. In short: the neurons kept, their Spearman
correlations and the pictures of given positions agree; the positions are those of `neuronatlas.ResponseMap`, so they
are the same in every run; and what made the old one crash or go wrong in silence works or is refused.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor, nn

from neuronatlas.compat.keras_recording import is_keras, record_keras
from neuronatlas.compat.recording import but_the_last, record_module
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps import ResponseMap, standardise
from neuronatlas.maps.duplicates import find_copies
from neuronatlas.networks import Network, as_network
from neuronatlas.networks.modules import unwrapped
from neuronatlas.responses import record
from neuronatlas.stimuli import StimulusSet
from neuronatlas.table import Responses
from neuronatlas.units import Unit

if TYPE_CHECKING:
    import matplotlib.colors
    import matplotlib.figure

METHODS = ("nearest", "linear")
RESOLUTION = 1000
DPI = 100


class NeuralResponseMap:
    """A map of the neurons of ``model``: a Keras model on any backend, a `torch.nn.Module`, or a `Network`.

    ``scale``: what is drawn from 0 to 1, the 1st to the 99th "percentile" of a neuron's responses, which one outlying
    sample does not squeeze, or as in the old class "minmax". ``seed``: see `ResponseMap`.

    After `TrainMap`: ``units``, what is on the map; ``projection``, the place of each within -1..1 both ways; ``neurons``,
    which of all units recorded these are; ``copies``, units that are not on it because they repeat another one, each
    with that one; ``notes``, what the reader of the map should know.
    """

    def __init__(self, model: object, *, scale: str = "percentile", seed: int = 0) -> None:
        self.model: Any = model
        self._is_keras = is_keras(model)
        if not self._is_keras:
            self.model = unwrapped(model) if isinstance(model, nn.Module) else as_network(model)
        self.settings = ResponseMap(correlation="spearman", scale=scale, seed=seed)
        self.neurons: Bool[np.ndarray, " recorded"] | None = None
        self.projection: Float64[np.ndarray, "units 2"] | None = None
        self.units: tuple[Unit, ...] = ()
        self.copies: tuple[tuple[Unit, Unit], ...] = ()
        self.notes: tuple[str, ...] = ()
        self._layers: list[str] = []
        self._shape: tuple[int, ...] = ()
        self._map = self.settings
        self._grid: _Grid | None = None

    def TrainMap(self, inputs: Any, layers: Iterable[Any] | None = None) -> None:
        """Lay out the neurons by their responses to ``inputs``: an array or tensor whose first axis is the samples.

        A Keras model and a torch module are given them as they are, a `Network` what `record` takes. ``layers``: names,
        or layers of the model; by default all but the last, of a Keras model those in ``model.layers``. What has
        positions is averaged over them; what has no axis of samples is left out, of which ``notes`` tell; a layer that
        runs k times is ``name#0`` to ``name#k-1``.
        """
        asked = layers if layers is None or self._is_keras else _names(self.model, layers)
        responses, told = self._record(inputs, None if asked is None else list(asked))
        if len(responses.stimuli) < 2:
            message = "inputs holds 1 sample, over which no neuron varies: give several, 100 or more for a map"
            raise WrongInput(message)
        found = find_copies(responses.values)
        constant = standardise(responses.values, "spearman").constant
        kept = ~constant & ~found.is_copy
        if not kept.any():
            message = f"none of the {len(kept)} neurons varies over the {len(responses.stimuli)} samples of inputs"
            raise WrongInput(message)
        self._map = self.settings.fit(responses.select(units=np.flatnonzero(kept).tolist()))
        units = responses.units
        self.neurons, self.units = kept, self._map.units
        self.copies = tuple((units[copy], units[found.original[copy]]) for copy in np.flatnonzero(found.is_copy))
        self.notes = _notes(units, constant, self.copies) + told + self._map.notes
        self.projection = _each_axis(self._map.positions)
        self._layers = list(dict.fromkeys(unit.layer for unit in units))
        self._shape = tuple(np.shape(inputs)[1:]) if self._is_keras or isinstance(inputs, np.ndarray | Tensor) else ()

    def GenerateMap(
        self,
        inputs: Any,
        method: str = "nearest",
        cmap: str | matplotlib.colors.Colormap = "viridis",
        size: tuple[float, float] = (5, 5),
        file: str | os.PathLike[str] | None = None,
    ) -> matplotlib.figure.Figure:
        """The map coloured by the mean response to ``inputs``, of ``size`` inches at 100 dpi; also written to ``file``.

        ``method`` is "nearest" or "linear". The figure belongs to whoever holds it: pyplot does not know it.
        """
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        positions = self._trained()
        if method not in METHODS:
            raise UnknownName("method", method, METHODS)
        if isinstance(cmap, str) and cmap not in mpl.colormaps:
            raise UnknownName("cmap", cmap, list(mpl.colormaps))
        if self._shape and np.ndim(inputs) == len(self._shape):
            message = f"inputs of shape {tuple(np.shape(inputs))} lacks the axis of samples: give inputs[None]"
            raise WrongInput(message)
        values = self._record(inputs, self._layers)[0].values[:, self.neurons]
        if self._grid is None or not np.array_equal(self._grid.positions, positions):
            self._grid = _Grid(positions)
        picture = self._grid.draw(self._map.normalise(values), method)
        figure = Figure(figsize=size, dpi=DPI)
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.imshow(picture, vmin=0, vmax=1, cmap=cmap, origin="upper")
        axes.set_axis_off()
        if file is not None:
            figure.savefig(file, dpi=DPI)
        return figure

    def CircleProjection(self) -> None:
        """Push the neurons outwards onto a disc, bit for bit as the old class does.

        One neuron after the other is divided by the reach of its sector, of which some have moved by then: the result
        depends on their order, and a second call moves them again. `ResponseMap.circle` does neither.
        """
        positions = self._trained()
        turns = [(math.atan2(y, x) + np.pi) / (2 * np.pi) for x, y in positions]
        sector = np.round(np.array(turns), 2)
        members = {turn: np.flatnonzero(sector == turn) for turn in np.unique(sector)}
        for unit, turn in enumerate(sector):
            reach = np.abs(positions[members[turn]]).max(axis=0)
            length = np.sqrt(reach[0] ** 2 + reach[1] ** 2)
            if length > 0:
                positions[unit] = positions[unit] / length

    def _trained(self) -> Float64[np.ndarray, "units 2"]:
        if self.projection is None:
            message = "this map is not trained: call TrainMap(inputs) first"
            raise WrongInput(message)
        return self.projection

    def _record(self, inputs: Any, layers: list[Any] | None) -> tuple[Responses, tuple[str, ...]]:
        """The responses of ``layers``, or of all but the last, to ``inputs``; and notes on what was read."""
        if self._is_keras:
            if not hasattr(inputs, "shape") or not hasattr(inputs, "dtype"):
                raise WrongInput(_refusal(inputs))
            return record_keras(self.model, inputs, layers)
        if isinstance(self.model, Network):
            if not isinstance(inputs, np.ndarray | StimulusSet | str | os.PathLike):
                raise WrongInput(_refusal(inputs))
            every = list(self.model.layers)
            return record(self.model, inputs, layers=but_the_last(every) if layers is None else layers), ()
        if not isinstance(inputs, np.ndarray | Tensor):
            raise WrongInput(_refusal(inputs))
        if not np.ndim(inputs) or not len(inputs):
            message = f"inputs of shape {tuple(np.shape(inputs))} holds no sample: the first axis is the samples"
            raise WrongInput(message)
        if isinstance(inputs, np.ndarray):  # torch takes no array that is reversed, and warns of one that is read-only
            inputs = torch.from_numpy(np.require(inputs, requirements=["C", "W"]))
        return record_module(self.model, inputs, layers)


class _Grid:
    """Pictures of values at ``positions`` over their bounding box, row 0 at the lowest y: `griddata`, prepared once."""

    def __init__(self, positions: Float64[np.ndarray, "points 2"]) -> None:
        from scipy.spatial import Delaunay, QhullError, cKDTree

        self.positions = positions.copy()
        steps = [
            np.linspace(low, high, RESOLUTION) for low, high in zip(positions.min(0), positions.max(0), strict=True)
        ]
        pixels = np.stack([axis.ravel() for axis in np.meshgrid(*steps)], axis=1)
        self.nearest = cKDTree(positions).query(pixels)[1]
        try:
            triangles = Delaunay(positions)
        except (QhullError, ValueError):  # two neurons, or all on a line, span no triangle: each pixel has its nearest
            self.inside = np.ones(len(pixels), dtype=bool)
            self.corners, self.weights = self.nearest[:, None], np.ones((len(pixels), 1))
            return
        simplices = triangles.find_simplex(pixels)
        self.inside = simplices >= 0
        affine = triangles.transform[simplices[self.inside]]
        two = np.einsum("pij,pj->pi", affine[:, :2], pixels[self.inside] - affine[:, 2])
        self.corners = triangles.simplices[simplices[self.inside]]
        self.weights = np.column_stack([two, 1 - two.sum(axis=1)])

    def draw(self, values: Float64[np.ndarray, " points"], method: str) -> Float64[np.ndarray, "rows columns"]:
        """The picture of one value a point; NaN outside their convex hull."""
        picture = np.full(len(self.inside), np.nan)
        if method == "nearest":
            picture[self.inside] = values[self.nearest[self.inside]]
        else:
            picture[self.inside] = np.sum(values[self.corners] * self.weights, axis=1)
        return picture.reshape(RESOLUTION, RESOLUTION)


def _names(model: nn.Module | Network, layers: Iterable[str | nn.Module]) -> list[str]:
    """The layers asked for, by name."""
    known = {} if isinstance(model, Network) else {part: name for name, part in model.named_modules() if name}
    names = []
    for layer in layers:
        name = layer if isinstance(layer, str) else known.get(layer)
        if name is None or (known and name.split("#")[0] not in known.values()):
            raise UnknownName("layer", str(layer), known.values())
        names.append(name)
    if not names:
        message = "layers is empty: name at least one layer"
        raise WrongInput(message)
    return names


def _each_axis(positions: Float64[np.ndarray, "units 2"]) -> Float64[np.ndarray, "units 2"]:
    """The positions from -1 to 1 along each axis by itself."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    return np.where(high > low, 2 * (positions - low) / span - 1, 0.0)


def _notes(
    units: tuple[Unit, ...], constant: Bool[np.ndarray, " recorded"], copies: tuple[tuple[Unit, Unit], ...]
) -> tuple[str, ...]:
    notes = []
    if constant.any():
        first = units[int(np.argmax(constant))]
        notes.append(f"{constant.sum()} of {len(units)} neurons never vary and are not on the map (first: {first})")
    if copies:
        notes.append(
            f"{len(copies)} neurons repeat another one and are not on the map (first: {copies[0][0]}, of {copies[0][1]})"
        )
    return tuple(notes)


def _refusal(inputs: object) -> str:
    kind = f"{type(inputs).__module__}.{type(inputs).__name__}".removeprefix("builtins.")
    return (
        f"inputs is a {kind}, of which it is not plain what a sample is: give one array or tensor whose first axis is the "
        "samples"
    )
