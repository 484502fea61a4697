"""``neuronatlas export``: an atlas as files for other programs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuronatlas.cli.shared import JSON, print_json, say
from neuronatlas.errors import UnknownName
from neuronatlas.progress import reporter

if TYPE_CHECKING:
    from neuronatlas.exporting import Exported

KINDS = ("png", "table", "npz", "site")
SAID = 20
"""Units without a picture that are named one by one."""


def export(
    atlas: Annotated[Path, typer.Argument(help="The atlas folder.", show_default=False)],
    kind: Annotated[
        str,
        typer.Argument(
            help="png (a folder, a picture a unit), table (.csv or .json), npz, or site (the page's folder).",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The folder or file to write.", show_default=False)],
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="Of a site: whether the stimuli can be seen in it.")
    ] = True,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Write what an atlas holds as files for other programs; a stopped export of pictures goes on where it was."""
    if kind not in KINDS:
        what = "kind of export"
        raise UnknownName(what, kind, KINDS)
    from neuronatlas import exporting
    from neuronatlas.atlas import Atlas

    opened = Atlas.open(atlas)
    if kind == "png":
        with reporter() as progress:
            made = exporting.export_png(opened, out, progress=partial(progress, "pictures"))
        _tell(made, as_json=as_json)
        return
    if kind == "site":
        count = len(opened.manifest.stimuli["names"])
        seen = f"the thumbnails of {count} stimuli (--no-images leaves them out) and " if images else ""
        say(f"the site shows {seen}the names of {count} stimuli to whoever can open it")
        written = exporting.export_site(opened, out, images=images)
        size = sum(path.stat().st_size for path in written.parent.rglob("*") if path.is_file())
        say(f"{size / 1e6:.1f} MB")
    else:
        written = {"table": exporting.export_table, "npz": exporting.export_npz}[kind](opened, out)
    if as_json:
        print_json({"file": str(written)})
    else:
        print(written)


def _tell(made: Exported, *, as_json: bool) -> None:
    """What was written and what is missing; exit 3 where there is no picture of a unit that should have one."""
    for name, safe in made.renamed.items():
        say(f"layer {name!r} is written as {safe!r}")
    if made.unasked:
        say(f"{made.unasked} units have no picture in this atlas: it was built with --units")
    if made.foreign:
        say(f"{made.foreign} pictures in {made.folder} are not of this export: give an empty folder, or remove them")
    for number, (unit, reason) in enumerate(made.lost.items()):
        if number == SAID:
            say(f"... and {len(made.lost) - SAID} more; --json names them all")
            break
        say(f"{str(unit)!r} has no picture, {reason}")
    if as_json:
        lost = {str(unit): reason for unit, reason in made.lost.items()}
        counts = {"written": made.written, "kept": made.kept, "unasked": made.unasked, "foreign": made.foreign}
        print_json({"folder": str(made.folder), **counts, "lost": lost, "renamed": dict(made.renamed)})
    else:
        print(f"{made.folder}: {made.written} pictures written, {made.kept} there already, {len(made.lost)} missing")
    if made.lost:
        raise typer.Exit(3)
