"""What the commands share: their arguments, how they load, how they talk."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from neuronatlas.errors import WrongInput

if TYPE_CHECKING:
    from neuronatlas.atlas import Atlas
    from neuronatlas.networks import Network
    from neuronatlas.networks.preprocessing import Normalisation
    from neuronatlas.stimuli import StimulusSet

NETWORK = typer.Argument(
    help="A network of the zoo (efficientnet-lite0), a file (model.onnx, model.keras, a SavedModel's folder), "
    "timm:NAME, torchvision:NAME, WEIGHTS@FACTORY or file.py:function.",
    show_default=False,
)
DEVICE = typer.Option("--device", help="cpu, cuda or mps.")
INPUT_SIZE = typer.Option("--input-size", help="Pixels, one number or HEIGHTxWIDTH; default: the network's own.")
NORMALISE = typer.Option(
    "--normalise",
    help="0..1, -1..1, 0..255, imagenet, caffe, or MEAN/STD for pictures in 0..1, as 0.5,0.5,0.5/0.2,0.2,0.2.",
)
CHANNEL_ORDER = typer.Option("--channel-order", help="rgb or bgr.")
JSON = typer.Option("--json", help="Print the result as JSON.")
IMAGES = typer.Option(
    "--images",
    help="A folder of pictures (a sub-folder is a class), tar or zip files, .npy, .npz, .zarr, or hf:FOLDER.",
)
PRESET = typer.Option("--preset", help='"fast", "best" for the finest, or "lucid" for its published defaults.')
SEED = typer.Option("--seed", help="Decides every random choice.")


def load(
    name: str, normalise: str | None, input_size: str | None, channel_order: str, device: str | None = None
) -> Network:
    """The network that this word stands for; what is to be known of it is said."""
    network = loaded(name, normalise, input_size, channel_order, device)
    for note in network.notes:
        say(note)
    return network


def loaded(
    name: str, normalise: str | None, input_size: str | None, channel_order: str, device: str | None = None
) -> Network:
    """The network that this word stands for."""
    from neuronatlas import zoo

    return zoo.load(
        name,
        input_size=None if input_size is None else _size(input_size),
        normalise=None if normalise is None else _normalisation(normalise),
        channel_order=channel_order,
        device=device,
    )


def _size(text: str) -> tuple[int, int]:
    """Height and width from one number, or from HEIGHTxWIDTH."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        message = f"--input-size {text!r} must be pixels, one number or HEIGHTxWIDTH"
        raise WrongInput(message)
    return int(sides[0]), int(sides[-1])


def _normalisation(text: str) -> Normalisation:
    """A name, or a mean and a std."""
    if "/" not in text:
        return text
    try:
        mean, std = ([float(value) for value in part.split(",")] for part in text.split("/"))
    except ValueError as error:
        message = f"--normalise {text!r} must be a name or MEAN/STD, numbers with commas between, one a colour channel"
        raise WrongInput(message) from error
    return mean, std


def load_stimuli(images: Path) -> StimulusSet:
    """The pictures that ``--images`` means; which are skipped is said."""
    from neuronatlas import stimuli

    found = stimuli.find(images)
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


def summary(atlas: Atlas) -> None:
    """What an atlas holds, in a line."""
    rendered = sum(len(shard.units) for shard in atlas.plan.of("renderings"))
    stimuli = len(atlas.manifest.stimuli["names"])
    print(f"{atlas.folder}: {len(atlas.units)} units on the map, {rendered} rendered, {stimuli} stimuli")


def index(atlas: Atlas) -> Path:
    """The page of an atlas."""
    return (atlas.folder / "site" / "index.html").resolve()


def command() -> str:
    """What to type for this program: its name where the shell finds it, else its path."""
    beside = Path(sys.executable).with_name("neuronatlas")
    return "neuronatlas" if shutil.which("neuronatlas") or not beside.exists() else str(beside)
