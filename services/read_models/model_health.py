"""Gauges of a model's health: its SLOs, drift and label coverage, by the newest findings."""

import json
from typing import Any

from core.errors import Unprocessable
from monitors import registry
from monitors.detail import Detail
from monitors.slo.objective import BurnRateDetail, BurnRateParams
from services.models.slo_corrections import SLO
from services.read_models.exposition import Gauge

DRIFT = frozenset(
    (
        "input_drift",
        "mean_shift",
        "prediction_drift",
        "short_term_drift",
        "temporal_pattern",
        "window_profile",
    )
)


def of_findings() -> tuple[Gauge, Gauge, Gauge, Gauge, Gauge]:
    """Return the gauges, without samples."""
    slo, monitor = ["model", "slo"], ["model", "monitor"]
    return (
        Gauge("seqwatch_slo_objective_ratio", "Share that must be good.", labels=slo),
        Gauge(
            "seqwatch_slo_burn_rate",
            "Burn of the long window of a tier, by the newest finding.",
            labels=[*slo, "tier"],
        ),
        Gauge(
            "seqwatch_slo_error_budget_remaining_ratio",
            "Share of the error budget that is left, negative when overspent.",
            labels=slo,
        ),
        Gauge(
            "seqwatch_drift_score",
            "Value of the newest finding in thresholds: above 1 it is a breach.",
            labels=monitor,
        ),
        Gauge(
            "seqwatch_label_coverage_ratio",
            "Share of the expected labels that are in.",
            labels=monitor,
        ),
    )


def of_finding(one: Any, detail: Detail, coverage: float | None) -> tuple[Gauge, ...]:
    """Return the gauges with the samples of one monitor.

    Parameters
    ----------
    one
        A row of `overview.watched`.
    detail, coverage
        Of its newest finding; without figures where there is none.
    """
    gauges = objective, burn, remaining, drift, labelled = of_findings()
    labels = [one.model, one.name]
    if one.kind == SLO and (share := _share(one.params)) is not None:
        objective.add_metric(labels, share)
    if isinstance(detail, BurnRateDetail):
        for tier in detail.tiers:
            burn.add_metric([*labels, tier.tier], tier.burn)
        if detail.remaining is not None:
            remaining.add_metric(labels, detail.remaining)
    if one.kind in DRIFT and one.value is not None and one.threshold:
        drift.add_metric(labels, one.value / one.threshold)
    if coverage is not None:
        labelled.add_metric(labels, coverage)
    return gauges


def _share(text: str) -> float | None:
    try:
        params: BurnRateParams = registry.parse(SLO, json.loads(text))
    except Unprocessable:
        return None
    return params.share
