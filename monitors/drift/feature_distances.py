"""Distribution distances of each feature from its reference."""

from dataclasses import replace

from monitors.drift.input_drift import DriftDetail
from monitors.finding import Finding
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
        Of drift; without scores it is returned as it is.
    edges
        On which both were counted.
    window, reference
        What is compared.
    """
    detail = finding.detail
    if not isinstance(detail, DriftDetail) or not detail.features:
        return finding
    apart = all_distances.between(totals(window), reference, edges)
    with_them = {
        name: replace(known, distances=apart.to_json(edges.names.index(name)))
        for name, known in detail.features.items()
    }
    return finding.with_figures(features=with_them)
