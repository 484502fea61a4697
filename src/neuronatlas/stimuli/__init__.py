"""Stimuli: what is shown to a network. Photographs, folders of pictures, and the classic stimuli of vision science."""

from neuronatlas.stimuli.base import Stimulus, StimulusSet
from neuronatlas.stimuli.drawn import vision_science
from neuronatlas.stimuli.folders import folder
from neuronatlas.stimuli.photographs import photographs

__all__ = ["Stimulus", "StimulusSet", "folder", "photographs", "vision_science"]
