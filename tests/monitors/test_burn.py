from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import numpy as np
import pytest

from monitors.burn import TIERS, BurnParams, Indicator, Slices, burns, evaluate
from monitors.finding import Finding, Outcome

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PARAMS = BurnParams(objective=0.999)


def outage(minutes: float, share: float, width: timedelta = 6 * timedelta(seconds=1)) -> Slices:
    """Steady traffic for 32 hours, of which the last minutes fail in part."""
    n = timedelta(hours=32) // width
    n_bad = round(minutes * MINUTE / width)
    bad = np.zeros(n, dtype=np.int64)
    bad[n - n_bad :] = round(share * 10_000)
    return Slices(width=width, good=10_000 - bad, bad=bad)


def look(slices: Slices, params: BurnParams = PARAMS) -> Finding:
    return evaluate(slices, params, NOW, NOW)


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
def test_detection_takes_as_long_as_the_closed_form_says(share: float, minutes: float) -> None:
    """t = L f eps / e, for 99.9 % over 30 days; one slice of 6 s either way."""
    assert look(outage(minutes - 0.15, share)).outcome is Outcome.OK
    assert look(outage(minutes + 0.15, share)).outcome is Outcome.BREACH


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
        pytest.param({"period_days": 0}, "shorter than the window", id="no period"),
        pytest.param({"slower_than_seconds": 0.0}, "positive", id="nothing is that fast"),
    ],
)
def test_an_objective_that_cannot_alert_is_refused(
    params: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PARAMS, **params)  # type: ignore[arg-type]


def test_the_lowest_objective_that_can_fire_is_accepted() -> None:
    assert BurnParams(objective=0.931, indicator=Indicator.LATENCY).budget == Fraction(69, 1000)


def test_exactly_the_factor_is_not_more_than_it() -> None:
    budget, factor = Fraction(1, 1000), Fraction(72, 5)
    assert not burns(144, 10_000, factor, budget)
    assert burns(144_001, 10_000_000, factor, budget)


def test_two_failures_never_burn() -> None:
    bad = np.zeros(1000, dtype=np.int64)
    bad[-2:] = 1
    quiet = Slices(width=5 * MINUTE, good=np.ones(1000, dtype=np.int64), bad=bad)
    assert look(quiet).outcome is Outcome.OK
    bad[-3:] = 1
    assert look(quiet).outcome is Outcome.BREACH


def test_an_outage_that_ended_between_two_looks_is_told() -> None:
    slices = outage(60, 1.0, width=5 * MINUTE)
    ended = np.zeros(60, dtype=np.int64)
    later = Slices(
        width=slices.width,
        good=np.concatenate([slices.good, ended + 10_000]),
        bad=np.concatenate([slices.bad, ended]),
    )
    found = look(later)
    assert found.outcome is Outcome.BREACH
    assert found.detail["state"] == "burning"


@pytest.mark.parametrize(
    ("good", "bad", "watermark", "outcome", "state"),
    [
        pytest.param(0, 0, NOW, Outcome.NO_DATA, "no_traffic", id="no traffic is not health"),
        pytest.param(5, 0, None, Outcome.NO_DATA, "source_stale", id="nothing ever came"),
        pytest.param(
            5, 0, NOW - timedelta(days=2), Outcome.NO_DATA, "source_stale", id="it went silent"
        ),
        pytest.param(5, -1, NOW, Outcome.ERROR, "invalid", id="less than no failure"),
        pytest.param(5, 0, NOW, Outcome.OK, "quiet", id="quiet"),
    ],
)
def test_what_cannot_be_judged_is_not_ok(
    good: int, bad: int, watermark: datetime | None, outcome: Outcome, state: str
) -> None:
    counts = np.full(600, good), np.full(600, bad)
    slices = Slices(width=5 * MINUTE, good=counts[0], bad=counts[1])
    found = evaluate(slices, PARAMS, watermark, NOW)
    assert (found.outcome, found.detail["state"]) == (outcome, state)


def test_the_budget_may_be_overspent() -> None:
    found = look(outage(60, 1.0))
    consumed, remaining = found.detail["consumed"], found.detail["remaining"]
    assert isinstance(consumed, float)
    assert isinstance(remaining, float)
    assert consumed == pytest.approx(1000 / 32)
    assert remaining == pytest.approx(1 - consumed)
