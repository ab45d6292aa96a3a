"""A segment that is forecast worse than it was is found, and a hard day of all is not."""

import sys
from typing import Any

import numpy as np
import pytest

from core.durations import DAY
from monitors.baselines.segments import FIRST, MOST, OTHER, Label
from monitors.false_alarms.threshold import episodes
from monitors.finding import Finding, Outcome
from monitors.performance.segment_accuracy import (
    EXPECTED,
    LABELLED,
    LOSS,
    SegmentAccuracyParams,
    SegmentDays,
    evaluate,
    of_segments,
)
from monitors.summaries.summary import Bools, Floats

N_SEGMENTS, N_TARGETS, A_DAY = 8, 3, 96
PARAMS = SegmentAccuracyParams(window=3 * DAY)
LABEL = Label(by="site", names={FIRST + i: str(i) for i in range(N_SEGMENTS)})
TARGETS = tuple(f"t{i}" for i in range(N_TARGETS))
FIRST_DAY = 17_000


def sums(n_days: int, seed: int) -> Floats:
    """Return what is summed by day, place and target: hard days are hard for all.

    A day's mean error is a level of the segment, times the day, which all share and
    which remembers the days before, times a mood of its own.
    """
    chance = np.random.default_rng(seed)

    def mood(size: float, memory: float, *shape: int) -> Floats:
        out = chance.normal(size=(n_days, *shape))
        for day in range(1, n_days):
            out[day] = memory * out[day - 1] + np.sqrt(1 - memory**2) * out[day]
        return size * out

    shape = N_SEGMENTS, N_TARGETS
    level = np.linspace(-0.5, 0.5, N_SEGMENTS)[:, None]
    size = np.exp(level + mood(0.4, 0.7)[:, None, None] + mood(0.1, 0.7, *shape))
    out = np.zeros((n_days, FIRST + MOST, N_TARGETS, 3))
    own = out[:, FIRST : FIRST + N_SEGMENTS]
    own[..., EXPECTED] = own[..., LABELLED] = A_DAY
    own[..., LOSS] = size * chance.gamma(A_DAY, size=(n_days, *shape))
    return out


def laid(of_days: Floats) -> SegmentDays:
    return of_segments(of_days, TARGETS, LABEL, FIRST_DAY)


def evaluated(of_days: Floats, params: SegmentAccuracyParams = PARAMS) -> Finding:
    return evaluate(laid(of_days), params)


def worse(of_days: Floats, since: int, place: int | slice, times: float) -> Floats:
    out = of_days.copy()
    out[since:, place, :, LOSS] *= times
    return out


QUIET = sums(124, seed=2)
CHANGED = 121


def test_a_segment_that_is_forecast_worse_is_named_with_how_much() -> None:
    assert evaluated(QUIET).outcome is Outcome.OK
    found = evaluated(worse(QUIET, CHANGED, FIRST + 5, 2.0))
    assert found.outcome is Outcome.BREACH
    detail: Any = found.detail.to_json()
    assert detail["top"].endswith("[site=5]")
    assert found.cause.startswith("errors of ")
    assert " for site=5 are " in found.cause
    site = detail["errors"]["all targets [site=5]"]
    assert site["times"] / site["others"] == pytest.approx(2.0, rel=0.2)
    assert site["error"] == pytest.approx(site["baseline"] * site["times"])
    assert detail["since"] is not None


def test_what_makes_all_forecasts_worse_is_no_fault_of_a_segment() -> None:
    found = evaluated(worse(QUIET, CHANGED, slice(FIRST, None), 5.0))
    assert found.outcome is Outcome.OK
    assert found.value == pytest.approx(evaluated(QUIET).value)


def test_a_segment_that_is_forecast_better_calls_nobody_and_moves_no_other() -> None:
    found = evaluated(worse(QUIET, CHANGED, FIRST + 5, 0.2))
    assert found.outcome is Outcome.OK
    detail: Any = found.detail.to_json()
    assert detail["features"]["all targets [site=5]"]["relative error"] == 0.0
    assert found.value == pytest.approx(evaluated(QUIET).value, rel=0.5)


