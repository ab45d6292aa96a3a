"""Episodes of a backtest: the alerts of one monitor on its way through the days."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from alerts.state import AlertState, Flip, Phase, step
from db.tables import Monitor
from monitors.detail import Detail
from monitors.finding import Finding, Outcome
from monitors.kind import BrokenInput, MonitorKind
from services.alerting.alert_rules import rule_of
from services.models.monitor_config import MonitorPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """An alert of the backtest: from its first breach to its end.

    Attributes
    ----------
    since, until
        Event time; `until` is None while it still fired at the end.
    n_days
        Days with a breach.
    worst
        The highest value of them.
    inhibited
        A broken input explained it as long as it fired: nobody would have been notified.
    """

    monitor: str
    kind: str
    severity: str
    since: datetime
    until: datetime | None
    n_days: int
    worst: float | None
    cause: str
    inhibited: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Evaluations of one monitor, and their outcomes.

    Attributes
    ----------
    n_evaluated, n_without
        Days with a verdict, and days without one.
    why_without
        The cause of the last day without a verdict.
    promised_days, achieved_days
        Between two false alarms: as asked for, and as measured on the reference.
    days_between_episodes
        As replayed: all of them, the true ones too.
    """

    monitor: str
    kind: str
    severity: str
    n_evaluated: int
    n_without: int
    n_breaches: int
    n_episodes: int
    why_without: str
    promised_days: float | None
    achieved_days: float | None
    days_between_episodes: float | None


@dataclass(slots=True, kw_only=True)
class Tracker:
    """One monitor on its way through the days."""

    plan: MonitorPlan
    kind: MonitorKind[Any, Any]
    severity: str
    monitor: Monitor
    state: AlertState = field(default_factory=AlertState)
    before: Detail | None = None
    broken: Sequence[BrokenInput] = ()
    findings: list[Finding] = field(default_factory=list)
    breach: Finding | None = None
    episodes: list[Episode] = field(default_factory=list)


def follow(tracker: Tracker, finding: Finding, as_of: datetime, broken: Set[str]) -> None:
    """Move the alert of a monitor by the finding of one day.

    Parameters
    ----------
    tracker
        Of the monitor; its episodes grow.
    finding, as_of
        What was found, and at which slot.
    broken
        The inputs that any monitor of the backtest found broken by then.
    """
    rule = rule_of(tracker.plan.kind)
    tracker.state, change = step(rule, tracker.state, finding.outcome, as_of)
    if finding.outcome is Outcome.BREACH:
        tracker.breach = finding
    episodes = tracker.episodes
    if change is not None and change.flip is Flip.FIRED:
        assert tracker.state.since is not None
        episodes.append(
            Episode(
                monitor=tracker.plan.name,
                kind=tracker.plan.kind,
                severity=tracker.severity,
                since=tracker.state.since,
                until=None,
                n_days=rule.breaches_to_fire - 1,
                worst=None,
                cause=finding.cause,
                inhibited=True,
            )
        )
    if change is not None and change.flip is Flip.RESOLVED:
        episodes[-1] = replace(episodes[-1], until=as_of)
    elif tracker.state.phase is Phase.FIRING:
        assert tracker.breach is not None
        still = tracker.kind.is_explained_by(tracker.breach.detail, broken)
        episodes[-1] = replace(episodes[-1], inhibited=episodes[-1].inhibited and still)
        if finding.outcome is Outcome.BREACH:
            episodes[-1] = _worse(episodes[-1], finding)


def _worse(episode: Episode, finding: Finding) -> Episode:
    values = [value for value in (episode.worst, finding.value) if value is not None]
    return replace(episode, n_days=episode.n_days + 1, worst=max(values, default=None))


def record(tracker: Tracker) -> Record:
    """Return how often a monitor was evaluated, and what its evaluations ended in."""
    evaluated = [f for f in tracker.findings if f.outcome in (Outcome.OK, Outcome.BREACH)]
    without = [f for f in tracker.findings if f.outcome not in (Outcome.OK, Outcome.BREACH)]
    last = evaluated[-1].detail if evaluated else Detail()
    n = len(tracker.episodes)
    return Record(
        monitor=tracker.plan.name,
        kind=tracker.plan.kind,
        severity=tracker.severity,
        n_evaluated=len(evaluated),
        n_without=len(without),
        n_breaches=sum(f.outcome is Outcome.BREACH for f in evaluated),
        n_episodes=n,
        why_without=without[-1].cause if without else "",
        promised_days=last.promised_days,
        achieved_days=last.achieved_days,
        days_between_episodes=len(evaluated) / n if n else None,
    )
