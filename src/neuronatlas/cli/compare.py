"""``neuronatlas compare``: atlases side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuronatlas.cli.shared import say


def compare(
    atlases: Annotated[list[Path], typer.Argument(help="Two to four atlas folders.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder for the page.", show_default=False)],
    names: Annotated[
        list[str] | None, typer.Option("--name", help="The title of an atlas; once for each, in order.")
    ] = None,
) -> None:
    """Write a page that shows atlases side by side, with the unit of each that answers as a unit of the others does."""
    from neuronatlas import comparing
    from neuronatlas.atlas import Atlas

    opened = [Atlas.open(atlas) for atlas in atlases]
    say("Matching the units of each atlas with those of the others")
    print(comparing.compare(opened, out, names=names))
