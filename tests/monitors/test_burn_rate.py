from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from core.durations import DAY, HOUR, MINUTE
from core.errors import Unprocessable
from monitors.finding import Finding, Outcome
from monitors.slo.burn_rate import burns, evaluate
from monitors.slo.objective import TIERS, BurnRateParams
from monitors.slo.slices import Counts, Slices
from monitors.summaries.summary import Ints

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PARAMS = BurnRateParams(objective=0.999)
LATENCY = replace(PARAMS, sli="latency")


def slices_of(width: timedelta, good: Ints, bad: Ints, unknown: Ints | None = None) -> Slices:
    """Return what one version served."""
    none = np.zeros_like(good) if unknown is None else unknown
    return Slices(width=width, versions={"v1": Counts(good=good, bad=bad, unknown=none)})


def outage(minutes: float, share: float, width: timedelta = 6 * timedelta(seconds=1)) -> Slices:
    """Steady traffic for 32 hours, of which the last minutes fail in part."""
    n = timedelta(hours=32) // width
    n_bad = round(minutes * MINUTE / width)
    bad = np.zeros(n, dtype=np.int64)
    bad[n - n_bad :] = round(share * 10_000)
    return slices_of(width, good=10_000 - bad, bad=bad)


def evaluation(slices: Slices, params: BurnRateParams = PARAMS) -> Finding:
    return evaluate(slices, params, NOW)


@pytest.mark.parametrize(
    ("share", "minutes"),
    [
        pytest.param(1.0, 0.864, id="a total outage within a minute"),
        pytest.param(0.1, 8.64, id="a tenth in nine minutes"),
        pytest.param(0.016, 54.0, id="1.6 per cent in 54 minutes"),
        pytest.param(0.01, 216.0, id="1 per cent by the slow tier"),
        pytest.param(0.008, 270.0, id="0.8 per cent by the slow tier"),
    ],
)
def test_detection_takes_as_long_as_in_the_closed_form(share: float, minutes: float) -> None:
    """t = L f eps / e, for 99.9 % over 30 days; one slice of 6 s either way."""
    assert evaluation(outage(minutes - 0.15, share)).outcome is Outcome.OK
    assert evaluation(outage(minutes + 0.15, share)).outcome is Outcome.BREACH


@pytest.mark.parametrize(
    ("days", "factors"),
    [
        pytest.param(30, (14.4, 6.0), id="thirty days"),
        pytest.param(28, (13.44, 5.6), id="four weeks"),
        pytest.param(7, (3.36, 1.4), id="a week keeps the shares and not the factors"),
    ],
)
def test_factors_follow_from_shares(days: int, factors: tuple[float, ...]) -> None:
    found = tuple(float(tier.factor(timedelta(days=days))) for tier in TIERS)
    assert found == pytest.approx(factors)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        pytest.param({"objective": 0.9}, "can never fire", id="a budget too large to burn"),
        pytest.param({"objective": 1.0}, "in \\(0, 1\\)", id="no budget at all"),
        pytest.param({"period": 0 * DAY}, "at least P1D", id="no period"),
        pytest.param({"max_staleness": 0 * DAY}, "positive", id="no pause at all"),
        pytest.param({"sli": "joy"}, "known: availability, latency", id="no such SLI"),
        pytest.param(
            {"sli": "latency", "sli_params": {"slower_than": "PT0S"}},
            "latency: slower_than must be positive",
            id="nothing is that fast",
        ),
        pytest.param(
            {"sli_params": {"slower_than": "PT1S"}},
            "availability: no slower_than",
            id="a parameter of another SLI",
        ),
    ],
)
def test_an_objective_that_cannot_alert_is_refused(
    params: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, Unprocessable), match=message):
        replace(PARAMS, **params)


def test_the_lowest_objective_that_can_fire_is_accepted() -> None:
    assert BurnRateParams(objective=0.931).budget == Fraction(69, 1000)


def test_exactly_the_factor_is_not_more_than_it() -> None:
    budget, factor = Fraction(1, 1000), Fraction(72, 5)
    assert not burns(144, 10_000, factor, budget)
    assert burns(144_001, 10_000_000, factor, budget)


def test_two_failures_never_burn() -> None:
    bad = np.zeros(1000, dtype=np.int64)
    bad[-2:] = 1
    good = np.ones(1000, dtype=np.int64)
    assert evaluation(slices_of(5 * MINUTE, good, bad)).outcome is Outcome.OK
    bad[-3:] = 1
    assert evaluation(slices_of(5 * MINUTE, good, bad)).outcome is Outcome.BREACH


def test_an_outage_that_ended_between_two_evaluations_is_reported() -> None:
    slices = outage(60, 1.0, width=5 * MINUTE)
    ended = np.zeros(60, dtype=np.int64)
    later = slices_of(
        slices.width,
        good=np.concatenate([slices.total.good, ended + 10_000]),
        bad=np.concatenate([slices.total.bad, ended]),
    )
    found = evaluation(later)
    assert found.outcome is Outcome.BREACH
    assert found.detail.to_json()["state"] == "burning"


