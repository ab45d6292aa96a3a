"""Segment accuracy: the error of each segment beside the others."""

from monitors.finding import Finding
from monitors.kind import Inputs, MonitorKind, by_any
from monitors.performance import segment_accuracy
from monitors.performance.segment_accuracy import SegmentAccuracyParams
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


KIND = MonitorKind(
    name="segment_accuracy",
    question="Has the error of one segment alone grown?",
    params=SegmentAccuracyParams,
    sources=lambda params: [_past(params)],
    evaluate=evaluate,
    oks_to_resolve=7,
    is_against_reference=True,
    is_explained_by=by_any,
    needs_segments=True,
)
