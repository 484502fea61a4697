"""The command ``neuronatlas``: results on standard output, talk on standard error, exit codes that a script can read.

0 done, 1 wrong input, 2 wrong usage, 3 partly failed, 130 interrupted. Heavy packages are imported inside the commands,
so that ``--help`` answers at once.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuronatlas.cli.export import export
from neuronatlas.cli.map import draw_map
from neuronatlas.cli.shared import (
    CHANNEL_ORDER,
    DEVICE,
    IMAGES,
    INPUT_SIZE,
    JSON,
    NETWORK,
    NORMALISE,
    PRESET,
    SEED,
    fail,
    load,
    load_stimuli,
    print_json,
    say,
)
from neuronatlas.cli.zoo import convert, doctor
from neuronatlas.errors import AtlasDamaged, NeuronAtlasError
from neuronatlas.progress import reporter

if TYPE_CHECKING:
    from neuronatlas.atlas import Atlas
    from neuronatlas.building import Job

app = typer.Typer(
    name="neuronatlas",
    help="See what every neuron of a vision network wants to see, and which neurons fire together.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

PORT = 8765
INTERRUPTED = "interrupted: the same command goes on where it stopped, if it builds an atlas, and else begins again"


def main() -> None:
    """Run the command; what goes wrong is one line and an exit code."""
    try:
        code = app(standalone_mode=False)
    except NeuronAtlasError as error:
        fail(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        fail(INTERRUPTED, 130)
    except typer.Exit as stop:
        raise SystemExit(stop.exit_code) from None
    except OSError as error:
        fail(f"{error.filename or 'file'}: {error.strerror or error}", 1)
    except Exception as error:
        if hasattr(error, "exit_code") and hasattr(error, "show"):  # click's own: wrong usage
            error.show()
            raise SystemExit(error.exit_code) from None
        raise
    if code == 130:  # typer's answer to Ctrl-C, of which it says nothing
        fail(INTERRUPTED, 130)
    if code:  # some versions of typer return what an Exit holds, others raise it
        raise SystemExit(code)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Where the atlas goes.")] = Path("demo.atlas"),
    port: Annotated[int, typer.Option("--port", help="The port in the http:// address.")] = PORT,
) -> None:
    """Build the demonstration atlas, or finish it, and say where to look."""
    from neuronatlas import demo as demonstration
    from neuronatlas.building import perform

    say("Loading EfficientNet-Lite0 and drawing the stimuli")
    with reporter() as progress:
        job = demonstration.job()
        atlas = perform(job, out, progress=progress)
    _summary(atlas)
    print(f"Open by double click:  {_index(atlas).as_uri()}")
    print(f"Or in the browser:     http://127.0.0.1:{port}/   (while this runs: {_command()} view {out} --port {port})")


@app.command()
def layers(
    network: Annotated[str, NETWORK],
    normalise: Annotated[str | None, NORMALISE] = None,
    input_size: Annotated[str | None, INPUT_SIZE] = None,
    channel_order: Annotated[str, CHANNEL_ORDER] = "rgb",
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """List the layers: kind, units, output shape and receptive field."""
    found = load(network, normalise, input_size, channel_order)
    fields = found.receptive_fields(list(found.layers))
    rows = [
        {
            "layer": layer.name,
            "kind": layer.kind,
            "units": layer.units,
            "shape": list(layer.shape),
            "receptive_field": fields[layer.name],
        }
        for layer in found.layers.values()
    ]
    if as_json:
        print_json({"network": found.name, "layers": rows, "unusable": dict(found.unusable)})
        return
    table = [("LAYER", "KIND", "UNITS", "SHAPE", "FIELD")]
    for layer in found.layers.values():
        shape = " x ".join(str(side) for side in layer.shape)
        table.append((layer.name, layer.kind, str(layer.units), shape, f"{fields[layer.name]} px"))
    widths = [max(len(line[column]) for line in table) for column in range(5)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for name, reason in found.unusable.items():
        say(f"{name} cannot be used: {reason}")


@app.command()
def render(
    network: Annotated[str, NETWORK],
    units: Annotated[list[str], typer.Argument(help="Addresses: LAYER:INDEX or LAYER:INDEX@ROW,COLUMN.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder for the pictures.")],
    preset: Annotated[str, PRESET] = "fast",
    steps: Annotated[int | None, typer.Option("--steps", help="Instead of the preset's own.")] = None,
    canvas: Annotated[int | None, typer.Option("--canvas", help="Pixels a side, instead of the layer's own.")] = None,
    restarts: Annotated[int | None, typer.Option("--restarts", help="Keep the best of so many.")] = None,
    normalise: Annotated[str | None, NORMALISE] = None,
    input_size: Annotated[str | None, INPUT_SIZE] = None,
    channel_order: Annotated[str, CHANNEL_ORDER] = "rgb",
    device: Annotated[str | None, DEVICE] = None,
    seed: Annotated[int, SEED] = 0,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Make the feature visualization of some units, one PNG each, with its settings inside."""
    from neuronatlas.rendering import render as optimise

    found = load(network, normalise, input_size, channel_order, device)
    given = (("steps", steps), ("canvas", canvas), ("restarts", restarts))
    changes: dict[str, Any] = {name: value for name, value in given if value is not None}
    with reporter() as progress:
        told = partial(progress, "pictures")
        made = optimise(found, units, preset=preset, seed=seed, progress=told, **changes)
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for unit, rendering in zip(units, made, strict=True):
        about: dict[str, Any] = {"unit": unit, "score": rendering.score, "status": rendering.status or "done"}
        if rendering.status:
            say(f"{unit} is {rendering.status}: {rendering.reason}; no picture is written")
        else:
            about["file"] = str(rendering.save(out / f"{_file_name(unit)}.png"))
        rows.append(about)
    for row in [] if as_json else rows:
        print(f"{row['unit']}  score {row['score']:.4g}  {row.get('file', row['status'])}")
    if as_json:
        print_json({"network": found.name, "renderings": rows})
    if any("file" not in row for row in rows):
        raise typer.Exit(3)


