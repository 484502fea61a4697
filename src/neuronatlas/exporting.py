"""What an atlas holds, as files for other programs: a picture a unit, a table, arrays, the page.

Needs no deep-learning framework. One shard is held at a time, files are written whole or not at all, and an export that was
stopped goes on where it was. No path is made from what an atlas says: names of layers become letters, digits, dots,
hyphens and underscores.

The folders of `export_png` are those of lucid-kietzmannlab (examples/ecoset_layers_activation.py), and so are the names of
the layers of its network, which were TensorFlow's.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from neuronatlas.atlas import Atlas, Shard
from neuronatlas.atlas.store import write_atomically
from neuronatlas.errors import AtlasDamaged, WrongInput
from neuronatlas.units import Unit
from neuronatlas.view.page import write_page
from neuronatlas.view.scene import scene_of

Progress = Callable[[int, int], None]

FOLDER = "layer_channel_visualizations"
ALEXNET = {name: f"alexnet_v2/{name}/Conv2D" for name in "conv1 conv2 conv3 conv4 conv5 fc6 fc7 fc8".split()}
"""What the old script calls the layers of the network ``alexnet-ecoset``."""
LONGEST = 120
"""Characters of a layer's name in a file name: with the rest of it well below the 255 bytes that file systems allow."""
ABANDONED = 60.0
"""Seconds after which a file that was being written is a killed export's: a picture takes milliseconds."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would run (OWASP, "CSV Injection")."""


@dataclass(frozen=True)
class Exported:
    """What became of the pictures of an atlas.

    ``written`` and ``kept`` count the files that are there: made now, and found as they should be. ``lost`` has a reason
    for each unit whose picture there is none of although the atlas was to hold it; ``unasked`` counts the units that it
    was never to hold. ``foreign`` counts the pictures in the folders that are not of this export: another atlas left them,
    or this one before a unit was lost. ``renamed`` is the safe name of each layer whose name could not be kept; a ``/`` is always a ``_``.
    """

    folder: Path
    written: int
    kept: int
    lost: Mapping[Unit, str]
    unasked: int
    renamed: Mapping[str, str]
    foreign: int = 0


def export_png(atlas: Atlas, out: str | Path, *, progress: Progress | None = None) -> Exported:
    """The picture of every unit there is, in ``out/layer_channel_visualizations/layer_{i + 1}/layer_{name}_channel_{c}.png``.

    Layers count in the atlas's order. A picture has the size that it was made in, and its settings in the text chunk
    ``neuronatlas``. What is dead or failed has no file, nor has what a shard holds that is absent or damaged.
    ``progress`` is told how many of how many units are done.
    """
    layers = _layers(atlas)
    old = ALEXNET if atlas.manifest.network.get("name") == "alexnet-ecoset" else {}
    place = Path(out) / FOLDER
    shards = atlas.plan.of("renderings")
    ours: set[Path] = set()
    total, done, written, kept = sum(len(shard.units) for shard in shards), 0, 0, 0
    lost: dict[Unit, str] = {}
    for shard in shards:
        if progress is not None:
            progress(done, total)
        number, (name, _) = shard.layer, _layer_of(atlas, shard, layers)
        folder = place / f"layer_{number + 1}"
        _prepare(folder)
        try:
            pictures = list(_pictures(atlas, shard, name))
        except AtlasDamaged as error:
            lost |= {Unit(name, index): str(error) for index in shard.units}
            pictures = []
        for unit, picture, reason in pictures:
            if picture is None:
                lost[unit] = reason
                continue
            target = folder / f"layer_{safe_name(old.get(name, name))}_channel_{unit.index}.png"
            ours.add(target)
            if target.is_file() and target.read_bytes() == picture:
                kept += 1
            else:
                write_atomically(target, picture)
                written += 1
        done += len(shard.units)
    if progress is not None and total:
        progress(total, total)
    renamed = {name: safe_name(name) for name, _ in layers if safe_name(name) != name.replace("/", "_")}
    return Exported(
        place, written, kept, lost, sum(units for _, units in layers) - total, renamed, _foreign(place, ours)
    )


def export_table(atlas: Atlas, out: str | Path) -> Path:
    """A row a unit: its address, layer, number, place on the map, status and score, then its response to each stimulus.

    ``out`` ends in ``.csv`` or ``.json``. In CSV a text that a spreadsheet would take for a formula has a ``'`` before
    it, and what is no number is written ``nan`` or ``inf``; in JSON that is ``null``, and the stimuli have their labels.
    """
    target = _file(out, ".csv", ".json")
    table = _table(atlas)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, (_csv(table) if target.suffix.lower() == ".csv" else _json(atlas, table)).encode())
    return target


