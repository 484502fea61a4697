"""What a loop is given to do, and what it tells on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from neuronatlas.networks.base import Network
from neuronatlas.objectives import Joint, Objective
from neuronatlas.rendering.recipe import Recipe

PATIENCE = 16
"""Steps without any gradient after which a picture is given up: each sees it shifted, scaled and turned another way."""

MOMENTUM = 0.7
"""Of the last step, how much the next one keeps, for the optimiser "momentum"."""

ATTEMPTS = 3
"""How often a picture that diverges is tried, each time at a quarter of the learning rate."""

EVERY = 8
"""How often, in steps, a picture that is being made is shown to who watches."""


@dataclass(frozen=True)
class Job:
    """A picture to be made: the ``number`` of its place in the answer, and the name of its random stream."""

    number: int
    objective: Objective
    stream: str
    restart: int = 0
    attempt: int = 0


@dataclass(frozen=True, eq=False)
class Frame:
    """How a picture that is being made looks: the ``number`` of its place in the answer, after how many of its steps.

    ``score`` is the objective's value for the transformed picture in the step that led to it. Pictures of one number
    with another ``restart`` or ``attempt`` are others: of restarts the best is kept, of attempts at one that diverges the
    last.
    """

    number: int
    objective: str
    step: int
    steps: int
    image: Float[np.ndarray, "h w c"]
    score: float
    restart: int = 0
    attempt: int = 0


@dataclass(frozen=True)
class Task:
    """What the pictures of a group have in common."""

    network: Network
    recipe: Recipe
    seed: int
    layers: tuple[str, ...]
    tile: int
    means: bool  # every objective is the mean of one unit of the one layer
    placed: bool  # positions of a map count, so the network must see the canvas in its own size
    joint: Joint | None = None