@pytest.mark.parametrize(
    ("good", "bad", "unknown", "outcome", "state"),
    [
        pytest.param(0, 0, 0, Outcome.NO_DATA, "no_traffic", id="no traffic is not health"),
        pytest.param(0, 0, 5, Outcome.NO_DATA, "unknown", id="no latency is not health"),
        pytest.param(5, -1, 0, Outcome.ERROR, "invalid", id="less than no failure"),
        pytest.param(5, 0, 0, Outcome.OK, "quiet", id="quiet"),
        pytest.param(1, 0, 9, Outcome.OK, "quiet", id="some have a latency"),
        pytest.param(0, 1, 99, Outcome.BREACH, "burning", id="unknown ones excuse nothing"),
    ],
)
def test_what_cannot_be_evaluated_is_not_ok(
    good: int, bad: int, unknown: int, outcome: Outcome, state: str
) -> None:
    slices = slices_of(5 * MINUTE, np.full(600, good), np.full(600, bad), np.full(600, unknown))
    found = evaluation(slices, LATENCY)
    assert (found.outcome, found.detail.to_json()["state"]) == (outcome, state)


def test_without_a_latency_the_finding_states_of_how_many() -> None:
    nothing = np.zeros(600, dtype=np.int64)
    found = evaluation(slices_of(5 * MINUTE, nothing, nothing, nothing + 5), LATENCY)
    assert found.cause == "none of the 1,440 predictions of this day has a latency"
    assert found.detail.to_json()["versions"] == {"v1": {"good": 0, "bad": 0, "unknown": 1440}}


@pytest.mark.parametrize(
    ("silent_hours", "n_bad", "staleness_hours", "state"),
    [
        pytest.param(5, 0, 6, "quiet", id="predictions stopped lately"),
        pytest.param(6, 0, 6, "source_stale", id="predictions stopped too long ago"),
        pytest.param(6, 9, 6, "burning", id="what burned before is not excused by silence"),
        pytest.param(30, 9, 24, "source_stale", id="nothing on this day"),
        pytest.param(30, 0, 48, "no_traffic", id="a day without traffic is usual"),
        pytest.param(60, 0, 24, "no_traffic", id="nothing in all the period"),
    ],
)
def test_predictions_that_stopped_are_not_health(
    silent_hours: int, n_bad: int, staleness_hours: int, state: str
) -> None:
    bad = np.zeros(60 * 12, dtype=np.int64)
    n_silent = silent_hours * 12
    if n_silent < len(bad):
        bad[len(bad) - n_silent - 6 : len(bad) - n_silent] = n_bad
    good = np.full(60 * 12, 10) - bad
    good[len(good) - n_silent :] = 0
    params = replace(PARAMS, max_staleness=staleness_hours * HOUR)
    found = evaluation(slices_of(5 * MINUTE, good, bad), params)
    assert found.detail.to_json()["state"] == state
    is_unknown = state in ("source_stale", "no_traffic")
    assert (found.outcome is Outcome.NO_DATA) == is_unknown
    if state == "source_stale":
        stopped = NOW - timedelta(hours=silent_hours)
        assert found.cause == f"no prediction since {stopped:%Y-%m-%d %H:%M} UTC"


def of_two(bad_v1: int, bad_v2: int) -> Slices:
    """A quarter of the traffic on v2; so many of its 25, and of 75 of v1, are bad."""
    nothing = np.zeros(600, dtype=np.int64)
    return Slices(
        width=5 * MINUTE,
        versions={
            "v1": Counts(good=nothing + 75 - bad_v1, bad=nothing + bad_v1, unknown=nothing),
            "v2": Counts(good=nothing + 25 - bad_v2, bad=nothing + bad_v2, unknown=nothing),
        },
    )


@pytest.mark.parametrize(
    ("bad", "burned_by", "cause"),
    [
        pytest.param((0, 10), ["v2"], "; burned by v2 (720 of 1,800 bad)", id="the challenger"),
        pytest.param((10, 0), ["v1"], "; burned by v1 (720 of 5,400 bad)", id="the champion"),
        pytest.param(
            (15, 10),
            ["v1", "v2"],
            "; burned by v1 (180 of 900 bad), v2 (120 of 300 bad)",
            id="both",
        ),
    ],
)
def test_the_budget_is_the_services_and_a_burn_names_its_versions(
    bad: tuple[int, int], burned_by: list[str], cause: str
) -> None:
    found = evaluation(of_two(*bad), replace(PARAMS, objective=0.99))
    assert found.outcome is Outcome.BREACH
    assert found.detail.burned_by == tuple(burned_by)
    assert found.cause.endswith(cause)
    assert found.detail.to_json()["total"] == 60_000, "all traffic counts"


def test_where_nothing_burns_no_version_is_named() -> None:
    found = evaluation(of_two(0, 1), replace(PARAMS, objective=0.95))
    assert (found.outcome, found.detail.burned_by) == (Outcome.OK, ())
    assert found.detail.to_json()["versions"] == {
        "v1": {"good": 21_600, "bad": 0, "unknown": 0},
        "v2": {"good": 6_912, "bad": 288, "unknown": 0},
    }


def test_the_budget_may_be_overspent() -> None:
    found = evaluation(outage(60, 1.0))
    figures = found.detail.to_json()
    consumed, remaining = figures["consumed"], figures["remaining"]
    assert isinstance(consumed, float)
    assert isinstance(remaining, float)
    assert consumed == pytest.approx(1000 / 32)
    assert remaining == pytest.approx(1 - consumed)
