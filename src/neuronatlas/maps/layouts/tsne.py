"""t-SNE on given neighbours, from a start that says how the whole lies.

It follows Kobak and Berens (2019, Nature Communications 10:5416) in its informative start, with a weaker early
exaggeration (4) and a wider start (0.01), which kept the arrangement of the whole map most alike between halves of the
stimuli.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

from neuronatlas.errors import WrongInput
from neuronatlas.maps.correlation import Neighbours
from neuronatlas.maps.layouts.components import pca
from neuronatlas.maps.layouts.embedding import Affinities, embed, from_components, move
from neuronatlas.maps.layouts.landmarks import through_landmarks
from neuronatlas.maps.layouts.layout import FEWEST_FOR_TSNE, LANDMARKS_ABOVE
from neuronatlas.maps.layouts.placing import among_neighbours, procrustes

WARM_ITERATIONS = 300

# Spreads of a map that a warm start is tried at: t-SNE has a scale of its own, which grows with the units.
_SPREADS = 2.0 ** np.arange(-2, 8, 0.5)


def tsne(
    standardised: Float[np.ndarray, "units stimuli"],
    neighbours: Neighbours,
    *,
    seed: int,
    perplexity: float,
    start: Float64[np.ndarray, "places 2"] | None = None,
    weights: Float[np.ndarray, " weighed"] | None = None,
) -> Float64[np.ndarray, "units 2"]:
    """t-SNE of the units on their neighbours, at distances sqrt(2 (1 - correlation)).

    It starts from `pca`; the seed sets only by how little (a hundredth of the start) each point is moved off it, so that
    units that respond alike do not start at one place (they may still end at one). Fewer than 8 units have no
    neighbourhoods to keep and are placed by `pca` alone.

    More than 50,000 units are laid out by `through_landmarks`: a tenth of the units, from 20,000 to 50,000, by t-SNE among
    themselves; the others among their neighbours; then all move for 60 iterations on 30 neighbours.

    ``start``, places on any scale, of an older map of the same units: the map then moves from there for 300 iterations
    without exaggeration and is turned back onto it, so that what is unchanged stays put. Units without a place there
    (NaN) begin among their neighbours.

    ``weights``, positive, of any scale: how much each unit's neighbourhood counts; with 1 / (units of its layer) every
    layer of a joint map counts alike. The affinity of a pair is multiplied by the root of the product of both weights.
    Units of large weight lie closer to their neighbours; the share of the area is still about the share of the units.
    """
    units = len(standardised)
    if weights is not None and not (np.isfinite(weights).all() and (weights > 0).all() and len(weights) == units):
        message = f"weights must be {units} positive numbers, one for each unit"
        raise WrongInput(message)
    if start is not None and len(start) != units:
        message = f"start of shape {start.shape} must hold a place, or NaN, for each of the {units} units"
        raise WrongInput(message)
    if units < FEWEST_FOR_TSNE:
        places = pca(standardised, neighbours)
        return places if start is None else procrustes(places, start)
    if start is None and units > LANDMARKS_ABOVE:
        return through_landmarks(standardised, neighbours, seed=seed, perplexity=perplexity, weights=weights)
    affinities = Affinities(neighbours, perplexity, weights)
    known = start is not None and np.isfinite(start).all(axis=1).any()
    whole = among_neighbours(start, neighbours) if start is not None and known else None
    if start is None or whole is None or not np.ptp(whole, axis=0).any():
        places = from_components(pca(standardised, neighbours), affinities, seed)
        return places if start is None else procrustes(places, start)
    embedding = embed(_at_full_scale(whole, affinities), affinities, seed)
    move(embedding, WARM_ITERATIONS)
    return procrustes(np.array(embedding, dtype=np.float64), start)


def _at_full_scale(start: Float64[np.ndarray, "units 2"], affinities: Affinities) -> Float64[np.ndarray, "units 2"]:
    """The start centred, at that of some spreads which agrees best with the affinities (of least KL divergence)."""
    from openTSNE import TSNEEmbedding

    centred = start - start.mean(axis=0)
    unit = centred / centred.std()
    divergences = [TSNEEmbedding(unit * spread, affinities).optimize(0).kl_divergence for spread in _SPREADS]
    return unit * _SPREADS[int(np.argmin(divergences))]
