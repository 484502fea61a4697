"""Is a network fit to be looked at? Whether its weights are trained, its value range right, and its units alive.

A picture made of an untrained network, or in a wrong value range, looks like any other; so does a picture of a dead unit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from jaxtyping import UInt8
from torch.utils._pytree import tree_leaves

from neuronatlas import stimuli
from neuronatlas.doctor.ranges import examine_range
from neuronatlas.doctor.report import Finding, Report
from neuronatlas.doctor.weights import examine_weights
from neuronatlas.errors import WrongInput
from neuronatlas.networks.base import Network
from neuronatlas.networks.modules import frozen
from neuronatlas.networks.torch import TorchNetwork
from neuronatlas.responses import Stimuli, in_colours_of, pixels
from neuronatlas.stimuli import StimulusSet

__all__ = ["Finding", "Report", "examine"]

MOST = 64
"""Pictures that are shown, at most: evenly spread over those given."""
BATCH = 8
"""Pictures whose responses are taken at once."""
DEAD = 0.5
"""The share of a layer's units that may answer all pictures alike."""


def examine(
    network: Network, pictures: Stimuli | None = None, *, progress: Callable[[str, int, int], None] | None = None
) -> Report:
    """Look at a network's weights, and at its answers to pictures: a set, a folder, or an array of uint8.

    Labels (the folders' names) that are among the network's tell most. Without pictures, the photographs that come with
    the extra ``demo`` are shown. ``progress`` is told the stage, and how many of how many of its steps are done.
    """
    findings = examine_weights(network)
    weighed = {finding.check: finding.level for finding in findings}
    findings += _mode(network)
    if weighed.get("finite weights") == "wrong":
        return Report(network.name, tuple(findings))
    shown, labels = _shown(network, pictures)
    findings += _repeatable(network, shown)
    alive = _alive(network, shown, None if progress is None else partial(progress, "responses"))
    findings.append(alive)
    if alive.check == "units":
        trained = weighed["weights"] == "fine" and weighed.get("batch normalisation") != "wrong"
        told = None if progress is None else partial(progress, "ranges")
        findings.append(examine_range(network, shown, labels, trained=trained, progress=told))
    return Report(network.name, tuple(findings))


def _shown(network: Network, pictures: Stimuli | None) -> tuple[UInt8[np.ndarray, "n h w c"], list[str]]:
    """The pictures at the network's size and in its colours, and their labels."""
    if isinstance(pictures, np.ndarray):
        if pictures.dtype != np.uint8:
            message = f"pictures is an array of {pictures.dtype}: give uint8 of shape (n, height, width, channels)"
            raise WrongInput(message)
        chosen = pictures[_spread(len(pictures))]
        return chosen, [""] * len(chosen)
    if pictures is None:
        items = _photographs()
        labels = [""] * len(items)
    else:
        items = pictures if isinstance(pictures, StimulusSet) else stimuli.folder(pictures)
        items = StimulusSet(tuple(items.items[number] for number in _spread(len(items))))
        labels = [item.label for item in items]
    return in_colours_of(network, pixels(network, items)), labels


def _photographs() -> StimulusSet:
    """The centre of each photograph, and two smaller crops."""
    crops = ("/1.00-row0-column0", "/0.70-row0-column1", "/0.70-row1-column0")
    return StimulusSet(tuple(item for item in stimuli.photographs() if item.name.endswith(crops)))


