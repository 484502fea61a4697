"""Make pictures of response maps, and the page that shows them.

.venv/bin/python docs/make_map_gallery.py OUT [--quick]

Two networks are mapped: EfficientNet-Lite0 looking at photographs and drawn stimuli, and a small recurrent agent that is
trained here, in a toy world. ``--quick`` takes few stimuli and hardly trains: the pictures are then there to be counted,
not to be looked at.
"""

from __future__ import annotations

import argparse
import html
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

import neuronatlas as na
from neuronatlas.maps import ResponseMap, Responses, drawing
from neuronatlas.maps.raster import Raster
from neuronatlas.maps.scale import effect_sizes, mean_of_known, onto_deviations, onto_range, usual_level, usual_range
from neuronatlas.maps.situations import Situations, situations
from neuronatlas.stimuli import Stimulus, StimulusSet, drawn
from neuronatlas.units import Unit

LAYERS = ("blocks.2", "blocks.4", "blocks.7", "blocks.10", "blocks.14")
SHOWN = {
    "a cat": "chelsea/1.00-row0-column0",
    "a palace": "china/1.00-row0-column0",
    "grass": "grass/1.00-row0-column0",
    "a grating": "grating/orientation=045/frequency=16/colour=grey",
}
SURFACES, THINGS = ("brick", "grass", "gravel"), ("astronaut", "chelsea", "coffee", "motorcycle_left", "rocket")
WIDTH_MM, DPI = 200.0, 150


@dataclass
class Gallery:
    """The folder, and the figures made so far: file name, title, caption."""

    out: Path
    made: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, file: str, title: str, caption: str) -> Path:
        """Where to write the figure of this name, which the page will show."""
        self.made.append((file, title, caption))
        print(title, flush=True)
        return self.out / file


@dataclass(frozen=True)
class Map:
    """The places of the units that have one, and the responses they are judged by."""

    responses: Responses
    placed: np.ndarray
    positions: np.ndarray

    @classmethod
    def of(cls, responses: Responses) -> Map:
        """The default layout."""
        fitted = ResponseMap().fit(responses)
        placed = np.flatnonzero(np.isfinite(fitted.positions[:, 0]))
        return cls(responses, placed, fitted.positions[placed])

    @property
    def values(self) -> np.ndarray:
        return self.responses.values[:, self.placed].astype(np.float64)

    @property
    def units(self) -> list[Unit]:
        return [self.responses.units[unit] for unit in self.placed]

    @property
    def keys(self) -> np.ndarray:
        """The rank of each unit's name: tells apart units at one place, whatever their order."""
        ranks = np.empty(len(self.placed), dtype=np.int64)
        ranks[sorted(range(len(ranks)), key=lambda unit: (self.units[unit].layer, self.units[unit].index))] = range(
            len(ranks)
        )
        return ranks

    @property
    def layers(self) -> list[str]:
        return [unit.layer for unit in self.units]

    def grid(self, shape: str = "square") -> drawing.Grid:
        return drawing.equal_area_grid(self.positions, self.keys, shape=shape)

    def deviations(self, values: np.ndarray) -> np.ndarray:
        return onto_deviations(np.atleast_2d(values).astype(np.float64), *usual_level(self.values))

    def levels(self, rows: np.ndarray) -> np.ndarray:
        return mean_of_known(onto_range(self.values[rows], *usual_range(self.values, "percentile")))


def main(out: Path, *, quick: bool = False) -> Gallery:
    """Make all pictures in the folder ``out``, and its index.html."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    made = Gallery(out)
    network = na.load("efficientnet-lite0")
    seen = Map.of(na.record(network, _stimuli(quick=quick), layers=LAYERS))
    _responses(made, seen)
    _layers(made, seen)
    _contrast(made, seen)
    _film(made, seen, network, frames=3 if quick else 36)
    _agent(made, quick=quick)
    (out / "index.html").write_text(page(made.made), encoding="utf-8")
    return made


def _stimuli(*, quick: bool) -> StimulusSet:
    """Part of the demonstration's stimuli, those that are shown among them."""
    photographs, sketches = na.stimuli.photographs().items, na.stimuli.vision_science().items
    part = [*photographs[:: 28 if quick else 2], *sketches[:: 30 if quick else 3]]
    shown = [item for item in (*photographs, *sketches) if item.name in SHOWN.values()]
    return StimulusSet(tuple(dict.fromkeys([*shown, *part])))


