"""Documents of OpenSLO v1, as far as they are read: unknown fields are errors."""

from decimal import Decimal
from typing import Any, Literal

import msgspec

VERSION = "openslo/v1"
SOURCE = "seqwatch"  # the type of a metric source
SHORT_WINDOW = "seqwatch/short-window"  # annotation of a policy: v1 has no field for it
NAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


class Part(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A part of a document; unknown fields are errors."""


class Metadata(Part):
    """Name of an object."""

    name: str
    display_name: str | None = None
    labels: dict[str, Any] = {}
    annotations: dict[str, str] = {}


class OfSource(Part):
    """Our metric source: an SLI and its parameters."""

    sli: str
    params: dict[str, Any] = {}


class MetricSource(Part):
    """Where a metric comes from."""

    type: str | None = None
    metric_source_ref: str | None = None
    spec: Any = None


class Metric(Part):
    """A metric of an indicator."""

    metric_source: MetricSource


class Ratio(Part):
    """A ratio of good or bad to all."""

    counter: bool = False
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric | None = None
    raw_type: Literal["success", "failure"] | None = None
    raw: Metric | None = None


class SliSpec(Part):
    """An indicator: a threshold metric or a ratio."""

    description: str = ""
    threshold_metric: Metric | None = None
    ratio_metric: Ratio | None = None


class Indicator(Part):
    """An indicator within an SLO."""

    spec: SliSpec
    metadata: Metadata | None = None


class Calendar(Part):
    """Start and zone of a calendar period."""

    start_time: str
    time_zone: str


class TimeWindow(Part):
    """The period of an SLO."""

    duration: str
    is_rolling: bool = False
    calendar: Calendar | None = None


class Objective(Part):
    """The target of an SLO."""

    display_name: str | None = None
    op: str | None = None
    value: float | None = None
    target: Decimal | None = None
    target_percent: Decimal | None = None
    time_slice_target: Decimal | None = None
    time_slice_window: str | int | None = None
    indicator: Any = None
    indicator_ref: str | None = None
    composite_weight: float | None = None


class SloSpec(Part):
    """An SLO."""

    service: str
    time_window: list[TimeWindow]
    budgeting_method: Literal["Occurrences", "Timeslices", "RatioTimeslices"]
    objectives: list[Objective]
    description: str = ""
    indicator: Indicator | None = None
    indicator_ref: str | None = None
    alert_policies: list[Any] = []


class Condition(Part):
    """When an alert policy fires."""

    kind: str
    op: str
    threshold: float
    lookback_window: str
    alert_after: str | int | None = None
