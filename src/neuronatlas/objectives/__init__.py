"""Objectives: what a rendering maximises. They add, subtract and scale: ``channel("conv5", 3) - 0.5 * channel("conv5", 9)``.

A penalty measures the plain positive quantity, as in Lucid, and is subtracted: ``channel("conv5", 3) - 0.1 *
total_variation()``. So is a distance from a target (`style`, `content`, `activation_difference`). The two `Joint`
objectives, for pictures made together, are added. The formulas are those of Lucid
(https://github.com/tensorflow/lucid, lucid/optvis/objectives.py) unless a docstring says otherwise.
"""

from __future__ import annotations

from neuronatlas.objectives.base import PICTURE, Joint, Objective, Outputs, interpolation, mean, total
from neuronatlas.objectives.custom import discover, of
from neuronatlas.objectives.directions import cosine, direction, direction_neuron, tensor_direction
from neuronatlas.objectives.pictures import (
    boundary,
    input_difference,
    l1,
    l2,
    mean_alpha,
    sharpness,
    total_variation,
)
from neuronatlas.objectives.targets import activation_difference, caricature, content, gram, outputs_of, style
from neuronatlas.objectives.together import alignment, diversity
from neuronatlas.objectives.units import channel, class_logit, deepdream, neuron, unit

__all__ = [
    # the parts
    "PICTURE", "Joint", "Objective", "Outputs",
    # units and layers
    "channel", "class_logit", "deepdream", "neuron", "unit",
    # directions
    "cosine", "direction", "direction_neuron", "tensor_direction",
    # towards a picture
    "activation_difference", "caricature", "content", "gram", "outputs_of", "style",
    # penalties on the picture
    "boundary", "input_difference", "l1", "l2", "mean_alpha", "sharpness", "total_variation",
    # several objectives, several pictures
    "alignment", "diversity", "interpolation", "mean", "total",
    # one's own
    "discover", "of",
]  # fmt: skip
