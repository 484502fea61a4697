"""What the units of an atlas answer to a picture, on the scale of the atlas's own responses."""

from __future__ import annotations

import json
import threading
import time
import warnings
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
from jaxtyping import Float32, UInt8

from neuronatlas.atlas import Atlas
from neuronatlas.errors import AtlasMismatch
from neuronatlas.images.files import centre_crop_resize
from neuronatlas.networks.base import Network
from neuronatlas.networks.threads import one_thread
from neuronatlas.responses import in_colours_of, pixels
from neuronatlas.stimuli import Stimulus
from neuronatlas.units import Unit
from neuronatlas.view.scene import Scene, scene_of
from neuronatlas.view.scripts import quantise, scale

STRONGEST = 8
"""Units named for a picture and layer, as the page names them for a stimulus."""
FAINT = 1e-6
"""Of its largest response, as much as a unit must vary over the stimuli for its deviation to mean anything."""


@dataclass(frozen=True, eq=False)
class Answer:
    """The responses to one picture: the numbers, the page's codes of them, and how long it took.

    ``strongest``: of each layer the units that stand out, with their standard deviations above their mean.
    """

    values: Float32[np.ndarray, " units"]
    codes: UInt8[np.ndarray, " units"]
    strongest: tuple[tuple[int, float], ...]
    seconds: float


class Answering:
    """The network of an atlas, ready to be shown pictures; it answers to one at a time.

    It answers on a copy of its own, beside a rendering. A network that cannot be copied is used by one thread at a time
    (see `TorchNetwork`): then a picture waits until the rendering is made.
    """

    def __init__(self, atlas: Atlas, network: Network) -> None:
        _check(atlas, network)
        self.atlas, self.network = atlas, network
        self.layers = [layer.name for layer in atlas.manifest.layers]
        self._first = [0, *accumulate(layer.units for layer in atlas.manifest.layers)]
        self.reduce = atlas.manifest.settings["reduce"]
        table = atlas.responses().values
        self._low, self._high = scale(table)
        self._mean, self._spread = _moments(table)
        self._lock = threading.Lock()
        self._recorder: Network | None = None

    @cached_property
    def scene(self) -> Scene:
        """What the page shows; read when it is first asked for."""
        return scene_of(self.atlas)

    @cached_property
    def units(self) -> dict[Unit, int]:
        """The number of each unit."""
        return {unit: number for number, unit in enumerate(self.atlas.units)}

    def warm(self) -> None:
        """Do now what the first picture would wait for."""
        self(np.full((*self.network.input.size, 3), 128, np.uint8))

    def __call__(self, picture: UInt8[np.ndarray, "height width 3"]) -> Answer:
        """The responses to the picture's centre square, as a build records them."""
        with self._lock, one_thread():
            start = time.monotonic()
            if self._recorder is None:  # one copy for good: to look for one takes longer than to use it
                self._recorder = self.network.recorders(self.layers)[0]
            shown = Stimulus("upload", "", "", lambda size: centre_crop_resize(picture, size))
            batch = in_colours_of(self.network, pixels(self.network, [shown]))
            found = self._recorder.respond(batch, self.layers, reduce=self.reduce)
            values = np.concatenate([found[name][0] for name in self.layers]).astype(np.float32)
            seconds = time.monotonic() - start
        return Answer(values, quantise(values[None], self._low, self._high)[0], self._strongest(values), seconds)

    def _strongest(self, values: Float32[np.ndarray, " units"]) -> tuple[tuple[int, float], ...]:
        """Layer by layer the units that respond most, over the atlas's stimuli; ties go to the lower index."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            score = (values - self._mean) / self._spread
        found: list[tuple[int, float]] = []
        for start, stop in zip(self._first[:-1], self._first[1:], strict=True):
            part = np.where(np.isfinite(score[start:stop]), score[start:stop], -np.inf)
            order = np.argsort(-part, kind="stable")[:STRONGEST]
            found += [(start + int(k), float(part[k])) for k in order if np.isfinite(part[k])]
        return tuple(found)


def _moments(table: Float32[np.ndarray, "stimuli units"]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each unit's finite responses; NaN where these do not vary."""
    finite = np.where(np.isfinite(table), table, np.nan).astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a unit without one finite response: NaN is the answer
        mean, spread, largest = np.nanmean(finite, 0), np.nanstd(finite, 0), np.nanmax(np.abs(finite), 0)
    return mean, np.where(spread > FAINT * largest, spread, np.nan)


def _check(atlas: Atlas, network: Network) -> None:
    """Refuse a network that is not the one that the atlas was built from."""
    known = atlas.manifest.network
    if network.fingerprint != known["fingerprint"]:
        message = (
            f"network {network.name!r} has other weights ({network.fingerprint[:12]}...) than that of the atlas, "
            f"{known['name']!r} ({known['fingerprint'][:12]}...): name the network that it was built from"
        )
        raise AtlasMismatch(message)
    given = json.loads(json.dumps(asdict(network.input)))
    if given != known["input"]:
        message = (
            f"network {network.name!r} takes pictures otherwise ({given}) than when the atlas was built "
            f"({known['input']}): say --input-size, --normalise and --channel-order as then"
        )
        raise AtlasMismatch(message)