app.command("map")(draw_map)
app.command()(convert)
app.command()(doctor)
app.command()(export)


@app.command()
def build(
    network: Annotated[str, NETWORK],
    images: Annotated[Path, IMAGES],
    out: Annotated[Path, typer.Option("-o", "--out", help="The atlas folder.")],
    layer: Annotated[list[str] | None, typer.Option("--layers", help="Layers or patterns; may be repeated.")] = None,
    units: Annotated[int | None, typer.Option("--units", help="At most so many a layer; default: all.")] = None,
    preset: Annotated[str, PRESET] = "fast",
    correlation: Annotated[str, typer.Option("--correlation", help="spearman or pearson.")] = "spearman",
    normalise: Annotated[str | None, NORMALISE] = None,
    input_size: Annotated[str | None, INPUT_SIZE] = None,
    channel_order: Annotated[str, CHANNEL_ORDER] = "rgb",
    seed: Annotated[int, SEED] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would come to, and stop.")] = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Build an atlas, or go on with one that was stopped."""
    from neuronatlas.building import perform, prepare

    found = load(network, normalise, input_size, channel_order)
    stimuli = load_stimuli(images)
    job = prepare(found, stimuli, layers=layer or ["*"], units=units, preset=preset, correlation=correlation, seed=seed)
    if dry_run:
        _dry_run(job, as_json=as_json)
        return
    with reporter() as progress:
        atlas = perform(job, out, progress=progress)
    if as_json:
        print_json(
            {"atlas": str(out), "page": str(_index(atlas)), "skipped": [list(entry) for entry in stimuli.skipped]}
        )
        return
    _summary(atlas)
    print(_index(atlas).as_uri())


@app.command()
def view(
    atlas: Annotated[Path, typer.Argument(help="The atlas folder.")],
    port: Annotated[int, typer.Option("--port", help="0: any free one.")] = PORT,
) -> None:
    """Serve the page of an atlas on this machine alone, until Ctrl-C."""
    from neuronatlas.atlas import Atlas
    from neuronatlas.building import page_of
    from neuronatlas.view.server import serve

    index = page_of(Atlas.open(atlas))
    with serve(index.parent, port=port) as server:
        print(f"{server.address}   (Ctrl-C ends it)", flush=True)
        with suppress(KeyboardInterrupt):
            server.wait()


@app.command()
def verify(
    atlas: Annotated[Path, typer.Argument(help="The atlas folder.")],
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Check every shard of an atlas against its sha256; exit 1 when one is absent or damaged."""
    from neuronatlas.atlas import Atlas

    opened = Atlas.open(atlas)
    states = {shard.name: opened.state(shard) for shard in opened.plan}
    bad = {name: state for name, state in states.items() if state != "whole"}
    if as_json:
        print_json({"shards": len(states), "bad": bad})
    else:
        for name, state in bad.items():
            print(f"{name}  {state}")
    if bad:
        message = f"{len(bad)} of {len(states)} shards are not whole: run the build again, it makes these alone"
        raise AtlasDamaged(message)
    if not as_json:
        print(f"{len(states)} shards, all whole")


def _dry_run(job: Job, *, as_json: bool) -> None:
    from neuronatlas.building import estimate

    about = estimate(job)
    if as_json:
        print_json(vars(about))
        return
    print(f"{about.units} units, {about.rendered} to render, {len(job.stimuli)} stimuli, {about.shards} shards")
    print(f"about {about.seconds / 3600:.2f} hours and {about.bytes / 1e9:.2f} GB on this machine")


def _summary(atlas: Atlas) -> None:
    rendered = sum(len(shard.units) for shard in atlas.plan.of("renderings"))
    stimuli = len(atlas.manifest.stimuli["names"])
    print(f"{atlas.folder}: {len(atlas.units)} units on the map, {rendered} rendered, {stimuli} stimuli")


def _index(atlas: Atlas) -> Path:
    return (atlas.folder / "site" / "index.html").resolve()


def _file_name(unit: str) -> str:
    """A file name from an address: letters, digits, dots and hyphens stay, so that no name becomes a path."""
    plain = "".join(sign if (sign.isalnum() and sign.isascii()) or sign in ".-" else "_" for sign in unit)
    return plain.lstrip(".") or "_"


def _command() -> str:
    """What to type for this program: its name where the shell finds it, else its path."""
    beside = Path(sys.executable).with_name("neuronatlas")
    return "neuronatlas" if shutil.which("neuronatlas") or not beside.exists() else str(beside)
