"""Decision on evidence: the threshold follows from the model's false-alarm budget."""

from collections.abc import Callable

import msgspec
import numpy as np

from core.window import Window
from monitors.detail import Detail
from monitors.evidence import Evidence, EvidenceDetail
from monitors.false_alarms.threshold import FalseAlarmThreshold, fit_threshold
from monitors.false_alarms.warm_up import MIN_WINDOWS
from monitors.finding import Finding, Outcome, as_json
from monitors.show import CellKind, Column, Table, View


def verdict(
    threshold: FalseAlarmThreshold,
    value: float,
    window: Window,
    cause: Callable[[], str],
    detail: Detail,
    per_day: float = 1.0,
) -> Finding:
    """Compare a score with its threshold and return the finding.

    Parameters
    ----------
    threshold
        Its promise, and the rate over the reference, are added to the detail.
    value, window
        The score, and the event time that was evaluated.
    cause
        Called for a breach alone.
    detail
        Figures of the kind.
    per_day
        Evaluations in a day.
    """
    achieved = threshold.achieved_days
    figures = msgspec.structs.replace(
        detail,
        promised_days=threshold.promised_days / per_day,
        achieved_days=None if achieved is None else as_json(achieved / per_day),
        replayed_days=threshold.replayed_days / per_day,
        extrapolated=threshold.extrapolated,
    )
    message = cause() if value > threshold.value else ""
    return Finding.of(float(value), threshold.value, window, message, figures)


def decide(evidence: Evidence, days_between_false_alarms: float, n_sharing: int = 1) -> Finding:
    """Set the threshold and return the finding.

    Parameters
    ----------
    evidence
        Of one evaluation.
    days_between_false_alarms
        The budget of the model.
    n_sharing
        Monitors that share the budget in equal parts: each may alarm once in so many times
        the days.

    Returns
    -------
    Finding
        `NO_DATA` without a score, or with fewer than 19 evaluations without a change.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from core.window import Window
    >>> day = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    >>> null = np.random.default_rng(1).normal(size=365)
    >>> found = decide(Evidence(score=9.0, null=null, window=day, message="load rose"), 90.0)
    >>> found.outcome.value, found.cause
    ('breach', 'load rose')
    """
    n = int(np.isfinite(evidence.null).sum())
    cause = ""
    if n < MIN_WINDOWS:
        cause = f"warming up: {n} of {MIN_WINDOWS} evaluations without a change"
    elif not np.isfinite(evidence.score):
        cause = evidence.message or "no value in the window"
    if cause:
        return Finding(outcome=Outcome.NO_DATA, window=evidence.window, cause=cause)
    promised = days_between_false_alarms * evidence.per_day * n_sharing
    return verdict(
        fit_threshold(evidence.null, promised, evidence.gap),
        evidence.score,
        evidence.window,
        lambda: evidence.message,
        EvidenceDetail(
            effect=None if evidence.effect is None else as_json(evidence.effect),
            implicated=tuple(evidence.implicated),
            causes=tuple(evidence.causes),
        ),
        evidence.per_day,
    )


def show(detail: Detail) -> list[View]:
    """Show the implicated inputs and the causes of a finding that came from evidence."""
    found: list[View] = []
    if not isinstance(detail, EvidenceDetail):
        return found
    if detail.implicated:
        columns = (
            Column(name="Input", unit=CellKind.TEXT),
            Column(name="Score"),
            Column(name="Effect, SD"),
        )
        inputs = tuple((one.name, one.score, one.effect) for one in detail.implicated)
        found.append(Table(title="Implicated inputs", columns=columns, rows=inputs))
    if detail.causes:
        named = (
            Column(name="Cause", unit=CellKind.TEXT),
            Column(name="Probability", unit=CellKind.SHARE),
        )
        rows = tuple((one.name, one.probability) for one in detail.causes)
        found.append(Table(title="Causes", columns=named, rows=rows))
    return found
