"""A picture that is made while somebody looks, as a widget."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Callable
from typing import Any

import anywidget
import traitlets
from PIL import Image

from neuronatlas.atlas import Atlas
from neuronatlas.errors import Cancelled, NeuronAtlasError, UnknownName, WrongInput
from neuronatlas.networks import Network
from neuronatlas.notebook.kept import Kept, Made, Wish, finite, in_bytes, picture_of, settings_of
from neuronatlas.notebook.newest import CalledOff, Newest
from neuronatlas.rendering import PRESETS, Frame, Rendering, render
from neuronatlas.units import Unit
from neuronatlas.view.page import STATIC

PAUSE = 0.1
"""Seconds between two pictures of one that grows."""
FIRST = 2.0
"""Seconds that showing the widget waits for a picture to be kept beside it."""
MOST_STEPS = 4096


class LiveRender(anywidget.AnyWidget):
    """Controls for layer, channel, preset and steps, and the picture, which grows as it is made.

    ``layer``, ``channel``, ``preset``, ``steps`` (0: those of the preset) and ``seed`` are what is shown; setting one of
    them is as moving its control. One picture is made at a time, in a thread, so the kernel stays free: another choice
    calls off the one before, which ends after at most `rendering.EVERY` more steps. What was made is shown at once.
    """

    _esm = STATIC / "widget.js"
    _css = STATIC / "widget.css"
    _kind = traitlets.Unicode("live").tag(sync=True)
    _layers: Any = traitlets.List().tag(sync=True)
    _presets: Any = traitlets.List().tag(sync=True)
    layer = traitlets.Unicode().tag(sync=True)
    channel = traitlets.Int().tag(sync=True)
    preset = traitlets.Unicode().tag(sync=True)
    steps = traitlets.Int(min=0, max=MOST_STEPS).tag(sync=True)
    seed = traitlets.Int(min=0).tag(sync=True)

    def __init__(
        self,
        network: Network,
        unit: str | None = None,
        *,
        atlas: Atlas | None = None,
        preset: str | None = None,
        steps: int | None = None,
        seed: int | None = None,
    ) -> None:
        self._newest = Newest(self._make)  # first, for what is refused is closed as well
        first = Unit(next(iter(network.layers)), 0) if unit is None else Unit.parse(unit)
        if first.position is not None:
            message = f"unit {unit!r} has a position: give a channel, such as {f'{first.layer}:{first.index}'!r}"
            raise WrongInput(message)
        network.check(first)
        self._network, self._kept = network, Kept(network, atlas)
        usual = ("fast", 0, 0) if atlas is None else settings_of(atlas)
        preset = usual[0] if preset is None else preset
        if preset not in PRESETS:
            raise UnknownName("preset", preset, PRESETS)
        if steps is None:
            steps = usual[1] if preset == usual[0] else 0
        self._lock = threading.Lock()
        self._told: dict[str, object] = {}
        self._shown: dict[str, object] = {}
        self._wish: Wish | None = None
        self._drawn = threading.Event()
        self._over = threading.Event()
        self.rendering: Rendering | None = None
        """The picture that was made last, with all that is known of it."""
        super().__init__(
            layer=network.layer(first.layer).name,
            channel=first.index,
            preset=preset,
            steps=0 if steps == PRESETS[preset].steps else steps,
            seed=usual[2] if seed is None else seed,
            _layers=[[layer.name, layer.units] for layer in network.layers.values()],
            _presets=[[name, recipe.steps] for name, recipe in PRESETS.items()],
        )
        self.on_msg(self._heard)
        self.observe(self._changed, names=["layer", "channel", "preset", "steps", "seed"])
        self._ask()

    def stop(self) -> None:
        """Stop making the picture; what there is of it stays."""
        with self._lock:
            self._newest.stop()
            if self._told["state"] == "rendering":
                self._tell({**self._told, "state": "stopped"})

    def start(self) -> None:
        """Make the picture that is chosen, if it was stopped or failed."""
        self._ask(again=True)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the picture is made, stopped or failed, at most so many seconds; False where it is not."""
        return self._over.wait(seconds)

    @property
    def state(self) -> str:
        """One of "rendering", "done", "stopped" and "failed"."""
        return str(self._told["state"])

    def close(self) -> None:
        """End the thread, and take the widget away."""
        self._newest.close()
        super().close()

    @traitlets.validate("layer")
    def _known_layer(self, proposal: Any) -> str:
        return self._network.layer(proposal["value"]).name

    @traitlets.validate("channel")
    def _known_channel(self, proposal: Any) -> int:
        channel = int(proposal["value"])
        self._network.check(Unit(self.layer, channel))
        return channel

    @traitlets.validate("preset")
    def _known_preset(self, proposal: Any) -> str:
        if proposal["value"] not in PRESETS:
            raise UnknownName("preset", proposal["value"], PRESETS)
        return str(proposal["value"])

    def _changed(self, change: Any) -> None:
        last = self._network.layer(self.layer).units - 1
        if change["name"] == "layer" and self.channel > last:
            self.channel = last
        self._ask()

    def _heard(self, _: object, content: object, buffers: object) -> None:
        """A new view wants to know how things stand; the reader presses stop or start."""
        del buffers
        word = content.get("say") if isinstance(content, dict) else None
        if word == "hello":
            with self._lock:
                self.send({**self._told, **self._shown})
        elif word == "stop":
            self.stop()
        elif word == "start":
            self.start()

    def _ask(self, *, again: bool = False) -> None:
        """Show what is chosen: at once if it was made, else as it grows."""
        wish = Wish(self.layer, self.channel, self.preset, self.steps or PRESETS[self.preset].steps, self.seed)
        with self._lock:
            if wish == self._wish and not (again and self._told["state"] in ("stopped", "failed")):
                return
            self._wish = wish
            made = self._kept.get(wish)
            if made is not None:
                self._newest.stop()
                self._tell(_done(wish, made), made.image)
                return
            self._over.clear()
            self._tell(_line(wish, "rendering"))
            self._newest.ask(wish)

    def _make(self, wish: Wish, called_off: CalledOff) -> None:
        """What the thread does."""

        def tell(line: dict[str, object], image: str = "") -> None:
            with self._lock:
                if not called_off():
                    self._tell(line, image)

        try:
            made = self._render(wish, called_off, tell)
            self._kept.put(wish, made)
            tell(_done(wish, made), made.image)
        except Cancelled:
            pass
        except NeuronAtlasError as error:
            tell(_line(wish, "failed", words=str(error)))
        except Exception as error:  # noqa: BLE001 - a network can raise anything, and the next picture is to be made
            tell(_line(wish, "failed", words=f"the rendering failed ({type(error).__name__}: {error})"))

    def _render(self, wish: Wish, called_off: CalledOff, tell: Callable[[dict[str, object], str], None]) -> Made:
        spoke = 0.0

        def watch(frame: Frame) -> None:
            nonlocal spoke
            if called_off():
                raise Cancelled
            if (
                frame.restart == 0 and time.monotonic() - spoke > PAUSE
            ):  # of several, which grow side by side, the first
                spoke = time.monotonic()
                line = _line(wish, "rendering", step=frame.step, score=finite(frame.score))
                tell(line, picture_of(in_bytes(frame.image)))

        found = render(self._network, wish.unit, preset=wish.preset, steps=wish.steps, seed=wish.seed, watch=watch)
        self.rendering = found
        words = f"{found.status}: {found.reason}" if found.status else ""
        return Made(picture_of(found.pixels), finite(found.score), words)

    def _tell(self, line: dict[str, object], image: str = "") -> None:
        """Say how things stand, under the lock; a picture is said to be of the unit of its line."""
        self._told = line
        if image:
            self._shown = {"image": image, "of": line["unit"]}
            self._drawn.set()
        if line["state"] != "rendering":
            self._over.set()
        self.send(line | (self._shown if image else {}))

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and the picture as far as it is, for whoever cannot run it."""
        self._drawn.wait(FIRST)
        bundle, about = super()._repr_mimebundle_(**kwargs) or ({}, {})
        with self._lock:
            told, shown = self._told, self._shown
        bundle |= {"text/plain": f"{told['unit']} of {self._network.name}: {told['state']}"}
        if shown:
            bundle["image/png"] = _as_png(str(shown["image"]))
        return bundle, about


def _line(wish: Wish, state: str, *, step: int = 0, score: float | None = None, words: str = "") -> dict[str, object]:
    return {"state": state, "unit": wish.unit, "step": step, "steps": wish.steps, "score": score, "words": words}


def _done(wish: Wish, made: Made) -> dict[str, object]:
    return _line(wish, "done", step=wish.steps, score=made.score, words=made.words)


def _as_png(image: str) -> str:
    """A data URI of WebP as base64 of PNG, which every program reads."""
    picture = Image.open(io.BytesIO(base64.b64decode(image.split(",", 1)[1])))
    stream = io.BytesIO()
    picture.resize((picture.width * 2, picture.height * 2)).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")
