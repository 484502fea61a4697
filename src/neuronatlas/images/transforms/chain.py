"""Transforms in turn, and the fusion of those of them that one sampling can do.

Two interpolations in turn smooth a picture twice, and one in their place does not: it would give other values. So a run
of geometric members is fused where exactly one of them interpolates (`Affine`, `Rotate`, `Scale`, `Crops`) and the others
move whole pixels, and the values stay what they were but for rounding:

* before it, `Flip`: every border rule looks the same from both sides;
* before it, `Pad` with a constant, and `Jitter` that can cut no deeper than the frame that is there: what they leave is
  the picture and nothing but ``value`` around it, which the sampling supplies, if what the interpolating member takes
  from outside is ``value`` too, by its constant or, where the frame cannot be gone, as the last pixel;
* after it, `Jitter` and `Flip`: they choose among its pixels.

These stay as they are: a mirrored `Pad` and a `Jitter` of the picture itself before an interpolating member (its border
rule would see what they hide), any `Pad` after one (a sampling has one border, that of the picture), a second
interpolating member, runs of whole pixels alone (nothing is interpolated, and cutting is exact and cheap), and all that is
not geometric.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from neuronatlas.errors import WrongInput
from neuronatlas.images.transforms.base import Named, Part
from neuronatlas.images.transforms.geometry import Border, Geometric, Interpolating, Move, sample, whole_pixels
from neuronatlas.images.transforms.moving import Flip, Jitter, Pad


@dataclass(frozen=True)
class Nothing(Named):
    """No transform."""

    name: ClassVar[str] = "none"
    views: ClassVar[int] = 1
    shared: ClassVar[bool] = False
    columns: ClassVar[int] = 0

    def draw(self, steps: int, generator: torch.Generator) -> Tensor:
        """Nothing is random: no columns."""
        del generator
        return torch.zeros((steps, 0))

    def __call__(self, images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n 0"]) -> Float[Tensor, "n c h w"]:
        """The pictures as they are."""
        del draws
        return images


class Sequential(Named):
    """The members' draws side by side: those of a member behind a view of several have columns for each view."""

    parts: tuple[Part, ...]

    @property
    def views(self) -> int:
        """The product of the members' views."""
        return math.prod(part.views for part in self.parts)

    @property
    def columns(self) -> int:
        """All columns of all members."""
        return sum(part.columns * before for part, before in self.views_before())

    def draw(self, steps: int, generator: torch.Generator) -> Tensor:
        """What the members draw, one after the other."""
        drawn = [
            member.draw(steps * before * inner, generator).view(steps, before * inner * member.columns)
            for part, before in self.views_before()
            for member, inner in _members(part)
        ]
        return torch.cat([torch.zeros((steps, 0)), *drawn], 1)

    def views_before(self) -> Iterator[tuple[Part, int]]:
        """Each member, and how many pictures it is given for one that goes in."""
        before = 1
        for part in self.parts:
            yield part, before
            before *= part.views

    def _split(self, draws: Tensor) -> list[Tensor]:
        """The draws of each member, of shape (n * the views before it, its columns)."""
        if draws.shape[1] != self.columns:
            message = f"draws (of shape {tuple(draws.shape)}) must have {self.columns} columns, those of draw()"
            raise WrongInput(message)
        own, start = [], 0
        for part, before in self.views_before():
            sides = []
            for member, inner in _members(part):
                width = before * inner * member.columns
                sides.append(draws[:, start : start + width].reshape(len(draws) * before, inner * member.columns))
                start += width
            own.append(torch.cat(sides, 1))
        return own


def _members(part: Part) -> list[tuple[Part, int]]:
    """The members of a fused run, whose columns stand where the chain had them, with the views before each."""
    return list(part.views_before()) if isinstance(part, Fused) else [(part, 1)]


