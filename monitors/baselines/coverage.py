"""Coverage in a finding's detail: inputs and segments that are not evaluated."""

from collections.abc import Sequence

from monitors.baselines.segments import segment_of
from monitors.detail import EvaluatedSegments, NotEvaluated
from monitors.finding import Finding
from monitors.summaries.hourly import Hourly
from monitors.summaries.input_history import InputHistory

NO_NUMBERS = "no feature is a number that is kept"


def with_coverage(finding: Finding, evaluated: Sequence[str], recent: InputHistory) -> Finding:
    """Add to a finding which inputs and segments have no reference to be evaluated against.

    Parameters
    ----------
    finding
        Of the monitor.
    evaluated
        The features that it evaluated; none while it evaluates none.
    recent
        All features lately.
    """
    return of_hours(finding, evaluated, recent.hours, recent.n_total)


def of_hours(
    finding: Finding, evaluated: Sequence[str], recent: Hourly, n_total: int | None
) -> Finding:
    """Add to a finding what `with_coverage` adds, given numbers on a grid of hours."""
    whole = recent.names[:n_total]
    if evaluated:
        finding = without(finding, [name for name in whole if name not in {*evaluated}])
    if n_total is None:
        return finding
    there = recent.n.sum(axis=0) > 0
    lately = {
        segment_of(name) for i, name in enumerate(recent.names) if i >= n_total and there[i]
    }
    known = {segment_of(name) for name in evaluated if name not in {*whole}}
    return finding.with_figures(segments=EvaluatedSegments.of(known, lately))


def without(finding: Finding, names: Sequence[str]) -> Finding:
    """Add to a finding the inputs that have no reference."""
    return finding.with_figures(not_evaluated=dict.fromkeys(names, NotEvaluated()))
