"""Bootstrap test of drift for short references: for reading, without alerts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from monitors.finding import Finding, as_json
from monitors.statistics.block_bootstrap import Resampled, resampled
from monitors.statistics.distances import borders
from monitors.statistics.rao_scott import Moved, moved
from monitors.summaries.daily import Daily
from monitors.summaries.summary import Edges

_LEAST_P = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisional:
    """How often some feature moves as far as `top` did without any change.

    Attributes
    ----------
    features
        Of each feature the figures of each test, by name; None where it is not known.
    """

    method: str = "bootstrap of whole days, provisional"
    p: float
    top: str
    block_days: float | None
    features: Mapping[str, Mapping[str, float | None]]


def with_first_impression(
    finding: Finding, window: Daily, reference: Daily, edges: Edges
) -> Finding:
    """Add to a finding without a verdict how unusual each feature's values are.

    Parameters
    ----------
    finding
        Of a monitor that is learning. Its outcome stays what it is.
    window, reference
        Days of the window on trial, and of the reference.
    edges
        On which both were counted.

    Returns
    -------
    Finding
        `provisional` in the detail holds what `monitors.statistics.block_bootstrap` and
        `monitors.statistics.rao_scott` estimate by feature. The same finding where there is
        too little data.
    """
    low = np.vstack([window.low, reference.low]).min(axis=0, initial=np.inf)
    high = np.vstack([window.high, reference.high]).max(axis=0, initial=-np.inf)
    bins = borders(edges.values, low, high)
    drawn = resampled(window.counts, reference.counts, bins, reference.is_read)
    if drawn.top is None:
        return finding
    corrected = [
        moved(window.counts[:, i].sum(axis=0), reference.counts[:, i])
        for i in range(len(window.names))
    ]
    provisional = Provisional(
        p=drawn.p,
        top=window.names[drawn.top],
        block_days=as_json(drawn.block_days),
        features={
            name: _provisional(drawn, i, corrected[i]) for i, name in enumerate(window.names)
        },
    )
    cause = f"{finding.cause}; {_impression(drawn, drawn.top, window.names[drawn.top])}"
    return replace(finding, cause=cause).with_figures(provisional=provisional)


def _impression(drawn: Resampled, top: int, name: str) -> str:
    # Smaller than was ever checked against quiet weeks: a number nobody should trust.
    p = f"p {drawn.p:.2g}" if drawn.p >= _LEAST_P else f"p below {_LEAST_P}"
    median = f"{drawn.median[top]:+.3g} ({drawn.low[top]:+.3g} to {drawn.high[top]:+.3g})"
    return (
        f"so far {name} moved most, {p}, its median by {median} "
        "(bootstrap, provisional, no season modelled: never alerts)"
    )


def _provisional(drawn: Resampled, i: int, corrected: Moved) -> dict[str, float | None]:
    figures = {
        "ks_p": drawn.ks_p[i],
        "wasserstein_p": drawn.wasserstein_p[i],
        "median_p": drawn.median_p[i],
        "median": drawn.median[i],
        "median_low": drawn.low[i],
        "median_high": drawn.high[i],
        "p": corrected.p,
        "design_effect": corrected.design_effect,
        "psi": corrected.psi,
    }
    return {name: as_json(figure) for name, figure in figures.items()}
