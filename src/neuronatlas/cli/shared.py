"""What the commands share: their arguments, how they load, how they talk."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from neuronatlas.networks import Network
    from neuronatlas.stimuli import StimulusSet

NETWORK = typer.Argument(help="A network of the zoo, such as efficientnet-lite0.", show_default=False)
JSON = typer.Option("--json", help="Print the result as JSON.")
IMAGES = typer.Option("--images", help="A folder of pictures; a sub-folder is a class.")
PRESET = typer.Option("--preset", help='"fast", "best" for the finest, or "lucid" for its published defaults.')
SEED = typer.Option("--seed", help="Decides every random choice.")


def load(name: str, device: str | None = None) -> Network:
    """The network of this name."""
    from neuronatlas import zoo

    return zoo.load(name, device=device)


def load_stimuli(images: Path) -> StimulusSet:
    """The pictures of a folder; which are skipped is said."""
    from neuronatlas import stimuli

    found = stimuli.folder(images)
    if found.skipped:
        say(f"{len(found.skipped)} of {len(found) + len(found.skipped)} pictures are skipped:")
        for name, reason in found.skipped[:5]:
            say(f"  {name}: {reason}")
    return found


def say(text: str) -> None:
    """Talk goes to standard error."""
    print(text, file=sys.stderr)


def print_json(values: object) -> None:
    """A result as JSON."""
    print(json.dumps(values, indent=1))


def fail(text: str, code: int) -> None:
    """One line, and the exit code."""
    say(f"neuronatlas: {text}")
    raise SystemExit(code)