def _responses(made: Gallery, seen: Map) -> None:
    """Four stimuli, drawn in three ways on one scale."""
    rows = {
        name: seen.deviations(seen.values[seen.responses.stimuli.index(stimulus)])[0]
        for name, stimulus in SHOWN.items()
    }
    ways = {
        "nearest unit": Raster(seen.positions, 800).draw,
        "near units only": Raster(seen.positions, 800, "near").draw,
        "one cell each": seen.grid().draw,
    }
    pictures = {f"{name}, {way}": draw(values) for way, draw in ways.items() for name, values in rows.items()}
    colouring = drawing.about_zero("deviation", *rows.values())
    figure, _ = drawing.small_multiples(pictures, colouring, columns=4, width_mm=WIDTH_MM)
    drawing.save_figure(
        figure,
        made.add(
            "responses.png",
            "Four stimuli on one scale",
            f"{len(seen.units)} units of five layers of EfficientNet-Lite0, laid out by how their responses to "
            f"{len(seen.responses.stimuli)} stimuli correlate. One scale for all twelve pictures; its ends hold 99 % of what "
            "is drawn. In the first row a unit at the edge of a group fills whatever lies beside it, in the second no "
            "more than units usually lie apart, in the third every unit has the same area.",
        ),
        width_mm=WIDTH_MM,
        dpi=DPI,
    )


def _layers(made: Gallery, seen: Map) -> None:
    """Which layer lies where."""
    figure = drawing.new_figure(WIDTH_MM, 72.0)
    left, middle, right = figure.subplots(1, 3)
    drawing.draw_layers(left, seen.positions, seen.layers)
    stimulus = SHOWN["a cat"]
    values = seen.deviations(seen.values[seen.responses.stimuli.index(stimulus)])[0]
    colouring = drawing.about_zero("deviation", values)
    disc = seen.grid("disc")
    shown = drawing.draw_picture(middle, disc.draw(values), colouring)
    drawing.outline_layers(middle, disc.labels, seen.layers, only=["blocks.2"])
    drawing.add_legend(shown, [middle], colouring, values)
    drawing.draw_density(right, seen.positions, 20)
    drawing.save_figure(
        figure,
        made.add(
            "layers.png",
            "Layers, their outlines, and how densely units lie",
            "Left: the layer of each unit. Middle: the response to a cat on a disc of equal cells; lines run around the "
            "cells of blocks.2. Right: units in each square of the layout.",
        ),
        width_mm=WIDTH_MM,
        dpi=DPI,
    )


def _contrast(made: Gallery, seen: Map) -> None:
    """Two sets of photographs, and their difference as effect sizes."""
    labels = np.array(seen.responses.labels)
    sets = {"surfaces": np.isin(labels, SURFACES), "things": np.isin(labels, THINGS)}
    grid = seen.grid()
    pictures = {name: grid.draw(seen.levels(inside)) for name, inside in sets.items()}
    effects = effect_sizes(seen.values[sets["surfaces"]], seen.values[sets["things"]])
    colouring = drawing.about_zero("effect", effects)
    levels = drawing.levels("percentile")
    figure, axes = drawing.first_against_second(pictures, grid.draw(effects), levels, colouring, width_mm=WIDTH_MM)
    strongest = np.argsort(-np.abs(np.nan_to_num(effects)), kind="stable")[:4]
    drawing.name_units(
        axes["surfaces − things"], grid.positions, {int(unit): str(seen.units[unit]) for unit in strongest}
    )
    counts = {name: int(inside.sum()) for name, inside in sets.items()}
    drawing.save_figure(
        figure,
        made.add(
            "contrast.png",
            "Surfaces against things",
            f"{counts['surfaces']} crops of photographs of {', '.join(SURFACES)} against {counts['things']} crops of "
            f"{', '.join(name.partition('_')[0] for name in THINGS)}: the mean of each set, and for each unit the difference "
            "of the means in pooled standard deviations, with the four units that differ most. Crops of one photograph "
            "resemble each other, so the effects say what tells these photographs apart, not all surfaces from all things.",
        ),
        width_mm=WIDTH_MM,
        dpi=DPI,
    )


