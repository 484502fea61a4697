"""Figures of a scene for paper. Each is made for its width in millimetres: `maps.drawing.save_figure` it at that width.

``maps`` draws the response map and films of it, ``unit`` the sheet of one unit, ``sheets`` pages of pictures;
``values`` finds what is asked for in a scene, ``thumbnails`` lays pictures on a map, ``paper`` is a page in millimetres.
Nothing opens and pyplot is never used.
"""

from neuronatlas.view.figures.maps import film_figure, map_figure
from neuronatlas.view.figures.sheets import contact_sheet, grid_figure, layer_figures
from neuronatlas.view.figures.unit import unit_figure

__all__ = ["map_figure", "film_figure", "contact_sheet", "layer_figures", "grid_figure", "unit_figure"]
