"""What a build will do, settled before it begins: the manifest, the plan, and where the network comes from."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib import metadata

import numpy as np

from neuronatlas import atlas as keeping
from neuronatlas import zoo
from neuronatlas.atlas import LayerEntry, Manifest, Plan
from neuronatlas.building.statistics import BEST, SHOWN, worth_it
from neuronatlas.errors import WrongInput
from neuronatlas.maps import ResponseMap
from neuronatlas.maps.sketch import SIZE
from neuronatlas.networks.base import Network, NotReached
from neuronatlas.networks.threads import one_thread
from neuronatlas.rendering import Recipe, recipe_of
from neuronatlas.stimuli import StimulusSet

_STRETCH, _STRETCHES = 4096, 64
"""Statistics are kept of stretches of at least so many stimuli, and of so many stretches at most."""
REVISION = 1
"""Raised with each change that alters the bytes of shards: tiles, batches, what a recipe's words mean, the pooling."""
CROPS = 4
"""Best stimuli, and worst, of a unit whose crops are kept."""
DIVERSE = 9
"""Pictures of one unit that are unlike each other, at most: they are made together, and held in memory so."""
Source = Callable[[], Network]
"""Makes the network where a worker is; it has to be picklable, as a function of a module is."""


@dataclass(frozen=True)
class Job:
    """A build that is settled and not begun. ``source`` makes the network anew in other processes."""

    network: Network
    stimuli: StimulusSet
    manifest: Manifest
    plan: Plan
    recipe: Recipe
    seed: int
    source: Source


