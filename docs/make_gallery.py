"""Make a picture of every objective, parametrisation, transform and recipe, and the page that shows them.

.venv/bin/python docs/make_gallery.py OUT [--quick]

Each picture is made by the line of code that stands under it. ``--quick`` takes few steps on a small canvas: the pictures
are then there to be counted, not to be looked at.
"""

from __future__ import annotations

import argparse
import html
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import neuronatlas as na
from neuronatlas import gallery, objectives
from neuronatlas.images import transforms
from neuronatlas.images.parametrisation import PARAMETRISATIONS
from neuronatlas.rendering import Rendering


@dataclass(frozen=True)
class Entry:
    """A picture: the public names that it shows, what is to be seen, and the code that makes it."""

    title: str
    names: tuple[str, ...]
    code: str
    caption: str


UNIT = '"blocks.5:3"'
VECTOR = 'outputs("blocks.9")[:, 6, 6]'


def _entry(names: str, code: str, caption: str, title: str = "") -> Entry:
    every = tuple(names.split())
    return Entry(title or every[0], every, code, caption)


def _shown(objective: str) -> str:
    return f"render({objective})"


OBJECTIVES = [
    _entry("channel", _shown('objectives.channel("blocks.5", 3)'), "A unit, everywhere at once."),
    _entry("unit", _shown('objectives.unit("blocks.7:17")'), "A unit by its address."),
    _entry("neuron", _shown('objectives.neuron("blocks.7", 17)'), "The same unit in the middle of its map alone."),
    _entry("class_logit", _shown('objectives.class_logit(network, "Egyptian cat")'), "A class of the classifier."),
    _entry("deepdream", _shown('objectives.deepdream("blocks.9")'), "Whatever a layer holds, from noise."),
    _entry("direction", _shown(f'objectives.direction("blocks.9", {VECTOR})'), "A direction: what a layer makes of a cat's face at one place."),
    _entry("cosine", _shown(f'objectives.cosine("blocks.9", {VECTOR})'), "The same direction, and no other."),
    _entry("direction_neuron", _shown(f'objectives.direction_neuron("blocks.9", {VECTOR})'), "The same direction, in the middle alone."),
    _entry("tensor_direction", _shown('objectives.tensor_direction("blocks.9", outputs("blocks.9")[:, 4:9, 4:9])'), "A direction for each of 5 x 5 places, in their order."),
    _entry("caricature", _shown('objectives.caricature("blocks.9", outputs("blocks.9"), power=1)'), "All of a layer's outputs for a photograph, more so."),
    _entry("activation_difference outputs_of gram", _shown('-objectives.activation_difference(["blocks.1", "blocks.3"], objectives.outputs_of(network, flower, ["blocks.1", "blocks.3"]), transform=objectives.gram)'), "The style of a flower, in two layers."),
    _entry("style", _shown('-objectives.style("blocks.3", outputs("blocks.3"))'), "The texture of a cat, from noise."),
    _entry("content", _shown('-objectives.content("blocks.3", outputs("blocks.3"))'), "The outputs of a layer for a photograph, inverted."),
    _entry("input_difference", _shown('-objectives.input_difference(cat_planes), margin=0, transform="none"'), "The photograph itself, found again."),
    _entry("total_variation PICTURE", _shown(f"objectives.unit({UNIT}) - {{tv}} * objectives.total_variation()"), "A unit, with little change from pixel to pixel."),
    _entry("l1", _shown(f"objectives.unit({UNIT}) - 1e-3 * objectives.l1()"), "A unit on grey, wherever grey will do."),
    _entry("l2", _shown(f"objectives.unit({UNIT}) - 1 * objectives.l2()"), "A unit, with little contrast."),
    _entry("sharpness", _shown(f"objectives.unit({UNIT}) - 0.3 * objectives.sharpness()"), "A unit, blurred."),
    _entry("boundary", _shown(f"objectives.unit({UNIT}) - 0.3 * objectives.boundary(24)"), "A unit in a frame that fades to grey."),
    _entry("mean_alpha", _shown('objectives.unit("blocks.9:3") - 1 * objectives.mean_alpha(), parametrisation="alpha", transform=transforms.Chain((transforms.Composite(), transforms.Affine()))'), "What a unit does not need is left out (here on white)."),
    _entry("total Objective", _shown('objectives.total([objectives.unit("blocks.5:3"), objectives.unit("blocks.5:20")])'), "Two units in one picture: their sum."),
    _entry("mean", _shown('objectives.mean([objectives.unit("blocks.7:17"), objectives.unit("blocks.7:40")])'), "The mean of two units."),
    _entry("interpolation alignment Joint", 'render(objectives.interpolation(objectives.unit("blocks.5:3"), objectives.unit("blocks.5:20"), 4), together=0.1 * objectives.alignment("blocks.5"))', "From one unit to another, aligned."),
    _entry("diversity", 'render([objectives.unit("blocks.7:17")] * 4, together=10 * objectives.diversity("blocks.7"))', "One unit in four ways."),
    _entry("of", _shown('objectives.of(lambda seen: (seen["blocks.5"][3] * seen["blocks.5"][20]).mean(), "blocks.5", name="both")'), "A function of one's own: two units at the same place."),
    _entry("discover Outputs", _shown('objectives.discover(network, lambda seen: seen["blocks.5"].std(0).mean(), name="spread")'), "A function of one's own, its layer found: outputs that differ."),
]  # fmt: skip
WAYS = {
    "alpha": ('"alpha", transform=transforms.Chain((transforms.Composite(), transforms.Affine()))', "Colours and opacity, over white."),
    "cppn": ('"cppn", optimiser="adam", learning_rate=0.003, steps={long}', "A small network that gives each pixel its colour."),
    "fourier": ('"fourier"', "Waves."),
    "laplacian": ('"laplacian"', "A pyramid of coarse and fine pictures."),
    "lowres": ('"lowres"', "Waves, and coarse parts that a batch would share."),
    "maco": ('"maco", optimiser="adam", learning_rate=0.05, steps={long}', "Phases alone: the spectrum is that of photographs."),
    "pixels": ('"pixels"', "Pixels: noise where nothing smooths."),
    "seeded": ("Seeded(cat)", "A photograph to begin with."),
}  # fmt: skip

