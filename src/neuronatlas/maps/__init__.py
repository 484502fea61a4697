"""Which units respond alike, and the map of it. Needs no deep-learning framework."""

from neuronatlas.maps.correlation import CORRELATIONS, Neighbours, Standardised, nearest_neighbours, standardise
from neuronatlas.maps.layouts import LAYOUTS
from neuronatlas.maps.quality import morans_i, neighbour_recall, trustworthiness
from neuronatlas.maps.response_map import ResponseMap
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
    "morans_i",
    "neighbour_recall",
    "trustworthiness",
]
