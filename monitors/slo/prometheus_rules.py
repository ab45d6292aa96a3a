"""Recording and alerting rules of an SLO for Prometheus, with Sloth's names.

They read the counter `seqwatch_slo_events_total` of `/metrics`, so that a Prometheus that
scrapes the platform can record and alert by itself, and dashboards made for Sloth work.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from typing import Any

from core.durations import DAY, HOUR, MINUTE
from monitors.slo.objective import BurnRateParams
from monitors.slo.tiers import Tier, tiers

COUNTER = "seqwatch_slo_events_total"
_ERROR = "slo:sli_error:ratio_rate"


def rules(model: str, slo: str, params: BurnRateParams) -> dict[str, Any]:
    """Return the rules of one SLO, in the format of a rules file.

    Each window is a quotient of counts, never a mean of quotients: those of hours with little
    traffic would weigh as much as others. A window without events has no sample, not NaN.

    Parameters
    ----------
    model, slo
        Names of the model and of the SLO: the labels of the counter.
    params
        The SLO. A calendar period is taken for as long as it is nominally.

    Examples
    --------
    >>> found = rules("load", "availability", BurnRateParams(objective=0.999))
    >>> [group["name"] for group in found["groups"]]
    ['slo-sli-load-availability', 'slo-meta-load-availability', 'slo-alerts-load-availability']
    >>> print(found["groups"][2]["rules"][0]["expr"].partition(" and ")[0])
    (slo:sli_error:ratio_rate1h{sloth_id="load-availability"} > 0.0144)
    """
    kept, _ = tiers(params.nominal_period, params.budget)
    labels = {"sloth_id": f"{model}-{slo}", "sloth_service": model, "sloth_slo": slo}
    windows = sorted({width for tier in kept for width in (tier.long, tier.short)})
    groups = {
        "sli": [_ratio(model, slo, labels, one) for one in (*windows, params.nominal_period)],
        "meta": _meta(labels, params, windows[0]),
        "alerts": [*_alerts(labels, params, kept)],
    }
    return {
        "groups": [
            {"name": f"slo-{part}-{labels['sloth_id']}", "rules": found}
            for part, found in groups.items()
        ]
    }


def _ratio(model: str, slo: str, labels: dict[str, str], width: timedelta) -> dict[str, Any]:
    chosen, window = f"model={_quoted(model)},slo={_quoted(slo)}", _duration(width)
    bad, known = (
        f"sum(increase({COUNTER}{{{chosen},outcome=~{_quoted(outcomes)}}}[{window}]))"
        for outcomes in ("bad", "good|bad")
    )
    return {
        "record": f"{_ERROR}{window}",
        "expr": f"{bad}\n/\n({known} > 0)",
        "labels": {**labels, "sloth_window": window},
    }


def _meta(
    labels: dict[str, str], params: BurnRateParams, shortest: timedelta
) -> list[dict[str, Any]]:
    of = _selector(labels)
    period, now = _duration(params.nominal_period), _duration(shortest)
    budget = f"on(sloth_id) group_left slo:error_budget:ratio{of}"
    days = params.nominal_period / DAY
    found = {
        "slo:objective:ratio": f"vector({_decimal(1 - params.budget)})",
        "slo:error_budget:ratio": f"vector({_decimal(params.budget)})",
        "slo:time_period:days": f"vector({days:g})",
        "slo:current_burn_rate:ratio": f"{_ERROR}{now}{of}\n/ {budget}",
        "slo:period_burn_rate:ratio": f"{_ERROR}{period}{of}\n/ {budget}",
        "slo:period_error_budget_remaining:ratio": f"1 - slo:period_burn_rate:ratio{of}",
        "sloth_slo_info": "vector(1)",
    }
    info = {"sloth_objective": f"{float(100 * (1 - params.budget)):g}"}
    return [
        {
            "record": name,
            "expr": expression,
            "labels": {**labels, **(info if name == "sloth_slo_info" else {})},
        }
        for name, expression in found.items()
    ]


def _alerts(
    labels: dict[str, str], params: BurnRateParams, kept: Sequence[Tier]
) -> Iterable[dict[str, Any]]:
    of = _selector(labels)
    for severity, group in groupby(kept, key=lambda tier: tier.severity):
        conditions = []
        for tier in group:
            limit = _decimal(tier.factor * params.budget)
            long, short = _duration(tier.long), _duration(tier.short)
            conditions.append(
                f"({_ERROR}{long}{of} > {limit}) and ignoring(sloth_window)\n"
                f"({_ERROR}{short}{of} > {limit})"
            )
        yield {
            "alert": "SeqwatchErrorBudgetBurn",
            "expr": "\nor ignoring(sloth_window)\n".join(conditions),
            "labels": {**labels, "sloth_severity": severity.value, "severity": severity.value},
            "annotations": {
                "summary": f"SLO {labels['sloth_slo']} of {labels['sloth_service']} burns its "
                "error budget too fast",
            },
        }


def _selector(labels: dict[str, str]) -> str:
    return f"{{sloth_id={_quoted(labels['sloth_id'])}}}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _decimal(share: Fraction) -> str:
    """Return a fraction as a decimal: 0.001, where a float gives 0.0010000000000000009.

    Examples
    --------
    >>> _decimal(1 - Fraction("0.999")), _decimal(Fraction(14, 15000))
    ('0.001', '0.0009333333333333333333333333333')
    """
    return format(Decimal(share.numerator) / Decimal(share.denominator), "f")


def _duration(width: timedelta) -> str:
    """Return a duration of Prometheus.

    Examples
    --------
    >>> _duration(30 * DAY), _duration(6 * HOUR), _duration(5 * MINUTE)
    ('30d', '6h', '5m')
    """
    for unit, length in (("d", DAY), ("h", HOUR), ("m", MINUTE)):
        if width % length == timedelta(0):
            return f"{width // length}{unit}"
    return f"{width // timedelta(seconds=1)}s"