def _film(made: Gallery, seen: Map, network: na.Network, frames: int) -> None:
    """A grating that turns by half a circle."""
    angles = [180.0 * frame / frames for frame in range(frames)]
    items = [
        Stimulus(f"grating at {angle:.0f} degrees", "grating", f"{angle}", partial(_grating, angle)) for angle in angles
    ]
    responses = na.record(network, StimulusSet(tuple(items)), layers=LAYERS)
    levels = seen.deviations(responses.values[:, seen.placed])
    file = made.add(
        "grating.gif",
        "A film of a turning grating",
        f"{frames} frames of a grating of 16 cycles that turns by 180 degrees (0: its bars lie). Every frame has the scale of "
        "the whole film: standard deviations of each unit's responses to the stimuli of the map.",
    )
    colouring = drawing.about_zero("deviation", levels)
    raster = Raster(seen.positions, 480, "near")
    drawing.write_film(file, map(raster.draw, levels), [item.name for item in items], colouring)


def _grating(angle: float, size: int) -> np.ndarray:
    pattern = 0.5 + 0.45 * drawn.grating(angle, 16, size)
    return np.repeat(np.rint(pattern * 255).astype(np.uint8)[:, :, None], 3, axis=2)


# The toy world and its agent.

PLAN = """
#############
#.....#.....#
#.....#.....#
#...........#
#.....#.....#
#.....#.....#
###.#####.###
#.....#.....#
#...........#
#.....#.....#
#.....#.....#
#.....#.....#
#############
"""
HOME = (3, 3)
SIGHT = 3
MOVES = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
HIDDEN = 96
WORLDS = 64


