"""Responses: stimuli go through a network, one number a stimulus and unit comes out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from neuronatlas.errors import WrongInput
from neuronatlas.networks.allocator import keep_pages
from neuronatlas.networks.base import Layer, Network, NotReached, layer_names
from neuronatlas.networks.pooling import Reduction, check_reduction
from neuronatlas.networks.threads import in_order, one_thread, processors
from neuronatlas.stimuli import Stimulus, StimulusSet, folder
from neuronatlas.stimuli.decoding import drawn
from neuronatlas.table import Responses
from neuronatlas.units import Unit

BATCH = 32
"""Stimuli that are drawn at once."""
SHARE = 0.5
"""Of the memory that is free, as much as a table of responses may take."""

Stimuli = StimulusSet | str | os.PathLike[str] | UInt8[np.ndarray, "n h w c"] | Float[np.ndarray, "n _ _ _"]


def record(
    network: Network,
    stimuli: Stimuli,
    *,
    layers: Iterable[str] | None = None,
    reduce: Reduction = "mean",
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> Responses:
    """The responses of every unit of ``layers`` (default: all) to every stimulus.

    ``stimuli`` is a set of them, a folder of pictures (a sub-folder is a class), or an array of the network's input
    size: uint8 of shape (n, height, width, channels), or float in 0..1 of that shape or (n, channels, height, width),
    the former where both fit. The stimuli of an array are named by their numbers. For a network of one channel the
    pictures of a set or a folder are made `grey`. ``layers`` may be one name.

    ``reduce`` is "mean" or "max" over positions; a position (row, column), counted from 0; or "none": every position is
    a neuron of its own. With the last two a unit of a map carries its position, a token that of a map of one row; a
    unit of a dense layer is itself. ``progress`` is told how many of how many stimuli are done. Responses that are not
    finite stand in the table as they are. A layer that the network does not come to with some stimuli is left out, which
    the table's ``notes`` say. ``workers``: see `recorded`.

    Raises `WrongInput`, before anything is computed, where the table would take more than `SHARE` of the free memory.
    """
    check_reduction(reduce)
    names = list(network.layers) if layers is None else layer_names(layers)
    sources = [network.layer(name) for name in names]
    shown: StimulusSet | np.ndarray
    if isinstance(stimuli, np.ndarray):
        shown = _channels_last(network, stimuli)
        titles, labels = tuple(str(number) for number in range(len(shown))), ("",) * len(shown)
    else:
        _check_source(network, stimuli)
        shown = stimuli if isinstance(stimuli, StimulusSet) else folder(Path(stimuli))
        titles, labels = tuple(item.name for item in shown), tuple(item.label for item in shown)
    if not len(shown):
        message = "stimuli is empty: give at least one picture"
        raise WrongInput(message)
    counts = [sum(1 for _ in places(layer, reduce)) * layer.units for layer in sources]
    _check_memory(len(shown), sum(counts), reduce)
    values = np.empty((len(shown), sum(counts)), np.float32)
    first = dict(zip(names, np.cumsum([0, *counts]).tolist(), strict=False))  # the first column of each layer
    notes: list[str] = []
    start = 0
    for found in _shared(network, _batches(network, shown), names, (reduce,), workers=workers, partly=True):
        stop = min(start + BATCH, len(shown))
        lost = [name for name in names if name not in found[0]]
        notes += [f"layer {name!r} is left out: it was not reached with stimuli {start} to {stop - 1}" for name in lost]
        names = [name for name in names if name not in lost]
        if not names:
            raise NotReached(lost)
        for name in names:
            values[start:stop, first[name] : first[name] + found[0][name].shape[1]] = found[0][name]
        if progress is not None:
            progress(stop, len(shown))
        start = stop
    kept = [unit.layer in set(names) for layer in sources for unit in units_of(layer, reduce)] if notes else []
    units = tuple(unit for layer in sources if layer.name in names for unit in units_of(layer, reduce))
    return Responses(values[:, kept] if notes else values, units, titles, labels, tuple(notes))


def recorded(
    network: Network,
    batches: Iterable[np.ndarray],
    layers: Iterable[str],
    *,
    reduce: Reduction = "mean",
    workers: int | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """What `Network.respond` gives for each of ``batches``, in their order: the same bytes whatever ``workers`` is.

    So many threads (default: the processors that there are) share the batches, each with one thread of computation and a
    copy of the network, where it can be copied; the batches are drawn by one of them at a time, at most two a thread
    before they are asked for. One worker is the calling thread. What a batch raises comes after the batches before it.
    """
    for (found,) in reduced(network, batches, layers, (reduce,), workers=workers):
        yield found


def reduced(
    network: Network,
    batches: Iterable[np.ndarray],
    layers: Iterable[str],
    reductions: Sequence[Reduction],
    *,
    workers: int | None = None,
) -> Iterator[tuple[dict[str, np.ndarray], ...]]:
    """As `recorded`, with several reductions from one forward pass: ("mean", "max"), for instance."""
    return _shared(network, batches, layer_names(layers), tuple(reductions), workers=workers, partly=False)


def _shared(
    network: Network,
    batches: Iterable[np.ndarray],
    layers: Sequence[str],
    reductions: Sequence[Reduction],
    *,
    workers: int | None,
    partly: bool,
) -> Iterator[tuple[dict[str, np.ndarray], ...]]:
    """The reductions of each batch; ``partly``: without the layers that it does not come to."""
    if workers is not None and workers < 1:
        message = f"workers (={workers}) must be at least 1"
        raise WrongInput(message)
    keep_pages()
    many = (workers or processors()) if network.device.type == "cpu" else 1
    with one_thread():  # what decides which copies are used
        networks = network.recorders(layers, copies=many)

    def answering(each: Network) -> Callable[[np.ndarray], tuple[dict[str, np.ndarray], ...]]:
        return lambda pictures: _reached(each, pictures, layers, reductions, partly=partly)

    yield from in_order([answering(each) for each in networks], batches)


def _reached(
    network: Network, pictures: np.ndarray, layers: Sequence[str], reductions: Sequence[Reduction], *, partly: bool
) -> tuple[dict[str, np.ndarray], ...]:
    """The responses of the layers that the network comes to; raises where it comes to none, or not to all if not ``partly``."""
    lost: list[str] = []
    while True:
        try:
            return network.reduced(pictures, [name for name in layers if name not in lost], reductions)
        except NotReached as error:
            lost += error.layers
            if not partly or len(lost) == len(layers):
                raise


def _batches(network: Network, shown: StimulusSet | np.ndarray) -> Iterator[np.ndarray]:
    if isinstance(shown, np.ndarray):
        yield from (shown[start : start + BATCH] for start in range(0, len(shown), BATCH))
    else:
        yield from (in_colours_of(network, pictures) for pictures in ahead(network, shown))


def units_of(layer: Layer, reduce: Reduction = "mean") -> Iterator[Unit]:
    """The units that a layer's columns stand for, in the order of `networks.base.pool`."""
    for index in range(layer.units):
        for place in places(layer, reduce):
            yield Unit(layer.name, index, place)


