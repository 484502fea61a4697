"""Places in the plane for units, so that correlated units lie together.

A layout is a function of the standardised rows and their neighbours; `LAYOUTS` names them. Whoever calls one hands the
units over in `canonical_order`, so that the order of the units in a table moves no point.
"""

from neuronatlas.maps.layouts.components import mds, pca
from neuronatlas.maps.layouts.layout import (
    FEWEST_FOR_TSNE,
    LANDMARKS_ABOVE,
    Layout,
    canonical_order,
    into_square,
    neighbours_needed,
    usable_perplexity,
)
from neuronatlas.maps.layouts.others import pacmap, umap
from neuronatlas.maps.layouts.placing import place, procrustes
from neuronatlas.maps.layouts.tsne import tsne

__all__ = [
    "FEWEST_FOR_TSNE",
    "LANDMARKS_ABOVE",
    "LAYOUTS",
    "Layout",
    "canonical_order",
    "into_square",
    "neighbours_needed",
    "usable_perplexity",
    "place",
    "procrustes",
    "mds",
    "pacmap",
    "pca",
    "tsne",
    "umap",
]

LAYOUTS: dict[str, Layout] = {"tsne": tsne, "umap": umap, "pacmap": pacmap, "mds": mds, "pca": pca}
