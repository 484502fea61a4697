"""``neuronatlas figure``: a figure of an atlas for paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuronatlas.cli.shared import JSON, print_json
from neuronatlas.errors import UnknownName, WrongInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from neuronatlas.view.scene import Scene

KINDS = {
    "map": ("stimulus", "label", "minus", "method", "circle", "pictures"),
    "film": ("stimulus", "label", "method", "circle", "columns"),
    "sheet": ("layer", "columns", "rows"),
    "unit": ("unit",),
    "layer": ("layer", "columns", "rows"),
}
"""The figures, and the options of each."""
WHAT = "map (all units), film (maps side by side), sheet (some units of layers), unit, or layer (all of its pictures)."


def figure(
    atlas: Annotated[Path, typer.Argument(help="The atlas folder.", show_default=False)],
    kind: Annotated[str, typer.Argument(help=WHAT, show_default=False)],
    out: Annotated[Path, typer.Argument(help="The file: .pdf, .svg or .png.", show_default=False)],
    stimulus: Annotated[
        list[str] | None, typer.Option("--stimulus", help="map, film: colour by the response; a film takes several.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="map, film: a class of the stimuli; the mean is drawn.")
    ] = None,
    minus: Annotated[
        str | None, typer.Option("--minus", help="map: a stimulus or class to take away: the difference is drawn.")
    ] = None,
    unit: Annotated[str | None, typer.Option("--unit", help="unit: its address, LAYER:INDEX.")] = None,
    layer: Annotated[
        list[str] | None, typer.Option("--layer", help="sheet, layer: its name; a sheet takes several. Default: all.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option("--method", help="map, film: points (map alone), nearest or linear.", show_default=False),
    ] = None,
    circle: Annotated[bool, typer.Option("--circle", help="map, film: project the map onto a disc.")] = False,
    pictures: Annotated[
        int | None, typer.Option("--pictures", help="map: lay so many feature visualizations on it, if they fit.")
    ] = None,
    columns: Annotated[int | None, typer.Option("--columns", help="film, sheet, layer: pictures in a row.")] = None,
    rows: Annotated[int | None, typer.Option("--rows", help="sheet: rows a layer; layer: rows a page.")] = None,
    width_mm: Annotated[float, typer.Option("--width-mm", help="Millimetres.")] = 180.0,
    dpi: Annotated[int, typer.Option("--dpi", help="Pixels an inch of a .png, and of pictures in the others.")] = 300,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Draw a figure of an atlas for paper; a layer of several pages is written as OUT-1, OUT-2 and so on."""
    given: dict[str, Any] = {
        "stimulus": stimulus or None,
        "label": label or None,
        "minus": minus,
        "unit": unit,
        "layer": layer or None,
        "method": method,
        "circle": circle or None,
        "pictures": pictures,
        "columns": columns,
        "rows": rows,
    }
    options = {name: value for name, value in given.items() if value is not None}
    _check(kind, out, options)
    from neuronatlas.atlas import Atlas
    from neuronatlas.maps.drawing import save_figure
    from neuronatlas.view.scene import scene_of

    drawn = _drawn(kind, scene_of(Atlas.open(atlas)), options, width_mm)
    out.parent.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    page = next(drawn, None)
    while page is not None:
        following = next(drawn, None)
        alone = not written and following is None
        file = out if alone else out.with_name(f"{out.stem}-{len(written) + 1}{out.suffix}")
        save_figure(page, file, width_mm=width_mm, dpi=dpi)
        written.append(str(file))
        page = following
    if as_json:
        print_json({"kind": kind, "files": written, "width_mm": width_mm})
        return
    for name in written:
        print(name)


def _check(kind: str, out: Path, options: dict[str, Any]) -> None:
    """Refuse what cannot be drawn before the atlas is read."""
    if kind not in KINDS:
        what = "kind of figure"
        raise UnknownName(what, kind, KINDS)
    if out.suffix.lower() not in (".pdf", ".svg", ".png"):
        message = f"OUT {str(out)!r} ends in {out.suffix!r}: use .pdf, .svg or .png"
        raise WrongInput(message)
    for name in options:
        if name not in KINDS[kind]:
            takes = ", ".join(f"--{option}" for option in KINDS[kind])
            message = f"--{name} is not for the figure {kind!r}, which takes {takes}"
            raise WrongInput(message)
    needed = {"unit": "unit", "layer": "layer"}.get(kind)
    if needed and needed not in options:
        message = f"the figure {kind!r} needs --{needed}: give one"
        raise WrongInput(message)
    single = {"map": ("stimulus", "label"), "layer": ("layer",)}.get(kind, ())
    for name in single:
        if len(options.get(name, ())) > 1:
            message = f"--{name} is given {len(options[name])} times, but the figure {kind!r} shows one: give one"
            raise WrongInput(message)


def _drawn(kind: str, scene: Scene, options: dict[str, Any], width_mm: float) -> Iterator[Figure]:
    """The figure; more than one for a layer of several pages."""
    from neuronatlas.view import figures

    options = {**options, "width_mm": width_mm}
    if kind == "layer":
        (layer,) = options.pop("layer")
        yield from figures.layer_figures(scene, layer, **options)
    elif kind == "sheet":
        yield figures.contact_sheet(scene, options.pop("layer", None), **options)
    elif kind == "unit":
        yield figures.unit_figure(scene, options.pop("unit"), **options)
    elif kind == "film":
        yield figures.film_figure(scene, options.pop("stimulus", ()), options.pop("label", ()), **options)
    else:
        for name in ("stimulus", "label"):
            options[name] = options[name][0] if name in options else None
        yield figures.map_figure(scene, **options)