def test_a_new_segment_is_learnt_before_it_is_evaluated() -> None:
    late = QUIET.copy()
    late[:110, FIRST + 7] = 0.0
    found = evaluated(worse(late, CHANGED, FIRST + 7, 9.0))
    detail: Any = found.detail.to_json()
    assert detail["segments"] == {
        "evaluated": [f"site={i}" for i in range(7)],
        "warming_up": ["site=7"],
    }
    assert "all targets [site=7]" not in detail["errors"]
    assert not detail["top"].endswith("[site=7]")


def test_it_learns_until_it_has_19_windows_of_its_own() -> None:
    found = [evaluate(laid(QUIET[:end]), PARAMS) for end in range(1, 71)]
    warming_up = [finding.cause for finding in found if finding.outcome is Outcome.NO_DATA]
    assert warming_up[0] == "warming up: 0 of 19 windows of 3 days"
    assert warming_up[-1] == "warming up: 18 of 19 windows of 3 days"
    assert len(warming_up) == 57 + 2 + 3 - 1  # as of `residual`
    assert Outcome.NO_DATA not in {finding.outcome for finding in found[len(warming_up) :]}


def test_labels_that_are_missing_of_a_segment_leave_only_it_out() -> None:
    some = worse(QUIET, CHANGED, FIRST + 2, 2.0)
    some[CHANGED:, FIRST + 5, :, LABELLED] *= 0.5
    some[CHANGED:, FIRST + 5, :, LOSS] *= 5.0
    found = evaluated(some)
    detail: Any = found.detail.to_json()
    assert detail["top"].endswith("[site=2]")
    assert "all targets [site=5]" not in detail["errors"]
    none = QUIET.copy()
    none[CHANGED:, ..., LABELLED] = 0.0
    assert evaluated(none).cause == "fewer than 80% of the labels are in"


@pytest.mark.parametrize(
    ("n_segments", "expected"),
    [
        pytest.param(
            2, ("no_data", "not evaluated: 2 segments, at least 3 required"), id="two"
        ),
        pytest.param(3, ("ok", ""), id="three"),
    ],
)
def test_of_two_segments_it_is_unknown_which_has_changed(
    n_segments: int, expected: tuple[str, str]
) -> None:
    few = QUIET.copy()
    few[:, FIRST + n_segments :] = 0.0
    found = evaluated(few)
    assert (found.outcome.value, found.cause) == expected


def test_what_is_pooled_is_not_evaluated() -> None:
    pooled = QUIET.copy()
    pooled[:, OTHER] = 3 * pooled[:, FIRST]
    assert not any("other site" in name for name in laid(pooled).names)
    assert laid(pooled).names[-1] == "t2 [no site]"
    assert evaluated(pooled).value == evaluated(QUIET).value


def evaluated_days(of_days: Floats, params: SegmentAccuracyParams, first: int) -> Bools:
    """Evaluate each day from `first` on; True where it breaches."""
    found = [evaluated(of_days[:end], params) for end in range(first, len(of_days) + 1)]
    assert Outcome.NO_DATA not in {one.outcome for one in found}
    return np.array([one.outcome is Outcome.BREACH for one in found], dtype=np.bool_)


@pytest.mark.slow
def test_the_promise_holds_over_all_segments() -> None:
    """One in 30 promised; at most what that rate shows in 99 of 100 runs, and some.

    Were each part measured by its own farthest windows, there would be 58.
    """
    params = SegmentAccuracyParams(
        window=3 * DAY, days_between_false_alarms=30.0, reference=200 * DAY
    )
    n_worlds, n_live, alarms = 12, 120, 0
    for seed in range(n_worlds):
        breach = evaluated_days(sums(200 + n_live, 100 + seed), params, 201)
        alarms += episodes(breach, 3)
    expected = n_worlds * n_live / 30.0
    sys.stdout.write(f"{alarms} episodes where {expected:.0f} were promised\n")
    assert 2 <= alarms <= expected + 2.33 * np.sqrt(expected)


@pytest.mark.slow
@pytest.mark.parametrize(("times", "least"), [(1.25, 11), (1.5, 15)])
def test_a_segment_that_is_off_more_is_found_within_two_weeks(times: float, least: int) -> None:
    """Of 15 worlds; the error of all segments together grows by 2 and 5 % only."""
    n_found = 0
    for seed in range(15):
        of_days = worse(sums(379, 300 + seed), 365, FIRST + 3, times)
        n_found += bool(evaluated_days(of_days, SegmentAccuracyParams(), 366).any())
    sys.stdout.write(f"times {times}: found {n_found} of 15\n")
    assert n_found >= least
