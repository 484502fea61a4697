"""Building an atlas from the command line: here, in several processes, on a cluster, or a share at a time."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuronatlas.cli.shared import (
    CHANNEL_ORDER,
    IMAGES,
    INPUT_SIZE,
    JSON,
    NETWORK,
    NORMALISE,
    PRESET,
    SEED,
    command,
    index,
    load_stimuli,
    loaded,
    print_json,
    say,
    summary,
)
from neuronatlas.errors import AtlasDamaged, UnknownName, WrongInput
from neuronatlas.progress import reporter

if TYPE_CHECKING:
    from neuronatlas.building import Job
    from neuronatlas.executors.base import Executor
    from neuronatlas.networks import Network

ORDER = ".order.json"
"""In the folder of an atlas: the words of the command that began it, for `work`. Nothing else reads it."""
_WORDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("network", "channel_order", "images", "preset", "correlation"), (str,)),
    **dict.fromkeys(("normalise", "input_size"), (str, type(None))),
    "layers": (list,),
    "units": (int, type(None)),
    "seed": (int,),
}
"""What an order holds."""
_LATER: dict[str, Any] = {"negative": False, "diverse": 0, "crops": False}
"""What an order may hold, with what is meant where it does not."""
_EXECUTORS = ("local", "ray")


class _Source:
    """The network of a command, made anew wherever a worker is."""

    def __init__(self, **words: Any) -> None:
        self.words = words

    def __call__(self) -> Network:
        return loaded(**self.words)


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
    negative: Annotated[bool, typer.Option("--negative", help="Also a picture of what lowers each unit most.")] = False,
    diverse: Annotated[
        int, typer.Option("--diverse", help="Also so many pictures of each unit, 2 to 9, unlike each other.")
    ] = 0,
    crops: Annotated[
        bool, typer.Option("--crops/--no-crops", help="Where in its best and worst stimuli each unit answers.")
    ] = True,
    executor: Annotated[str, typer.Option("--executor", help="local, or ray for the nodes of a cluster.")] = "local",
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Processes; default: this one alone, or all that a cluster can hold."),
    ] = None,
    address: Annotated[str | None, typer.Option("--address", help="Of a running Ray cluster.")] = None,
    gpus: Annotated[float, typer.Option("--gpus", help="Of each Ray worker; may be a fraction.")] = 0.0,
    only_plan: Annotated[
        bool, typer.Option("--only-plan", help="Begin the atlas and stop: the work is done by work or slurm.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would come to, and stop.")] = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Build an atlas, or go on with one that was stopped."""
    from neuronatlas.building import perform

    chosen: Executor | None = _executor(executor, workers, address, gpus)
    order = {
        "network": network,
        "normalise": normalise,
        "input_size": input_size,
        "channel_order": channel_order,
        "images": str(images if str(images).startswith("hf:") else images.absolute()),
        "layers": layer or ["*"],
        "units": units,
        "preset": preset,
        "correlation": correlation,
        "seed": seed,
        "negative": negative,
        "diverse": diverse,
        "crops": crops,
    }
    job = _job(order, images)
    if dry_run:
        _dry_run(job, as_json=as_json)
        return
    _begin(job, out, order)
    if only_plan:
        print(
            f"{out}: {len(job.plan.shards)} shards; work on them: {command()} work {shlex.quote(str(out))} --shard I/N"
        )
        return
    with reporter() as progress:
        atlas = perform(job, out, executor=chosen, progress=progress)
    if as_json:
        skipped = [list(entry) for entry in job.stimuli.skipped]
        print_json({"atlas": str(out), "page": str(index(atlas)), "skipped": skipped})
        return
    summary(atlas)
    print(index(atlas).as_uri())


def work(
    atlas: Annotated[Path, typer.Argument(help="The atlas folder, begun by build --only-plan or by any build.")],
    shard: Annotated[str, typer.Option("--shard", help="I/N: the I-th of N shares, as in an array of jobs.")] = "1/1",
    network: Annotated[str | None, typer.Option("--network", help="Instead of the word the build began with.")] = None,
    images: Annotated[Path | None, typer.Option("--images", help="Instead of the folder the build began with.")] = None,
) -> None:
    """Do one share of an atlas; the last to end makes the page."""
    from neuronatlas.building import perform

    number, _, shares = shard.partition("/")
    if not (number.isdecimal() and shares.isdecimal()):
        message = f"--shard {shard!r} must be I/N, such as 2/16"
        raise WrongInput(message)
    order = _order(atlas)
    _trusted(atlas, order, network)
    given = order | {"network": network or order["network"]}
    job = _job(given, images or Path(order["images"]))
    with reporter() as progress:
        made = perform(job, atlas, share=(int(number), int(shares)), progress=progress)
    left = len(made.missing())
    print(
        f"{atlas}: share {shard} is done; " + (f"{left} shards are left to others" if left else "all shards are there")
    )


