"""Which inputs and views of a panel moved."""

from dataclasses import dataclass

import numpy as np

from monitors.temporal.panel import PanelEvaluations, TemporalPatternBaseline, panel_views


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Largest change of the last evaluation.

    Attributes
    ----------
    feature, view, statistic
        By name.
    away
        How far the statistic lies from its middle, in ordinary spreads.
    sentence
        For people.
    """

    feature: str
    view: str
    statistic: str
    away: float
    sentence: str


def explain(baseline: TemporalPatternBaseline, evaluations: PanelEvaluations) -> Explanation:
    """Describe the largest change of the last evaluation: feature, view, direction."""
    scores = np.where(np.isfinite(evaluations.scores[-1]), evaluations.scores[-1], -1.0)
    feature, at = np.unravel_index(int(np.argmax(scores)), scores.shape)
    view = panel_views(baseline.params.season_hours)[at]
    own = baseline.robust_baselines[at]
    away = own.standardised(evaluations.statistics[at][-1:])[0, feature]
    most = int(np.argmax(np.abs(away)))
    part = view.parts[most]
    words = part.less if part.less is not None and away[most] < 0 else part.more
    name = baseline.names[feature]
    return Explanation(
        feature=name,
        view=view.name,
        statistic=part.name,
        away=float(away[most]),
        sentence=f"{name}: {words} ({away[most]:+.1f} SD of the reference)",
    )