def places(layer: Layer, reduce: Reduction) -> Iterator[tuple[int, int] | None]:
    """The positions at which each unit of a layer is read; None where it is reduced over all, or has but one."""
    check_reduction(reduce)
    height, width = layer.shape[1:] if len(layer.shape) == 3 else (1, layer.shape[0])
    if reduce in ("mean", "max") or len(layer.shape) == 1:
        yield None
    elif isinstance(reduce, tuple):
        if not (0 <= reduce[0] < height and 0 <= reduce[1] < width):
            message = f"reduce (={reduce}) lies outside the map of layer {layer.name!r}, {height} x {width} positions"
            raise WrongInput(message)
        yield reduce
    else:
        yield from ((row, column) for row in range(height) for column in range(width))


def pixels(network: Network, stimuli: Iterable[Stimulus]) -> UInt8[np.ndarray, "n h w 3"]:
    """The stimuli at the network's input size; what is longer than wide is drawn square and cut at the middle."""
    return _cut(network, np.stack([item.draw(max(network.input.size)) for item in stimuli]))


def ahead(
    network: Network, stimuli: Iterable[Stimulus], *, workers: int | None = None
) -> Iterator[UInt8[np.ndarray, "n h w 3"]]:
    """What `pixels` gives, `BATCH` at a time, drawn by other threads before it is asked for."""
    for squares in drawn(stimuli, max(network.input.size), batch=BATCH, workers=workers):
        yield _cut(network, squares)