def slurm(
    atlas: Annotated[Path, typer.Argument(help="The atlas folder, begun by build --only-plan.")],
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Jobs in the array, a share each.")],
    cpus: Annotated[int, typer.Option("--cpus", min=1, help="Processors a job.")] = 4,
    hours: Annotated[int, typer.Option("--hours", min=1, help="The most a job may take.")] = 24,
    gpus: Annotated[int, typer.Option("--gpus", min=0, help="GPUs a job.")] = 0,
    network: Annotated[str | None, typer.Option("--network", help="For `work`, where the network is code.")] = None,
) -> None:
    """Write a Slurm script for an atlas to standard output: an array of jobs, each a share of the work."""
    _trusted(atlas, _order(atlas), network)
    again = "" if network is None else f" --network {shlex.quote(network)}"
    place = shlex.quote(str(atlas.absolute()))
    lines = [
        "#!/bin/bash",
        "#SBATCH --job-name=neuronatlas",
        f"#SBATCH --array=1-{nodes}",
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks=1",
        f"#SBATCH --cpus-per-task={cpus}",
        f"#SBATCH --time={hours}:00:00",
        *([f"#SBATCH --gpus={gpus}"] if gpus else []),
        "#SBATCH --requeue",
        "#SBATCH --output=neuronatlas-%A-%a.log",
        "",
        "# A job that is stopped or ends early loses nothing: submit the same script again.",
        f'exec {shlex.quote(command())} work {place} --shard "$SLURM_ARRAY_TASK_ID/{nodes}"{again}',
    ]
    print("\n".join(lines))


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


def _job(order: dict[str, Any], images: Path) -> Job:
    """What a command asks for, settled."""
    from neuronatlas.building import prepare

    names = ("normalise", "input_size", "channel_order")
    source = _Source(name=order["network"], **{name: order[name] for name in names})
    choices = {name: order[name] for name in ("layers", "units", "preset", "correlation", "seed", *_LATER)}
    job = prepare(source, load_stimuli(images), **choices)
    for note in job.network.notes:
        say(note)
    return job


def _begin(job: Job, folder: Path, order: dict[str, Any]) -> None:
    """The manifest, the plan and the order in the folder."""
    from neuronatlas.atlas import Atlas, write_atomically

    Atlas.create(folder, job.manifest, job.plan)
    text = json.dumps(order, indent=1) + "\n"
    place = folder / ORDER
    if not place.is_file() or place.read_text(encoding="utf-8") != text:
        write_atomically(place, text.encode())


def _order(folder: Path) -> dict[str, Any]:
    """The words that began an atlas; raises `WrongInput` where there are none."""
    from neuronatlas.atlas import Atlas
    from neuronatlas.atlas.files import read_text

    Atlas.open(folder)
    message = f"{str(folder)!r} does not say how it was begun ({ORDER}): begin it with build --only-plan"
    try:
        order = json.loads(read_text(folder / ORDER))
    except (AtlasDamaged, OSError, ValueError, RecursionError) as error:
        raise WrongInput(message) from error
    if not isinstance(order, dict):
        raise WrongInput(message)
    order = _LATER | order
    kinds = _WORDS | {word: (type(value),) for word, value in _LATER.items()}
    if not all(isinstance(order.get(word, ...), kind) for word, kind in kinds.items()):
        raise WrongInput(message)
    return order


def _trusted(folder: Path, order: dict[str, Any], given: str | None) -> None:
    """Refuse to run code because a folder names it; what is ``given`` on the command line may."""
    from neuronatlas.zoo.factories import is_factory

    word = order["network"]
    known = word.startswith(("timm:", "torchvision:")) and "@" not in word
    if given is None and is_factory(word) and not known:
        message = (
            f"the atlas in {str(folder)!r} was begun with the network {word!r}, which runs code: if you trust it, give it "
            "again with --network"
        )
        raise WrongInput(message)


def _executor(name: str, workers: int | None, address: str | None, gpus: float) -> Executor | None:
    if name not in _EXECUTORS:
        raise UnknownName("executor", name, _EXECUTORS)
    if workers is not None and workers < 1:
        message = f"--workers {workers} must be 1 or more"
        raise WrongInput(message)
    if name == "ray":
        from neuronatlas.executors.ray import Ray

        return Ray(workers, address=address, gpus=gpus)
    if address is not None or gpus:
        message = "--address and --gpus are Ray's: add --executor ray"
        raise WrongInput(message)
    if workers is None:
        return None
    from neuronatlas.executors.local import Processes

    return Processes(workers)


def _dry_run(job: Job, *, as_json: bool) -> None:
    from neuronatlas.building import estimate

    about = estimate(job)
    if as_json:
        print_json(vars(about))
        return
    print(f"{about.units} units, {about.rendered} to render, {len(job.stimuli)} stimuli, {about.shards} shards")
    print(f"about {about.seconds / 3600:.2f} hours and {about.bytes / 1e9:.2f} GB on this machine")
