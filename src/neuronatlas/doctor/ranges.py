"""Is the value range that a network is shown the one that it was trained on?

The network answers the same pictures in its own normalisation and in the usual others. With labels that are among the
network's, how many it gets right is compared; without, how much its answers tell of the picture: the mutual
information between picture and answer, the entropy of the mean answer less the mean entropy of the answers. Numbers
that are larger alone make every answer sharper where no batch normalisation undoes it. So each range's answers are
softened or sharpened first, by the temperature at which their mean entropy is half of the most that it could be.

Measured, in bits so, on 54 crops of 18 photographs: EfficientNet-Lite0 2.98 in its own range (-1..1), 3.05 in 0..1, 2.90 in
"imagenet", 2.22 in 0..255; MobileNet-V2 3.02 in its own ("imagenet"), 3.06 in -1..1, 3.00 in 0..1, 1.53 in 0..255. So
neighbouring ranges cannot be told apart without labels; nor can the order of colours. A fifth more counts as clearly better,
yet it is no proof: networks that tell digits give photographs up to twice as much in another range than in their own, and
drawn weights three times. What the first batch normalisation gets has the spread that it had in the training only in
about the right range. So both together show a wrong one, and all else without labels is a note.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.stats import binomtest
from torch import nn

from neuronatlas.doctor.report import Finding
from neuronatlas.networks.base import InputSpec, Network
from neuronatlas.networks.preprocessing import CHANNEL_ORDERS, NORMALISATIONS, Given
from neuronatlas.networks.torch import TorchNetwork

CLEARLY = 1.2
"""How many times as much information another range must give."""
CERTAIN = 0.01
"""The probability of so many more right answers by chance, at most (sign test of the pictures on which they differ)."""
LABELLED = 10
"""Pictures with a label of the network's that it takes to count right answers."""
GROSS, NEAR = 8.0, 4.0
"""How many times too wide or too narrow a spread shows a wrong range, and how many a right one may be off."""
LEAST = 0.05
"""Bits below which the answers hardly depend on the picture."""

Pictures = UInt8[np.ndarray, "n h w c"]


@dataclass(frozen=True)
class Trial:
    """A range, with the information that the answers give in it, and which are right (none without labels).

    ``information`` is at the common mean entropy, ``plain`` as the network answers. ``spread``: how many times as wide as
    in the training the input of the first batch normalisation spreads; NaN where there is none.
    """

    name: str
    information: float
    right: np.ndarray
    plain: float = 0.0
    spread: float = math.nan