class World:
    """Many foragers, each alone in four rooms: find the food, carry it home, and again. All act at once."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.wall = np.array([[mark == "#" for mark in line] for line in PLAN.split()])
        self.free = np.argwhere(~self.wall)
        self.step_to = self._ways()
        self.place, self.food = self._anywhere(), self._anywhere()
        self.carrying = np.zeros(WORLDS, dtype=bool)
        self.bumped = np.zeros(WORLDS, dtype=bool)
        self.last = self.random.integers(0, 4, WORLDS)
        self.delivered = 0

    def _anywhere(self) -> np.ndarray:
        return self.free[self.random.integers(0, len(self.free), WORLDS)]

    def _ways(self) -> np.ndarray:
        """The first move of a shortest way from each cell to each other."""
        side = len(self.wall)
        ways = np.zeros((side, side, side, side), dtype=int)
        for goal in map(tuple, self.free):
            found, waiting = {goal}, deque([goal])
            while waiting:
                cell = waiting.popleft()
                for move, step in enumerate(MOVES):
                    before = (cell[0] - step[0], cell[1] - step[1])
                    if not self.wall[before] and before not in found:
                        found.add(before)
                        waiting.append(before)
                        ways[(*before, *goal)] = move
        return ways

    def view(self) -> np.ndarray:
        """What each forager is told: walls, food and home within three cells, through walls, whether it carries, its last move."""
        reach = np.arange(-SIGHT, SIGHT + 1)
        rows = self.place[:, 0, None, None] + reach[:, None]
        columns = self.place[:, 1, None, None] + reach[None, :]
        outside = (rows < 0) | (columns < 0) | (rows >= len(self.wall)) | (columns >= len(self.wall))
        walls = outside | self.wall[np.clip(rows, 0, 12), np.clip(columns, 0, 12)]
        food = (rows == self.food[:, 0, None, None]) & (columns == self.food[:, 1, None, None])
        food &= ~self.carrying[:, None, None]
        home = (rows == HOME[0]) & (columns == HOME[1])
        parts = [part.reshape(WORLDS, -1) for part in (walls, food, home)]
        return np.concatenate([*parts, self.carrying[:, None], np.eye(4)[self.last]], axis=1).astype(np.float32)

    def sees(self, goal: np.ndarray) -> np.ndarray:
        return (np.abs(self.place - goal) <= SIGHT).all(axis=1)

    def teacher(self) -> np.ndarray:
        """The shortest way home when carrying, to food in sight otherwise; else straight on, turning now and then."""
        goal = np.where(self.carrying[:, None], HOME, self.food)
        straight = self.place + MOVES[self.last]
        blocked = self.wall[straight[:, 0], straight[:, 1]] | (self.random.random(WORLDS) < 0.08)
        roam = np.where(blocked, self.random.integers(0, 4, WORLDS), self.last)
        known = self.carrying | self.sees(self.food)
        return np.where(known, self.step_to[self.place[:, 0], self.place[:, 1], goal[:, 0], goal[:, 1]], roam)

    def situations(self) -> dict[str, np.ndarray]:
        beside = np.stack([self.wall[tuple((self.place + step).T)] for step in MOVES]).any(axis=0)
        sees_food = self.sees(self.food) & ~self.carrying
        return {
            "carrying food": self.carrying.copy(),
            "sees food": sees_food,
            "searching": ~self.carrying & ~sees_food,
            "sees home": self.sees(np.array(HOME)),
            "next to a wall": beside,
            "has just bumped": self.bumped.copy(),
        }

    def act(self, moves: np.ndarray) -> None:
        ahead = self.place + MOVES[moves]
        self.bumped = self.wall[ahead[:, 0], ahead[:, 1]]
        self.place = np.where(self.bumped[:, None], self.place, ahead)
        self.last = moves
        home = self.carrying & (self.place == HOME).all(axis=1)
        self.delivered += int(home.sum())
        self.food = np.where(home[:, None], self._anywhere(), self.food)
        self.carrying = (self.carrying & ~home) | (~self.carrying & (self.place == self.food).all(axis=1))


class Forager(torch.nn.Module):
    """A layer of rectified units, a gated recurrent layer, and a move."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = torch.nn.Linear(3 * (2 * SIGHT + 1) ** 2 + 5, HIDDEN)
        self.memory = torch.nn.GRUCell(HIDDEN, HIDDEN)
        self.choice = torch.nn.Linear(HIDDEN, 4)

    def forward(self, view: np.ndarray, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        seen = torch.relu(self.encoder(torch.from_numpy(view)))
        state = self.memory(seen, state)
        return self.choice(state), seen, state


def _train(updates: int) -> Forager:
    """Imitate the teacher; half of the foragers act for themselves meanwhile, so that they see their own mistakes."""
    agent, world = Forager(), World(1)
    optimiser = torch.optim.Adam(agent.parameters(), lr=2e-3)
    state = torch.zeros(WORLDS, HIDDEN)
    for _ in range(updates):
        losses = []
        for _ in range(16):
            logits, _, state = agent(world.view(), state)
            told = world.teacher()
            losses.append(torch.nn.functional.cross_entropy(logits, torch.from_numpy(told)))
            own = torch.distributions.Categorical(logits=logits.detach()).sample().numpy()
            world.act(np.where(np.arange(WORLDS) % 2 == 0, told, own))
        optimiser.zero_grad()
        torch.stack(losses).mean().backward()
        torch.nn.utils.clip_grad_norm_(agent.parameters(), 1.0)
        optimiser.step()
        state = state.detach()
    return agent


def _watch(agent: Forager, steps: int) -> tuple[np.ndarray, dict[str, np.ndarray], float]:
    """The agent acting alone in worlds not trained on: its units at each step and forager, situations, deliveries in 1,000 steps."""
    world, state = World(2), torch.zeros(WORLDS, HIDDEN)
    units, found = [], []
    with torch.no_grad():
        for _ in range(steps):
            logits, seen, state = agent(world.view(), state)
            units.append(torch.cat([seen, state], dim=1).numpy().copy())
            found.append(world.situations())
            world.act(torch.distributions.Categorical(logits=logits).sample().numpy())
    inside = {name: np.concatenate([each[name] for each in found]) for name in found[0]}
    return np.concatenate(units), inside, 1000.0 * world.delivered / (steps * WORLDS)


def _by(choose: str, steps: int) -> float:
    """Deliveries in 1,000 steps by the teacher, or by chance."""
    world = World(2)
    for _ in range(steps):
        world.act(world.teacher() if choose == "teacher" else world.random.integers(0, 4, WORLDS))
    return 1000.0 * world.delivered / (steps * WORLDS)


def _agent(made: Gallery, *, quick: bool) -> None:
    """The situations of the toy agent, as expected maps and the units most selective for each."""
    steps = 20 if quick else 120
    agent = _train(3 if quick else 500)
    values, inside, delivered = _watch(agent, steps)
    units = tuple(Unit(layer, index) for layer in ("encoder", "memory") for index in range(HIDDEN))
    names = tuple(f"step {row // WORLDS} of forager {row % WORLDS}" for row in range(len(values)))
    seen = Map.of(Responses(values.astype(np.float32), units, names, ("",) * len(values)))
    early = np.arange(len(values)) % WORLDS < WORLDS // 2  # one half of the foragers chooses, the other scores
    inside = {name: members for name, members in inside.items() if members.any()}
    found = situations(seen.values, inside, fitted=early)
    raster = Raster(seen.positions, 600, "near")
    pictures = {_named(found, name): raster.draw(found.deviations[row]) for row, name in enumerate(found.names)}
    colouring = drawing.about_zero("deviation", found.deviations)
    figure, axes = drawing.small_multiples(pictures, colouring, columns=3, width_mm=240.0, room=1.5)
    for name, ax in zip(found.names, axes.values(), strict=True):
        best = found.most_selective(name, 3)
        row = found.names.index(name)
        told = {int(unit): f"{seen.units[unit]}\n{100 * found.accuracy[row, unit]:.0f} %" for unit in best}
        drawing.name_units(ax, seen.positions, told)
    chance, taught = _by("chance", steps), _by("teacher", steps)
    drawing.save_figure(
        figure,
        made.add(
            "situations.png",
            "What a small agent represents in each situation",
            f"The mean of each of {len(seen.units)} hidden units in six situations, against its mean over all "
            f"{len(values)} moments, after the figure of Jaderberg et al. (arXiv 1807.01281). The agent is a toy: it was trained "
            "by this script for less than a minute to imitate a simple teacher that fetches food in four rooms "
            f"(deliveries in 1,000 steps: the agent {delivered:.1f}, its teacher {taught:.1f}, random moves {chance:.1f}). Named "
            "are the three units that tell a situation best by one threshold each, with their balanced accuracy (50 % is "
            "chance) on foragers that did not choose the threshold. That the agent carries is one of its inputs, as "
            "is what lies within three cells, through walls; situations may overlap.",
        ),
        width_mm=240.0,
        dpi=DPI,
    )


def _named(found: Situations, name: str) -> str:
    return f"{name} ({found.counts[found.names.index(name)]} moments)"


STYLE = """
:root { color-scheme: light; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 70rem; padding: 0 1rem; background: white; color: #1a1a1a; }
figure { margin: 0 0 3rem; }
img { display: block; max-width: 100%; height: auto; }
h2 { margin: 0 0 0.6rem; font-size: 1.2rem; }
figcaption { margin-top: 0.6rem; max-width: 46rem; }
"""


def page(made: list[tuple[str, str, str]]) -> str:
    """The page of these figures: file name, title, caption."""
    figures = "\n".join(
        f'<figure><h2>{html.escape(title)}</h2>\n<img src="{html.escape(file)}" alt="{html.escape(title)}">\n'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for file, title, caption in made
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Neuron Atlas: response maps</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>Response maps</h1>\n{figures}\n</body>\n</html>\n"
    )


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--quick", action="store_true")
    given = arguments.parse_args()
    main(given.out, quick=given.quick)
