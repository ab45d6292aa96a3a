"""Our own monitors as detectors: the product's code, nothing tuned for the comparison."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from benchmarks.quality.detectors import Question, Timed, Verdicts, Watch, Weekly
from benchmarks.quality.series import CONTEXT, LEAD, WEEK
from monitors.drift import input_drift, input_drift_baseline, mean_shift, mean_shift_evaluation
from monitors.drift.input_drift_baseline import InputDriftBaseline, InputDriftParams
from monitors.false_alarms import threshold
from monitors.statistics.max_statistic import largest
from monitors.statistics.seasonality import find_period
from monitors.statistics.view import View
from monitors.summaries.hourly import Hourly
from monitors.summaries.summary import Floats
from monitors.temporal import panel

PROMISED_DAYS = 30.0
SIZE = 0.05  # of a decision on one week
START = 24 * 17_000  # a midnight; which one does not matter

Learned = TypeVar("Learned")


def grid(values: Floats, copies: int = 1) -> Hourly:
    """Lay hours out as the monitors read them.

    Parameters
    ----------
    values : (hour, column)
        Row 0 is a midnight.
    copies
        Rows an hour.
    """
    there = np.isfinite(values)
    before = np.vstack([np.full((1, values.shape[1]), np.nan), values[:-1]])
    return Hourly(
        names=tuple(f"column {i}" for i in range(values.shape[1])),
        first=START,
        n=there * float(copies),
        n_missing=1.0 - there,
        n_repeat=(values == before).astype(float),
        mean=values,
        sd=np.zeros_like(values),
    )


class SeqwatchDrift(Weekly):
    """The monitor `drift`: windows of the seasonal difference, ranked among windows."""

    name = "Seqwatch drift"
    promised_days: float

    def __init__(self, promised_days: float = PROMISED_DAYS) -> None:
        super().__init__()
        self.promised_days = promised_days

    def one(self, question: Question) -> Verdicts:
        reference = question.reference
        period = find_period(reference[:, CONTEXT:].reshape(-1, 1))
        mean, sd = _moments(reference, period)
        mean_now, sd_now = _moments(question.trials, period)
        n = len(question.trials)
        # Each trial is a column: its own pool is the reference and itself.
        away = threshold.symmetric_distance(
            np.vstack([np.repeat(mean[:, None], n, axis=1), mean_now]),
            np.vstack([np.repeat(sd[:, None], n, axis=1), sd_now]),
        )
        p = np.array([threshold.p_value(column) for column in away.T])
        score = away[-1] / np.quantile(away, 0.95, axis=0)
        return Verdicts(score=score, alarm=p <= SIZE)

    def watch(self, watches: Sequence[Watch]) -> list[Verdicts]:
        return replayed(self, watches, self._learn, self._evaluate)

    def _learn(self, history: Floats) -> InputDriftBaseline:
        params = InputDriftParams(days_between_false_alarms=self.promised_days)
        baseline = input_drift_baseline.fit(grid(history), params)
        assert isinstance(baseline, InputDriftBaseline)
        return baseline

    def _evaluate(
        self, baseline: InputDriftBaseline, hours: Floats, sensor: int
    ) -> tuple[Floats, float]:
        evaluations = input_drift.evaluate_days(baseline, grid(hours))
        matters = evaluations.effects[:, sensor] >= baseline.params.min_effect
        scores = np.where(matters, evaluations.scores[:, sensor], 0.0)
        return scores, baseline.alarm_threshold.value


def _moments(weeks: Floats, period: int) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each week's seasonal difference."""
    change = weeks[:, CONTEXT:] - weeks[:, CONTEXT - period : -period]
    return np.nanmean(change, axis=1), np.nanstd(change, axis=1)