def export_npz(atlas: Atlas, out: str | Path) -> Path:
    """Arrays for ``numpy.load``: responses (stimuli, units), positions (units, 2), scores, status; names and labels.

    ``out`` ends in ``.npz``. Nothing in it is pickled.
    """
    target = _file(out, ".npz")
    table = _table(atlas)
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        responses=table.responses,
        positions=table.positions,
        scores=table.scores,
        status=np.array(table.status, dtype=np.str_),
        units=np.array([str(unit) for unit in table.units], dtype=np.str_),
        stimuli=np.array(table.stimuli, dtype=np.str_),
        labels=np.array(table.labels, dtype=np.str_),
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, stream.getvalue())
    return target


def export_site(atlas: Atlas, out: str | Path, *, images: bool = True) -> Path:
    """The page of a finished atlas for any web server, its stimuli grey squares without ``images``; its index.html."""
    scene, grey = scene_of(atlas), np.full((8, 8, 3), 128, np.uint8)
    unseen = replace(scene, stimuli=tuple(replace(stimulus, thumbnail=grey) for stimulus in scene.stimuli))
    return write_page(scene if images else unseen, Path(out))


def safe_name(name: str) -> str:
    """The name of a layer as a part of a file name: ``/`` and all but ASCII letters, digits, dots and hyphens are ``_``."""
    plain = "".join(sign if sign.isascii() and (sign.isalnum() or sign in ".-_") else "_" for sign in name)
    return plain[:LONGEST]


@dataclass(frozen=True, eq=False)
class _Table:
    units: tuple[Unit, ...]
    positions: Float32[np.ndarray, "units 2"]
    status: tuple[str, ...]
    scores: Float32[np.ndarray, " units"]
    stimuli: tuple[str, ...]
    labels: tuple[str, ...]
    responses: Float32[np.ndarray, "stimuli units"]


def _table(atlas: Atlas) -> _Table:
    """All numbers of an atlas; a unit that was not rendered has the score NaN and no status. Raises `AtlasDamaged`."""
    layers = _layers(atlas)
    responses = atlas.responses()
    first = np.cumsum([0, *(units for _, units in layers)])
    status = [""] * len(responses.units)
    scores = np.full(len(responses.units), np.nan, np.float32)
    for shard in atlas.plan.of("renderings"):
        _layer_of(atlas, shard, layers)
        tensors, about = atlas.get(shard)
        words, values = _words(shard, about, "status"), _scores(shard, tensors)
        for row, index in enumerate(shard.units):
            unit = int(first[shard.layer]) + index
            status[unit], scores[unit] = words[row] or "done", values[row]
    positions = atlas.get(atlas.plan.of("map")[0])[0]["positions"].astype(np.float32)
    return _Table(
        responses.units, positions, tuple(status), scores, responses.stimuli, responses.labels, responses.values
    )


def _csv(table: _Table) -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    head = ["unit", "layer", "index", "x", "y", "status", "score", *table.stimuli]
    writer.writerow([_harmless(cell) for cell in head])
    for column, unit in enumerate(table.units):
        words = [_harmless(str(unit)), _harmless(unit.layer), str(unit.index)]
        numbers = [*table.positions[column], table.scores[column], *table.responses[:, column]]
        written = [f"{float(number):.9g}" for number in numbers]  # nine digits are exact for float32
        writer.writerow([*words, *written[:2], _harmless(table.status[column]), *written[2:]])
    return stream.getvalue()


def _json(atlas: Atlas, table: _Table) -> str:
    rows = [
        {
            "unit": str(unit),
            "layer": unit.layer,
            "index": unit.index,
            "position": _plain(table.positions[column]),
            "status": table.status[column],
            "score": _plain(table.scores[[column]])[0],
            "responses": _plain(table.responses[:, column]),
        }
        for column, unit in enumerate(table.units)
    ]
    stimuli = [{"name": name, "label": label} for name, label in zip(table.stimuli, table.labels, strict=True)]
    return json.dumps({"network": atlas.manifest.network, "stimuli": stimuli, "units": rows}, indent=1) + "\n"


def _plain(numbers: Float32[np.ndarray, " n"]) -> list[float | None]:
    """Numbers as JSON has them."""
    return [float(f"{number:.9g}") if np.isfinite(number) else None for number in numbers.tolist()]