MOVES = {
    "Affine": ("Affine()", "Shifted, scaled and turned: the picture of the fast recipe."),
    "Blur": ("Blur(0.5, 1.5)", "Blurred before it is seen: sharper for it."),
    "Chain": ("Chain((transforms.Pad(8), transforms.Jitter(8), transforms.Rotate()))", "Several in turn."),
    "Colour": ("Colour(0.3, 0.3, 0.3)", "In other lights."),
    "Composite": ("Composite(), parametrisation=\"alpha\"", "Over random backgrounds."),
    "Crops": ("Crops(4, 0.3, 0.7, 64)", "Four boxes of it at a time."),
    "Flip": ("Flip()", "Left and right exchanged at times."),
    "Fused": ("fuse(transforms.Chain((transforms.Pad(8), transforms.Jitter(8), transforms.Rotate())))", "The same chain as one sampling."),
    "Jitter": ("Jitter(12)", "Moved by whole pixels."),
    "LucidChain": ("LucidChain()", "Lucid's chain."),
    "Noise": ("Noise(0.2)", "In noise."),
    "Nothing": ("Nothing()", "Nothing that it must survive: high frequencies."),
    "Pad": ("Pad(12)", "In a grey frame."),
    "Rotate": ("Rotate(20)", "Turned."),
    "Scale": ("Scale(0.7, 1.3)", "Larger and smaller."),
}  # fmt: skip

STYLES = '["conv_stem", "blocks.1", "blocks.3", "blocks.5"]'
RECIPES = [
    _entry("deepdream", 'gallery.deepdream(network, cat, "blocks.9"{q})', "A cat, dreamt on."),
    _entry("style_transfer", f'gallery.style_transfer(network, china, flower, content_layer="blocks.7", style_layers={STYLES}{{q}})', "A palace in the style of a flower."),
    _entry("caricature", 'gallery.caricature(network, cat, "blocks.5"{q})', "A cat as a middle layer sees it, only more so."),
    _entry("accentuate", 'gallery.accentuate(network, cat, "blocks.9:3"{q})', "Where a unit would find scales in a cat."),
    _entry("activation_grid", 'gallery.activation_grid(network, cat, "blocks.11"{q_cell})', "What a layer sees at each of its places."),
    _entry("interpolate", 'gallery.interpolate(network, "blocks.5:3", "blocks.5:20"{q_canvas})', "From one unit to another."),
    _entry("diversity", 'gallery.diversity(network, "blocks.7:17"{q_canvas})', "One unit in four ways."),
    _entry("both_signs", 'gallery.both_signs(network, "blocks.7:17"{q_canvas})', "What raises a unit, and what lowers it."),
    _entry("sheet", 'gallery.sheet(gallery.diversity(network, "blocks.9:3", 4{q_canvas}), 2)', "A contact sheet."),
    _entry("channels", 'gallery.channels(network, ["blocks.1", "blocks.5", "blocks.9"]{q_canvas})', "Units of three layers, a row a layer."),
    _entry("animate", 'gallery.animate(network, "blocks.5:3", out / "recipes-animate-film.webp"{q_canvas})', "The last picture of a film, which lies beside this page."),
]  # fmt: skip


