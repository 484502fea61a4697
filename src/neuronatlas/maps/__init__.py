"""Which units respond alike, and the map of it. Needs no deep-learning framework."""

from neuronatlas.maps.correlation import CORRELATIONS, Neighbours, Standardised, nearest_neighbours, standardise
from neuronatlas.maps.duplicates import Copies, find_copies
from neuronatlas.maps.extremes import Extremes, first_alike
from neuronatlas.maps.layouts import LAYOUTS
from neuronatlas.maps.moments import Moments
from neuronatlas.maps.quality import (
    Topography,
    continuity,
    morans_i,
    neighbour_correlation,
    neighbour_recall,
    topography,
    trustworthiness,
)
from neuronatlas.maps.response_map import ResponseMap
from neuronatlas.maps.situations import Situations
from neuronatlas.maps.sketch import Sketch
from neuronatlas.maps.stability import Stability, disparity, overlap, stability
from neuronatlas.table import Responses

__all__ = [
    "Responses",
    "ResponseMap",
    "CORRELATIONS",
    "LAYOUTS",
    "Neighbours",
    "Standardised",
    "nearest_neighbours",
    "standardise",
    "Copies",
    "find_copies",
    "continuity",
    "morans_i",
    "neighbour_correlation",
    "neighbour_recall",
    "Topography",
    "topography",
    "trustworthiness",
    "Stability",
    "disparity",
    "overlap",
    "stability",
    "Situations",
    "Moments",
    "Extremes",
    "first_alike",
    "Sketch",
]
