"""Atlases side by side: which unit of one answers as a unit of another does, and how alike their layers are.

Two networks have no units in common, but they have seen the same stimuli. A unit's match in another atlas is the unit
whose responses to the shared stimuli correlate best with its own. Needs no deep-learning framework.
"""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int32

from neuronatlas.atlas import Atlas
from neuronatlas.errors import WrongInput
from neuronatlas.maps.clusters import clusters_of
from neuronatlas.maps.correlation import standardise
from neuronatlas.table import Responses
from neuronatlas.units import Unit
from neuronatlas.view import page, scripts
from neuronatlas.view.folders import taking_the_place_of
from neuronatlas.view.scene import scene_of

LEAST = 8
"""Stimuli that the atlases must share: over fewer, every unit finds a good match by chance."""
MOST = 4
"""Atlases on one page."""
SHELL = {"compare.html": "index.html", "compare.js": "compare.js", "compare.css": "compare.css"}
"""What the page that holds the others is made of: the name in the bundle, and the name in the folder."""
_CELLS = 2**23
_STEP = 1e6


@dataclass(frozen=True, eq=False)
class Match:
    """The best match in the atlas B of every unit of the atlas A.

    ``indices`` are -1 and ``correlations`` NaN for a unit of A that is constant over the shared stimuli, and for all
    where B has no other units. ``mutual``: the unit is its match's best match too. ``best`` is, for each layer of A (row)
    and of B (column), the mean over the units of the row of their best correlation in the column. ``cka`` is the linear
    centred kernel alignment of the two layers (0..1). Both are NaN where a layer's units are all constant.
    """

    indices: Int32[np.ndarray, " units"]
    correlations: Float32[np.ndarray, " units"]
    mutual: Bool[np.ndarray, " units"]
    best: Float32[np.ndarray, "layers_a layers_b"]
    cka: Float32[np.ndarray, "layers_a layers_b"]


def compare(atlases: Sequence[Atlas], folder: str | Path, *, names: Sequence[str] | None = None) -> Path:
    """Write a page that shows finished atlases side by side, and return its ``index.html``.

    ``names`` are the titles; by default those of the networks. The maps are turned so that matches lie near each other:
    the layout of an atlas has no orientation of its own. Only stimuli that all atlases hold, under the same name and
    label, are compared. Raises `WrongInput` where there are fewer than 8 of them, where the atlases are not 2 to 4, where
    ``names`` does not fit them, and where ``folder`` holds anything but such a page.
    """
    folder = Path(folder).resolve()
    if not 2 <= len(atlases) <= MOST:
        message = f"atlases has {len(atlases)} entries: give 2 to {MOST}"
        raise WrongInput(message)
    if names is not None and len(names) != len(atlases):
        message = f"names has {len(names)} entries for {len(atlases)} atlases: give one for each"
        raise WrongInput(message)
    _refuse_strangers(folder)
    bundle = _bundle()
    titles = _titles([atlas.manifest.network["name"] for atlas in atlases]) if names is None else list(names)
    tables = [atlas.responses() for atlas in atlases]
    stimuli = shared_stimuli(tables)
    pairs = match_all([_rows(table, stimuli) for table in tables])
    with taking_the_place_of(folder) as partial:
        (partial / "data").mkdir()
        first = np.zeros((0, 2), np.float32)
        for number, (atlas, title) in enumerate(zip(atlases, titles, strict=True)):
            scene = replace(scene_of(atlas), title=title)
            if number == 0:
                first = scene.positions
            else:
                positions = align(scene.positions, first, pairs[number, 0])
                scene = replace(scene, positions=positions, clusters=clusters_of(positions))
            page.write_page(scene, partial / f"atlas-{number}")
        (partial / "data" / "compare.js").write_bytes(scripts.script("compare", _told(titles, tables, stimuli, pairs)))
        for source, name in zip(bundle, SHELL.values(), strict=True):
            shutil.copyfile(source, partial / name)
    return folder / "index.html"


def shared_stimuli(tables: Sequence[Responses]) -> list[tuple[str, str]]:
    """Name and label of the stimuli that all tables hold, in the order of the first; raises `WrongInput` below 8."""
    every = [set(zip(table.stimuli, table.labels, strict=True)) for table in tables]
    first = dict.fromkeys(zip(tables[0].stimuli, tables[0].labels, strict=True))
    shared = [stimulus for stimulus in first if all(stimulus in one for one in every)]
    if len(shared) < LEAST:
        message = (
            f"atlases share {len(shared)} stimuli (same name and label), and at least {LEAST} are needed: "
            "build them with the same stimuli"
        )
        raise WrongInput(message)
    return shared


