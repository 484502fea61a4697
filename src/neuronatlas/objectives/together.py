"""Objectives of pictures that are made together. Both are to be added."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from neuronatlas.errors import WrongInput
from neuronatlas.objectives.base import Joint, Outputs, by_unit, reading, written


def diversity(layer: str) -> Joint:
    """How unlike the styles of n pictures are: minus the sum over ordered pairs of the cosine of their Gram matrices,
    divided by n.

    Added, it makes pictures differ. It is minus Lucid's function of the same name, and so a weight published as
    ``- 1e2 * diversity`` is ``+ 1e2`` here. It lies between -(n - 1), all alike, and 0 where no output is negative.
    """

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        outputs = by_unit(seen[layer], batched=True)
        grams = (outputs @ outputs.mT).flatten(1)
        grams = grams * (grams**2).sum(1, keepdim=True).clamp(min=1e-10).rsqrt()
        alike = (grams @ grams.mT).masked_fill(torch.eye(len(grams), dtype=torch.bool, device=grams.device), 0)
        return -alike.sum() / len(grams)

    return Joint(f"diversity({layer})", reading(layer), measure)


def alignment(layer: str, decay_ratio: float = 2) -> Joint:
    """How alike neighbours in a row of pictures are: minus the mean squared difference of their outputs, summed over
    pairs of pictures up to 4 apart, each divided by ``decay_ratio`` to the power of how far they are apart.

    Added, it keeps the same things in the same places, as along an `interpolation`. As in Lucid.
    """
    if not decay_ratio > 0:
        message = f"decay_ratio (={decay_ratio}) must be above 0"
        raise WrongInput(message)

    def measure(seen: Outputs) -> Float[Tensor, ""]:
        outputs = seen[layer].flatten(1)
        accumulated = outputs.new_zeros(())
        for apart in range(1, min(5, len(outputs))):
            differences = ((outputs[apart:] - outputs[:-apart]) ** 2).mean(1)
            accumulated = accumulated + differences.sum() / decay_ratio**apart
        return -accumulated

    return Joint(f"alignment({layer}, {written(decay_ratio)})", reading(layer), measure)