class SeqwatchTemporalPattern(Weekly):
    """The panel of views: order, timing and level of values, evaluated together."""

    name = "Seqwatch panel"
    promised_days: float

    def __init__(self, promised_days: float = PROMISED_DAYS) -> None:
        super().__init__()
        self.promised_days = promised_days
        self._known: tuple[Floats, list[Floats]] | None = None

    def one(self, question: Question) -> Verdicts:
        views = panel.panel_views()
        assert question.around is not None
        n = len(question.trials)
        weeks = np.repeat(question.around[None], n, axis=0)
        weeks[:, :, question.sensor] = question.trials
        together = []
        now = _seen(weeks, views, question.copies)
        for old, new in zip(self._reference(question, views), now, strict=True):
            # Each trial is a set of columns: its own pool is the reference and itself.
            others = old if question.left_out is None else np.delete(old, question.left_out, 0)
            pool = np.tile(others, (1, n, 1))
            together.append(np.concatenate([pool, new.reshape(1, -1, new.shape[2])]))
        scores = largest(panel.symmetric_scores(together, views), axis=2)
        apart = np.split(scores, n, axis=1)
        p = np.array([threshold.conformal_p(own, -1)[question.sensor] for own in apart])
        score = np.array([own[-1, question.sensor] for own in apart])
        return Verdicts(score=score, alarm=p <= SIZE)

    def _reference(self, question: Question, views: Sequence[View]) -> list[Floats]:
        """Return what is seen of the reference; evaluated once for all its questions."""
        if self._known is None or self._known[0] is not question.weeks:
            self._known = question.weeks, _seen(question.weeks, views)
        return self._known[1]

    def watch(self, watches: Sequence[Watch]) -> list[Verdicts]:
        return replayed(self, watches, self._learn, self._evaluate)

    def _learn(self, history: Floats) -> panel.TemporalPatternBaseline:
        params = panel.TemporalPatternParams(days_between_false_alarms=self.promised_days)
        baseline = panel.fit(grid(history), params)
        assert isinstance(baseline, panel.TemporalPatternBaseline)
        return baseline

    def _evaluate(
        self, baseline: panel.TemporalPatternBaseline, hours: Floats, sensor: int
    ) -> tuple[Floats, float]:
        evaluations = panel.evaluate_days(baseline, grid(hours))
        return largest(evaluations.scores[:, sensor], axis=1), baseline.alarm_threshold.value


class SeqwatchMeanShift(Timed):
    """The monitor `level`: evidence piled up day by day. It has no verdict on a lone week."""

    name = "Seqwatch level"
    promised_days: float

    def __init__(self, promised_days: float = PROMISED_DAYS) -> None:
        super().__init__()
        self.promised_days = promised_days

    def watch(self, watches: Sequence[Watch]) -> list[Verdicts]:
        return replayed(self, watches, self._learn, self._evaluate)

    def _learn(self, history: Floats) -> mean_shift.MeanShiftBaseline:
        params = mean_shift.MeanShiftParams(days_between_false_alarms=self.promised_days)
        baseline = mean_shift.fit(grid(history), params)
        assert isinstance(baseline, mean_shift.MeanShiftBaseline)
        return baseline

    def _evaluate(
        self, baseline: mean_shift.MeanShiftBaseline, hours: Floats, sensor: int
    ) -> tuple[Floats, float]:
        # After the reference, of which nothing is seen but what was learnt.
        evaluations = mean_shift_evaluation.evaluate_days(
            baseline, replace(grid(hours), first=baseline.learnt_until)
        )
        matters = np.abs(evaluations.effects[:, sensor]) >= baseline.params.min_effect
        alone = np.log1p(np.expm1(evaluations.scores[:, sensor]) / hours.shape[1])
        return np.where(matters, alone, 0.0), baseline.alarm_threshold.value


def _seen(weeks: Floats, views: Sequence[View], copies: int = 1) -> list[Floats]:
    """Return what each view sees of weeks, (week, sensor, statistic).

    They are laid one after the other, each with what a view needs before it.
    """
    length = panel.lead(views) + WEEK
    stretch = weeks[:, LEAD - length :].reshape(-1, weeks.shape[2])
    return list(panel.measure(grid(stretch, copies), views, WEEK, length))


def replayed(
    detector: Timed,
    watches: Sequence[Watch],
    learn: Callable[[Floats], Learned],
    evaluation: Callable[[Learned, Floats, int], tuple[Floats, float]],
) -> list[Verdicts]:
    """Replay the product's own evaluations; one contract holds for all sensors together."""
    began, found = time.process_time(), []
    baseline: Learned | None = None
    history: Floats | None = None
    for watch in watches:
        if baseline is None or watch.history is not history:
            baseline, history = learn(watch.history), watch.history
        evaluations = [
            evaluation(baseline, watch.together(path), watch.sensor)
            for path in range(len(watch.paths))
        ]
        score = np.stack([scores[-watch.n_days :] for scores, _ in evaluations])
        found.append(Verdicts(score=score, alarm=score > evaluations[0][1]))
    detector.cpu += time.process_time() - began
    detector.n_decisions += sum(one.score.size for one in found)
    return found
