"""Where in what each call of a module gives the samples and the units lie."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from neuronatlas.networks.modules import only_copies

Call = tuple[str, int]
"""The name of a module, and which of its calls, from 0."""

SHOWN = 8
"""Names that a note gives before it only counts."""

_CHANNELS_FIRST_FILES = {f"torch.nn.modules.{name}" for name in ("conv", "batchnorm", "instancenorm", "pooling")}
_CHANNELS_FIRST = (nn.GroupNorm, nn.LocalResponseNorm, nn.Upsample, nn.PixelShuffle, nn.PixelUnshuffle)
_CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.RNNBase, nn.MultiheadAttention)


@dataclass(frozen=True)
class Place:
    """What is read of one call: the tensor number ``leaf`` of its output, of ``axes`` axes.

    ``samples`` is its axis of samples. With these moved to the front, ``units`` is the axis of units, ``width`` of them;
    ``plain`` says whether that is known. ``passed_on``: the tensor is what the module was given or another gave.
    """

    leaf: int
    axes: int
    samples: int
    units: int
    width: int
    plain: bool
    passed_on: bool

    def means(self, leaf: object) -> np.ndarray | None:
        """A table (samples, units) of means over all positions; None where ``leaf`` is not as it was."""
        if not isinstance(leaf, Tensor) or leaf.ndim != self.axes:
            return None
        values = leaf.movedim(self.samples, 0)
        if values.shape[self.units] != self.width:
            return None
        positions = [axis for axis in range(1, values.ndim) if axis != self.units]
        rows = values.float().mean(positions) if positions else values.float()
        return np.array(rows.cpu().numpy())


@dataclass(frozen=True)
class _Seen:
    """A tensor, how often it had been written to, and its axis of units once the samples are at the front."""

    tensor: weakref.ref[Tensor]
    version: int
    units: int


class Scout:
    """Forward hooks of a run of ``count`` samples that compare the shapes with those, ``earlier``, of ``before`` samples.

    The axis of samples is the only one that differs, and is as long as the samples are many. The units of a convolution,
    a pooling and their norms lie on the second axis, those of a dense, recurrent, attention or embedding layer and of a
    layer norm on the last. What keeps the shape of a tensor it was given keeps its axis of units; elsewhere it is that
    one of these two which is as long as the units of the layer before are many. Where both are or neither is, it is
    taken to be the last of three axes and the second of four or more.
    """

    def __init__(self, earlier: Mapping[Call, list[tuple[int, ...]]], before: int, count: int) -> None:
        self.earlier, self.before, self.count = earlier, before, count
        self.calls: Counter[str] = Counter()
        self.places: dict[Call, Place] = {}
        self.left: list[Call] = []
        self._given: list[list[tuple[Tensor, int]]] = []
        self._seen: list[_Seen] = []
        self._layer: tuple[bool, int] | None = None

    def title(self, call: Call) -> str:
        """The name of a call: the module's, and which call it is where there are several."""
        return call[0] if self.calls[call[0]] == 1 else f"{call[0]}#{call[1]}"

    def enter(self, inputs: tuple[object, ...]) -> None:
        """Keep how often the tensors that a module is given had been written to."""
        self._given.append([(each, _version(each)) for each in inputs if isinstance(each, Tensor)])

    def leave(self, name: str, module: nn.Module, output: object) -> None:
        """Find the first tensor of ``output`` with an axis of samples."""
        call = name, self.calls[name]
        self.calls[name] += 1
        given = self._given.pop()
        leaves = pytree.tree_leaves(output)
        for number, (leaf, shape) in enumerate(zip(leaves, self.earlier.get(call, []), strict=False)):
            samples = self._samples(leaf, shape)
            if samples is not None:
                place = self._place(module, number, samples, leaf, given)
                self._seen.append(_Seen(weakref.ref(leaf), _version(leaf), place.units))
                self.places[call] = place
                return
        if any(isinstance(leaf, Tensor) for leaf in leaves):
            self.left.append(call)

    def _samples(self, leaf: object, shape: tuple[int, ...]) -> int | None:
        """The axis of samples of ``leaf``, of which ``shape`` is that of the earlier run; None where there is none."""
        if not isinstance(leaf, Tensor) or not leaf.is_floating_point() or not 1 < leaf.ndim == len(shape):
            return None
        differ = [axis for axis in range(leaf.ndim) if leaf.shape[axis] != shape[axis]]
        if [(shape[axis], leaf.shape[axis]) for axis in differ] != [(self.before, self.count)]:
            return None
        return differ[0]

    def _place(
        self, module: nn.Module, number: int, samples: int, leaf: Tensor, given: list[tuple[Tensor, int]]
    ) -> Place:
        known = [*given, *((each.tensor(), each.version) for each in self._seen)]
        kept = any(tensor is leaf and version == _version(leaf) for tensor, version in known)
        passed_on = only_copies(module) or (kept and not getattr(module, "inplace", False))
        values = leaf.movedim(samples, 0)
        sources = [leaf, *(tensor for tensor, _ in given if tensor.shape == leaf.shape)]
        units, plain = self._units(module, values, sources)
        return Place(number, leaf.ndim, samples, units, values.shape[units], plain, passed_on)

    def _units(self, module: nn.Module, values: Tensor, sources: Iterable[Tensor]) -> tuple[int, bool]:
        """The axis of units of ``values``, whose first are the samples, and whether it is known."""
        last = values.ndim - 1
        first = isinstance(module, _CHANNELS_FIRST) or any(
            base.__module__ in _CHANNELS_FIRST_FILES for base in type(module).__mro__
        )
        if first or isinstance(module, _CHANNELS_LAST):
            axis = 1 if first else last
            self._layer = first, values.shape[axis]
            return axis, True
        if last == 1:
            return 1, True
        for source in sources:
            for seen in reversed(self._seen):
                if seen.tensor() is source:
                    return seen.units, True
        first, width = self._layer or (False, 0)
        fitting = [axis for axis in (1, last) if values.shape[axis] == width]
        if len(fitting) == 1:
            return fitting[0], True
        return (1 if last > 2 else 2), first and last > 2

    def notes(self, plan: Collection[Call], *, every: bool) -> tuple[str, ...]:
        """What the reader should know of the calls of ``plan``, and where ``every`` was asked for, of those left out."""
        notes = []
        if every and self.left:
            names = _listed([self.title(call) for call in self.left])
            notes.append(f"left out, as no tensor of theirs has one row a sample: {names}")
        unsure = [self.title(call) for call in plan if not self.places[call].plain]
        if unsure:
            notes.append(
                f"it is not plain which axis holds the units, and some may be positions, of: {_listed(unsure)}"
            )
        return tuple(notes)


def shapes(output: object) -> list[tuple[int, ...]]:
    """The shape of each leaf of ``output``, () where it is no tensor."""
    return [tuple(leaf.shape) if isinstance(leaf, Tensor) else () for leaf in pytree.tree_leaves(output)]


def _version(tensor: Tensor) -> int:
    """How often a tensor has been written to; torch does not count it in inference mode."""
    return 0 if tensor.is_inference() else tensor._version  # noqa: SLF001 - it has no public name


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
