"""Input health: missing, stuck and implausible inputs, at the model's grain."""

from monitors.data_quality import input_health
from monitors.data_quality.input_health import (
    InputHealthBaseline,
    InputHealthDetail,
    InputHealthParams,
)
from monitors.finding import Finding
from monitors.kind import Inputs, Interval, MonitorKind
from monitors.show import CellKind, Column, Table, View
from monitors.sources import InputGrains
from monitors.summaries.grains import Grains

_GRAINS = InputGrains()


def fit(_: InputHealthParams, before: Grains) -> InputHealthBaseline | None:
    """Learn from the days before; bounds of mean and spread only from a whole day."""
    return input_health.fit(before, knows_a_day=before.spans_a_day)


def evaluate(params: InputHealthParams, inputs: Inputs) -> Finding:
    """Evaluate the last grain."""
    return input_health.evaluate(inputs.fitted, inputs[_GRAINS], params)


def show(detail: InputHealthDetail, _: float | None) -> list[View]:
    """Show each input at fault beside what the days before had."""
    columns = (
        *(Column(name=name, unit=CellKind.TEXT) for name in ("Input", "Fault")),
        *(Column(name=name, unit=CellKind.COUNT) for name in ("Grains", "Longest before")),
        *(Column(name=name) for name in ("Value", "Lowest before", "Highest before")),
    )
    rows = tuple(
        (
            one.feature,
            one.fact.value,
            one.grains,
            one.longest_before,
            one.value,
            one.low,
            one.high,
        )
        for one in detail.input_faults
    )
    return [Table(title="Inputs at fault", columns=columns, rows=rows)] if rows else []


KIND = MonitorKind(
    name="input_health",
    question="Is every input alive and plausible, grain by grain?",
    params=InputHealthParams,
    detail=InputHealthDetail,
    sources=lambda _: [_GRAINS],
    evaluate=evaluate,
    show=show,
    fit=fit,
    reads_context=True,
    interval=Interval.GRAIN,
    runbook=lambda *_: "input_fault",
)