def prepare(  # noqa: PLR0913 - what one can say of a build
    network: Network | Source | str,
    stimuli: StimulusSet,
    *,
    layers: Iterable[str] = ("*",),
    units: int | None = None,
    preset: str = "fast",
    seed: int = 0,
    correlation: str | None = None,
    statistics: bool | None = None,
    negative: bool = False,
    diverse: int = 0,
    crops: bool = True,
) -> Job:
    """Settle what a build will do.

    ``network`` may be a word for `neuronatlas.load`, or a function that makes it: then workers in other processes make it
    for themselves; one that is given as it is goes to them as a copy.
    ``layers`` are names or patterns such as ``blocks.*``; every unit of each goes on the map. ``units`` bounds how many of
    a layer are rendered, evenly spread over it (None: all). ``statistics``: of the responses only their moments, the best
    and worst stimuli of each unit and a sketch are kept, and whole rows of a thousand stimuli; by default, where the
    whole table would be too large to keep. A sketch has Pearson's ``correlation`` alone, a table has "spearman" (its
    default) too.
    ``negative``: each rendered unit gets a picture of what lowers it as well. ``diverse``, from 2 to `DIVERSE`: and so
    many that raise it and are as unlike each other as it allows. ``crops``: what each rendered unit of a layer that sees
    less than the picture sees of its `CROPS` best and worst stimuli, where it answers most, or least. Raises `UnknownName` or `WrongInput`.
    """
    if not len(stimuli):
        message = "stimuli is empty: give at least one picture"
        raise WrongInput(message)
    if units is not None and units < 0:
        message = f"units (={units}) must be 0 or more"
        raise WrongInput(message)
    if diverse not in (0, *range(2, DIVERSE + 1)):
        message = f"diverse (={diverse}) must be 2 to {DIVERSE} pictures a unit, or 0 for none"
        raise WrongInput(message)
    source = _source(network)
    found = source()
    chosen = choose_layers(found, layers)
    recipe = recipe_of(preset)
    fields = found.receptive_fields(chosen)
    entries = []
    for name in chosen:
        layer = found.layer(name)
        entries.append(LayerEntry(name, layer.kind, layer.units, layer.shape, fields[name]))
    rendered = {number: spread(entry.units, units) for number, entry in enumerate(entries)}
    table = (len(stimuli), sum(entry.units for entry in entries))
    few = worth_it(*table) if statistics is None else statistics
    if few and correlation not in (None, "pearson"):
        message = (
            f"correlation {correlation!r} needs the whole table, of {table[0]} stimuli x {table[1]} units: choose "
            "'pearson', or statistics=False"
        )
        raise WrongInput(message)
    correlation = correlation or ("pearson" if few else "spearman")
    response_map = ResponseMap(correlation=correlation, seed=seed)
    manifest = Manifest(
        network={"name": found.name, "fingerprint": found.fingerprint, "input": asdict(found.input)}
        | {"probe": probe(found, chosen)},
        layers=tuple(entries),
        stimuli={
            "digest": stimuli.digest,
            "names": [item.name for item in stimuli],
            "labels": [item.label for item in stimuli],
        },
        settings={
            "revision": REVISION,
            "seed": seed,
            "reduce": "mean",
            "recipe": recipe.settings,
            "rendered": {entry.name: len(rendered[number]) for number, entry in enumerate(entries)},
            "map": {
                "correlation": correlation,
                "layout": response_map.layout,
                "perplexity": response_map.perplexity,
            },
        }
        | ({"statistics": {"best": BEST, "shown": SHOWN, "sketch": SIZE}} if few else {})
        | ({"negative": True} if negative else {})
        | ({"diverse": diverse} if diverse else {})
        | ({"crops": CROPS} if crops else {}),
        software=_software(),
    )
    manifest = Manifest.parse(manifest.text(), source="the manifest")  # tuples as a file would give them back
    each = max(_STRETCH, -(-len(stimuli) // _STRETCHES)) if few else 64
    more = [kind for kind, asked in (("negatives", negative), ("diversity", diverse)) if asked]
    seeing = {n: rendered[n] for n in rendered if crops and fields[entries[n].name] < found.input.size[1]}
    plan = keeping.plan(manifest, rendered, more=more, crops=seeing, stimuli_a_shard=each)
    return Job(found, stimuli, manifest, plan, recipe, seed, source)


def choose_layers(network: Network, patterns: Iterable[str]) -> list[str]:
    """The layers that fit any of the patterns, in the network's order; raises `UnknownName` for one that fits none."""
    chosen: set[str] = set()
    for pattern in patterns:
        fitting = fnmatch.filter([*network.layers, *network.aliases], pattern) or [pattern]
        chosen.update(network.layer(name).name for name in fitting)  # an unusable or unknown one says why
    return [name for name in network.layers if name in chosen]


def probe(network: Network, layers: Iterable[str]) -> dict[str, list[float]]:
    """What each layer answers to one picture of noise: mean and root mean square over its units' means, and its maximum.

    By it a network is known again whose code says otherwise what to do with the same weights. Layers that it does not come
    to, or whose answer is not finite, are left out.
    """
    shape = (1, *network.input.size, network.input.channels)
    picture = np.random.default_rng(0).random(shape, np.float32)
    names = list(layers)
    while names:
        try:
            with one_thread():
                means, maxima = network.reduced(picture, names, ("mean", "max"))
        except NotReached as error:
            names = [name for name in names if name not in error.layers]
        else:
            found = {}
            for name in names:
                mean = means[name].astype(np.float64)
                numbers = [mean.mean(), np.sqrt((mean**2).mean()), maxima[name].max()]
                if np.isfinite(numbers).all():
                    found[name] = [float(f"{number:.6g}") for number in numbers]
            return found
    return {}


def spread(count: int, wanted: int | None) -> tuple[int, ...]:
    """At most ``wanted`` of ``count`` indices, evenly spread, the first and the last among them."""
    if wanted is None or wanted >= count:
        return tuple(range(count))
    return tuple(int(index) for index in np.linspace(0, count - 1, wanted).round())


@dataclass(frozen=True)
class _Given:
    """A network that is there already, as a `Source`."""

    network: Network

    def __call__(self) -> Network:
        return self.network


@dataclass(frozen=True)
class _Named:
    """A network by its word, as a `Source`."""

    word: str

    def __call__(self) -> Network:
        return zoo.load(self.word)


def _source(network: Network | Source | str) -> Source:
    if isinstance(network, Network):
        return _Given(network)
    return _Named(network) if isinstance(network, str) else network


def _software() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("neuronatlas", "torch", "numpy", "scipy", "openTSNE", "pillow")}
