"""Drawing maps: values of units as pictures, figures and films. Nothing opens, and pyplot is never used.

``grid`` gives each unit a cell of its own, ``colouring`` says how numbers become colours, ``axes`` draws one map,
``legends`` what stands beside it, ``several`` many on one scale, ``film`` a sequence of them, ``saving`` writes a figure.
"""

from neuronatlas.maps.drawing.axes import (
    draw_density,
    draw_layers,
    draw_picture,
    draw_points,
    name_units,
    new_axes,
    new_figure,
    outline_layers,
)
from neuronatlas.maps.drawing.colouring import Colouring, about_zero, levels
from neuronatlas.maps.drawing.film import write_film
from neuronatlas.maps.drawing.grid import Grid, equal_area_grid
from neuronatlas.maps.drawing.legends import add_legend
from neuronatlas.maps.drawing.saving import save_figure
from neuronatlas.maps.drawing.several import first_against_second, small_multiples

__all__ = [
    "Colouring",
    "levels",
    "about_zero",
    "Grid",
    "equal_area_grid",
    "add_legend",
    "new_axes",
    "new_figure",
    "draw_picture",
    "draw_points",
    "draw_density",
    "draw_layers",
    "outline_layers",
    "name_units",
    "small_multiples",
    "first_against_second",
    "write_film",
    "save_figure",
]
