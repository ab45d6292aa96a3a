"""Data quality: completeness, freshness and range of the input."""

from monitors.baselines.coverage import without
from monitors.data_quality import data_quality
from monitors.data_quality.baseline import DataQualityBaseline
from monitors.data_quality.flaws import DataQualityDetail, DataQualityParams
from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Finding
from monitors.kind import Inputs, MonitorKind, ReferenceOf
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
    assert isinstance(found.detail, DataQualityDetail)
    known = found.detail.quality
    return without(found, [name for name in days.names if known and name not in known])


def show(detail: DataQualityDetail, _: float | None) -> list[View]:
    """Show what is beyond its limit."""
    columns = (
        Column(name="Fact", unit=CellKind.TEXT),
        Column(name="Feature", unit=CellKind.TEXT),
        *(Column(name=name) for name in ("Found", "Baseline", "Limit")),
    )
    rows = tuple(
        (one.fact.value, one.feature or "all rows", one.value, one.baseline, one.limit)
        for one in detail.flaws
    )
    return [Table(title="What is beyond its limit", columns=columns, rows=rows)] if rows else []


KIND = MonitorKind(
    name="data_quality",
    question="Is the data complete, fresh and within its range?",
    params=DataQualityParams,
    detail=DataQualityDetail,
    sources=lambda _: [_RECENT, _VOLUME],
    evaluate=evaluate,
    show=show,
    fit=fit,
    fitted_on=ReferenceOf.WIDEST,
    reads_context=True,
    needs_reference=False,
    is_explained_by=DataQualityDetail.is_explained,
    runbook=lambda *_: "input_fault",
)
