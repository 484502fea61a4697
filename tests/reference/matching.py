"""Matches and alignment of layers, one pair at a time, straight from their definitions."""

from __future__ import annotations

import numpy as np
from scipy import stats


def match(a: np.ndarray, b: np.ndarray) -> tuple[list[int], list[float]]:
    """Of each column of ``a`` the column of ``b`` that correlates best, -1 for a constant one; equal ones by index."""
    indices, correlations = [], []
    for one in a.T.astype(np.float64):
        best, most = -1, np.nan
        for number, other in enumerate(b.T.astype(np.float64)):
            if np.ptp(one) == 0 or np.ptp(other) == 0:
                continue
            correlation = round(float(stats.pearsonr(one, other).statistic), 6)
            if best < 0 or correlation > most:
                best, most = number, correlation
        indices.append(best)
        correlations.append(most)
    return indices, correlations


def cka(x: np.ndarray, y: np.ndarray) -> float:
    """Linear CKA by the centred Gram matrices of the stimuli (Kornblith et al. 2019, equations 2 to 4)."""
    n = len(x)
    centre = np.eye(n) - np.ones((n, n)) / n
    k = centre @ (x.astype(np.float64) @ x.T.astype(np.float64)) @ centre
    m = centre @ (y.astype(np.float64) @ y.T.astype(np.float64)) @ centre
    return float(np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m)))
