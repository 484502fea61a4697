"""``neuronatlas map``: the response map of a folder of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuronatlas.cli.shared import (
    CHANNEL_ORDER,
    IMAGES,
    INPUT_SIZE,
    JSON,
    NETWORK,
    NORMALISE,
    SEED,
    load,
    load_stimuli,
    print_json,
    say,
)
from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.progress import reporter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from neuronatlas.maps import ResponseMap, Responses

SHOW = "A stimulus, or a class by its folder's name; may be repeated: the mean is drawn. Default: all."


def draw_map(
    network: Annotated[str, NETWORK],
    images: Annotated[Path, IMAGES],
    out: Annotated[Path, typer.Option("-o", "--out", help="The picture: .png, .svg or .pdf.")],
    layer: Annotated[list[str] | None, typer.Option("--layers", help="Layers or patterns; may be repeated.")] = None,
    reduce: Annotated[str, typer.Option("--reduce", help="mean, max, none, or a position ROW,COLUMN.")] = "mean",
    show: Annotated[list[str] | None, typer.Option("--show", help=SHOW)] = None,
    against: Annotated[
        list[str] | None, typer.Option("--against", help="Stimuli or classes to compare with: effect sizes.")
    ] = None,
    correlation: Annotated[str, typer.Option("--correlation", help="spearman or pearson.")] = "spearman",
    absolute: Annotated[bool, typer.Option("--absolute", help="Opposite units lie together, too.")] = False,
    layout: Annotated[str, typer.Option("--layout", help="tsne, umap, pacmap, mds or pca.")] = "tsne",
    balanced: Annotated[bool, typer.Option("--balanced", help="Every layer counts alike.")] = False,
    scale: Annotated[str, typer.Option("--scale", help="percentile, minmax or deviation.")] = "percentile",
    method: Annotated[str, typer.Option("--method", help="nearest, linear, grid or points.")] = "nearest",
    mask: Annotated[str, typer.Option("--mask", help="What is blank: hull, near or none.")] = "hull",
    cmap: Annotated[str | None, typer.Option("--cmap", help="A matplotlib colour map.")] = None,
    circle: Annotated[bool, typer.Option("--circle", help="Project the map onto a disc.")] = False,
    width: Annotated[
        float | None,
        typer.Option("--width", help="Millimetres; default: 127, and 180 with --against.", show_default=False),
    ] = None,
    normalise: Annotated[str | None, NORMALISE] = None,
    input_size: Annotated[str | None, INPUT_SIZE] = None,
    channel_order: Annotated[str, CHANNEL_ORDER] = "rgb",
    seed: Annotated[int, SEED] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="With --json: leave out what needs more maps.")] = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Draw the response map of a folder of pictures."""
    from neuronatlas.building import choose_layers
    from neuronatlas.maps import ResponseMap
    from neuronatlas.maps.drawing import save_figure
    from neuronatlas.responses import record

    if out.suffix.lower() not in (".png", ".svg", ".pdf"):
        message = f"--out {str(out)!r} ends in {out.suffix!r}: use .png, .svg or .pdf"
        raise WrongInput(message)
    settings = ResponseMap(
        correlation, layout, seed=seed, scale=scale, absolute=absolute, balanced=balanced
    )  # refuses what does not exist before anything is computed
    _check_drawing(method, mask, cmap, against=bool(against), width=width)
    if quick and not as_json:
        message = "--quick leaves something out of --json: give both, or neither"
        raise WrongInput(message)
    found = load(network, normalise, input_size, channel_order)
    stimuli = load_stimuli(images)
    known = {item.name for item in stimuli} | {item.label for item in stimuli if item.label}
    for name in [*(show or []), *(against or [])]:
        if name not in known:
            raise UnknownName("stimulus", name, sorted(known))
    with reporter() as progress:
        told = partial(progress, "responses")
        chosen = choose_layers(found, layer or ["*"])
        responses = record(found, stimuli, layers=chosen, reduce=_reduction(reduce), progress=told)
    fitted = settings.fit(responses)
    if circle:
        fitted = fitted.circle()
    figure = _figure(fitted, show or responses, against, method=method, mask=mask, cmap=cmap)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, out, width_mm=width if width is not None else 180.0 if against else 127.0)
    for note in fitted.notes:
        say(note)
    if not as_json:
        print(f"{out}  {len(fitted.units)} units, {len(stimuli)} stimuli")
        return
    counts = {"units": len(fitted.units), "constant": len(fitted.constant), "copies": len(fitted.copies)}
    print_json({"file": str(out), **counts, **fitted.quality, **({} if quick else fitted.reliability())})


def _check_drawing(method: str, mask: str, cmap: str | None, *, against: bool, width: float | None) -> None:
    """Refuse what cannot be drawn, before anything is computed."""
    import matplotlib as mpl

    from neuronatlas.maps.pictures import RASTERS, WAYS
    from neuronatlas.maps.raster import MASKS

    if against and method == "points":
        message = f"--method points does not go with --against: use {', '.join(RASTERS)}"
        raise WrongInput(message)
    given: list[tuple[str, str, Sequence[str]]] = [("method", method, WAYS), ("mask", mask, MASKS)]
    if cmap is not None:
        given.append(("cmap", cmap, list(mpl.colormaps)))
    for what, name, options in given:
        if name not in options:
            raise UnknownName(what, name, options)
    if width is not None and not 10 <= width <= 2000:
        message = f"--width {width:g} must be from 10 to 2000 millimetres"
        raise WrongInput(message)


def _figure(
    fitted: ResponseMap,
    shown: list[str] | Responses,
    others: list[str] | None,
    *,
    method: str,
    mask: str,
    cmap: str | None,
) -> Figure:
    """One map, or two sets of stimuli and their difference."""
    if others:
        return fitted.compare(("shown", shown), ("against", others), method=method, mask=mask, cmap=cmap)[0]
    figure = fitted.draw(shown, method=method, mask=mask, cmap=cmap).get_figure(root=True)
    assert figure is not None
    return figure


def _reduction(text: str) -> str | tuple[int, int]:
    """A word, or a position."""
    row, comma, column = text.partition(",")
    if comma and row.strip().isdecimal() and column.strip().isdecimal():
        return int(row), int(column)
    return text
