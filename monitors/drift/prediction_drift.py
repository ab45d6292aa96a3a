"""Test for drift of a model's outputs.

Drift of outputs instead of input, against those of the same version in its
first days: no reference comes with a version, so the null distribution grows
with its outputs, until it holds `reference`. It needs no label, and it sees
what the input does not show: wrong weights, another unit, an output that stands
still.
"""

from dataclasses import dataclass
from datetime import datetime

from core.durations import DAY, Duration, require_days
from core.window import Window
from monitors.baselines.daily_evaluations import no_data
from monitors.baselines.windows import OwnReferenceParams
from monitors.drift import input_drift, input_drift_baseline
from monitors.drift.input_drift_baseline import InputDriftParams
from monitors.false_alarms.warm_up import MIN_WINDOWS, WarmingUp
from monitors.finding import Finding
from monitors.summaries.hourly import HOURS, Hourly
from monitors.summaries.summary import chunk_start

_SEASON_DAYS = 8  # a week, and the day that it begins within


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionDriftParams(OwnReferenceParams):
    """Parameters of `prediction_drift`.

    Attributes
    ----------
    days_between_false_alarms
        The promise, over all targets and steps ahead together. Larger means
        later alarms.
    window
        Length of a window. Longer sees smaller changes, later; the version
        must have served for 19 windows before it is evaluated.
    season
        In whole hours; found from the reference when None.
    min_effect
        A smaller change is never an alarm, however sure; as for drift.
    reference
        The version is measured against so many of its own first days. While
        they last, against those before the window.
    by_segment
        Evaluate the outputs of every segment beside the total, as in `input_drift`.
    """

    days_between_false_alarms: float = 90.0
    window: Duration = 2 * DAY
    season: Duration | None = None
    min_effect: float = 0.25
    by_segment: bool = False

    def __post_init__(self) -> None:
        least = MIN_WINDOWS * self.like_drift.window_days + _SEASON_DAYS
        require_days("reference", self.reference, least)

    @property
    def like_drift(self) -> InputDriftParams:
        """The same, as drift takes it."""
        return InputDriftParams(
            days_between_false_alarms=self.days_between_false_alarms,
            window=self.window,
            season=self.season,
            min_effect=self.min_effect,
        )


def evaluate(
    before: Hourly, recent: Hourly, params: PredictionDriftParams, as_of: datetime
) -> Finding:
    """Evaluate the window that ends with the last closed day.

    Parameters
    ----------
    before
        Outputs of one version in the days of `reference_of`, hour by hour: a
        part of a target for each feature. Hours without outputs are
        empty.
    recent
        The hours before `as_of`, at least a window and a season long; of the
        same version.
    params
        Parameters of the test.
    as_of
        Event time, timezone-aware.

    Returns
    -------
    Finding
        As drift's. `NO_DATA` while the version has served for fewer than 19
        windows, or if fewer than half of the hours have outputs.
    """
    learnt = input_drift_baseline.fit(before, params.like_drift)
    finding = input_drift.evaluate(learnt, recent, as_of)
    if isinstance(learnt, WarmingUp):
        is_old = len(before) >= (MIN_WINDOWS * params.window_days + _SEASON_DAYS) * HOURS
        if is_old and (before.n > 0).any(axis=1).mean() < 1 / 2:
            return no_data(finding.window, "fewer than half of the hours have outputs")
        return finding
    start, end = map(chunk_start, (before.first, before.first + len(before)))
    return finding.with_figures(reference=Window(start, end))
