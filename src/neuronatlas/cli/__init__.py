"""The command ``neuronatlas``: results on standard output, talk on standard error, exit codes that a script can read.

0 done, 1 wrong input, 2 wrong usage, 3 partly failed, 130 interrupted. Heavy packages are imported inside the commands,
so that ``--help`` answers at once.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuronatlas.cli.build import build, slurm, verify, work
from neuronatlas.cli.compare import compare
from neuronatlas.cli.export import export
from neuronatlas.cli.figure import figure
from neuronatlas.cli.map import draw_map
from neuronatlas.cli.shared import (
    CHANNEL_ORDER,
    DEVICE,
    INPUT_SIZE,
    JSON,
    NETWORK,
    NORMALISE,
    PRESET,
    SEED,
    command,
    fail,
    index,
    load,
    print_json,
    say,
    summary,
)
from neuronatlas.cli.zoo import convert, doctor
from neuronatlas.errors import NeuronAtlasError, Unfinished
from neuronatlas.progress import reporter

if TYPE_CHECKING:
    from neuronatlas.live.serving import Server as LiveServer
    from neuronatlas.view.server import Server

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
        fail(str(error), 3 if isinstance(error, Unfinished) else 1)
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
    summary(atlas)
    print(f"Open by double click:  {index(atlas).as_uri()}")
    print(f"Or in the browser:     http://127.0.0.1:{port}/   (while this runs: {command()} view {out} --port {port})")


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
app.command()(compare)
app.command()(export)
app.command()(figure)
app.command()(build)
app.command()(work)
app.command()(slurm)
app.command()(verify)


@app.command()
def view(
    atlas: Annotated[Path, typer.Argument(help="The atlas folder.")],
    port: Annotated[int, typer.Option("--port", help="0: any free one.")] = PORT,
    host: Annotated[str, typer.Option("--host", help="The address to serve at.")] = "127.0.0.1",
    live: Annotated[
        str | None,
        typer.Option("--live", metavar="NETWORK", help="The atlas's network, to answer to pictures and render units."),
    ] = None,
    normalise: Annotated[str | None, NORMALISE] = None,
    input_size: Annotated[str | None, INPUT_SIZE] = None,
    channel_order: Annotated[str, CHANNEL_ORDER] = "rgb",
    device: Annotated[str | None, DEVICE] = None,
) -> None:
    """Serve the page of an atlas until Ctrl-C, on this machine alone unless --host says otherwise; with its network, if that is named."""
    from neuronatlas.atlas import Atlas
    from neuronatlas.building import page_of
    from neuronatlas.view.server import is_loopback, serve

    found = Atlas.open(atlas)
    if live is None:
        with serve(page_of(found).parent, port=port, host=host) as server:
            _until_interrupted(server)
        return
    from neuronatlas.live import check_packages
    from neuronatlas.live import serve as serve_live

    check_packages()
    network = load(live, normalise, input_size, channel_order, device)
    if not is_loopback(host):
        say(
            f"warning: at --host {host} others reach this server; who has the address below, with its token, may use it"
        )
    with serve_live(found, page_of(found).parent, network, port=port, host=host) as running:
        _until_interrupted(running)


def _until_interrupted(server: Server | LiveServer) -> None:
    print(f"{server.address}   (Ctrl-C ends it)", flush=True)
    with suppress(KeyboardInterrupt):
        server.wait()


def _file_name(unit: str) -> str:
    """A file name from an address: letters, digits, dots and hyphens stay, so that no name becomes a path."""
    plain = "".join(sign if (sign.isalnum() and sign.isascii()) or sign in ".-" else "_" for sign in unit)
    return plain.lstrip(".") or "_"
