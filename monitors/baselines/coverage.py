"""Coverage in a finding's detail: inputs and segments that are not evaluated."""

from collections.abc import Sequence
from dataclasses import replace

from monitors.baselines.segments import segment_of
from monitors.finding import Finding, Json
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
    lacking = unevaluated(
        [name for name in whole if name not in {*evaluated}] if evaluated else ()
    )
    finding = replace(finding, detail={**finding.detail, **lacking})
    if n_total is None:
        return finding
    there = recent.n.sum(axis=0) > 0
    lately = {
        segment_of(name) for i, name in enumerate(recent.names) if i >= n_total and there[i]
    }
    known = {segment_of(name) for name in evaluated if name not in {*whole}}
    segments: dict[str, Json] = {
        "evaluated": sorted(known),
        "warming_up": sorted(lately - known),
    }
    return replace(finding, detail={**finding.detail, "segments": segments})


def unevaluated(names: Sequence[str]) -> dict[str, Json]:
    """Return the entry of a finding's detail for inputs without reference.

    Examples
    --------
    >>> unevaluated(["wind"])
    {'not_evaluated': {'wind': {'outcome': 'no_data', 'reason': 'no_reference'}}}
    >>> unevaluated([])
    {}
    """
    reasons = {name: {"outcome": "no_data", "reason": "no_reference"} for name in names}
    return {"not_evaluated": reasons} if reasons else {}
