"""Test for a change of temporal patterns in one window."""

from datetime import datetime, timedelta

from core.window import Window
from monitors.baselines.daily_evaluations import by_view, no_data, since, what_lacks
from monitors.detail import ViewDetail
from monitors.false_alarms.decision import verdict
from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Finding, as_json
from monitors.statistics.false_discovery_rate import names_moved
from monitors.statistics.max_statistic import largest
from monitors.summaries.hourly import HOURS, Hourly, whole_days
from monitors.summaries.summary import chunk_at, chunk_start
from monitors.temporal.panel import (
    PanelEvaluations,
    TemporalPatternBaseline,
    evaluate_days,
    panel_views,
)
from monitors.temporal.panel_explanation import explain


class TemporalPatternDetail(ViewDetail, frozen=True):
    """Scores by feature and view; the statistic that moved most, and how far."""

    season_hours: int | None = None
    statistic: str | None = None
    away: float | None = None


def evaluate(
    baseline: TemporalPatternBaseline | WarmingUp, recent: Hourly, as_of: datetime
) -> Finding:
    """Evaluate the window that ends with the last closed day.

    Parameters
    ----------
    baseline
        From `monitors.temporal.panel.fit`.
    recent
        The hours before `as_of`, at least a window and a season long; with
        more, `since` can reach further back.
    as_of
        Event time, timezone-aware.

    Returns
    -------
    Finding
        `value` is the largest score over features and views. The detail
        holds what moved most, per feature the score in each view, and of a
        breach `moved`, the features that moved (`monitors.statistics.false_discovery_rate`).
        `NO_DATA` while the reference is too short or the window too empty.
    """
    end = chunk_at(as_of) // HOURS * HOURS
    days = baseline.params.window_days if isinstance(baseline, TemporalPatternBaseline) else 1
    window = Window(start=chunk_start(end) - timedelta(days=days), end=chunk_start(end))
    if isinstance(baseline, WarmingUp):
        return no_data(window, str(baseline))
    evaluations = evaluate_days(baseline, whole_days(recent, end))
    lacks = what_lacks(evaluations.joint, evaluations.first_day, end)
    if lacks:
        return no_data(window, lacks)
    return verdict(
        baseline.alarm_threshold,
        evaluations.joint[-1],
        window,
        lambda: explain(baseline, evaluations).sentence,
        _detail(baseline, evaluations),
    )


def _detail(
    baseline: TemporalPatternBaseline, evaluations: PanelEvaluations
) -> TemporalPatternDetail:
    views = [view.name for view in panel_views(baseline.params.season_hours)]
    most, limit = explain(baseline, evaluations), baseline.alarm_threshold.value
    scores = largest(evaluations.scores[-1], axis=1)
    return TemporalPatternDetail(
        window_days=baseline.params.window_days,
        season_hours=baseline.params.season_hours,
        n_windows=baseline.n_windows,
        top=most.feature,
        view=most.view,
        statistic=most.statistic,
        away=as_json(most.away),
        moved=names_moved(
            evaluations.joint[-1], baseline.names, scores, baseline.evaluations, limit
        ),
        since=since(evaluations.joint, evaluations.first_day, limit),
        features=by_view(baseline.names, views, evaluations.scores[-1]),
    )