def _cut(network: Network, squares: UInt8[np.ndarray, "n side side 3"]) -> UInt8[np.ndarray, "n h w 3"]:
    (height, width), side = network.input.size, squares.shape[1]
    top, left = (side - height) // 2, (side - width) // 2
    return squares[:, top : top + height, left : left + width]


def in_colours_of(network: Network, pictures: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n h w c"]:
    """RGB pictures as the network takes them: grey for one of a single channel."""
    return grey(pictures) if network.input.channels == 1 else pictures


def grey(pictures: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n h w 1"]:
    """The luma of sRGB pictures: 0.299 R + 0.587 G + 0.114 B of the encoded values (ITU-R BT.601).

    The weights are in 65,536ths and the sum is rounded, as in Pillow's conversion to "L", with which it agrees exactly.
    """
    weights = np.array([19595, 38470, 7471], np.int64)
    return ((pictures @ weights + 32768) >> 16).astype(np.uint8)[..., None]


def free_memory() -> int | None:
    """The bytes that a process may still take without swapping; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    known = {name: amount for name, _, amount in (line.partition(":") for line in lines)}
    return int(known["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in known else None


def _check_source(network: Network, stimuli: object) -> None:
    """Refuse what is neither a set nor a folder, and a network that has no use for their colours."""
    rule = "give a StimulusSet, a folder, or an array of numpy (n, height, width, channels)"
    if not isinstance(stimuli, StimulusSet | str | os.PathLike):
        message = f"stimuli is a {type(stimuli).__module__}.{type(stimuli).__name__}: {rule}"
        raise WrongInput(message)
    if network.input.channels not in (1, 3):
        message = f"stimuli are pictures in RGB, and the network takes {network.input.channels} channels: give an array"
        raise WrongInput(message)


def _channels_last(
    network: Network, pictures: UInt8[np.ndarray, "n _ _ _"] | Float[np.ndarray, "n _ _ _"]
) -> UInt8[np.ndarray, "n h w c"] | Float[np.ndarray, "n h w c"]:
    """Pictures of an array as (n, height, width, channels)."""
    size, channels = network.input.size, network.input.channels
    real = np.issubdtype(pictures.dtype, np.floating)
    if pictures.shape[1:] == (*size, channels) and (real or pictures.dtype == np.uint8):
        found = pictures
    elif pictures.shape[1:] == (channels, *size) and real:
        found = pictures.transpose(0, 2, 3, 1)
    else:
        message = (
            f"stimuli of shape {pictures.shape} and type {pictures.dtype} do not fit the network: give uint8 or float of "
            f"shape (n, {size[0]}, {size[1]}, {channels}), or float of shape (n, {channels}, {size[0]}, {size[1]})"
        )
        raise WrongInput(message)
    known = found[np.isfinite(found)] if found.dtype != np.uint8 else found[:0]
    if known.size and (known.min() < 0 or known.max() > 1):
        message = f"stimuli hold numbers from {known.min():g} to {known.max():g}: give uint8, or float in 0..1"
        raise WrongInput(message)
    return found


def _check_memory(stimuli: int, units: int, reduce: Reduction) -> None:
    """Refuse a table that would not leave enough memory to work with it."""
    needed, free = 4 * stimuli * units, free_memory()
    if free is not None and needed > SHARE * free:
        advice = 'reduce="mean", ' if reduce == "none" else ""
        message = (
            f"a table of {stimuli} stimuli x {units} units would take {needed / 1e9:.1f} GB, more than {SHARE:.0%} of the "
            f"{free / 1e9:.1f} GB that are free: choose {advice}fewer layers or fewer stimuli"
        )
        raise WrongInput(message)