@dataclass(frozen=True)
class Chain(Sequential):
    """The members in turn.

    If one of them is shared, all are: the first row of the draws then serves the whole batch. Behind a member of several
    views, each view has draws of its own, but for a shared member, which takes those of the first.
    """

    name: ClassVar[str] = "chain"

    parts: tuple[Part, ...] = ()

    @property
    def shared(self) -> bool:
        """Whether a member is."""
        return any(part.shared for part in self.parts)

    def __call__(self, images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n k"]) -> Float[Tensor, "m d H W"]:
        """The pictures transformed: m = n * views, the views of a picture next to each other."""
        if not self.shared:
            for part, own in zip(self.parts, self._split(draws), strict=True):
                images = part(images, own)
            return images
        number, views = len(images), 1
        for part, own in zip(self.parts, self._split(draws[:1]), strict=True):
            if isinstance(part, Geometric) and views == 1:
                images = part.alike(images, own)
            elif isinstance(part, Fused):  # as in the run that it stands for, each view has draws of its own
                images = part.apply(images, own.repeat(number, 1))
            else:
                images = part(images, own.repeat(number, 1))
            views *= part.views
        return images


@dataclass(frozen=True)
class Fused(Sequential, Geometric):
    """A run of geometric members, exactly one of which interpolates, in one sampling: see `fuse`.

    The values are those of ``Chain(parts)`` on the same draws, but for rounding. Raises `WrongInput` for any other run.
    """

    name: ClassVar[str] = "fused"

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        """Check that the run fuses."""
        if not self.parts or _fusible(self.parts) < len(self.parts):
            names = ", ".join(str(part.settings["name"]) for part in self.parts)
            message = f"parts (={names}) must be a run that one sampling can do: make it with fuse()"
            raise WrongInput(message)

    @property
    def shared(self) -> bool:
        """Whether a member is."""
        return any(part.shared for part in self.parts)

    def move(self, size: tuple[int, int], draws: Float[Tensor, "n k"]) -> Move:
        """All moves as one."""
        move = whole_pixels(size, torch.zeros((len(draws), 2), dtype=torch.float64))
        for part, own in zip(self.parts, self._split(draws), strict=True):
            assert isinstance(part, Geometric)
            rows = own[:1].expand(len(own), -1) if part.shared else own
            move = move.then(part.move(move.size, rows))
        return move

    def apply(self, images: Float[Tensor, "n c h w"], draws: Float[Tensor, "n k"]) -> Float[Tensor, "m c H W"]:
        """The pictures, each by its own row of the draws."""
        return sample(images, self.move((images.shape[2], images.shape[3]), draws), self._border())

    def _border(self) -> Border:
        for part in self.parts:
            if isinstance(part, Pad):
                return Border("constant", part.value)
            if isinstance(part, Interpolating):
                return part.border
        raise AssertionError


def fuse(transform: Part) -> Part:
    """A chain with its runs of geometric members as one sampling each, where that gives the same values.

    Draws and their columns stay the same. See the head of this module for what fuses. Chains within it are fused on their
    own; a single run comes back as a `Fused` without a chain around it, and what is no chain as it is.
    """
    if not isinstance(transform, Chain):
        return transform
    parts: list[Part] = []
    left = transform.parts
    while left:
        length = _fusible(left)
        parts.append(Fused(left[:length]) if length else fuse(left[0]))
        left = left[max(1, length) :]
    return parts[0] if len(parts) == 1 and isinstance(parts[0], Fused) else Chain(tuple(parts))


def _fusible(parts: Sequence[Part]) -> int:
    """How many of the first members make one run of two or more; 0 where none does."""
    value: float | None = None  # what surrounds the picture
    frame = 0  # how many pixels of it there are at least on each side
    length = 0
    for part in parts:
        if isinstance(part, Pad) and part.mode == "constant" and value in {None, part.value}:
            value, frame = part.value, frame + part.pixels
        elif isinstance(part, Jitter) and part.pixels <= frame:
            frame -= part.pixels
        elif not isinstance(part, Flip):
            break
        length += 1
    if length == len(parts) or not _joins(parts[length], value, frame):
        return 0
    length += 1
    while length < len(parts) and isinstance(parts[length], (Jitter, Flip)):
        length += 1
    return length if length > 1 else 0


def _joins(part: Part, value: float | None, frame: int) -> bool:
    """Does a member interpolate, and see outside what is there: ``value``, if not None, behind a frame of it?"""
    if not isinstance(part, Interpolating):
        return False
    if value is None or part.border == Border("constant", value):
        return True
    return part.border.rule == "edge" and frame > 0
