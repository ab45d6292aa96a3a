"""Silence: predictions have stopped arriving, of a model or of one of its entities."""

from monitors.finding import Finding
from monitors.kind import Inputs, Interval, MonitorKind, Severity
from monitors.show import CellKind, Column, Table, View
from monitors.slo import silence
from monitors.slo.silence import SilenceDetail, SilenceParams
from monitors.sources import Arrivals

_ARRIVALS = Arrivals()


def evaluate(params: SilenceParams, inputs: Inputs) -> Finding:
    """Evaluate the moment, by the wall clock."""
    return silence.evaluate(inputs[_ARRIVALS], params)


def show(detail: SilenceDetail, _: float | None) -> list[View]:
    """Show which entities are silent, and since when."""
    columns = (
        Column(name="Entity", unit=CellKind.TEXT),
        Column(name="Last at", unit=CellKind.TEXT),
    )
    rows = tuple((one.entity, one.last_at.isoformat()) for one in detail.silent_entities)
    return [Table(title="Silent entities", columns=columns, rows=rows)] if rows else []


KIND = MonitorKind(
    name="silence",
    means_missing_data=True,
    question="Do predictions still arrive?",
    params=SilenceParams,
    detail=SilenceDetail,
    sources=lambda _: [_ARRIVALS],
    evaluate=evaluate,
    show=show,
    needs_reference=False,
    severity=Severity.PAGE,
    interval=Interval.CLOCK,
    names_entities=True,
    runbook=lambda *_: "silent_model",
)