def examine_range(
    network: Network,
    pictures: Pictures,
    labels: list[str],
    *,
    trained: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Finding:
    """About the value range and, with labels, the order of colours; ``trained``: are the weights known to look so?

    ``progress`` is told how many of how many ranges are done.
    """
    output = list(network.layers)[-1]
    units = network.layers[output].units
    if units < 2 or len(pictures) < 2:
        measured = f"cannot be told: the output {output!r} has {units} units, and {len(pictures)} pictures were shown"
        rule = "it takes an output of two units and two pictures"
        return Finding("value range", "note", measured, rule, "see what it was trained on")
    wanted = _numbers(network.labels, labels) if len(network.labels) == units else {}
    labelled = len(wanted) >= LABELLED
    orders = CHANNEL_ORDERS if labelled and network.input.channels == 3 else (network.input.channel_order,)
    specs = [("as given", network.input)] + [
        (f"{name}, {order}" if len(orders) > 1 else name, spec) for name, spec, order in _others(network.input, orders)
    ]
    trials = []
    for name, spec in specs:
        trials.append(_try(network, spec, name, pictures=pictures, wanted=wanted))
        if progress is not None:
            progress(len(trials), len(specs))
    own, *others = trials
    if labelled:
        check = "value range and order of colours" if len(orders) > 1 else "value range"
        return by_labels(check, own, others, len(wanted))
    return by_information(own, others, len(pictures), trained=trained)


def by_labels(check: str, own: Trial, others: list[Trial], count: int) -> Finding:
    """Compare how many are right."""
    rule = f"no usual other one gets more right, so that chance makes any do so in less than {CERTAIN:g} of cases"
    numbers: dict[str, float | str] = {f"right, {each.name}": float(each.right.mean()) for each in (own, *others)}
    best = max(others, key=lambda each: each.right.sum(), default=own)
    gained, lost = int((best.right & ~own.right).sum()), int((own.right & ~best.right).sum())
    measured = f"{own.right.sum()} of {count} labelled pictures are right as given, {best.right.sum()} in {best.name!r}"
    if gained <= lost:
        return Finding(check, "fine", measured, rule, values=numbers)
    if binomtest(gained, gained + lost, alternative="greater").pvalue < CERTAIN / len(others):
        return Finding(check, "wrong", measured, rule, _advice(best), numbers)
    advice = "these cannot be told apart on so few pictures: see what it was trained on, or give more"
    return Finding(check, "note", measured, rule, advice, numbers)


def by_information(own: Trial, others: list[Trial], count: int, *, trained: bool) -> Finding:
    """Compare how much the answers tell."""
    rule = (
        f"no usual other one gives {CLEARLY:g} times the information about which of {count} pictures was shown, at the same "
        f"mean entropy, while what the first batch normalisation gets spreads more than {GROSS:g} times too far or too little; "
        "without labels, neighbouring ranges and the order of colours cannot be told apart, nor much else where there is no "
        "batch normalisation"
    )
    numbers: dict[str, float | str] = {f"bits, {each.name}": each.information for each in (own, *others)}
    numbers |= {f"spread, {each.name}": each.spread for each in (own, *others) if not math.isnan(each.spread)}
    best = max(others, key=lambda each: each.information, default=own)
    measured = f"the answers give {own.information:.2f} bits as given, {best.information:.2f} in {best.name!r}"
    if not math.isnan(own.spread):
        measured += f"; the first batch normalisation gets {own.spread:.2g} times the spread of its training"
    if own.plain < LEAST:
        measured = f"cannot be told: the answers hardly depend on the picture ({own.plain:.2g} bits)"
        advice = (
            "the weights may be untrained, the pictures of another kind than those of the training (--images), or the range "
            "far off: see what it was trained on"
        )
        return Finding("value range", "note", measured, rule, advice, numbers)
    if best.information <= CLEARLY * own.information:
        advice = "give pictures in folders that are named as the network's labels, and these are told apart too"
        return Finding("value range", "note", measured, rule, advice, numbers)
    fitting = [
        each for each in others if each.information > CLEARLY * own.information and 1 / NEAR <= each.spread <= NEAR
    ]
    if trained and fitting and not 1 / GROSS <= own.spread <= GROSS:
        names = " or ".join(repr(each.name) for each in fitting)
        advice = f"see what it was trained on; of the usual ones {names} would fit"
        return Finding("value range", "wrong", measured, rule, advice, numbers)
    advice = (
        "that does not show which is right: a network that is untrained, or sees pictures of another kind than those of its "
        "training, does the same. See what it was trained on, or give labelled pictures"
    )
    return Finding("value range", "note", measured, rule, advice, numbers)


def _advice(best: Trial) -> str:
    name, _, order = best.name.partition(", ")
    return f"see what it was trained on; if you do not know, give normalise {name!r}" + (
        f" and channel_order {order!r}" if order else ""
    )


def _others(spec: InputSpec, orders: tuple[str, ...]) -> list[tuple[str, InputSpec, str]]:
    """The usual ranges that differ from the network's own by more than a hundredth of its scale."""
    found = []
    for order in orders:
        for name, (mean, _) in NORMALISATIONS.items():
            if len(mean) not in (1, spec.channels):
                continue
            other = Given(spec.size, name, order).spec(channels=spec.channels)
            own, its = (
                np.array(
                    [[(value - mean) / std for mean, std in zip(each.mean, each.std, strict=True)] for value in (0, 1)]
                )
                for each in (spec, other)
            )
            far = bool(np.abs(own - its).max() > 0.01 * np.ptp(own))
            if far or order != spec.channel_order:
                found.append((name, other, order))
    return found


def _try(network: Network, spec: InputSpec, name: str, *, pictures: Pictures, wanted: dict[int, set[int]]) -> Trial:
    """The network's answers to pictures in another range."""
    output = list(network.layers)[-1]
    with torch.no_grad():
        shown = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        if spec != network.input:  # what the network's own normalisation makes into what the other would have made
            shown = spec.normalise(shown)
            shown = shown.flip(1) if network.input.channel_order == "bgr" else shown
            mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (network.input.mean, network.input.std))
            shown = shown * std + mean
    with _first_batch_norm(network) as spread:
        answers = network.respond(shown.permute(0, 2, 3, 1).numpy(), [output])[output].astype(np.float64)
    scores = answers
    if answers.min() >= 0 and np.abs(answers.sum(1) - 1).max() <= 1e-3:  # chances already
        scores = np.log(np.maximum(answers, 1e-30))
    best = answers.argmax(1)
    right = np.array([int(best[number]) in classes for number, classes in wanted.items()], dtype=bool)
    return Trial(name, _information(scores, _temperature(scores)), right, _information(scores, 1.0), spread())


