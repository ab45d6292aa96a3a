"""Test for a change of temporal patterns in one window."""

from datetime import datetime, timedelta

import numpy as np

from core.window import Window
from monitors.baselines.daily_evaluations import no_data, since, what_lacks
from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Finding, Json, Outcome, as_json
from monitors.statistics.false_discovery_rate import moved
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
    joint = float(evaluations.joint[-1])
    breach = joint > baseline.alarm_threshold.value
    return Finding(
        outcome=Outcome.BREACH if breach else Outcome.OK,
        value=joint,
        threshold=baseline.alarm_threshold.value,
        window=window,
        cause=explain(baseline, evaluations).sentence if breach else "",
        detail=_detail(baseline, evaluations, breach=breach),
    )


def _detail(
    baseline: TemporalPatternBaseline, evaluations: PanelEvaluations, *, breach: bool
) -> dict[str, Json]:
    views = [view.name for view in panel_views(baseline.params.season_hours)]
    features: dict[str, Json] = {
        name: {view: as_json(score) for view, score in zip(views, scores, strict=True)}
        for name, scores in zip(baseline.names, evaluations.scores[-1], strict=True)
    }
    most = explain(baseline, evaluations)
    achieved = baseline.alarm_threshold.achieved_days
    return {
        "window_days": baseline.params.window_days,
        "season_hours": baseline.params.season_hours,
        "promised_days": baseline.alarm_threshold.promised_days,
        "achieved_days": None if achieved is None else as_json(achieved),
        "replayed_days": baseline.alarm_threshold.replayed_days,
        "extrapolated": baseline.alarm_threshold.extrapolated,
        "n_windows": baseline.n_windows,
        "top": most.feature,
        "view": most.view,
        "statistic": most.statistic,
        "away": as_json(most.away),
        "moved": _moved(baseline, evaluations) if breach else [],
        "since": since(
            evaluations.joint, evaluations.first_day, baseline.alarm_threshold.value
        ),
        "features": features,
    }


def _moved(baseline: TemporalPatternBaseline, evaluations: PanelEvaluations) -> list[str]:
    scores = largest(evaluations.scores[-1], axis=1)
    found = moved(scores, baseline.evaluations, baseline.alarm_threshold.value)
    return [baseline.names[i] for i in np.argsort(-scores, kind="stable") if found[i]]
