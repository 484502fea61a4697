"""Do the weights of a network look trained, or as they were drawn before training?

Weights that were drawn are independent of each other and alike in every place. Then the mean, and the mean square, of a
unit's weights (or of an input's, or of a place's in the kernel) differ between units only by chance: their variance is
known from that of single weights, and the observed one has a chi-squared distribution around it. Training makes some
units and inputs strong and others weak, neighbours in a kernel alike, and tails heavy. For each tensor the greatest of
these deviations is taken, in standard errors.

The threshold, measured: 150 drawn tensors (uniform, normal, normal cut at two standard deviations; of 1,280 to 2 million
weights) reach 3.7. Of EfficientNet-Lite0, 1, 2 and MobileNet-V2 every tensor of at least 1,000 weights lies above 6, every
one of at least 20,000 above 23. The last layer of a network that tells digits, of 1,280 weights, lies below 5 although it
was trained: a small tensor alone is named, and no more. Orthogonal and constant starts are recognised apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import nn

from neuronatlas.doctor.report import Finding
from neuronatlas.networks.base import Network
from neuronatlas.networks.torch import TorchNetwork

CHANCE = 5.0
"""Standard errors up to which a deviation counts as chance."""
SMALL, LARGE = 1000, 20_000
"""Weights from which a tensor counts together with others, and alone."""
MOST = 4_000_000
"""Weights of a tensor that are looked at; of a larger one every so-many-th unit."""


STATISTICS = ("running_mean", "running_var")
"""What the buffers of a batch normalisation are called; other buffers, such as a mask, may hold infinity."""


@dataclass(frozen=True)
class Look:
    """How a tensor looks: its greatest deviation from independent draws, in standard errors; spread and kurtosis."""

    deviation: float
    std: float
    kurtosis: float
    orthogonal: bool = False

    @property
    def drawn(self) -> bool:
        """Could it have been drawn, or set, before training?"""
        return self.std == 0 or self.orthogonal or self.deviation < CHANCE

    @property
    def shape(self) -> str:
        """The distribution that it looks like, of those that initialisers draw from."""
        if self.std == 0:
            return "all equal"
        if self.orthogonal:
            return "orthogonal"
        kinds = {"uniform": 1.8, "normal, cut at two standard deviations": 2.366, "normal": 3.0}
        return min(kinds, key=lambda kind: abs(kinds[kind] - self.kurtosis))


def look(weight: Float[np.ndarray, "units ..."]) -> Look:
    """How a tensor of weights looks; its first axis is that of the units, its second of the inputs."""
    kernel = weight[:: max(1, weight.size // MOST)].astype(np.float64)
    values = kernel.reshape(*kernel.shape[:2], math.prod(kernel.shape[2:]))
    std = float(values.std())
    if std == 0 or not np.isfinite(std):
        return Look(0.0, std, 0.0)
    squares = values**2
    kurtosis = float((squares**2).mean() / squares.mean() ** 2)
    deviations = [(kurtosis - 3) / math.sqrt(24 / values.size)]
    for each in (values, squares):
        for axis in range(3):
            others = tuple(other for other in range(3) if other != axis)
            deviations.append(_excess(each.mean(others), float(each.var()), values.size // values.shape[axis]))
        columns = each.reshape(len(each), -1).mean(0)
        deviations.append(_excess(columns, float(each.var()), len(each)))
    if kernel.ndim == 4 and kernel.shape[3] > 1:
        products = kernel[..., 1:] * kernel[..., :-1]
        deviations.append(abs(float(products.mean())) / float((kernel**2).mean()) * math.sqrt(products.size))
    return Look(max(deviations), std, kurtosis, _orthogonal(values.reshape(len(values), -1)))


def _excess(means: Float[np.ndarray, " groups"], variance: float, count: int) -> float:
    """By how many standard errors groups of ``count`` values differ more than chance makes them."""
    if len(means) < 2 or variance == 0:
        return 0.0
    ratio = float(means.var(ddof=1)) / (variance / count)
    return (ratio - 1) * math.sqrt((len(means) - 1) / 2)


def _orthogonal(rows: Float[np.ndarray, "n m"]) -> bool:
    """Are the rows, or the columns, of one length and at right angles? A few tell."""
    for matrix in (rows, rows.T):
        some = matrix[:64]
        lengths = np.linalg.norm(some, axis=1)
        if len(some) > 1 and len(matrix) <= matrix.shape[1] and lengths.min() > 0:
            angles = (some / lengths[:, None]) @ (some / lengths[:, None]).T - np.eye(len(some))
            if np.abs(angles).max() < 1e-4 and np.ptp(lengths) < 1e-4 * lengths.max():
                return True
    return False


def examine_weights(network: Network) -> list[Finding]:
    """Findings about the numbers that the network was given."""
    if not isinstance(network, TorchNetwork):
        rule = "weights are looked at where the network is a module of torch"
        return [Finding("weights", "note", "this framework does not show them here", rule)]
    module = network.module
    statistics = {name: value for name, value in module.named_buffers() if name.endswith(STATISTICS)}
    values = {
        name: value.detach().cpu().float().numpy()
        for name, value in (dict(module.named_parameters()) | statistics).items()
        if value.is_floating_point() and value.numel()
    }
    rule = "every weight and every statistic of a batch normalisation is a finite number"
    bad = [name for name, value in values.items() if not np.isfinite(value).all()]
    if bad:
        measured = f"{len(bad)} of {len(values)} tensors hold NaN or infinity, the first {bad[0]!r}"
        advice = "load the file of weights again, or an earlier checkpoint of the training"
        return [Finding("finite weights", "wrong", measured, rule, advice)]
    finite = Finding("finite weights", "fine", f"{len(values)} tensors are finite", rule)
    return [finite, _trained(network, values), *_batch_norms(module)]


def _trained(network: TorchNetwork, values: Mapping[str, Float[np.ndarray, "..."]]) -> Finding:
    shapes = {name: tuple(weight.shape) for name, weight in network.module.named_parameters() if weight.ndim >= 2}
    looks = {name: look(values[name]) for name, shape in shapes.items() if math.prod(shape) >= SMALL}
    last = _last(network, list(shapes))
    rule = (
        f"weights differ from independent draws by {CHANCE:g} standard errors or more, in every tensor of at least {LARGE} "
        f"weights and in half of those of {SMALL}"
    )
    if not looks:
        return Finding("weights", "note", f"no tensor has {SMALL} weights: too few to tell", rule)
    drawn = [name for name, seen in looks.items() if seen.drawn]
    alone = [name for name in drawn if values[name].size >= LARGE]
    numbers = {f"deviation of {name}": seen.deviation for name, seen in looks.items()}
    if not alone and len(drawn) <= len(looks) / 2:
        least = min((seen.deviation for name, seen in looks.items() if values[name].size >= LARGE), default=0.0)
        measured = f"{len(looks) - len(drawn)} of {len(looks)} tensors look trained" + (
            f"; the large ones differ from draws by {least:.0f} standard errors or more" if least else ""
        )
        if not drawn:
            return Finding("weights", "fine", measured, rule, values=numbers)
        named = [f"{name!r} (the last layer)" if name == last else repr(name) for name in drawn]
        measured += f"; these could be drawn: {', '.join(named)}"
        advice = "see that the file of weights has them: few weights, or little training, look the same"
        return Finding("weights", "note", measured, rule, advice, numbers)
    first = (alone or drawn)[0]
    seen = looks[first]
    biases = [value for name, value in values.items() if name.endswith("bias") and value.ndim == 1]
    constant = sum(bool(np.ptp(value) == 0) for value in biases)
    measured = (
        f"{len(drawn)} of {len(looks)} tensors look as before training, the first {first!r} ({seen.shape}, standard deviation "
        f"{seen.std:.4g}, {seen.deviation:.1f} standard errors from draws); {constant} of {len(biases)} bias vectors are constant"
    )
    advice = (
        "load the trained weights, and see that nothing initialises the network after that"
        if len(drawn) > len(looks) / 2
        else f"these were not loaded: {', '.join(repr(name) for name in (alone or drawn)[:5])}; see which names the file has"
    )
    return Finding("weights", "wrong", measured, rule, advice, numbers)


def _last(network: TorchNetwork, weights: list[str]) -> str:
    """The weight, of these, that the deepest layer with any holds; "" where none has."""
    for layer in reversed(list(network.layers)):
        held = [name for name in weights if name.startswith(f"{network.home(layer)}.")]
        if held:
            return held[-1]
    return ""


def _batch_norms(module: nn.Module) -> list[Finding]:
    """Has each batch normalisation seen data? Its statistics begin at mean 0 and variance 1."""
    found = {
        name: part
        for name, part in module.named_modules()
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None  # noqa: SLF001
    }
    if not found:
        return []
    fresh = [
        name
        for name, part in found.items()
        if part.running_mean is not None
        and part.running_var is not None
        and not part.running_mean.any()
        and bool((part.running_var == 1).all())
    ]
    rule = "the statistics of no batch normalisation are at their start, mean 0 and variance 1"
    if not fresh:
        return [Finding("batch normalisation", "fine", f"{len(found)} have seen data", rule)]
    measured = f"{len(fresh)} of {len(found)} are at their start, the first {fresh[0]!r}"
    advice = "load the buffers running_mean and running_var together with the weights"
    return [Finding("batch normalisation", "wrong", measured, rule, advice)]