def match_all(tables: Sequence[Responses]) -> dict[tuple[int, int], Match]:
    """The match of every ordered pair of tables, which must be of the same stimuli in the same order."""
    standard = [standardise(table.values, "pearson") for table in tables]
    centred = [_centred(table.values, each.constant) for table, each in zip(tables, standard, strict=True)]
    layers = [[some for _, some in layer_slices(table.units)] for table in tables]
    size = [
        [_aligned(each[:, part], each[:, part]) for part in parts] for each, parts in zip(centred, layers, strict=True)
    ]
    found = {
        (a, b): _best(standard[a].rows, standard[b].rows, layers[a], layers[b])
        for a, b in itertools.permutations(range(len(tables)), 2)
    }
    matches = {}
    for a, b in itertools.combinations(range(len(tables)), 2):
        cka = _cka(_shared(centred[a], centred[b], layers[a], layers[b]), np.array(size[a]), np.array(size[b]))
        for one, other, alike in ((a, b, cka), (b, a, cka.T)):
            indices, correlations, best = found[one, other]
            back = found[other, one][0]
            mutual = (indices >= 0) & (back[indices] == np.arange(len(indices))) if len(back) else indices >= 0
            matches[one, other] = Match(indices, correlations, mutual, best, np.ascontiguousarray(alike))
    return matches


def layer_slices(units: Sequence[Unit]) -> list[tuple[str, slice]]:
    """The layers in order, each with the run of its units."""
    runs = [(name, len(list(run))) for name, run in itertools.groupby(units, key=lambda unit: unit.layer)]
    stops = list(itertools.accumulate(length for _, length in runs))
    return [(name, slice(stop - length, stop)) for (name, length), stop in zip(runs, stops, strict=True)]


def align(
    positions: Float32[np.ndarray, "units 2"], to: Float32[np.ndarray, "others 2"], match: Match
) -> Float32[np.ndarray, "units 2"]:
    """Positions turned and mirrored about the origin until mutual matches lie as near each other as they can.

    ``match`` is from these units to those of ``to``. This is the orthogonal Procrustes problem (Schönemann 1966). What
    would leave -1..1 is brought back by shrinking all. Fewer than three matches leave the positions as they are.
    """
    from scipy.linalg import orthogonal_procrustes

    chosen = np.flatnonzero(match.mutual & np.isfinite(positions).all(axis=1))
    chosen = chosen[np.isfinite(to[match.indices[chosen]]).all(axis=1)]
    if len(chosen) < 3:
        return positions
    here = positions[chosen].astype(np.float64)
    there = to[match.indices[chosen]].astype(np.float64)
    turn, _ = orthogonal_procrustes(here - here.mean(axis=0), there - there.mean(axis=0))
    turned = positions.astype(np.float64) @ turn.round(9)
    reach = np.nanmax(np.abs(turned))
    return (turned / max(1.0, reach)).astype(np.float32)


