"""Input fault: one input scaled, shifted, stuck or missing.

A broken sensor moves few features, abruptly, and leaves the others and their
relations alone; a world that changed moves many. Each hour is compared with
the same hour of the week before, given what the other features did. Features
are taken out, the worst first, until the rest is ordinary: if that needs more
than a quarter of them, no sensor is to blame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from core.window import Window
from monitors.baselines.daily_evaluations import no_data
from monitors.baselines.segments import like
from monitors.detail import Detail, ImplicatedFeature, each_once
from monitors.false_alarms.decision import verdict
from monitors.false_alarms.warm_up import WarmingUp, with_reference
from monitors.finding import Finding, Outcome
from monitors.input_fault.cross_feature_model import (
    AFTER,
    EVALUATION_DAYS,
    Evaluation,
    InputFaultBaseline,
    errors_of,
    evaluable,
    filled,
    last_evaluation,
    learn,
    missing_limit,
    missing_share,
    repeat_runs,
    repeated,
    suspects,
)
from monitors.input_fault.fault_types import FaultKind, amount_of, ended
from monitors.summaries.hourly import HOURS, Hourly, whole_days
from monitors.summaries.summary import Floats, chunk_at, chunk_start

# A fault that ended is remembered until no evaluation can mistake its end for one.
_MEMORY = timedelta(days=EVALUATION_DAYS + 1)

_BLIND = (FaultKind.STUCK, FaultKind.MISSING)

# A feature is stuck when it repeats for half as long again as it ever did.
_BEYOND = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFaultParams:
    """Parameters of `input_fault`.

    Attributes
    ----------
    days_between_false_alarms
        The promise, over all features together. A fault pages, so it is
        stricter than drift's.
    min_change
        A factor closer to 1, or an offset smaller in standard deviations of
        the feature, is never a fault.
    by_segment
        Evaluate the features of every segment as well, each beside itself in the
        other segments, all under the one promise (`monitors.input_fault.segment_faults`). A
        segment is evaluated once its reference holds 19 evaluations of ten days.
    """

    days_between_false_alarms: float = 1095.0
    min_change: float = 0.15
    by_segment: bool = False

    def __post_init__(self) -> None:
        if self.days_between_false_alarms <= 0:
            raise ValueError("days_between_false_alarms must be positive")
        if self.min_change < 0:
            raise ValueError("min_change must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFault:
    """One broken input.

    Attributes
    ----------
    feature
        Its name.
    kind
        How it is broken.
    amount
        The factor, the offset, the value it is stuck at, or the missing share.
    since, until
        Event time; `until` is None while it is open.
    """

    feature: str
    kind: FaultKind
    amount: float
    since: datetime
    until: datetime | None = None

    def __str__(self) -> str:
        what = {
            FaultKind.SCALE: f"scaled by {self.amount:.2f}",
            FaultKind.OFFSET: f"shifted by {self.amount:+.3g}",
            FaultKind.STUCK: f"stuck at {self.amount:.10g}",
            FaultKind.MISSING: f"missing ({self.amount:.0%})",
        }[self.kind]
        return f"{self.feature} {what} since {self.since:%Y-%m-%dT%H:%MZ}"


class InputFaultDetail(Detail, frozen=True):
    """The faults that are open, and for some time those that ended."""

    faults: tuple[InputFault, ...] = ()

    @property
    def open_faults(self) -> list[InputFault]:
        """Those that have not ended."""
        return [fault for fault in self.faults if fault.until is None]

    @property
    def implicated_features(self) -> tuple[ImplicatedFeature, ...]:
        """The inputs with an open fault."""
        return each_once(
            (one.feature, str(one).removeprefix(f"{one.feature} ")) for one in self.open_faults
        )

    @property
    def started(self) -> datetime | None:
        """When the first open fault began."""
        return min((fault.since for fault in self.open_faults), default=None)


def fit(reference: Hourly, params: InputFaultParams) -> InputFaultBaseline | WarmingUp:
    """Learn from the reference how features move together, and how abruptly.

    Parameters
    ----------
    reference
        Hours before the model was deployed; longer is better, a fault-free
        year best.
    params
        Parameters of the test.

    Returns
    -------
    InputFaultBaseline or WarmingUp
        `WarmingUp` while the reference holds fewer than 19 evaluations of ten days.
    """
    whole = whole_days(reference)
    n_evaluations = len(whole) // HOURS // EVALUATION_DAYS
    # Spelt out, not -1: a model may have no number among its inputs.
    shape = (len(whole) // HOURS, HOURS, len(whole.names))
    there = np.zeros(whole.mean.shape, dtype=np.bool_)
    for part in evaluable(whole.mean):
        there[part] = np.isfinite(whole.mean[part])
    days = np.asarray(there.reshape(shape).any(axis=1), dtype=np.bool_)
    known = with_reference(days, EVALUATION_DAYS)
    if not known:
        most = int(days.sum(axis=0).max(initial=0)) // EVALUATION_DAYS
        return WarmingUp(n_windows=min(n_evaluations, most), window_days=EVALUATION_DAYS)
    if len(known) < len(whole.names):  # what the reference does not know teaches nothing
        whole = whole.of(known)
    return learn(whole, params.days_between_false_alarms, params.min_change)


def evaluate(
    baseline: InputFaultBaseline | WarmingUp,
    recent: Hourly,
    previous: Sequence[InputFault],
    as_of: datetime,
) -> Finding:
    """Test the last closed days for input faults, and whether open ones have ended.

    Parameters
    ----------
    baseline
        From `fit`.
    recent
        The hours before `as_of`, ten days at least.
    previous
        `faults` in the detail of the finding before, in full; empty to start.
    as_of
        Event time, timezone-aware.

    Returns
    -------
    Finding
        `BREACH` while any fault is open. `value` is the highest score of this
        evaluation. A fault is open until the input is seen repaired.
    """
    end = chunk_at(as_of) // HOURS * HOURS
    window = Window(chunk_start(end) - timedelta(days=AFTER), chunk_start(end))
    detail = InputFaultDetail(faults=tuple(previous))
    if isinstance(baseline, WarmingUp):
        return no_data(window, str(baseline), detail)
    whole = whole_days(like(recent, baseline.names), end)
    previous = [fault for fault in previous if fault.feature in baseline.names]
    if len(whole) < EVALUATION_DAYS * HOURS or whole.first + len(whole) != end:
        cause = f"the stream is shorter than {EVALUATION_DAYS} days"
        return no_data(window, cause, InputFaultDetail(faults=tuple(previous)))
    known = _followed(baseline, whole, previous)
    found, highest = _found(baseline, whole, known)
    detail = InputFaultDetail(faults=(*known, *found))
    return replace(
        verdict(baseline.alarm_threshold, highest, window, str, detail),
        outcome=Outcome.BREACH if detail.open_faults else Outcome.OK,
        cause="; ".join(map(str, detail.open_faults)),
    )


def _undone(hours: Hourly, faults: Sequence[InputFault]) -> Floats:
    """Return the hourly means as healthy inputs would have sent them; NaN: unknown."""
    mean = hours.mean.copy()
    for fault in faults:
        start = max(chunk_at(fault.since) - hours.first, 0)
        stop = len(hours) if fault.until is None else chunk_at(fault.until) - hours.first
        part = np.s_[start : max(stop, 0), hours.names.index(fault.feature)]
        match fault.kind:
            case FaultKind.SCALE:
                mean[part] /= fault.amount
            case FaultKind.OFFSET:
                mean[part] -= fault.amount
            case FaultKind.STUCK | FaultKind.MISSING:
                mean[part] = np.nan
    return mean


def _followed(
    baseline: InputFaultBaseline, hours: Hourly, faults: Sequence[InputFault]
) -> list[InputFault]:
    """Close the faults that ended, forget those that ended long ago, measure the rest."""
    now = chunk_start(hours.first + len(hours))
    evaluation = last_evaluation(baseline, _undone(hours, faults))
    followed = []
    for fault in faults:
        if fault.until is not None:
            followed += [fault] if now - fault.until <= _MEMORY else []
        elif fault.kind in _BLIND:
            followed.append(replace(fault, until=_end_of_fault(baseline, hours, fault)))
        else:
            followed.append(_measured(baseline, hours, evaluation, fault))
    return followed


def _end_of_fault(
    baseline: InputFaultBaseline, hours: Hourly, fault: InputFault
) -> datetime | None:
    feature = hours.names.index(fault.feature)
    last_day = hours.first + len(hours) - HOURS
    if fault.kind is FaultKind.STUCK:
        moving = ~repeated(hours.mean)[-HOURS:, feature]
        return chunk_start(last_day + int(np.argmax(moving))) if moving.any() else None
    share = missing_share(hours)[-1, feature]
    return chunk_start(last_day) if share <= missing_limit(baseline)[feature] else None


def _measured(
    baseline: InputFaultBaseline, hours: Hourly, evaluation: Evaluation, fault: InputFault
) -> InputFault:
    """Close a factor or an offset that ended; else measure it on all hours it has had."""
    feature = hours.names.index(fault.feature)
    undone, variance = errors_of(baseline, evaluation, range(len(baseline.names)), feature)
    n = len(undone)
    expected = evaluation.values[:, feature] - undone
    raw = filled(hours.mean, baseline.daily_profile).reshape(-1, len(hours.names))[-n:, feature]
    after, sd = slice(-AFTER * HOURS, None), variance**0.5
    hour = ended((raw - expected)[after] / sd, undone[after] / sd)
    if hour is not None:
        end = chunk_start(hours.first + len(hours) - AFTER * HOURS + hour)
        return replace(fault, until=end)
    onset = chunk_at(fault.since) - (hours.first + len(hours) - n)
    if onset < 0:
        return fault
    return replace(fault, amount=amount_of(fault.kind, raw[onset:], expected[onset:]))


def _found(
    baseline: InputFaultBaseline, hours: Hourly, known: Sequence[InputFault]
) -> tuple[list[InputFault], float]:
    """Return the faults that nobody knew, and the highest score."""
    still = {fault.feature for fault in known if fault.until is None}
    silent = [f for f in _silent(baseline, hours) if f.feature not in still]
    blind = {f.feature for f in (*known, *silent) if f.kind in _BLIND and f.until is None}
    evaluation = last_evaluation(baseline, _undone(hours, [*known, *silent]))
    seeing = [i for i, name in enumerate(hours.names) if name not in blind]
    budget = baseline.budget - len(still | {f.feature for f in silent})
    blamed = suspects(baseline, evaluation, seeing, budget)
    start = hours.first + len(hours) - len(evaluation.values)
    found = [
        InputFault(
            feature=hours.names[i],
            kind=shape.kind,
            amount=shape.amount,
            since=chunk_start(start + shape.hour),
        )
        for i, shape, score in blamed
        if score > baseline.alarm_threshold.value and hours.names[i] not in still
    ]
    return [*silent, *found], max((score for _, _, score in blamed), default=0.0)


def _silent(baseline: InputFaultBaseline, hours: Hourly) -> list[InputFault]:
    """Return the features that repeat or miss more than the reference ever did."""
    end = hours.first + len(hours)
    run = repeat_runs(hours.mean)[-1]
    stuck = run >= np.maximum(_BEYOND * baseline.longest_repeat, HOURS)
    missing = missing_share(hours)[-1]
    gone = missing > missing_limit(baseline)
    if stuck.sum() + gone.sum() > baseline.budget:
        return []
    faults = []
    for i, name in enumerate(hours.names):
        if gone[i]:
            since = chunk_start(end - HOURS)
            faults.append(
                InputFault(
                    feature=name, kind=FaultKind.MISSING, amount=float(missing[i]), since=since
                )
            )
        elif stuck[i]:
            since = chunk_start(end - int(run[i]))
            at = float(hours.mean[-1, i])
            faults.append(
                InputFault(feature=name, kind=FaultKind.STUCK, amount=at, since=since)
            )
    return faults
