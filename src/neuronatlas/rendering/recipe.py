"""How a picture is optimised: Lucid's published numbers, and ours, and what a network and a layer make of them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.images.fourier import Fourier
from neuronatlas.images.parametrisation import Parametrisation, parametrisation_of
from neuronatlas.images.transforms import Affine, LucidChain, transform_of
from neuronatlas.images.transforms.base import Part
from neuronatlas.networks.base import Network

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a picture is optimised.

    ``parametrisation`` is how it is written as numbers, ``transform`` what it must survive in each step. ``canvas`` is
    the finished picture in pixels, a side or (height, width); None: the receptive field of the layer, from 64 to
    ``largest`` and never above the network's input. A neuron at a position of its layer's map is drawn on the whole
    input, where positions are counted. ``margin`` pixels around it are optimised and cut away, so that no frame shows.
    ``learning_rate`` falls to nothing as the root of the steps left for "momentum" (ascent along each picture's
    gradient at unit length, with momentum 0.7) and is constant for "adam". Of ``restarts`` pictures from other noise the
    best is kept. With ``plateau`` a picture is finished as soon as the mean score of its last 16 steps is not above that
    of the 16 before by this share. ``precision`` is what the network computes in, "float32" or, where a copy of it can be
    made, "bfloat16".
    """

    preset: str
    steps: int
    optimiser: Literal["adam", "momentum"]
    learning_rate: float
    parametrisation: Parametrisation
    transform: Part
    canvas: int | Size | None
    margin: int
    largest: int = 128
    restarts: int = 1
    plateau: float | None = None
    precision: Literal["float32", "bfloat16"] = "float32"

    @property
    def settings(self) -> dict[str, object]:
        """Every field as plain values; `recipe_of` makes the recipe of them again."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("parametrisation", "transform"):
            values[name] = values[name].settings
        if isinstance(self.canvas, tuple):
            values["canvas"] = list(self.canvas)
        return values

    @property
    def size(self) -> Size:
        """Height and width of what is optimised: the canvas and its margin. The canvas must be settled."""
        assert self.canvas is not None
        height, width = self.canvas if isinstance(self.canvas, tuple) else (self.canvas, self.canvas)
        return height + 2 * self.margin, width + 2 * self.margin


PRESETS = {
    # Lucid's published defaults as its port to PyTorch has them (lucid/optvis/render.py and param/images.py, and
    # torch-lucent 0.1.8): Adam 0.05, 512 steps, 128 pixels.
    "lucid": Recipe(
        preset="lucid",
        steps=512,
        optimiser="adam",
        learning_rate=0.05,
        parametrisation=Fourier(),
        transform=LucidChain(),
        canvas=128,
        margin=0,
    ),
    # Ours; the reason for each difference: docs/design/0002-the-fast-recipe.md.
    "fast": Recipe(
        preset="fast",
        steps=72,
        optimiser="momentum",
        learning_rate=9.0,
        parametrisation=Fourier(sd=0.1, decay=0.85, contrast_cap=1.6),
        transform=Affine(shared=True),
        canvas=None,
        margin=0,
    ),
    # For the finest pictures: larger, longer, and the better of two.
    "best": Recipe(
        preset="best",
        steps=256,
        optimiser="momentum",
        learning_rate=9.0,
        parametrisation=Fourier(sd=0.1, decay=0.7, contrast_cap=1.8),
        transform=Affine(shared=True, shift=8.0),
        canvas=None,
        margin=16,
        largest=160,
        restarts=2,
    ),
}

_RULES: dict[str, tuple[Callable[[Recipe], bool], str]] = {
    "steps": (lambda recipe: recipe.steps >= 1, "at least 1"),
    "margin": (lambda recipe: recipe.margin >= 0, "0 or more"),
    "largest": (lambda recipe: recipe.largest >= 1, "at least 1"),
    "learning_rate": (lambda recipe: 0 < recipe.learning_rate < math.inf, "a finite number above 0"),
    "parametrisation": (lambda recipe: isinstance(recipe.parametrisation, Parametrisation), "a parametrisation"),
    "transform": (lambda recipe: isinstance(recipe.transform, Part), "a transform"),
    "optimiser": (lambda recipe: recipe.optimiser in ("adam", "momentum"), "'adam' or 'momentum'"),
    "restarts": (lambda recipe: recipe.restarts >= 1, "at least 1"),
    "plateau": (lambda recipe: recipe.plateau is None or recipe.plateau >= 0, "0 or more, or None"),
    "precision": (lambda recipe: recipe.precision in ("float32", "bfloat16"), "'float32' or 'bfloat16'"),
}


def recipe_of(preset: str, **changes: object) -> Recipe:
    """The recipe of a preset with some of its fields replaced; raises `UnknownName` or `WrongInput`.

    ``parametrisation`` and ``transform`` may be objects, names, or the settings of one as a dictionary.
    """
    if preset not in PRESETS:
        raise UnknownName("preset", preset, PRESETS)
    for name in changes:
        if name not in Recipe.__dataclass_fields__ or name == "preset":
            raise UnknownName("setting", name, [field for field in Recipe.__dataclass_fields__ if field != "preset"])
    if isinstance(way := changes.get("parametrisation"), (str, Mapping)):
        changes["parametrisation"] = parametrisation_of(way)
    if isinstance(way := changes.get("transform"), (str, Mapping)):
        changes["transform"] = transform_of(way)
    for name in ("steps", "margin", "largest", "restarts"):
        if name in changes:
            changes[name] = _whole(name, changes[name])
    changes |= _canvas(changes)
    recipe = replace(PRESETS[preset], **changes)  # type: ignore[arg-type]
    for name, (sound, rule) in _RULES.items():
        if not sound(recipe):
            message = f"{name} (={getattr(recipe, name)!r}) must be {rule}"
            raise WrongInput(message)
    return recipe


def _canvas(changes: Mapping[str, object]) -> dict[str, int | Size]:
    """The canvas, if one is given, as a side or (height, width)."""
    given = changes.get("canvas")
    if given is None:
        return {}
    many = isinstance(given, Sequence) and not isinstance(given, str)
    sides = tuple(_whole("canvas", side) for side in given) if many else (_whole("canvas", given),) * 2  # type: ignore[attr-defined]
    if len(sides) != 2 or min(sides) < 1:
        message = f"canvas (={given!r}) must be at least 1, two such numbers (height, width), or None"
        raise WrongInput(message)
    return {"canvas": (sides[0], sides[1]) if many else sides[0]}


def _whole(name: str, value: object) -> int:
    """A whole number given as any kind of number that is one; raises `WrongInput`."""
    try:
        if not isinstance(value, bool):
            return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        pass
    message = f"{name} (={value!r}) must be a whole number"
    raise WrongInput(message)


def fit_canvas(network: Network, layers: Sequence[str], recipe: Recipe, *, whole: bool = False) -> Recipe:
    """The recipe with its canvas settled: as large as the target's receptive field needs, if the network takes it.

    With ``whole`` it is the network's input. What the preset left open is settled for this network and layer: the number
    of colours, the size that Lucid's chain enlarges to, the longest waves; what was chosen stays. Raises `WrongInput`
    when the network does not take a canvas that was chosen.
    """
    channels, size, preset = network.input.channels, network.input.size, PRESETS[recipe.preset]
    open_ended = recipe.parametrisation == preset.parametrisation
    if open_ended and getattr(recipe.parametrisation, "channels", channels) != channels:
        recipe = replace(recipe, parametrisation=replace(recipe.parametrisation, channels=channels))  # type: ignore[type-var]
    if recipe.transform == LucidChain() and min(size) < 224:  # Lucent enlarges to what most networks were trained with
        recipe = replace(recipe, transform=LucidChain(upsample=min(size)))
    if isinstance(recipe.transform, Affine) and not recipe.transform.crop:  # it need not make what is cut away
        recipe = replace(recipe, transform=replace(recipe.transform, crop=recipe.margin))
    if whole:
        return replace(recipe, canvas=_plain(size))
    canvas = recipe.canvas
    if canvas is None:
        field = max(network.receptive_fields(layers).values(), default=min(size))
        canvas = min(max(64, min(-(-field // 16) * 16, recipe.largest)), *size)
        if open_ended and isinstance(recipe.parametrisation, Fourier):  # no unit sees waves longer than its field
            lowest = max(1.0, (canvas + 2 * recipe.margin) / field)
            recipe = replace(recipe, parametrisation=replace(recipe.parametrisation, lowest=lowest))
    chosen = (canvas, canvas) if isinstance(canvas, int) else canvas
    if takes(network, layers, chosen):
        return replace(recipe, canvas=_plain(chosen))
    its_own = f"its input_size is {size[0]} x {size[1]}"
    if recipe.canvas != preset.canvas:
        message = f"canvas (={recipe.canvas}): network {network.name!r} does not take it; {its_own}"
        raise WrongInput(message)
    if not takes(network, layers, size):
        tried = f"{chosen[0]} x {chosen[1]} nor {size[0]} x {size[1]} pixels"
        message = f"network {network.name!r} takes neither {tried}: {its_own}"
        raise WrongInput(message)
    return replace(recipe, canvas=_plain(size))


def tile_size(recipe: Recipe, network: Network, layers: Sequence[str] = ()) -> int:
    """Pictures a tile: a power of two up to 16, with at most as many pixels together as suit the network; or 12.

    Twelve in place of sixteen where the units of the one layer are so few that this leaves fewer places empty: two tiles
    for 24. Measured with two workers on 64 pixels: 96 pictures take 0.91, 1 and 1.22 of the time in tiles of 16, 12 and 8,
    since workers wait for each other's Python less often. On 144 and more, 4 are within a tenth of the best.
    """
    height, width = recipe.size
    room = max(1, min(16, network.pixels_at_once // (height * width)))
    if room == 16 and len(layers) == 1:
        made = network.layer(layers[0]).units * recipe.restarts
        return (
            12 if made <= 32 and 1.1 * _places(made, 12) < _places(made, 16) else 16
        )  # of many they are made in parts
    return int(1 << (room.bit_length() - 1))


def _places(pictures: int, tile: int) -> int:
    """The pictures that are made for so many, those that fill up the last tile among them."""
    return -(-pictures // tile) * tile


def takes(network: Network, layers: Sequence[str], size: Size) -> bool:
    """Does the network take pictures of this size, as far as these layers?"""
    image = torch.full((1, network.input.channels, *size), 0.5, dtype=torch.float32, device=network.device)
    try:
        with torch.no_grad(), network.capture(layers) as run:
            run(image)
    except (RuntimeError, ValueError, AssertionError):
        return False
    return True


def _plain(size: Size) -> int | Size:
    return size[0] if size[0] == size[1] else size