def _best(
    rows: Float[np.ndarray, "units stimuli"],
    others: Float[np.ndarray, "others stimuli"],
    layers: list[slice],
    other_layers: list[slice],
) -> tuple[Int32[np.ndarray, " units"], Float32[np.ndarray, " units"], Float32[np.ndarray, "layers_a layers_b"]]:
    """Of every unit the best other, its correlation, and their means by layer; some rows of the matrix at a time.

    Correlations are rounded to a millionth, so that equal ones are equal and the lower index wins. A unit whose row is
    0 throughout is constant.
    """
    units = len(rows)
    indices, correlations = np.full(units, -1, np.int32), np.full(units, np.nan, np.float32)
    by_layer = np.full((units, len(other_layers)), np.nan)
    varying, absent = (rows != 0).any(axis=1), (others == 0).all(axis=1)
    columns = others.astype(np.float64).T
    block = max(1, _CELLS // max(1, len(others)))
    for start in range(0, units if not absent.all() else 0, block):
        some = slice(start, start + block)
        products = rows[some].astype(np.float64) @ columns
        products *= _STEP
        np.rint(products, out=products)
        products[:, absent] = -np.inf
        chosen = products.argmax(axis=1)
        indices[some] = chosen
        correlations[some] = np.take_along_axis(products, chosen[:, None], axis=1)[:, 0] / _STEP
        for number, part in enumerate(other_layers):
            by_layer[some, number] = products[:, part].max(axis=1) / _STEP
    indices[~varying], correlations[~varying] = -1, np.nan
    by_layer[np.isinf(by_layer)] = np.nan
    best = np.full((len(layers), len(other_layers)), np.nan, np.float32)
    for number, part in enumerate(layers):
        if varying[part].any():
            best[number] = by_layer[part][varying[part]].mean(axis=0)
    return indices, correlations, best


def _shared(
    a: Float64[np.ndarray, "stimuli units"],
    b: Float64[np.ndarray, "stimuli others"],
    layers: list[slice],
    other_layers: list[slice],
) -> Float64[np.ndarray, "layers_a layers_b"]:
    """`_aligned` of every two layers."""
    norms = [_aligned(a[:, part], b[:, other]) for part in layers for other in other_layers]
    return np.array(norms).reshape(len(layers), len(other_layers))


def _cka(
    shared: Float64[np.ndarray, "layers_a layers_b"],
    size: Float64[np.ndarray, " layers_a"],
    other_size: Float64[np.ndarray, " layers_b"],
) -> Float32[np.ndarray, "layers_a layers_b"]:
    """Linear centred kernel alignment of every two layers (Kornblith et al. 2019, equation 4, not debiased)."""
    whole = np.sqrt(np.outer(size, other_size))
    alike = np.minimum(1.0, shared / np.where(whole > 0, whole, 1.0))
    return np.where(whole > 0, alike, np.nan).astype(np.float32)


def _aligned(x: Float64[np.ndarray, "stimuli p"], y: Float64[np.ndarray, "stimuli q"]) -> float:
    """The squared Frobenius norm of xᵀy, some columns of x at a time."""
    block = max(1, _CELLS // max(1, y.shape[1]))
    return float(sum(np.square(x[:, at : at + block].T @ y).sum() for at in range(0, x.shape[1], block)))


def _centred(
    values: Float32[np.ndarray, "stimuli units"], constant: Bool[np.ndarray, " units"]
) -> Float64[np.ndarray, "stimuli units"]:
    """Each unit's responses about their mean, in float64; what is not finite stands at the mean, constant units at 0."""
    table = values.astype(np.float64)
    finite = np.isfinite(table)
    table[~finite] = 0.0
    table -= table.sum(axis=0) / np.maximum(finite.sum(axis=0), 1)
    table[~finite] = 0.0
    table[:, constant] = 0.0
    return table


def _rows(table: Responses, stimuli: Sequence[tuple[str, str]]) -> Responses:
    """The table with these stimuli alone, in this order."""
    place = {stimulus: row for row, stimulus in enumerate(zip(table.stimuli, table.labels, strict=True))}
    return table.select(stimuli=[place[stimulus] for stimulus in stimuli])


def _titles(names: list[str]) -> list[str]:
    """The names, numbered where two are the same."""
    count = Counter(names)
    return [f"{name} ({number})" if count[name] > 1 else name for number, name in enumerate(names, 1)]


def _told(
    titles: list[str],
    tables: Sequence[Responses],
    stimuli: Sequence[tuple[str, str]],
    pairs: dict[tuple[int, int], Match],
) -> dict[str, object]:
    """What the page that holds the others needs to know."""
    return {
        "format": 1,
        "atlases": [_names(title, table.units) for title, table in zip(titles, tables, strict=True)],
        "stimuli": [name for name, _ in stimuli],
        "pairs": [
            {
                "from": a,
                "to": b,
                "indices": scripts.column(match.indices, "i32"),
                "correlations": scripts.column(match.correlations, "f32"),
                "mutual": scripts.column(match.mutual, "u8"),
                "best": scripts.column(match.best, "f32"),
                "cka": scripts.column(match.cka, "f32"),
            }
            for (a, b), match in sorted(pairs.items())
        ],
    }


def _names(title: str, units: Sequence[Unit]) -> dict[str, object]:
    """A title, and the address of each unit in parts."""
    layers = layer_slices(units)
    lengths = [some.stop - some.start for _, some in layers]
    return {
        "title": title,
        "layers": [name for name, _ in layers],
        "layer": scripts.column(np.repeat(np.arange(len(layers)), lengths), "u16"),
        "index": scripts.column(np.array([unit.index for unit in units]), "u32"),
        "places": [[number, *unit.position] for number, unit in enumerate(units) if unit.position],
    }


def _bundle() -> list[Path]:
    files = [page.STATIC / name for name in SHELL]
    if not all(file.is_file() for file in files):
        message = (
            f"the viewer's bundle is not in {page.STATIC.name}/: install the package, or run python hatch_build.py"
        )
        raise WrongInput(message)
    return files


def _refuse_strangers(folder: Path) -> None:
    """A comparison may replace a comparison or an empty folder, never somebody's files."""
    message = f"folder {str(folder)!r} holds other files: name one that is new, empty, or holds a comparison"
    if folder.exists() and not folder.is_dir():
        raise WrongInput(message)
    if folder.exists() and any(folder.iterdir()) and not (folder / "data" / "compare.js").is_file():
        raise WrongInput(message)
