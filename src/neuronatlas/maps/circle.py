"""The projection of a map onto the disc."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

SECTORS = 100


def onto_disc(positions: Float64[np.ndarray, "units 2"]) -> Float64[np.ndarray, "units 2"]:
    """The positions pushed outwards, each along its own direction from the origin, so that they fill the unit disc.

    The rule of neural-response-map: the directions are rounded to a hundredth of a turn, and each position is divided
    by the length of (max |x|, max |y|) over all units of its sector. Every length is taken before any position moves,
    and a whole turn is the same sector as none, so the order of the units does not matter and, but for rounding errors,
    a second projection changes nothing.

    >>> onto_disc(np.array([[0.5, 0.0], [0.25, 0.0], [0.0, -2.0], [0.0, 0.0]]))
    array([[ 1. ,  0. ],
           [ 0.5,  0. ],
           [ 0. , -1. ],
           [ 0. ,  0. ]])
    """
    turns = np.arctan2(positions[:, 1], positions[:, 0]) / (2 * np.pi)
    sectors = np.rint(turns * SECTORS).astype(np.int64) % SECTORS
    reach = np.zeros((SECTORS, 2))
    np.maximum.at(reach, sectors, np.abs(positions))
    lengths = np.hypot(reach[:, 0], reach[:, 1])[sectors]
    return positions / np.where(lengths > 0, lengths, 1.0)[:, None]
