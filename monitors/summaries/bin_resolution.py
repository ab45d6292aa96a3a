"""Resolution of bins: the share of values in the fullest bins.

Edges are frozen from the first values that come, so that every bin gets about as many.
When these were few hours of a day, or of one season, nearly all that follows lies in a
few bins, and estimates from counts are coarse: distances, and the first impression
while drift is learning. What decides comes from sums, which no edge blunts.
"""

from dataclasses import dataclass

import numpy as np

from monitors.summaries.summary import Edges, Floats

FULLEST = 3  # bins that are evaluated
_TOO_MUCH = 0.5  # of all values in them: freshly frozen, they hold a tenth
_ENOUGH = 500  # values before the resolution is reported


@dataclass(frozen=True, slots=True, kw_only=True)
class CoarseBins:
    """The feature with the coarsest bins: so much lies in its three fullest of `n_bins`."""

    feature: str
    share: float
    n_bins: int


def coarsest(counts: Floats, edges: Edges) -> CoarseBins | None:
    """Return the feature with the coarsest bins; None where all are fine enough.

    Parameters
    ----------
    counts : (feature, bin)
        Of all that is evaluated, window and reference.
    edges
        On which was counted. A feature with equal edges has values that recur, and
        is meant to fill few bins.

    Examples
    --------
    >>> edges = Edges(names=("x",), values=np.arange(33.0)[np.newaxis])
    >>> coarsest(np.array([[0.0] * 33 + [1000.0]]), edges)
    CoarseBins(feature='x', share=1.0, n_bins=34)
    >>> coarsest(np.full((1, 34), 100.0), edges)
    """
    n = counts.sum(axis=1)
    differ = (np.diff(edges.values, axis=1) > 0).all(axis=1)
    asked = differ & (n >= _ENOUGH)
    if not asked.any():
        return None
    fullest = np.sort(counts, axis=1)[:, -FULLEST:].sum(axis=1)
    share = np.divide(fullest, n, out=np.zeros(n.shape), where=asked)
    worst = int(np.argmax(share))
    if share[worst] <= _TOO_MUCH:
        return None
    return CoarseBins(
        feature=edges.names[worst],
        share=round(float(share[worst]), 3),
        n_bins=counts.shape[1],
    )
