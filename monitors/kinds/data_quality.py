"""Data quality: completeness, freshness and range of the input."""

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from monitors.baselines.coverage import unevaluated
from monitors.data_quality import data_quality
from monitors.data_quality.baseline import DataQualityBaseline
from monitors.data_quality.flaws import DataQualityParams, StoredFlaw
from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Finding
from monitors.kind import Detail, Inputs, MonitorKind, ReferenceOf
from monitors.show import CellKind, Column, Table, View
from monitors.sources import RecentInput, Volume
from monitors.summaries.input_history import InputHistory

_RECENT, _VOLUME = RecentInput(), Volume()


def fit(params: DataQualityParams, reference: InputHistory) -> DataQualityBaseline | WarmingUp:
    """Fit ranges and shares on the days of the longest reference."""
    measured = [reference.edges.names[i] for i in reference.measured]
    return data_quality.fit(reference.days(reference.kept), measured, params)


def evaluate(params: DataQualityParams, inputs: Inputs) -> Finding:
    """Evaluate the last day."""
    recent = inputs[_RECENT]
    days = recent.days(recent.kept)
    found = data_quality.evaluate(
        inputs.fitted, days, inputs[_VOLUME], params, inputs.context.last_day
    )
    figures = found.detail.get("quality")
    known = figures if isinstance(figures, Mapping) else {}
    lacking = [name for name in days.names if name not in known] if known else []
    return replace(found, detail={**found.detail, **unevaluated(lacking)})


def show(detail: Detail, _: float | None) -> list[View]:
    """Show what is beyond its limit."""
    flaws = msgspec.convert(detail.get("flaws", ()), list[StoredFlaw])
    columns = (
        Column(name="Fact", unit=CellKind.TEXT),
        Column(name="Feature", unit=CellKind.TEXT),
        *(Column(name=name) for name in ("Found", "Baseline", "Limit")),
    )
    rows = tuple(
        (one.fact.value, one.feature or "all rows", one.value, one.baseline, one.limit)
        for one in flaws
    )
    return [Table(title="What is beyond its limit", columns=columns, rows=rows)] if rows else []


KIND = MonitorKind(
    name="data_quality",
    question="Is the data complete, fresh and within its range?",
    params=DataQualityParams,
    sources=lambda _: [_RECENT, _VOLUME],
    evaluate=evaluate,
    show=show,
    fit=fit,
    fitted_on=ReferenceOf.WIDEST,
    reads_context=True,
    needs_reference=False,
    is_explained_by=data_quality.is_explained,
)
