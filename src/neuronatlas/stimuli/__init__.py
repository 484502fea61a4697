"""Stimuli: what is shown to a network. Photographs, pictures wherever they lie, and the classic stimuli of vision science."""

from neuronatlas.stimuli.anywhere import find
from neuronatlas.stimuli.archives import archives
from neuronatlas.stimuli.arrays import array
from neuronatlas.stimuli.base import Stimulus, StimulusSet
from neuronatlas.stimuli.datasets import dataset
from neuronatlas.stimuli.drawn import vision_science
from neuronatlas.stimuli.folders import folder
from neuronatlas.stimuli.photographs import photographs

__all__ = ["Stimulus", "StimulusSet", "archives", "array", "dataset", "find", "folder", "photographs", "vision_science"]
