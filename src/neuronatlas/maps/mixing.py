"""How a sketch mixes stimuli: 32 at a time, with random signs, into 32 of its sums."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float32, Float64, Int64

from neuronatlas.errors import WrongInput

MIXED = 32
"""Stimuli that are mixed with each other."""


@dataclass(frozen=True, eq=False)
class Group:
    """The stimuli of a table, ``first`` up to ``last``, that are mixed with each other, and how.

    ``place`` is that of the first among the 32; ``signs`` are those of the stimuli, ``turned`` those of the ``sums`` that
    the mixtures are added to.
    """

    first: int
    last: int
    place: int
    signs: Float64[np.ndarray, "32"]
    sums: Int64[np.ndarray, "32"]
    turned: tuple[bool, ...]


def groups_of(start: int, stimuli: int, seed: int, size: int) -> list[Group]:
    """How the stimuli from ``start`` on are mixed, by their numbers and the seed alone."""
    if size < MIXED or size % MIXED or seed < 0 or start < 0:
        message = f"size (={size}) must be a multiple of {MIXED}, seed (={seed}) and start (={start}) must be 0 or more"
        raise WrongInput(message)
    groups = []
    number = start
    while number < start + stimuli:
        block, place = divmod(number, size)
        inside = place % MIXED
        last = min(number - inside + MIXED, start + stimuli)
        sums, signs, turned = _draw(seed, block, size)
        some = slice(place - inside, place - inside + MIXED)
        groups.append(
            Group(number - start, last - start, inside, signs[some], sums[some], tuple(turned[some].tolist()))
        )
        number = last
    return groups


@lru_cache(maxsize=4)
def _draw(seed: int, block: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A permutation of the sums, signs of the stimuli of a block, and which sums are turned.

    Of the raw numbers of PCG64 alone, which no version of numpy changes.
    """
    raw = np.random.PCG64(np.random.SeedSequence([seed, block])).random_raw(3 * size).reshape(3, size)
    half = np.uint64(2**63)
    return np.argsort(raw[0], kind="stable"), np.where(raw[1] < half, 1.0, -1.0), raw[2] < half


def add_mixed(
    found: Float32[np.ndarray, "sums units"],
    sums: Int64[np.ndarray, " sums"],
    group: Group,
    table: Float64[np.ndarray, "stimuli units"],
) -> None:
    """Mix the rows of a group and add them, in place, to what is ``found`` for ``sums``."""
    mixed = np.zeros((MIXED, table.shape[1]), dtype=np.float32)
    some = slice(group.place, group.place + len(table))
    np.multiply(table, group.signs[some, None], out=mixed[some], casting="same_kind")
    half = 1
    while half < MIXED:  # the fast Hadamard transform: sums and differences of pairs, five times
        pairs = mixed.reshape(MIXED // (2 * half), 2, half, -1)
        difference = pairs[:, 0] - pairs[:, 1]
        pairs[:, 0] += pairs[:, 1]
        pairs[:, 1] = difference
        half *= 2
    for place, row, turned in zip(np.searchsorted(sums, group.sums), mixed, group.turned, strict=True):
        if turned:
            found[place] -= row
        else:
            found[place] += row
