"""What can be said of a window while drift is still learning: for reading, never an alarm."""

from dataclasses import replace

import numpy as np

from monitors.daily import Daily
from monitors.finding import Finding, Json, as_json
from monitors.rao_scott import moved

_LEAST_TOLD = 0.01


def with_first_impression(finding: Finding, window: Daily, reference: Daily) -> Finding:
    """Add to a finding without a verdict how unusual each feature's values are.

    Parameters
    ----------
    finding
        Of a monitor that is learning. Its outcome stays what it is.
    window, reference
        Days of the window on trial, and of the reference.

    Returns
    -------
    Finding
        `provisional` in the detail holds, by feature, the p-value of
        `monitors.rao_scott`, how many readings are worth an independent one,
        and the population stability index; and the smallest p by Bonferroni
        over the features. The same finding where nothing can be said yet.
    """
    found = {
        name: moved(window.counts[:, i].sum(axis=0), reference.counts[:, i])
        for i, name in enumerate(window.names)
    }
    ps = {name: one.p for name, one in found.items() if np.isfinite(one.p)}
    if not ps:
        return finding
    top = min(ps, key=lambda name: ps[name])
    joint = min(len(ps) * ps[top], 1.0)
    features: dict[str, Json] = {
        name: {
            "p": as_json(one.p),
            "design_effect": as_json(one.design_effect),
            "psi": as_json(one.psi),
        }
        for name, one in found.items()
    }
    told: dict[str, Json] = {
        "method": "Rao-Scott, second order",
        "p": joint,
        "top": top,
        "features": features,
    }
    # Smaller than was ever checked against quiet weeks: a number nobody should trust.
    p = f"p {joint:.2g}" if joint >= _LEAST_TOLD else f"p below {_LEAST_TOLD}"
    impression = f"so far {top} moved most, {p} (Rao-Scott, knows no season: for reading only)"
    return replace(
        finding,
        cause=f"{finding.cause}; {impression}",
        detail={**finding.detail, "provisional": told},
    )
