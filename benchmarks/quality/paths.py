"""Day by day: false alarms on quiet streams, delay after a change, AMOC area."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.quality import scores
from benchmarks.quality.detectors import Detector, Watch, Watcher
from benchmarks.quality.faults import sensible, setting
from benchmarks.quality.series import DAY, LEAD, WEEK, Series, ar1
from monitors.summaries.summary import Floats

HISTORY = 56 * WEEK  # the first year and a month is the reference
AFTER = int(scores.D_MAX)
BUDGETS = (30.0 / 7.0, 1.0, 30.0 / 90.0)  # one a week, a month, a quarter
MIDDLE = 1
PROMISE_REFRACTORY = 7  # days: a window is evaluated once, as the contract counts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Course:
    """Quiet and changed stretches of one series; lists run over sensors.

    Attributes
    ----------
    phases
        Per sensor, the hour of its first day at which each path changes.
    faults
        What changes, path by path; the same for each sensor.
    """

    name: str
    quiet: list[Watch]
    changed: list[Watch]
    phases: list[Floats]
    faults: list[str]


def course(series: Series, seed: int, n_injections: int) -> Course:
    """Cut the time after the reference into a quiet stretch, and corrupt copies of it."""
    rng = np.random.default_rng(seed)
    n_hours = len(series.values)
    history = series.values[:HISTORY]
    last = (n_hours - HISTORY) // DAY * DAY + HISTORY
    faults = sensible(series)
    quiet, changed, phases = [], [], []
    for sensor in range(series.values.shape[1]):
        own = series.values[:, sensor]
        quiet.append(
            Watch(
                history=history,
                sensor=sensor,
                paths=own[None, HISTORY - LEAD : last],
                around=series.values[None, HISTORY - LEAD : last],
            )
        )
        stretches, around, at = [], [], []
        for fault in faults:
            for _ in range(n_injections):
                day = int(rng.integers(0, (last - HISTORY) // DAY - AFTER + 1))
                begin = HISTORY + day * DAY - LEAD
                end = begin + LEAD + AFTER * DAY
                phase = int(rng.integers(0, DAY))
                known = setting(series, sensor, begin, end, rng)
                strength = fault.strengths[MIDDLE]
                stretches.append(fault.change(own[begin:end], LEAD + phase, strength, known))
                around.append(series.values[begin:end])
                at.append(float(phase))
        changed.append(
            Watch(
                history=history,
                sensor=sensor,
                paths=np.stack(stretches),
                around=np.stack(around),
            )
        )
        phases.append(np.array(at))
    return Course(
        name=series.name,
        quiet=quiet,
        changed=changed,
        phases=phases,
        faults=[fault.name for fault in faults for _ in range(n_injections)],
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """Scores of one detector on one course, per sensor (path, evaluation)."""

    course: Course
    quiet: list[Floats]
    changed: list[Floats]
    curve: tuple[Floats, Floats]
    calls_quiet: float
    calls_delay: float
    calls_missed: float


def run(detector: Detector, course: Course) -> Run:
    """Let a detector watch a course."""
    quiet = detector.watch(course.quiet)
    changed = detector.watch(course.changed)
    days = np.concatenate(
        [scores.delays(one.alarm, p) for one, p in zip(changed, course.phases, strict=True)]
    )
    n_evaluations = sum(one.alarm.size for one in quiet)
    n_alarms = sum(float(scores.count(one.alarm).sum()) for one in quiet)
    scored = [_known(one.score) for one in quiet]
    return Run(
        course=course,
        quiet=scored,
        curve=scores.operating(scored),
        changed=[_known(one.score) for one in changed],
        calls_quiet=n_alarms / n_evaluations * 30.0,
        calls_delay=float(np.median(days)),
        calls_missed=float((days >= scores.D_MAX).mean()),
    )


def _known(score: Floats) -> Floats:
    """No data is no alarm at any threshold."""
    return np.where(np.isfinite(score), score, -1e300)


def area(run: Run) -> float:
    """Return the AMOC area over all faults of a course."""
    return scores.amoc(run.curve, run.changed, run.course.phases)


def area_interval(run: Run, seed: int) -> list[float]:
    """Return the area and its interval, resampling injections; quiet time stays."""
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(20):
        chosen = [rng.integers(0, len(one), len(one)) for one in run.changed]
        changed = [one[at] for one, at in zip(run.changed, chosen, strict=True)]
        phases = [one[at] for one, at in zip(run.course.phases, chosen, strict=True)]
        draws.append(scores.amoc(run.curve, changed, phases))
    low, high = np.percentile(draws, [2.5, 97.5])
    return [area(run), float(low), float(high)]


def transferred(run: Run, calibration: Run) -> dict[str, dict[str, float]]:
    """Take thresholds from another series; return what they do here, per budget."""
    table = {}
    for budget in BUDGETS:
        level = scores.tuned(calibration.curve, budget)
        n_evaluations = sum(one.size for one in run.quiet)
        rate = (
            sum(float(scores.count(one > level).sum()) for one in run.quiet)
            / n_evaluations
            * 30
        )
        days = np.concatenate(
            [
                scores.delays(one > level, p)
                for one, p in zip(run.changed, run.course.phases, strict=True)
            ]
        )
        table[f"{30.0 / budget:g} days"] = {
            "false alarms per 30 days": rate,
            "median delay, days": float(np.median(days)),
            "missed": float((days >= scores.D_MAX).mean()),
        }
    return table


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """How a promise is put to the test: noise with memory, and half a deviation more.

    Attributes
    ----------
    reference_days, live_days
        Of each stream.
    """

    phi: float = 0.9
    n_streams: int = 20
    reference_days: int = 210
    live_days: int = 120
    step: float = 0.5


def promise(detector: Watcher, rule: Promise, seed: int) -> dict[str, list[float] | float]:
    """Return days between false alarms over days promised, and the delay in steps."""
    lead = LEAD // DAY
    n_days = rule.reference_days + lead + rule.live_days
    noise = ar1(rule.phi, n_days * DAY, rule.n_streams, seed).values
    history = noise[: rule.reference_days * DAY]
    live = noise[rule.reference_days * DAY :]
    moved = live.copy()
    moved[LEAD:] += rule.step
    found, later = (
        detector.watch(
            [
                Watch(
                    history=history[:, i : i + 1],
                    sensor=0,
                    paths=one[None, :, i],
                    around=one[None, :, i : i + 1],
                )
                for i in range(rule.n_streams)
            ]
        )
        for one in (live, moved)
    )
    per_stream = [scores.count(one.alarm, PROMISE_REFRACTORY) for one in found]
    days = np.full(rule.n_streams, float(rule.live_days))

    def between(counts: Floats) -> float:
        return float(len(counts) * rule.live_days / max(counts.sum(), 0.5))

    achieved = scores.interval(list(per_stream), seed, between)
    promised = detector.promised_days
    first = np.array(
        [np.argmax(one.alarm[0]) + 1 if one.alarm.any() else np.inf for one in later]
    )
    return {
        "days between false alarms": list(achieved),
        "achieved over promised": [one / promised for one in achieved] if promised else [],
        "median delay, steps": float(np.median(first) * DAY),
        "not found in the time": float(np.mean(first > days)),
    }


def area_by_fault(run: Run) -> dict[str, float]:
    """Return the AMOC area of each fault alone."""
    table = {}
    faults = np.array(run.course.faults)
    for fault in dict.fromkeys(run.course.faults):
        chosen = faults == fault
        table[fault] = scores.amoc(
            run.curve,
            [one[chosen] for one in run.changed],
            [phase[chosen] for phase in run.course.phases],
        )
    return table


def courses(series: Sequence[Series], seed: int, n_injections: int) -> list[Course]:
    """Return the course of each series."""
    return [course(one, seed + i, n_injections) for i, one in enumerate(series)]
