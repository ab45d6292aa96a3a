"""Segment accuracy: the error of each segment beside the others."""

from monitors.finding import Finding
from monitors.kind import Inputs, MonitorKind, by_any
from monitors.performance import segment_accuracy
from monitors.performance.segment_accuracy import (
    VIEW,
    SegmentAccuracyDetail,
    SegmentAccuracyParams,
)
from monitors.show import CellKind, Column, Table, View
from monitors.sources import ErrorsBySegment


def evaluate(params: SegmentAccuracyParams, inputs: Inputs) -> Finding:
    """Evaluate the last labelled window against the version's own labelled past."""
    past = inputs[_past(params)]
    if past is None:
        cause = "no label of a forecast of the champion for a segment is due"
        return inputs.context.no_data(cause)
    return segment_accuracy.evaluate(past, params)


def _past(params: SegmentAccuracyParams) -> ErrorsBySegment:
    return ErrorsBySegment(window_days=params.window_days, reference_days=params.reference_days)


def show(detail: SegmentAccuracyDetail, threshold: float | None) -> list[View]:
    """Show the errors of each segment beside its baseline and the others, the worst first."""
    scores = detail.features
    rows = [
        (name, (of.baseline, of.error), of.times, of.others, scores.get(name, {}).get(VIEW))
        for name, of in detail.errors.items()
    ]
    columns = (
        Column(name="Segment", unit=CellKind.TEXT),
        Column(name="Error: baseline → window", unit=CellKind.CHANGE),
        Column(name="Times as much"),
        Column(name="The others"),
        Column(name="Score", limit=threshold),
    )
    rows.sort(key=lambda row: -(row[-1] or 0.0))
    return [Table(title="Segments", columns=columns, rows=(*rows,))] if rows else []


KIND = MonitorKind(
    name="segment_accuracy",
    question="Has the error of one segment alone grown?",
    params=SegmentAccuracyParams,
    detail=SegmentAccuracyDetail,
    sources=lambda params: [_past(params)],
    evaluate=evaluate,
    show=show,
    oks_to_resolve=7,
    is_against_reference=True,
    is_explained_by=by_any,
    needs_segments=True,
    runbook=lambda *_: "accuracy_loss",
)