@contextmanager
def _first_batch_norm(network: Network) -> Iterator[Callable[[], float]]:
    """Inside the block, watch its input: the function tells the spread of a `Trial`, the median over its channels."""
    modules = network.module.modules() if isinstance(network, TorchNetwork) else iter(())
    part = next((each for each in modules if isinstance(each, nn.BatchNorm2d) and each.running_var is not None), None)
    if part is None:
        yield lambda: math.nan
        return
    seen: list[torch.Tensor] = []

    def look(_: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        values = given[0].detach().double()
        seen.append(torch.stack([values.mean((2, 3)), (values**2).mean((2, 3))], 1))

    def spread() -> float:
        if not seen or part.running_var is None:
            return math.nan
        mean, square = torch.cat(seen).mean(0)
        ratio = (square - mean**2) / part.running_var.double()
        return float(ratio.nanmedian().sqrt())

    hook = part.register_forward_pre_hook(look)
    try:
        yield spread
    finally:
        hook.remove()


def _chances(scores: Float[np.ndarray, "n classes"], temperature: float) -> Float[np.ndarray, "n classes"]:
    powers = np.exp((scores - scores.max(1, keepdims=True)) / temperature)
    return powers / powers.sum(1, keepdims=True)


def _information(scores: Float[np.ndarray, "n classes"], temperature: float) -> float:
    """Bits that the answers give about which picture was shown."""
    chances = _chances(scores, temperature)
    return float(_entropy(chances.mean(0, keepdims=True)).mean() - _entropy(chances).mean())


def _temperature(scores: Float[np.ndarray, "n classes"]) -> float:
    """At which the mean entropy of the answers is half of the most that it could be, within a thousandth."""
    spread = float(np.ptp(scores, axis=1).mean())
    if spread == 0:
        return 1.0
    wanted = math.log2(scores.shape[1]) / 2
    low, high = 1e-4 * spread, 1e4 * spread
    while high > 1.001 * low:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _entropy(_chances(scores, middle)).mean() < wanted else (low, middle)
    return math.sqrt(low * high)


def _entropy(chances: Float[np.ndarray, "n classes"]) -> Float[np.ndarray, " n"]:
    """In bits."""
    return -(chances * np.log2(np.maximum(chances, 1e-300))).sum(1)


def _numbers(known: tuple[str, ...], labels: list[str]) -> dict[int, set[int]]:
    """For each picture whose label is among the network's, the outputs of that label."""
    classes: dict[str, set[int]] = {}
    for number, words in enumerate(known):
        for word in {words, *words.split(",")}:
            classes.setdefault(_plain(word), set()).add(number)
    return {number: classes[_plain(label)] for number, label in enumerate(labels) if _plain(label) in classes}


def _plain(word: str) -> str:
    """Letters and digits alone, in small letters."""
    return re.sub(r"[\W_]+", " ", word).strip().lower()
