"""What is compared, behind one small interface.

A detector evaluates weeks: how unusual is each trial beside the reference, and
would it have called as documented? The higher the score the more unusual; only
the order of a detector's own scores matters.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import stats

from benchmarks.quality.series import CONTEXT, DAY, LEAD, WEEK
from monitors.summaries.summary import Bools, Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """Are these weeks of one sensor like its other weeks?

    Attributes
    ----------
    weeks : (window, hour, sensor)
        Of the reference, each with the four weeks before it.
    sensor
        The one on trial.
    left_out
        The window that is no part of the reference; None: all are.
    trials : (trial, hour)
        Of the sensor, with the four weeks before them.
    around : (hour, sensor)
        What all sensors really did at that time; None where nobody asks.
    copies
        Rows an hour: 2 is twice the traffic with the same values.
    """

    weeks: Floats
    sensor: int
    left_out: int | None
    trials: Floats
    around: Floats | None
    copies: int = 1

    @property
    def reference(self) -> Floats:
        """Return the weeks of the reference, (window, hour)."""
        own: Floats = self.weeks[:, :, self.sensor]
        return own if self.left_out is None else np.delete(own, self.left_out, axis=0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Watch:
    """Return the scores of these stretches of one sensor, day by day.

    Attributes
    ----------
    history : (hour, sensor)
        The reference, without a gap.
    sensor
        The one on trial.
    paths : (path, hour)
        Five weeks to start on, then `n_days` days with one look at the end of each.
    around : (path, hour, sensor)
        What all sensors really did at that time.
    """

    history: Floats
    sensor: int
    paths: Floats
    around: Floats

    @property
    def n_days(self) -> int:
        """Return how many evaluations there are."""
        return int(self.paths.shape[1] - LEAD) // DAY

    def together(self, path: int) -> Floats:
        """Return all sensors, the one on trial as in this path; (hour, sensor)."""
        hours: Floats = self.around[path].copy()
        hours[:, self.sensor] = self.paths[path]
        return hours


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdicts:
    """Scores and calls: (trial,) of a question, (path, look) of a watch."""

    score: Floats
    alarm: Bools


class Watcher(Protocol):
    """A detector that evaluates day by day.

    Attributes
    ----------
    promised_days
        Days between false alarms that it claims, one evaluation a day.
    cpu
        Seconds spent by all judgements so far.
    n_decisions
        How many they were.
    """

    cpu: float
    n_decisions: int

    @property
    def name(self) -> str: ...

    @property
    def promised_days(self) -> float | None: ...

    def watch(self, watches: Sequence[Watch]) -> list[Verdicts]: ...


class Detector(Watcher, Protocol):
    """One who evaluates a lone week, too."""

    def evaluate(self, questions: Sequence[Question]) -> list[Verdicts]: ...


class Timed:
    """What it spends is counted."""

    name = ""
    promised_days: float | None = None

    def __init__(self) -> None:
        self.cpu, self.n_decisions = 0.0, 0


class Weekly(Timed, ABC):
    """A detector of weeks; day by day it evaluates the last seven days."""

    @abstractmethod
    def one(self, question: Question) -> Verdicts:
        """Evaluate the trials of one question."""

    def evaluate(self, questions: Sequence[Question]) -> list[Verdicts]:
        began = time.process_time()
        found = [self.one(question) for question in questions]
        self.cpu += time.process_time() - began
        self.n_decisions += sum(len(question.trials) for question in questions)
        return found

    def watch(self, watches: Sequence[Watch]) -> list[Verdicts]:
        return folded(watches, self.evaluate(list(weekly(watches))))


def weekly(watches: Iterable[Watch]) -> Iterator[Question]:
    """Ask of each evaluation's last seven days."""
    for watch in watches:
        n_weeks = len(watch.history) // WEEK
        weeks = np.stack(
            [watch.history[i * WEEK - CONTEXT : (i + 1) * WEEK] for i in range(4, n_weeks)]
        )
        ends = LEAD + DAY * np.arange(1, watch.n_days + 1)
        trials = np.stack([watch.paths[:, end - LEAD : end] for end in ends], axis=1)
        yield Question(
            weeks=weeks,
            sensor=watch.sensor,
            left_out=None,
            trials=trials.reshape(-1, LEAD),
            around=None,
        )


def folded(watches: Sequence[Watch], found: Sequence[Verdicts]) -> list[Verdicts]:
    """Lay the answers to `weekly` out as (path, look)."""
    return [
        Verdicts(
            score=one.score.reshape(len(watch.paths), watch.n_days),
            alarm=one.alarm.reshape(len(watch.paths), watch.n_days),
        )
        for watch, one in zip(watches, found, strict=True)
    ]


class Always(Weekly):
    """Call every time."""

    name = "always fires"

    def one(self, question: Question) -> Verdicts:
        n = len(question.trials)
        return Verdicts(score=np.ones(n), alarm=np.ones(n, dtype=np.bool_))


class Never(Weekly):
    """Never call."""

    name = "never fires"

    def one(self, question: Question) -> Verdicts:
        n = len(question.trials)
        return Verdicts(score=np.zeros(n), alarm=np.zeros(n, dtype=np.bool_))


class Coin(Weekly):
    """Call at random, one evaluation in twenty."""

    name = "tosses a coin, 5 %"

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)

    def one(self, question: Question) -> Verdicts:
        score = self.rng.random(len(question.trials))
        return Verdicts(score=score, alarm=score > 0.95)


def raw(question: Question) -> tuple[Floats, list[Floats]]:
    """Return the values of the reference and of each trial, as rows arrived."""
    reference = question.reference[:, CONTEXT:].ravel()
    trials = [
        np.repeat(week[np.isfinite(week)], question.copies)
        for week in question.trials[:, CONTEXT:]
    ]
    return reference, trials


class KolmogorovSmirnov(Weekly):
    """scipy's two-sample test, p < .05."""

    name = "scipy KS, p < .05"

    def one(self, question: Question) -> Verdicts:
        reference, trials = raw(question)
        found = [stats.ks_2samp(reference, trial, method="asymp") for trial in trials]
        return Verdicts(
            score=np.array([one.statistic for one in found]),
            alarm=np.array([one.pvalue < 0.05 for one in found]),
        )


class StabilityIndex(Weekly):
    """The population stability index over tenths of the reference, above .2."""

    name = "PSI > .2"

    def one(self, question: Question) -> Verdicts:
        reference, trials = raw(question)
        edges = np.quantile(reference, np.linspace(0, 1, 11)[1:-1])
        then = _shares(reference, edges)
        now = np.stack([_shares(trial, edges) for trial in trials])
        score = ((now - then) * np.log(now / then)).sum(axis=1)
        return Verdicts(score=score, alarm=score > 0.2)


def _shares(values: Floats, edges: Floats) -> Floats:
    counts = np.bincount(np.searchsorted(edges, values), minlength=edges.size + 1)
    return (counts.astype(np.float64) + 0.5) / (values.size + counts.size / 2)


def peers_in_process(seed: int) -> list[Detector]:
    """Return those that need no environment of their own."""
    return [KolmogorovSmirnov(), StabilityIndex(), Always(), Never(), Coin(seed)]
