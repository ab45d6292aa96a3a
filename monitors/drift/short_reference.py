"""Bootstrap test of drift for short references: for reading, without alerts."""

from dataclasses import replace

import numpy as np

from monitors.finding import Finding, Json, as_json
from monitors.statistics.block_bootstrap import Resampled, resampled
from monitors.statistics.distances import borders
from monitors.statistics.rao_scott import Moved, moved
from monitors.summaries.daily import Daily
from monitors.summaries.summary import Edges

_LEAST_P = 0.01
_METHOD = "bootstrap of whole days, provisional"


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
        `provisional` in the detail holds `p`, how often some feature moves
        as far as `top` did without any change, and by feature what
        `monitors.statistics.block_bootstrap` and `monitors.statistics.rao_scott`
        estimate. The same finding where there is too little data.
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
    features: dict[str, Json] = {
        name: _provisional(drawn, i, corrected[i]) for i, name in enumerate(window.names)
    }
    provisional: dict[str, Json] = {
        "method": _METHOD,
        "p": drawn.p,
        "top": window.names[drawn.top],
        "block_days": as_json(drawn.block_days),
        "features": features,
    }
    return replace(
        finding,
        cause=f"{finding.cause}; {_impression(drawn, drawn.top, window.names[drawn.top])}",
        detail={**finding.detail, "provisional": provisional},
    )


def _impression(drawn: Resampled, top: int, name: str) -> str:
    # Smaller than was ever checked against quiet weeks: a number nobody should trust.
    p = f"p {drawn.p:.2g}" if drawn.p >= _LEAST_P else f"p below {_LEAST_P}"
    median = f"{drawn.median[top]:+.3g} ({drawn.low[top]:+.3g} to {drawn.high[top]:+.3g})"
    return (
        f"so far {name} moved most, {p}, its median by {median} "
        "(bootstrap, provisional, no season modelled: never alerts)"
    )


def _provisional(drawn: Resampled, i: int, corrected: Moved) -> dict[str, Json]:
    return {
        "ks_p": as_json(drawn.ks_p[i]),
        "wasserstein_p": as_json(drawn.wasserstein_p[i]),
        "median_p": as_json(drawn.median_p[i]),
        "median": as_json(drawn.median[i]),
        "median_low": as_json(drawn.low[i]),
        "median_high": as_json(drawn.high[i]),
        "p": as_json(corrected.p),
        "design_effect": as_json(corrected.design_effect),
        "psi": as_json(corrected.psi),
    }
