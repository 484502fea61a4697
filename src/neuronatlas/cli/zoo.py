"""``neuronatlas convert`` and ``neuronatlas doctor``: a checkpoint as a safe file, and whether a network is fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuronatlas.cli.shared import (
    CHANNEL_ORDER,
    DEVICE,
    IMAGES,
    INPUT_SIZE,
    JSON,
    NETWORK,
    NORMALISE,
    load,
    load_stimuli,
    print_json,
)
from neuronatlas.progress import reporter


def convert(
    checkpoint: Annotated[
        Path,
        typer.Argument(help="A folder with model.ckpt_*.index and .data files, or their prefix.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write: .safetensors.")],
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Write the weights of an AlexNet on ecoset, from TensorFlow's checkpoint, as one safe file."""
    from neuronatlas.zoo import alexnet_ecoset

    classes = alexnet_ecoset.convert(checkpoint, out)
    name = f"alexnet-ecoset:{out}"
    if as_json:
        print_json({"file": str(out), "network": name, "classes": classes})
    else:
        print(f"{out}  {classes} classes; the network is {name}")


def doctor(
    network: Annotated[str, NETWORK],
    images: Annotated[Path | None, IMAGES] = None,
    normalise: Annotated[str | None, NORMALISE] = None,
    input_size: Annotated[str | None, INPUT_SIZE] = None,
    channel_order: Annotated[str, CHANNEL_ORDER] = "rgb",
    device: Annotated[str | None, DEVICE] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Say whether a network is fit to be looked at: trained weights, value range, dead units. Exit 3 when not."""
    from neuronatlas.doctor import examine

    found = load(network, normalise, input_size, channel_order, device)
    pictures = None if images is None else load_stimuli(images)
    with reporter() as progress:
        report = examine(found, pictures, progress=progress)
    if as_json:
        rows = [{**vars(finding), "values": dict(finding.values)} for finding in report.findings]
        print_json({"network": report.network, "healthy": report.healthy, "findings": rows})
    else:
        print(report)
    if not report.healthy:
        raise typer.Exit(3)
