"""All distances between two stretches of input, feature by feature."""

from dataclasses import dataclass, fields

import numpy as np

from monitors.finding import as_json
from monitors.statistics.distances import (
    borders,
    chi_square,
    cramer_von_mises,
    hellinger,
    js,
    kl,
    ks,
    psi,
    shares,
    smoothed,
    wasserstein,
)
from monitors.summaries.summary import Edges, Floats
from monitors.summaries.totals import Totals


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distances:
    """All distances of two windows, each of shape (feature,); NaN: a window is empty.

    Attributes
    ----------
    psi, kl, js, hellinger
        Of smoothed shares.
    ks, ks_error, cramer_von_mises, cramer_von_mises_error
        Of counts, with what the bins may hide.
    wasserstein, wasserstein_error
        In the unit of the feature.
    wasserstein_normed
        In standard deviations of the reference; NaN where it never moved.
    chi_square
        Of counts.
    """

    psi: Floats
    kl: Floats
    js: Floats
    hellinger: Floats
    ks: Floats
    ks_error: Floats
    cramer_von_mises: Floats
    cramer_von_mises_error: Floats
    wasserstein: Floats
    wasserstein_error: Floats
    wasserstein_normed: Floats
    chi_square: Floats

    def to_json(self, feature: int) -> dict[str, float | None]:
        """Return those of one feature for a finding's detail, four digits of each."""
        return {
            each.name: as_json(float(f"{getattr(self, each.name)[feature]:.4g}"))
            for each in fields(self)
        }


def between(current: Totals, reference: Totals, edges: Edges) -> Distances:
    """Return how far apart two windows are.

    Parameters
    ----------
    current, reference
        On the same edges.
    edges
        The frozen edges.

    Examples
    --------
    >>> edges = Edges(names=("x",), values=np.array([[0.0, 1.0]]))
    >>> low, high = np.array([-1.0]), np.array([2.0])
    >>> def window(mean, *counts):
    ...     counted, middle = np.array([counts]), np.array([mean])
    ...     return Totals(counts=counted, low=low, high=high, mean=middle, sd=high)
    >>> now, baseline = window(1.0, 0.0, 2.0, 2.0), window(0.0, 2.0, 2.0, 0.0)
    >>> between(now, baseline, edges).wasserstein
    array([1.])
    """
    p, q = shares(current.counts), shares(reference.counts)
    soft_p, soft_q = smoothed(current.counts, reference.counts)
    low = np.minimum(current.low, reference.low)
    high = np.maximum(current.high, reference.high)
    grid = borders(edges.values, low, high)
    moved, moved_error = wasserstein(p, q, grid, current.mean - reference.mean)
    largest, largest_error = ks(p, q)
    squared, squared_error = cramer_von_mises(current.counts, reference.counts)
    scale = np.where(reference.sd > 0, reference.sd, np.nan)
    return Distances(
        psi=psi(soft_p, soft_q),
        kl=kl(soft_p, soft_q),
        js=js(soft_p, soft_q),
        hellinger=hellinger(soft_p, soft_q),
        ks=largest,
        ks_error=largest_error,
        cramer_von_mises=squared,
        cramer_von_mises_error=squared_error,
        wasserstein=moved,
        wasserstein_error=moved_error,
        wasserstein_normed=moved / scale,
        chi_square=chi_square(current.counts, reference.counts),
    )