def _spread(count: int) -> list[int]:
    """At most `MOST` numbers below ``count``, evenly spread."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, MOST))})


def _mode(network: Network) -> list[Finding]:
    """Is it in evaluation mode? Nothing here depends on it, since every pass is made in that mode."""
    if not isinstance(network, TorchNetwork):
        return []
    training = [name or "the network" for name, part in network.module.named_modules() if part.training]
    rule = "no module is in training mode"
    if not training:
        return [Finding("evaluation mode", "fine", "every module is in it", rule)]
    measured = f"{len(training)} modules are in training mode, the first {training[0]!r}"
    advice = "nothing here depends on it: every pass is made in evaluation mode; elsewhere call module.eval()"
    return [Finding("evaluation mode", "note", measured, rule, advice)]


def _repeatable(network: Network, shown: UInt8[np.ndarray, "n h w c"]) -> list[Finding]:
    """Does it give the same answer twice? Dropout that stays on does not."""
    first, second = (_answers(network, shown[:4]) for _ in range(2))
    differences = [float(np.nanmax(np.abs(one - two), initial=0.0)) for one, two in zip(first, second, strict=True)]
    scales = [float(np.nanmax(np.abs(one), initial=0.0)) for one in first]
    worst = max(range(len(first)), key=lambda number: differences[number] - 1e-3 * scales[number])
    difference, scale = differences[worst], scales[worst]
    measured = f"two passes over the same pictures differ by {difference:.3g}, where answers reach {scale:.3g}"
    rule = "the same picture gives the same answer, within a thousandth"
    if difference <= 1e-3 * scale:
        return [Finding("repeatable", "fine", measured, rule)]
    advice = "something random is on in evaluation mode, such as functional dropout: pass training=self.training to it"
    return [Finding("repeatable", "wrong", measured, rule, advice)]


def _answers(network: Network, shown: UInt8[np.ndarray, "n h w c"]) -> list[np.ndarray]:
    """What the last layer gives and, of torch, whatever the module itself returns after it."""
    output = list(network.layers)[-1]
    found = [network.respond(shown, [output])[output]]
    if isinstance(network, TorchNetwork):
        images = torch.from_numpy(shown).permute(0, 3, 1, 2).float().to(network.device) / 255
        with torch.no_grad(), frozen(network.module):
            given = network.module(network.input.normalise(images).to(network.dtype))
        leaves = [leaf for leaf in tree_leaves(given) if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()]
        found += [leaf.float().cpu().numpy() for leaf in leaves if leaf.numel()]
    return found


def _alive(
    network: Network, shown: UInt8[np.ndarray, "n h w c"], progress: Callable[[int, int], None] | None = None
) -> Finding:
    """Are responses finite, and do units answer different pictures differently?"""
    parts: list[dict[str, np.ndarray]] = []
    for start in range(0, len(shown), BATCH):
        parts.append(network.respond(shown[start : start + BATCH], list(network.layers)))
        if progress is not None:
            progress(min(start + BATCH, len(shown)), len(shown))
    found = {name: np.concatenate([part[name] for part in parts]) for name in network.layers}
    bad = [name for name, values in found.items() if not np.isfinite(values).all()]
    if bad:
        measured = f"{len(bad)} of {len(found)} layers give NaN or infinity, the first {bad[0]!r}"
        advice = "see that normalise and the weights' type fit; half precision overflows above 65504"
        return Finding("finite responses", "wrong", measured, "every response is a finite number", advice)
    rule = f"in no layer do more than {DEAD:.0%} of the units answer all pictures alike"
    if len(shown) < 2:
        return Finding("units", "note", "one picture cannot tell", rule, "give several pictures")
    shares = {name: float((np.ptp(values, axis=0) == 0).mean()) for name, values in found.items()}
    worst = max(shares, key=lambda name: shares[name])
    units = sum(values.shape[1] for values in found.values())
    dead = sum(int((np.ptp(values, axis=0) == 0).sum()) for values in found.values())
    measured = f"{dead} of {units} units answer {len(shown)} pictures all alike; most in {worst!r}, {shares[worst]:.0%} of its units"
    numbers = {f"alike in {name}": share for name, share in shares.items() if share}
    if shares[worst] <= DEAD:
        return Finding("units", "fine", measured, rule, values=numbers)
    advice = "the value range may be wrong, or the training died there; pictures of such units show nothing"
    return Finding("units", "wrong", measured, rule, advice, numbers)
