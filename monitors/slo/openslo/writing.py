"""Writes SLOs as OpenSLO v1 documents."""

import re
from datetime import timedelta
from typing import Any

from monitors.slo.objective import BurnRateParams, Method
from monitors.slo.openslo.reading import CALENDAR, METHODS, ROLLING
from monitors.slo.openslo.schema import SHORT_WINDOW, SOURCE, VERSION
from monitors.slo.tiers import Tier, tiers


def written(name: str, model: str, params: BurnRateParams) -> dict[str, Any]:
    """Return an SLO as a document, with one alert policy per tier.

    Parameters
    ----------
    name
        Of the monitor; `_` becomes `-`, as names are those of DNS.
    model
        The service.
    params
        Its parameters.
    """
    kept, _ = tiers(params.nominal_period, params.budget)
    objective: dict[str, Any] = {"displayName": name, "target": params.share}
    if params.method is not Method.OCCURRENCES:
        objective["timeSliceWindow"] = _open_duration(params.slice_width)
    if params.method is Method.TIME_SLICES:
        objective["timeSliceTarget"] = params.slice_target
    source = {"type": SOURCE, "spec": {"sli": params.sli, "params": dict(params.sli_params)}}
    methods = {method: name for name, method in METHODS.items()}
    return {
        "apiVersion": VERSION,
        "kind": "SLO",
        "metadata": {"name": dns_name(name)},
        "spec": {
            "service": model,
            "indicator": {
                "metadata": {"name": dns_name(params.sli)},
                "spec": {
                    "ratioMetric": {"rawType": "success", "raw": {"metricSource": source}}
                },
            },
            "timeWindow": [_open_window(params)],
            "budgetingMethod": methods[params.method],
            "objectives": [objective],
            "alertPolicies": [_policy(tier) for tier in kept],
        },
    }


def _policy(tier: Tier) -> dict[str, Any]:
    name = dns_name(tier.name.replace(" ", "-"))
    condition = {
        "kind": "burnrate",
        "op": "gt",
        "threshold": float(tier.factor),
        "lookbackWindow": _open_duration(tier.long),
        "alertAfter": "0m",
    }
    return {
        "kind": "AlertPolicy",
        "metadata": {"name": name, "annotations": {SHORT_WINDOW: _open_duration(tier.short)}},
        "spec": {
            "alertWhenBreaching": True,
            "conditions": [
                {
                    "kind": "AlertCondition",
                    "metadata": {"name": name},
                    "spec": {"severity": tier.severity.value, "condition": condition},
                }
            ],
            "notificationTargets": [],
        },
    }


def _open_window(params: BurnRateParams) -> dict[str, Any]:
    if params.calendar is None:
        return {"duration": _open_duration(params.period), "isRolling": True}
    units = {kind: unit for unit, kind in CALENDAR.items()}
    calendar = {"startTime": "2024-01-01 00:00:00", "timeZone": params.zone or "UTC"}
    unit = units[params.calendar.value]
    return {"duration": f"1{unit}", "isRolling": False, "calendar": calendar}


def _open_duration(duration: timedelta) -> str:
    """Return a duration in the largest unit that divides it.

    Examples
    --------
    >>> _open_duration(timedelta(days=28)), _open_duration(timedelta(minutes=90))
    ('4w', '90m')
    """
    for unit in ("w", "d", "h", "m"):
        if duration % ROLLING[unit] == timedelta(0):
            return f"{duration // ROLLING[unit]}{unit}"
    raise ValueError(f"{duration} is not of whole minutes")


def dns_name(name: str) -> str:
    """Return the name of an SLO as OpenSLO writes names: those of DNS.

    Examples
    --------
    >>> dns_name("Serving_latency")
    'serving-latency'
    """
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")