def _file(out: str | Path, *endings: str) -> Path:
    """The file to write, which has one of these endings; raises `WrongInput`."""
    target = Path(out)
    if target.suffix.lower() not in endings:
        message = f"out (={str(out)!r}) ends in {target.suffix!r}: use {' or '.join(endings)}"
        raise WrongInput(message)
    if target.is_dir():
        message = f"out (={str(out)!r}) is a folder: give a file in it, or another name"
        raise WrongInput(message)
    return target


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def _layers(atlas: Atlas) -> list[tuple[str, int]]:
    """The name and the number of units of each layer; raises `AtlasDamaged` where the manifest has something else."""
    found = []
    for number, layer in enumerate(atlas.manifest.layers):
        name: object = layer.name
        units: object = layer.units
        if not isinstance(name, str) or not isinstance(units, int) or isinstance(units, bool) or units < 0:
            message = f"{atlas.folder / 'atlas.json'} has no name and number of units of layer {number}: build it anew"
            raise AtlasDamaged(message)
        found.append((name, units))
    return found


def _layer_of(atlas: Atlas, shard: Shard, layers: list[tuple[str, int]]) -> tuple[str, int]:
    """The layer of a shard, all of whose units it has; raises `AtlasDamaged`."""
    number: Any = shard.layer
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < len(layers):
        name, count = layers[number]
        if all(isinstance(index, int) and not isinstance(index, bool) and 0 <= index < count for index in shard.units):
            return name, count
    message = f"{atlas.folder / 'plan.json'} plans {shard.name} for units that atlas.json has not: build it anew"
    raise AtlasDamaged(message)


def _pictures(atlas: Atlas, shard: Shard, layer: str) -> Iterator[tuple[Unit, bytes | None, str]]:
    """For each unit of a shard its picture as PNG, or None and why there is none; raises `AtlasDamaged`."""
    tensors, about = atlas.get(shard)
    images, count = tensors.get("images"), len(shard.units)
    sound = images is not None and images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] in (1, 3, 4)
    if not sound or images is None or len(images) != count:
        message = f"shard {shard.name} holds no pictures of its {count} units: run the build again"
        raise AtlasDamaged(message)
    status = _words(shard, about, "status")
    reasons = _words(shard, about, "reason") if "reason" in about else status
    scores = _scores(shard, tensors)
    for row, index in enumerate(shard.units):
        unit = Unit(layer, index)
        if status[row]:
            yield unit, None, f"{status[row]}: {reasons[row]}"
        else:
            settings = {
                "objective": str(unit),
                "network": atlas.manifest.network.get("name"),
                "seed": atlas.manifest.settings.get("seed"),
                "score": _plain(scores[[row]])[0],
                **(about["recipe"] if isinstance(about.get("recipe"), dict) else {}),
            }
            yield unit, _png(images[row], settings), ""


def _words(shard: Shard, about: Mapping[str, Any], what: str) -> list[str]:
    """The status of each unit of a shard, or the reason for it; raises `AtlasDamaged` where that is something else."""
    words = about.get(what)
    if isinstance(words, list) and len(words) == len(shard.units) and all(isinstance(word, str) for word in words):
        return words
    message = f"shard {shard.name} has no {what} of each of its {len(shard.units)} units: run the build again"
    raise AtlasDamaged(message)


def _scores(shard: Shard, tensors: Mapping[str, np.ndarray]) -> Float32[np.ndarray, " units"]:
    """The score of each unit of a shard; raises `AtlasDamaged` where they are something else."""
    scores = tensors.get("scores")
    if scores is not None and scores.shape == (len(shard.units),) and scores.dtype.kind == "f":
        return scores.astype(np.float32)
    message = f"shard {shard.name} has no score of each of its {len(shard.units)} units: run the build again"
    raise AtlasDamaged(message)


def _png(picture: UInt8[np.ndarray, "height width planes"], settings: Mapping[str, object]) -> bytes:
    about = PngInfo()
    about.add_text("neuronatlas", json.dumps(settings, sort_keys=True))
    stream = io.BytesIO()
    Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture).save(stream, "PNG", pnginfo=about)
    return stream.getvalue()


def _foreign(place: Path, ours: set[Path]) -> int:
    """How many pictures are there beside these."""
    return sum(path not in ours and not path.name.startswith(".") for path in place.glob("layer_*/*.png"))


def _prepare(folder: Path) -> None:
    """Make the folder, and sweep what a killed export left half written."""
    folder.mkdir(parents=True, exist_ok=True)
    for orphan in folder.glob(".unfinished-*"):
        if time.time() - orphan.stat().st_mtime > ABANDONED:
            orphan.unlink(missing_ok=True)