def sections() -> dict[str, list[Entry]]:
    """All entries, by section."""
    ways = [_entry(name, f"render({UNIT}, parametrisation={code})", text) for name, (code, text) in WAYS.items()]
    moves = [
        _entry(f"{name} fuse" if name == "Fused" else name, f"render({UNIT}, transform=transforms.{code})", text)
        for name, (code, text) in MOVES.items()
    ]
    return {"objectives": OBJECTIVES, "parametrisations": ways, "transforms": moves, "recipes": RECIPES}


def main(out: Path, *, quick: bool = False) -> list[tuple[str, Entry]]:
    """Make all pictures in the folder ``out``, and its index.html."""
    out.mkdir(parents=True, exist_ok=True)
    network = na.load("efficientnet-lite0")
    photographs = {item.name: item for item in na.stimuli.photographs()}
    side = 80 if quick else 160
    cat, china, flower = (photographs[f"{name}/1.00-row0-column0"].draw(224) for name in ("chelsea", "china", "flower"))
    small = np.asarray(Image.fromarray(cat).resize((side, side))) / np.float32(255)
    defaults: dict[str, Any] = {"canvas": side, **({"steps": 2} if quick else {})}

    def render(what: Any, **changes: Any) -> Any:
        return na.render(network, what, **{**defaults, **changes})

    def outputs(layer: str) -> Any:
        return objectives.outputs_of(network, cat, [layer])[layer]

    names: dict[str, Any] = {
        "network": network, "render": render, "outputs": outputs, "objectives": objectives, "gallery": gallery, "out": out,
        "transforms": transforms, "cat": cat, "china": china, "flower": flower, "cat_planes": small.transpose(2, 0, 1),
        "Seeded": lambda picture: PARAMETRISATIONS["seeded"](picture / np.float32(255)),
    }  # fmt: skip
    fill = {
        "{tv}": "3e-4",
        "{long}": "2" if quick else "256",
        "{q}": ", canvas=64, steps=2" if quick else "",
        "{q_cell}": ", cell=32, steps=1" if quick else "",
        "{q_canvas}": ", canvas=64, steps=2" if quick else "",
    }
    made = []
    for section, entries in sections().items():
        for entry in entries:
            code = entry.code
            for mark, text in fill.items():
                code = code.replace(mark, text)
            picture = eval(code, names)  # noqa: S307 - a line of this file
            Image.fromarray(_array(picture)).save(out / _file(section, entry))
            made.append((section, Entry(entry.title, entry.names, code, entry.caption)))
            print(section, entry.title, flush=True)
    (out / "index.html").write_text(_page(made), encoding="utf-8")
    return made


def _array(picture: Rendering | np.ndarray | list[Rendering]) -> np.ndarray:
    """Anything that a line gives, as one picture."""
    if isinstance(picture, np.ndarray):
        return picture
    several = [picture] if isinstance(picture, Rendering) else list(picture)
    return gallery.sheet(several, len(several))


def _file(section: str, entry: Entry) -> str:
    return f"{section}-{re.sub('[^a-z0-9]+', '-', entry.title.lower())}.png"


STYLE = """
:root { color-scheme: light dark; font: 16px/1.45 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; background: Canvas; color: CanvasText; }
section { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1.5rem; }
figure { margin: 0; }
img { display: block; max-width: 100%; min-width: 8rem; height: auto; background: white; }
code { font-size: 0.78rem; overflow-wrap: anywhere; opacity: 0.85; }
h3 { margin: 0.4rem 0 0; font-size: 1rem; }
p { margin: 0.2rem 0; }
"""


def _page(made: list[tuple[str, Entry]]) -> str:
    parts = []
    for section in dict.fromkeys(section for section, _ in made):
        figures = "\n".join(_figure(section, entry) for each, entry in made if each == section)
        parts.append(f"<h2>{section.capitalize()}</h2>\n<section>\n{figures}\n</section>")
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Neuron Atlas: the gallery</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        "<h1>The gallery</h1>\n<p>Every objective, parametrisation, transform and recipe, with EfficientNet-Lite0. "
        f"<code>render(what)</code> stands for <code>na.render(network, what)</code>.</p>\n{body}\n</body>\n</html>\n"
    )


def _figure(section: str, entry: Entry) -> str:
    caption, code = html.escape(entry.caption), html.escape(entry.code)
    title = html.escape(", ".join(entry.names))
    return (
        f'<figure><img src="{_file(section, entry)}" alt="{title}: {caption}" loading="lazy">\n'
        f"<figcaption><h3>{title}</h3><p>{caption}</p><code>{code}</code></figcaption></figure>"
    )


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--quick", action="store_true")
    given = arguments.parse_args()
    main(given.out, quick=given.quick)
