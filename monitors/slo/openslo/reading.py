"""Reads SLOs from OpenSLO v1 documents.

The service of a document is the model, and its metric source has the type `seqwatch`: the SLI
and its parameters. What this product cannot evaluate is refused, never left out in silence.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec

from core.durations import DAY, HOUR, MINUTE, to_text
from monitors.slo.objective import Method
from monitors.slo.openslo.schema import (
    NAME,
    SOURCE,
    VERSION,
    Condition,
    Metadata,
    Objective,
    OfSource,
    SliSpec,
    SloSpec,
    TimeWindow,
)
from monitors.slo.period import CalendarPeriod

KINDS = (
    "SLO",
    "SLI",
    "AlertPolicy",
    "AlertCondition",
    "AlertNotificationTarget",
    "DataSource",
    "Service",
)
CALENDAR = {"w": "week", "M": "month", "Q": "quarter", "Y": "year"}
ROLLING = {"m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
METHODS = {
    "Occurrences": Method.OCCURRENCES,
    "Timeslices": Method.TIME_SLICES,
    "RatioTimeslices": Method.RATIO_TIME_SLICES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSlo:
    """An SLO of a document.

    Attributes
    ----------
    name, model
        As in the document: its `metadata.name` and `spec.service`.
    params
        Parameters of a monitor of kind `burn_rate`, as JSON.
    notes
        What was read but has no effect here.
    """

    name: str
    model: str
    params: Mapping[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _References:
    """What other documents may name."""

    indicators: dict[str, SliSpec] = field(default_factory=dict)
    policies: dict[str, Any] = field(default_factory=dict)
    conditions: dict[str, Any] = field(default_factory=dict)

    def add(self, kind: str, name: str, spec: Any) -> None:
        """Keep what an SLO may name; of data sources, services and targets nothing is read."""
        match kind:
            case "SLI":
                self.indicators[name] = msgspec.convert(spec, SliSpec)
            case "AlertPolicy":
                self.policies[name] = spec
            case "AlertCondition":
                self.conditions[name] = spec
            case _:
                pass


def read(documents: Iterable[object]) -> list[OpenSlo]:
    """Read the SLOs of some parsed documents; one may name another.

    Raises
    ------
    ValueError
        With one line for each document that is wrong: which, and the path of the field.

    Examples
    --------
    >>> source = {"type": "seqwatch", "spec": {"sli": "availability"}}
    >>> spec = {
    ...     "service": "load",
    ...     "indicator": {"spec": {"ratioMetric": {"raw": {"metricSource": source}}}},
    ...     "timeWindow": [{"duration": "4w", "isRolling": True}],
    ...     "budgetingMethod": "Occurrences",
    ...     "objectives": [{"target": 0.999}],
    ... }
    >>> document = {"apiVersion": "openslo/v1", "kind": "SLO", "metadata": {"name": "up"}}
    >>> [slo] = read([document | {"spec": spec}])
    >>> slo.model, slo.params["objective"], slo.params["period"]
    ('load', 0.999, 'P28D')
    """
    known, slos, faults = _References(), list[tuple[Metadata, Any]](), list[str]()
    for number, document in enumerate(documents, 1):
        try:
            kind, metadata, spec = _parts(document)
            if kind == "SLO":
                slos.append((metadata, spec))
            else:
                known.add(kind, metadata.name, spec)
        except (ValueError, TypeError) as error:
            faults.append(f"document {number}: {error}")
    found = []
    for metadata, spec in slos:
        try:
            found.append(_slo(metadata, spec, known))
        except (ValueError, TypeError) as error:
            faults.append(f"SLO {metadata.name!r}: {error}")
    if faults:
        raise ValueError("\n".join(faults))
    return found


def _parts(document: object) -> tuple[str, Metadata, Any]:
    if not isinstance(document, Mapping):
        raise TypeError("must be a mapping")
    unknown = document.keys() - {"apiVersion", "kind", "metadata", "spec"}
    if unknown:
        raise ValueError(f"unknown {', '.join(sorted(map(str, unknown)))}")
    if document.get("apiVersion") != VERSION:
        raise ValueError(f"apiVersion must be {VERSION}, not {document.get('apiVersion')!r}")
    metadata = msgspec.convert(document.get("metadata"), Metadata)
    if not re.fullmatch(NAME, metadata.name):
        raise ValueError("metadata.name must be lower-case letters, digits and -, at most 63")
    kind = document.get("kind")
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    return str(kind), metadata, document.get("spec")


def _slo(metadata: Metadata, raw: object, known: _References) -> OpenSlo:
    spec = msgspec.convert(raw, SloSpec, strict=False)
    notes = [f"{name} is kept by no field here" for name in ("labels",) if metadata.labels]
    if spec.description:
        notes.append("description is kept by no field here")
    if len(spec.objectives) != 1:
        raise ValueError("spec.objectives must have one: composite SLOs are not evaluated")
    [objective] = spec.objectives
    if objective.indicator is not None or objective.indicator_ref or objective.composite_weight:
        raise ValueError("spec.objectives[0].indicator: composite SLOs are not evaluated")
    source = _source(spec, known)
    params: dict[str, Any] = {
        "sli": source.sli,
        "objective": float(_target(objective)),
        "method": METHODS[spec.budgeting_method].value,
        **_window(spec.time_window),
        **_slices(spec.budgeting_method, objective),
    }
    if of_sli := {**source.params, **_limit(source.sli, objective)}:
        params["sli_params"] = of_sli
    notes += _policies(spec.alert_policies, known)
    return OpenSlo(name=metadata.name, model=spec.service, params=params, notes=tuple(notes))


def _source(spec: SloSpec, known: _References) -> OfSource:
    """Return the SLI of the first metric of an indicator."""
    if (spec.indicator is None) == (spec.indicator_ref is None):
        raise ValueError("spec must have either indicator or indicatorRef")
    if spec.indicator is not None:
        of_sli = spec.indicator.spec
    elif spec.indicator_ref in known.indicators:
        of_sli = known.indicators[spec.indicator_ref]
    else:
        raise ValueError(
            f"spec.indicatorRef: no SLI {spec.indicator_ref!r} among the documents"
        )
    ratio = of_sli.ratio_metric
    metrics = [of_sli.threshold_metric]
    if ratio is not None:
        metrics += [ratio.raw, ratio.good, ratio.bad, ratio.total]
    sources = [metric.metric_source for metric in metrics if metric is not None]
    if not sources:
        raise ValueError("the indicator has no metric source")
    if any(source != sources[0] for source in sources):
        raise ValueError("the indicator's metrics must have the same metric source")
    if sources[0].type != SOURCE:
        raise ValueError(
            f"metricSource.type is {sources[0].type!r}: only {SOURCE!r} can be evaluated, with "
            "spec {sli, params}"
        )
    return msgspec.convert(sources[0].spec, OfSource)


def _target(objective: Objective) -> Decimal:
    if (objective.target is None) == (objective.target_percent is None):
        raise ValueError("an objective has either target or targetPercent")
    if objective.target is not None:
        return objective.target
    assert objective.target_percent is not None
    return objective.target_percent / 100


def _limit(name: str, objective: Objective) -> dict[str, str]:
    """Return a threshold as a parameter: of latency, the seconds above which it is bad."""
    if objective.op is None and objective.value is None:
        return {}
    if name != "latency" or objective.op not in ("lte", "lt") or objective.value is None:
        raise ValueError(
            "op and value are read for the SLI latency with lte or lt; state other limits in "
            "the params of the metric source"
        )
    return {"slower_than": to_text(timedelta(seconds=objective.value))}


def _window(windows: Sequence[TimeWindow]) -> dict[str, str]:
    if len(windows) != 1:
        raise ValueError("spec.timeWindow must have one item")
    [window] = windows
    n, unit = _duration(window.duration)
    if window.is_rolling:
        if unit not in ROLLING:
            raise ValueError(f"a rolling timeWindow has m, h, d or w, not {window.duration!r}")
        return {"period": to_text(n * ROLLING[unit])}
    if window.calendar is None:
        raise ValueError("timeWindow: a period that does not roll needs a calendar")
    if unit not in CALENDAR or n != 1:
        raise ValueError(f"a calendar period is 1w, 1M, 1Q or 1Y, not {window.duration!r}")
    kind = CalendarPeriod(CALENDAR[unit])
    return {"calendar": kind.value, "zone": window.calendar.time_zone}


def _slices(method: str, objective: Objective) -> dict[str, Any]:
    if method == "Occurrences":
        return {}
    found: dict[str, Any] = {}
    if objective.time_slice_window is not None:
        n, unit = _duration(str(objective.time_slice_window))
        found["slice_width"] = to_text(n * ROLLING[unit])
    if method == "Timeslices":
        if objective.time_slice_target is None:
            raise ValueError("Timeslices need timeSliceTarget")
        found["slice_target"] = float(objective.time_slice_target)
    return found


def _duration(text: str) -> tuple[int, str]:
    """Read a duration of OpenSLO: a number with a unit, minutes without one."""
    match = re.fullmatch(r"([1-9]\d{0,5})([mhdwMQY]?)", text)
    if match is None:
        raise ValueError(f"duration {text!r} must be a number with m, h, d, w, M, Q or Y")
    return int(match[1]), match[2] or "m"


def _policies(policies: Sequence[Any], known: _References) -> list[str]:
    """Check alert policies: tiers follow from the period here, so that they have no effect."""
    for policy in policies:
        named = policy.get("alertPolicyRef") if isinstance(policy, Mapping) else None
        spec = known.policies.get(named) if named else _spec(policy)
        if spec is None:
            raise ValueError(f"alertPolicies: no AlertPolicy {named!r} among the documents")
        for condition in spec.get("conditions", []):
            by_name = condition.get("conditionRef")
            of = known.conditions.get(by_name) if by_name else _spec(condition)
            if of is None:
                raise ValueError(f"alertPolicies: no AlertCondition {by_name!r}")
            found = msgspec.convert(of.get("condition"), Condition)
            if found.op in ("lt", "lte"):
                raise ValueError(
                    f"alertPolicies: a burn rate condition with op {found.op} fires while all "
                    "is well; use gt or gte"
                )
    return ["alertPolicies have no effect: tiers follow from the period"] if policies else []


def _spec(document: object) -> Any:
    return document.get("spec") if isinstance(document, Mapping) else None
