"""Distribution distances of each feature from its reference."""

from collections.abc import Mapping
from dataclasses import replace

from monitors.finding import Finding, Json
from monitors.statistics import all_distances
from monitors.summaries.summary import Edges, Summary
from monitors.summaries.totals import Totals, totals


def with_distances(
    finding: Finding, edges: Edges, window: Summary, reference: Totals
) -> Finding:
    """Add to each feature in a finding's detail how far it is from the reference.

    Parameters
    ----------
    finding
        Its detail has `features`; else it is returned as it is.
    edges
        On which both were counted.
    window, reference
        What is compared.
    """
    features = finding.detail.get("features")
    if not isinstance(features, Mapping) or not features:
        return finding
    apart = all_distances.between(totals(window), reference, edges)
    with_them: dict[str, Json] = {
        name: {**known, "distances": apart.to_json(edges.names.index(name))}
        for name, known in features.items()
        if isinstance(known, Mapping)
    }
    return replace(finding, detail={**finding.detail, "features": with_them})
