"""Decision on evidence: the threshold follows from the model's false-alarm budget."""

from collections.abc import Mapping
from dataclasses import replace

import msgspec
import numpy as np

from monitors.evidence import Cause, Evidence, Implicated
from monitors.false_alarms.threshold import FalseAlarmThreshold, fit_threshold
from monitors.false_alarms.warm_up import MIN_WINDOWS
from monitors.finding import Finding, Json, Outcome, as_json
from monitors.show import CellKind, Column, Table, View


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
        cause = "no value in the window"
    if cause:
        return Finding(
            outcome=Outcome.NO_DATA,
            value=None,
            threshold=None,
            window=evidence.window,
            cause=cause,
        )
    promised = days_between_false_alarms * evidence.per_day * n_sharing
    threshold = fit_threshold(evidence.null, promised, evidence.gap)
    breach = evidence.score > threshold.value
    return Finding(
        outcome=Outcome.BREACH if breach else Outcome.OK,
        value=float(evidence.score),
        threshold=threshold.value,
        window=evidence.window,
        cause=evidence.message if breach else "",
        detail={
            **evidence.detail,
            "effect": None if evidence.effect is None else as_json(evidence.effect),
            "implicated": msgspec.to_builtins([*evidence.implicated]),
            "causes": msgspec.to_builtins([*evidence.causes]),
            "threshold": msgspec.to_builtins(_in_days(threshold, evidence.per_day)),
        },
    )


def _in_days(threshold: FalseAlarmThreshold, per_day: float) -> FalseAlarmThreshold:
    return replace(
        threshold,
        promised_days=threshold.promised_days / per_day,
        replayed_days=threshold.replayed_days / per_day,
    )


def show(detail: Mapping[str, Json]) -> list[View]:
    """Show the implicated inputs and the causes of a finding that came from evidence."""
    implicated = msgspec.convert(detail.get("implicated", ()), list[Implicated])
    causes = msgspec.convert(detail.get("causes", ()), list[Cause])
    found: list[View] = []
    if implicated:
        columns = (
            Column(name="Input", unit=CellKind.TEXT),
            Column(name="Score"),
            Column(name="Effect, SD"),
        )
        inputs = tuple((one.name, one.score, one.effect) for one in implicated)
        found.append(Table(title="Implicated inputs", columns=columns, rows=inputs))
    if causes:
        named = (
            Column(name="Cause", unit=CellKind.TEXT),
            Column(name="Probability", unit=CellKind.SHARE),
        )
        rows = tuple((one.name, one.probability) for one in causes)
        found.append(Table(title="Causes", columns=named, rows=rows))
    return found
